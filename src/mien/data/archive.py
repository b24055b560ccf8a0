"""Read the members of a zip archive within bounds; nothing is ever unpacked to the disk."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from mien.errors import DataError

MOST_BYTES = 2**30  # of all that is read from an archive: FER2013 as text has 0.3 GB, as pictures 0.06 GB
METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
"""The methods whose output `zipfile` bounds while it decompresses; bzip2 and LZMA swell a whole block at once."""


class Archive:
    """An open archive: its files by name, with forward slashes. Refuses what could do harm when it is read.

    The size that a member's header gives may be a lie. `zipfile` never gives more than that size and then finds the
    checksum wrong, so a bound on the sizes in the headers bounds what is read.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path = path
        self._file = file
        self._left = MOST_BYTES
        self._members = {_name(path, member): member for member in file.infolist() if not member.is_dir()}

    @property
    def names(self) -> list[str]:
        """The names of all files, in the archive's order."""
        return list(self._members)

    def open(self, name: str, most: int = MOST_BYTES) -> IO[bytes]:
        """Open a file of at most `most` bytes."""
        member = self._members[name]
        if member.compress_type not in METHODS:
            methods = " or ".join(METHODS.values())
            raise DataError(f"{self.path}: {name} is compressed in an unusual way: pack the archive anew, {methods}")
        if member.file_size > min(most, self._left):
            raise DataError(
                f"{self.path}: {name} unpacks to {member.file_size >> 20} MiB, more than FER2013 has: "
                "this is not its archive"
            )
        self._left -= member.file_size
        return self._file.open(member)

    def read(self, name: str, most: int) -> bytes:
        """Read a file of at most `most` bytes."""
        with self.open(name, most) as file:
            return file.read(self._members[name].file_size)  # without a number zipfile decompresses all at once


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a zip archive; what is wrong with it, now or while it is read, is a DataError."""
    try:
        with zipfile.ZipFile(path) as file:
            yield Archive(path, file)
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError) as error:  # damaged headers, or data
        raise DataError(f"{path} cannot be unpacked ({error}): is it whole? Download it again") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile's words for methods it lacks and for passwords
        raise DataError(f"{path} cannot be unpacked ({error}): pack it anew without that") from None


def _name(path: Path, member: zipfile.ZipInfo) -> str:
    """The member's name, which must lie within the archive."""
    name = member.filename.replace("\\", "/")  # written on Windows by tools that know no better
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or ":" in parts[0]:
        raise DataError(f"{path} names a file outside itself ({member.filename!r}): this is not FER2013's archive")
    return name
