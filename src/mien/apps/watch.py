"""The command `watch`, and `read` for videos: a stream through the pipeline into every output, until it ends."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mien.apps.report import Bar, ConnectionNotice, print_summary, troubles
from mien.apps.stopping import Stop
from mien.apps.terminal import counted, printable, say
from mien.errors import OutputError, SourceError
from mien.files import STANDARD_OUTPUT, check_distinct, check_folder, check_output, explained, part_of
from mien.reader import Reader
from mien.run import Outcome, run
from mien.see.face import Frame, Reading
from mien.see.pipeline import BURST
from mien.sinks.sink import Sink
from mien.sinks.summary import Summary
from mien.sinks.tables import Counts, ParquetRows, csv_rows, json_rows
from mien.sinks.timeline import Timeline
from mien.sinks.video import Recording
from mien.sinks.window import NoDisplay, Window
from mien.sources.names import find, is_url, local_path, stands_for_several, without_password
from mien.sources.source import Source
from mien.sources.video import open_source

ENDINGS = {
    "csv": ".csv",
    "json": ".jsonl",
    "parquet": ".parquet",
    "counts": ".counts.csv",
    "video": ".mp4",
    "plot": ".png",
}
"""How the outputs of each of several videos end, by what they are."""


@dataclass(frozen=True)
class Outputs:
    """What is asked for besides the summary: files by their names, None for those that are not."""

    csv: Path | None = None
    json: Path | None = None
    parquet: Path | None = None
    counts: Path | None = None
    video: Path | None = None
    plot: Path | None = None
    window: bool = False
    force: bool = False  # write over files that are there
    quiet: bool = False  # no table of people
    skip_existing: bool = False  # leave out those of several sources whose files are all there

    def files(self) -> dict[str, Path]:
        """The files that are asked for, by what they are."""
        asked = {name: getattr(self, name) for name in ENDINGS}
        return {name: path for name, path in asked.items() if path}

    def are_files(self) -> bool:
        """Whether a file is asked for, in which only one source can be."""
        return any(path == STANDARD_OUTPUT or (path.suffix and not path.is_dir()) for path in self.files().values())

    def within(self, name: str) -> Outputs:
        """The outputs of one of several sources: a file of that name in each folder that is asked for."""
        places: dict[str, Any] = {kind: folder / f"{name}{ENDINGS[kind]}" for kind, folder in self.files().items()}
        return replace(self, **places)

    @contextmanager
    def folders(self) -> Iterator[None]:
        """Make the folders of several sources' outputs; those that stay empty go again. Raises OutputError."""
        for folder in self.files().values():
            with explained(folder):
                if folder == STANDARD_OUTPUT or (folder.suffix and not folder.is_dir()) or folder.is_file():
                    raise OutputError(f"cannot write {folder} for each of several sources: name a folder for it")
                check_folder(Path(os.path.realpath(folder)).parent)
        made = [folder for folder in self.files().values() if not folder.exists()]
        try:
            for folder in made:
                with explained(folder):
                    folder.mkdir(exist_ok=True)
            yield
        finally:
            for folder in made:
                with suppress(OSError):  # it holds what was written
                    folder.rmdir()

    def are_there(self) -> bool:
        """Whether every file that is asked for exists."""
        return bool(self.files()) and all(path.exists() for path in self.files().values())

    def check(self, source: str) -> None:
        """Raise OutputError for an output that is there, or is the source or another output."""
        files = list(self.files().values())
        parts = [part_of(Path(os.path.realpath(path))) for path in files]
        read = [] if is_url(source) and not source.startswith("file:") else [local_path(source)]
        check_distinct(read, [*files, *parts])
        for path in files:
            if path == STANDARD_OUTPUT:
                continue
            check_output(path)
            if not self.force and path.exists():
                raise OutputError(f"{path} is there already: use --force to write over it, or another name")
            part = part_of(Path(os.path.realpath(path)))
            if not self.force and part.exists():
                left = f"a run that was killed left what it had of {path} in {part.name}"
                raise OutputError(f"{left}: rename that to keep it, or use --force to write over it")


@dataclass(frozen=True)
class Options:
    """How a stream is read."""

    open_reader: Callable[[], Reader]
    every: int = 1  # of so many frames one is read
    fps: float | None = None  # frames a second that are read, at most
    timeout: float = 10.0  # seconds that a stream may be silent
    memory: float = 10.0  # seconds out of sight after which a person gets a new number
    smooth: float | None = None  # time constant in seconds of what is shown


def find_sources(names: Sequence[str]) -> list[str]:
    """The sources that names stand for: a folder or a pattern for the videos in it. Raises SourceError for none."""
    found = list[str]()
    for name in names:
        found += [video for video in find([name]).videos if video != name] if stands_for_several(name) else [name]
    if not found:
        raise SourceError("there is no video in what was given: name a video, or a folder that holds some")
    return list(dict.fromkeys(found))


