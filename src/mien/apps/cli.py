"""The command line: the commands with their options, and the exit code.

Exit codes: 0 done; 1 some of several sources could not be read; 2 a bad option, source or output; 128 and the number
of the signal that ended it: 130 for Ctrl+C.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
import typer.core

from mien import __version__
from mien.apps import export as exporting
from mien.apps import measure as measuring
from mien.apps import serve as serving
from mien.apps import train as training
from mien.apps.options import (
    SMALLEST,
    Confidence,
    Device,
    Head,
    LongestSide,
    MinFace,
    Model,
    Threads,
    face_option,
    open_reader,
)
from mien.apps.terminal import finite, say
from mien.errors import MienError, SourceError, SourceWarning
from mien.sources.prefetch import hangs


class Commands(typer.core.TyperGroup):
    """The commands; the one place that turns how a command ended into the exit code."""

    def invoke(self, ctx: Any) -> None:
        """Run the command: what it returns is the exit code, an error of ours is one line and 2."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except MienError as error:
            say(str(error))
            code = 2
        except KeyboardInterrupt:
            code = 130
        except MemoryError:
            say("too little memory: end what else takes it, or take fewer or smaller images")
            code = 2
        except BrokenPipeError:  # the next program has read enough, as `head` does
            code = 1
        except OSError as error:
            if error.filename is not None:  # what has no name is standard output
                raise
            say(f"cannot write to standard output ({error.strerror}): give it more room or another place")
            code = 2
        try:
            sys.stdout.flush()
        except OSError:  # what it lacks room for has been said
            silence()
        raise typer.Exit(code or 0)


Csv = Annotated[Path | None, typer.Option(help="Write a CSV with a row for each face; - for the terminal.")]
Json = Annotated[Path | None, typer.Option(help="Write a JSON line for each face; - for the terminal.")]
Parquet = Annotated[Path | None, typer.Option(help="Write the same rows as Parquet.")]
CountsFile = Annotated[Path | None, typer.Option(help="Write a CSV of how often each emotion was seen.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print no table, only the line that sums up.")]
Force = Annotated[bool, typer.Option("--force", help="Write over files of a video that are there.")]

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default on the arguments of this process, and end with the exit code."""
    warnings.simplefilter("always", SourceWarning)
    warnings.showwarning = _show_warning
    if sys.stdout is None:  # closed by who started this
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process
    try:
        code = app(arguments, prog_name="mien", standalone_mode=False)
    except typer.TyperException as error:  # a wrong option; typer's own report of it takes a box of six lines
        if message := error.format_message():  # empty where the help was shown in its place
            say(f"{in_words(message).rstrip('.')}: see `{command_of(error)} --help`")
        code = 2
    if arguments is None and hangs():  # the process is ours: end it without taking Python down
        try:
            for stream in filter(None, (sys.stdout, sys.stderr)):  # None where the shell closed it
                stream.flush()
        finally:
            os._exit(code)
    sys.exit(code)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say what a source lacked in one line; anything else as Python does."""
    if issubclass(category, SourceWarning):
        say(str(message))
    else:
        (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))


def silence() -> None:
    """Let what is still to be written to standard output go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def in_words(message: str) -> str:
    """Say what a number is without the names that types have in a program."""
    return message.replace("valid float range", "number").replace("valid int range", "whole number")


def command_of(error: typer.TyperException) -> str:
    """Return the command that an option was wrong for, as it is typed."""
    context = getattr(error, "ctx", None)
    return context.command_path if context else "mien"


def show_version(asked: bool) -> None:
    """Print the version and end, when it was asked for."""
    if asked:
        print(f"mien {__version__}")
        raise typer.Exit


@app.callback()
def mien(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Mien sees a face and says which emotion it shows."""


