"""Teachers judge, students learn: folds, stored views, members within a time limit, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mien.apps.cli import main
from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import Split, load
from mien.data.subsets import take
from mien.errors import DataError, TrainingError
from mien.learn.checkpoint import CHECKPOINT, HELD_OUT, WEIGHTS, load_checkpoint, write
from mien.learn.distil import (
    LOGITS,
    STEP,
    ViewLoader,
    Views,
    flip_tta,
    judge,
    packed,
    read_views,
    unpacked,
    view,
    write_views,
)
from mien.learn.folds import all_training, folds, hold_out
from mien.learn.limit import TimeLimit
from mien.learn.loss import distance
from mien.learn.machine import Machine, autocast, enough_memory
from mien.learn.model import NETWORKS, OFFICIAL, build
from mien.learn.settings import RECIPES, Augmentation, Settings, members_of, settings_from
from mien.learn.train import train
from mien.learn.trained import load_trained

ROOT = Path(__file__).parents[2]
ONE = Machine(threads=1)
CHANGED = Augmentation(light=0.2, erase=0.2, degrade=0.1)
TINY = Settings(
    network="plain-s", epochs=2, batch=16, optimiser="sgd", learning_rate=0.01, votes=0.5, patience=0, oversample=0.0
)


def made_up(split: str, images: int, first_row: int) -> Split:
    """Noise of any class in turn, with votes."""
    rng = np.random.default_rng(first_row)
    return Split(
        images=rng.integers(0, 256, (images, 48, 48), np.uint8),
        labels=(np.arange(images) % OFFICIAL).astype(np.uint8),
        rows=np.arange(first_row, first_row + images, dtype=np.int32),
        votes=rng.integers(0, 4, (images, 10), np.uint8),
        usage=np.where(np.arange(images) % 2, PUBLIC, PRIVATE).astype(np.uint8) if split == "test" else None,
    )


@pytest.fixture(scope="module")
def data() -> dict[str, Split]:
    """Train and val interleave in the source, as `prepare` leaves them."""
    together = made_up("train", 70, 0)
    in_val = np.arange(70) % 5 == 0
    return {"train": take(together, ~in_val), "val": take(together, in_val), "test": made_up("test", 14, 70)}


@pytest.fixture(scope="module")
def teachers(data: dict[str, Split], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two members that held out the folds 0 and 1."""
    place = tmp_path_factory.mktemp("teachers")
    members = members_of(TINY, "plain-s:0,plain-s:1")
    for name, settings in members.items():
        train(data, place / name, settings, machine=ONE)
    return [place / name for name in members]


@pytest.fixture(scope="module")
def views(data: dict[str, Split], teachers: list[Path]) -> Views:
    return judge(data, teachers, CHANGED, machine=ONE, count=2)


# --- Networks --------------------------------------------------------------------------------------------------------


def cost(net: nn.Module) -> tuple[int, int]:
    """Parameters, and multiply-adds of convolutions and dense layers for one face."""
    adds = 0

    def count(layer: nn.Module, _: Any, out: torch.Tensor) -> None:
        nonlocal adds
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        adds += out[0].numel() * weight[0].numel()

    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count)
    net.eval()(torch.zeros(1, 1, 48, 48))
    return sum(weight.numel() for weight in net.parameters()), adds


@pytest.mark.parametrize(("recipe", "parameters", "adds"), [("student-s", 1.2e6, 40e6), ("student-m", 2e6, 120e6)])
def test_students_stay_small(recipe: str, parameters: float, adds: float) -> None:
    measured = cost(build(RECIPES[recipe].network, votes=True, dropout=0.0))
    assert measured[0] <= parameters
    assert measured[1] <= adds


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_both_heads(name: str) -> None:
    net = build(name, votes=True, dropout=0.0).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 1, 48, 48)).shape == (1, LOGITS)


# --- Folds -----------------------------------------------------------------------------------------------------------


