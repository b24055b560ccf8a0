"""`Reader`: networks that are opened once, and read pictures and streams; `Result`: a frame and its readings."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from mien.errors import MissingExtra, SourceError
from mien.see.classify import Classifier, Head, ModelName
from mien.see.detect import LONGEST_SIDE, Detector
from mien.see.face import Frame, Reading
from mien.see.pipeline import BURST, MEMORY, STREAM_SIDE, Detected, Pipeline, picture_pipeline, stream_pipeline
from mien.see.weights import Device
from mien.sinks.draw import annotate, scaled
from mien.sinks.pictures import encode, write_picture
from mien.sinks.rows import COLUMNS, Row, rows
from mien.sources.pictures import AnyPicture, open_picture
from mien.sources.prefetch import cores, map_ahead, never, prefetch
from mien.sources.source import Source, SourceStats
from mien.sources.video import open_source

if TYPE_CHECKING:
    import pandas
    import PIL.Image

PICTURE_MIN_FACE, STREAM_MIN_FACE = 20.0, 40.0  # pixels
PREVIEW = 480  # pixels of the longer side of the picture that a notebook shows


@dataclass(frozen=True, eq=False, slots=True)
class Result(Sequence[Reading]):
    """A frame and its readings, from left to right; it is the sequence of the readings."""

    frame: Frame
    readings: tuple[Reading, ...]

    def __len__(self) -> int:
        return len(self.readings)

    @overload
    def __getitem__(self, index: int) -> Reading: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Reading, ...]: ...
    def __getitem__(self, index: int | slice) -> Reading | tuple[Reading, ...]:
        return self.readings[index]

    def __repr__(self) -> str:
        height, width = self.frame.picture.size
        seen = ", ".join(f"{reading.emotion} {reading.probability:.0%}" for reading in self) or "no face"
        return f"<Result: {self.frame.name or 'picture'}, {width}x{height}: {seen}>"

    def to_dicts(self) -> list[Row]:
        """Return a row for each face, with the columns of docs/columns.md as its keys."""
        return rows(self.frame, self)

    def to_pandas(self) -> pandas.DataFrame:
        """Return those rows as a table; a frame without a face gives one without rows. Raises MissingExtra."""
        try:
            import pandas
        except ImportError:
            raise MissingExtra("a DataFrame needs pandas: pip install 'mien[pandas]'") from None
        return pandas.DataFrame(self.to_dicts(), columns=list(COLUMNS))

    def annotate(self) -> PIL.Image.Image:
        """Return the frame as a PIL image with a box and a label for each face."""
        import PIL.Image

        return PIL.Image.fromarray(annotate(self.frame.image, self))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the annotated frame; the name's ending says in which format. Raises OutputError."""
        write_picture(Path(path), self.frame, self)

    def _repr_html_(self) -> str:
        """Show the annotated frame, small, in a notebook."""
        image, readings = scaled(self.frame.image, self, PREVIEW)
        data = base64.b64encode(encode(annotate(image, readings), Path("preview.jpg"))).decode("ascii")
        faces = "1 face" if len(self) == 1 else f"{len(self)} faces"
        return f'<img alt="{faces}" src="data:image/jpeg;base64,{data}">'


