"""The commands that lead from FER2013 to a trained network: data prepare and explore, train."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.apps.terminal import counted, epochs_bar, finite, printable, show
from mien.errors import DataError, MissingExtra, TrainingError
from mien.files import WholeFile, explained

if TYPE_CHECKING:
    from mien.learn.limit import TimeLimit
    from mien.learn.settings import Settings

Processed = Annotated[Path, typer.Option(help="The folder that `mien data prepare` wrote.")]
Device = Annotated[str, typer.Option(help="cpu, cuda or auto.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads.  \\[default: the free cores]")]

data = typer.Typer(no_args_is_help=True, help="Prepare FER2013 and look at it.")


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    app.add_typer(data, name="data")
    app.command()(train)


@contextmanager
def needs_extra() -> Iterator[None]:
    """Turn the absence of what the extra `train` installs into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"torch", "onnx", "matplotlib"}:
            raise
        raise MissingExtra(f"this command needs {error.name}: pip install 'mien[train]'") from None


@contextmanager
def needs_prepared() -> Iterator[None]:
    """Add to the error about a folder without prepared data the command that writes it."""
    from mien.data.prepare import NotPreparedError

    try:
        yield
    except NotPreparedError as error:
        raise DataError(f"{error} (mien data prepare SOURCE --out {error.folder})") from None


@data.command()
def prepare(
    source: Annotated[Path, typer.Argument(help="FER2013: its CSV file, its archive (zip, tar, gzip), or its folder.")],
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("processed"),
    votes: Annotated[Path | None, typer.Option(help="FER+'s fer2013new.csv.")] = None,
    as_published: Annotated[bool, typer.Option("--as-published", help="Drop nothing.")] = False,
    val: Annotated[
        float, typer.Option(min=0.01, max=0.5, callback=finite, help="The share of Training kept for validation.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Of the split into training and validation.")] = 0,
) -> None:
    """Read FER2013 in any published form and write arrays, a 90/10 split and a manifest of what was dropped.

    A folder named validation is held out with the test images, as PublicTest.
    """
    from mien.data.fer2013 import PUBLISHED_ROWS, USAGES
    from mien.data.prepare import prepare as prepare_data

    began = time.perf_counter()
    manifest = prepare_data(source, out, votes=votes, as_published=as_published, val=val, seed=seed)
    counts = manifest["counts"]
    show("Images", ["", *counts], [[name, *(row[name] for row in counts.values())] for name in counts["train"]])
    facts = {name: count for name, count in manifest["facts"].items() if count or name not in USAGES}
    show("In the source", ["", "count"], list(map(list, facts.items())))
    show("Dropped from training", ["reason", "images"], list(map(list, manifest["dropped"]["counts"].items())))
    found = manifest["source"]
    if found["published"]:
        print(f"The source is {found['published']} as published, to the byte.")
    elif found["form"] == "CSV":
        print("The source differs from the published CSV (its MD5 is another): counts may differ as well.")
    if found["validation"]:
        held_out = counted(found["validation"], "validation image")
        print(f"The source has {held_out}, held out in test as PublicTest; val is drawn from its training images.")
    rows = sum(manifest["facts"][name] for name in USAGES)
    if rows < PUBLISHED_ROWS:
        print(f"It has {rows:,} of the {PUBLISHED_ROWS:,} published rows: was it cut short?")
    print(f"{out} written in {time.perf_counter() - began:.1f} s.")


@data.command()
def explore(
    processed: Annotated[Path, typer.Argument(help="The folder that `mien data prepare` wrote.")] = Path("processed"),
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("plots"),
) -> None:
    """Draw class counts, sample images, mean faces and, with votes, the label noise."""
    from mien.data.explore import explore as explore_data

    with needs_prepared():
        tables = explore_data(processed, out)
    for title, header, rows in tables:
        show(title, header, rows)
    print(f"The pictures are in {out}.")


