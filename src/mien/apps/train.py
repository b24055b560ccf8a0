"""The commands that lead from FER2013 to a model: data prepare and explore, train, distil-views, export, evaluate."""

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
from mien.files import check_output, explained

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
    for command in (train, distil_views, export, evaluate):
        app.command()(command)


@contextmanager
def needs_extra() -> Iterator[None]:
    """Turn the absence of what the extra `train` installs into one line."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"torch", "onnx", "sklearn", "matplotlib"}:
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch.")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting, as in epochs=20 or augmentation.rotation=10.")
    ] = None,
    fold: Annotated[int | None, typer.Option(min=0, max=4, help="Hold out this fold of all training images.")] = None,
    members: Annotated[
        str | None,
        typer.Option(help="Train several, as in resnet-18:0,vgg-13:1 (network:fold); called again it goes on."),
    ] = None,
    views: Annotated[Path | None, typer.Option(help="Learn from what teachers said: distil-views' file.")] = None,
    init: Annotated[
        str | None,
        typer.Option(help="Begin with the weights of s, m, an ONNX file or a run.  \\[default: chance]"),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.01, callback=finite, help="Begin no epoch that would end later, as far as earlier ones tell."
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> int:
    """Train a network by a recipe; after a kill or Ctrl+C --resume goes on from the last checkpoint."""
    with needs_extra():
        from mien.learn.checkpoint import CHECKPOINT, WEIGHTS, machine
        from mien.learn.distil import read_views
        from mien.learn.folds import splits
        from mien.learn.limit import TimeLimit
        from mien.learn.model import check_network
        from mien.learn.settings import members_of, settings_of
        from mien.learn.train import train as train_run
        from mien.learn.trained import load_trained

        first = load_trained(_run_or_model(init)) if init is not None else None
    limit = TimeLimit(minutes)
    judged = read_views(views) if views else None
    settings = settings_of(recipe, set_ or [])
    if fold is not None:
        settings = replace(settings, held_out=str(fold))
    if judged:
        settings = replace(settings, views=judged.digest)
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
        resume = True  # the same command again goes on where it stopped
    prepared = splits(data, settings.held_out)
    code, failed = 0, []
    for folder, each in runs.items():
        on = machine(device, threads, folder if resume else None)
        if resume and members is None and not any((folder / file).exists() for file in (CHECKPOINT, WEIGHTS)):
            print(f"There is no run in {printable(str(folder))} to go on with: it begins anew.")
        where = printable(str(folder))
        print(f"{each.network} on {on.device}, {counted(on.threads, 'thread')}, into {where}", flush=True)
        learn = partial(
            train_run, prepared, folder, each, machine=on, resume=resume, views=judged, init=first, limit=limit
        )
        try:
            code = _watched(learn, folder, each, limit)
        except TrainingError as error:
            if members is None:
                raise
            print(f"{where}: {error}", file=sys.stderr)  # the other members do not depend on it
            failed.append(where)
            continue
        if code or limit.over:
            why = "Stopped" if code else "Too little time is left for another epoch"
            print(f"{why}. What is done is kept: the same command{'' if members else ' with --resume'} goes on.")
            break
    if failed:
        raise TrainingError(f"{counted(len(failed), 'member')} could not be trained: {', '.join(failed)}")
    return code


def _watched(learn: Callable[..., list[dict[str, float]]], out: Path, settings: Settings, limit: TimeLimit) -> int:
    """Train one run, showing its epochs as they come; the exit code."""
    from mien.learn import checkpoint, figures

    rows: list[dict[str, float]] = []
    code = 0
    with epochs_bar(settings.epochs, limit) as (tick, report):
        try:
            rows = learn(tick=tick, report=report)
        except KeyboardInterrupt:
            code = 130
    rows = rows or checkpoint.history(out)
    if rows:
        figures.losses(rows, out / "plots" / "model_loss_during_training.png")
        kept = min(rows, key=lambda row: row["val_loss"]) if settings.patience else rows[-1]
        on = {"val": "validation", "public": "PublicTest"}.get(settings.held_out, f"fold {settings.held_out}")
        found = f"loss {kept['val_loss']:.4f}, accuracy {kept['val_accuracy']:.4f} on {on}"
        print(f"{counted(len(rows), 'epoch')}, of which {kept['epoch']:.0f} is kept: {found}.")
    return code


def distil_views(
    teachers: Annotated[list[str], typer.Argument(help="Folders of runs, model files, or m or s from the package.")],
    data: Processed = Path("processed"),
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("views.npz"),
    count: Annotated[int, typer.Option(min=1, help="Views of each image.")] = 32,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Of the changes that make a view.")] = 0,
    recipe: Annotated[str, typer.Option(help="Whose augmentation makes the views.")] = "student-s",
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Ask all teachers, also those that learned from the image.")
    ] = False,
    mixup: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="The share of faces that another is mixed into.")
    ] = 0.0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Store what teachers say of seeded views of every training image, for students to learn from."""
    with needs_extra():
        from mien.learn import checkpoint, distil
        from mien.learn.folds import splits
        from mien.learn.settings import settings_of
    augmentation = settings_of(recipe).augmentation
    check_output(out)
    began = time.perf_counter()

    def tick(done: int) -> None:
        print(f"view {done} of {count}, {time.perf_counter() - began:.0f} s", flush=True)

    machine = checkpoint.machine(device, threads)
    sources = [_run_or_model(teacher) for teacher in teachers]
    with needs_extra():
        views = distil.judge(
            splits(data, "val"),
            sources,
            augmentation,
            machine=machine,
            count=count,
            seed=seed,
            everyone=everyone,
            mixup=mixup,
            tick=tick,
        )
    distil.write_views(views, out)
    size, by = out.stat().st_size / 1e6, counted(len(sources), "teacher")
    print(f"{printable(str(out))}: {count} views of {len(views.rows):,} images by {by}, {size:.1f} MB.")


