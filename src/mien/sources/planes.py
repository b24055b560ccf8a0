"""Decoded frames as their planes, where those are of the usual kind, and the colours that the planes stand for."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from mien.see.picture import Floats, Image, Planes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Orientation = tuple[int, int, int, int]  # a, b, c, d of a display matrix, in units of 1/65536

FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG; what else a frame says of its range means 16 to 235

BT709 = (0.2126, 0.0722)
BT601 = (0.299, 0.114)
SHARES = {1: BT709, 2: BT601, 5: BT601, 6: BT601}
"""The shares of red and blue in the brightness, by FFmpeg's AVColorSpace; 2 is that of a frame that names none."""


def planes_of(frame: VideoFrame, convert: Callable[[], Image]) -> Planes | None:
    """Return a frame without its RGB bytes, which `convert` makes when they are asked for.

    None where it is turned, or its planes are of another kind than nearly every video's.
    """
    if frame.format.name not in ("yuv420p", "yuvj420p") or frame.colorspace not in SHARES:
        return None
    full = frame.format.name == "yuvj420p" or frame.color_range == FULL_RANGE
    brightness, blueness, redness = (_bytes(plane) for plane in frame.planes)
    return Planes((brightness, blueness, redness), colours(SHARES[frame.colorspace], full), convert)


def orientation(frame: VideoFrame) -> Orientation | None:
    """Return how a frame is to be turned and mirrored to stand upright, None where it does.

    A camera that was held otherwise, or that films its owner as in a mirror, writes a display matrix beside the frames
    (ISO/IEC 14496-12, section 8.3.2): x is shown at a·x + c·y, y at b·x + d·y.
    """
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        _know_all_kinds()
        data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return None
    matrix = np.frombuffer(bytes(cast("bytes", data)), np.int32)
    a, b, c, d = (int(matrix[at]) for at in (0, 1, 3, 4))
    return None if a > 0 and d > 0 and not (b or c) else (a, b, c, d)


def _know_all_kinds() -> None:
    """Let PyAV pass over kinds of side data of which only FFmpeg knows, as EXIF: one of these hides all the others."""
    from av.sidedata.sidedata import Type

    setattr(Type, "_missing_", classmethod(lambda kinds, _: kinds.SEI_UNREGISTERED))  # noqa: B010


@lru_cache
def colours(shares: tuple[float, float], full: bool) -> Floats:
    """Return what makes RGB of brightness, blueness, redness and 1: (3, 4), by ITU-R BT.601-7 and BT.709-6."""
    red, blue = shares
    green = 1 - red - blue
    black, white, gain = (0, 255, 1.0) if full else (16, 235, 255 / 224)
    to_red, to_blue = 2 * (1 - red) * gain, 2 * (1 - blue) * gain
    matrix = np.array([[0, 0, to_red], [0, -to_blue * blue / green, -to_red * red / green], [0, to_blue, 0]])
    matrix[:, 0] = 255 / (white - black)
    return np.column_stack([matrix, matrix @ (-black, -128, -128)]).astype(np.float32)


def _bytes(plane: object) -> Image:
    """Return a plane as it lies in memory, which belongs to the decoder: it may look at it again."""
    lines = np.frombuffer(memoryview(plane).toreadonly(), np.uint8)  # type: ignore[arg-type]
    height, width, padded = plane.height, plane.width, plane.line_size  # type: ignore[attr-defined]
    return lines.reshape(height, padded)[:, :width]
