"""What is seen of a frame's planes is what is seen of its RGB bytes, which are made only when they are asked for."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from mien.see.picture import Image, Pixels, Planes
from mien.sources.decode import converter, picture, upright
from mien.sources.video import open_source

UNNAMED, BT709, BT601 = 2, 1, 6  # FFmpeg's numbers of the colour spaces
UNSAID, LIMITED, FULL = 0, 1, 2  # and of the ranges


def clouds(kind: str = "yuv420p", size: tuple[int, int] = (96, 64)) -> av.VideoFrame:
    """Soft colours, none of them so strong that its RGB bytes are cut off."""
    random = np.random.default_rng(3)
    frame = av.VideoFrame(*size, kind)
    for plane, (low, high) in zip(frame.planes, ((70, 190), (105, 150), (105, 150)), strict=True):
        coarse = random.integers(low, high, (5, 7)).astype(np.uint8)
        smooth = cv2.resize(coarse, (plane.line_size, plane.height), interpolation=cv2.INTER_CUBIC)
        plane.update(smooth.tobytes())
    return frame


def off(a: Image, b: Image) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("space", [UNNAMED, BT709, BT601])
@pytest.mark.parametrize("span", [UNSAID, LIMITED, FULL])
@pytest.mark.parametrize("kind", ["yuv420p", "yuvj420p"])
@pytest.mark.parametrize("size", [(96, 64), (97, 63)])
def test_points_and_parts_are_those_of_the_rgb_bytes(space: int, span: int, kind: str, size: tuple[int, int]) -> None:
    frame = clouds(kind, size)
    frame.colorspace, frame.color_range = space, span
    planes, pixels = picture(frame, converter()), Pixels(upright(frame, converter()))
    assert isinstance(planes, Planes)
    assert planes.size == pixels.size == size[::-1]
    down, across = np.mgrid[-8:60:1.7, -8:90:1.7].astype(np.float32)
    assert off(planes.at(across, down), pixels.at(across, down)) < 2
    part = slice(5, 50), slice(10, 81)
    assert off(planes.gray(part), pixels.gray(part)) < 2 + 2 * (space == BT709)  # OpenCV's gray is BT.601's brightness
    assert np.array_equal(planes.rgb, pixels.rgb)


@pytest.mark.parametrize("kind", ["yuv444p", "yuv420p10le", "nv12", "gray"])
def test_planes_of_other_kinds_become_rgb_bytes(kind: str) -> None:
    found = picture(clouds().reformat(format=kind), converter())
    assert isinstance(found, np.ndarray)
    assert found.shape == (64, 96, 3)


def test_a_frame_of_a_video_becomes_rgb_bytes_once_and_when_they_are_asked_for(film: Callable[..., Path]) -> None:
    frame = next(iter(open_source(film(frames=2))))
    made: list[Image] = []
    assert isinstance(frame.picture, Planes)
    convert = frame.picture.convert

    def noted() -> Image:
        made.append(convert())
        return made[-1]

    frame.picture.convert = noted
    assert not made
    assert frame.image is frame.image
    assert len(made) == 1
    assert frame.image.shape == (*frame.picture.size, 3)


def test_a_frame_of_a_video_can_be_copied_and_pickled(film: Callable[..., Path]) -> None:
    for frame in open_source(film(frames=2)):
        for same in (copy.deepcopy(frame), pickle.loads(pickle.dumps(frame))):
            assert (same.name, same.index, same.time) == (frame.name, frame.index, frame.time)
            assert np.array_equal(same.image, frame.image)
            assert same.image is not frame.image


def test_the_decoders_own_memory_is_not_written_to() -> None:
    found = picture(clouds(), converter())
    assert isinstance(found, Planes)
    with pytest.raises(ValueError, match="read-only"):
        found.planes[0][0, 0] = 1
