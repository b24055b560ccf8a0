"""Files that appear whole or not at all, and the checks that tell beforehand whether they can.

Everything is written to a part beside its place, `NAME.mien-part`, which is renamed when all of it is there. The part
is locked by the process that writes it, so that two runs never write one output, and one that a killed run left behind
is taken over by the next run that writes there.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import IO, Self

from mien.errors import OutputError

STANDARD_OUTPUT = Path("-")
"""In place of a text file: what is written goes to the terminal or to the next program."""

LONGEST_NAME = 255  # bytes, in the file systems of all usual systems
LOCKED_BYTE = 1 << 40  # Windows locks bytes of a file: one that is never written
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EINVAL}  # on network shares without locks there are none


class WholeFile:
    """A file that appears under its name when the block that writes it has ended well. Raises OutputError.

    Each `write` is kept whole or not at all: what a full disk does not take is cut off again. `path` is its name as it
    was given, `part` where it grows, `size` its bytes so far.
    """

    def __init__(self, path: Path) -> None:
        check_output(path)
        self.path = path
        self._place = Path(os.path.realpath(path))  # a link stays a link: what it points to is written
        self.part = part_of(self._place)
        self.size = 0
        self._reserved = False

    def __enter__(self) -> Self:
        with explained(self.path):
            self._file = _locked(self.path, self.part)
            self._file.truncate()
        self.size = 0
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file.closed:  # discarded
            return
        with explained(self.path):
            if kind is not None:
                self.discard()
                return
            try:
                if self._reserved:
                    self._file.truncate(self.size)
                if sys.platform == "win32":  # does not rename what is open
                    self._file.close()
                self.part.replace(self._place)
            finally:
                self._file.close()

    def write(self, data: str | bytes) -> None:
        """Add text, as UTF-8 in which names that are not UTF-8 keep their bytes, or bytes."""
        content = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        with explained(self.path):
            try:
                rest = memoryview(content)
                while rest:
                    rest = rest[self._file.write(rest) :]
            except BaseException:  # a full disk; Ctrl+C
                self.truncate(self.size)
                raise
        self.size += len(content)

    def reserve(self, count: int) -> None:
        """Take room on the disk for so many bytes more, so that writing these does not fail for want of it.

        The room is given back when the file takes its name.
        """
        self._reserved = True
        with explained(self.path):
            end = self._file.seek(0, os.SEEK_END)
            try:
                rest = self.size + count - end
                while rest > 0:
                    rest -= self._file.write(bytes(min(rest, 1 << 20)))
            finally:
                self._file.seek(self.size)

    def truncate(self, size: int) -> None:
        """Cut off what stands behind so many bytes."""
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def tell(self) -> int:
        """The bytes so far; with `flush`, `closed` and `write` this is what pyarrow asks of a file."""
        return self.size

    def flush(self) -> None:
        """Do nothing: what is written is not held back."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._file.closed

    def discard(self) -> None:
        """Leave no trace of what was written; the block may still end."""
        _take_away(self._file, self.part)


class StandardOutput:
    """Standard output in the shape of a `WholeFile`; the next program gets every row at once.

    Raises BrokenPipeError where that program has read enough, OutputError for anything else that goes wrong.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: what is written is not held back."""

    def write(self, data: str) -> None:
        """Write text."""
        if not data:  # even of nothing a full device says that it has no room
            return
        try:
            sys.stdout.write(data)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = f"cannot write to standard output ({error.strerror})"
            raise OutputError(f"{reason}: give it more room or another place") from error

    def discard(self) -> None:
        """Do nothing: what is out is out."""


def text_file(path: Path) -> WholeFile | StandardOutput:
    """Return the text file to write: `-` is standard output."""
    return StandardOutput() if path == STANDARD_OUTPUT else WholeFile(path)


def part_of(path: Path) -> Path:
    """Return the name under which a file grows beside its place."""
    name = f"{path.name}.mien-part"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f"{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.mien-part"
    return path.with_name(name)


def check_output(path: Path) -> None:
    """Raise OutputError when a file cannot be written there, or another run is writing it."""
    with explained(path), suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if S_ISDIR(mode):
            raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
        if not S_ISREG(mode):  # the rename would put a file in the place of a device
            raise OutputError(f"cannot write {path}: it is a device or a pipe; name a file, or - for text")
        if not os.access(path, os.W_OK):
            raise OutputError(f"cannot write {path}: it is write-protected; use another name")
    real = Path(os.path.realpath(path))
    check_folder(real.parent)
    part = part_of(real)
    with explained(path):
        left = part.exists()  # by a killed run: it may hold rows, which go when they are written over
        file = _locked(path, part)
        file.close() if left else _take_away(file, part)


def sweep(folder: Path, endings: Iterable[str]) -> None:
    """Remove the parts of files of these endings that killed runs left in a folder."""
    for ending in endings:
        for part in folder.glob(f"*{ending}.mien-part"):
            with suppress(OutputError, OSError):  # another run writes it
                _take_away(_locked(part, part), part)


def is_folder(path: Path) -> bool:
    """Tell whether there is such a folder. Raises OutputError for what cannot be a name."""
    with explained(path):
        return path.is_dir()


def check_folder(folder: Path) -> None:
    """Raise OutputError when no file can be made in a folder."""
    with explained(folder):
        if not folder.is_dir():
            raise OutputError(f"there is no folder {folder}: make it first")
        with tempfile.TemporaryFile(dir=folder):
            pass


def check_distinct(sources: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Raise OutputError when an output would replace a source or another output."""
    read = {_identity(path) for path in sources}
    written = set[object]()
    for path in outputs:
        identity = STANDARD_OUTPUT if path == STANDARD_OUTPUT else _identity(path)
        if identity in read:
            raise OutputError(f"cannot write {path}: it is read from; use another name")
        if identity in written:
            raise OutputError(f"cannot write {path} twice: give each output its own name")
        written.add(identity)


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


def _locked(path: Path, part: Path) -> IO[bytes]:
    """Open the part of a file, locked until it is closed; the lock dies with the process."""
    while True:
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b", 0)
        try:
            _lock(file)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(part)):  # noqa: PTH116
                return file
        except FileNotFoundError:  # who held the lock has just taken the part away, or given it its name
            pass
        except (BlockingIOError, PermissionError):
            file.close()
            raise OutputError(f"cannot write {path}: another run is writing it; use another name, or wait") from None
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: IO[bytes]) -> None:
    """Lock an open file against other processes. Raises BlockingIOError or PermissionError where one has it."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _take_away(file: IO[bytes], part: Path) -> None:
    """Close a part and remove it; Windows does not remove what is open, elsewhere it must not lie there unlocked."""
    if sys.platform == "win32":
        file.close()
    part.unlink(missing_ok=True)
    file.close()


def _identity(path: Path) -> object:
    """Return what two names of one file have in common: neither links nor capitals hide it."""
    try:
        stat = path.stat()
    except OSError:  # not there yet
        return os.path.normcase(os.path.realpath(path))
    except ValueError:  # a NUL in the name, which is reported when it is opened
        return str(path)
    return stat.st_dev, stat.st_ino
