"""Mien sees a face and says which emotion it shows.

>>> import mien
>>> [reading.emotion for reading in mien.read("assets/astronaut.jpg")]
['happy']
"""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from mien.errors import DataError, MienError, MissingExtra, ModelError, OutputError, SourceError, TrainingError
from mien.labels import EMOTIONS

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from mien.media.watch import Watch
    from mien.see.classify import Classifier
    from mien.see.detect import Detector
    from mien.see.face import Face, Frame, Reading
    from mien.see.picture import Image
    from mien.see.pipeline import Pipeline, open_pipeline
    from mien.sources.source import SourceStats

__all__ = [
    "read",
    "watch",
    "Detector",
    "Classifier",
    "Pipeline",
    "open_pipeline",
    "Frame",
    "Face",
    "Reading",
    "Watch",
    "SourceStats",
    "EMOTIONS",
    "MienError",
    "SourceError",
    "OutputError",
    "DataError",
    "ModelError",
    "TrainingError",
    "MissingExtra",
]

__version__ = "0.1.0"

_HOMES = {
    "Detector": "mien.see.detect",
    "Classifier": "mien.see.classify",
    "Pipeline": "mien.see.pipeline",
    "open_pipeline": "mien.see.pipeline",
    "Frame": "mien.see.face",
    "Face": "mien.see.face",
    "Reading": "mien.see.face",
    "Watch": "mien.media.watch",
    "SourceStats": "mien.sources.source",
}


def read(
    picture: str | PathLike[str] | Image,
    *,
    min_face: float = 20,
    model: str | Path | None = None,
    head: str | None = None,
) -> list[Reading]:
    """Read the emotion of every face in one picture, from left to right.

    `picture` is a file or an array of RGB bytes, (height, width, 3); a gray one may be (height, width). `min_face` is
    the side in pixels of the smallest face that is looked for, `model` is "s", "m" or an ONNX file, `head` says whose
    labels are spoken, as in `Classifier`. Raises SourceError and ModelError.
    """
    from mien.sources.pictures import open_picture

    [(_, readings)] = _usual_pipeline(model, head, min_face)([open_picture(picture)])
    return readings


def watch(
    source: str | PathLike[str] | int = 0,
    *,
    every: int = 1,
    fps: float | None = None,
    min_face: float = 40,
    model: str | Path | None = None,
    head: str | None = None,
    timeout: float = 10,
) -> Watch:
    """Yield the frames of a camera, a stream or a video file, each with its readings from left to right.

    `source` is a camera's number or device, a file or a URL. Every `every`-th frame is read, `fps` a second at most;
    of a live source the newest one, the others are dropped. `min_face` is the side in pixels of the smallest face that
    is looked for, `model` and `head` are those of `read`, `timeout` the seconds that a stream may be silent. Closing
    the generator frees everything; its `stats` counts the frames that were dropped and tells when a stream was lost.
    Raises SourceError and ModelError.
    """
    from functools import partial

    from mien.media.watch import Watch
    from mien.see.pipeline import open_pipeline
    from mien.sources.video import open_source

    opened = open_source(source, every=every, fps=fps, timeout=timeout)
    return Watch(opened, partial(open_pipeline, model, head=head, min_face=min_face, stream=True))


@lru_cache(maxsize=2)
def _usual_pipeline(model: str | Path | None, head: str | None, min_face: float) -> Pipeline:
    from mien.see.pipeline import open_pipeline

    return open_pipeline(model, head=head, min_face=min_face)


def __getattr__(name: str) -> object:
    """Load a public name's home when it is first asked for: ONNX Runtime and OpenCV take half a second (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
