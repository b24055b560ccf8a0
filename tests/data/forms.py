"""Small data in every form in which FER2013 is published."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, USAGES, Fer2013
from mien.data.read import read
from mien.errors import DataError
from mien.labels import EMOTIONS, FERPLUS

CSV, ICML = "fer2013.csv", "icml_face_data.csv"
CSV_FORMS = {CSV: "emotion,pixels,Usage", ICML: "emotion, Usage, pixels"}
TARS = ("fer2013.tar.gz", "fer2013.tgz", "fer2013.tar")
TABLES = (CSV, ICML, "fer2013.csv.gz", *TARS, "zip of CSV")
PICTURES = ("folders", "zip", "pictures.tar.gz")
FORMS = (*TABLES, *PICTURES, "fer2013.npz")


def make(labels: Sequence[int], usage: Sequence[int], votes: bool = False, seed: int = 0) -> Fer2013:
    """Random images with the labels and usages given; two values next to each other differ little, as in a photo."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (len(labels), 6, 6), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    counts = rng.multinomial(10, np.full(len(FERPLUS), 0.1), len(labels)).astype(np.uint8)
    codes = np.array(labels, np.uint8), np.array(usage, np.uint8)
    return Fer2013(images, *codes, [""] * len(labels), votes=counts if votes else None)


def small_data(votes: bool = False) -> Fer2013:
    """20 training images and 2 of each kind of test image for each emotion."""
    usage = [TRAINING] * 20 + [PUBLIC] * 2 + [PRIVATE] * 2
    return make([code for _ in usage for code in range(7)], [use for use in usage for _ in range(7)], votes)


def rows_of(data: Fer2013, header: str) -> Iterator[str]:
    """The lines of one of the CSV forms."""
    yield header
    for image, label, usage in zip(data.images, data.labels, data.usage, strict=True):
        pixels = " ".join(map(str, image.ravel()))
        cells = [str(label), pixels, USAGES[usage]]
        yield ",".join(cells if header.endswith("Usage") else [cells[0], cells[2], cells[1]])


def csv_of(data: Fer2013, form: str = CSV) -> bytes:
    """The content of one of the CSV forms."""
    return ("\n".join(rows_of(data, CSV_FORMS[form])) + "\n").encode()


def pictures_of(data: Fer2013) -> Iterator[tuple[str, bytes]]:
    """Names as in Kaggle's archive, and the pictures; lossless, unlike Kaggle's, so that they can be compared."""
    for number, (image, label, usage) in enumerate(zip(data.images, data.labels, data.usage, strict=True)):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        folder = "train" if usage == TRAINING else "test"
        yield f"{folder}/{EMOTIONS[label]}/{USAGES[usage]}_{number}.jpg", file.getvalue()


def arrays_of(data: Fer2013) -> dict[str, Any]:
    """The arrays of fer2013.npz."""
    arrays = {"images": data.images, "labels": data.labels, "usage": data.usage}
    return arrays if data.votes is None else {**arrays, "ferplus_votes": data.votes}


def write_zip(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """Write a zip archive with these files."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """Write a tar archive with these files, gzipped unless the name ends in .tar."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    path.write_bytes(plain.getvalue() if path.suffix == ".tar" else gzip.compress(plain.getvalue(), 1))
    return path


def write_folder(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """Write these files below a folder."""
    for name, content in members:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write(form: str, data: Fer2013, folder: Path) -> Path:
    """Write `data` in one of the published forms; returns the source to be read."""
    path, packed = folder / form, [("fer2013/README", b"words"), ("fer2013/fer2013.csv", csv_of(data))]
    if form in CSV_FORMS:
        path.write_bytes(csv_of(data, form))
    elif form == "fer2013.csv.gz":
        path.write_bytes(gzip.compress(csv_of(data), 1))
    elif form == "fer2013.npz":
        np.savez_compressed(path, **arrays_of(data))
    elif form == "folders":
        write_folder(path, pictures_of(data))
    elif form in TARS:
        write_tar(path, packed)
    elif form == "pictures.tar.gz":
        write_tar(path, pictures_of(data))
    else:
        path = folder / f"{form}.zip"
        write_zip(path, pictures_of(data) if form == "zip" else packed)
    return path


def write_votes(data: Fer2013, path: Path) -> Path:
    """Write the votes of `data` as FER+'s fer2013new.csv."""
    assert data.votes is not None
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Usage", "Image name", *FERPLUS])
        for number, (row, usage) in enumerate(zip(data.votes.tolist(), data.usage, strict=True)):
            table.writerow([USAGES[usage], f"fer{number:07}.png", *row])
    return path


def refused(source: Path, votes: Path | None = None) -> str:
    """The message of the DataError that reading raises; it is one line."""
    with pytest.raises(DataError) as error:
        read(source, votes)
    assert "\n" not in str(error.value)
    return str(error.value)


def content(data: Fer2013) -> list[tuple[int, int, bytes]]:
    """What the rows say, whatever order they are in."""
    images = (image.tobytes() for image in data.images)
    return sorted(zip(data.usage.tolist(), data.labels.tolist(), images, strict=True))


def edited(path: Path, old: str, new: str, line: int) -> Path:
    """Replace text in a line of a text file, counted from 1."""
    lines = path.read_text().split("\n")
    assert old in lines[line - 1]
    lines[line - 1] = lines[line - 1].replace(old, new, 1)
    path.write_text("\n".join(lines))
    return path


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Fail where Python's objects take more bytes than that at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
