"""The files of a folder, a zip archive or a tar archive in one shape, read within bounds and never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, NoReturn, cast

from mien.errors import DataError

MOST_BYTES = 2**31  # that an archive may unpack to: FER2013 as text has 0.3 GB, and Kaggle's archive has it twice
MOST_FILES = 500_000  # in a tar archive: FER2013 as pictures has 35,887
MOST_HEADER = 2**15  # bytes of one file's headers in a tar archive, long names and all
BLOCK = 512  # bytes in which a tar archive is written (POSIX pax)
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
"""The methods whose output `zipfile` bounds while it decompresses; bzip2 and LZMA swell a whole block at once."""
DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, struct.error, EOFError, ValueError)
"""What the readers of archives raise over damaged headers and data."""
LEFT_BEHIND = ("thumbs.db", "desktop.ini", "__macosx")  # by Windows and macOS; the rest begins with a dot


@dataclass(frozen=True, slots=True)
class Member:
    """A file in a folder or an archive: its name below it, with forward slashes, and its size in bytes.

    `open` opens it, in a tar archive only until the next member is asked for.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]

    def read(self, most: int) -> bytes:
        """Read a file of at most `most` bytes. Raises DataError for a larger one."""
        if self.size > most:
            raise DataError(f"{self.name} has more than {most >> 20} MiB, and no such file of FER2013 has")
        with self.open() as file:
            return file.read(self.size)  # without a number zipfile decompresses all at once


Members = Callable[[], Iterator[Member]]
"""Goes through the files of a folder or an archive, as often as it is called."""


def members_of(path: Path) -> Members | None:
    """How to go through a folder, a zip archive or a tar archive, gzipped or not; None for any other file."""
    if path.is_dir():
        return partial(_in_folder, path)
    with path.open("rb") as packed, gunzipped(packed) as file:
        head = file.read(BLOCK)
        if head.startswith(b"PK"):
            return partial(_in_zip, path)
        try:
            tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return None
    return partial(_in_tar, path)


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """Turn what is wrong with an archive, whenever it is found while the archive is read, into a DataError."""
    try:
        yield
    except DAMAGE as error:
        raise DataError(f"{path} cannot be unpacked ({error}): is it whole? Download it again") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile's words for methods it lacks and for passwords
        raise DataError(f"{path} cannot be unpacked ({error}): pack it anew without that") from None


@contextmanager
def gunzipped(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """Open the content of a file, which is decompressed where it is gzip; the file is closed with it."""
    with io.BufferedReader(cast(io.RawIOBase, file), 2**16) as buffered:
        if buffered.peek(2)[:2] != b"\x1f\x8b":  # RFC 1952
            yield buffered
            return
        with gzip.GzipFile(fileobj=buffered) as content:
            yield cast(IO[bytes], content)


def is_ours(name: str) -> bool:
    """Whether a file is part of the data set: not .DS_Store, __MACOSX/, Thumbs.db and their like."""
    return not any(part.startswith(".") or part.lower() in LEFT_BEHIND for part in name.split("/"))


def _in_folder(folder: Path) -> Iterator[Member]:
    """The files below a folder in the order of their names; links are followed, but not in circles."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    paths, seen = list[Path](), set[str]()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.realpath(place) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        paths += [Path(place, file) for file in files]
    for name in sorted(path.relative_to(folder).as_posix() for path in paths):
        if is_ours(name):
            yield _file(folder / name, name)


def _file(path: Path, name: str) -> Member:
    try:
        facts = path.stat()
    except OSError as error:
        raise _unreadable(name, error) from None
    if not stat.S_ISREG(facts.st_mode):  # reading a pipe would never end
        raise DataError(f"{name} is a device or a pipe: leave it out")
    return Member(name, facts.st_size, partial(_open_file, path, name))


def _open_file(path: Path, name: str) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"{name} cannot be read ({error.strerror}): mend or remove it")


def _in_zip(path: Path) -> Iterator[Member]:
    """The files of a zip archive.

    The size that a header gives may be a lie. `zipfile` never gives more than that size and then finds the checksum
    wrong, so a bound on the sizes in the headers bounds what is read.
    """
    with zipfile.ZipFile(path) as archive:
        _check_total(path, sum(info.file_size for info in archive.infolist()))
        for info in archive.infolist():
            name = _inside(path, info.filename.replace("\\", "/"))  # tools on Windows wrote those
            if stat.S_ISLNK(info.external_attr >> 16):  # where Unix keeps the file's mode
                raise DataError(f"{path}: {name} is a link: pack the file that it points to")
            if not info.is_dir() and is_ours(name):
                yield Member(name, info.file_size, partial(_open_zipped, archive, info, path))


def _open_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> IO[bytes]:
    if info.compress_type not in METHODS:
        methods = " or ".join(METHODS.values())
        raise DataError(f"{path}: {info.filename} is compressed in an unusual way: pack the archive anew, {methods}")
    return archive.open(info)


class _Forwards:
    """The content of a tar archive, of which `tarfile` may read at most `left` bytes more, and never backwards."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path = file, path
        self.left = MOST_HEADER
        self.last = b""  # what was read last

    def read(self, size: int) -> bytes:
        self.left -= size
        if self.left < 0:
            raise DataError(
                f"{self.path} has headers of more than {MOST_HEADER:,} bytes: this is not FER2013's archive"
            )
        self.last = self.file.read(size)
        return self.last

    def seek(self, place: int) -> int:
        _check_total(self.path, place)
        if place < self.tell():
            raise tarfile.ReadError("a size in it is negative")
        return self.file.seek(place)

    def tell(self) -> int:
        return self.file.tell()


def _in_tar(path: Path) -> Iterator[Member]:
    """The files of a tar archive. It is decompressed once, from its beginning to its end."""
    with path.open("rb") as packed, gunzipped(packed) as file:
        content = _Forwards(file, path)
        archive = tarfile.TarFile(fileobj=cast(IO[bytes], content), encoding="utf-8")
        for _ in range(MOST_FILES):
            content.left = MOST_HEADER
            if (info := archive.next()) is None:
                break
            archive.members.clear()  # type: ignore[attr-defined]  # it would grow with every file
            name = _inside(path, info.name)
            if not (info.isdir() or info.isreg()) or info.issparse() or info.size < 0:
                raise DataError(f"{path}: {name} is a link, a device or a file with holes: pack plain files")
            if not info.isdir() and is_ours(name):
                yield Member(name, info.size, partial(_open_in_tar, archive, info, content))
        else:
            raise DataError(f"{path} holds more than {MOST_FILES:,} files: this is not FER2013's archive")
        if content.last != bytes(BLOCK):  # tarfile takes a damaged header for the end
            raise tarfile.ReadError("it does not end as a tar archive does")
        while file.read(2**20):  # gzip's checksum comes last
            _check_total(path, file.tell())


def _open_in_tar(archive: tarfile.TarFile, info: tarfile.TarInfo, content: _Forwards) -> IO[bytes]:
    _check_total(content.path, content.tell() + info.size)
    content.left = info.size
    return cast(IO[bytes], archive.extractfile(info))


def _check_total(path: Path, size: int) -> None:
    if size > MOST_BYTES:
        raise DataError(f"{path} unpacks to more than {MOST_BYTES >> 20:,} MiB: this is not FER2013's archive")


def _inside(path: Path, name: str) -> str:
    """A member's name, which must lie within its archive."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or (parts and ":" in parts[0]):
        raise DataError(f"{path} names a file outside itself ({name!r}): this is not FER2013's archive")
    return "/".join(parts)
