"""Prepared data holds what a network may learn from, says what it lacks and why, and appears whole or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.data.cleaning import BLANK, CONFLICT, TWIN
from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, Fer2013
from mien.data.prepare import NotPreparedError, _exchange, load, prepare
from mien.errors import DataError, OutputError

from .forms import make, pictures_of, write, write_folder, write_votes


@pytest.fixture
def source(small: Fer2013, tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    return write("fer2013.csv", small, folder)


def everything(folder: Path) -> dict[str, bytes]:
    """The content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(source: Path, out: Path, votes: Path | None = None) -> str:
    with pytest.raises(OutputError) as error:
        prepare(source, out, votes=votes)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- What is written -------------------------------------------------------------------------------------------------


def test_every_row_goes_into_one_split_and_comes_back_as_it_was(source: Path, small: Fer2013, tmp_path: Path) -> None:
    out = tmp_path / "processed"
    manifest = prepare(source, out)
    splits = {name: load(out, name) for name in ("train", "val", "test")}
    for name, split in splits.items():
        assert split.images.tobytes() == small.images[split.rows].tobytes()
        assert split.labels.tolist() == small.labels[split.rows].tolist()
        assert split.votes is None
        assert manifest["counts"][name]["all"] == len(split.labels)
    assert sorted(row for split in splits.values() for row in split.rows) == list(range(len(small.labels)))
    assert Counter(splits["val"].labels.tolist()) == dict.fromkeys(range(7), 2)  # a tenth of 20
    usage = splits["test"].usage
    assert usage is not None
    assert usage.tolist() == small.usage[splits["test"].rows].tolist()
    assert splits["train"].usage is None


def test_votes_go_with_their_rows(voted: Fer2013, tmp_path: Path) -> None:
    votes = write_votes(voted, tmp_path / "fer2013new.csv")
    prepare(write("fer2013.csv", voted, tmp_path), tmp_path / "processed", votes=votes)
    assert voted.votes is not None
    for name in ("train", "val", "test"):
        split = load(tmp_path / "processed", name)
        assert split.votes is not None
        assert split.votes.tolist() == voted.votes[split.rows].tolist()


def test_the_manifest_is_on_disk_and_names_every_row_that_was_dropped(small: Fer2013, tmp_path: Path) -> None:
    images = small.images.copy()
    images[3] = 77  # blank
    images[10] = images[small.usage == PRIVATE][0]
    images[20] = images[21]  # the labels of neighbours differ: both lose
    manifest = prepare(write("fer2013.csv", replace(small, images=images), tmp_path), tmp_path / "processed")
    assert manifest == json.loads((tmp_path / "processed" / "manifest.json").read_text())
    assert manifest["dropped"]["counts"] == {BLANK: 1, TWIN: 1, CONFLICT: 2}
    assert manifest["dropped"]["rows"] == [
        {"row": 3, "name": "fer2013.csv: line 5", "reason": BLANK},
        {"row": 10, "name": "fer2013.csv: line 12", "reason": TWIN},
        {"row": 20, "name": "fer2013.csv: line 22", "reason": CONFLICT},
        {"row": 21, "name": "fer2013.csv: line 23", "reason": CONFLICT},
    ]
    assert manifest["source"].items() >= {"name": "fer2013.csv", "form": "CSV", "published": None}.items()
    test = load(tmp_path / "processed", "test")
    assert test.twin is not None
    assert test.twin.sum() == 1


def test_images_called_validation_are_held_out_in_test(tmp_path: Path) -> None:
    data = make([code for code in range(7) for _ in range(5)], [TRAINING, TRAINING, TRAINING, PUBLIC, PUBLIC] * 7)
    names = [name.replace("test/", "validation/").replace("PublicTest_", "") for name, _ in pictures_of(data)]
    pictures = [picture for _, picture in pictures_of(data)]
    pictures[0] = pictures[3]  # a twin, which training loses
    source = write_folder(tmp_path / "images", zip(names, pictures, strict=True))
    manifest = prepare(source, tmp_path / "processed")
    assert [manifest["counts"][name]["all"] for name in ("train", "val", "test")] == [13, 7, 14]
    assert manifest["source"]["validation"] == manifest["facts"]["PublicTest"] == 14
    assert manifest["dropped"]["counts"] == {TWIN: 1}
    test = load(tmp_path / "processed", "test")
    assert test.usage is not None and set(test.usage) == {PUBLIC}


@pytest.mark.parametrize("val", [0, 1, -0.1, 2, float("nan")])
def test_validation_is_a_share(source: Path, tmp_path: Path, val: float) -> None:
    with pytest.raises(ValueError, match="give a share between 0 and 1"):
        prepare(source, tmp_path / "processed", val=val)


def test_as_published_keeps_every_row(small: Fer2013, tmp_path: Path) -> None:
    images = small.images.copy()
    images[:4] = 77
    data = replace(small, images=images)
    manifest = prepare(write("fer2013.csv", data, tmp_path), tmp_path / "processed", as_published=True)
    assert sum(count["all"] for count in manifest["counts"].values()) == len(small.labels)
    assert manifest["dropped"] == {"counts": {}, "rows": []}
    assert manifest["facts"]["blank images"] == 4


