"""An archive that could do harm is refused, whatever its headers say, and in little memory."""

from __future__ import annotations

import struct
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, Fer2013, read
from mien.errors import DataError

MIB = 2**20

Writer = Callable[[str, Fer2013, Path], Path]


@pytest.fixture
def archive(small: Fer2013, written: Callable[[str, Fer2013, Path], Path], tmp_path: Path) -> Path:
    return written("zip", small, tmp_path)


def add(archive: Path, name: str, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(archive, "a", method) as file:
        file.writestr(name, content)


def lie_about_the_size(archive: Path, name: str, size: int) -> None:
    """Write another uncompressed size into both headers of a member (PKWARE's APPNOTE, 4.3.7 and 4.3.12)."""
    data = bytearray(archive.read_bytes())
    for signature, size_at, name_at in ((b"PK\3\4", 22, 30), (b"PK\1\2", 24, 46)):
        start = data.find(name.encode())
        while data[start - name_at : start - name_at + 4] != signature:
            start = data.index(name.encode(), start + 1)
        struct.pack_into("<I", data, start - name_at + size_at, size)
    archive.write_bytes(data)


def refused(archive: Path) -> str:
    with pytest.raises(DataError) as error:
        read(archive)
    assert "\n" not in str(error.value)
    return str(error.value)


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    ["../train/happy/1.jpg", "train/../../happy/1.jpg", "/train/happy/1.jpg", "C:/1.jpg", "..\\1.jpg", "\\1.jpg"],
)
def test_names_that_lead_out_of_the_archive_are_refused(archive: Path, name: str) -> None:
    add(archive, name, b"")
    assert "names a file outside itself" in refused(archive)


@pytest.mark.parametrize("name", ["train/happy/1.jpg", "fer2013.csv"])
def test_a_bomb_is_refused_by_the_size_it_tells(archive: Path, name: str) -> None:
    add(archive, name, b"")
    lie_about_the_size(archive, name, 2**31)
    with memory_below(8 * MIB):
        assert f"{name} unpacks to 2048 MiB, more than FER2013 has" in refused(archive)


@pytest.mark.parametrize("name", ["train/angry/0.jpg", "fer2013.csv"])
def test_a_bomb_that_lies_about_its_size_is_read_no_further_than_that(archive: Path, name: str) -> None:
    add(archive, name, bytes(64 * MIB))
    lie_about_the_size(archive, name, 5000)
    with memory_below(8 * MIB):
        refused(archive)


def test_a_bomb_of_one_endless_line_is_refused_early(archive: Path) -> None:
    add(archive, "fer2013.csv", b"emotion,pixels,Usage\n0," + b"0 " * (16 * MIB))
    with memory_below(8 * MIB):
        assert "row 1" in refused(archive)


def test_many_pictures_that_are_a_bomb_together_are_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        for number in range(70):
            file.writestr(f"train/angry/{number}.jpg", b"")
    for number in range(70):
        lie_about_the_size(archive, f"train/angry/{number}.jpg", 16 * MIB)
    refused(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_whose_output_has_no_bound_are_refused(archive: Path, method: int) -> None:
    add(archive, "train/angry/0.jpg", bytes(64 * MIB), method)
    with memory_below(8 * MIB):
        assert "pack the archive anew, stored or deflated" in refused(archive)


def test_an_archive_with_a_password_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    for signature, flags_at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags_at] |= 1
    archive.write_bytes(data)
    assert "password" in refused(archive)


def test_what_is_not_read_may_be_large(small: Fer2013, written: Writer, tmp_path: Path) -> None:
    source = written("zip of CSV", small, tmp_path)
    add(source, "fer2013/fer2013.tar.gz", bytes(20 * MIB))  # as in the archive of Kaggle's competition
    assert len(read(source).labels) == len(small.labels)


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.99])
def test_a_truncated_archive_is_refused(archive: Path, share: float) -> None:
    whole = archive.read_bytes()
    archive.write_bytes(whole[: max(int(len(whole) * share), 4)])
    assert "is it whole? Download it again" in refused(archive)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("form", ["zip", "zip of CSV"])
def test_a_damaged_archive_is_read_or_refused(
    made: Callable[..., Fer2013], written: Writer, form: str, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = written(form, made([0, 1, 2], [TRAINING, PUBLIC, PRIVATE]), Path(folder))
        data = np.frombuffer(bytearray(source.read_bytes()), np.uint8)
        chance = np.random.default_rng(seed)
        directory = data.tobytes().index(b"PK\1\2")  # the headers, which damage to the rest would seldom hit
        places = chance.integers(directory if seed % 2 else 0, len(data), 4)
        data[places] = chance.integers(0, 256, 4)
        source.write_bytes(data.tobytes())
        try:
            assert len(read(source).labels) <= 3
        except DataError as error:
            assert "\n" not in str(error)
