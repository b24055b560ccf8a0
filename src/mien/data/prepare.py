"""From FER2013 as published to the arrays that a network learns from, and a manifest of what was dropped and why."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013 import PRIVATE, PUBLIC, PUBLISHED_MD5, TRAINING, USAGES, Bytes, Fer2013, read
from mien.errors import DataError, OutputError
from mien.labels import EMOTIONS

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

MANIFEST = "manifest.json"
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
    """The split `name` (train, val or test) of a folder that `prepare` wrote."""
    try:
        arrays = {key: np.load(folder / f"{name}_{key}.npy") for key in ("images", "labels", "rows")}
        for key in ("votes", "usage", "twin"):
            if (path := folder / f"{name}_{key}.npy").exists():
                arrays[key] = np.load(path)
    except FileNotFoundError as error:
        raise DataError(f"{error.filename} does not exist: run `mien data prepare SOURCE --out {folder}`") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{folder} has a {name} split that cannot be read ({error}): prepare it again") from None
    if len({len(array) for array in arrays.values()}) != 1:
        raise DataError(f"{folder} has {name} arrays of different lengths: prepare it again")
    return Split(**arrays)


def prepare(
    source: Path, out: Path, *, votes: Path | None = None, as_published: bool = False, val: float = 0.1, seed: int = 0
) -> dict[str, Any]:
    """Write `out`/{train,val,test}_*.npy and `out`/manifest.json from FER2013 in any published form.

    Returns the manifest. The folder appears whole or not at all. Raises DataError for a bad source and OutputError
    where `out` cannot be written or holds something else.
    """
    if out.exists() and not ((out / MANIFEST).is_file() or (out.is_dir() and not any(out.iterdir()))):
        raise OutputError(f"{out} exists and is not a folder of prepared data: give --out another name")
    data = read(source, votes)
    groups = duplicate_groups(data.images)
    dropped = {} if as_published else rows_to_drop(data, groups)
    kept = np.array([row for row in np.flatnonzero(data.usage == TRAINING) if row not in dropped], np.int64)
    in_val = validation_rows(groups[kept], data.labels[kept], val, seed)
    test = np.flatnonzero(data.usage != TRAINING)
    splits = {"train": kept[~in_val], "val": kept[in_val], "test": test}
    for name, rows in splits.items():
        if not len(rows):
            raise DataError(f"{source} leaves no {name} images: is it the whole of FER2013?")
    arrays = {f"{name}_{key}": array for name, rows in splits.items() for key, array in _arrays(data, rows).items()}
    arrays["test_usage"] = data.usage[test]
    arrays["test_twin"] = np.isin(groups[test], groups[data.usage == TRAINING])
    manifest = {
        "source": {"name": source.name, "md5": data.md5, "published": PUBLISHED_MD5.get(data.md5)},
        "settings": {"as_published": as_published, "val": val, "seed": seed, "votes": votes is not None},
        "counts": {name: _counts(data.labels[rows]) for name, rows in splits.items()},
        "facts": facts(data, groups),
        "dropped": {"counts": dict(Counter(dropped.values())), "rows": _named(data.names, dropped)},
    }
    _write(out, arrays, manifest)
    return manifest


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


def validation_rows(groups: Ints, labels: Bytes, share: float, seed: int) -> Flags:
    """Which of the rows (n,) go into validation: `share` of each class, and duplicates never on both sides."""
    chance = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    first = {int(group): row for row, group in reversed(list(enumerate(groups)))}
    class_of_group = np.array([labels[first[int(group)]] for group in groups])
    for emotion in range(len(EMOTIONS)):
        members = np.flatnonzero(class_of_group == emotion)
        due = round(share * len(members))
        for group in chance.permutation(np.unique(groups[members])):
            twins = members[groups[members] == group] if due > 0 else members[:0]
            if len(twins) <= due:
                chosen[twins] = True
                due -= len(twins)
            if due == 0:
                break
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


def _arrays(data: Fer2013, rows: Ints) -> dict[str, NDArray[Any]]:
    arrays = {"images": data.images[rows], "labels": data.labels[rows], "rows": rows.astype(np.int32)}
    return arrays if data.votes is None else {**arrays, "votes": data.votes[rows]}


def _counts(labels: Bytes) -> dict[str, int]:
    each = np.bincount(labels, minlength=len(EMOTIONS)).tolist()
    return {"all": len(labels), **dict(zip(EMOTIONS, each, strict=True))}


def _named(names: list[str], dropped: dict[int, str]) -> list[dict[str, Any]]:
    return [{"row": row, "name": names[row], "reason": reason} for row, reason in sorted(dropped.items())]


def _write(out: Path, arrays: dict[str, NDArray[Any]], manifest: dict[str, Any]) -> None:
    """Fill a folder beside `out`, then take its name: a full disk leaves what was there before."""
    fresh = None
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
        fresh.chmod(0o755)
        for name, array in arrays.items():
            np.save(fresh / f"{name}.npy", array)
        (fresh / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if out.exists():
            shutil.rmtree(out)
        fresh.rename(out)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from None
    finally:
        if fresh is not None:
            shutil.rmtree(fresh, ignore_errors=True)
