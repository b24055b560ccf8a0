"""The commands and the scripts of training, as they are called."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mien.apps.cli import main
from mien.data.prepare import load
from mien.learn.checkpoint import CHECKPOINT, WEIGHTS, load_checkpoint
from mien.learn.views import read_views

ROOT = Path(__file__).parents[2]
QUICK = ("--threads", 1, "--set", "epochs=1", "--set", "batch=8")


def mien(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, ROOT / "scripts" / name, *arguments)
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data: noise."""
    place = tmp_path_factory.mktemp("commands") / "data"
    assert script("small_data.py", place).returncode == 0
    return place


# --- train -----------------------------------------------------------------------------------------------------------


def test_to_resume_what_is_not_there_is_one_line_and_begins_nothing(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert mien("train", "--resume", "--data", small, "--out", tmp_path / "typo", *QUICK) == 2
    told = capfd.readouterr().err
    assert "there is no run in" in told
    assert told.count("\n") == 1
    assert not (tmp_path / "typo").exists()


def test_a_run_that_is_there_is_resumed_and_not_begun_anew(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "--data", small, "--out", tmp_path / "run", *QUICK)
    assert mien(*train) == 0
    assert (tmp_path / "run/plots/model_loss_during_training.png").read_bytes().startswith(b"\x89PNG")
    assert mien(*train) == 2
    assert "holds a run: go on with --resume, or give --out another name" in capfd.readouterr().err
    assert mien(*train, "--resume") == 0


def test_what_would_help_is_named_as_it_is_typed(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train = ("train", "--data", small, "--threads", 1, "--out")
    assert mien(*train, tmp_path / "a") == 2
    assert "use a smaller batch (--set batch=16)" in capfd.readouterr().err
    assert mien(*train, tmp_path / "b", "--set", "batch=8", "--set", "learning_rate=1000", "--set", "warmup=0") == 2
    assert "begin another run with a learning rate of 100 (--set learning_rate=100)" in capfd.readouterr().err


def test_a_member_that_cannot_be_trained_does_not_keep_the_others_from_it(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("train", "--recipe", "teacher", "--data", small, *QUICK)
    members = ("--members", "plain-s:0,plain-s:1", "--out", tmp_path / "teacher")
    assert mien(*words, *members, "--fold", 2) == 2
    assert "leave --fold out" in capfd.readouterr().err
    assert mien(*words, *members) == 0
    (tmp_path / "teacher/plain-s-0" / CHECKPOINT).write_bytes(b"nothing")
    shutil.rmtree(tmp_path / "teacher/plain-s-1")
    assert mien(*words, *members) == 2
    told = capfd.readouterr().err
    assert "1 member could not be trained" in told
    assert "plain-s-0" in told
    assert (tmp_path / "teacher/plain-s-1" / CHECKPOINT).exists()


# --- Views -----------------------------------------------------------------------------------------------------------


def test_an_ensemble_grows_in_a_folder_that_students_learn_from(
    small: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs, views, report = tmp_path / "runs", tmp_path / "views", tmp_path / "ensemble.json"
    for fold in (0, 1):
        teacher = ("--recipe", "teacher", "--members", f"plain-s:{fold}", "--data", small, "--out", runs)
        assert mien("train", *teacher, *QUICK) == 0
        command = ("distil-views", runs / f"plain-s-{fold}", "--data", small, "--out", views, "--count", 2)
        assert mien(*command, "--threads", 1) == 0
        assert f"by plain-s-{fold}, 0.0 MB; accuracy 0." in capfd.readouterr().out
        student = ("--recipe", "student-s", "--views", views, "--data", small, "--out", tmp_path / f"student-{fold}")
        assert mien("train", *student, *QUICK) == 0
        rows = read_views(views).rows
        assert f"{fold + 1} teacher{'s' * fold} predicted {len(rows)} training images." in capfd.readouterr().out
        assert load_checkpoint(tmp_path / f"student-{fold}" / WEIGHTS)["settings"]["views"] == read_views(views).digest

        # the script that logs the ensemble says the same, with runs and without
        measured = script("measure_teachers.py", "--views", views, "--data", small, "--out", report)
        assert measured.returncode == 0, measured.stderr
        found = json.loads(report.read_text())
        assert found["out of fold"]["images"] == len(rows)
        with np.load(runs / "plain-s-0/held_out.npz") as file:
            alone = (file["logits"][:, :7].argmax(1) == file["labels"]).mean()
        assert found["out of fold"]["members"]["plain-s-0"] == pytest.approx(alone, abs=0.15)  # views are rounded
    measured = script("measure_teachers.py", *runs.iterdir(), "--views", views, "--data", small, "--out", report)
    assert set(json.loads(report.read_text())["PublicTest"]["members"]) == {"plain-s-0", "plain-s-1"}


def test_views_have_a_place_of_their_own(
    small: Path, run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ("distil-views", run, run, "--data", small, "--out")
    assert mien(*command, tmp_path / "views.npz") == 2
    assert "several teachers need a folder" in capfd.readouterr().err
    assert mien(*command, tmp_path / "views") == 2
    assert "two teachers have the same name" in capfd.readouterr().err


# --- Scripts ---------------------------------------------------------------------------------------------------------


def test_data_are_packed_without_loss_and_unpacked_whole_or_not_at_all(tmp_path: Path) -> None:
    assert script("small_data.py", tmp_path / "all").returncode == 0
    assert script("pack_data.py", "pack", tmp_path / "all", tmp_path / "zip").returncode == 0
    assert script("pack_data.py", "unpack", tmp_path / "zip", tmp_path / "data").returncode == 0
    for split in ("train", "val", "test"):
        assert np.array_equal(load(tmp_path / "all", split).images, load(tmp_path / "data", split).images)
    before = {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()}
    content = bytearray((tmp_path / "zip").read_bytes())
    (tmp_path / "short").write_bytes(content[:-100])
    content[len(content) // 2] ^= 255  # among the pixels of the training images, the second of three pictures
    (tmp_path / "damaged").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "zip") as whole, zipfile.ZipFile(tmp_path / "part", "w") as part:
        for name in set(whole.namelist()) - {"val_labels.npy"}:
            part.writestr(name, whole.read(name))
    (tmp_path / "none").mkdir()
    (tmp_path / "none/notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for asked in (
        ("unpack", "short", "data"),
        ("unpack", "damaged", "data"),
        ("unpack", "part", "data"),
        ("unpack", "nothing", "data"),
        ("unpack", "zip", "none"),
        ("unpack", "zip", "file"),
        ("unpack", "zip", "."),
        ("unpack", "zip", "no/where"),
        ("pack", "none", "other"),
    ):
        failed = script("pack_data.py", asked[0], *(tmp_path / name for name in asked[1:]))
        assert failed.returncode == 1
        assert failed.stderr.startswith(f"cannot {asked[0]} {tmp_path / asked[1]}: ")
        assert failed.stderr.count("\n") == 1
    assert {file.name: file.read_bytes() for file in (tmp_path / "data").iterdir()} == before
    assert (tmp_path / "none/notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "other").exists()


def test_the_whole_way_from_data_to_students() -> None:
    """What a GPU is asked to do, with networks small enough for a test."""
    rehearsal = subprocess.run(
        [ROOT / "scripts/rehearse_gpu.sh"],
        env={**os.environ, "PYTHON": sys.executable, "MEMBERS": "plain-s:0,plain-s:1"},
        capture_output=True,
        text=True,
    )
    assert rehearsal.returncode == 0, rehearsal.stderr
    for said in ("the same command goes on", "% of the time left", "PublicTest: plain-s-0 0.", "is passable"):
        assert said in rehearsal.stdout