def test_folds_are_fifths_of_every_class_and_keep_duplicates_together(data: dict[str, Split]) -> None:
    training = all_training(data)
    assert training.rows.tolist() == list(range(70))
    twice = take(training, np.r_[np.arange(70), [3, 3, 40]])
    fold = folds(twice)
    assert fold[70:].tolist() == [fold[3], fold[3], fold[40]]
    counts = [np.bincount(folds(training)[training.labels == label], minlength=5) for label in range(OFFICIAL)]
    assert np.ptp(counts, axis=1).max() <= 1
    assert (folds(training) == folds(training)).all()


def test_what_is_held_out_is_not_learned_from(data: dict[str, Split]) -> None:
    held: list[int] = []
    for fold in "01234":
        learn, check = hold_out(data, replace(TINY, held_out=fold))
        assert sorted([*learn.rows, *check.rows]) == list(range(70))
        held += check.rows.tolist()
    assert sorted(held) == list(range(70))
    learn, check = hold_out(data, replace(TINY, held_out="public"))
    assert len(learn.rows) == 70
    assert check.usage is not None
    assert set(check.usage) == {PUBLIC}


def test_data_that_cannot_be_held_out_are_refused(data: dict[str, Split]) -> None:
    with pytest.raises(TrainingError, match="choose one of val, public, 0, 1, 2, 3, 4"):
        hold_out(data, replace(TINY, held_out="5"))
    with pytest.raises(TrainingError, match="FER"):
        hold_out({name: replace(split, votes=None) for name, split in data.items()}, TINY)
    with pytest.raises(DataError, match="PublicTest"):
        hold_out({**data, "test": replace(data["test"], usage=None)}, replace(TINY, held_out="public"))


# --- Views -----------------------------------------------------------------------------------------------------------


def test_a_view_is_the_same_each_time_and_another_for_each_number(data: dict[str, Split]) -> None:
    faces = torch.from_numpy(all_training(data).images)
    assert torch.equal(view(faces, 3, 0, CHANGED), view(faces, 3, 0, CHANGED))
    assert not torch.equal(view(faces, 3, 0, CHANGED), view(faces, 4, 0, CHANGED))
    assert not torch.equal(view(faces, 3, 0, CHANGED), view(faces, 3, 1, CHANGED))


def test_a_byte_a_logit_loses_nothing_that_a_student_would_see() -> None:
    logits = torch.randn(1000, LOGITS, generator=torch.Generator().manual_seed(0)) * 2
    kept = unpacked(packed(logits))
    for head in (slice(OFFICIAL), slice(OFFICIAL, LOGITS)):
        below = logits[:, head] - logits[:, head].amax(1, keepdim=True)
        assert (kept[:, head] - below).abs().max() <= STEP / 2 + 1e-5
        assert (kept[:, head].softmax(1) - logits[:, head].softmax(1)).abs().max() < 0.02


@pytest.mark.parametrize("everyone", [False, True])
def test_an_image_is_judged_by_the_teachers_that_did_not_learn_from_it(
    data: dict[str, Split], teachers: list[Path], everyone: bool
) -> None:
    judged = judge(data, teachers, CHANGED, machine=ONE, count=1, everyone=everyone)
    training = all_training(data)
    faces = view(torch.from_numpy(training.images), 0, 0, CHANGED)
    said = [flip_tta(load_trained(run).net, faces, torch.arange(70)) for run in teachers]
    mean = torch.stack(said).mean(0)
    for fold in range(5):
        theirs = torch.from_numpy(folds(training) == fold)
        wanted = said[fold] if fold < 2 and not everyone else mean
        difference = packed(wanted)[theirs].int() - torch.from_numpy(judged.logits[0]).int()[theirs]
        assert difference.abs().max() <= 1  # where a batch of another size rounds otherwise


def test_a_student_that_learned_every_image_teaches_too(data: dict[str, Split], tmp_path: Path) -> None:
    train(data, tmp_path / "s", replace(TINY, held_out="public"), machine=ONE)
    training = {name: data[name] for name in ("train", "val")}  # what `mien distil-views` reads
    judged = judge(training, [tmp_path / "s"], CHANGED, machine=ONE, count=1)
    images = torch.from_numpy(all_training(training).images)
    said = flip_tta(load_trained(tmp_path / "s").net, view(images, 0, 0, CHANGED), torch.arange(70))
    assert (packed(said).int() - torch.from_numpy(judged.logits[0]).int()).abs().max() <= 1


