"""Read FER2013 in every form in which it is published, and the FER+ votes that go with it."""

from __future__ import annotations

import csv
import hashlib
import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from mien.errors import DataError
from mien.labels import EMOTIONS, FERPLUS

Bytes = NDArray[np.uint8]

SIDE = 48  # FER2013's images are 48×48
USAGES = ("Training", "PublicTest", "PrivateTest", "Test")
TRAINING, PUBLIC, PRIVATE, TEST = range(4)  # TEST: a test picture whose name does not say which of the two it is in
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
PUBLISHED_MD5 = {
    "f8428a1edbd21e88f42c73edd2a14f95": "fer2013.csv",
    "b114b9e04e6949e5fe8b6a98b3892b1d": "icml_face_data.csv",
}
MOST_BYTES = 2**31  # of an unpacked archive: all of FER2013 as text has 0.3 GB
MOST_PICTURE_BYTES = 2**24
MOST_PIXELS = 2**24


@dataclass(frozen=True, eq=False, slots=True)
class Fer2013:
    """The data set in its source's order.

    `images` (n, 48, 48) uint8; `labels` (n,) uint8, codes of `EMOTIONS`; `usage` (n,) uint8, codes of `USAGES`;
    `names` says where each row stands in the source; `votes` (n, 10) uint8 in `FERPLUS` order, or None.
    """

    images: Bytes
    labels: Bytes
    usage: Bytes
    names: list[str]
    md5: str
    votes: Bytes | None = None


Row = tuple[str, int, int, Bytes]  # name, label, usage, image


def read(source: Path, votes: Path | None = None) -> Fer2013:
    """Read FER2013 from `source`: a CSV file, a zip archive, or a folder that holds train/ and test/ or a CSV file.

    Raises DataError where the source is not what one of the published forms is.
    """
    if not source.exists():
        raise DataError(f"{source} does not exist: give FER2013's CSV file, its zip archive or its folder")
    if source.is_dir():
        rows, md5 = _open_folder(source)
    elif zipfile.is_zipfile(source):
        md5, rows = _md5(source), _open_zip(source)
    else:
        md5, rows = _md5(source), _csv_rows(source.open("rb"), source.name)
    data = _collect(rows, source, md5)
    return data if votes is None else _with_votes(data, votes)


def _collect(rows: Iterable[Row], source: Path, md5: str) -> Fer2013:
    names: list[str] = []
    labels, usage, pixels = bytearray(), bytearray(), bytearray()
    for name, label, use, image in rows:
        names.append(name)
        labels.append(label)
        usage.append(use)
        pixels += image.tobytes()
    uses = np.frombuffer(bytes(usage), np.uint8)
    for wanted, found in (("training", uses == TRAINING), ("test", uses != TRAINING)):
        if not found.any():
            raise DataError(f"{source} holds no {wanted} images: FER2013 comes with training and test images")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)
    return Fer2013(images, np.frombuffer(bytes(labels), np.uint8), uses, names, md5)


# --- CSV -------------------------------------------------------------------------------------------------------------


def _csv_rows(file: io.BufferedIOBase | io.BufferedReader, name: str) -> Iterator[Row]:
    """Rows of fer2013.csv (emotion,pixels,Usage) or icml_face_data.csv (emotion, Usage, pixels)."""
    with file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text, warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)  # NumPy's word for text that is no number
        reader = csv.reader(text)
        try:
            columns = [column.strip().lower() for column in next(reader, [])]
            places = [columns.index(column) for column in ("emotion", "usage", "pixels")]
        except (ValueError, UnicodeDecodeError, csv.Error):
            raise DataError(f"{name} is not FER2013: its first line must name emotion, pixels and Usage") from None
        try:
            for number, cells in enumerate(reader, 1):
                yield f"{name}:{number}", *_csv_row(cells, places, f"{name}: row {number}")
        except (UnicodeDecodeError, csv.Error, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{name} cannot be read to its end: {error}; download it again") from None


def _csv_row(cells: list[str], places: list[int], where: str) -> tuple[int, int, Bytes]:
    if len(cells) <= max(places):
        raise DataError(f"{where} has {len(cells)} cells where 3 are due: is the file truncated?")
    emotion, usage, text = (cells[place].strip() for place in places)
    if not (emotion.isdecimal() and int(emotion) < len(EMOTIONS)):
        raise DataError(f"{where} has the emotion {emotion!r}: codes go from 0 to 6")
    if usage not in USAGES:
        raise DataError(f"{where} has the Usage {usage!r}: it must be one of {', '.join(USAGES[:3])}")
    try:
        pixels = np.fromstring(text, np.int16, sep=" ")
    except (DeprecationWarning, ValueError):
        raise DataError(f"{where} has pixels that are not numbers: is the file truncated?") from None
    if pixels.size != SIDE * SIDE:
        raise DataError(f"{where} has {pixels.size} pixels where {SIDE * SIDE} are due: is the file truncated?")
    if pixels.min() < 0 or pixels.max() > 255:
        raise DataError(f"{where} has a pixel outside 0 to 255")
    return int(emotion), USAGES.index(usage), pixels.astype(np.uint8)


# --- Folders and archives --------------------------------------------------------------------------------------------


def _open_folder(folder: Path) -> tuple[Iterator[Row], str]:
    for name in CSV_NAMES:
        if (folder / name).is_file():
            md5 = _md5(folder / name)
            return _csv_rows((folder / name).open("rb"), name), md5
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(folder)))
    members = [(path.relative_to(folder).as_posix(), path) for path in paths]
    digest = hashlib.md5(usedforsecurity=False)
    for name, path in members:
        digest.update(name.encode() + _bytes(path))
    return _picture_rows((name, _bytes(path)) for name, path in members), digest.hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _open_zip(path: Path) -> Iterator[Row]:
    try:
        archive = zipfile.ZipFile(path)
        members = [member for member in archive.infolist() if not member.is_dir()]
        _refuse_harm(path, members)
        for member in members:
            if PurePosixPath(member.filename).name in CSV_NAMES:
                yield from _csv_rows(archive.open(member), member.filename)  # type: ignore[arg-type]
                return
        wanted = sorted(member.filename for member in members if not _hidden(PurePosixPath(member.filename)))
        yield from _picture_rows((name, archive.read(name)) for name in wanted)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise DataError(f"{path} cannot be unpacked: {error}; download it again") from None


