"""Read FER2013 in every form in which it is published: CSV, pictures in folders, arrays; packed or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from mien.data.archive import Members, members_of, unpacking
from mien.data.arrays import are_arrays, read_arrays
from mien.data.fer2013 import Fer2013
from mien.data.ferplus import read_votes
from mien.data.pictures import is_picture, read_pictures
from mien.data.table import read_table
from mien.errors import DataError

CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
DIRECT = (*CSV_NAMES, *(f"{name}.gz" for name in CSV_NAMES))
WEB = (("http:",), ("https:",))
ARCHIVES = (".zip", ".npz", ".tar", ".tgz", ".tar.gz")


def read(source: Path, votes: Path | None = None) -> Fer2013:
    """Read FER2013 from a CSV file, also gzipped, a zip or tar archive (.zip, .npz, .tar, .tar.gz, .tgz) or a folder.

    An archive and a folder hold a CSV file, pictures below folders such as train/happy/ and test/happy/, or arrays.
    `votes` is FER+'s fer2013new.csv; its rows are in the order of FER2013's CSV files, which must be the source then.
    Raises DataError where the source or the votes are not what one of the published forms is.
    """
    voted = None if votes is None else read_votes(votes)  # what is wrong with them is known at once
    try:
        with unpacking(source):
            data = _read(source)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror or error})") from None
    return data if voted is None else replace(data, votes=voted.of(data))


def _read(source: Path) -> Fer2013:
    if not source.exists():
        if source.parts[:1] in WEB:
            raise DataError("FER2013 is read from files, not from the web: download it and give the file")
        raise DataError(f"there is no {source}: give FER2013's CSV file, its archive or its folder")
    if not source.is_file() and not source.is_dir():
        raise DataError(f"{source} is a device or a pipe: give FER2013's CSV file, its archive or its folder")
    table = next((source / name for name in DIRECT if (source / name).is_file()), source)
    members = members_of(table)
    if members is None:
        with table.open("rb") as file:
            return read_table(file, table.name)
    names = list(_names(members))
    if (name := _table(names)) is not None:
        return _read_packed_table(members, name)
    if are_arrays(names):
        return read_arrays(members, str(source))
    if any(map(is_picture, names)):
        return read_pictures(members, str(source))
    archives = [name for name in names if name.lower().endswith(ARCHIVES)]
    if source.is_dir() and len(archives) == 1:
        return _read(source / archives[0])
    raise DataError(_nothing_found(source, names, archives))


def _names(members: Members) -> Iterator[str]:
    """The names of all files; after FER2013's own CSV file the rest does not matter."""
    for member in members():
        yield member.name
        if _plain(member.name) in CSV_NAMES:
            return


def _table(names: list[str]) -> str | None:
    """The CSV file to read: FER2013's own, or the only one where there are no pictures."""
    tables = [name for name in names if _plain(name).endswith(".csv")]
    if tables and _plain(tables[-1]) in CSV_NAMES:
        return tables[-1]
    return tables[0] if len(tables) == 1 and not any(map(is_picture, names)) else None


def _plain(name: str) -> str:
    """A file's own name, in small letters and without the ending that gzip adds."""
    return name.rpartition("/")[2].lower().removesuffix(".gz")


def _nothing_found(source: Path, names: list[str], archives: list[str]) -> str:
    """Why these files are not FER2013."""
    tables = [name for name in names if _plain(name).endswith(".csv")]
    if archives:
        return f"{source} holds no FER2013 but other archives ({archives[0]}): give the right one"
    if tables:
        return f"{source} holds {len(tables)} CSV files and none is named {' or '.join(CSV_NAMES)}: give the right one"
    return f"{source} holds no FER2013: neither its CSV file nor folders such as train/happy/ with pictures"


def _read_packed_table(members: Members, name: str) -> Fer2013:
    """Read one CSV file, then the rest of the archive, in which a checksum may come last."""
    data = None
    for member in members():
        if member.name == name and data is None:
            with member.open() as file:
                data = read_table(file, name)
    if data is None:
        raise DataError(f"{name} was there and is gone: start again when nobody changes the files")
    return data
