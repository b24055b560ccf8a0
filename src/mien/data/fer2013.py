"""What FER2013 holds: its usages and emotions under every name they go by, its rows, and all of it as arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import DataError
from mien.labels import EMOTIONS, SIDE

Bytes = NDArray[np.uint8]

USAGES = ("Training", "PublicTest", "PrivateTest", "Test")
TRAINING, PUBLIC, PRIVATE, TEST = range(4)  # TEST: the source does not say which of the two test sets it is
VALIDATION = 4  # only while a source is read; `gathered` turns it into PUBLIC
PUBLISHED_MD5 = {
    "f8428a1edbd21e88f42c73edd2a14f95": "fer2013.csv",
    "b114b9e04e6949e5fe8b6a98b3892b1d": "icml_face_data.csv",
}
PUBLISHED_ROWS = 35_887
MOST_ROWS = 250_000  # which take 0.6 GB

USAGE_NAMES = {
    **dict.fromkeys(("training", "train"), TRAINING),
    "publictest": PUBLIC,
    "privatetest": PRIVATE,
    **dict.fromkeys(("test", "testing"), TEST),
    **dict.fromkeys(("validation", "valid", "val"), VALIDATION),
}
"""The names of splits in every edition, in small letters and without spaces."""
EMOTION_NAMES = {
    **{name: code for code, name in enumerate(EMOTIONS)},
    **{name: code for code, name in enumerate(("anger", "disgusted", "fearful", "happiness", "sadness", "surprised"))},
}


@dataclass(frozen=True, eq=False, slots=True)
class Fer2013:
    """The data set, in the order of its CSV file's rows or of its pictures' names.

    `images` (n, 48, 48) uint8; `labels` (n,) uint8, codes of `EMOTIONS`; `usage` (n,) uint8, codes of `USAGES`;
    `names` says where each row stands in the source; `form` is CSV, pictures or arrays; `md5` is that of the unpacked
    CSV file, of the pictures' names and contents, or of the arrays; `validation` counts the images that the source
    calls validation; `votes` (n, 10) uint8 in `FERPLUS` order, or None.
    """

    images: Bytes
    labels: Bytes
    usage: Bytes
    names: list[str]
    form: str = ""
    md5: str = ""
    validation: int = 0
    votes: Bytes | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One image of the source: codes of `EMOTIONS` and `USAGES` (or `VALIDATION`), and (48, 48) uint8."""

    name: str
    label: int
    usage: int
    image: Bytes


def usage_of(name: str) -> int | None:
    """The code of a Usage or of a folder, whatever its capitals, spaces and hyphens; None for an unknown name."""
    return USAGE_NAMES.get("".join(filter(str.isalnum, name.lower())))


def emotion_of(name: str) -> int | None:
    """The code of an emotion's name or folder in any capitals; None for an unknown name."""
    return EMOTION_NAMES.get(name.strip().lower())


def gathered(rows: Iterable[Row], source: str) -> Fer2013:
    """All rows as arrays. Raises DataError where a part of FER2013 is missing.

    Images that the source calls validation are held out as PublicTest: FER2013's own validation set, on which choices
    may be made. Plain test images beside them are then PrivateTest.
    """
    names: list[str] = []
    labels, usage, pixels = bytearray(), bytearray(), bytearray()
    for row in rows:
        names.append(row.name)
        labels.append(row.label)
        usage.append(row.usage)
        pixels += row.image.tobytes()
        if len(names) > MOST_ROWS:
            raise DataError(f"{source} holds more than {MOST_ROWS:,} images: FER2013 has {PUBLISHED_ROWS:,}")
    validation = usage.count(VALIDATION)
    if validation:
        usage = usage.translate(bytes.maketrans(bytes([VALIDATION, TEST]), bytes([PUBLIC, PRIVATE])))
    needed = (TRAINING,) if validation or TEST in usage else (TRAINING, PUBLIC, PRIVATE)
    missing = [USAGES[code] for code in needed if code not in usage]
    if missing:
        raise DataError(f"{source} holds no {' and no '.join(missing)} images: is it the whole of FER2013?")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)
    codes = np.frombuffer(labels, np.uint8), np.frombuffer(usage, np.uint8)
    return Fer2013(images, *codes, names, validation=validation)
