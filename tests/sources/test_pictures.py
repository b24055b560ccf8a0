"""Every picture that Pillow opens becomes upright RGB bytes; what is no picture becomes one clear line."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
import textwrap
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import features

from mien.errors import SourceError, SourceWarning
from mien.sources.pictures import open_picture

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(width: int = 40, height: int = 24) -> PIL.Image.Image:
    """A picture whose four quarters are, from the top left by rows, red, green, blue and white."""
    picture = PIL.Image.new("RGB", (width, height), RED)
    picture.paste(GREEN, (width // 2, 0, width, height // 2))
    picture.paste(BLUE, (0, height // 2, width // 2, height))
    picture.paste(WHITE, (width // 2, height // 2, width, height))
    return picture


def quarters(image: np.ndarray) -> list[tuple[int, ...]]:
    """The colours in the middles of the four quarters, each value rounded to 0, 128 or 255."""
    height, width = image.shape[:2]
    at = [(y, x) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return [tuple(min((0, 128, 255), key=lambda v: abs(v - int(value))) for value in image[y, x]) for y, x in at]


def refused(picture: object) -> str:
    """The message of the SourceError that opening raises; it is one line."""
    with pytest.raises(SourceError) as error:
        open_picture(picture)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tif", "ppm", "tga", "jp2", "avif"])
def test_every_format_gives_the_same_colours(tmp_path: Path, ending: str) -> None:
    if ending == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    corners().save(tmp_path / f"picture.{ending}")
    frame = open_picture(tmp_path / f"picture.{ending}")
    assert quarters(frame.image) == [RED, GREEN, BLUE, WHITE]
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (24, 40, 3)
    assert (frame.name, frame.index, frame.time) == (str(tmp_path / f"picture.{ending}"), 0, 0)


@pytest.mark.parametrize("mode", ["P", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB"])
def test_every_mode_of_colour_gives_the_same_colours(tmp_path: Path, mode: str) -> None:
    if mode == "LAB":
        tiff = tmp_path / "lab.tif"
        PIL.Image.merge("LAB", [PIL.Image.new("L", (40, 24), value) for value in (136, 208, 195)]).save(tiff)
        assert quarters(open_picture(tiff).image)[0] == RED
        return
    ending = {"P": "png", "RGBA": "png", "YCbCr": "jpg"}.get(mode, "tif")
    corners().convert(mode).save(tmp_path / f"picture.{ending}")
    assert quarters(open_picture(tmp_path / f"picture.{ending}").image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["1", "L", "LA"])
def test_gray_pictures_become_three_equal_channels(tmp_path: Path, mode: str) -> None:
    PIL.Image.linear_gradient("L").convert(mode).save(tmp_path / "gray.png")
    image = open_picture(tmp_path / "gray.png").image
    assert image.shape == (256, 256, 3)
    assert (image == image[:, :, :1]).all()
    assert image[0].max() == 0 and image[-1].min() == 255


@pytest.mark.parametrize(
    ("values", "ending"),
    [
        (np.array([[0, 1000, 32768, 65535]], np.uint16), "png"),
        (np.array([[0, 1000, 32768, 65535]], np.uint16), "tif"),
        (np.array([[0, 63, 2056, 4095]], np.uint16), "png"),  # 12 bits, as medical and infrared cameras write
        (np.array([[0, 16, 513, 1023]], np.uint16), "tif"),
        (np.array([[0, 250, 8192, 16383]], np.uint16), "png"),
        (np.array([[0, 4, 128, 255]], np.uint16), "png"),
        (np.array([[0, 1000, 32768, 65535]], np.int32), "tif"),
        (np.array([[0, 1000, 32768, 65535]], np.float32), "tif"),
        (np.array([[0, 1000 / 65535, 0.5, 1]], np.float32), "tif"),
        (np.array([[0, 1000 * 255 / 65535, 128, 255]], np.float32), "tif"),
        (np.array([[-1, 1000 / 32768 - 1, 0, 1]], np.float32), "tif"),
    ],
)
def test_values_wider_than_a_byte_are_scaled_and_not_clipped(tmp_path: Path, values: np.ndarray, ending: str) -> None:
    PIL.Image.fromarray(values).save(tmp_path / f"deep.{ending}")
    assert open_picture(tmp_path / f"deep.{ending}").image[0, :, 0].tolist() == [0, 4, 128, 255]


def test_a_float_picture_with_gaps_is_still_a_picture(tmp_path: Path) -> None:
    PIL.Image.fromarray(np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)).save(tmp_path / "gaps.tif")
    assert open_picture(tmp_path / "gaps.tif").image[0, :, 0].tolist() == [0, 0, 0, 255]


@pytest.mark.parametrize("ending", ["png", "webp", "gif", "tif"])
def test_transparency_lies_over_white(tmp_path: Path, ending: str) -> None:
    PIL.Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / f"clear.{ending}")
    assert (open_picture(tmp_path / f"clear.{ending}").image == 255).all()


def test_a_colour_that_stands_for_transparency_lies_over_white(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (8, 8), RED).save(tmp_path / "key.png", transparency=RED)
    assert (open_picture(tmp_path / "key.png").image == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_obeyed(tmp_path: Path, orientation: int) -> None:
    turn = PIL.Image.Transpose
    undo = [None, turn.FLIP_LEFT_RIGHT, turn.ROTATE_180, turn.FLIP_TOP_BOTTOM, turn.TRANSPOSE, turn.ROTATE_90]
    undo += [turn.TRANSVERSE, turn.ROTATE_270]
    stored, how = corners(), undo[orientation - 1]
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    for name in ("turned.jpg", "turned.png", "turned.webp", "turned.tif"):
        (stored if how is None else stored.transpose(how)).save(tmp_path / name, exif=exif, quality=95)
        assert quarters(open_picture(tmp_path / name).image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "CMYK", "I;16"])
def test_a_large_picture_that_waits_on_the_disk_is_the_same(
    tmp_path: Path, orientation: int, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    values = np.random.default_rng(0).integers(0, 4096, (50, 70), np.uint16)
    stored = PIL.Image.fromarray(values) if mode == "I;16" else corners().convert(mode)
    stored.save(tmp_path / "a.tif", exif=exif)
    usual = open_picture(tmp_path / "a.tif").image
    monkeypatch.setattr("mien.sources.pillow.LARGE", 1)
    monkeypatch.setattr("mien.sources.pillow.STRIP", 150)  # a few rows
    large = open_picture(tmp_path / "a.tif").image
    assert (large == usual).all()
    assert large.flags.c_contiguous and large.flags.writeable


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says how much memory was held at most")
def test_a_large_picture_stands_in_memory_once(tmp_path: Path) -> None:
    side = 7200
    PIL.Image.linear_gradient("L").resize((side, side)).convert("RGB").save(tmp_path / "large.jpg", quality=30)
    program = f"""
        import re
        from pathlib import Path
        from mien.sources.pictures import open_picture
        def held():
            return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
        before = held()
        assert open_picture({str(tmp_path / "large.jpg")!r}).image.shape == ({side}, {side}, 3)
        print(held() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 6 * side * side  # bytes: 4 a pixel for Pillow, and some for strips; with the array 7


def test_a_broken_exif_block_does_not_hide_the_picture(tmp_path: Path) -> None:
    corners().save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert quarters(open_picture(tmp_path / "odd.jpg").image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
@pytest.mark.parametrize("before", [1, 3])
def test_an_animation_that_begins_black_gives_the_first_frame_that_shows_something(
    tmp_path: Path, ending: str, before: int
) -> None:
    black = PIL.Image.new("RGB", (40, 24), (3, 3, 3))
    frames = [black.copy() for _ in range(before - 1)] + [corners(), PIL.Image.new("RGB", (40, 24), "yellow")]
    for number, frame in enumerate(frames[: before - 1]):
        frame.putpixel((number, 0), (9, 9, 9))  # or the writer would join equal frames
    black.save(tmp_path / f"moving.{ending}", save_all=True, append_images=frames, duration=100)
    assert quarters(open_picture(tmp_path / f"moving.{ending}").image) == [RED, GREEN, BLUE, WHITE]


def test_an_animation_of_plain_frames_gives_its_first(tmp_path: Path) -> None:
    frames = [PIL.Image.new("RGB", (40, 24), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(tmp_path / "plain.gif", save_all=True, append_images=frames[1:], duration=100)
    assert quarters(open_picture(tmp_path / "plain.gif").image) == [RED] * 4


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_gives_its_first_frame(tmp_path: Path, ending: str) -> None:
    others = [PIL.Image.new("RGB", (40, 24), colour) for colour in ("black", "yellow")]
    corners().save(tmp_path / f"moving.{ending}", save_all=True, append_images=others, duration=100)
    assert quarters(open_picture(tmp_path / f"moving.{ending}").image) == [RED, GREEN, BLUE, WHITE]


def png_header(width: int, height: int) -> bytes:
    """A black and white PNG that says how large it is and ends where its pixels would begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    header = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + header + struct.pack(">I", 1000) + b"IDAT"


def test_a_picture_of_over_200_megapixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(png_header(20_000, 10_001))
    assert "more than 200 megapixels" in refused(tmp_path / "huge.png")


def test_a_picture_above_pillows_own_limits_is_accepted_in_silence(tmp_path: Path) -> None:
    limit = PIL.Image.MAX_IMAGE_PIXELS
    (tmp_path / "large.png").write_bytes(png_header(20_000, 10_000))  # Pillow alone would raise, not warn
    assert "ends before its first pixels" in refused(tmp_path / "large.png")  # so its size was accepted
    assert limit == PIL.Image.MAX_IMAGE_PIXELS


def cut(kind: str, share: float) -> tuple[bytes, int]:
    """A file of which a share is there, and the height of the picture in it; its rows grow brighter."""
    random = np.random.default_rng(0)
    rows = np.linspace(40, 220, 256)[:, None, None] + random.normal(0, 12, (256, 192, 3))
    picture, data = PIL.Image.fromarray(rows.clip(0, 255).astype(np.uint8)), BytesIO()
    ending, _, how = kind.partition(" ")
    options: dict[str, object] = {"progressive": True} if how == "progressive" else {}
    options |= {"compression": how} if ending == "tiff" and how else {}
    options |= {"restart_marker_rows": 1} if how == "restart" else {}
    options |= {"interlace": 0} if ending == "gif" else {}
    picture.save(data, ending, **options)
    return data.getvalue()[: int(share * len(data.getvalue()))], 256


def tiff_in_strips(compression: int, encode: Callable[[bytes], bytes]) -> tuple[bytes, int]:
    """A gray TIFF whose directory stands before its strips of 16 rows (TIFF 6.0), and the height of the picture."""
    rows = np.repeat(np.linspace(40, 220, 256).astype(np.uint8), 192).reshape(16, 16 * 192)
    strips = [encode(strip.tobytes()) for strip in rows]
    where = 8 + 2 + 9 * 12 + 4  # behind the header and the directory
    begins = where + 2 * 4 * len(strips)
    offsets = np.cumsum([begins, *map(len, strips)])[:-1]
    entries = [(256, 4, 1, 192), (257, 4, 1, 256), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    entries += [(273, 4, 16, where), (277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 16, where + 4 * len(strips))]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    tables = struct.pack("<32I", *offsets.tolist(), *map(len, strips))
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + tables + b"".join(strips), 256


KINDS = ["jpeg", "jpeg restart", "jpeg progressive", "png", "gif", "bmp", "ppm", "tga", "tiff"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_of_a_file_that_ends_early_what_is_there_is_read_with_a_warning(
    tmp_path: Path, kind: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data, height = cut(kind, share)
    (tmp_path / "cut").write_bytes(data)
    with pytest.warns(SourceWarning, match="cut ends early: the part that is there is read"):
        image = open_picture(tmp_path / "cut").image
    off = np.abs(image.mean((1, 2)) - np.linspace(40, 220, height))
    there = int(0.8 * share * height)
    assert (off[-there:] if kind in ("bmp", "tga") else off[:there]).max() < 25  # these two begin at the bottom
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_of_a_tiff_that_ends_early_the_strips_that_are_there_are_read(
    tmp_path: Path, compression: int, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data, height = tiff_in_strips(compression, zlib.compress if compression == 8 else bytes)
    expected = np.linspace(40, 220, height)
    (tmp_path / "whole.tif").write_bytes(data)
    assert np.abs(open_picture(tmp_path / "whole.tif").image.mean((1, 2)) - expected).max() < 2
    (tmp_path / "cut.tif").write_bytes(data[: int(share * len(data))])
    with pytest.warns(SourceWarning, match="ends early"):
        image = open_picture(tmp_path / "cut.tif").image
    assert np.abs(image.mean((1, 2)) - expected)[: int((share - 0.25) * height)].max() < 2
    assert capfd.readouterr() == ("", "")


def test_a_jpeg_that_lacks_its_last_bytes_is_all_there(tmp_path: Path) -> None:
    data, _ = cut("jpeg", 1)
    (tmp_path / "cut.jpg").write_bytes(data[:-20])
    with pytest.warns(SourceWarning, match="ends early"):
        image = open_picture(tmp_path / "cut.jpg").image
    assert (image != open_picture(data).image).any(2).mean() < 0.01


@pytest.mark.parametrize("kind", ["jpeg", "png", "bmp", "gif"])
def test_a_file_that_ends_before_its_pixels_is_refused(tmp_path: Path, kind: str) -> None:
    data, _ = cut(kind, 1)
    for count in {"jpeg": (30, 630), "png": (30, 50), "bmp": (30, 60), "gif": (30, 800)}[kind]:
        (tmp_path / "cut").write_bytes(data[:count])
        assert re.search(r"ends before|cannot be decoded|is not a picture", refused(tmp_path / "cut"))


@pytest.mark.parametrize("kind", ["webp", "avif", "jpeg2000"])
def test_a_file_of_a_kind_that_is_decoded_as_a_whole_is_refused_when_it_ends_early(tmp_path: Path, kind: str) -> None:
    if kind == "avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    (tmp_path / "cut").write_bytes(cut(kind, 0.5)[0])
    assert re.search(r"cannot be decoded|is not a picture", refused(tmp_path / "cut"))


@pytest.mark.parametrize("kind", ["png", "gif", "tiff tiff_lzw", "tiff tiff_adobe_deflate"])
def test_a_damaged_file_is_not_taken_for_one_that_ends_early(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(cut(kind, 1)[0])
    data[len(data) // 3 : len(data) // 3 + 4000] = b"\xa5" * 4000
    (tmp_path / "damaged").write_bytes(data)
    assert "cannot be decoded" in refused(tmp_path / "damaged")
    assert capfd.readouterr() == ("", "")  # libtiff says nothing by itself


def test_threads_that_decode_whole_and_cut_files_do_not_disturb_each_other() -> None:
    whole, part = cut("jpeg", 1)[0], cut("png", 0.5)[0]
    limit = PIL.Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(8) as threads:
            images = list(threads.map(lambda number: open_picture((whole, part)[number % 2]).image, range(64)))
    assert len({images[number].tobytes() for number in range(0, 64, 2)}) == 1
    assert [str(warning.message)[:9] for warning in said] == ["what was "] * 32
    assert limit == PIL.Image.MAX_IMAGE_PIXELS


def test_what_is_no_picture_is_named_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert refused(tmp_path / "missing.jpg") == f"there is no file {tmp_path}/missing.jpg: check its name"
    assert "is empty" in refused(tmp_path / "empty.jpg")
    assert "is not a picture" in refused(tmp_path / "text.jpg")
    assert "is a folder" in refused(tmp_path)
    assert "is not a file" in refused(tmp_path / "pipe.jpg")  # and is not waited for
    assert refused("nul\0.jpg")
    assert refused("n" * 300 + ".jpg")
    assert refused(tmp_path / "empty.jpg" / "below.jpg")


def test_postscript_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corners().save(tmp_path / "page.eps")
    (tmp_path / "page.eps").rename(tmp_path / "page.jpg")  # Pillow looks at the content, not at the name
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch '{tmp_path}/was run'\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert "is PostScript" in refused(tmp_path / "page.jpg")
    assert not (tmp_path / "was run").exists()


def test_names_may_hold_spaces_and_any_letters(tmp_path: Path) -> None:
    picture = tmp_path / "a b - Ünïcödé 笑顔 [1].png"
    corners().save(picture)
    assert open_picture(picture).name == str(picture)


def test_a_picture_may_come_as_anything_that_holds_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a b.png"
    corners().save(path)
    data = path.read_bytes()
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(data)))
    named: list[tuple[object, str]] = [
        (path, str(path)),
        (str(path), str(path)),
        (path.as_uri(), str(path)),
        ("-", "-"),
    ]
    unnamed = [data, bytearray(data), memoryview(data), BytesIO(data), corners(), corners().convert("P")]
    for picture, name in (*named, *((picture, "") for picture in unnamed)):
        frame = open_picture(picture)  # type: ignore[arg-type]
        assert quarters(frame.image) == [RED, GREEN, BLUE, WHITE]
        assert frame.name == name
    with path.open("rb") as file:
        assert open_picture(file).name == str(path)


def test_a_pil_image_is_turned_as_its_file_would_be(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    corners().transpose(PIL.Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    with PIL.Image.open(tmp_path / "turned.png") as picture:
        assert quarters(open_picture(picture).image) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize(
    ("thing", "says"),
    [
        (None, "NoneType is no picture: give a path, bytes, an open file, a PIL image or an array"),
        (7, "int is no picture"),
        (b"no picture", "what was given as bytes is not a picture in a format"),
        (b"", "what was given as bytes is empty"),
        (StringIO("text"), "is open as text: open it in mode 'rb'"),
        ("http://host/a.jpg", "is an address, which is not fetched: download it first"),
        ("data:image/png;base64," + "A" * 97_776, "is the picture itself, as text: decode it and give the bytes"),
        ("A" * 97_776, "looks like base64: decode it and give the bytes"),
        (BytesIO(b""), "the open file is empty"),
    ],
)
def test_what_is_no_picture_is_one_short_line_that_says_what_to_give(thing: object, says: str) -> None:
    message = refused(thing)
    assert re.search(says, message)
    assert len(message) < 250


def test_arrays_are_taken_as_they_are() -> None:
    image = np.asarray(corners())
    assert (open_picture(image).image == image).all()
    assert (open_picture(image[::-1, ::2]).image == image[::-1, ::2]).all()
    assert (open_picture(image[:, :, 0]).image == image[:, :, :1]).all()


@pytest.mark.parametrize(
    ("array", "remedy"),
    [
        (np.zeros((4, 5, 3)), "(x * 255).round().astype('uint8')"),
        (np.zeros((4, 5, 4), np.uint8), "give x[..., :3]"),
        (np.zeros((4, 5, 1), np.uint8), "give x[..., 0]"),
        (np.zeros((3, 40, 50), np.uint8), "give x.transpose(1, 2, 0)"),
        (np.zeros((8, 4, 5, 3), np.uint8), "list(x)"),
        (np.zeros((4, 5, 3), np.int64), "x.astype('uint8')"),
        (np.zeros((4, 5, 3), bool), "give RGB bytes, uint8 (height, width, 3)"),
        (np.zeros(4, np.uint8), "give x.tobytes() if it is the content of a file"),
        (np.zeros((2, 2, 2, 2, 3), np.uint8), "give RGB bytes, uint8 (height, width, 3)"),
        (np.zeros((7, 5, 2), np.uint8), "give RGB bytes, uint8 (height, width, 3)"),
    ],
)
def test_an_array_of_another_shape_or_type_is_told_how_to_become_a_picture(array: np.ndarray, remedy: str) -> None:
    message = refused(array)
    assert remedy in message and f"{array.dtype} {array.shape}" in message


def test_an_array_without_pixels_is_refused() -> None:
    assert "no pixels" in refused(np.zeros((0, 4, 3), np.uint8))


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]).flatmap(
        lambda kind: arrays.arrays(kind, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6))
    )
)
def test_any_gray_values_become_bytes_in_the_same_order(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray
) -> None:
    picture = tmp_path_factory.mktemp("gray") / "gray.tif"
    PIL.Image.fromarray(values).save(picture)
    image = open_picture(picture).image[:, :, 0].ravel().astype(int)
    order = np.argsort(np.nan_to_num(values, posinf=0, neginf=0).ravel(), kind="stable")
    assert (np.diff(image[order]) >= 0).all()
