"""The command `read`: pictures and videos, by whatever names, into the files and the table that were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from itertools import takewhile
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from mien.apps import watch
from mien.apps.stopping import Stop
from mien.apps.terminal import counted, picture_bar, print_table, printable, say
from mien.errors import OutputError, SourceError
from mien.files import STANDARD_OUTPUT, check_distinct, is_folder
from mien.labels import COLOURS, EMOTIONS
from mien.reader import Reader, Result
from mien.run import run
from mien.see.face import Frame, Reading
from mien.sinks.draw import annotate
from mien.sinks.pictures import AnnotatedFolder, AnnotatedPicture, show_picture
from mien.sinks.sink import Sink
from mien.sinks.tables import Counts, ParquetRows, csv_rows, json_rows
from mien.sources.names import Found, find, without_password

MOST_ROWS = 50  # faces that the terminal's table shows
STOPPED = 128  # and more: the exit code of a run that a signal ended


@dataclass(frozen=True)
class Outputs:
    """What is asked for: files by their names, None for those that are not."""

    image: Path | None = None  # with several pictures a folder
    counts: Path | None = None
    csv: Path | None = None
    json: Path | None = None
    parquet: Path | None = None
    show: bool = False
    quiet: bool = False  # no table
    skip_existing: bool = False  # leave out pictures whose annotated picture is there
    force: bool = False  # write over the tables of a video that are there

    def files(self) -> list[Path]:
        """List the files that are asked for."""
        return [path for path in (self.image, self.counts, self.csv, self.json, self.parquet) if path]


def read_sources(
    sources: Sequence[str],
    outputs: Outputs,
    open_reader: Callable[[], Reader],
    *,
    recursive: bool = False,
    faces: bool = False,
    workers: int | None = None,
) -> int:
    """Read pictures and videos and return the exit code: 1 when some of several could not be read, which are reported.

    Outputs are checked before the networks are opened and anything is read. Raises SourceError when nothing can be
    read.
    """
    found = find(sources, recursive=recursive)
    deeper = "" if recursive else ": --recursive reads the folders in it"
    reasons = found.left_out + [f"{folder} has no picture or video in it{deeper}" for folder in found.empty]
    if not found.pictures and not found.videos:
        raise SourceError("; ".join(reasons))
    for reason in reasons:
        say(reason)
    code = 1 if reasons else 0
    read = partial(
        read_pictures, found.pictures, open_reader=open_reader, several=not found.alone, faces=faces, workers=workers
    )
    if not found.videos:
        return max(code, read(outputs=outputs))
    if outputs.image or outputs.show or (found.pictures and _tables(outputs).are_files()):
        _leave_out_videos(found, outputs)
        return max(1, read(outputs=outputs))
    code = max(code, _read_videos(found, _tables(outputs), watch.Options(open_reader)))
    if code >= STOPPED or not found.pictures:
        return code
    with _tables(outputs).folders():
        return max(code, read(outputs=outputs_in_folders(outputs)))


def _leave_out_videos(found: Found, outputs: Outputs) -> None:
    """Say of each video why it is left out among pictures. Raises OutputError where there are only videos."""
    instead = "for an annotated video use mien watch with --video-out"
    if not found.pictures:
        raise OutputError(f"--image-out and --show are for pictures: {instead}")
    if not (outputs.image or outputs.show):
        instead = "read it by itself, or name folders for the tables"
    for video in found.videos:
        say(f"{without_password(video)} is a video, and left out: {instead}")


def _read_videos(found: Found, outputs: watch.Outputs, options: watch.Options) -> int:
    """Read the videos that were found, each into outputs of its own where there may be several."""
    if found.alone:
        return watch.watch_source(found.videos[0], outputs, options)
    try:
        return watch.watch_sources(found.videos, outputs, options)
    except SourceError as error:
        if not found.pictures:
            raise
        say(str(error))
        return 1


def _tables(outputs: Outputs) -> watch.Outputs:
    """The outputs of pictures that videos have too."""
    return watch.Outputs(
        outputs.csv,
        outputs.json,
        outputs.parquet,
        outputs.counts,
        force=outputs.force,
        quiet=outputs.quiet,
        skip_existing=outputs.skip_existing,
    )


def outputs_in_folders(outputs: Outputs) -> Outputs:
    """The outputs of the pictures that were found among videos, in the folders that each video has its own in."""
    places = _tables(outputs).within("pictures")
    return replace(outputs, counts=places.counts, csv=places.csv, json=places.json, parquet=places.parquet)


def read_pictures(
    pictures: Sequence[Path],
    outputs: Outputs,
    open_reader: Callable[[], Reader],
    *,
    several: bool,
    faces: bool = False,
    workers: int | None = None,
) -> int:
    """Read pictures and return the exit code; Ctrl+C and signals end it with what there is."""
    sinks = list(_sinks(outputs, pictures, several))  # all of them are checked before the first is opened
    if outputs.skip_existing:
        pictures = _missing(pictures, outputs, sinks)
        if not pictures:
            print("all annotated pictures are there already")
            return 0
    report = Report(several, pictures=outputs.image is not None)
    bad: list[SourceError] = []
    with Stop() as stop, picture_bar(len(pictures)) if several else nullcontext(lambda: None) as step:

        def skip(error: SourceError) -> None:
            say(str(error))
            bad.append(error)
            step()

        asked = takewhile(lambda _: not stop(), pictures)
        results = open_reader().read(asked, faces=faces, workers=workers, on_error=skip if several else None)
        outcome = run(_pairs(results, step, stop), sinks, stop=stop, progress=report.write)
    if STANDARD_OUTPUT not in outputs.files():
        report.print(quiet=outputs.quiet)
        if outcome.stopped:
            print("stopped before the end: the outputs hold what was read until then")
    if outputs.show and report.last and not show_picture(annotate(report.last[0].image, report.last[1])):
        say("there is no display to show the picture on: use --image-out")
    if problem := outcome.problem():
        raise problem
    return stop.code or (1 if bad else 0)


def _pairs(
    results: Iterator[Result], step: Callable[[], object], stop: Stop
) -> Generator[tuple[Frame, Sequence[Reading]]]:
    """The results as the loop takes them. Raises SourceError where there was none."""
    any_read = False
    with closing(results):  # type: ignore[type-var]
        for result in results:
            any_read = True
            yield result.frame, result
            step()
    if not any_read and not stop():
        raise SourceError("no picture could be read, and nothing is written")


def _sinks(outputs: Outputs, pictures: Sequence[Path], several: bool) -> Iterator[Sink]:
    """Yield the sinks for what is asked for, each of which raises OutputError when it could not be written."""
    if outputs.show and several:
        raise OutputError("--show opens one picture: name one, or use --image-out")
    check_distinct(pictures, outputs.files())
    if outputs.image and (several or is_folder(outputs.image)):
        folder = AnnotatedFolder(outputs.image, pictures)
        check_distinct(pictures, map(folder.place, pictures))
        yield folder
    elif outputs.image:
        yield AnnotatedPicture(outputs.image)
    if outputs.counts:
        yield Counts(outputs.counts)
    if outputs.csv:
        yield csv_rows(outputs.csv, all_frames=True)
    if outputs.json:
        yield json_rows(outputs.json, all_frames=True)
    if outputs.parquet:
        yield ParquetRows(outputs.parquet, all_frames=True)


def _missing(pictures: Sequence[Path], outputs: Outputs, sinks: Sequence[Sink]) -> list[Path]:
    """The pictures whose annotated picture is not there yet. Raises OutputError where rows would be lost by that."""
    if not outputs.image:
        raise OutputError("--skip-existing looks for annotated pictures: give their folder by --image-out")
    for path in (outputs.counts, outputs.csv, outputs.json, outputs.parquet):
        if path and path != STANDARD_OUTPUT and path.exists():
            raise OutputError(f"{path} is there, and would lack the pictures that are skipped: use another name")
    folder = next((sink for sink in sinks if isinstance(sink, AnnotatedFolder)), None)
    return [picture for picture in pictures if not (folder.place(picture) if folder else outputs.image).exists()]


class Report:
    """What the terminal shows at the end: a table of the faces, and a line that sums them up."""

    def __init__(self, several: bool, *, pictures: bool) -> None:
        self.several, self.writes = several, pictures
        self.pictures = self.without = self.rows = 0
        self.counts = Counter[str]()
        self.last: tuple[Frame, Sequence[Reading]] | None = None
        self.table = Table(box=SIMPLE_HEAD, show_edge=False)
        for column in (["picture"] if several else []) + ["face", "emotion", "probability", "box"]:
            self.table.add_column(column, overflow="fold")

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the readings of one picture."""
        self.pictures += 1
        self.without += not readings
        self.counts.update(reading.emotion for reading in readings)
        self.last = None if self.several else (frame, readings)  # a picture more in memory, for --show
        cells = [_cells(number, reading) for number, reading in enumerate(readings, 1)]
        for row in cells or ([["–", "no face", "", ""]] if self.several else []):
            self.rows += 1
            if self.rows <= MOST_ROWS:
                self.table.add_row(*([Text(printable(frame.name))] if self.several else []), *row)

    def print(self, *, quiet: bool) -> None:
        """Print the table, unless quiet, and the line under it."""
        if self.rows and not quiet:
            print_table(self.table)
            if self.rows > MOST_ROWS:
                print(f"and {self.rows - MOST_ROWS:,} more")
        print(self.summary())

    def summary(self) -> str:
        """Return one line: how many faces there are, and which emotions they show."""
        faces = self.counts.total()
        emotions = ", ".join(f"{self.counts[emotion]} {emotion}" for emotion in EMOTIONS if self.counts[emotion])
        if not self.several:
            unchanged = "; the picture is written as it is" if self.writes else ""
            return f"{counted(faces, 'face')}: {emotions}" if faces else f"no face found{unchanged}"
        found = f"{counted(self.pictures, 'picture')}, {counted(faces, 'face')}" + (f": {emotions}" if faces else "")
        return f"{found}; no face in {counted(self.without, 'picture')}" if self.without else found


def _cells(number: int, reading: Reading) -> list[str | Text]:
    red, green, blue = COLOURS[EMOTIONS.index(reading.emotion)]
    x1, y1, x2, y2 = (f"{at:.0f}" for at in reading.face.box)
    emotion = Text(reading.emotion, style=f"rgb({red},{green},{blue})")
    turned = f", turned by {reading.face.turn}°" if reading.face.turn else ""
    return [f"{number}{turned}", emotion, f"{reading.probability:.0%}", f"{x1},{y1} to {x2},{y2}"]