def _refuse_harm(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise DataError(f"{path} names a file outside itself ({member.filename!r}): it is not FER2013's archive")
        if name.suffix != ".csv" and member.file_size > MOST_PICTURE_BYTES:
            raise DataError(f"{path}: {member.filename} unpacks to {member.file_size >> 20} MiB, too much for a picture")
    if (total := sum(member.file_size for member in members)) > MOST_BYTES:
        raise DataError(f"{path} unpacks to {total >> 20} MiB: FER2013 has less, so this is not its archive")


def _hidden(path: Path | PurePosixPath) -> bool:
    """Whether a file system left this behind (.DS_Store, __MACOSX/, Thumbs.db)."""
    return path.name == "Thumbs.db" or any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _picture_rows(members: Iterable[tuple[str, bytes]]) -> Iterator[Row]:
    """Rows of train/<emotion>/*.jpg and test/<emotion>/*.jpg, which may stand below further folders."""
    for name, data in members:
        parts = PurePosixPath(name).parts
        if len(parts) < 3 or (split := parts[-3].lower()) not in ("train", "test"):
            raise DataError(f"{name} stands in no train/<emotion>/ or test/<emotion>/ folder")
        if (emotion := parts[-2].lower()) not in EMOTIONS:
            raise DataError(f"{name}: unknown emotion {parts[-2]!r}; the folders are {', '.join(EMOTIONS)}")
        yield name, EMOTIONS.index(emotion), _usage(split, parts[-1]), _picture(name, data)


def _usage(split: str, file: str) -> int:
    """Kaggle's file names begin with the Usage of the row they were made from."""
    if split == "train":
        return TRAINING
    return next((code for code in (PUBLIC, PRIVATE) if file.startswith(USAGES[code])), TEST)


def _picture(name: str, data: bytes) -> Bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what cannot be decoded raises
            with Image.open(io.BytesIO(data)) as picture:
                if picture.width * picture.height > MOST_PIXELS:
                    raise DataError(f"{name} has {picture.width}×{picture.height} pixels: too many for a face")
                gray = np.asarray(picture.convert("L"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a readable picture ({error}): mend or remove it") from None
    if gray.shape == (SIDE, SIDE):
        return gray
    return cv2.resize(gray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _md5(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


# --- FER+ ------------------------------------------------------------------------------------------------------------


def _with_votes(data: Fer2013, path: Path) -> Fer2013:
    """`data` with the votes of FER+'s fer2013new.csv, whose rows stand in the order of fer2013.csv."""
    if (data.usage == TEST).any() or not data.names[0].endswith(":1"):
        raise DataError("FER+ votes go by the row numbers of FER2013's CSV: prepare from fer2013.csv to use them")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [column for column in ("Usage", *FERPLUS) if column not in (reader.fieldnames or ())]:
                raise DataError(f"{path} is not FER+'s fer2013new.csv: it has no column {missing[0]!r}")
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {error}") from None
    if len(rows) != len(data.labels):
        raise DataError(f"{path} has {len(rows)} rows and FER2013 {len(data.labels)}: are both files whole?")
    votes = np.zeros((len(rows), len(FERPLUS)), np.uint8)
    for number, (row, usage) in enumerate(zip(rows, data.usage, strict=True)):
        try:
            votes[number] = [int(row[column]) for column in FERPLUS]
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{path}: row {number + 1} has a vote that is no number from 0 to 255") from None
        if row["Usage"] != USAGES[usage]:
            raise DataError(f"{path}: row {number + 1} is {row['Usage']}, in FER2013 {USAGES[usage]}: other row orders")
    return Fer2013(data.images, data.labels, data.usage, data.names, data.md5, votes)
