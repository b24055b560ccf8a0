"""The arrays of fer2013.npz are read as they are, and never unpickled."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mien.data.fer2013 import Fer2013
from mien.data.read import read

from .forms import arrays_of, content, refused, write_folder, write_zip


class Trap:
    """What would make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def packed(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("kind", ["u1", "i1", ">i4", "<i8", "u8"])
def test_whole_numbers_of_any_size_are_read(small: Fer2013, tmp_path: Path, kind: str) -> None:
    arrays = arrays_of(small)
    codes = {key: arrays[key].astype(kind) for key in ("labels", "usage")}
    found = read(packed(tmp_path / "fer2013.npz", **{**arrays, **codes}))
    assert content(found) == content(small)
    assert (found.form, found.votes) == ("arrays", None)


def test_votes_come_with_the_arrays(voted: Fer2013, tmp_path: Path) -> None:
    found = read(packed(tmp_path / "fer2013.npz", **arrays_of(voted)))
    assert found.votes is not None and voted.votes is not None
    assert found.votes.tolist() == voted.votes.tolist()


def test_unpacked_arrays_are_read_too(voted: Fer2013, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "fer", [(f"{key}.npy", npy(array)) for key, array in arrays_of(voted).items()])
    assert read(folder).md5 == read(packed(tmp_path / "fer2013.npz", **arrays_of(voted))).md5


@pytest.mark.parametrize(
    ("key", "change", "says"),
    [
        ("labels", lambda array: array + 1, "labels.npy holds numbers that are not from 0 to 6"),
        ("usage", lambda array: array + 1, "usage.npy holds numbers that are not from 0 to 2"),
        ("images", lambda array: array.astype(np.int16) - 1, "images.npy holds numbers that are not from 0 to 255"),
        ("images", lambda array: array / 255, "images.npy cannot be read (float64, not whole numbers): write it anew"),
        ("images", np.asfortranarray, "images.npy cannot be read (uint8 in the order of Fortran)"),
        ("images", lambda array: array[:, ::2], "images.npy holds 168 × 24 × 48 numbers, which do not fit the labels"),
        ("usage", lambda array: array[:-1], "usage.npy holds 167 numbers, which do not fit the labels"),
        ("labels", lambda array: array[:0], "images.npy holds 168 × 48 × 48 numbers, which do not fit the labels"),
        ("usage", lambda array: array.astype("U9"), "usage.npy cannot be read (<U9, not whole numbers)"),
        ("ferplus_votes", lambda array: array[:, :8], "ferplus_votes.npy holds 168 × 8 numbers"),
    ],
)
def test_other_arrays_are_named(voted: Fer2013, tmp_path: Path, key: str, change: Any, says: str) -> None:
    arrays = arrays_of(voted)
    assert says in refused(packed(tmp_path / "fer2013.npz", **{**arrays, key: change(arrays[key])}))


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"words", b"\x93NUMPY\1\0\xff\xff"])
def test_damaged_arrays_are_named(small: Fer2013, tmp_path: Path, content: bytes) -> None:
    members = {f"{key}.npy": npy(array) for key, array in arrays_of(small).items()} | {"labels.npy": content}
    assert refused(write_zip(tmp_path / "fer2013.npz", members.items())).startswith("labels.npy cannot be read")


def test_a_shape_that_is_larger_than_the_file_takes_no_memory(small: Fer2013, tmp_path: Path) -> None:
    members = {f"{key}.npy": npy(array) for key, array in arrays_of(small).items()}
    members["labels.npy"] = members["labels.npy"].replace(b"(168,), ", b"(1" + b"0" * 11 + b",),")
    assert "labels.npy cannot be read" in refused(write_zip(tmp_path / "fer2013.npz", members.items()))


def test_nothing_is_unpickled(small: Fer2013, tmp_path: Path) -> None:
    trap = np.array([Trap(tmp_path / "sprung")], object)
    assert "not whole numbers" in refused(packed(tmp_path / "a.npz", **{**arrays_of(small), "labels": trap}))
    members = {f"{key}.npy": npy(array) for key, array in arrays_of(small).items()}
    members["labels.npy"] = pickle.dumps(trap)
    assert "labels.npy cannot be read" in refused(write_zip(tmp_path / "b.npz", members.items()))
    (tmp_path / "fer2013.pkl").write_bytes(pickle.dumps(trap))
    assert "is neither a CSV file" in refused(tmp_path / "fer2013.pkl")
    assert not (tmp_path / "sprung").exists()
