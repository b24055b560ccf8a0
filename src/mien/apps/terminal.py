"""What the commands say on the terminal, and what they refuse there."""

from __future__ import annotations

import math
import sys

import typer
from rich.console import Console
from rich.table import Table

UNBROKEN = 10_000  # letters in a line that is not wrapped


def say(message: str) -> None:
    """Print one line on stderr."""
    print(f"mien: {printable(message)}", file=sys.stderr)


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


def finite(number: float | None) -> float | None:
    """Return the number of an option; "nan" and "inf" are numbers for Python and mean nothing here."""
    if number is not None and not math.isfinite(number):
        raise typer.BadParameter(f"{number} is no size or time")
    return number
