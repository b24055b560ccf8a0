"""From FER2013 as published to the arrays that a network learns from, and a manifest of what was dropped and why."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.cleaning import Flags, Ints, facts, rows_to_drop, split_rows
from mien.data.cleaning import duplicate_groups as duplicate_groups  # also the concern of who reads prepared data
from mien.data.fer2013 import PUBLISHED_MD5, TRAINING, Bytes, Fer2013
from mien.data.read import read
from mien.errors import DataError, OutputError
from mien.files import check_folder, explained
from mien.labels import EMOTIONS, FERPLUS, SIDE

MANIFEST = "manifest.json"
SPLITS = ("train", "val", "test")
ARRAYS: dict[str, tuple[type[np.generic], tuple[int, ...]]] = {
    "images": (np.uint8, (SIDE, SIDE)),
    "labels": (np.uint8, ()),
    "rows": (np.int32, ()),
    "votes": (np.uint8, (len(FERPLUS),)),
    "usage": (np.uint8, ()),
    "twin": (np.bool_, ()),
}
"""The arrays of a split: their type, and their shape after the number of images."""
NEEDED = ("images", "labels", "rows")  # in every split
FILES = {MANIFEST, *(f"{split}_{key}.npy" for split in SPLITS for key in ARRAYS)}


class NotPreparedError(DataError):
    """There is no prepared data in `folder`."""

    def __init__(self, folder: Path, missing: Path) -> None:
        super().__init__(f"there is no {missing}: prepare the data first")
        self.folder = folder


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """One of train, val and test: `images` (n, 48, 48) uint8, `labels` (n,) uint8 and, for FER+, `votes` (n, 10) uint8.

    `rows` (n,) int32 counts in the source's order, from 0. The test split also has `usage` (n,) uint8, the codes of
    `USAGES`, and `twin` (n,) bool: whether the same picture is among FER2013's Training rows as well.
    """

    images: Bytes
    labels: Bytes
    rows: NDArray[np.int32]
    votes: Bytes | None = None
    usage: Bytes | None = None
    twin: Flags | None = None


def load(folder: Path, name: str) -> Split:
    """Read the split `name` (train, val or test) of a folder that `prepare` wrote.

    Raises NotPreparedError where it is not there, and DataError where it is damaged.
    """
    arrays = {}
    for key in ARRAYS:
        path = folder / f"{name}_{key}.npy"
        try:
            if key in NEEDED or path.exists():
                with path.open("rb") as file:
                    # np.load would open other kinds of files as well
                    arrays[key] = np.lib.format.read_array(file)
        except FileNotFoundError:
            raise NotPreparedError(folder, path) from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({error}): prepare the data again") from None
    length = len(arrays["images"])
    for key, array in arrays.items():
        if array.dtype != ARRAYS[key][0] or array.shape != (length, *ARRAYS[key][1]):
            raise DataError(f"{folder / name}_{key}.npy holds {array.dtype} {array.shape}: prepare the data again")
    if not length or arrays["labels"].max() >= len(EMOTIONS):
        raise DataError(f"{folder} has a {name} split without images or with labels above 6: prepare the data again")
    return Split(**arrays)


def prepare(
    source: Path, out: Path, *, votes: Path | None = None, as_published: bool = False, val: float = 0.1, seed: int = 0
) -> dict[str, Any]:
    """Write `out`/{train,val,test}_*.npy and `out`/manifest.json from FER2013 in any published form.

    `val` is the share of Training, between 0 and 1, that becomes validation; `as_published` drops nothing. Images that
    the source itself calls validation are held out in test as PublicTest. Returns the manifest. The folder appears
    whole or not at all. Raises DataError for a bad source and OutputError where `out` cannot be written, holds
    anything else, or overlaps with what is read.
    """
    if not 0 < val < 1:
        raise ValueError(f"val is {val}: give a share between 0 and 1")
    check_place(out, [source] if votes is None else [source, votes])
    data = read(source, votes)
    groups = duplicate_groups(data.images)
    dropped = {} if as_published else rows_to_drop(data, groups)
    splits = split_rows(data, groups, dropped, val, seed)
    for name, rows in splits.items():
        if not len(rows):
            raise DataError(f"{source} leaves no {name} images: is it the whole of FER2013?")
    found = {"form": data.form, "md5": data.md5, "published": PUBLISHED_MD5.get(data.md5)}
    manifest = {
        "source": {"name": source.name, **found, "validation": data.validation},
        "settings": {"as_published": as_published, "val": val, "seed": seed, "votes": votes is not None},
        "counts": {name: _counts(data.labels[rows]) for name, rows in splits.items()},
        "facts": facts(data, groups),
        "dropped": {"counts": dict(Counter(dropped.values())), "rows": _named(data.names, dropped)},
    }
    _write(out, _arrays(data, groups, splits), manifest)
    return manifest


def check_place(out: Path, sources: list[Path]) -> None:
    """Raise OutputError unless `out` may be written, and replaced where it exists: it must hold prepared data only."""
    with explained(out):
        place = Path(os.path.realpath(out))
        for source in sources:
            other = Path(os.path.realpath(source))
            if place == other or place in other.parents or other in place.parents:
                raise OutputError(f"cannot write {out}: it overlaps with {source}, which is read; use another place")
        if os.path.lexists(place) and not place.is_dir():
            raise OutputError(f"cannot write {out}: it is not a folder; use another name")
        foreign = {path.name for path in place.iterdir()} - FILES if place.is_dir() else set()
    if foreign:
        raise OutputError(f"cannot write {out}: it holds other things ({min(foreign)}); use another name")
    check_folder(place.parent)


def _arrays(data: Fer2013, groups: Ints, splits: dict[str, Ints]) -> dict[str, NDArray[Any]]:
    """The arrays to write by the names of their files."""
    columns: dict[str, NDArray[Any]] = {
        "images": data.images,
        "labels": data.labels,
        "rows": np.arange(len(data.labels), dtype=np.int32),
    }
    if data.votes is not None:
        columns["votes"] = data.votes
    arrays = {f"{name}_{key}": column[rows] for name, rows in splits.items() for key, column in columns.items()}
    test = splits["test"]
    twin = np.isin(groups[test], groups[data.usage == TRAINING])
    return {**arrays, "test_usage": data.usage[test], "test_twin": twin}


def _counts(labels: Bytes) -> dict[str, int]:
    each = np.bincount(labels, minlength=len(EMOTIONS)).tolist()
    return {"all": len(labels), **dict(zip(EMOTIONS, each, strict=True))}


def _named(names: list[str], dropped: dict[int, str]) -> list[dict[str, Any]]:
    return [{"row": row, "name": names[row], "reason": reason} for row, reason in sorted(dropped.items())]


def _write(out: Path, arrays: dict[str, NDArray[Any]], manifest: dict[str, Any]) -> None:
    with whole_folder(out) as fresh:
        for name, array in arrays.items():
            write_array(fresh / f"{name}.npy", array)
        text = json.dumps(manifest, indent=1) + "\n"
        (fresh / MANIFEST).write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Fill a folder beside `out`, which then takes that name: what fails leaves what was there before."""
    place = Path(os.path.realpath(out))  # a link stays a link: what it points to is written
    with explained(out), tempfile.TemporaryDirectory(prefix=".mien-", dir=place.parent) as beside:
        fresh, old = Path(beside, "fresh"), Path(beside, "old")
        fresh.mkdir()
        yield fresh
        _exchange(place, fresh, old)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write a .npy file; NumPy itself would not say that a disk is full."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    path.write_bytes(buffer.getbuffer())


def _exchange(place: Path, fresh: Path, old: Path) -> None:
    """Let `fresh` stand at `place` and what stood there at `old`; where that fails, all stays as it was."""
    try:
        if place.exists():
            place.rename(old)
        fresh.rename(place)
    except BaseException:
        if old.exists() and not place.exists():
            old.rename(place)
        raise
