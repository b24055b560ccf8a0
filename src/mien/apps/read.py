"""The command `read`: from the names of pictures to the files and the table that were asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from mien.apps.terminal import counted, print_table, printable, say
from mien.errors import OutputError, SourceError
from mien.files import STANDARD_OUTPUT, check_distinct, is_folder
from mien.labels import COLOURS, EMOTIONS
from mien.see.face import Frame, Reading
from mien.see.pipeline import Pipeline
from mien.sinks.draw import annotate
from mien.sinks.pictures import AnnotatedFolder, AnnotatedPicture, Counts, CsvRows, JsonLines, Sink, show_picture
from mien.sources.pictures import find_pictures, open_pictures


@dataclass(frozen=True)
class Outputs:
    """What is asked for besides the table: files by their names, None for those that are not."""

    image: Path | None = None  # with several pictures a folder
    counts: Path | None = None
    csv: Path | None = None
    json: Path | None = None
    show: bool = False

    def files(self) -> list[Path]:
        """List the files that are asked for."""
        return [path for path in (self.image, self.counts, self.csv, self.json) if path]


def read_pictures(sources: Sequence[str], outputs: Outputs, open_pipeline: Callable[[], Pipeline]) -> int:
    """Read pictures and return the exit code: 1 when some of several could not be read, which are reported.

    Outputs are checked before the pipeline is opened and anything is read. Raises SourceError when no picture can be
    read.
    """
    pictures = find_pictures(sources)
    several = pictures != [Path(sources[0])]  # a folder of one picture is several, or the next one would change that
    report = Report(several)
    bad: list[SourceError] = []

    def skip(error: SourceError) -> None:
        say(str(error))
        bad.append(error)

    checked = list(_sinks(outputs, pictures, several))  # all of them before the first is opened
    with ExitStack() as stack:
        sinks = [stack.enter_context(sink) for sink in checked]
        pipeline = open_pipeline()
        bar = stack.enter_context(_progress(several))
        frames = open_pictures(bar.track(pictures, description="reading"), on_error=skip if several else None)
        for frame, readings in pipeline(frames):
            report.write(frame, readings)
            for sink in sinks:
                sink.write(frame, readings)
        if len(bad) == len(pictures):
            raise SourceError("no picture could be read, and nothing is written")
    if STANDARD_OUTPUT not in outputs.files():
        report.print()
    if outputs.show and not show_picture(annotate(frame.image, readings)):
        say("there is no display to show the picture on: use --image-out")
    return 1 if bad else 0


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
        yield CsvRows(outputs.csv)
    if outputs.json:
        yield JsonLines(outputs.json)


def _progress(several: bool) -> Progress:
    """Return a progress bar on stderr, which shows itself only for several pictures and on a terminal."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=not (several and console.is_terminal))


class Report:
    """What the terminal shows at the end: a table of all faces, and a line that sums them up."""

    def __init__(self, several: bool) -> None:
        self.several = several
        self.pictures = self.without = 0
        self.counts = Counter[str]()
        self.table = Table(box=SIMPLE_HEAD, show_edge=False)
        for column in (["picture"] if several else []) + ["face", "emotion", "probability", "box"]:
            self.table.add_column(column, overflow="fold")

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Take in the readings of one picture."""
        self.pictures += 1
        self.without += not readings
        self.counts.update(reading.emotion for reading in readings)
        for number, reading in enumerate(readings, 1):
            self.table.add_row(*([Text(printable(frame.name))] if self.several else []), *_cells(number, reading))

    def print(self) -> None:
        """Print the table and the line under it."""
        if self.counts:
            print_table(self.table)
        print(self.summary())

    def summary(self) -> str:
        """Return one line: how many faces there are, and which emotions they show."""
        faces = self.counts.total()
        emotions = ", ".join(f"{self.counts[emotion]} {emotion}" for emotion in EMOTIONS if self.counts[emotion])
        if not self.several:
            return f"{counted(faces, 'face')}: {emotions}" if faces else "no face found; the picture stays unchanged"
        found = f"{counted(self.pictures, 'picture')}, {counted(faces, 'face')}" + (f": {emotions}" if faces else "")
        return f"{found}; no face in {counted(self.without, 'picture')}" if self.without else found


def _cells(number: int, reading: Reading) -> list[str | Text]:
    red, green, blue = COLOURS[EMOTIONS.index(reading.emotion)]
    x1, y1, x2, y2 = (f"{at:.0f}" for at in reading.face.box)
    emotion = Text(reading.emotion, style=f"rgb({red},{green},{blue})")
    return [str(number), emotion, f"{reading.probability:.0%}", f"{x1},{y1} to {x2},{y2}"]
