"""Where a killed run stopped: written every few seconds beside the tables, read by `--resume`."""

from __future__ import annotations

import dataclasses
import os
import pickle
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any

from mien.errors import OutputError
from mien.files import explained
from mien.see.pipeline import Pipeline
from mien.sinks.tables import part_of

INTERVAL = 5.0
"""Seconds between two checkpoints: what a killed run has to do again, at most."""

HARMLESS = {"ndarray", "dtype", "_reconstruct", "_frombuffer", "scalar"}
"""What of numpy a checkpoint may name: a pickle could otherwise call anything."""

STATE = {
    ("collections", "Counter"),
    ("mien.apps.checkpoint", "Checkpoint"),
    ("mien.sinks.summary", "Presence"),
    ("mien.sinks.summary", "Summary"),
    ("mien.see.face", "Face"),
    ("mien.see.follow", "Follower"),
    ("mien.see.track", "Tracker"),
    ("mien.see.track", "_Person"),
}
"""What else it may name."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after one frame of a file, from which a run goes on as if nothing had happened."""

    settings: dict[str, Any]  # what must be the same in the run that goes on: the file, the options
    index: int  # of the last frame that was read; -1 for none
    sizes: dict[str, int]  # of each table's part, in bytes
    steps: list[Any]  # what finds faces and what tells people apart, with all they remember; None for what forgets
    sums: list[Any]  # the sinks that add up: counts, summary


class Checkpoints:
    """The checkpoint file of a run, which is gone when the run has read its source to the end."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, settings
        self._written = time.monotonic()

    def load(self, pipeline: Pipeline) -> Checkpoint | None:
        """Return the checkpoint, with the networks of a new pipeline in its steps; None where there is none.

        Raises OutputError where it is of another run.
        """
        try:
            found: Checkpoint = _Unpickler(self.path.read_bytes(), pipeline).load()
        except FileNotFoundError:
            return None
        except Exception as error:  # a damaged pickle raises whatever it trips over
            raise OutputError(f"{self.path} is damaged ({error}): delete it and start anew") from None
        differing = [name for name, value in self.settings.items() if found.settings.get(name) != value]
        if differing:
            raise OutputError(f"this run differs in its {differing[0]} from the one to resume: use the same again")
        detect, track = found.steps
        return dataclasses.replace(found, steps=[detect or pipeline.detect, track or pipeline.track])

    def due(self) -> bool:
        """Is it time for the next one?"""
        return time.monotonic() - self._written >= INTERVAL

    def write(self, index: int, sizes: dict[str, int], pipeline: Pipeline, sums: list[Any]) -> None:
        """Write the state after the frame of that index, whole or not at all. Raises OutputError."""
        steps = [None if _forgets(step) else step for step in (pipeline.detect, pipeline.track)]
        state = Checkpoint(self.settings, index, sizes, steps, sums)
        data = BytesIO()
        _Pickler(data).dump(state)
        fresh = self.path.with_suffix(".checkpoint-new")
        with explained(self.path):
            try:
                fresh.write_bytes(data.getvalue())
                fresh.replace(self.path)
            finally:
                fresh.unlink(missing_ok=True)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Forget the run: it has ended."""
        self.path.unlink(missing_ok=True)


def checkpoint_of(tables: list[Path]) -> Path:
    """Return where the checkpoint of a run lies that writes these tables: beside the first one."""
    return part_of(tables[0]).with_suffix(".checkpoint") if tables else Path(os.devnull)


def fingerprint(path: Path) -> tuple[int, int]:
    """Return what changes when a file does: its size in bytes and the time of its last change."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _forgets(step: Any) -> bool:
    """Does a step look at each frame by itself?"""
    from mien.see.detect import Detector

    return isinstance(step, (FunctionType, Detector))


class _Pickler(pickle.Pickler):
    """Leaves out what is loaded from model files."""

    def persistent_id(self, obj: Any) -> str | None:
        return "detector" if _forgets(obj) else None


class _Unpickler(pickle.Unpickler):
    """Puts the detector of the new pipeline where the old one was, and makes nothing but Mien's values and arrays."""

    def __init__(self, data: bytes, pipeline: Pipeline) -> None:
        super().__init__(BytesIO(data))
        self.pipeline = pipeline

    def persistent_load(self, pid: str) -> Any:
        if pid != "detector":
            raise pickle.UnpicklingError(f"{pid} is unknown")
        return getattr(self.pipeline.detect, "detector", self.pipeline.detect)

    def find_class(self, module: str, name: str) -> Any:
        if (module.partition(".")[0] == "numpy" and name in HARMLESS) or (module, name) in STATE:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a checkpoint")


def same_place(path: Path) -> str:
    """Return a name for a table that does not depend on where a run is started."""
    return os.path.realpath(path)
