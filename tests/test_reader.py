"""A reader is opened once and reads whatever it is given; what it returns says all, and holds nothing afterwards."""

from __future__ import annotations

import inspect
import pickle
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import mien
from mien.errors import ModelError, OutputError, SourceError, SourceWarning
from mien.reader import Reader, Result, Watch
from mien.see.face import Frame, Reading
from mien.see.picture import Image
from mien.see.pipeline import Pipeline
from mien.see.weights import find
from mien.sinks.rows import COLUMNS
from mien.sources.live import Live
from mien.sources.source import PendingFrame, SourceStats

Film = Callable[..., Path]

ROOT = Path(__file__).parents[1]
ASTRONAUT = ROOT / "assets" / "astronaut.jpg"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


@pytest.fixture(scope="module")
def image() -> Image:
    """The portrait as RGB bytes."""
    with PIL.Image.open(ASTRONAUT) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.fixture
def folder(tmp_path: Path, image: Image) -> list[Path]:
    """Pictures of different sizes, each with the portrait; the third is no picture."""
    paths = [tmp_path / f"{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        PIL.Image.fromarray(np.pad(image, ((0, 0), (0, 40 * number), (0, 0)), mode="edge")).save(path)
    paths[2].write_text("no picture")
    return paths


class Arrays:
    """An array of another library, as PyTorch's are."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self.array

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter(self.array)


def test_every_kind_of_picture_gives_the_same_reading(reader: Reader, image: Image, tmp_path: Path) -> None:
    PIL.Image.fromarray(image).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    kinds: list[Any] = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").as_uri(), image, image.copy()]
    kinds += [data, bytearray(data), BytesIO(data), PIL.Image.fromarray(image), Arrays(image)]
    with (tmp_path / "a.png").open("rb") as file:
        results = [reader.read(kind) for kind in [*kinds, file]]
    for result in results:
        [reading] = result
        assert reading.emotion == "happy"
        assert (reading.scores == results[0][0].scores).all()
        assert result.frame.image.shape == image.shape
    assert len(reader.read(image[:, :, 1])) == 1  # gray


def test_a_list_gives_results_in_order_with_the_numbers_of_each_by_itself(reader: Reader, folder: list[Path]) -> None:
    good = [path for path in folder if path != folder[2]]
    alone = [reader.read(path) for path in good]
    for workers in (1, 2, 5, None):
        several = list(reader.read(good, workers=workers))
        assert [result.frame.name for result in several] == [str(path) for path in good]
        for one, other in zip(alone, several, strict=True):
            assert (one[0].scores == other[0].scores).all()
            assert (one[0].face.box == other[0].face.box).all()


@pytest.mark.parametrize("kind", [list, tuple, iter, lambda paths: (path for path in paths), np.array])
def test_any_iterable_gives_results(reader: Reader, folder: list[Path], kind: Callable[[Any], Any]) -> None:
    names = [str(path) for path in folder[:2]]
    results = reader.read(kind(names))
    assert [len(result) for result in results] == [1, 1]


def test_an_empty_list_gives_no_result(reader: Reader) -> None:
    assert list(reader.read([])) == []
    assert list(reader.read(iter([]), workers=3)) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_at_its_turn_and_the_results_before_it_are_there(
    reader: Reader, folder: list[Path], workers: int
) -> None:
    results = reader.read(folder, workers=workers)
    assert [next(results).frame.name, next(results).frame.name] == [str(folder[0]), str(folder[1])]
    with pytest.raises(SourceError, match=r"2\.png is not a picture"):
        next(results)


@pytest.mark.parametrize("workers", [1, 3])
def test_errors_can_be_taken_and_the_next_picture_follows(reader: Reader, folder: list[Path], workers: int) -> None:
    bad: list[SourceError] = []
    things = [*folder, None, "missing.png", np.zeros((4, 4, 3))]
    results = list(reader.read(things, workers=workers, on_error=bad.append))  # type: ignore[arg-type]
    assert len(results) == 5
    assert [re.findall(r"is not a picture|NoneType|there is no file|float64", str(error))[0] for error in bad] == [
        "is not a picture",
        "NoneType",
        "there is no file",
        "float64",
    ]


def test_results_come_as_they_are_ready_and_no_more_is_read_than_that(reader: Reader, image: Image) -> None:
    asked = []

    def pictures() -> Iterator[Image]:
        for number in range(50):
            asked.append(number)
            yield image

    results = reader.read(pictures(), workers=2)
    next(results)
    assert len(asked) <= 4
    results.close()  # type: ignore[attr-defined]
    assert len(asked) <= 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mien reads")]


def test_what_is_no_picture_raises_at_the_call(reader: Reader) -> None:
    for thing in (None, 7, b"", "", np.zeros((4, 4, 3)), np.zeros((2, 4, 4, 3), np.uint8), Path("missing.jpg")):
        with pytest.raises(SourceError):
            reader.read(thing)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="workers is 0"):
        reader.read([ASTRONAUT], workers=0)


def test_a_picture_that_ends_early_is_read_with_a_warning(reader: Reader) -> None:
    with pytest.warns(SourceWarning, match="what was given as bytes ends early"):
        [reading] = reader.read(ASTRONAUT.read_bytes()[:-1000])
    assert reading.emotion == "happy"


def test_faces_come_from_left_to_right(reader: Reader, image: Image) -> None:
    three = reader.read(np.hstack([image, image[:, ::-1], image]))
    lefts = [reading.face.box[0] for reading in three]
    assert len(lefts) == 3
    assert lefts == sorted(lefts)


def test_threads_share_a_reader(reader: Reader, image: Image) -> None:
    pictures = [np.roll(image, 7 * number, axis=1) for number in range(4)]
    alone = [reader.read(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(reader.read, pictures * 4))
    for number, result in enumerate(together):
        expected = alone[number % 4]
        assert [(found.face.box.tolist(), found.scores.tolist()) for found in result] == [
            (found.face.box.tolist(), found.scores.tolist()) for found in expected
        ]


def test_streams_share_a_reader_and_keep_their_people_apart(reader: Reader, film: Film) -> None:
    films = [film(name, (320, 240), frames=12) for name in ("a.mp4", "b.mp4")]
    streams = [reader.watch(path) for path in films]
    for _ in range(12):
        assert [[reading.person for reading in next(stream)] for stream in streams] == [[1], [1]]


def test_a_reader_says_what_it_is_and_can_be_pickled(reader: Reader, image: Image) -> None:
    other = Reader("m", head="ferplus", threads=2, min_face=30)
    assert repr(reader).startswith("Reader('s'") and "None" not in repr(reader)
    for said in ("'m'", "head='ferplus'", "threads=2", "min_face=30"):
        assert said in repr(other)
    again = pickle.loads(pickle.dumps(other))
    assert repr(again) == repr(other)
    assert (again.read(image)[0].scores == other.read(image)[0].scores).all()


def test_a_reader_goes_to_other_processes(tmp_path: Path) -> None:
    """As map functions of process pools and clusters want it."""
    program = f"""
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        import mien
        if __name__ == "__main__":
            reader = mien.Reader()
            with ProcessPoolExecutor(1, get_context("spawn")) as processes:
                result = processes.submit(reader.read, {str(ASTRONAUT)!r}).result()
            print([reading.emotion for reading in result], result.frame.image.shape)
    """
    (tmp_path / "program.py").write_text(textwrap.dedent(program))
    command = [sys.executable, str(tmp_path / "program.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "['happy'] (512, 512, 3)\n"


def test_a_model_file_that_is_written_anew_is_read_anew(tmp_path: Path, image: Image) -> None:
    path = tmp_path / "model.onnx"
    scores = []
    for name in ("emotion.onnx", "emotion-m.onnx"):
        shutil.copy(find(name), path)
        scores.append((mien.read(image, model=path)[0].scores, Reader(str(path)).read(image)[0].scores))
    for (of_read, of_reader), size in zip(scores, ("s", "m"), strict=True):
        expected = mien.read(image, size)[0].scores
        assert (of_read == expected).all() and (of_reader == expected).all()
    assert (scores[0][0] != scores[1][0]).any()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"head": "best"}, ValueError, "choose one of official, ferplus, blend"),
        ({"device": "gpu"}, ValueError, "choose one of cpu, cuda"),
        ({"threads": 0}, ValueError, "threads is 0"),
        ({"threads": True}, ValueError, "threads is True"),
        ({"threads": 1.5}, ValueError, "threads is 1.5"),
        ({"min_face": 3}, ValueError, "min_face is 3"),
        ({"min_face": 0}, ValueError, "min_face is 0"),
        ({"min_face": float("nan")}, ValueError, "min_face is nan"),
        ({"min_confidence": 1.5}, ValueError, "between 0 and 1|lies in"),
        ({"model": "x"}, ModelError, "there is no model at x"),
        ({"model": ""}, ModelError, "there is no model"),
        ({"model": ASTRONAUT}, ModelError, "cannot be used"),
    ],
)
def test_a_wrong_option_is_told_at_the_call(options: dict[str, Any], error: type[Exception], says: str) -> None:
    for call in (Reader, lambda **given: mien.read(ASTRONAUT, **given), lambda **given: mien.watch("a.mp4", **given)):
        with pytest.raises(error, match=says) as raised:
            call(**options)
        assert "\n" not in str(raised.value) and "--" not in str(raised.value)


def test_cuda_is_used_or_refused(image: Image) -> None:
    try:
        reader = Reader(device="cuda")
    except ModelError as error:
        assert "cuda" in str(error)
    else:
        assert reader.read(image)[0].emotion == "happy"


def test_the_one_liners_take_what_the_reader_takes() -> None:
    def options(*functions: Callable[..., object]) -> set[str]:
        return {name for function in functions for name in inspect.signature(function).parameters} - {"self"}

    assert options(mien.read) == options(Reader.__init__, Reader.read)
    assert options(mien.watch) == options(Reader.__init__, Reader.watch)
    for name, parameter in inspect.signature(mien.read).parameters.items():
        of_reader = {**inspect.signature(Reader.__init__).parameters, **inspect.signature(Reader.read).parameters}
        assert parameter.default == of_reader[name].default


def test_read_takes_one_picture_or_several(image: Image) -> None:
    result = mien.read(image)
    assert isinstance(result, Result) and result[0].emotion == "happy"
    assert [found[0].emotion for found in mien.read([image, ASTRONAUT], workers=2)] == ["happy", "happy"]
    assert list(mien.read(image, min_face=400)) == []


# ---- results


@pytest.fixture
def result(reading: Callable[..., Reading], image: Image) -> Result:
    found = (reading("sad", 2, shown="happy", box=(100, 100, 200, 220)), reading("fear", box=(300, 100, 380, 200)))
    return Result(Frame(image, "a.png", 3, 0.1), found)


def test_a_result_is_the_sequence_of_its_readings(result: Result) -> None:
    assert (len(result), [reading.emotion for reading in result]) == (2, ["sad", "fear"])
    assert result[0].emotion == "sad" and result[-1].emotion == "fear"
    assert [reading.emotion for reading in result[1:]] == ["fear"]
    assert [reading.emotion for reading in reversed(result)] == ["fear", "sad"]
    assert isinstance(result, Sequence)
    assert bool(result) and not Result(result.frame, ())


def test_a_result_and_its_readings_say_what_they_are_in_a_line(result: Result) -> None:
    assert repr(result) == "<Result: a.png, 512x512: sad 70%, fear 70%>"
    assert repr(Result(Frame(result.frame.image), ())) == "<Result: picture, 512x512: no face>"
    assert repr(result[0]) == "<Reading: sad 70%, person 2, box (100, 100, 200, 220)>"
    assert result[0].probabilities["sad"] == pytest.approx(0.7)


def test_a_result_gives_its_rows(result: Result) -> None:
    first, second = result.to_dicts()
    assert tuple(first) == COLUMNS
    assert [first[name] for name in ("source", "frame", "time", "person", "shown")] == ["a.png", 3, 0.1, 2, "happy"]
    assert (second["emotion"], second["person"], second["x1"]) == ("fear", None, 300)
    assert first == mien.rows(result.frame, result)[0]


def test_a_result_gives_a_table_for_pandas(result: Result) -> None:
    pandas = pytest.importorskip("pandas")
    table = result.to_pandas()
    assert tuple(table.columns) == COLUMNS
    assert table["emotion"].tolist() == ["sad", "fear"]
    empty = Result(result.frame, ()).to_pandas()
    assert (len(empty), tuple(empty.columns)) == (0, COLUMNS)
    assert len(pandas.concat([table, table])) == 4


def test_without_pandas_the_extra_is_named() -> None:
    program = """
        import sys
        sys.modules["pandas"] = None  # importing it raises ImportError
        import numpy as np, mien
        try:
            mien.Result(mien.Frame(np.zeros((4, 4, 3), np.uint8)), ()).to_pandas()
        except mien.MissingExtra as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    assert "pip install 'mien[pandas]'" in done.stdout


def test_a_result_is_drawn_saved_and_shown_in_a_notebook(result: Result, tmp_path: Path) -> None:
    drawn = np.asarray(result.annotate())
    assert drawn.shape == result.frame.image.shape
    assert (drawn[100:220, 100:103] != result.frame.image[100:220, 100:103]).any(2).mean() > 0.9
    assert (drawn == mien.annotate(result.frame.image, result)).all()
    result.save(tmp_path / "out.png")
    result.save(str(tmp_path / "out.jpg"))
    assert (np.asarray(PIL.Image.open(tmp_path / "out.png")) == drawn).all()
    with pytest.raises(OutputError, match="use a name that ends in"):
        result.save(tmp_path / "out.xyz")
    shown = result._repr_html_()
    encoded = re.fullmatch(r'<img alt="2 faces" src="data:image/jpeg;base64,([A-Za-z0-9+/=]+)">', shown)
    assert encoded
    with PIL.Image.open(BytesIO(__import__("base64").b64decode(encoded[1]))) as preview:
        assert max(preview.size) == 480


def test_a_result_can_be_pickled(result: Result) -> None:
    again = pickle.loads(pickle.dumps(result))
    assert again.to_dicts() == result.to_dicts()
    assert (again.frame.image == result.frame.image).all()


# ---- watching


def blind() -> Pipeline:
    return Pipeline(lambda _: [], lambda _, faces: [[] for _ in faces])


def black() -> Image:
    return np.zeros((48, 64, 3), np.uint8)


def shaky(_: SourceStats) -> Generator[PendingFrame]:
    """A camera that is lost after ten pictures."""
    for number in range(10):
        time.sleep(0.01)
        yield PendingFrame(number / 100, black)


class Clip:
    """A source of ours that says whether it is walked through."""

    name, live = "clip", False
    stats = SourceStats()
    duration: float | None = 1.0
    sound: str | None = None
    open = False

    def notice(self) -> str:
        return ""

    def frames(self, stop: Callable[[], bool]) -> Generator[Frame]:
        del stop
        yield from iter(self)

    def __iter__(self) -> Generator[Frame]:
        self.open = True
        try:
            for index in range(20):
                yield Frame(black(), self.name, index)
            raise SourceError("the stream broke off")
        finally:
            self.open = False


def test_watch_yields_a_result_for_each_frame_and_frees_everything_when_closed(film: Film) -> None:
    portrait = film("portrait.mp4", (320, 240), frames=25)
    stream = mien.watch(portrait, every=5)
    result = next(stream)
    assert (result.frame.index, [reading.person for reading in result], [reading.shown for reading in result]) == (
        0,
        [1],
        [None],
    )
    stream.close()
    with pytest.raises(StopIteration):
        next(stream)
    assert [result.frame.index for result in mien.watch(str(portrait), fps=5)] == [0, 5, 10, 15, 20]


def test_smoothing_is_a_column_of_its_own(film: Film) -> None:
    portrait = film("portrait.mp4", (320, 240), frames=12)
    plain, smoothed = list(mien.watch(portrait)), list(mien.watch(portrait, smooth=0.5))
    for one, other in zip(plain, smoothed, strict=True):
        assert (one[0].scores == other[0].scores).all()
        assert one[0].shown is None and other[0].shown is not None


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("missing.mp4", "there is no file"),
        (63, "camera"),
        ("rtsp://127.0.0.1:9/a", "cannot be opened"),
        ("", "no name"),
    ],
)
def test_a_bad_source_is_told_at_the_call(source: str | int, says: str) -> None:
    with pytest.raises(SourceError, match=says):
        mien.watch(source, timeout=2)


