"""Parts of a split: some of its rows, and PublicTest."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from numpy.typing import NDArray

from mien.data.fer2013 import PUBLIC
from mien.data.prepare import Split
from mien.errors import DataError


def take(split: Split, rows: NDArray[Any]) -> Split:
    """Some rows of a split, given as indices or as a flag for each row."""
    columns = {field.name: getattr(split, field.name) for field in fields(Split)}
    return replace(split, **{name: column[rows] for name, column in columns.items() if column is not None})


def public_test(test: Split) -> Split:
    """The PublicTest images, the only test images on which anything may be chosen. Raises DataError."""
    if test.usage is None or not (test.usage == PUBLIC).any():
        raise DataError("the data do not say which test images are PublicTest: prepare them from the CSV")
    return take(test, test.usage == PUBLIC)
