"""Decoded frames as their planes, where those are of the usual kind, and the colours that the planes stand for."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mien.see.picture import Floats, Image, Planes

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

FULL_RANGE = 2  # FFmpeg's AVCOL_RANGE_JPEG; what else a frame says of its range means 16 to 235

BT709 = (0.2126, 0.0722)
BT601 = (0.299, 0.114)
SHARES = {1: BT709, 2: BT601, 5: BT601, 6: BT601}
"""The shares of red and blue in the brightness, by FFmpeg's AVColorSpace; 2 is that of a frame that names none."""


def planes_of(frame: VideoFrame, convert: Callable[[], Image]) -> Planes | None:
    """Return a frame without its RGB bytes, which `convert` makes when they are asked for.

    None where it is turned, or its planes are of another kind than nearly every video's.
    """
    if frame.format.name not in ("yuv420p", "yuvj420p") or frame.colorspace not in SHARES or frame.rotation:
        return None
    full = frame.format.name == "yuvj420p" or frame.color_range == FULL_RANGE
    brightness, blueness, redness = (_bytes(plane) for plane in frame.planes)
    return Planes((brightness, blueness, redness), colours(SHARES[frame.colorspace], full), convert)


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
