"""Every picture that Pillow opens becomes upright RGB bytes; what is no picture becomes one clear line."""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import features

from mien.errors import SourceError
from mien.sources.pictures import find_pictures, open_picture, open_pictures

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
    (stored if how is None else stored.transpose(how)).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert quarters(open_picture(tmp_path / "turned.jpg").image) == [RED, GREEN, BLUE, WHITE]


def test_a_broken_exif_block_does_not_hide_the_picture(tmp_path: Path) -> None:
    corners().save(tmp_path / "odd.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff broken")
    assert quarters(open_picture(tmp_path / "odd.jpg").image) == [RED, GREEN, BLUE, WHITE]


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
    assert "cannot be decoded" in refused(tmp_path / "large.png")  # so its size was accepted; there are just no pixels
    assert limit == PIL.Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "bmp", "tif"])
def test_a_truncated_picture_is_refused(tmp_path: Path, ending: str) -> None:
    picture = tmp_path / f"cut.{ending}"
    PIL.Image.effect_noise((64, 64), 60).convert("RGB").save(picture)
    picture.write_bytes(picture.read_bytes()[: picture.stat().st_size // 2])
    assert re.search(r"cannot be decoded|not a picture", refused(picture))


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
    assert find_pictures([picture]) == [picture]


def test_arrays_are_taken_as_they_are() -> None:
    image = np.asarray(corners())
    assert (open_picture(image).image == image).all()
    assert (open_picture(image[::-1, ::2]).image == image[::-1, ::2]).all()
    assert (open_picture(image[:, :, 0]).image == image[:, :, :1]).all()


@pytest.mark.parametrize(
    "array",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 4), np.uint8), np.zeros(4, np.uint8), np.zeros((4, 4, 3), np.int8)],
)
def test_an_array_of_another_shape_or_type_is_told_what_is_expected(array: np.ndarray) -> None:
    assert "give RGB bytes, uint8 (height, width, 3)" in refused(array)


def test_an_array_without_pixels_is_refused() -> None:
    assert "no pixels" in refused(np.zeros((0, 4, 3), np.uint8))


def test_folders_and_patterns_stand_for_their_pictures(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    names = ["b.PNG", "a.png", ".hidden.png", "below/c.png", "notes.txt"]
    for name in names:
        corners().save(tmp_path / name, "PNG")
    a, b, c = tmp_path / "a.png", tmp_path / "b.PNG", tmp_path / "below" / "c.png"
    assert find_pictures([tmp_path]) == [a, b]
    assert find_pictures([tmp_path / "*.png"]) == [a]
    assert find_pictures([tmp_path / "**" / "*.png"]) == [a, c]
    assert find_pictures([c, tmp_path, a]) == [c, a, b]  # in the order given, each once
    assert find_pictures([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]


def test_a_name_that_stands_for_nothing_is_kept_to_be_reported(tmp_path: Path) -> None:
    nothing = [tmp_path, tmp_path / "*.png", tmp_path / "missing", Path("nul\0")]
    assert find_pictures(nothing) == nothing


def test_a_bad_picture_is_handed_over_and_the_next_one_follows(tmp_path: Path) -> None:
    corners().save(tmp_path / "good.png")
    bad: list[SourceError] = []
    frames = open_pictures([tmp_path / "bad.png", tmp_path / "good.png"], bad.append)
    assert [frame.name for frame in frames] == [str(tmp_path / "good.png")]
    assert [str(error).startswith("there is no file") for error in bad] == [True]
    with pytest.raises(SourceError):
        list(open_pictures([tmp_path / "bad.png"]))


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