def test_views_come_back_from_their_file(views: Views, tmp_path: Path) -> None:
    write_views(views, tmp_path / "views.npz")
    again = read_views(tmp_path / "views.npz")
    assert again.digest == views.digest
    assert (again.seed, again.augmentation, again.teachers) == (0, CHANGED, ["plain-s-0", "plain-s-1"])
    assert np.array_equal(again.logits, views.logits)


def test_each_face_comes_with_what_its_own_teachers_said(data: dict[str, Split], views: Views) -> None:
    pool, learn = all_training(data), data["val"]  # whose places in the pool are others than in the split
    loader = ViewLoader(learn, pool, views, torch.device("cpu"), 5, seed=0)
    for batch in loader.epoch(2, CHANGED, 0.0):
        places = np.searchsorted(pool.rows, learn.rows[batch.rows])
        assert batch.teachers is not None
        assert torch.equal(batch.teachers, unpacked(torch.from_numpy(views.logits[1, places])))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_distance_is_the_divergence_of_the_softened_heads(temperature: float) -> None:
    mine, theirs = torch.randn(2, 6, LOGITS, generator=torch.Generator().manual_seed(0))
    heads = slice(OFFICIAL), slice(OFFICIAL, LOGITS)
    for head in heads:
        found = distance(mine[:, head], theirs[:, head], temperature)
        p, q = ((logits[:, head].double() / temperature).softmax(1) for logits in (theirs, mine))
        assert float(found) == pytest.approx(float((p * (p / q).log()).sum(1).mean()) * temperature**2, rel=1e-5)


@pytest.mark.parametrize(("share", "read"), [(0.0, True), (0.5, False)])
def test_views_from_when_faces_could_be_mixed_are_read_where_none_were(
    views: Views, tmp_path: Path, share: float, read: bool
) -> None:
    write_views(views, tmp_path / "views.npz")
    with np.load(tmp_path / "views.npz") as file:
        arrays = dict(file)
    facts = json.loads(str(arrays.pop("facts")))
    np.savez(tmp_path / "older.npz", facts=json.dumps({**facts, "mixup": share}), **arrays)
    if read:
        assert read_views(tmp_path / "older.npz").digest == views.digest
    else:
        with pytest.raises(TrainingError, match="views of mixed faces"):
            read_views(tmp_path / "older.npz")


