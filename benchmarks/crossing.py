"""Whether people keep their numbers where three faces cross, leave and come back.

    python benchmarks/crossing.py [--photos ../shared/photos] [--seconds 30]

Makes footage of three faces that go to and fro across the picture, one before the other, and on beyond its borders, in
H.264, and reads it as `mien watch` does. The faces are those of three photographs, cut out by the boxes in the folder's
faces.json, or else the portrait in assets/ three times, lit from the left, the right and above. One line each for
footage of several speeds, paths, frame rates and sizes: how many numbers are given, and how often a person's changes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image as Pillow

from mien.reader import Reader
from mien.see.face import Face
from mien.see.picture import Image
from mien.see.pipeline import BURST
from mien.sources.video import open_source

ROOT = Path(__file__).parents[1]
PHOTOS = ROOT.parent / "shared" / "photos"
PORTRAIT = ROOT / "assets" / "astronaut.jpg"
BOX = (180.0, 70.0, 270.0, 190.0)  # of the portrait's face
PHOTOGRAPHED = ("two_people.jpg", "obama_biden.jpg")  # whose first face is taken, beside the portrait's
AROUND = 0.8  # of the face's height lie around its centre on each side
Paths = tuple[tuple[float, float], ...]
USUAL: Paths = ((0.9, 0), (-1.1, 1), (0.7, 2))


@dataclass(frozen=True)
class Crossing:
    """Footage: each face goes along a sine with its own speed, in radians a second, and its own beginning."""

    paths: Paths = USUAL
    rate: int = 30  # frames a second
    size: tuple[int, int] = (640, 480)
    side: int = 150  # pixels of the square in which a face is drawn

    def places(self, time: float) -> list[tuple[float, float]]:
        """The upper left corners of the faces, whose centres go beyond the picture by a tenth of its width."""
        width, height = self.size
        across = [width * (0.5 + 0.6 * np.sin(time * speed + begin)) - self.side / 2 for speed, begin in self.paths]
        return [(x, height * 0.23 + self.side * 0.27 * row) for row, x in enumerate(across)]

    def who(self, face: Face, time: float) -> int:
        """Whose place is nearest to a face."""
        centre = (face.box[:2] + face.box[2:]) / 2
        away = np.abs(np.array(self.places(time)) + self.side / 2 - centre).sum(1)
        return int(away.argmin())


def chance(seed: int) -> Paths:
    """Three paths of speeds and beginnings drawn by chance."""
    draw = np.random.default_rng(seed).uniform
    return tuple((float(draw(0.6, 1.5) * np.sign(draw(-1, 1))), float(draw(0, 2 * np.pi))) for _ in range(3))


FOOTAGE = {
    "as usual": Crossing(),
    "faster": Crossing(tuple((1.6 * speed, begin) for speed, begin in USUAL)),
    "slower": Crossing(tuple((0.6 * speed, begin) for speed, begin in USUAL)),
    "other paths": Crossing(chance(1)),
    "15 frames a second": Crossing(rate=15),
    "60 frames a second": Crossing(rate=60),
    "1280x720": Crossing(size=(1280, 720), side=220),
}


def main() -> None:
    """Measure all footage, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, default=PHOTOS, help="a folder of photographs with faces.json")
    parser.add_argument("--seconds", type=float, default=30, help="of each video (30)")
    options = parser.parse_args()
    for name, crossing in FOOTAGE.items():
        print(f"{name}: {measured(crossing, options.photos, options.seconds)}", flush=True)


def measured(crossing: Crossing = FOOTAGE["as usual"], photos: Path = PHOTOS, seconds: float = 30) -> str:
    """One line: the numbers given to three people, and how often one of them changes."""
    faces = photographed(photos) if photos.is_dir() else relit()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crossing.mp4"
        write_crossing(path, crossing, faces, seconds)
        numbers = read_numbers(path, crossing)
    given = {number for seen in numbers for number in seen}
    source = "photographs" if photos.is_dir() else "portrait"
    return f"{len(given)} numbers for {len(numbers)} people of {source}, {switches(numbers)} switches"


def photographed(folder: Path) -> list[Image]:
    """The portrait's face and two of photographs, square pictures."""
    boxes = json.loads((folder / "faces.json").read_text())
    found = [cut(folder / name, boxes[name]["faces"][0]) for name in PHOTOGRAPHED]
    return [cut(PORTRAIT, BOX), *found]


def relit() -> list[Image]:
    """The portrait's face lit from the left, from the right and mirrored, and from above: square pictures."""
    face = cut(PORTRAIT, BOX)
    down, across = np.mgrid[0 : len(face), 0 : len(face)] / len(face)
    lights = (1.3 - 1.15 * across, 0.15 + 1.15 * across, 1.4 - 1.3 * down)
    lit = zip((face, face[:, ::-1], face), lights, strict=True)
    return [(picture * light[..., None]).clip(0, 255).astype(np.uint8) for picture, light in lit]


def cut(path: Path, box: tuple[float, ...]) -> Image:
    """The square about a face."""
    picture = np.asarray(Pillow.open(path).convert("RGB"))
    x1, y1, x2, y2 = box
    reach = AROUND * max(x2 - x1, y2 - y1)
    left, right = (round(max(0.0, (x1 + x2) / 2 + by)) for by in (-reach, reach))
    top, bottom = (round(max(0.0, (y1 + y2) / 2 + by)) for by in (-reach, reach))
    return picture[top:bottom, left:right]


def write_crossing(path: Path, crossing: Crossing, faces: list[Image], seconds: float) -> None:
    """Write the video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=crossing.rate, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height = crossing.size
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, crossing.rate)
        for image in views(crossing, faces, round(seconds * crossing.rate)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def views(crossing: Crossing, faces: list[Image], frames: int) -> Iterator[Image]:
    """The pictures: ovals of faces on gray, the later before the earlier."""
    (width, height), side = crossing.size, crossing.side
    resized = [cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA) for face in faces]
    down, across = np.mgrid[0:side, 0:side] / side - 0.5
    oval = (across / 0.36) ** 2 + (down / 0.49) ** 2 < 1
    for number in range(frames):
        image = np.full((height, width, 3), 90, np.uint8)
        for face, place in zip(resized, crossing.places(number / crossing.rate), strict=True):
            x, y = map(round, place)
            seen = slice(max(0, -x), max(0, min(side, width - x)))
            part = image[y : y + side, max(0, x) : max(0, x + side)]
            part[oval[:, seen]] = face[:, seen][oval[:, seen]]
        yield image


def read_numbers(path: Path, crossing: Crossing) -> list[list[int | None]]:
    """The numbers that each person had, one after the other, read as `mien watch` reads."""
    numbers: list[list[int | None]] = [[] for _ in crossing.paths]
    for frame, readings in Reader().pipeline(live=False)(open_source(path), BURST):
        for reading in readings:
            numbers[crossing.who(reading.face, frame.time)].append(reading.person)
    return numbers


def switches(numbers: list[list[int | None]]) -> int:
    """How often a person has another number than before."""
    return sum(before != after for seen in numbers for before, after in pairwise(seen))


if __name__ == "__main__":
    main()
