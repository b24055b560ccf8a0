"""Which rows of FER2013 a network should not learn from, and which of the rest become validation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, USAGES, Bytes, Fer2013
from mien.labels import EMOTIONS

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLANK, TWIN, CONFLICT = "blank image", "twin of a test image", "losing side of a conflict"


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

    Blank images; twins of test images, which the network could learn by heart; and of duplicates with different labels
    those whose label is not the most frequent one, or all where two labels are equally frequent.
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
    """Which of the rows (n,) go into validation: `share` of each class, and duplicates never on both sides.

    A class gives at least one image where it has others left.
    """
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(labels), bool)
    _, firsts, group_of_row = np.unique(groups, return_index=True, return_inverse=True)
    classes = labels[firsts][group_of_row]  # duplicates that are labelled apart go by the first of them
    for emotion in range(len(EMOTIONS)):
        members = np.flatnonzero(classes == emotion)
        in_class = np.unique(groups[members])
        due = max(round(share * len(members)), int(len(in_class) > 1))
        for group in rng.permutation(in_class):
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
        "PublicTest images also in Training": int((twin & (data.usage == PUBLIC)).sum()),
        "PrivateTest images also in Training": int((twin & (data.usage == PRIVATE)).sum()),
        "blank images": int(blank_images(data.images).sum()),
    }


def _in_groups(groups: Ints, rows: Ints) -> list[Ints]:
    """`rows` gathered by group, without the groups of one."""
    ordered = rows[np.argsort(groups[rows], kind="stable")]
    parts = np.split(ordered, np.flatnonzero(np.diff(groups[ordered])) + 1)
    return [part for part in parts if len(part) > 1]
