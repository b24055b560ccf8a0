"""Mien sees a face and says which emotion it shows.

>>> import mien
>>> [reading.emotion for reading in mien.read("assets/astronaut.jpg")]
['happy']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, overload

from mien.errors import (
    DataError,
    MienError,
    MissingExtra,
    ModelError,
    OutputError,
    SourceError,
    SourceWarning,
    TrainingError,
)
from mien.labels import EMOTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from os import PathLike

    from mien.reader import Reader, Result, Watch
    from mien.see.classify import Classifier, Head, ModelName
    from mien.see.crop import crop
    from mien.see.detect import Detector
    from mien.see.face import Face, Frame, Reading, Shown
    from mien.see.pipeline import Pipeline
    from mien.see.smooth import Smoother
    from mien.see.track import Tracker
    from mien.see.weights import Device
    from mien.sinks.draw import annotate
    from mien.sinks.rows import rows
    from mien.sources.pictures import AnyPicture
    from mien.sources.source import SourceStats

__all__ = [
    "read",
    "watch",
    "Reader",
    "Result",
    "Reading",
    "Face",
    "Frame",
    "Shown",
    "Watch",
    "SourceStats",
    "annotate",
    "rows",
    "crop",
    "Detector",
    "Classifier",
    "Tracker",
    "Smoother",
    "Pipeline",
    "EMOTIONS",
    "MienError",
    "SourceError",
    "OutputError",
    "DataError",
    "ModelError",
    "TrainingError",
    "MissingExtra",
    "SourceWarning",
]

__version__ = "0.1.0"

_HOMES = {
    "Reader": "mien.reader",
    "Result": "mien.reader",
    "Watch": "mien.reader",
    "Reading": "mien.see.face",
    "Face": "mien.see.face",
    "Frame": "mien.see.face",
    "Shown": "mien.see.face",
    "SourceStats": "mien.sources.source",
    "annotate": "mien.sinks.draw",
    "rows": "mien.sinks.rows",
    "crop": "mien.see.crop",
    "Detector": "mien.see.detect",
    "Classifier": "mien.see.classify",
    "Tracker": "mien.see.track",
    "Smoother": "mien.see.smooth",
    "Pipeline": "mien.see.pipeline",
}


@overload
def read(  # type: ignore[overload-overlap]
    pictures: AnyPicture,
    model: ModelName | str | PathLike[str] = ...,
    *,
    head: Head | None = ...,
    device: Device = ...,
    threads: int = ...,
    min_face: float | None = ...,
    min_confidence: float | None = ...,
    longest_side: int | None = ...,
    faces: bool = ...,
) -> Result: ...
@overload
def read(
    pictures: Iterable[AnyPicture],
    model: ModelName | str | PathLike[str] = ...,
    *,
    head: Head | None = ...,
    device: Device = ...,
    threads: int = ...,
    min_face: float | None = ...,
    min_confidence: float | None = ...,
    longest_side: int | None = ...,
    faces: bool = ...,
    workers: int | None = ...,
    on_error: Callable[[SourceError], object] | None = ...,
) -> Iterator[Result]: ...
def read(
    pictures: Any,
    model: ModelName | str | PathLike[str] = "s",
    *,
    head: Head | None = None,
    device: Device = "cpu",
    threads: int = 1,
    min_face: float | None = None,
    min_confidence: float | None = None,
    longest_side: int | None = None,
    faces: bool = False,
    workers: int | None = None,
    on_error: Callable[[SourceError], object] | None = None,
) -> Result | Iterator[Result]:
    """Read the emotion of every face in one picture, or in several: `Reader(...).read(pictures)` in one line.

    A picture is a path, an array (RGB bytes (height, width, 3), or gray (height, width)), a PIL image, the bytes of a
    file, or an open file, and gives a `Result`, the sequence of its readings from left to right; an iterable of
    pictures gives an iterator of results. The options are those of `Reader` and of `Reader.read`. The networks are
    opened at each call, which takes a fifth of a second: to read more than once, keep a `Reader`. Raises what these do.
    """
    from mien.reader import Reader

    reader = Reader(
        model,
        head=head,
        device=device,
        threads=threads,
        min_face=min_face,
        min_confidence=min_confidence,
        longest_side=longest_side,
    )
    results: Result | Iterator[Result] = reader.read(pictures, faces=faces, workers=workers, on_error=on_error)
    return results


def watch(
    source: str | PathLike[str] | int = 0,
    model: ModelName | str | PathLike[str] = "s",
    *,
    head: Head | None = None,
    device: Device = "cpu",
    threads: int = 1,
    min_face: float | None = None,
    min_confidence: float | None = None,
    longest_side: int | None = None,
    every: int = 1,
    fps: float | None = None,
    timeout: float = 10,
    memory: float = 10.0,
    smooth: float | None = None,
) -> Watch:
    """Yield a `Result` for each frame of a camera, a stream or a video file: `Reader(...).watch(source)` in one line.

    The options are those of `Reader` and of `Reader.watch`. Raises what these do, at the call.
    """
    from mien.reader import Reader

    reader = Reader(
        model,
        head=head,
        device=device,
        threads=threads,
        min_face=min_face,
        min_confidence=min_confidence,
        longest_side=longest_side,
    )
    return reader.watch(source, every=every, fps=fps, timeout=timeout, memory=memory, smooth=smooth)


def __getattr__(name: str) -> object:
    """Load a public name's home when it is first asked for: ONNX Runtime and OpenCV take half a second (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