def watch_sources(sources: Sequence[str], outputs: Outputs, options: Options) -> int:
    """Watch several sources one after the other and return the exit code: 1 where some could not be read.

    Each has outputs of its own in the folders that `outputs` name. Raises SourceError where none could be read.
    """
    if outputs.window:
        raise SourceError("a window shows one source: name one, or use --no-window")
    shown = [without_password(source) for source in sources]
    failed = 0
    with outputs.folders():
        for source, name, as_file in zip(sources, shown, _distinct_names(shown), strict=True):
            its_outputs = outputs.within(as_file)
            if outputs.skip_existing and its_outputs.are_there():
                continue
            say(f"{name}:")
            try:
                code = watch_source(source, its_outputs, options)
            except (SourceError, OutputError) as error:
                say(str(error))
                failed += 1
                continue
            if code:  # stopped by a signal
                return code
    if failed == len(sources):
        raise SourceError("no video could be read to its end")
    return 1 if failed else 0


def watch_source(source: str | int, outputs: Outputs, options: Options) -> int:
    """Watch a source until it ends, `q` is pressed or a signal comes, and return the exit code.

    What cannot be written is known before anything is loaded or read. However the stream ends, every output is whole;
    what ended it is raised then.
    """
    outputs.check(str(source))
    with Stop() as stop:
        opened = open_source(source, every=options.every, fps=options.fps, timeout=options.timeout, stop=stop)
        window = _window(opened, stop) if outputs.window else None
        connection = ConnectionNotice(opened)

        def ended() -> bool:
            connection.look()
            return stop() or (window is not None and window.closed)

        def waiting() -> bool:
            return ended() or (window is not None and window.poll())

        summary, sinks = Summary(), list(_sinks(outputs, opened, options))
        sinks += [window] if window else []
        with Bar(opened.duration if not window else None) as bar, closing(opened.frames(waiting)) as frames:
            reader = options.open_reader()
            pipeline = reader.pipeline(live=opened.live, memory=options.memory, smooth=options.smooth)

            def progress(frame: Frame, readings: Sequence[Reading]) -> None:
                summary.write(frame, readings)
                bar.write(frame, readings)

            results = pipeline(frames, 1 if opened.live or window else BURST)
            try:
                outcome = run(results, sinks, stop=ended, progress=progress)
            except NoDisplay as error:
                raise NoDisplay(f"{error} (--no-window)") from None
    _report(summary, opened, outputs, outcome)
    if pipeline.unconfirmed and not opened.live:
        say(f"{counted(pipeline.unconfirmed, 'face')} without a row: the detector was never sure of them")
    if problem := outcome.problem():
        raise problem
    return stop.code


def _window(opened: Source, stop: Stop) -> Window:
    try:
        return Window(f"Mien: {printable(opened.name)}", paced=not opened.live, notice=opened.notice, stop=stop)
    except NoDisplay as error:
        raise NoDisplay(f"{error} (--no-window)") from None


def _sinks(outputs: Outputs, source: Source, options: Options) -> Iterator[Sink]:
    """Yield the sinks for what is asked for."""
    if outputs.csv:
        yield csv_rows(outputs.csv)
    if outputs.json:
        yield json_rows(outputs.json)
    if outputs.parquet:
        yield ParquetRows(outputs.parquet)
    if outputs.counts:
        yield Counts(outputs.counts)
    if outputs.video:
        yield Recording(outputs.video, source.sound, options.timeout)
    if outputs.plot:
        yield Timeline(outputs.plot)


def _report(summary: Summary, source: Source, outputs: Outputs, outcome: Outcome) -> None:
    """Print who was seen, and what went wrong on the way."""
    if STANDARD_OUTPUT not in outputs.files().values():
        print_summary(summary, source.stats.dropped, quiet=outputs.quiet)
        if outcome.stopped and not source.live and not outputs.window:
            print("stopped before the end: the outputs hold what was read until then")
    elif source.stats.dropped:
        say(f"{counted(source.stats.dropped, 'older frame')} dropped to keep up")
    for line in troubles(source.stats):
        say(line)


def _distinct_names(sources: Sequence[str]) -> list[str]:
    """A name for the outputs of each source: its file's name, with a number where another has the same."""
    names = list[str]()
    for source in sources:
        path = urlsplit(source).path if is_url(source) else source
        name = Path(path).name.replace("%", "") or "stream"
        taken = sum(other == name or other.startswith(f"{name}-") for other in names)
        names.append(f"{name}-{taken + 1}" if name in names else name)
    return names