class Reader:
    """Reads the emotion of every face in pictures and streams, with networks that are opened once.

    `model` is "s", the small network of the package, "m", the larger one that is right more often, or an ONNX file that
    `mien export` wrote. `head` says whose labels the scores speak for: "official" (FER2013's own), "ferplus" (the
    voters of FER+) or "blend" (the mean of both); by default what the file recommends. `device` is "cpu" or "cuda",
    `threads` the CPU threads of one run of a network. `min_face` is the side in pixels of the smallest face that is
    looked for, by default 20 in pictures and 40 in streams; a face is found from the confidence `min_confidence` on, by
    default one that depends on its size (`Detector`).
    A picture or frame whose longer side exceeds `longest_side` pixels, by default 1,920 in pictures and 960 in streams,
    is shrunk to that before the search, and `min_face` counts in pixels of the shrunk one.

    A reader may be used by several threads at once. Pickled, it opens its networks anew where it arrives. Raises
    ModelError where a model or the device cannot be used, ValueError for options that make no sense.

    >>> reader = Reader()
    >>> [reading.emotion for reading in reader.read("assets/astronaut.jpg")]
    ['happy']
    """

    def __init__(
        self,
        model: ModelName | str | PathLike[str] = "s",
        *,
        head: Head | str | None = None,
        device: Device = "cpu",
        threads: int = 1,
        min_face: float | None = None,
        min_confidence: float | None = None,
        longest_side: int | None = None,
    ) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise ValueError(f"threads is {threads!r}: give a whole number, 1 or more")
        if not isinstance(model, str | PathLike):
            raise ValueError(f"model is {model!r}: give s, m or the path of an ONNX file")
        for name, value in {
            "min_face": min_face,
            "min_confidence": min_confidence,
            "longest_side": longest_side,
        }.items():
            if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
                raise ValueError(f"{name} is {value!r}: give a number")
        self.model, self.head, self.device, self.threads = model, head, device, threads
        self.min_face, self.min_confidence, self.longest_side = min_face, min_confidence, longest_side
        named = model if isinstance(model, str) else Path(model)
        self._classifier = Classifier(named, head=head, device=device, threads=threads)
        self._detector = Detector(
            PICTURE_MIN_FACE if min_face is None else min_face,
            longest_side=LONGEST_SIDE if longest_side is None else longest_side,
            min_confidence=min_confidence,
            threads=threads,
            device=device,
        )

    def __reduce__(self) -> tuple[Callable[..., Reader], tuple[()], None]:
        return partial(Reader, self.model, **self._options()), (), None

    def __repr__(self) -> str:
        options = "".join(f", {name}={value!r}" for name, value in self._options().items() if value is not None)
        return f"Reader({self.model!r}{options})"

    @overload
    def read(self, pictures: AnyPicture, *, faces: bool = ...) -> Result: ...  # type: ignore[overload-overlap]
    @overload
    def read(
        self,
        pictures: Iterable[AnyPicture],
        *,
        faces: bool = ...,
        workers: int | None = ...,
        on_error: Callable[[SourceError], object] | None = ...,
    ) -> Iterator[Result]: ...
    def read(
        self,
        pictures: AnyPicture | Iterable[AnyPicture],
        *,
        faces: bool = False,
        workers: int | None = None,
        on_error: Callable[[SourceError], object] | None = None,
    ) -> Result | Iterator[Result]:
        """Read one picture, or several one after the other.

        A picture is a path, an array (RGB bytes (height, width, 3), or gray (height, width)), a PIL image, the bytes of
        a file, or an open file. With `faces` it is one face already, as FER2013's pictures are: nothing is searched for
        in it, and all of it is classified, whatever its size. A list, or any other
        iterable, of these gives an iterator of results, in order, that
        `workers` threads make, by default one for each core. A picture that cannot be read raises SourceError, in an
        iterable at its turn; with `on_error` it is handed over, and the next one follows.
        """
        pipeline = self.picture_pipeline(faces=faces)
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ValueError(f"workers is {workers}: give 1 or more")
        if not _is_several(pictures):
            return _read_one(pipeline, pictures)  # type: ignore[arg-type]
        return _read_many(pipeline, pictures, workers or cores(), on_error)  # type: ignore[arg-type]

    def watch(
        self,
        source: str | PathLike[str] | int = 0,
        *,
        every: int = 1,
        fps: float | None = None,
        timeout: float = 10,
        memory: float = MEMORY,
        smooth: float | None = None,
    ) -> Watch:
        """Read the frames of a camera, a stream or a video file as they come.

        `source` is a camera's number or device, a file or a URL. One of `every` frames is read, at most `fps` a second,
        of a live source the newest: the others are dropped. `timeout` is the seconds that a stream may be silent,
        `memory` the seconds for which somebody may be out of sight and keep the number. `smooth` is a time constant in
        seconds: with one, each reading has `shown`, its scores averaged over time; `scores` are always those of the
        frame. Raises SourceError where the source cannot be opened, ValueError for options that make no sense.
        """
        for name, value in {"timeout": timeout, "memory": memory, "smooth": 1 if smooth is None else smooth}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}: give seconds, more than 0")
        if not isinstance(every, int) or isinstance(source, bytes | bool):
            raise ValueError(f"every is {every!r}, source is {source!r}: give a whole number, and a name or a camera")
        opened = open_source(source, every=every, fps=fps, timeout=timeout)
        return Watch(opened, self.pipeline(live=opened.live, memory=memory, smooth=smooth))

    def picture_pipeline(self, *, faces: bool = False) -> Pipeline:
        """Return the steps for pictures that have nothing to do with one another; `faces` as in `read`."""
        return picture_pipeline(self._detector, self._classifier, faces=faces)

    def pipeline(self, *, live: bool, memory: float = MEMORY, smooth: float | None = None) -> Pipeline:
        """Return the steps for one stream: people are told apart from frame to frame, so each stream needs its own."""
        detector = self._detector.resized(
            STREAM_MIN_FACE if self.min_face is None else self.min_face, self.longest_side or STREAM_SIDE
        )
        return stream_pipeline(detector, self._classifier, live=live, memory=memory, smooth=smooth, ahead=_ahead)

    def _options(self) -> dict[str, Any]:
        names = ("head", "device", "threads", "min_face", "min_confidence", "longest_side")
        return {name: getattr(self, name) for name in names}


