"""Whether one number is one person.

    python benchmarks/people.py [KIND ...] [--photos ../shared/photos]

Makes the footage of `benchmarks/footage.py` in H.264, reads it as `mien watch` does, and holds the rows against what
was drawn. One line a kind of scene: ghosts, rows where nobody is; people, the numbers given against the people there;
mixed, numbers that were given to two people; switches, how often a person's number changes; missed, faces in plain
view without a row; left out, faces that were found and are nobody's, as they never were sure. With `--photos` the
people are those of a folder of photographs, cut out by the boxes in its faces.json.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from footage import KINDS, Scene, Truth, photographed, portrayed

from mien.see.detect import Detector
from mien.see.face import Face, Frame, Reading, iou
from mien.see.picture import Floats
from mien.see.pipeline import BURST, STREAM_SIDE, stream_pipeline
from mien.sources.video import open_source

SAME = 0.2  # overlap from which on a row is of the face that was drawn there


class Count(NamedTuple):
    """What was given against what was there."""

    ghosts: int = 0
    people: int = 0
    there: int = 0
    mixed: int = 0
    switches: int = 0
    missed: int = 0
    visible: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        return (
            f"{self.ghosts} ghosts, {self.people} people of {self.there}, {self.mixed} mixed, "
            f"{self.switches} switches, {self.missed} of {self.visible} missed, {self.left_out} left out"
        )


def main() -> None:
    """Measure every kind, one line each, and the sum."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)} (all)")
    parser.add_argument("--photos", type=Path, help="a folder of photographs with faces.json to take people from")
    options = parser.parse_args()
    cast = photographed(options.photos) if options.photos else portrayed()
    total = Count()
    for kind in options.kinds or KINDS:
        count = measured(KINDS[kind](cast))
        total = added(total, count)
        print(f"{kind}: {count}", flush=True)
    print(f"all: {total}")


def measured(scenes: Iterator[Scene]) -> Count:
    """Write each scene, read it, and add up."""
    total = Count()
    for scene in scenes:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scene.mp4"
            truth = write(path, scene)
            total = added(total, held_against(truth, *read(path)))
    return total


def added(*counts: Count) -> Count:
    """The sum of counts."""
    return Count(*(sum(values) for values in zip(*counts, strict=True)))


def write(path: Path, scene: Scene) -> list[Truth]:
    """Write the video; return who is in each frame."""
    truth: list[Truth] = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=scene.rate, options={"crf": "20", "preset": "veryfast"})
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, scene.rate)
        for number in range(scene.frames):
            image, there = scene.draw(number)
            stream.height, stream.width = image.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            truth.append(there)
        container.mux(stream.encode())
    return truth


class Nothing:
    """A classifier that sees no emotion: who is who does not depend on it."""

    def read_frames(self, frames: Sequence[Frame], faces: Sequence[Sequence[Face]]) -> list[list[Reading]]:
        """Every face with all emotions alike."""
        scores = np.full(7, 1 / 7, np.float32)
        return [[Reading(face, scores) for face in found] for _, found in zip(frames, faces, strict=True)]


def read(path: Path) -> tuple[list[list[Reading]], int]:
    """The readings of each frame, as `mien watch` has them, and how many faces were left out."""
    pipeline = stream_pipeline(Detector(min_face=40, longest_side=STREAM_SIDE), Nothing(), live=False)  # type: ignore[arg-type]
    rows = [readings for _, readings in pipeline(open_source(path), BURST)]
    return rows, pipeline.unconfirmed


def held_against(truth: list[Truth], rows: list[list[Reading]], left_out: int) -> Count:
    """Count what is wrong."""
    ghosts = missed = 0
    given: dict[int | None, set[int]] = {}  # whose faces each number was given to
    numbers: dict[int, list[int | None]] = {}  # the numbers that each person had, one after the other
    for there, readings in zip(truth, rows, strict=True):
        seen: set[int] = set()
        for reading in readings:
            who = nearest(there, reading.face.box)
            owners = given.setdefault(reading.person, set())
            if who is None:
                ghosts += 1
                continue
            owners.add(who)
            seen.add(who)
            had = numbers.setdefault(who, [])
            if had[-1:] != [reading.person]:
                had.append(reading.person)
        missed += sum(plain and who not in seen for who, (_, plain) in there.items())
    return Count(
        ghosts,
        len(given),
        len({who for there in truth for who in there}),
        sum(len(owners) > 1 for owners in given.values()),
        sum(len(had) - 1 for had in numbers.values()),
        missed,
        sum(plain for there in truth for _, plain in there.values()),
        left_out,
    )


def nearest(there: Truth, box: Floats) -> int | None:
    """Whose face the box overlaps most, None where there is hardly any."""
    if not there:
        return None
    overlaps = iou(box[None], np.stack([place for place, _ in there.values()]))[0]
    return list(there)[int(overlaps.argmax())] if overlaps.max() >= SAME else None


if __name__ == "__main__":
    main()