@app.command()
def read(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE", help="Pictures, videos, folders or patterns of them; - for one on stdin."),
    ],
    image_out: Annotated[
        Path | None, typer.Option(help="Write the annotated picture; with several, the folder for them.")
    ] = None,
    counts: CountsFile = None,
    csv: Csv = None,
    json: Json = None,
    parquet: Parquet = None,
    faces: Annotated[
        bool, typer.Option("--faces", help="Each picture is one face already, as FER2013's are: classify all of it.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Open the annotated picture in a viewer.")] = False,
    recursive: Annotated[bool, typer.Option("--recursive", help="Read the folders in folders, too.")] = False,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out pictures whose annotated picture is there.")
    ] = False,
    quiet: Quiet = False,
    force: Force = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pictures read at the same time.  \\[default: one a core]")
    ] = None,
    min_face: Annotated[float | None, face_option(help=f"{SMALLEST}  \\[default: 20, in video 40]")] = None,
    min_confidence: Confidence = None,
    longest_side: LongestSide = None,
    model: Model = "s",
    head: Head = None,
    device: Device = "cpu",
    threads: Threads = 1,
) -> int:
    """Read the emotion of every face in pictures and videos."""
    from mien.apps.read import Outputs, read_sources

    outputs = Outputs(image_out, counts, csv, json, parquet, show, quiet, skip_existing, force)
    sizes = {"min_face": min_face, "min_confidence": min_confidence, "longest_side": longest_side}
    reader = open_reader(model, head=head, device=device, threads=threads, **sizes)
    return read_sources(sources, outputs, reader, recursive=recursive, faces=faces, workers=workers)


@app.command()
def watch(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="SOURCE", help="A video, a URL, or a camera's number or device.  \\[default: 0]"),
    ] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="A camera by its number, in place of SOURCE.")] = None,
    window: Annotated[bool, typer.Option(help="Show a window: q ends, space pauses, s snapshot, r record.")] = True,
    csv: Csv = None,
    json: Json = None,
    parquet: Parquet = None,
    counts: CountsFile = None,
    video_out: Annotated[Path | None, typer.Option(help="Write the annotated video, with its sound.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a timeline of each person's emotions.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Read every N-th frame; with --fps the fewer of the two.")] = 1,
    fps: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, callback=finite, help="Read at most so many frames a second."),
    ] = None,
    smooth: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="Time constant, in seconds, of the labels that are drawn; 0: as they come."
        ),
    ] = 0.25,
    memory: Annotated[
        float,
        typer.Option(min=0, callback=finite, help="Seconds out of sight after which somebody gets a new number."),
    ] = 10.0,
    timeout: Annotated[float, typer.Option(min=0.1, callback=finite, help="Seconds that a stream may be silent.")] = 10,
    force: Force = False,
    quiet: Quiet = False,
    min_face: MinFace = 40,
    min_confidence: Confidence = None,
    longest_side: LongestSide = None,
    model: Model = "s",
    head: Head = None,
    device: Device = "cpu",
    threads: Threads = 1,
) -> int:
    """Read the emotion of every face in a camera, a stream or a video, until it ends or `q` is pressed."""
    from mien.apps.watch import Options, Outputs, find_sources, watch_source, watch_sources
    from mien.sources.names import stands_for_several

    if sources and camera is not None:
        raise SourceError("SOURCE and --camera are two sources: give one of them")
    outputs = Outputs(csv, json, parquet, counts, video_out, plot, window, force, quiet)
    sizes = {"min_face": min_face, "min_confidence": min_confidence, "longest_side": longest_side}
    reader = open_reader(model, head=head, device=device, threads=threads, **sizes)
    options = Options(reader, every, fps, timeout, memory, smooth or None)
    if not sources:
        return watch_source(camera or 0, outputs, options)
    if len(sources) == 1 and not stands_for_several(sources[0]):
        return watch_source(sources[0], outputs, options)
    return watch_sources(find_sources(sources), outputs, options)


for group in (training, exporting, measuring, serving):
    group.add_to(app)


bench = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")
app.add_typer(bench, name="bench")


@bench.command("video")
def bench_video(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE", help="Video files.")],
    frames: Annotated[int, typer.Option(min=1, help="Frames of each that are read, at most.")] = 600,
    min_face: MinFace = 40,
    model: Model = "s",
) -> None:
    """Measure how fast videos are read on one core, decoding to CSV, and how good the followed boxes are."""
    from mien.apps.bench import bench_video as measure

    for source in sources:
        print(measure(source, frames, min_face, model))