class Watch(Iterator[Result]):
    """The results of a stream, one a frame; closing it, or leaving its `with` block, frees everything.

    `stats` says what happened on the way: frames that were dropped to keep up, gaps in which the source was lost.
    """

    def __init__(self, source: Source, pipeline: Pipeline) -> None:
        self.source, self.pipeline = source, pipeline
        self._results = _results(source, pipeline)
        # A camera or a stream that is not there says so now.
        self._first = list(islice(self._results, 1)) if source.live else []

    @property
    def unconfirmed(self) -> int:
        """Faces so far of which the detector was never sure: in files they have no reading, live none a number."""
        return self.pipeline.unconfirmed

    @property
    def stats(self) -> SourceStats:
        """What happened to the source so far."""
        return self.source.stats

    def __next__(self) -> Result:
        return self._first.pop() if self._first else next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream."""
        self._first.clear()
        self._results.close()


def _results(source: Source, pipeline: Pipeline) -> Generator[Result]:
    """Apart from `Watch`, so that dropping the last reference to one ends the walk at once."""
    with closing(iter(source)) as frames, closing(pipeline(frames, 1 if source.live else BURST)) as results:
        for frame, readings in results:
            yield Result(frame, tuple(readings))


def _ahead(detected: Generator[Detected]) -> Generator[Detected]:
    """Let a thread find the faces of the next frames, where there is a core for it."""
    return prefetch(lambda _: detected, never, leave=None) if cores() > 1 else detected


def _is_several(pictures: object) -> bool:
    """Whether this is an iterable of pictures: what is one picture may be iterable, too."""
    if isinstance(pictures, str | bytes | bytearray | memoryview | PathLike) or hasattr(pictures, "read"):
        return False
    if hasattr(pictures, "__array__"):  # a row of names; all else is a picture, or is told what to give
        array = np.asarray(pictures)
        return array.ndim == 1 and array.dtype.kind in "OU"
    return isinstance(pictures, Iterable) and not hasattr(pictures, "getexif")  # a PIL image, which need not be loaded


def _read_one(pipeline: Pipeline, picture: AnyPicture) -> Result:
    [(frame, readings)] = pipeline([open_picture(picture)])
    return Result(frame, tuple(readings))


def _read_many(
    pipeline: Pipeline,
    pictures: Iterable[AnyPicture],
    workers: int,
    on_error: Callable[[SourceError], object] | None,
) -> Generator[Result]:
    def read(picture: AnyPicture) -> Result | SourceError:
        try:
            return _read_one(pipeline, picture)
        except SourceError as error:
            return error

    with closing(map_ahead(read, pictures, workers)) as results:
        for result in results:
            if isinstance(result, Result):
                yield result
            elif on_error is None:
                raise result
            else:
                on_error(result)
