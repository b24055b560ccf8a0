"""From FER2013 as published to the arrays that a network learns from, and a manifest of what was dropped and why."""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013 import PRIVATE, PUBLIC, PUBLISHED_MD5, TRAINING, USAGES, Bytes, Fer2013, read
from mien.errors import DataError, OutputError
from mien.files import check_folder, explained
from mien.labels import EMOTIONS, FERPLUS, SIDE

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

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
BLANK, TWIN, CONFLICT = "blank image", "twin of a test image", "losing side of a conflict"


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """One of train, val and test: `images` (n, 48, 48) uint8, `labels` (n,) uint8 and, for FER+, `votes` (n, 10) uint8.

    `rows` (n,) int32 counts in the source's order, from 0. The test split also has `usage` (n,) uint8, the codes of
    `USAGES`, and `twin` (n,) bool: whether the same picture stands in FER2013's Training rows as well.
    """

    images: Bytes
    labels: Bytes
    rows: NDArray[np.int32]
    votes: Bytes | None = None
    usage: Bytes | None = None
    twin: Flags | None = None


def load(folder: Path, name: str) -> Split:
    """Read the split `name` (train, val or test) of a folder that `prepare` wrote. Raises DataError."""
    arrays = {}
    for key in ARRAYS:
        path = folder / f"{name}_{key}.npy"
        try:
            if key in NEEDED or path.exists():
                with path.open("rb") as file:
                    # np.load would open other kinds of files as well
                    arrays[key] = np.lib.format.read_array(file)  # type: ignore[no-untyped-call]
        except FileNotFoundError:
            raise DataError(f"there is no {path}: run `mien data prepare SOURCE --out {folder}`") from None
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

    `val` is the share of Training that becomes validation; `as_published` drops nothing. Returns the manifest. The
    folder appears whole or not at all. Raises DataError for a bad source and OutputError where `out` cannot be
    written, holds anything else, or has to do with what is read.
    """
    check_place(out, [source] if votes is None else [source, votes])
    data = read(source, votes)
    groups = duplicate_groups(data.images)
    dropped = {} if as_published else rows_to_drop(data, groups)
    splits = split_rows(data, groups, dropped, val, seed)
    for name, rows in splits.items():
        if not len(rows):
            raise DataError(f"{source} leaves no {name} images: is it the whole of FER2013?")
    manifest = {
        "source": {"name": source.name, "md5": data.md5, "published": PUBLISHED_MD5.get(data.md5)},
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
            raise OutputError(f"cannot write {out}: it is no folder; use another name")
        foreign = {path.name for path in place.iterdir()} - FILES if place.is_dir() else set()
    if foreign:
        raise OutputError(f"cannot write {out}: it holds other things ({min(foreign)}); use another name")
    check_folder(place.parent)


def duplicate_groups(images: Bytes) -> Ints:
    """A number for each image (n,), the same for images that are equal to the byte."""
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    return np.unique(rows.view(f"V{rows.shape[1]}").ravel(), return_inverse=True)[1]


def blank_images(images: Bytes) -> Flags:
    """Whether each image is of one single gray (n,)."""
    flat = images.reshape(len(images), -1)
    return np.asarray(flat.min(1) == flat.max(1))


def rows_to_drop(data: Fer2013, groups: Ints) -> dict[int, str]:
    """The Training rows that a network should not learn from, each with its reason.

    Blank images; twins of test images, which would make the test an exercise in memory; and of duplicates that carry
    different labels, those whose label is not the most frequent one (where two are equally frequent, all).
    """
    training = data.usage == TRAINING
    dropped = {int(row): BLANK for row in np.flatnonzero(training & blank_images(data.images))}
    for row in np.flatnonzero(training & np.isin(groups, groups[~training])):
        dropped.setdefault(int(row), TWIN)
    left = np.array([row for row in np.flatnonzero(training) if row not in dropped], np.int64)
    for rows in _in_groups(groups, left):
        ranked = Counter(data.labels[rows].tolist()).most_common()
        tie = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
        dropped.update({int(row): CONFLICT for row in rows if tie or data.labels[row] != ranked[0][0]})
    return dropped


def split_rows(data: Fer2013, groups: Ints, dropped: Container[int], val: float, seed: int) -> dict[str, Ints]:
    """The rows of the source that make up train, val and test."""
    kept = np.array([row for row in np.flatnonzero(data.usage == TRAINING) if row not in dropped], np.int64)
    in_val = validation_rows(groups[kept], data.labels[kept], val, seed)
    return {"train": kept[~in_val], "val": kept[in_val], "test": np.flatnonzero(data.usage != TRAINING)}


def validation_rows(groups: Ints, labels: Bytes, share: float, seed: int) -> Flags:
    """Which of the rows (n,) go into validation: `share` of each class, and duplicates never on both sides."""
    chance = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    _, firsts, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    classes = labels[firsts][group_of_row]  # duplicates that are labelled apart go by the first of them
    for emotion in range(len(EMOTIONS)):
        members = np.flatnonzero(classes == emotion)
        due = round(share * len(members))
        for group in chance.permutation(np.unique(groups[members])):
            if due == 0:
                break
            twins = members[groups[members] == group]
            if len(twins) <= due:
                chosen[twins] = True
                due -= len(twins)
    return chosen


def facts(data: Fer2013, groups: Ints) -> dict[str, int]:
    """What is known of the source before anything is dropped: its size, duplicates, leaks and blanks."""
    conflicts = [len(set(data.labels[rows].tolist())) > 1 for rows in _in_groups(groups, np.arange(len(groups)))]
    twin = np.isin(groups, groups[data.usage == TRAINING])
    return {
        **{name: int((data.usage == code).sum()) for code, name in enumerate(USAGES)},
        "groups of duplicates": len(conflicts),
        "groups with conflicting labels": sum(conflicts),
        "PublicTest images that stand in Training": int((twin & (data.usage == PUBLIC)).sum()),
        "PrivateTest images that stand in Training": int((twin & (data.usage == PRIVATE)).sum()),
        "blank images": int(blank_images(data.images).sum()),
    }


def _in_groups(groups: Ints, rows: Ints) -> list[Ints]:
    """`rows` gathered by group, without the groups of one."""
    ordered = rows[np.argsort(groups[rows], kind="stable")]
    parts = np.split(ordered, np.flatnonzero(np.diff(groups[ordered])) + 1)
    return [part for part in parts if len(part) > 1]


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
