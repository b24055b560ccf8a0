"""Eight corruptions of a face, in five severities each, to measure robustness.

They follow the benchmark of Hendrycks & Dietterich (2019, arXiv:1903.12261), scaled to 48×48 gray faces, and add what a
face detector does: boxes that are turned, shifted or of another size. The recipes train on milder forms of all of them,
so the result says how much known corruption still costs, not what an unknown one would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.labels import SIDE
from mien.see.picture import Image

SEVERITIES = range(5)


def noise(face: Image, severity: int, rng: np.random.Generator) -> Image:
    """Gaussian noise of a standard deviation of 5 to 30 grays."""
    sigma = (5, 10, 15, 22, 30)[severity]
    return _bytes(face + rng.normal(0, sigma, face.shape))


def blur(face: Image, severity: int, _: np.random.Generator) -> Image:
    """Gaussian blur of a standard deviation of 0.5 to 2 pixels."""
    sigma = (0.5, 0.8, 1.2, 1.6, 2.0)[severity]
    return _bytes(cv2.GaussianBlur(face, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def jpeg(face: Image, severity: int, _: np.random.Generator) -> Image:
    """JPEG of quality 50 down to 8."""
    quality = (50, 30, 20, 12, 8)[severity]
    encoded = cv2.imencode(".jpg", face, (cv2.IMWRITE_JPEG_QUALITY, quality))[1]
    return _bytes(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)))


def brightness(face: Image, severity: int, rng: np.random.Generator) -> Image:
    """Lighter or darker by 20 to 100 grays."""
    amount = (20, 40, 60, 80, 100)[severity]
    return _bytes(face + float(rng.choice((-amount, amount))))


def downscaling(face: Image, severity: int, _: np.random.Generator) -> Image:
    """Scaled down to a side of 36 to 12 pixels and up again."""
    side = (36, 28, 20, 16, 12)[severity]
    small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
    return _bytes(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def occlusion(face: Image, severity: int, rng: np.random.Generator) -> Image:
    """A square of one gray over 4 % to 25 % of the face."""
    side = (10, 14, 17, 20, 24)[severity]
    top, left = rng.integers(0, SIDE - side + 1, 2)
    covered = face.copy()
    covered[top : top + side, left : left + side] = rng.integers(0, 256)
    return covered


def rotation(face: Image, severity: int, rng: np.random.Generator) -> Image:
    """Turned by 6 to 30 degrees, to either side."""
    angle = (6, 12, 18, 24, 30)[severity] * float(rng.choice((-1, 1)))
    return _warped(face, cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), angle, 1))


def box_jitter(face: Image, severity: int, rng: np.random.Generator) -> Image:
    """Shifted along both axes and scaled, each by 3 % to 15 % of the side, either way."""
    most = (0.03, 0.06, 0.09, 0.12, 0.15)[severity]
    right, down, zoom = rng.choice((-most, most), 3)
    matrix = cv2.getRotationMatrix2D((SIDE / 2 - 0.5, SIDE / 2 - 0.5), 0, 1 + zoom)
    matrix[:, 2] = matrix[:, 2] + (right * SIDE, down * SIDE)
    return _warped(face, matrix)


Corruption = Callable[[Image, int, np.random.Generator], Image]
CORRUPTIONS: dict[str, Corruption] = {
    "noise": noise,
    "blur": blur,
    "JPEG": jpeg,
    "brightness": brightness,
    "down-scaling": downscaling,
    "occlusion": occlusion,
    "rotation": rotation,
    "box jitter": box_jitter,
}


def corrupted(faces: Image, name: str, severity: int, seed: int = 0) -> Image:
    """(n, 48, 48) bytes with the corruption `name` at `severity` 0 to 4, the same for the same seed."""
    rng = np.random.default_rng((seed, list(CORRUPTIONS).index(name), severity))
    return np.stack([CORRUPTIONS[name](face, severity, rng) for face in faces])


def _warped(face: Image, matrix: NDArray[Any]) -> Image:
    return _bytes(cv2.warpAffine(face, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def _bytes(values: NDArray[Any]) -> Image:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)
