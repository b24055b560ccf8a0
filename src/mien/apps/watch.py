"""The command `watch`, and `read` for videos: a stream through the pipeline into every output, until it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from mien.apps.checkpoint import Checkpoints, checkpoint_of, fingerprint, same_place
from mien.apps.report import Bar, Loss, print_summary, silence, troubles
from mien.apps.stopping import Stop
from mien.apps.terminal import counted, printable, say
from mien.errors import MienError, OutputError
from mien.files import STANDARD_OUTPUT, check_distinct, check_output
from mien.see.face import Frame
from mien.see.pipeline import BURST, Pipeline, open_pipeline
from mien.sinks.pictures import Counts, Sink
from mien.sinks.summary import Summary, Timeline
from mien.sinks.tables import GrowingRows, ParquetRows, growing_csv, growing_json, part_of
from mien.sinks.video import Recording
from mien.sinks.window import Window
from mien.sources.source import Source
from mien.sources.video import VideoFile, open_source, path_of


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
    resume: bool = False  # go on where a killed run stopped
    of_read: bool = False  # asked of `mien read`, which has no --resume

    def files(self) -> list[Path]:
        """List the files that are asked for."""
        asked = (self.csv, self.json, self.parquet, self.counts, self.video, self.plot)
        return [path for path in asked if path]

    def tables(self) -> list[Path]:
        """List those that a killed run can go on with."""
        return [path for path in (self.csv, self.json) if path and path != STANDARD_OUTPUT]

    def parts(self) -> dict[Path, Path]:
        """Map the files that grow in a part beside their place to that part."""
        return {path: part_of(path) for path in (*self.tables(), self.parquet, self.video) if path}

    def check(self, source: str) -> None:
        """Raise OutputError for an output that is there, is the source or another output, or cannot be resumed."""
        check_distinct([Path(path_of(source))], [*self.files(), *self.parts().values()])
        if self.resume and not self.resumable():
            raise OutputError("--resume goes on with --csv, --json and --counts: ask for these alone")
        killed = bool(self.tables()) and checkpoint_of(self.tables()).exists()
        for path in [] if self.force else self.files():
            if path == STANDARD_OUTPUT or (self.resume and killed):
                continue
            check_output(path)
            if path.exists():
                resumed = ", and no run that was stopped left it" if self.resume else ""
                raise OutputError(f"{path} is there already{resumed}: use --force to write over it, or another name")
            part = self.parts().get(path)
            if part and part.exists() and not self.resume:
                goes_on = "--resume goes on, " if killed and path in self.tables() else ""
                begun = f"{path} was begun by a run that was killed, which left {part.name}"
                raise OutputError(f"{begun}: {goes_on}--force starts anew")

    def resumable(self) -> bool:
        """Can a run that was stopped go on with these?"""
        return bool(self.tables()) and not (self.parquet or self.video or self.plot)

    @property
    def goes_on(self) -> str:
        """What goes on with the tables of a run that was stopped."""
        if self.of_read:
            return "mien watch with the same options and --resume goes"
        return "the same command with --resume goes" if self.resumable() else "the tables alone with --resume go"


@dataclass(frozen=True)
class Options:
    """How a stream is read; what is None is left to the packaged model and the source."""

    every: int = 1  # of so many frames one is read
    fps: float | None = None  # frames a second that are read, at most
    timeout: float = 10.0  # seconds that a stream may be silent
    model: str | None = None  # s, m, or an ONNX file that `mien export` wrote
    head: str | None = None  # the one of its heads that is asked
    min_face: float = 40.0  # side in pixels of the smallest face that is looked for

    def open_pipeline(self) -> Pipeline:
        """Load the networks. Raises ModelError."""
        return open_pipeline(self.model, head=self.head, min_face=self.min_face, stream=True)


def watch_source(source: str | int, outputs: Outputs, options: Options) -> int:
    """Watch a source until it ends, `q` is pressed or a signal comes, and return the exit code.

    What cannot be written is known before anything is loaded or read. However the stream ends, every output is whole;
    what ended it is raised then.
    """
    outputs.check(str(source))
    with Stop() as stop, ExitStack() as stack:
        title = f"Mien: {printable(str(source))}"
        window = stack.enter_context(Window(title, stop=stop)) if outputs.window else None
        loss = Loss()

        def ended() -> bool:
            loss.look()
            return stop() or (window is not None and window.poll())

        opened = open_source(source, every=options.every, fps=options.fps, timeout=options.timeout, stop=ended)
        loss.source = opened
        if window:
            window.paced, window.notice = not opened.live, partial(silence, opened)
        run = Run(opened, outputs, options, window)
        problem = run.through(options.open_pipeline(), ended)
        run.report()
    if problem:
        raise problem
    return stop.code


def read_video(source: str, outputs: Outputs, options: Options, *, pictures: bool) -> int:
    """Read a video where pictures could be read as well, and return the exit code."""
    if pictures:
        raise OutputError("--image-out and --show are for pictures: use mien watch with --video-out")
    return watch_source(source, replace(outputs, force=True, of_read=True), options)


class Run:
    """One stream on its way through the pipeline into its outputs."""

    def __init__(self, source: Source, outputs: Outputs, options: Options, window: Window | None) -> None:
        self.source, self.outputs, self.options, self.window = source, outputs, options, window
        self.counts = Counts(outputs.counts) if outputs.counts else None
        self.summary = Summary()
        self.tables: dict[Path, GrowingRows] = {}
        self.checkpoints: Checkpoints | None = None
        if isinstance(source, VideoFile) and outputs.tables() and source.address.startswith("file:"):
            places = sorted(map(same_place, [*outputs.tables(), *filter(None, [outputs.counts])]))
            settings = {"video": fingerprint(Path(source.name)), "outputs": places}
            settings |= {name: str(value) for name, value in asdict(options).items()}
            self.checkpoints = Checkpoints(checkpoint_of(outputs.tables()), settings)

    def through(self, pipeline: Pipeline, ended: Callable[[], bool]) -> Exception | None:
        """Read the stream to its end; return what ended it before, if any outputs were kept nevertheless."""
        problems: list[Exception] = []
        stopped = False
        pipeline, sizes = self._resumed(pipeline)
        with ExitStack() as stack:
            sinks = [*self._sinks(sizes)]  # all are checked, then opened
            for sink in sinks:
                stack.enter_context(apart(sink, problems))
            stack.push(self._forget)
            if not sizes:  # whatever ends the run from here on, --resume goes on
                self._mark(-1, pipeline, now=True)
            progress = stack.enter_context(self._progress())
            walk = stack.enter_context(closing(iter(self.source)))
            size = 1 if self.source.live or self.window else BURST
            results = stack.enter_context(closing(pipeline.bursts(walk, size)))
            frame: Frame | None = None
            try:
                for burst in results:
                    for each, readings in burst:
                        for sink in sinks:
                            sink.write(each, readings)
                        progress.write(each)
                    frame, stopped = burst[-1][0], ended()
                    self._mark(frame.index, pipeline, now=stopped)
                    if stopped:
                        break
                else:  # the source asks for an end as well, and may be the first to hear of one
                    if frame and ended():
                        self._mark(frame.index, pipeline, now=True)
            except (MienError, BrokenPipeError) as error:  # a lost stream, a full disk, a reader that has enough
                if not self.summary.frames:
                    raise
                problems.append(error)
            stopped = stopped or ended()  # also before there was a frame
        if self.checkpoints and not stopped and not problems:
            self.checkpoints.remove()
        return together(problems)

    def _sinks(self, sizes: dict[str, int]) -> Iterator[Sink]:
        """Yield the sinks for what is asked for."""
        outputs = self.outputs
        for path, growing in ((outputs.csv, growing_csv), (outputs.json, growing_json)):
            if path:
                self.tables[path] = growing(path, begin_at=sizes.get(same_place(path)))
                yield self.tables[path]
        if outputs.parquet:
            yield ParquetRows(outputs.parquet)
        if self.counts:
            yield self.counts
        if outputs.video:
            sound = self.source.address if isinstance(self.source, VideoFile) else None
            yield Recording(outputs.video, sound, self.options.timeout)
        if outputs.plot:
            yield Timeline(outputs.plot)
        yield self.summary
        if self.window:
            yield Shown(self.window)

    def _resumed(self, pipeline: Pipeline) -> tuple[Pipeline, dict[str, int]]:
        """Return the pipeline, and the size of each table, as a killed run left them."""
        if not self.outputs.resume:
            if self.checkpoints:
                self.checkpoints.remove()  # of a run whose tables are written over
            return pipeline, {}
        if not (self.checkpoints and isinstance(self.source, VideoFile)):
            raise OutputError("--resume goes on with a video file: leave it out")
        found = self.checkpoints.load(pipeline)
        if found is None:  # nothing was read by then
            return pipeline, {}
        detect, track = found.steps
        self.source.after = found.index
        counts, self.summary = found.sums
        if self.counts:
            self.counts.counts = counts
        return replace(pipeline, detect=detect, track=track), found.sizes

    def _mark(self, index: int, pipeline: Pipeline, *, now: bool) -> None:
        """Write a checkpoint behind the frame of that index: `now`, or when it is time."""
        if self.checkpoints and (now or self.checkpoints.due()):
            sizes = {same_place(path): table.size for path, table in self.tables.items()}
            self.checkpoints.write(index, sizes, pipeline, [self.counts and self.counts.counts, self.summary])

    def _forget(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave no checkpoint where the tables go: an error before the first frame, a second Ctrl+C."""
        if self.checkpoints and kind:
            self.checkpoints.remove()

    def _progress(self) -> Bar:
        return Bar(self.source.duration if not self.window else None)

    def report(self) -> None:
        """Print who was seen, and what went wrong on the way."""
        if STANDARD_OUTPUT not in self.outputs.files():
            print_summary(self.summary, self.source.stats.dropped)
            if self.checkpoints and self.checkpoints.path.exists():
                print(f"stopped before the end: {self.outputs.goes_on} on from here")
        elif self.source.stats.dropped:
            say(f"{counted(self.source.stats.dropped, 'older frame')} dropped to keep up")
        for line in troubles(self.source.stats):
            say(line)


@contextmanager
def apart(sink: Sink, problems: list[Exception]) -> Iterator[None]:
    """Open a sink and close it; what goes wrong in closing is noted, so that the other sinks keep what they have."""
    sink.__enter__()
    try:
        yield
    except BaseException as error:
        sink.__exit__(type(error), error, error.__traceback__)
        raise
    try:
        sink.__exit__(None, None, None)
    except Exception as error:  # raised when all are closed
        problems.append(error)


def together(problems: list[Exception]) -> Exception | None:
    """Return one error that says what all of them do; what is a bug, and no error of ours, goes before."""
    ours = [problem for problem in problems if isinstance(problem, MienError)]
    bugs = [problem for problem in problems if not isinstance(problem, (MienError, BrokenPipeError))]
    if bugs or not ours:
        return next(iter(bugs or problems), None)
    return ours[0] if len(ours) == 1 else MienError("; ".join(dict.fromkeys(map(str, ours))))


class Shown:
    """A window that is open already, as a sink."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.write = window.write

    def __enter__(self) -> Shown:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the window to whom it belongs."""