def train(
    recipe: Annotated[str, typer.Option(help="baseline, student-s, student-m or teacher.")] = "baseline",
    data: Processed = Path("processed"),
    out: Annotated[Path | None, typer.Option(help="The run's folder.  \\[default: runs/RECIPE]")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out after its last epoch.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in epochs=20 or augmentation.rotation=10.")
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, max=4, help="Hold out this fold of all training images.")] = None,
    members: Annotated[
        str | None,
        typer.Option(help="Train several, as in resnet-18:0,vgg-13:1 (network:fold); called again it goes on."),
    ] = None,
    views: Annotated[
        Path | None,
        typer.Option(help="Learn from what teachers predicted: a file of distil-views or a folder."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Begin with the weights of s, m, an ONNX file or a run.  \\[default: random weights]"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.01, callback=finite, help="Begin no epoch that would probably end after so many minutes."),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Train a network by a recipe; after a kill or Ctrl+C, --resume goes on after the last whole epoch."""
    with needs_extra():
        from mien.learn.checkpoint import holds_run
        from mien.learn.folds import load_splits
        from mien.learn.limit import TimeLimit
        from mien.learn.model import check_network
        from mien.learn.settings import members_of, settings_of
        from mien.learn.train import train as train_run
        from mien.learn.trained import load_trained
        from mien.learn.views import read_views

        first = load_trained(run_or_model(init)) if init is not None else None
    limit = TimeLimit(minutes)
    taught = read_views(views) if views else None
    settings = settings_of(recipe, set_ or [])
    if fold is not None:
        settings = replace(settings, held_out=str(fold))
    if taught:
        settings = replace(settings, views=taught.digest)
    if first:
        settings = replace(settings, init=first.digest)
    out = out or Path("runs") / recipe
    runs = {out: settings}
    if members is not None:
        if fold is not None:
            raise TrainingError("members name their folds themselves: leave --fold out")
        runs = {out / name: member for name, member in members_of(settings, members).items()}
        for member in runs.values():  # before the first of them is trained
            check_network(member.network)
    elif resume and not holds_run(out):
        raise TrainingError(f"there is no run in {out} to go on with: check --out, or begin one without --resume")
    if taught:
        print(f"{counted(len(taught.teachers), 'teacher')} predicted {len(taught.rows):,} training images.")
    with needs_prepared():
        prepared = load_splits(data, settings.held_out)
    learn = partial(train_run, prepared, views=taught, init=first, limit=limit)
    code, failed = 0, []
    for folder, each in runs.items():
        try:
            goes_on = holds_run(folder) if members else resume
            code = _train_one(partial(learn, folder, each), folder, each, goes_on, device, threads, limit)
        except TrainingError as error:
            if members is None:
                raise
            print(f"{printable(str(folder))}: {error}", file=sys.stderr)  # the other members do not depend on it
            failed.append(printable(str(folder)))
            continue
        if code or limit.over:
            why = "Stopped" if code else "Too little time is left for another epoch"
            print(f"{why}. What is done is kept: the same command{'' if members else ' with --resume'} goes on.")
            break
    if failed:
        raise TrainingError(f"{counted(len(failed), 'member')} could not be trained: {', '.join(failed)}")
    return code


def _train_one(
    learn: Callable[..., list[dict[str, float]]],
    out: Path,
    settings: Settings,
    resume: bool,
    device: str,
    threads: int | None,
    limit: TimeLimit,
) -> int:
    """Train one run, showing its epochs as they come; the exit code."""
    with needs_extra():  # before hours of training
        from mien.learn import figures
    from mien.learn.checkpoint import history_of, machine_of
    from mien.learn.machine import find_machine

    machine = find_machine(device, threads, machine_of(out) if resume else None)
    where = printable(str(out))
    print(f"{settings.network} on {machine.device}, {counted(machine.threads, 'thread')}, into {where}", flush=True)
    rows: list[dict[str, float]] = []
    code = 0
    with epochs_bar(settings.epochs, limit) as (tick, report), advising():
        try:
            rows = learn(machine=machine, resume=resume, tick=tick, report=report)
        except KeyboardInterrupt:
            code = 130
    rows = rows or history_of(out)
    if rows:
        plot = out / "plots" / "model_loss_during_training.png"
        with explained(plot.parent):
            plot.parent.mkdir(exist_ok=True)
        with WholeFile(plot) as file:
            file.write(figures.losses(rows))
        kept = min(rows, key=lambda row: row["val_loss"]) if settings.patience else rows[-1]
        on = {"val": "validation", "public": "PublicTest"}.get(settings.held_out, f"fold {settings.held_out}")
        found = f"loss {kept['val_loss']:.4f}, accuracy {kept['val_accuracy']:.4f} on {on}"
        print(f"{counted(len(rows), 'epoch')}, of which {kept['epoch']:.0f} is kept: {found}.")
    return code


@contextmanager
def advising() -> Iterator[None]:
    """Add to an error of training what to type instead."""
    from mien.learn.checkpoint import RunExistsError
    from mien.learn.settings import SettingsError

    try:
        yield
    except SettingsError as error:
        options = " ".join(f"--set {name}={value:g}" for name, value in error.instead.items())
        raise TrainingError(f"{error} ({options})") from None
    except RunExistsError as error:
        raise TrainingError(f"{error}: go on with --resume, or give --out another name") from None


def run_or_model(name: str) -> Path:
    """The folder of a run, or the file of a model, which may be named by its size."""
    if Path(name).is_dir():
        return Path(name)
    from mien.see.classify import model_path  # a machine that only trains need not have ONNX Runtime

    return model_path(name)
