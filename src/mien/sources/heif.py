"""HEIC pictures, as iPhones write them: a frame of HEVC or a grid of many, decoded by FFmpeg and put together.

The boxes are those of ISO/IEC 14496-12 (the file) and ISO/IEC 23008-12 (the picture in it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import numpy as np

from mien.errors import SourceError
from mien.see.picture import Image
from mien.sources.decode import converter, pixels
from mien.sources.names import reason

if TYPE_CHECKING:
    from av.container import InputContainer

BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1")
"""What such files call themselves."""

TURN, MIRROR = b"irot", b"imir"  # by quarters anticlockwise; top to bottom (0), or left to right (1)


@dataclass(frozen=True)
class Layout:
    """How a picture is put together: its tiles, row by row, and what is done with the whole, in order."""

    tiles: Sequence[int]  # the numbers of the items that FFmpeg decodes
    columns: int
    size: tuple[int, int]  # height and width, beyond which the tiles may reach
    changes: Sequence[tuple[bytes, int]]  # TURN or MIRROR, with its value


def decode_heif(file: IO[bytes], shown: str, megapixels: float) -> Image | None:
    """Return the upright RGB bytes of a HEIC picture; None where the file is none. Raises SourceError.

    One of more than so many `megapixels` is refused before it is decoded.
    """
    import av

    data = file.read()
    if data[4:8] != b"ftyp" or data[8:12] not in BRANDS:
        return None
    file.seek(0)
    limit = {"max_pixels": str(int(megapixels * 1e6))}
    try:
        layout = layout_of(data)
        if layout.size[0] * layout.size[1] > megapixels * 1e6:
            raise SourceError(f"{shown} has more than {megapixels:g} megapixels: make it smaller")
        with av.open(file, mode="r", format="mov", options=limit) as container:
            tiles = decoded_tiles(container, layout, limit)
        return put_together(layout, [tiles[number] for number in layout.tiles])
    except (av.FFmpegError, LookupError, ValueError) as error:
        raise SourceError(f"{shown} cannot be decoded ({reason(error)}): is it a whole copy?") from None


def decoded_tiles(container: InputContainer, layout: Layout, limit: dict[str, str]) -> dict[int, Image]:
    """Decode the tiles of a picture: RGB bytes, by the numbers of their items. Raises ValueError."""
    import av

    wanted = [stream for stream in container.streams.video if stream.id in layout.tiles]
    for stream in wanted:
        stream.codec_context.options = limit
    tiles, convert, room = dict[int, Image](), converter(), 4 * int(limit["max_pixels"])
    for packet in container.demux(*wanted):
        for frame in packet.decode():
            assert isinstance(frame, av.VideoFrame)
            room -= frame.width * frame.height
            if room < 0:
                raise ValueError("its tiles are larger than the picture")
            tiles.setdefault(packet.stream.id, pixels(frame, convert))
    return tiles


def put_together(layout: Layout, tiles: Sequence[Image]) -> Image:
    """Return the picture that tiles, RGB bytes, make. Raises ValueError where they do not fit together."""
    columns, (high, wide) = layout.columns, tiles[0].shape[:2]
    if (len(tiles) // columns - 1) * high >= layout.size[0] or (columns - 1) * wide >= layout.size[1]:
        raise ValueError("tiles lie beyond the picture")
    image = np.vstack([np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)])
    image = image[: layout.size[0], : layout.size[1]]
    for change, value in layout.changes:
        image = np.rot90(image, value) if change == TURN else np.flip(image, value & 1)
    return np.ascontiguousarray(image)


def layout_of(data: bytes) -> Layout:
    """Read how the picture of a file is put together. Raises ValueError, and LookupError where something is missing."""
    top = dict(boxes(data))
    meta = dict(boxes(top[b"meta"][4:]))
    primary = number(meta[b"pitm"], 4, 2 if meta[b"pitm"][0] == 0 else 4)
    known = properties(meta[b"iprp"], primary)
    changes = [(kind, value[0]) for kind, value in known if kind in (TURN, MIRROR)]
    extent = dict(known)[b"ispe"]
    size = number(extent, 8, 4), number(extent, 4, 4)
    kind = kinds(meta[b"iinf"])[primary]
    if kind == b"hvc1":
        return Layout([primary], 1, size, changes)
    if kind != b"grid":
        raise ValueError(f"it is coded as {kind.decode('latin-1')}")
    grid = item(data, meta, primary)
    rows, columns = number(grid, 2, 1) + 1, number(grid, 3, 1) + 1
    tiles = parts(meta[b"iref"], primary)
    if len(tiles) != rows * columns:
        raise ValueError("tiles are missing")
    return Layout(tiles, columns, size, changes)


def number(data: bytes, at: int, size: int) -> int:
    """Read a whole number of so many bytes. Raises IndexError where they are not there."""
    if at + size > len(data):
        raise IndexError("it ends early")
    return int.from_bytes(data[at : at + size], "big")


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box."""
    at = 0
    while at + 8 <= len(data):
        size, head = number(data, at, 4), 8
        if size == 1:
            size, head = number(data, at + 8, 8), 16
        if size == 0:  # to the end
            size = len(data) - at
        if size < head:
            return
        yield data[at + 4 : at + 8], data[at + head : at + size]
        at += size


