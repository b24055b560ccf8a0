"""Whether the steps of reading a video are faster in threads: which of them, on one core and on several.

    python benchmarks/overlap.py VIDEO [--cores 1 2] [--runs 5] [--draw]

Reads the video in bursts, as `mien watch` does, with each of some sets of steps in a thread of its own that works one
burst ahead, and with FFmpeg's own threads. Each line is the median of the runs, which take turns, and their range; what
is read is tracked and, with `--draw`, drawn. Wall-clock figures want a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Generator
from pathlib import Path
from statistics import median
from typing import TypeVar

import cv2

from mien.media import decode
from mien.see.face import Frame, Reading
from mien.see.pipeline import BURST, Pipeline, bursts_of, open_pipeline
from mien.sinks.draw import annotate
from mien.sources.prefetch import ahead
from mien.sources.video import open_source

Item = TypeVar("Item")

WAYS: dict[str, tuple[int, frozenset[str]]] = {
    "one step after the other": (1, frozenset()),
    "FFmpeg decodes in two threads": (2, frozenset()),
    "decoding in a thread": (1, frozenset({"decode"})),
    "decoding in a thread and FFmpeg in two": (2, frozenset({"decode"})),
    "classifying in a thread": (1, frozenset({"classify"})),
    "decoding and detecting in threads": (1, frozenset({"decode", "detect"})),
    "decoding, detecting, classifying in threads": (1, frozenset({"decode", "detect", "classify"})),
}
"""FFmpeg's threads, and the steps that have a thread of their own."""


def main() -> None:
    """Print a line for each way on each number of cores."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2], help="numbers of cores to measure on (1 2)")
    parser.add_argument("--runs", type=int, default=5, help="of each way (5)")
    parser.add_argument("--draw", action="store_true", help="draw what was read on every frame")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    all_cores = sorted(os.sched_getaffinity(0))
    read(options.video, *WAYS["one step after the other"], options.draw)  # loads what is loaded once
    for cores in options.cores:
        os.sched_setaffinity(0, all_cores[-cores:])
        rates: dict[str, list[float]] = {name: [] for name in WAYS}
        for _ in range(options.runs):
            for name, way in WAYS.items():
                rates[name].append(read(options.video, *way, options.draw))
        for name, found in rates.items():
            print(
                f"{cores} cores, {name}: {median(found):.0f} frames/s ({min(found):.0f} to {max(found):.0f})",
                flush=True,
            )


def read(video: Path, ffmpeg: int, threads: frozenset[str], draw: bool) -> float:
    """Frames a second."""
    decode.cores = lambda: ffmpeg + 1  # type: ignore[attr-defined]
    pipeline = open_pipeline(min_face=40, stream=True)
    frames = 0
    began = time.perf_counter()
    for burst, readings in steps(pipeline, video, threads):
        for frame, read in zip(burst, readings, strict=True):
            tracked = pipeline.track(frame, read)
            frames += 1
            if draw:
                annotate(frame.image, tracked)
    return frames / (time.perf_counter() - began)


def steps(
    pipeline: Pipeline, video: Path, threads: frozenset[str]
) -> Generator[tuple[list[Frame], list[list[Reading]]]]:
    """The bursts of a video with their readings, the steps in `threads` taken ahead."""

    def step(name: str, items: Generator[Item]) -> Generator[Item]:
        return ahead(items) if name in threads else items

    decoded = step("decode", bursts_of(open_source(video), BURST))
    detected = step("detect", ((burst, [pipeline.detect(frame) for frame in burst]) for burst in decoded))
    yield from step("classify", ((burst, pipeline.classify(burst, faces)) for burst, faces in detected))


if __name__ == "__main__":
    main()
