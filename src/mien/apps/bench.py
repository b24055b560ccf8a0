"""The command `bench video`: how fast a video is read on one core, and how good the boxes are that this leaves."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from mien.reader import Reader
from mien.run import run
from mien.see.detect import Detector
from mien.see.face import Face, Frame, Reading, iou
from mien.see.pipeline import BURST, STREAM_SIDE
from mien.sinks.tables import csv_rows
from mien.sources.video import open_source

SAME = 0.5  # overlap from which on two boxes are one face


def bench_video(source: str, frames: int, min_face: float, model: str) -> str:
    """One line: frames a second from the file to the CSV on one core, and the boxes against searching every frame."""
    keep_to_one_core()
    seconds, cpu, faces, followed = _read(source, frames, min_face, model)
    if not followed:
        return f"{source}: no frame to measure"
    height, width = followed[0][0]
    found, agreement = _against_searching(source, [faces for _, faces in followed], min_face)
    return (
        f"{Path(source).name}: {width}x{height}, {len(followed)} frames, {faces / len(followed):.1f} faces a frame: "
        f"{len(followed) / seconds:.0f} frames a second, {1000 * cpu / len(followed):.2f} ms of CPU a frame; "
        f"{100 * found:.1f} % of the faces of a search of every frame, mean overlap {agreement:.3f}; "
        f"{_most_memory()}"
    )


def _read(
    source: str, frames: int, min_face: float, model: str
) -> tuple[float, float, int, list[tuple[tuple[int, int], list[Face]]]]:
    """Seconds by the clock, seconds of CPU, the number of faces, and the size and faces of each frame."""
    pipeline = Reader(model, min_face=min_face).pipeline(live=False)
    kept: list[tuple[tuple[int, int], list[Face]]] = []

    def keep(frame: Frame, readings: Sequence[Reading]) -> None:
        kept.append((frame.picture.size, [reading.face for reading in readings]))

    with tempfile.TemporaryDirectory() as folder:
        table = csv_rows(Path(folder) / "rows.csv")
        began, began_cpu = time.perf_counter(), time.process_time()
        run(pipeline(islice(open_source(source), frames), BURST), [table], progress=keep)
        seconds, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    return seconds, cpu, sum(len(faces) for _, faces in kept), kept


def _against_searching(source: str, followed: list[list[Face]], min_face: float) -> tuple[float, float]:
    """The share of the faces of every third frame's search that were followed as well, and their mean overlap."""
    detector = Detector(min_face=min_face, longest_side=STREAM_SIDE)
    overlaps: list[float] = []
    for index, frame in enumerate(islice(open_source(source), len(followed))):
        if index % 3 == 0:
            overlaps += _best_overlaps(detector(frame.image), followed[index])
    same = [value for value in overlaps if value >= SAME]
    return (len(same) / len(overlaps), float(np.mean(same))) if same else (0.0, 0.0)


def _best_overlaps(searched: list[Face], followed: list[Face]) -> list[float]:
    """For each searched face its overlap with the followed one that fits it best, 0 where there is none."""
    if not (searched and followed):
        return [0.0] * len(searched)
    boxes = (np.stack([face.box for face in faces]) for faces in (searched, followed))
    return [float(value) for value in iou(*boxes).max(1)]


def _most_memory() -> str:
    """How much memory this process held at most, where the system says so."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux `getrusage` counts what the program held that started this one
        [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return f"{int(line.split()[1]) / 2**10:.0f} MiB at most"
    try:
        import resource
    except ImportError:  # Windows has no such module
        return "memory not measured"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return f"{most:.0f} MiB at most"


def keep_to_one_core() -> None:
    """Run on one core, where the system lets a process choose, and with one thread in OpenCV."""
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
