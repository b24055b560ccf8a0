"""Read FER2013 in every form in which it is published, and the FER+ votes that go with it."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mien.data.archive import open_archive
from mien.errors import DataError
from mien.labels import EMOTIONS, FERPLUS, SIDE

Bytes = NDArray[np.uint8]

USAGES = ("Training", "PublicTest", "PrivateTest", "Test")
TRAINING, PUBLIC, PRIVATE, TEST = range(4)  # TEST: a test picture whose name does not say which of the two it is in
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
PUBLISHED_MD5 = {
    "f8428a1edbd21e88f42c73edd2a14f95": "fer2013.csv",
    "b114b9e04e6949e5fe8b6a98b3892b1d": "icml_face_data.csv",
}
PUBLISHED_ROWS = 35_887
MOST_LINE = 2**17  # letters in a line of a CSV file: FER2013's have 9,232 at most
MOST_PICTURE_BYTES = 2**24  # of a picture's file; FER2013's have 1 to 3 KB
MOST_PIXELS = 2**24  # of a picture
PICTURE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # not EPS, for which Pillow runs Ghostscript
LEFT_BEHIND = ("Thumbs.db", "desktop.ini")  # by Windows; what others leave behind begins with a dot


@dataclass(frozen=True, eq=False, slots=True)
class Fer2013:
    """The data set in its source's order.

    `images` (n, 48, 48) uint8; `labels` (n,) uint8, codes of `EMOTIONS`; `usage` (n,) uint8, codes of `USAGES`;
    `names` says where each row stands in the source; `md5` is that of the file, or of the names and contents of the
    pictures in a folder, in their order; `votes` (n, 10) uint8 in `FERPLUS` order, or None.
    """

    images: Bytes
    labels: Bytes
    usage: Bytes
    names: list[str]
    md5: str
    votes: Bytes | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """One image of the source: codes of `EMOTIONS` and `USAGES`, and (48, 48) uint8."""

    name: str
    label: int
    usage: int
    image: Bytes


def read(source: Path, votes: Path | None = None) -> Fer2013:
    """Read FER2013 from `source`: a CSV file, a zip archive, or a folder that holds train/ and test/ or a CSV file.

    `votes` is FER+'s fer2013new.csv; its rows stand in the order of FER2013's CSV files, which must be the source then.
    Raises DataError where the source or the votes are not what one of the published forms is.
    """
    digest = hashlib.md5(usedforsecurity=False)
    try:
        data = _collect(_rows(source, digest), source)
    except OSError as error:
        raise DataError(f"{source} cannot be read ({error.strerror or error})") from None
    data = replace(data, md5=digest.hexdigest())
    return data if votes is None else replace(data, votes=_read_votes(votes, data.usage))


def _rows(source: Path, digest: hashlib._Hash) -> Iterator[Row]:
    """The rows of a source in whatever form it is; `digest` has seen all of it once they have been taken."""
    table = next((source / name for name in CSV_NAMES if (source / name).is_file()), source)
    if table.is_dir():
        return _picture_rows(_folder(table, digest))
    if not table.is_file():
        raise DataError(f"there is no {source}: give FER2013's CSV file, its zip archive or its folder")
    with table.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
        file.seek(0)
        packed = file.read(2) == b"PK"
    return _zip_rows(table) if packed else _csv_rows(table.open("rb"), table.name)


def _collect(rows: Iterable[Row], source: Path) -> Fer2013:
    """All rows in one value, which lacks its MD5 and votes still."""
    names: list[str] = []
    labels, usage, pixels = bytearray(), bytearray(), bytearray()
    for row in rows:
        names.append(row.name)
        labels.append(row.label)
        usage.append(row.usage)
        pixels += row.image.tobytes()
    for code in (TRAINING, PUBLIC, PRIVATE):
        if code not in usage and (code == TRAINING or TEST not in usage):
            raise DataError(f"{source} holds no {USAGES[code]} images: is it the whole of FER2013?")
    images = np.frombuffer(pixels, np.uint8).reshape(-1, SIDE, SIDE)
    return Fer2013(images, np.frombuffer(labels, np.uint8), np.frombuffer(usage, np.uint8), names, md5="")


# --- CSV -------------------------------------------------------------------------------------------------------------


def _csv_rows(file: IO[bytes], name: str) -> Iterator[Row]:
    """Rows of fer2013.csv (emotion,pixels,Usage) or icml_face_data.csv (emotion, Usage, pixels), counted from 1."""
    # What is no UTF-8 is kept as backslashes, so that the row that holds it can be named.
    with io.TextIOWrapper(file, encoding="utf-8-sig", errors="backslashreplace", newline="") as text:
        reader = csv.reader(iter(lambda: text.readline(MOST_LINE), ""))
        try:
            columns = [column.strip().lower() for column in next(reader, [])]
            places = [columns.index(column) for column in ("emotion", "usage", "pixels")]
        except (ValueError, csv.Error):
            raise DataError(f"{name} is not FER2013: its first line must name emotion, pixels and Usage") from None
        number = 0
        try:
            for cells in filter(None, reader):  # an empty line is no row
                number += 1
                yield _csv_row(cells, places, f"{name}: row {number}")
        except csv.Error as error:
            raise DataError(f"{name}: row {number + 1} cannot be read ({error})") from None


def _csv_row(cells: list[str], places: list[int], where: str) -> Row:
    if len(cells) <= max(places):
        raise DataError(f"{where} has {len(cells)} of 3 cells: is the file truncated?")
    emotion, usage, text = (cells[place].strip() for place in places)
    if emotion not in map(str, range(len(EMOTIONS))):
        raise DataError(f"{where} has the emotion {emotion[:20]!r}: codes go from 0 to {len(EMOTIONS) - 1}")
    if usage not in USAGES[:TEST]:
        raise DataError(f"{where} has the Usage {usage[:20]!r}, which is none of {', '.join(USAGES[:TEST])}")
    if text.encode().translate(None, b"0123456789 "):  # a letter is left, at which `fromstring` would stop
        raise DataError(f"{where} has pixels that are not numbers from 0 to 255")
    pixels = np.fromstring(text, np.int64, sep=" ")  # in fewer bits a number too large would come out as another
    if pixels.size != SIDE * SIDE:
        raise DataError(f"{where} has {pixels.size:,} pixels, not {SIDE * SIDE:,}: is the file truncated?")
    if pixels.max() > 255:
        raise DataError(f"{where} has pixels that are not numbers from 0 to 255")
    return Row(where, int(emotion), USAGES.index(usage), pixels.astype(np.uint8))


# --- Folders and archives --------------------------------------------------------------------------------------------


def _folder(folder: Path, digest: hashlib._Hash) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file below a folder."""

    def refuse(error: OSError) -> NoReturn:
        raise error

    paths, seen = list[Path](), set[str]()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        if os.path.realpath(place) in seen:  # links may lead in circles
            folders.clear()
            continue
        seen.add(os.path.realpath(place))
        paths += [Path(place, file) for file in files]
    for name in sorted(path.relative_to(folder).as_posix() for path in paths):
        if _is_ours(name):
            data = _content(folder, name)
            if len(data) > MOST_PICTURE_BYTES:
                raise DataError(f"{name} has more than {MOST_PICTURE_BYTES >> 20} MiB: it is no face of FER2013")
            digest.update(os.fsencode(name) + b"\0" + data)
            yield name, data


