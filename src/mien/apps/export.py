"""The commands that make something of trained networks: distil-views, export."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from mien.apps.terminal import printable
from mien.apps.train import Device, Processed, Threads, needs_extra, needs_prepared, run_or_model
from mien.errors import OutputError
from mien.files import check_folder, check_output, explained


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    app.command()(distil_views)
    app.command()(export)


def distil_views(
    teachers: Annotated[list[str], typer.Argument(help="Folders of runs, model files, or m or s from the package.")],
    data: Processed = Path("processed"),
    out: Annotated[Path, typer.Option(help="The file to write, or a folder for NAME.npz of each teacher.")] = Path(
        "views.npz"
    ),
    count: Annotated[int, typer.Option(min=1, help="Views of each image.")] = 32,
    seed: Annotated[int, typer.Option(min=0, max=10**9, help="Of the augmentation that makes a view.")] = 0,
    recipe: Annotated[str, typer.Option(help="Whose augmentation makes the views.")] = "student-s",
    everyone: Annotated[
        bool, typer.Option("--everyone", help="Predict all images, also those that the teacher learned from.")
    ] = False,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Store what teachers predict on views of the training images that they did not learn from, for students."""
    with needs_extra():
        from mien.learn.distil import predict_views
        from mien.learn.folds import load_splits
        from mien.learn.machine import find_machine
        from mien.learn.settings import settings_of
        from mien.learn.views import write_views
    sources = [run_or_model(teacher) for teacher in teachers]
    files = _files_for(sources, out)
    augmentation = settings_of(recipe).augmentation
    began = time.perf_counter()

    def tick(done: int) -> None:
        print(f"view {done} of {count}, {time.perf_counter() - began:.0f} s", flush=True)

    machine = find_machine(device, threads)
    with needs_prepared():
        prepared = load_splits(data, "val")
    with needs_extra():
        found = predict_views(
            prepared,
            sources,
            augmentation,
            machine=machine,
            count=count,
            seed=seed,
            everyone=everyone,
            tick=tick,
        )
    for file, views in zip(files, found, strict=True):
        with explained(file.parent):
            file.parent.mkdir(exist_ok=True)
        write_views(views, file)
        [teacher], size = views.teachers, file.stat().st_size / 1e6
        print(
            f"{printable(str(file))}: {count} views of {len(views.rows):,} images by {teacher.name}, {size:.1f} MB; "
            f"accuracy {teacher.accuracy:.4f}{'' if everyone else ', out of fold'}."
        )


def _files_for(teachers: list[Path], out: Path) -> list[Path]:
    """The file for the views of each teacher, checked to be writable."""
    from mien.learn.distil import name_of

    if out.suffix == ".npz":
        if len(teachers) > 1:
            raise OutputError(f"cannot write {out}: several teachers need a folder, one for NAME.npz of each")
        files = [out]
    else:
        files = [out / f"{name_of(teacher)}.npz" for teacher in teachers]
        if len(set(files)) < len(files):
            raise OutputError("two teachers have the same name, and so would their files: rename a folder")
        if not out.exists():  # it is made when there is something to write
            check_folder(out.parent)
            return files
    for file in files:
        check_output(file)
    return files


def export(
    run: Annotated[str, typer.Argument(help="A run's folder, or a model: s, m or an ONNX file.")],
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

        with needs_prepared():
            difference = export_model(run_or_model(run), out, head, half=half, data=data)
        calibrated = is_calibrated(out)
    size = out.stat().st_size / 1e6
    differ = f"its probabilities differ from the checkpoint's by {difference:.1e} at most"
    print(f"{printable(str(out))}: {size:.1f} MB; {differ}.")
    if not calibrated:
        print("Its probabilities are not calibrated: give the prepared data that it learned from as --data.")
