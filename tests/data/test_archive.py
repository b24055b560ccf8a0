"""A zip archive that could do harm is refused, whatever its headers say, and in little memory."""

from __future__ import annotations

import stat
import struct
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, Fer2013
from mien.data.read import read
from mien.errors import DataError

from .forms import make, memory_below, refused, write

MIB = 2**20


@pytest.fixture
def archive(small: Fer2013, tmp_path: Path) -> Path:
    return write("zip", small, tmp_path)


def add(archive: Path, name: str | zipfile.ZipInfo, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> None:
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
        assert "unpacks to more than 2,048 MiB" in refused(archive)


def test_a_picture_that_is_too_large_is_refused_by_the_size_it_tells(archive: Path) -> None:
    add(archive, "train/happy/1.jpg", b"")
    lie_about_the_size(archive, "train/happy/1.jpg", 2**30)
    with memory_below(8 * MIB):
        assert "train/happy/1.jpg has more than 16 MiB" in refused(archive)


@pytest.mark.parametrize("name", ["train/angry/0.jpg", "fer2013.csv"])
def test_a_bomb_that_lies_about_its_size_is_read_no_further_than_that(archive: Path, name: str) -> None:
    add(archive, name, bytes(64 * MIB))
    lie_about_the_size(archive, name, 5000)
    with memory_below(8 * MIB):
        refused(archive)


def test_a_bomb_of_one_endless_line_is_refused_early(archive: Path) -> None:
    add(archive, "fer2013.csv", b"emotion,pixels,Usage\n0," + b"0 " * (16 * MIB))
    with memory_below(8 * MIB):
        assert "line 2 has more than 131,072 letters" in refused(archive)


def test_many_pictures_that_are_a_bomb_together_are_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file:
        for number in range(140):
            file.writestr(f"train/angry/{number}.jpg", b"")
    for number in range(140):
        lie_about_the_size(archive, f"train/angry/{number}.jpg", 16 * MIB)
    assert "unpacks to more than 2,048 MiB" in refused(archive)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_whose_output_has_no_bound_are_refused(archive: Path, method: int) -> None:
    add(archive, "train/angry/0.jpg", bytes(15 * MIB), method)
    with memory_below(8 * MIB):
        assert "pack the archive anew, stored or deflated" in refused(archive)


def test_an_archive_with_a_password_is_refused(archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    for signature, flags_at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + flags_at] |= 1
    archive.write_bytes(data)
    assert "password" in refused(archive)


def test_links_are_refused(archive: Path) -> None:
    link = zipfile.ZipInfo("train/happy/1.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    add(archive, link, b"/etc/passwd")
    assert "train/happy/1.jpg is a link" in refused(archive)


def test_a_name_that_comes_twice_is_refused(archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        name = file.namelist()[0]
        picture = file.read(name)
    add(archive, name.replace("/", "\\"), picture)  # on Windows the same name
    assert refused(archive) == f"{name} is in the archive twice: pack it anew"


def test_what_is_not_read_may_be_large(small: Fer2013, tmp_path: Path) -> None:
    source = write("zip of CSV", small, tmp_path)
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
def test_a_damaged_archive_is_read_or_refused(form: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = write(form, make([0, 1, 2], [TRAINING, PUBLIC, PRIVATE]), Path(folder))
        data = np.frombuffer(bytearray(source.read_bytes()), np.uint8)
        rng = np.random.default_rng(seed)
        directory = data.tobytes().index(b"PK\1\2")  # the headers, which damage to the rest would seldom hit
        places = rng.integers(directory if seed % 2 else 0, len(data), 4)
        data[places] = rng.integers(0, 256, 4)
        source.write_bytes(data.tobytes())
        try:
            assert len(read(source).labels) <= 3
        except DataError as error:
            assert "\n" not in str(error)
