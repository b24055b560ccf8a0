"""How fast video is read: makes footage from the portrait in assets/, then runs `mien bench video` on it.

    python benchmarks/video.py [--frames 600]

The camera sways, turns and zooms over one face or a row of five, at 640x480 and 1920x1080, in H.264 at 30 frames a
second. Wall-clock figures want a quiet machine; CPU time a frame is steadier.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image as Pillow

from mien.see.face import Image

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
RATE = 30
FACE = (100, 20, 340, 260)  # of the portrait: the face and what is around it
FOOTAGE = {
    "vga-one-face.mp4": ((640, 480), 1),
    "vga-five-faces.mp4": ((640, 480), 5),
    "fhd-one-face.mp4": ((1920, 1080), 1),
}


def main() -> None:
    """Make the footage in a temporary folder and measure it, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=600, help="frames of each video (600)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, (size, faces) in FOOTAGE.items():
            path = Path(folder) / name
            write_footage(path, size, faces, options.frames)
            command = [sys.executable, "-m", "mien", "bench", "video", str(path), "--frames", str(options.frames)]
            subprocess.run(command, check=True)


def write_footage(path: Path, size: tuple[int, int], faces: int, frames: int) -> None:
    """Write a video of `frames` frames at `size`, width and height in pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "medium"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for image in views(size, faces, frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def views(size: tuple[int, int], faces: int, frames: int) -> Iterator[Image]:
    """What a swaying camera sees of one portrait, or of a row of faces on gray."""
    scene = row_of_faces(faces) if faces > 1 else np.asarray(Pillow.open(PORTRAIT).convert("RGB"))
    height, width = scene.shape[:2]
    fit = min(size[0] / width, size[1] / height)
    for step in range(frames):
        turn, zoom = 5 * np.sin(step / 25), fit * (1 + 0.1 * np.sin(step / 40))
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        sway = np.array([np.sin(step / 30), np.cos(step / 37)]) * 0.05 * min(size)
        matrix[:, 2] += np.array(size) / 2 - (width / 2, height / 2) + sway
        yield cv2.warpAffine(scene, matrix, size, borderValue=(90, 90, 90)).astype(np.uint8)


def row_of_faces(count: int) -> Image:
    """The portrait's face `count` times, side by side, each of another brightness."""
    x1, y1, x2, y2 = FACE
    face = np.asarray(Pillow.open(PORTRAIT).convert("RGB"))[y1:y2, x1:x2]
    lights = np.linspace(0.6, 1.0, count)
    return np.concatenate([(face * light).astype(np.uint8) for light in lights], 1)


if __name__ == "__main__":
    main()
