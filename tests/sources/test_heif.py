"""HEIC pictures come whole and upright, of one frame or of tiles, with whatever lies beside them in the file."""

from __future__ import annotations

import random
import struct
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import PIL.Image
import pytest

from mien.errors import SourceError
from mien.see.picture import Image
from mien.sources.pictures import open_picture
from mien.sources.video import open_source

pytestmark = pytest.mark.skipif("libx265" not in av.codecs_available, reason="this FFmpeg does not write HEVC")

CHANGES = {
    "upright": [],
    "90": [(b"irot", 3)],
    "180": [(b"irot", 2)],
    "270": [(b"irot", 1)],
    "mirrored": [(b"imir", 1)],
    "upside down in a mirror": [(b"imir", 0)],
    "90 in a mirror": [(b"irot", 3), (b"imir", 1)],
    "270 in a mirror": [(b"imir", 1), (b"irot", 1)],
}


def clouds(height: int, width: int, seed: int = 0) -> Image:
    """Soft colours that are nowhere the same."""
    coarse = np.random.default_rng(seed).integers(40, 210, (5, 7, 3)).astype(np.uint8)
    return np.asarray(PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.Resampling.BICUBIC))


def box(kind: bytes, *contents: bytes) -> bytes:
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + kind + content


def coded(image: Image) -> tuple[bytes, bytes]:
    """A picture as a frame of HEVC: its box hvcC, and its bytes."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:crf=10"})
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = image.shape[1], image.shape[0], "yuv420p"
        for packet in (*video.encode(av.VideoFrame.from_ndarray(image, "rgb24")), *video.encode(None)):
            packet.pts = packet.dts = 0
            container.mux(packet)
    data = file.getvalue()
    place = data.index(b"hvcC") - 4
    with av.open(BytesIO(data), mode="r") as container:
        content = bytes(next(packet for packet in container.demux(video=0) if packet.size))
    return data[place : place + struct.unpack(">I", data[place : place + 4])[0]], content


def heic(
    tiles: list[Image],
    size: tuple[int, int],
    columns: int = 0,
    changes: list[tuple[bytes, int]] | None = None,
    *,
    in_idat: bool = True,
    thumbnail: bool = False,
) -> bytes:
    """A file with one picture (`columns` 0) or a grid of tiles, written as the two standards say."""
    frames = [coded(tile) for tile in tiles]
    last = len(tiles) + 1  # the number of the grid; tiles are 1, 2, 3 …
    grid = (
        struct.pack(">BBBBHH", 0, 0, len(tiles) // (columns or 1) - 1, columns - 1, size[1], size[0])
        if columns
        else b""
    )
    contents = [frame for _, frame in frames] + ([grid] if columns and not in_idat else [])
    kinds = [(number + 1, b"hvc1") for number in range(len(tiles))] + ([(last, b"grid")] if columns else [])
    primary = last if columns else 1
    infos = [box(b"infe", struct.pack(">IHH", 2 << 24, number, 0), kind, b"\0") for number, kind in kinds]
    turned = [box(kind, bytes([value])) for kind, value in changes or []]
    extent = box(b"ispe", struct.pack(">III", 0, size[1], size[0]))
    known = [hvcc for hvcc, _ in frames] + [
        box(b"ispe", struct.pack(">III", 0, *tiles[0].shape[1::-1])),
        extent,
        *turned,
    ]
    of_tile = [[number + 1, len(tiles) + 1] for number in range(len(tiles))]
    of_whole = [len(tiles) + 2 + index for index in range(1 + len(turned))]
    links = [*of_tile, of_whole] if columns else [[1, *of_whole], *of_tile[1:]]
    ipma = b"".join(struct.pack(f">HB{len(link)}B", number + 1, len(link), *link) for number, link in enumerate(links))
    iprp = box(b"iprp", box(b"ipco", *known), box(b"ipma", struct.pack(">II", 0, len(links)), ipma))
    refs = [box(b"dimg", struct.pack(f">HH{len(tiles)}H", last, len(tiles), *range(1, last)))] if columns else []
    refs += [box(b"thmb", struct.pack(">HHH", 2, 1, 1))] if thumbnail else []

    def file(offsets: list[int]) -> bytes:
        places = [
            (number + 1, 0, offset, len(content))
            for number, (offset, content) in enumerate(zip(offsets, contents, strict=True))
        ]
        places += [(last, 1, 0, len(grid))] if columns and in_idat else []
        iloc = struct.pack(">IBBH", 1 << 24, 0x44, 0, len(places))
        iloc += b"".join(
            struct.pack(">HHHHII", number, method, 0, 1, offset, length) for number, method, offset, length in places
        )
        parts = [
            box(b"hdlr", struct.pack(">II", 0, 0), b"pict", bytes(13)),
            box(b"pitm", struct.pack(">IH", 0, primary)),
            box(b"iloc", iloc),
            box(b"iinf", struct.pack(">IH", 0, len(infos)), *infos),
            *([box(b"iref", bytes(4), *refs)] if refs else []),
            iprp,
            *([box(b"idat", grid)] if columns and in_idat else []),
        ]
        head = box(b"ftyp", b"heic", bytes(4), b"mif1heic") + box(b"meta", bytes(4), *parts)
        return head + box(b"mdat", *contents)

    begin = len(file([0] * len(contents))) - sum(map(len, contents))
    return file([begin + sum(map(len, contents[:index])) for index in range(len(contents))])


def off(one: Image, other: Image) -> float:
    assert one.shape == other.shape
    return float(np.abs(one.astype(int) - other).mean())


def changed(image: Image, changes: list[tuple[bytes, int]]) -> Image:
    for kind, value in changes:
        image = np.rot90(image, value) if kind == b"irot" else image[:, ::-1] if value else image[::-1]
    return image


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_a_picture_of_one_frame_is_upright(changes: list[tuple[bytes, int]]) -> None:
    image = clouds(64, 96)
    found = open_picture(heic([image], (64, 96), changes=changes)).image
    assert off(found, changed(image, changes)) < 4
    assert found.flags.c_contiguous


@pytest.mark.parametrize("changes", [CHANGES["upright"], CHANGES["90"], CHANGES["mirrored"]])
@pytest.mark.parametrize("in_idat", [True, False])
def test_tiles_are_put_together_cut_and_turned(changes: list[tuple[bytes, int]], in_idat: bool) -> None:
    whole = clouds(128, 192)
    tiles = [np.ascontiguousarray(whole[y : y + 64, x : x + 64]) for y in (0, 64) for x in (0, 64, 128)]
    found = open_picture(heic(tiles, (120, 180), 3, changes, in_idat=in_idat)).image
    assert off(found, changed(whole[:120, :180], changes)) < 4


def test_a_thumbnail_or_a_second_picture_is_not_taken_for_the_picture() -> None:
    first, second = clouds(64, 96, 1), clouds(64, 96, 2)
    assert off(open_picture(heic([first, second], (64, 96), thumbnail=True)).image, first) < 4


def test_an_odd_size_is_cut_to_what_is_meant() -> None:
    image = clouds(64, 96)
    assert open_picture(heic([image], (63, 95))).image.shape == (63, 95, 3)


def test_what_is_damaged_or_of_another_kind_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = heic([clouds(64, 64, seed) for seed in range(4)], (128, 128), 2)
    cases = [data[: len(data) // 2], data[:200], data.replace(b"grid", b"iovl"), data.replace(b"dimg", b"xxxx")]
    cases += [data.replace(b"pitm", b"xxxx"), data.replace(b"hvcC", b"xxxx")]
    for case in cases:
        (tmp_path / "a.heic").write_bytes(case)
        with pytest.raises(SourceError, match="cannot be decoded") as error:
            open_picture(tmp_path / "a.heic")
        assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_file_that_claims_more_than_may_be_decoded_is_refused_at_once() -> None:
    tile = clouds(64, 64)
    bombs = {
        "more than 200 megapixels": heic([tile], (20_000, 10_001)),
        "tiles lie beyond the picture": heic([tile] * 100, (64, 64), 10),
    }
    for says, data in bombs.items():
        with pytest.raises(SourceError, match=says):
            open_picture(data)


def test_200_mutated_files_give_a_picture_or_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    chance, read = random.Random(0), 0
    wholes = [heic([clouds(64, 64)], (64, 64)), heic([clouds(64, 64, seed) for seed in range(4)], (128, 128), 2)]
    for number in range(200):
        data = bytearray(wholes[number % 2])
        for _ in range(chance.choice((1, 2, 8))):
            data[chance.randrange(12, min(len(data), 700) if chance.random() < 0.7 else len(data))] = chance.randrange(
                256
            )
        try:
            read += open_picture(bytes(data)).image.shape[2] == 3
        except SourceError as error:
            assert "\n" not in str(error)
    assert 20 < read < 190
    assert capfd.readouterr() == ("", "")


def test_numbered_pictures_with_exif_are_a_video(tmp_path: Path) -> None:
    """FFmpeg hands their EXIF on beside the frame, under a number that PyAV has no name for."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 2
    image = clouds(64, 96)
    for number in (1, 2):
        PIL.Image.fromarray(image).save(tmp_path / f"{number}.jpg", exif=exif, quality=95)
    for frame in open_source(tmp_path / "%d.jpg"):
        assert off(frame.image, image[:, ::-1]) < 4
