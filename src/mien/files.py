"""Files that appear whole or not at all, and the checks that tell beforehand whether they can.

A file is written as a part beside its place, which is renamed when all of it is there and removed on failure.
"""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Any, Self

from mien.errors import OutputError

STANDARD_OUTPUT = Path("-")
"""In place of a text file: what is written goes to the terminal or to the next program."""


class WholeFile:
    """A file that appears under its name only when the block that writes it has ended well. Raises OutputError.

    `mode` is "w" for UTF-8 text, in which names that are not UTF-8 keep their bytes, or "wb".
    """

    def __init__(self, path: Path, mode: str = "w") -> None:
        check_output(path)
        self.path = Path(os.path.realpath(path))  # a link stays a link: what it points to is written
        self.mode = mode

    def __enter__(self) -> Self:
        self.part = _part(self.path.parent)
        text = {} if "b" in self.mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        with explained(self.path):
            self.file: IO[Any] = self.part.open(self.mode.replace("w", "x"), **text)  # type: ignore[call-overload]
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with explained(self.path):
                self.file.close()
                if kind is None:
                    self.part.replace(self.path)
        finally:
            self.part.unlink(missing_ok=True)

    def write(self, data: str | bytes) -> None:
        """Write text, or bytes in mode "wb"."""
        with explained(self.path):
            self.file.write(data)


class StandardOutput:
    """Standard output in the shape of a `WholeFile`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    def write(self, data: str) -> None:
        """Write text."""
        sys.stdout.write(data)


def text_file(path: Path) -> WholeFile | StandardOutput:
    """Return the text file to write: `-` is standard output."""
    return StandardOutput() if path == STANDARD_OUTPUT else WholeFile(path)


def check_output(path: Path) -> None:
    """Raise OutputError when a file cannot be written there; the folder is tried by making a file in it."""
    with explained(path), suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
        if not S_ISREG(mode):  # the rename would put a file in the place of a device
            raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file, or - for text")
        if not os.access(path, os.W_OK):
            raise OutputError(f"cannot write {path}: it is write-protected; use another name")
    check_folder(Path(os.path.realpath(path)).parent)


def is_folder(path: Path) -> bool:
    """Tell whether there is such a folder. Raises OutputError for what cannot be a name."""
    with explained(path):
        return path.is_dir()


def check_folder(folder: Path) -> None:
    """Raise OutputError when no file can be made in a folder."""
    with explained(folder):
        if not folder.is_dir():
            raise OutputError(f"there is no folder {folder}: make it first")
        part = _part(folder)
        part.touch(exist_ok=False)
        part.unlink()


def check_distinct(sources: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raise OutputError when an output would replace a source or another output."""
    read = {_identity(path) for path in sources}
    written = set[object]()
    for path in outputs:
        if _identity(path) in read:
            raise OutputError(f"cannot write {path}: it is read from; use another name")
        if _identity(path) in written:
            raise OutputError(f"cannot write {path} twice: give each output its own name")
        written.add(_identity(path))


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what the operating system says while `path` is written into an OutputError."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or error
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        remedy = "make room there, or use another place" if full else "use another name or place"
        raise OutputError(f"cannot write {path} ({reason}): {remedy}") from error


def _part(folder: Path) -> Path:
    """Return a free name in a folder: short, since the name to come may be as long as names can be."""
    return folder / f".mien-{secrets.token_hex(4)}.part"


def _identity(path: Path) -> object:
    """Return what two names of one file have in common: neither links nor capitals hide it."""
    try:
        stat = path.stat()
    except OSError:  # not there yet
        return os.path.normcase(os.path.realpath(path))
    except ValueError:  # a NUL in the name, which is reported when it is opened
        return str(path)
    return stat.st_dev, stat.st_ino