def kinds(content: bytes) -> dict[int, bytes]:
    """Return the kind of each item, by its number (the box iinf)."""
    found = {}
    for _, info in boxes(content[6 if content[0] == 0 else 8 :]):
        wide = 2 if info[0] < 3 else 4
        found[number(info, 4, wide)] = info[6 + wide : 10 + wide]
    return found


def parts(content: bytes, whole: int) -> list[int]:
    """Return the numbers of the items that an item is derived from (the box iref)."""
    wide = 2 if content[0] == 0 else 4
    for kind, reference in boxes(content[4:]):
        if kind == b"dimg" and number(reference, 0, wide) == whole:
            count = number(reference, wide, 2)
            return [number(reference, wide + 2 + wide * index, wide) for index in range(count)]
    raise LookupError("tiles are missing")


def properties(content: bytes, wanted: int) -> list[tuple[bytes, bytes]]:
    """Return the kind and content of each property of an item, in order (the box iprp)."""
    inner = dict(boxes(content))
    known, links = list(boxes(inner[b"ipco"])), inner[b"ipma"]
    wide, each, at = 2 if links[0] == 0 else 4, 2 if links[3] & 1 else 1, 8
    for _ in range(number(links, 4, 4)):
        item_number, count = number(links, at, wide), number(links, at + wide, 1)
        at += wide + 1
        indices = [number(links, at + each * index, each) & (0x7FFF if each == 2 else 0x7F) for index in range(count)]
        at += each * count
        if item_number == wanted:
            return [known[index - 1] for index in indices if index]
    return []


def item(data: bytes, meta: dict[bytes, bytes], wanted: int) -> bytes:
    """Return the content of an item that is not a picture itself (the box iloc)."""
    places = meta[b"iloc"]
    version, at = places[0], 6
    offset_size, length_size, base_size, index_size = places[4] >> 4, places[4] & 15, places[5] >> 4, places[5] & 15
    wide = 4 if version == 2 else 2
    count = number(places, at, wide)
    at += wide
    for _ in range(count):
        item_number, at = number(places, at, wide), at + wide
        method = number(places, at, 2) & 15 if version else 0  # 0: within the file, 1: within idat
        at += (2 if version else 0) + 2
        base, at = number(places, at, base_size), at + base_size
        extents, at = number(places, at, 2), at + 2
        found = b""
        for _ in range(extents):
            at += index_size if version else 0
            offset, length = number(places, at, offset_size), number(places, at + offset_size, length_size)
            at += offset_size + length_size
            found += (meta[b"idat"] if method == 1 else data)[base + offset :][:length]
        if item_number == wanted:
            return found
    raise LookupError("the grid is missing")
