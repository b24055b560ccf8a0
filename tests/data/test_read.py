"""FER2013 is read alike in every form in which it is published; what is not FER2013 becomes one clear line."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.fer2013 import PRIVATE, PUBLIC, PUBLISHED_MD5, TRAINING, Fer2013
from mien.data.read import read

from .forms import (
    CSV,
    FORMS,
    ICML,
    PICTURES,
    TABLES,
    content,
    csv_of,
    make,
    pictures_of,
    refused,
    write,
    write_folder,
    write_tar,
    write_zip,
)

CASES = Path(__file__).parents[3] / "shared" / "cases" / "data"


@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([TRAINING, PUBLIC, PRIVATE])), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=10, deadline=None)
def test_what_is_written_is_read(form: str, rows: list[tuple[int, int]], seed: int) -> None:
    labels, usage = zip(*rows, (0, TRAINING), (1, PUBLIC), (2, PRIVATE), strict=True)
    data = make(labels, usage, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        found = read(write(form, data, Path(folder)))
    assert content(found) == content(data)
    if form not in PICTURES:
        assert found.images.tobytes() == data.images.tobytes()  # in the source's order
    assert all(array.dtype == np.uint8 for array in (found.images, found.labels, found.usage))


def test_pictures_come_in_the_same_order_from_a_folder_and_from_archives(small: Fer2013, tmp_path: Path) -> None:
    first, *others = (read(write(form, small, tmp_path)) for form in PICTURES)
    assert first.names == sorted(first.names)
    for other in others:
        assert other.names == first.names
        assert other.images.tobytes() == first.images.tobytes()
        assert (other.form, other.md5) == ("pictures", first.md5)


@pytest.mark.parametrize("form", TABLES)
def test_a_csv_file_has_the_same_md5_however_it_is_packed(small: Fer2013, tmp_path: Path, form: str) -> None:
    source = write(form, small, tmp_path)
    known = hashlib.md5(csv_of(small, ICML if form == ICML else CSV), usedforsecurity=False).hexdigest()
    for place in (source, tmp_path):
        data = read(place)
        assert (data.form, data.md5) == ("CSV", known)


@pytest.mark.parametrize("form", FORMS)
def test_the_md5_tells_sources_apart(small: Fer2013, tmp_path: Path, form: str) -> None:
    digests = []
    for name, data in (
        ("one", small),
        ("same", small),
        ("other", make(small.labels.tolist(), small.usage.tolist(), seed=1)),
    ):
        (tmp_path / name).mkdir()
        digests.append(read(write(form, data, tmp_path / name)).md5)
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] not in PUBLISHED_MD5


@pytest.mark.parametrize("form", FORMS)
def test_a_missing_split_is_named(tmp_path: Path, form: str) -> None:
    for usage, name in enumerate(("Training", "PublicTest", "PrivateTest")):
        (tmp_path / name).mkdir()
        others = [code for code in (TRAINING, PUBLIC, PRIVATE) if code != usage]
        assert f"holds no {name} images" in refused(write(form, make([0, 1], others), tmp_path / name))


# --- What is around the data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "data/", "a/b/"])
@pytest.mark.parametrize("name", ["fer2013.csv", "FER2013.CSV", "icml_face_data.csv", "fer2013.csv.gz", "faces.csv"])
def test_a_csv_file_is_found_in_folders_and_archives(small: Fer2013, tmp_path: Path, folder: str, name: str) -> None:
    packed = gzip.compress(csv_of(small), 1) if name.endswith(".gz") else csv_of(small)
    members = [("README.md", b"words"), (f"{folder}{name}", packed), ("notes/fer2013.bib", b"words")]
    sources = (
        write_folder(tmp_path / "folder", members),
        write_zip(tmp_path / "a.zip", members),
        write_tar(tmp_path / "a.tgz", members),
    )
    for source in sources:
        assert content(read(source)) == content(small)


def test_of_several_csv_files_the_one_of_fer2013_is_read(small: Fer2013, tmp_path: Path) -> None:
    competition = [
        ("example_submission.csv", b"emotion\n"),
        ("test.csv", b"pixels\n"),
        ("train.csv", b"emotion,pixels\n"),
    ]
    members = [*competition, (ICML, csv_of(small, ICML))]
    assert content(read(write_zip(tmp_path / "challenge.zip", members))) == content(small)
    says = "holds 3 CSV files and none is named fer2013.csv or icml_face_data.csv: give the right one"
    assert says in refused(write_zip(tmp_path / "less.zip", competition))


def test_a_folder_with_one_archive_is_read_as_that(small: Fer2013, tmp_path: Path) -> None:
    write("fer2013.tar.gz", small, tmp_path)
    assert content(read(tmp_path)) == content(small)
    write("zip", small, tmp_path)  # another one: which is meant?
    assert "holds no FER2013 but other archives (fer2013.tar.gz): give the right one" in refused(tmp_path)


def test_what_macos_and_windows_leave_behind_changes_nothing(small: Fer2013, tmp_path: Path) -> None:
    junk = [
        ("__MACOSX/fer2013/._fer2013.csv", b"\0\5\x16\7"),
        ("__MACOSX/train/happy/._1.jpg", b"\0\5\x16\7"),
        ("._fer2013.csv", b"\0\5\x16\7"),
        ("train/happy/._1.jpg", b"\0\5\x16\7"),
        (".DS_Store", b"\0"),
        ("train/.DS_Store", b"\0"),
        ("train/sad/Thumbs.db", b"\0"),
        ("desktop.ini", b"\0"),
        (".git/HEAD", b"ref"),
    ]
    for number, whole in enumerate(([("fer2013/fer2013.csv", csv_of(small))], list(pictures_of(small)))):
        sources = (
            write_folder(tmp_path / f"folder {number}", [*junk, *whole]),
            write_zip(tmp_path / f"{number}.zip", [*junk, *whole]),
            write_tar(tmp_path / f"{number}.tar.gz", [*junk, *whole]),
        )
        for source in sources:
            assert content(read(source)) == content(small)


# --- What is refused -------------------------------------------------------------------------------------------------


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no" in refused(tmp_path / "fer2013.csv")
    assert refused(Path("https://www.kaggle.com/fer2013.zip")).endswith("download it and give the file")


def test_a_folder_and_an_archive_without_data_are_refused(tmp_path: Path) -> None:
    for source in (
        write_folder(tmp_path / "folder", [("README", b"words")]),
        write_zip(tmp_path / "a.zip", [("README", b"words")]),
        write_tar(tmp_path / "a.tar", [("README", b"words")]),
        write_zip(tmp_path / "empty.zip", []),
    ):
        assert "holds no FER2013: neither its CSV file nor folders such as train/happy/" in refused(source)


def test_what_is_beside_fer2013s_own_file_does_not_matter(small: Fer2013, tmp_path: Path) -> None:
    for form in (CSV, "fer2013.csv.gz"):
        (tmp_path / form).mkdir()
        write(form, small, tmp_path / form)
        (tmp_path / form / "a.csv").symlink_to("nowhere")
        assert content(read(tmp_path / form)) == content(small)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipes_are_refused_and_never_waited_for(small: Fer2013, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is a device or a pipe: give" in refused(tmp_path / "pipe")
    source = write("folders", small, tmp_path)
    os.mkfifo(source / "train" / "happy" / "1.jpg")
    assert refused(source) == "train/happy/1.jpg is a device or a pipe: leave it out"


@pytest.mark.parametrize("name", ["fer2013.parquet", "fer2013.pkl", "fer2013.7z", "fer2013.csv.bz2", "fer2013.npy"])
def test_other_kinds_of_files_are_told_from_text(tmp_path: Path, name: str) -> None:
    beginnings = {
        "fer2013.parquet": b"PAR1\x15\4\x15\0",
        "fer2013.pkl": b"\x80\4\x95\x0b\0\0\0\0\0\0\0\x8c\2os\x94",
        "fer2013.7z": b"7z\xbc\xaf\x27\x1c\0\4",
        "fer2013.csv.bz2": b"BZh91AY&SY\3\2\1",
        "fer2013.npy": b"\x93NUMPY\1\0v\0",
    }
    (tmp_path / name).write_bytes(beginnings[name] * 100)
    assert f"{name} is neither a CSV file nor a zip, tar or gzip archive" in refused(tmp_path / name)


def test_what_is_packed_twice_is_refused(small: Fer2013, tmp_path: Path) -> None:
    (tmp_path / "fer2013.csv.gz").write_bytes(gzip.compress(gzip.compress(csv_of(small), 1), 1))
    assert "neither a CSV file nor a zip, tar or gzip archive" in refused(tmp_path / "fer2013.csv.gz")


# --- The cases -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CASES.exists(), reason="the folder of cases is not beside the checkout")
def test_the_cases_are_read() -> None:
    packed = read(CASES / "fer2013.tar.gz")
    assert np.bincount(packed.usage).tolist() == [70, 14, 14]
    assert np.bincount(packed.labels).tolist() == [14] * 7
    held_out = read(CASES / "images-validation")
    assert np.bincount(held_out.usage).tolist() == [14, 14]
    assert held_out.validation == 14
