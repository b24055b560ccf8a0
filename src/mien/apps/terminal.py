"""What the commands say on the terminal, and what they refuse there."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from mien.learn.limit import TimeLimit

UNBROKEN = 10_000  # letters in a line that is not wrapped


def say(message: str) -> None:
    """Print one line on stderr."""
    sys.stderr.write(f"mien: {printable(message)}\n")  # in one piece: threads say things, too


def printable(text: str) -> str:
    """Return text in one line, in letters that the terminal has.

    A file's name may hold anything: line ends, commands to the terminal, bytes that are no text. Those are spelled out.
    """
    encoding = sys.stdout.encoding or "ascii"
    spelled = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return spelled.encode(encoding, "backslashreplace").decode(encoding)


def counted(count: int, name: str) -> str:
    """Return a count with the name of what is counted, in the plural unless it is one."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def print_table(table: Table) -> None:
    """Print a table; a file or the next program gets its lines unbroken."""
    Console(width=None if sys.stdout.isatty() else UNBROKEN).print(table)


def show(title: str, header: list[str], rows: list[list[Any]]) -> None:
    """Print a table; nothing where it has no rows."""
    if not rows:
        return
    table = Table(*header, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    print_table(table)


@contextmanager
def picture_bar(pictures: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr for pictures, with how many are read a second and the time left; only on a terminal."""
    console = Console(stderr=True)
    rate = TextColumn("{task.fields[rate]} pictures/s")
    columns = (BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=pictures, rate="–")

        def step() -> None:
            done = progress.tasks[0].completed + 1
            seconds = progress.tasks[0].elapsed or 0.0
            progress.update(task, completed=done, rate=f"{done / seconds:.0f}" if seconds else "–")

        yield step


@contextmanager
def epochs_bar(epochs: int, limit: TimeLimit) -> Iterator[tuple[Any, Any]]:
    """A bar for the steps of the current epoch, and a line for each epoch that is done."""
    console = Console()
    columns = (
        TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None, epoch=1, loss=math.inf, rate="")
        rate = ""

        def tick(epoch: int, step: int, steps: int, loss: float, images_per_second: float) -> None:
            nonlocal rate
            total, done = (epochs * steps, (epoch - 1) * steps + step)
            rate = f"{images_per_second:,.0f} images/s"
            progress.update(task, total=total, completed=done, epoch=epoch, loss=loss, rate=rate)

        def report(row: dict[str, float]) -> None:
            left = "" if limit.left is None else f", {limit.left:.0%} of the time left"
            console.print(
                f"epoch {row['epoch']:.0f}: loss {row['loss']:.3f}, validation {row['val_loss']:.3f}, "
                f"accuracy {row['val_accuracy']:.4f}, {row['seconds']:.1f} s, {rate}{left}",
                highlight=False,
                soft_wrap=True,
            )

        yield tick, report


def finite(number: float | None) -> float | None:
    """Return the number of an option; "nan" and "inf" are numbers for Python and mean nothing here."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no size or time")
    return number