@pytest.mark.parametrize("options", [{"every": 0}, {"fps": 0}, {"smooth": -1.0}])
def test_an_option_of_watch_that_makes_no_sense_is_told_at_the_call(film: Film, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options)) + "|time_constant"):
        mien.watch(film(frames=2), **options)


def test_a_slow_reader_is_told_what_was_dropped_and_when_the_source_was_lost() -> None:
    stream = Watch(Live("shaky", shaky, pauses=(0.05, 0.05)), blind())
    for result in stream:
        time.sleep(0.03)
        if result.frame.index > 12:
            break
    stream.close()
    assert stream.stats.dropped > 3
    assert stream.stats.reconnects == len(stream.stats.gaps) >= 1
    lost, back = stream.stats.gaps[0]
    assert back - lost > 0.05


def test_closing_leaving_or_forgetting_it_frees_the_source() -> None:
    clip = Clip()
    stream = Watch(clip, blind())
    assert next(stream).frame.index == 0
    assert clip.open
    stream.close()
    assert not clip.open
    with pytest.raises(StopIteration):
        next(stream)
    with Watch(clip, blind()) as stream:
        next(stream)
        assert clip.open
    assert not clip.open
    stream = Watch(clip, blind())
    next(stream)
    del stream
    assert not clip.open


def test_an_error_of_the_source_comes_after_the_frames_before_it() -> None:
    seen = []
    with pytest.raises(SourceError):
        for result in Watch(Clip(), blind()):
            seen.append(result.frame.index)  # noqa: PERF401 - the last one raises
    assert seen == list(range(20))


def test_no_warning_is_lost_or_silenced_by_reading_in_threads(reader: Reader, image: Image) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for number, _ in enumerate(reader.read([image] * 6, workers=3)):
            warnings.warn(f"mine {number}", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in said] == [f"mine {number}" for number in range(6)]
