"""The command that measures: evaluate."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from mien.apps.terminal import show
from mien.apps.train import needs_prepared
from mien.files import check_output, explained


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the command line."""
    app.command()(evaluate)


def evaluate(
    data: Annotated[Path, typer.Option(help="The folder that `mien data prepare` wrote.")] = Path("processed"),
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
    from mien.data.subsets import public_test
    from mien.measure import report as files
    from mien.measure.evaluate import evaluate as measure

    files.check_figures()
    check_output(out / files.REPORT if out.exists() else out)
    began = time.perf_counter()

    def tick(step: str) -> None:
        print(f"{time.perf_counter() - began:5.1f} s: {step}", file=sys.stderr, flush=True)

    with needs_prepared():
        test = load(data, "test")
    test = public_test(test) if public else test
    report = measure(
        test, model, head=head, flip=flip, threads=threads, robustness=robustness, seeds=seeds or (), tick=tick
    )
    with explained(out):
        out.mkdir(exist_ok=True)
    files.write(report, out)
    for rows in (files.accuracies(report), files.classes(report)):
        (title, *columns), *rest = rows
        show("", [title, *columns], [[cell.strip("*") for cell in row] for row in rest])
    tick(f"{out / files.TABLE} has the other tables, {out / files.REPORT} all numbers")
