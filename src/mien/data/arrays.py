"""Read FER2013 as NumPy arrays: fer2013.npz, or a folder with the same .npy files. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace

import numpy as np
from numpy.lib import format as npy

from mien.data.archive import Members
from mien.data.fer2013 import PRIVATE, Bytes, Fer2013, Row, gathered
from mien.errors import DataError
from mien.labels import EMOTIONS, FERPLUS, SIDE

IMAGES, LABELS, USAGE, VOTES = "images", "labels", "usage", "ferplus_votes"
SHAPES: dict[str, tuple[int, ...]] = {IMAGES: (SIDE, SIDE), LABELS: (), USAGE: (), VOTES: (len(FERPLUS),)}
"""The arrays, and the shape of each after the number of images."""
HIGHEST = {IMAGES: 255, LABELS: len(EMOTIONS) - 1, USAGE: PRIVATE, VOTES: 255}
MOST_BYTES = 2**29  # of an array: the images of FER2013 have 83 MB


def are_arrays(names: list[str]) -> bool:
    """Whether these files are the arrays of FER2013."""
    return {f"{key}.npy" for key in (IMAGES, LABELS, USAGE)} <= set(names)


def read_arrays(members: Members, source: str) -> Fer2013:
    """Read images.npy (n, 48, 48), labels.npy (n,), usage.npy (n,) and, where it is there, ferplus_votes.npy (n, 10).

    All hold whole numbers; labels are FER2013's codes, and usage is 0 Training, 1 PublicTest, 2 PrivateTest. Raises
    DataError.
    """
    arrays = dict[str, Bytes]()
    for member in members():
        key = member.name.removesuffix(".npy")
        if key in SHAPES:
            arrays[key] = _array(member.read(MOST_BYTES), key)
    digest = hashlib.md5(usedforsecurity=False)
    for key in filter(arrays.__contains__, SHAPES):
        if arrays[key].shape != (len(arrays[LABELS]), *SHAPES[key]):
            shape = " × ".join(map(str, arrays[key].shape))
            raise DataError(f"{source}: {key}.npy holds {shape} numbers, which do not fit the labels")
        digest.update(arrays[key].tobytes())
    columns = zip(arrays[LABELS].tolist(), arrays[USAGE].tolist(), arrays[IMAGES], strict=True)
    data = gathered((Row(f"{source}: image {row}", *column) for row, column in enumerate(columns)), source)
    return replace(data, form="arrays", md5=digest.hexdigest(), votes=arrays.get(VOTES))


def _array(data: bytes, key: str) -> Bytes:
    """The array that a .npy file holds, in bytes."""
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version} of its format")
        shape, fortran, dtype = npy.read_array_header_1_0(file)
        if fortran or dtype.kind not in "iu":
            raise ValueError(f"{dtype} in the order of Fortran" if fortran else f"{dtype}, not whole numbers")
        array = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape)
    except ValueError as error:
        raise DataError(f"{key}.npy cannot be read ({error}): write it anew as bytes, uint8") from None
    if array.size and not (array.min() >= 0 and array.max() <= HIGHEST[key]):
        raise DataError(f"{key}.npy holds numbers that are not from 0 to {HIGHEST[key]}")
    return array.astype(np.uint8, copy=False)