def broken(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def of_text(path: Path) -> None:
    path.write_text("rows, logits")


def of_other_arrays(path: Path) -> None:
    np.savez(path, rows=np.arange(3))


@pytest.mark.parametrize("harm", [broken, of_text, of_other_arrays, Path.unlink])
def test_a_file_that_holds_no_views_is_one_line(views: Views, tmp_path: Path, harm: Callable[[Path], None]) -> None:
    path = tmp_path / "views.npz"
    write_views(views, path)
    harm(path)
    with pytest.raises(TrainingError, match=r"views\.npz"):
        read_views(path)


def darker(split: Split) -> Split:
    return replace(split, images=split.images // 2)


def later(split: Split) -> Split:
    return replace(split, rows=split.rows + 1)


@pytest.mark.parametrize("change", [darker, later])
def test_views_of_other_images_are_refused(
    data: dict[str, Split], views: Views, tmp_path: Path, change: Callable[[Split], Split]
) -> None:
    other = {name: change(split) for name, split in data.items()}
    with pytest.raises(TrainingError, match="other images"):
        train(other, tmp_path / "run", replace(TINY, views=views.digest), machine=ONE, views=views)
    assert not (tmp_path / "run").exists()


def test_views_that_come_out_otherwise_here_are_refused(data: dict[str, Split], views: Views, tmp_path: Path) -> None:
    other = replace(views, seed=views.seed + 1)
    with pytest.raises(TrainingError, match="come out otherwise"):
        train(data, tmp_path / "run", replace(TINY, views=other.digest), machine=ONE, views=other)


def test_a_student_comes_closer_to_its_teachers(data: dict[str, Split], views: Views, tmp_path: Path) -> None:
    settings = replace(TINY, epochs=4, views=views.digest, distil=1.0)  # the loss is the distance and nothing else
    rows = train(data, tmp_path / "run", settings, machine=ONE, views=views)
    assert 0 < rows[-1]["loss"] < rows[0]["loss"] / 2
    with pytest.raises(TrainingError, match="other views"):
        train(data, tmp_path / "run", settings, machine=ONE, resume=True)
    with pytest.raises(TrainingError, match=r"other settings \(views\)"):
        train(data, tmp_path / "run", replace(settings, views=""), machine=ONE, resume=True)


# --- Runs that stop and go on ----------------------------------------------------------------------------------------


def without_seconds(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_run_that_its_limit_stopped_goes_on_to_the_same_numbers(data: dict[str, Split], tmp_path: Path) -> None:
    limit = TimeLimit(10)

    def used_up(*_: float) -> None:
        limit.seconds = 0.001

    stopped = train(data, tmp_path / "run", TINY, machine=ONE, limit=limit, tick=used_up)
    assert limit.over
    assert limit.left == 0
    assert len(stopped) == 1
    assert not (tmp_path / "run" / HELD_OUT).exists()
    gone_on = train(data, tmp_path / "run", TINY, machine=ONE, resume=True)
    unbroken = train(data, tmp_path / "other", TINY, machine=ONE)
    assert without_seconds(gone_on) == without_seconds(unbroken)
    with np.load(tmp_path / "run" / HELD_OUT) as file:
        assert file["rows"].tolist() == data["val"].rows.tolist()
        assert file["logits"].shape == (len(data["val"].rows), LOGITS)


def test_a_checkpoint_from_before_there_were_teachers_goes_on(data: dict[str, Split], tmp_path: Path) -> None:
    once = replace(TINY, epochs=1)
    train(data, tmp_path, once, machine=ONE)
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    for later_field in ("held_out", "views", "distil", "init", "temperature"):
        del saved["settings"][later_field]
    write(tmp_path / CHECKPOINT, saved)
    assert settings_from(saved["settings"]) == once
    assert len(train(data, tmp_path, once, machine=ONE, resume=True)) == 1
    saved["settings"]["sam"] = 0.0  # which was retired, at the value that did nothing
    write(tmp_path / CHECKPOINT, saved)
    assert len(train(data, tmp_path, once, machine=ONE, resume=True)) == 1
    saved["settings"]["sam"] = 0.1
    write(tmp_path / CHECKPOINT, saved)
    with pytest.raises(TrainingError, match=r"its setting sam is 0\.1, which this Mien no longer knows"):
        train(data, tmp_path, once, machine=ONE, resume=True)
    saved["settings"] = {**saved["settings"], "sam": 0.0, "mystery": 1}
    write(tmp_path / CHECKPOINT, saved)
    with pytest.raises(TrainingError, match="its settings are none that this Mien knows, a newer one may"):
        train(data, tmp_path, once, machine=ONE, resume=True)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("could not create a primitive"),
        RuntimeError("could not create a memory object"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_too_little_memory_is_one_line_and_loses_nothing(
    error: Exception, data: dict[str, Split], tmp_path: Path
) -> None:
    def full(epoch: int, *_: float) -> None:
        if epoch == 2:
            raise error

    with pytest.raises(TrainingError, match="too little memory for plain-s: begin another run with a batch of 8"):
        train(data, tmp_path, TINY, machine=ONE, tick=full)
    assert len(load_checkpoint(tmp_path / CHECKPOINT)["history"]) == 1
    assert len(train(data, tmp_path, TINY, machine=ONE, resume=True)) == 2


def test_other_errors_of_the_libraries_below_are_not_taken_for_a_lack_of_memory() -> None:
    error = "could not create a primitive descriptor for a convolution forward propagation primitive"
    with pytest.raises(RuntimeError, match=error), enough_memory(TrainingError("wait")):
        raise RuntimeError(error)


def test_a_loss_that_is_infinite_is_one_line_and_is_never_saved(data: dict[str, Split], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="NaN or infinite in epoch 1"):
        train(data, tmp_path, replace(TINY, learning_rate=1e20, warmup=0.0), machine=ONE)
    assert not (tmp_path / CHECKPOINT).exists()


def test_weights_of_other_code_teach_nothing(data: dict[str, Split], teachers: list[Path], tmp_path: Path) -> None:
    saved = load_checkpoint(teachers[0] / WEIGHTS)
    write(tmp_path / WEIGHTS, {**saved, "settings": {**saved["settings"], "network": "resnet-m"}})
    with pytest.raises(TrainingError, match="trained by other code"):
        judge(data, [tmp_path], CHANGED, machine=ONE)
    with pytest.raises(TrainingError, match="does not exist"):
        judge(data, [tmp_path / "nowhere"], CHANGED, machine=ONE)


def test_too_little_memory_for_teachers_is_one_line(
    data: dict[str, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    train(data, tmp_path, TINY, machine=ONE)
    monkeypatch.setattr("mien.learn.distil.flip_tta", full)
    with pytest.raises(TrainingError, match="too little memory for the teachers"):
        judge(data, [tmp_path], Augmentation(), machine=ONE, count=1)


@pytest.mark.parametrize("members", ["resnet-18", "resnet-18:5", ":0", "resnet-18:0,"])
def test_members_that_are_none_are_one_line(members: str) -> None:
    with pytest.raises(TrainingError, match="NETWORK:FOLD"):
        members_of(TINY, members)


def test_a_member_named_twice_is_refused() -> None:
    with pytest.raises(TrainingError, match="plain-s:0 is named twice"):
        members_of(TINY, "plain-s:0,plain-s:1,plain-s:0")


def test_a_member_is_begun_only_where_there_is_time_for_an_epoch_as_long_as_those_before(
    data: dict[str, Split], tmp_path: Path
) -> None:
    limit = TimeLimit(10)
    train(data, tmp_path / "first", TINY, machine=ONE, limit=limit)
    assert limit.longest > 0
    limit.longest = 700.0
    assert train(data, tmp_path / "second", TINY, machine=ONE, limit=limit) == []
    assert limit.over
    limit = TimeLimit(20)
    assert len(train(data, tmp_path / "second", TINY, machine=ONE, limit=limit, resume=True)) == TINY.epochs


def test_a_pytorch_that_does_not_tell_what_the_processor_can_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torch.cpu.get_capabilities", raising=False)
    with autocast(torch.device("cpu")):
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.float32


# --- The commands ----------------------------------------------------------------------------------------------------


def mien(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_a_member_that_cannot_be_trained_does_not_keep_the_others_from_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/small_data.py", tmp_path / "data"], check=True)
    words = (
        "--recipe",
        "teacher",
        "--data",
        tmp_path / "data",
        "--threads",
        1,
        "--set",
        "epochs=1",
        "--set",
        "batch=8",
    )
    members = ("--members", "plain-s:0,plain-s:1", "--out", tmp_path / "teacher")
    assert mien("train", *words, *members, "--fold", 2) == 2
    assert "leave --fold out" in capfd.readouterr().err
    assert mien("train", *words, *members) == 0
    (tmp_path / "teacher/plain-s-0" / CHECKPOINT).write_bytes(b"nothing")
    shutil.rmtree(tmp_path / "teacher/plain-s-1")
    assert mien("train", *words, *members) == 2
    told = capfd.readouterr().err
    assert "1 member could not be trained" in told
    assert "plain-s-0" in told
    assert (tmp_path / "teacher/plain-s-1" / CHECKPOINT).exists()


def script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, ROOT / "scripts" / name, *arguments)
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


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