def _content(folder: Path, name: str) -> bytes:
    """The bytes of a file, and one more than a picture may have."""
    try:
        if not (folder / name).is_file() and (folder / name).exists():  # reading a pipe would never end
            raise DataError(f"{name} is no file: remove it")
        with (folder / name).open("rb") as file:
            return file.read(MOST_PICTURE_BYTES + 1)
    except OSError as error:
        raise DataError(f"{name} cannot be read ({error.strerror}): mend or remove it") from None


def _zip_rows(path: Path) -> Iterator[Row]:
    with open_archive(path) as archive:
        names = sorted(filter(_is_ours, archive.names))
        table = next((name for name in names if PurePosixPath(name).name in CSV_NAMES), None)
        if table is not None:
            yield from _csv_rows(archive.open(table), table)
        else:
            yield from _picture_rows((name, archive.read(name, MOST_PICTURE_BYTES)) for name in names)


def _is_ours(name: str) -> bool:
    """Whether a file is part of the data set: not .DS_Store, __MACOSX/, Thumbs.db and their like."""
    parts = PurePosixPath(name).parts
    return parts[-1] not in LEFT_BEHIND and not any(part.startswith((".", "__MACOSX")) for part in parts)


def _picture_rows(members: Iterable[tuple[str, bytes]]) -> Iterator[Row]:
    """Rows of train/<emotion>/*.jpg and test/<emotion>/*.jpg, which may stand below further folders."""
    for name, data in members:
        *_, split, emotion, file = ("", "", *PurePosixPath(name).parts)
        if split.lower() not in ("train", "test"):
            raise DataError(f"{name} stands in no train/<emotion>/ or test/<emotion>/ folder: remove it")
        if emotion.lower() not in EMOTIONS:
            raise DataError(f"{name} stands for an unknown emotion: the folders are {', '.join(EMOTIONS)}")
        yield Row(name, EMOTIONS.index(emotion.lower()), _usage(split.lower(), file), _picture(name, data))