def export(
    runs: Annotated[
        list[str],
        typer.Argument(help="A run's folder, or a model; of several runs their mean, if --init is one."),
    ],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")] = Path("emotion.onnx"),
    head: Annotated[
        str | None, typer.Option(help="The head that readers use by default: official, ferplus or blend.")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Store the weights in 16 bits: half the size.")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Calibrate anew on what these prepared data hold of what training held out.")
    ] = None,
) -> None:
    """Write a run's network to an ONNX file that holds scaling, calibration, softmax and label names."""
    with needs_extra():
        from mien.learn.export import export as export_model
        from mien.learn.export import is_calibrated

        sources = [_run_or_model(run) for run in runs]
        difference, calibrated = export_model(sources, out, head, half=half, data=data), is_calibrated(out)
    size = out.stat().st_size / 1e6
    differ = f"its probabilities differ from the checkpoint's by {difference:.1e} at most"
    print(f"{printable(str(out))}: {size:.1f} MB; {differ}.")
    if not calibrated:
        print("Its probabilities are not calibrated: give the prepared data that it learned from as --data.")


def evaluate(
    data: Processed = Path("processed"),
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("report"),
    model: Annotated[str | None, typer.Option(help="s, m or an ONNX file.  \\[default: s]")] = None,
    head: Annotated[str | None, typer.Option(help="official, ferplus or blend.  \\[default: the model's own]")] = None,
    flip: Annotated[bool, typer.Option("--flip", help="Average each face with its mirror image.")] = False,
    public: Annotated[
        bool, typer.Option("--public", help="On PublicTest alone, for as long as there is something to choose.")
    ] = False,
    seeds: Annotated[
        list[str] | None, typer.Option(help="A model of the same recipe and another seed, once for each.")
    ] = None,
    robustness: Annotated[bool, typer.Option("--robustness", help="Also under eight corruptions: minutes.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Measure a model on FER2013's test images through the classifier that users run."""
    from mien.data.prepare import load

    with needs_extra():
        from mien.learn.folds import public as public_of
        from mien.measure import report as files
        from mien.measure.evaluate import evaluate as measure

        check_output(out / files.REPORT if out.exists() else out)
        began = time.perf_counter()
        test = public_of(load(data, "test")) if public else load(data, "test")
        report = measure(test, model, head=head, flip=flip, threads=threads, harm=robustness, seeds=seeds or ())
        with explained(out):
            out.mkdir(exist_ok=True)
        files.write(report, out)
    print(files.table(report))
    print(f"{out / files.REPORT} written in {time.perf_counter() - began:.1f} s.", file=sys.stderr)


def _run_or_model(name: str) -> Path:
    """The folder of a run, or the file of a model, which may be named by its size."""
    if Path(name).is_dir():
        return Path(name)
    from mien.see.classify import model_path  # a machine that only trains need not have ONNX Runtime

    return model_path(name)
