"""The pixels of a frame: RGB bytes, or the planes of a video, which become RGB only where they are looked at."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

BEYOND = 128  # the gray that is sampled beyond the edges of a picture
COLOURLESS = 128  # the value of both colour planes where a picture is gray

Part = tuple[slice, slice]  # rows, columns


class Pixels:
    """A picture of RGB bytes, (height, width, 3)."""

    def __init__(self, rgb: Image) -> None:
        self.rgb = rgb

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.rgb.shape[0], self.rgb.shape[1]

    def gray(self, part: Part) -> Image:
        """Return a part of the picture as gray bytes (h, w)."""
        return cv2.cvtColor(self.rgb[part], cv2.COLOR_RGB2GRAY)  # type: ignore[return-value]

    def at(self, across: Floats, down: Floats) -> Image:
        """Sample RGB bytes (h, w, 3) at x = `across` and y = `down`, both (h, w), with linear interpolation."""
        return _sampled(self.rgb, across, down, BEYOND)


class Planes:
    """A frame of a video as it is decoded: a plane of brightness and two planes of colour at half the resolution.

    Converting a whole frame to RGB takes longer than finding and reading the face in it, so only the parts that are
    looked at are converted. `colours` (3, 4) maps brightness, blueness, redness and 1 to red, green and blue;
    `convert` returns the RGB bytes of the whole frame.
    """

    def __init__(self, planes: tuple[Image, Image, Image], colours: Floats, convert: Callable[[], Image]) -> None:
        self.planes, self.colours, self.convert = planes, colours, convert
        self._grays = np.array([[colours[0, 0], colours[0] @ (0, COLOURLESS, COLOURLESS, 1)]])  # of brightness and 1
        self._rgb: Image | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.planes[0].shape[0], self.planes[0].shape[1]

    @property
    def rgb(self) -> Image:
        """RGB bytes (height, width, 3) of the whole frame, converted when they are first asked for."""
        if self._rgb is None:
            self._rgb = self.convert()
        return self._rgb

    def gray(self, part: Part) -> Image:
        """Return a part of the picture as gray bytes (h, w): its brightness, in the range of RGB."""
        return cv2.transform(self.planes[0][part], self._grays)  # type: ignore[return-value]

    def at(self, across: Floats, down: Floats) -> Image:
        """Sample RGB bytes (h, w, 3) at x = `across` and y = `down`, both (h, w), with linear interpolation."""
        gain, black = self._grays[0]
        beyond = round((BEYOND - black) / gain)
        half = np.float32(0.5)  # the colours' first pixel has its centre between those of the first two pixels
        places = (across - half) * half, (down - half) * half
        colours = [_sampled(plane, *places, COLOURLESS) for plane in self.planes[1:]]
        sampled = [_sampled(self.planes[0], across, down, beyond), *colours]
        return cv2.transform(cv2.merge(sampled), self.colours)  # type: ignore[return-value]


Picture = Pixels | Planes


def picture_of(image: Image | Picture) -> Picture:
    """Return RGB bytes (height, width, 3) as a picture; a picture is returned as it is."""
    return Pixels(image) if isinstance(image, np.ndarray) else image


def _sampled(plane: Image, across: Floats, down: Floats, beyond: int) -> Image:
    border = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (beyond,) * 3}
    return cv2.remap(plane, across, down, cv2.INTER_LINEAR, **border)  # type: ignore[call-overload, no-any-return]


def halved(image: Image) -> Image:
    """Return an image at half its size, each pixel the mean of four; the last line of an odd number is left out.

    This ratio is several times as fast as others.
    """
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def check_rgb(rgb: Image) -> None:
    """Raise TypeError unless it is RGB bytes, uint8 (height, width, 3)."""
    if not (isinstance(rgb, np.ndarray) and rgb.dtype == np.uint8 and rgb.ndim == 3 and rgb.shape[2] == 3):
        got = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise TypeError(f"a picture is RGB bytes, uint8 (height, width, 3), and this is {got}")
