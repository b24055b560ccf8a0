"""Read FER2013 as pictures in folders, such as train/happy/1.jpg and test/sad/2.jpg, on the disk or in an archive."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from mien.data.archive import Member, Members
from mien.data.fer2013 import (
    PRIVATE,
    PUBLIC,
    TRAINING,
    USAGES,
    VALIDATION,
    Bytes,
    Fer2013,
    Row,
    emotion_of,
    gathered,
    usage_of,
)
from mien.errors import DataError
from mien.labels import EMOTIONS, SIDE

MOST_BYTES = 2**24  # of a picture's file; FER2013's have 1 to 3 KB
MOST_PIXELS = 2**24  # of a picture
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TGA", "TIFF", "WEBP")  # not EPS, for which Pillow runs Ghostscript
ENDINGS = re.compile(r"\.(avif|bmp|gif|hei[cf]|jfif|jpe|jpe?g|p[bgnp]m|png|tga|tiff?|webp)$", re.IGNORECASE)
"""A file with another ending that stands beside the folders, such as README.md, is no part of the data set."""


def is_picture(name: str) -> bool:
    """Whether a file is named as a picture is."""
    return ENDINGS.search(name) is not None


def read_pictures(members: Members, source: str) -> Fer2013:
    """Read the pictures below folders that name a split and an emotion, in the order of their names.

    Raises DataError, which names the file that is wrong.
    """
    digests: dict[str, bytes] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on odd files; what cannot be decoded raises
        data = gathered(_rows(members, digests), source)
    order = sorted(range(len(data.names)), key=data.names.__getitem__)
    names = [data.names[row] for row in order]
    digest = hashlib.md5(usedforsecurity=False)
    for name in names:
        digest.update(name.encode(errors="surrogateescape") + b"\0" + digests[name])
    return replace(
        data,
        images=data.images[order],
        labels=data.labels[order],
        usage=data.usage[order],
        names=names,
        form="pictures",
        md5=digest.hexdigest(),
    )


def _rows(members: Members, digests: dict[str, bytes]) -> Iterator[Row]:
    """A row for each picture; `digests` is given the MD5 of its file."""
    for member in members():
        place = _place(member.name)
        if place is None:
            continue
        if member.name in digests:
            raise DataError(f"{member.name} is in the archive twice: pack it anew")
        data = member.read(MOST_BYTES)
        digests[member.name] = hashlib.md5(data, usedforsecurity=False).digest()
        yield Row(member.name, *place, _image(member, data))


def _place(name: str) -> tuple[int, int] | None:
    """The emotion and the usage of a picture by the folders that it is in; None for a file of another kind.

    The innermost folder that names an emotion counts, and the innermost that names a split.
    """
    *folders, file = name.split("/")
    folders.reverse()
    label = next((code for folder in folders if (code := emotion_of(folder)) is not None), None)
    split = next((code for folder in folders if (code := usage_of(folder)) is not None), None)
    if label is not None and split is not None:
        return label, _usage(split, file)
    if not is_picture(name):
        return None
    if split is None:
        raise DataError(f"{name} is in no folder named for its split: call that train, validation or test")
    raise DataError(
        f"{name} is in no folder named for its emotion: call that {', '.join(EMOTIONS[:-1])} or {EMOTIONS[-1]}"
    )


def _usage(split: int, file: str) -> int:
    """The usage of a picture in the folder of a split: Kaggle's file names begin with that of the row they show."""
    named = next((code for code in (PUBLIC, PRIVATE) if file.lower().startswith(USAGES[code].lower())), split)
    return split if split == TRAINING or (split, named) == (VALIDATION, PUBLIC) else named


def _image(member: Member, data: bytes) -> Bytes:
    """The gray 48×48 pixels of a picture file."""
    name = member.name
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
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