def _usage(split: str, file: str) -> int:
    """Kaggle's file names begin with the Usage of the row that they were made from."""
    if split == "train":
        return TRAINING
    return next((code for code in (PUBLIC, PRIVATE) if file.startswith(USAGES[code])), TEST)


def _picture(name: str, data: bytes) -> Bytes:
    """The gray 48×48 pixels of a picture file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what cannot be decoded raises
            with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
                width, height = picture.size
                if width * height <= MOST_PIXELS:  # known before anything is decoded
                    return _gray(picture)
    except Image.DecompressionBombError:
        raise DataError(f"{name} has far too many pixels: it is no face of FER2013") from None
    except Exception as error:  # on damaged files Pillow's readers raise whatever they trip over
        raise DataError(f"{name} is no readable picture: mend or remove it") from error
    raise DataError(f"{name} has {width:,}×{height:,} pixels: it is no face of FER2013")


def _gray(picture: Image.Image) -> Bytes:
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):  # 16 bits, which `convert` would cut off
        picture = Image.fromarray((np.asarray(picture, np.float32) / 257).round().clip(0, 255).astype(np.uint8))
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    gray = picture.convert("L")
    if gray.size != (SIDE, SIDE):
        gray = gray.resize((SIDE, SIDE), Image.Resampling.BILINEAR)  # Pillow's averages all pixels when it shrinks
    return np.asarray(gray)


# --- FER+ ------------------------------------------------------------------------------------------------------------


def _read_votes(path: Path, usage: Bytes) -> Bytes:
    """The votes (n, 10) of FER+'s fer2013new.csv for a FER2013 whose rows have `usage` (n,)."""
    try:
        with path.open(encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [column for column in ("Usage", *FERPLUS) if column not in (reader.fieldnames or ())]:
                raise DataError(f"{path} is not FER+'s fer2013new.csv: it has no column {missing[0]}")
            rows = list(reader)
    except (OSError, csv.Error) as error:
        raise DataError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if len(rows) != len(usage):
        raise DataError(f"{path} has {len(rows):,} rows and FER2013 {len(usage):,}: are both files whole?")
    votes = np.zeros((len(rows), len(FERPLUS)), np.uint8)
    for number, (row, code) in enumerate(zip(rows, usage, strict=True)):
        if row["Usage"] != USAGES[code]:
            raise DataError(
                f"{path}: row {number + 1} is {str(row['Usage'])[:20]!r} and in FER2013 {USAGES[code]}: "
                "votes go by the rows of FER2013's CSV, so prepare that"
            )
        try:
            votes[number] = [int(row[column]) for column in FERPLUS]
        except (TypeError, ValueError, OverflowError):
            raise DataError(f"{path}: row {number + 1} has a vote that is no number: is the file truncated?") from None
    return votes
