"""Pictures that are read for a client: rows for each, or the picture with its faces drawn."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.apps.server.intake import Upload
from mien.apps.server.metrics import Metrics
from mien.apps.server.problems import unreadable
from mien.errors import MienError, SourceWarning
from mien.reader import Reader
from mien.see.face import Face, Frame, Reading
from mien.see.pipeline import Pipeline
from mien.sinks.draw import annotate
from mien.sinks.pictures import encode
from mien.sinks.rows import rows
from mien.sources.pictures import open_picture

FORMATS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}
"""What an annotated picture may be sent as; the first unless the client asks for another."""


class Pictures:
    """Reads pictures of clients; used by all threads."""

    def __init__(self, reader: Reader, metrics: Metrics, megapixels: float) -> None:
        self.metrics, self.megapixels = metrics, megapixels
        self.pipelines = {faces: timed(reader.picture_pipeline(faces=faces), metrics) for faces in (False, True)}

    def answer(self, upload: Upload, faces: bool) -> dict[str, Any]:
        """What is said of one of several pictures: its rows, or a problem."""
        try:
            return self.described(upload, faces)
        except MienError as error:
            return {"source": upload.name, "problem": unreadable(error).content}

    def described(self, upload: Upload, faces: bool) -> dict[str, Any]:
        """Name, size and rows of a picture, and what it lacks. Raises SourceError."""
        frame, readings, lacks = self._read(upload, faces)
        height, width = frame.picture.size
        said = {"source": frame.name, "width": width, "height": height, "rows": rows(frame, readings)}
        return said | ({"warning": lacks[0]} if lacks else {})

    def drawn(self, upload: Upload, faces: bool, kind: str) -> bytes:
        """A picture with its faces drawn, as a file of a media type. Raises SourceError."""
        frame, readings, _ = self._read(upload, faces)
        with self.metrics.timed("draw"):
            return encode(annotate(frame.image, readings), Path("picture" + FORMATS[kind]))

    def warm_up(self) -> None:
        """Run the networks once: the first time takes longer."""
        blank = np.full((480, 640, 3), 128, np.uint8)
        for pipeline in self.pipelines.values():
            list(pipeline([Frame(blank)]))

    def _read(self, upload: Upload, faces: bool) -> tuple[Frame, Sequence[Reading], list[str]]:
        with self.metrics.timed("decode"), source_warnings() as lacks:
            frame = open_picture(upload.data, megapixels=self.megapixels)
        frame.name = upload.name
        [(frame, readings)] = self.pipelines[faces]([frame])
        self.metrics.faces(readings)
        return frame, readings, lacks


def timed(pipeline: Pipeline, metrics: Metrics) -> Pipeline:
    """The same steps, whose seconds are counted."""

    def detect(frame: Frame) -> list[Face]:
        with metrics.timed("detect"):
            return pipeline.detect(frame)

    def classify(frames: Sequence[Frame], faces: Sequence[list[Face]]) -> list[list[Reading]]:
        with metrics.timed("classify"):
            return pipeline.classify(frames, faces)

    def track(frame: Frame, readings: list[Reading]) -> list[Reading]:
        with metrics.timed("track"):
            return pipeline.track(frame, readings)

    return replace(pipeline, detect=detect, classify=classify, track=track)


_thread = threading.local()


@contextmanager
def source_warnings() -> Generator[list[str]]:
    """What was lacking in the sources that this thread opens in the block."""
    _thread.lacks = []
    yield _thread.lacks
    _thread.lacks = []


def keep_warnings() -> None:
    """Let warnings of sources be told to the client, in this whole process, and not to the log."""
    before = warnings.showwarning

    def show(message: Any, category: type[Warning], *place: Any) -> None:
        if issubclass(category, SourceWarning):
            getattr(_thread, "lacks", []).append(str(message))
        else:
            before(message, category, *place)

    warnings.simplefilter("always", SourceWarning)
    warnings.showwarning = show  # type: ignore[assignment]