def test_the_seed_decides_the_split(source: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        prepare(source, tmp_path / name, seed=seed)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    rows = [load(tmp_path / name, "val").rows.tolist() for name in "ac"]
    assert rows[0] != rows[1]


# --- What was there before stays -------------------------------------------------------------------------------------


def test_prepared_data_is_replaced_and_an_empty_folder_is_filled(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "processed"
    out.mkdir()
    prepare(source, out, seed=1)
    before = everything(out)
    prepare(source, out, seed=2)
    assert everything(out).keys() == before.keys()
    assert everything(out) != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["processed", "source"]


def test_a_link_stays_a_link(source: Path, tmp_path: Path) -> None:
    (tmp_path / "large disk").mkdir()
    (tmp_path / "processed").symlink_to(tmp_path / "large disk")
    prepare(source, tmp_path / "processed")
    assert (tmp_path / "processed").is_symlink()
    assert (tmp_path / "large disk" / "manifest.json").exists()


def test_a_folder_that_holds_other_things_is_refused_and_keeps_them(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "processed"
    prepare(source, out)
    (out / "notes.txt").write_text("mine")
    before = everything(tmp_path)
    assert "holds other things (notes.txt)" in refused(source, out)
    assert everything(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused_and_kept(source: Path, tmp_path: Path) -> None:
    (tmp_path / "processed").write_text("mine")
    assert "is not a folder" in refused(source, tmp_path / "processed")
    assert (tmp_path / "processed").read_text() == "mine"


@pytest.mark.parametrize(
    ("source", "out"),
    [
        ("data/fer2013.csv", "data/fer2013.csv"),
        ("data/fer2013.csv", "data"),
        ("data/fer2013.csv", "."),
        ("data", "data"),
        ("data", "data/processed"),
        ("data", "."),
        ("data", "link"),
        ("link", "data"),
        ("data", "link/processed"),
    ],
)
def test_the_source_is_never_written_to(
    small: Fer2013, tmp_path: Path, source: str, out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    write("fer2013.csv", small, tmp_path / "data")
    (tmp_path / "data" / "manifest.json").write_text("{}")  # as if it were prepared data
    (tmp_path / "link").symlink_to("data")
    before = everything(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert "it overlaps with" in refused(Path(source), Path(out))
    assert everything(tmp_path) == before


def test_the_votes_are_never_written_to(source: Path, tmp_path: Path) -> None:
    (tmp_path / "votes").mkdir()
    votes = tmp_path / "votes" / "fer2013new.csv"
    votes.write_text("Usage\n")
    assert "it overlaps with" in refused(source, tmp_path / "votes", votes)
    assert votes.read_text() == "Usage\n"


def test_a_bad_source_leaves_what_was_there(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "processed")
    before = everything(tmp_path / "processed")
    source.write_bytes(source.read_bytes()[:-5000])
    with pytest.raises(DataError, match=r"line 169 has (\d+ pixels|2 of 3 cells)"):
        prepare(source, tmp_path / "processed")
    assert everything(tmp_path / "processed") == before
    with pytest.raises(DataError):
        prepare(source, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_folder_whose_parent_is_missing_is_refused(source: Path, tmp_path: Path) -> None:
    assert "there is no folder" in refused(source, tmp_path / "nowhere" / "processed")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here, which nobody can write to")
def test_a_place_that_cannot_be_written_to_is_refused_before_the_source_is_read(tmp_path: Path) -> None:
    assert "cannot write /proc" in refused(tmp_path / "not there.csv", Path("/proc/processed"))


PREPARE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from mien.data.prepare import prepare
from mien.errors import OutputError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # bytes that a file may have
try:
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit that stands in for a full disk")
@pytest.mark.parametrize("existed", [False, True])
def test_a_full_disk_leaves_what_was_there(source: Path, tmp_path: Path, existed: bool) -> None:
    out = tmp_path / "processed"
    if existed:
        prepare(source, out)
    before = everything(tmp_path)
    command = [sys.executable, "-c", PREPARE_ON_A_FULL_DISK, str(source), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write {out} (File too large): use another name or place\n"
    assert everything(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"source", *(["processed"] if existed else [])}


def test_what_cannot_take_its_place_puts_back_what_stood_there(tmp_path: Path) -> None:
    place = tmp_path / "processed"
    place.mkdir()
    (place / "manifest.json").write_text("{}")
    with pytest.raises(FileNotFoundError):
        _exchange(place, tmp_path / "missing", tmp_path / "old")
    assert everything(tmp_path) == {"processed/manifest.json": b"{}"}


# --- Reading it back -------------------------------------------------------------------------------------------------


def test_a_folder_without_prepared_data_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(NotPreparedError, match=r"^there is no .*train_images.npy: prepare the data first$") as error:
        load(tmp_path, "train")
    assert error.value.folder == tmp_path


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "pickled", "zip", "shape", "type", "length"])
@pytest.mark.parametrize("key", ["images", "labels", "usage"])
def test_damaged_arrays_are_refused_by_name(source: Path, tmp_path: Path, key: str, damage: str) -> None:
    out = tmp_path / "processed"
    prepare(source, out)
    path = out / f"test_{key}.npy"
    array = np.load(path)
    if damage in ("truncated", "empty", "text"):
        path.write_bytes({"truncated": path.read_bytes()[:-3], "empty": b"", "text": b"hello"}[damage])
    elif damage == "zip":
        with path.open("wb") as file:
            np.savez(file, array)
    elif damage == "pickled":
        np.save(path, np.array([None]), allow_pickle=True)
    else:
        np.save(path, {"shape": array[:, None], "type": array.astype(np.int64), "length": array[:-1]}[damage])
    with pytest.raises(DataError, match=r"test_\w+\.npy .*prepare the data again"):
        load(out, "test")
