"""The command line: the commands with their options, and the exit code.

Exit codes: 0 done; 1 some of many pictures could not be read; 2 nothing was done: a bad option, source or output;
130 stopped by Ctrl+C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from mien import __version__
from mien.apps import export as exporting
from mien.apps import measure as measuring
from mien.apps import train as training
from mien.apps.terminal import finite, say
from mien.errors import MienError, SourceError
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
            silence()
            code = 1
        except OSError as error:
            if error.filename is not None:  # what has no name is standard output
                raise
            silence()
            say(f"cannot write to standard output ({error.strerror}): give it more room or another place")
            code = 2
        raise typer.Exit(code or 0)


SMALLEST = "Side of the smallest face looked for, in pixels."
face_option = partial(typer.Option, min=12, metavar="PIXELS", callback=finite)
MinFace = Annotated[float, face_option(help=SMALLEST)]

Model = Annotated[
    str | None,
    typer.Option(help="s, m (larger, more often right) or an ONNX file that `mien export` wrote.  \\[default: s]"),
]

Head = Annotated[
    str | None, typer.Option(help="Whose labels are spoken: official, ferplus or blend.  \\[default: the model's own]")
]

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, by default on the arguments of this process, and end with the exit code."""
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
        list[str], typer.Argument(metavar="SOURCE...", help="Pictures, folders or patterns of them; a video.")
    ],
    image_out: Annotated[
        Path | None, typer.Option(help="Write the annotated picture; with several, the folder for them.")
    ] = None,
    counts: Annotated[Path | None, typer.Option(help="Write a CSV of how often each emotion was seen.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a CSV with a row for each face; - for the terminal.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write a JSON line for each face; - for the terminal.")] = None,
    show: Annotated[bool, typer.Option("--show", help="Open the annotated picture in a viewer.")] = False,
    min_face: Annotated[float | None, face_option(help=f"{SMALLEST}  \\[default: 20, in video 40]")] = None,
    model: Model = None,
    head: Head = None,
) -> int:
    """Read the emotion of every face in pictures, or in a video."""
    from mien.apps.read import Outputs, read_pictures
    from mien.see.pipeline import open_pipeline
    from mien.sources.video import is_video

    if len(sources) == 1 and is_video(sources[0]):
        from mien.apps import watch as watching

        tables = watching.Outputs(csv, json, counts=counts)
        options = watching.Options(model=model, head=head, min_face=min_face or 40.0)
        return watching.read_video(sources[0], tables, options, pictures=bool(image_out or show))
    outputs = Outputs(image_out, counts, csv, json, show)
    return read_pictures(sources, outputs, partial(open_pipeline, model, head=head, min_face=min_face or 20.0))


@app.command()
def watch(
    source: Annotated[
        str | None, typer.Argument(help="A video file, a URL, or the number or device of a camera.  \\[default: 0]")
    ] = None,
    camera: Annotated[int | None, typer.Option(min=0, help="A camera by its number, in place of SOURCE.")] = None,
    window: Annotated[bool, typer.Option(help="Show a window: q ends, space pauses, s snapshot, r record.")] = True,
    csv: Annotated[Path | None, typer.Option(help="Write a CSV with a row for each face in each frame.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write a JSON line for each face in each frame.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="Write the same rows as Parquet.")] = None,
    counts: Annotated[Path | None, typer.Option(help="Write a CSV of how often each emotion was seen.")] = None,
    video_out: Annotated[Path | None, typer.Option(help="Write the annotated video, with its sound.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw a timeline of each person's emotions.")] = None,
    every: Annotated[int, typer.Option(min=1, help="Read every N-th frame; with --fps the fewer of the two.")] = 1,
    fps: Annotated[
        float | None,
        typer.Option(min=0.001, max=1e6, callback=finite, help="Read at most so many frames a second."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, callback=finite, help="Seconds that a stream may be silent.")] = 10,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a file where a run was stopped.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
    min_face: MinFace = 40,
    model: Model = None,
    head: Head = None,
) -> int:
    """Read the emotion of every face in a camera, a stream or a video, until it ends or `q` is pressed."""
    from mien.apps.watch import Options, Outputs, watch_source

    outputs = Outputs(csv, json, parquet, counts, video_out, plot, window, force, resume)
    options = Options(every, fps, timeout, model, head, min_face)
    if source is not None and camera is not None:
        raise SourceError("SOURCE and --camera are two sources: give one of them")
    return watch_source(camera or 0 if source is None else source, outputs, options)


for group in (training, exporting, measuring):
    group.add_to(app)


bench = typer.Typer(no_args_is_help=True, help="Measure speed on this machine.")
app.add_typer(bench, name="bench")


@bench.command("video")
def bench_video(
    sources: Annotated[list[str], typer.Argument(metavar="SOURCE...", help="Video files.")],
    frames: Annotated[int, typer.Option(min=1, help="Frames of each that are read, at most.")] = 600,
    min_face: MinFace = 40,
    model: Model = None,
) -> None:
    """Measure how fast videos are read on one core, decoding to CSV, and how good the followed boxes are."""
    from mien.apps.bench import bench_video as measure

    for source in sources:
        print(measure(source, frames, min_face, model))
