"""What the commands say on the terminal."""

from __future__ import annotations

import sys


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
