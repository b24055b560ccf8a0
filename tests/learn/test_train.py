"""A run learns, gives the same numbers again, and survives being stopped at any point."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.learn import checkpoint
from mien.learn.checkpoint import (
    CHECKPOINT,
    HELD_OUT,
    HISTORY,
    SETTINGS,
    WEIGHTS,
    NoRunError,
    RunExistsError,
    load_checkpoint,
    machine_of,
)
from mien.learn.limit import TimeLimit
from mien.learn.machine import Machine, find_machine
from mien.learn.model import OFFICIAL
from mien.learn.settings import Settings, SettingsError, settings_of
from mien.learn.train import train
from mien.learn.trained import load_trained

Data = dict[str, Split]
History = list[dict[str, float]]

KILLED_IN_EPOCH_3 = """
import json, os, signal, sys, torch
from pathlib import Path
from mien.data.prepare import load
from mien.learn.machine import Machine
from mien.learn.settings import settings_from
from mien.learn.train import train
folder, out = map(Path, sys.argv[1:])
settings = settings_from(json.loads((folder / "settings.json").read_text()))
def tick(epoch, step, *_):
    if (epoch, step) == (3, 2):
        os.kill(os.getpid(), signal.SIGKILL)
train({name: load(folder, name) for name in ("train", "val")}, out, settings, machine=Machine(), tick=tick)
"""


def timeless(history: History) -> History:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def weights(out: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_checkpoint(out / WEIGHTS)["model"]
    return found


def refused(data: Data, out: Path, settings: Settings, resume: bool = False) -> str:
    with pytest.raises(TrainingError) as error:
        train(data, out, settings, machine=Machine(), resume=resume)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture(scope="module")
def unbroken(data: Data, quick: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train") / "run"
    train(data, out, quick, machine=Machine())
    return out


@pytest.fixture(scope="module")
def stopped(data: Data, quick: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that may take 40 epochs and stops after three without a better one."""
    out = tmp_path_factory.mktemp("train") / "run"
    train(data, out, replace(quick, epochs=40, patience=3), machine=Machine())
    return out


def history(out: Path) -> History:
    rows: History = load_checkpoint(out / CHECKPOINT)["history"]
    return rows


# --- Learning --------------------------------------------------------------------------------------------------------


def test_a_network_learns_what_is_easy(stopped: Path) -> None:
    rows = history(stopped)
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    assert max(row["val_accuracy"] for row in rows) > 0.7  # rng is 0.14


def test_both_heads_learn(voted: Data, run: Path) -> None:
    rows, val = history(run), voted["val"]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["val_accuracy"] > 0.5
    with torch.inference_mode():
        logits = load_trained(run).net(torch.from_numpy(val.images)[:, None].float() / 255)
    ferplus = logits[:, OFFICIAL:].argmax(1).numpy()
    assert (ferplus == val.labels).mean() > 0.5  # its votes are nearly all for the label; rng is 0.14


def test_the_learning_rate_rises_in_the_warm_up_and_falls_to_nothing(unbroken: Path, quick: Settings) -> None:
    first, second, last = (row["learning_rate"] / quick.learning_rate for row in history(unbroken))
    assert first == pytest.approx(0.5 + 0.5 * math.cos(math.pi * 0.5 / 2.5))  # half an epoch behind the warm-up's
    assert second == pytest.approx(0.5 + 0.5 * math.cos(math.pi * 1.5 / 2.5))
    assert last == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_the_weights_that_are_kept_follow_those_that_learn(
    data: Data, quick: Settings, tmp_path: Path, ema: float
) -> None:
    train(data, tmp_path, replace(quick, epochs=1, ema=ema), machine=Machine())
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    pairs = [(saved["average"][name], learned) for name, learned in saved["model"].items() if learned.ndim > 1]
    assert all(torch.equal(kept, learned) for kept, learned in pairs) == (ema == 0)
    assert all(torch.allclose(kept, learned, atol=0.05) for kept, learned in pairs)


def test_the_same_seed_gives_the_same_numbers_and_another_does_not(
    data: Data, quick: Settings, unbroken: Path, tmp_path: Path
) -> None:
    same = train(data, tmp_path / "same", quick, machine=Machine())
    assert timeless(same) == timeless(history(unbroken))
    assert all(
        torch.equal(a, b) for a, b in zip(*map(dict.values, map(weights, (tmp_path / "same", unbroken))), strict=True)
    )
    other = train(data, tmp_path / "other", replace(quick, seed=1, epochs=1), machine=Machine())
    assert other[0]["loss"] != same[0]["loss"]


def test_a_run_leaves_its_settings_and_its_history(unbroken: Path, quick: Settings) -> None:
    saved = json.loads((unbroken / SETTINGS).read_text())
    assert saved.pop("machine") == asdict(Machine())
    assert saved == asdict(quick)
    with (unbroken / HISTORY).open(newline="") as file:
        rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    assert rows == history(unbroken)


def test_early_stopping_stops_and_keeps_the_best(stopped: Path) -> None:
    losses = [row["val_loss"] for row in history(stopped)]
    assert len(losses) < 40
    best = losses.index(min(losses))
    assert best == len(losses) - 1 - 3
    assert load_checkpoint(stopped / WEIGHTS)["epoch"]["epoch"] == best + 1


def test_without_patience_the_last_epoch_is_kept(data: Data, quick: Settings, tmp_path: Path) -> None:
    rows = train(data, tmp_path, replace(quick, epochs=2, patience=0), machine=Machine())
    assert load_checkpoint(tmp_path / WEIGHTS)["epoch"] == rows[-1]


# --- Stopping and going on -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_goes_on_to_the_numbers_of_an_unbroken_one(
    data: Data, quick: Settings, unbroken: Path, written: Callable[[Data, Path], Path], tmp_path: Path
) -> None:
    written(data, tmp_path)
    (tmp_path / "settings.json").write_text(json.dumps(asdict(quick)))
    out = tmp_path / "run"
    command = [sys.executable, "-c", KILLED_IN_EPOCH_3, str(tmp_path), str(out)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert len(history(out)) == 2
    went_on: list[float] = []
    rows = train(data, out, quick, machine=Machine(), resume=True, report=lambda row: went_on.append(row["epoch"]))
    assert went_on == [3]
    assert timeless(rows) == timeless(history(unbroken))
    assert all(torch.equal(a, b) for a, b in zip(weights(out).values(), weights(unbroken).values(), strict=True))


def test_a_run_that_is_stopped_between_two_of_its_files_goes_on_as_if_it_had_not(
    data: Data, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(quick, epochs=2, patience=0)
    whole = train(data, tmp_path / "whole", settings, machine=Machine())
    left = iter(range(3))  # weights and checkpoint of the first epoch, weights of the second

    def write(path: Path, content: dict[str, Any]) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        torch.save(content, path)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(checkpoint, "write", write)
        train(data, tmp_path / "run", settings, machine=Machine())
    assert len(history(tmp_path / "run")) == 1
    rows = train(data, tmp_path / "run", settings, machine=Machine(), resume=True)
    assert timeless(rows) == timeless(whole)
    pairs = zip(*map(dict.values, map(weights, (tmp_path / "run", tmp_path / "whole"))), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_run_does_not_go_on_with_other_images(data: Data, quick: Settings, tmp_path: Path) -> None:
    train(data, tmp_path, replace(quick, epochs=1), machine=Machine())
    other = {**data, "train": replace(data["train"], images=data["train"].images[::-1].copy())}
    assert "other images" in refused(other, tmp_path, replace(quick, epochs=1), resume=True)


def test_ctrl_c_keeps_every_whole_epoch(data: Data, quick: Settings, tmp_path: Path) -> None:
    def stop(epoch: int, *_: Any) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path, quick, machine=Machine(), tick=stop)
    assert len(history(tmp_path)) == 1
    assert weights(tmp_path)
    assert not list(tmp_path.rglob("*.part"))


def test_a_finished_run_that_is_resumed_stays_as_it_is(data: Data, quick: Settings, unbroken: Path) -> None:
    before = history(unbroken), [(unbroken / name).stat().st_mtime_ns for name in (WEIGHTS, HELD_OUT)]
    assert train(data, unbroken, quick, machine=Machine(), resume=True) == before[0]
    assert [(unbroken / name).stat().st_mtime_ns for name in (WEIGHTS, HELD_OUT)] == before[1]


def test_a_limit_lets_an_epoch_begin_where_none_tells_how_long_it_takes(
    data: Data, quick: Settings, tmp_path: Path
) -> None:
    for resume in (False, True):
        limit = TimeLimit(1e-9)
        assert len(train(data, tmp_path, quick, machine=Machine(), resume=resume, limit=limit)) == 1
        assert limit.over


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "[]",
        '{"machine": null}',
        '{"machine": {"threads": 1}}',
        '{"machine": {"device": "cpu", "threads": null}}',
        '{"machine": {"device": "cpu", "threads": 1e999}}',
        '{"machine": {"device": "cpu", "threads": 99999999999}}',
    ],
)
def test_a_damaged_settings_file_costs_no_more_than_the_exact_numbers(tmp_path: Path, settings: str) -> None:
    (tmp_path / SETTINGS).write_text(settings)
    assert machine_of(tmp_path) is None


def test_a_resumed_run_stays_on_its_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for device in ("cpu", "cuda"):
        (tmp_path / SETTINGS).write_text(json.dumps({"machine": {"device": device, "threads": 3}}))
        assert find_machine(before=machine_of(tmp_path)) == Machine(device, 3)
    assert find_machine("cpu", 2, machine_of(tmp_path)) == Machine("cpu", 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert find_machine(before=machine_of(tmp_path)).device == "cpu"  # the run's GPU is not here
    with pytest.raises(TrainingError, match=r"no device 'cuda' here: choose cpu$"):
        find_machine("cuda")


def test_a_run_that_was_stopped_in_its_first_epoch_is_resumed_from_its_beginning(
    data: Data, quick: Settings, tmp_path: Path
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    once = replace(quick, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path, once, machine=Machine(), tick=stop)
    assert [file.name for file in tmp_path.iterdir()] == [SETTINGS]
    assert len(train(data, tmp_path, once, machine=Machine(), resume=True)) == 1


def test_where_there_is_no_run_none_is_resumed(data: Data, quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(NoRunError, match="there is no run in"):
        train(data, tmp_path / "typo", quick, machine=Machine(), resume=True)
    assert not (tmp_path / "typo").exists()


# --- What is refused -------------------------------------------------------------------------------------------------


def test_a_folder_that_holds_a_run_is_not_written_over(data: Data, quick: Settings, unbroken: Path) -> None:
    with pytest.raises(RunExistsError, match=r"holds a run$"):
        train(data, unbroken, quick, machine=Machine())


def test_other_settings_are_refused_by_name(data: Data, quick: Settings, unbroken: Path) -> None:
    message = refused(data, unbroken, replace(quick, batch=14, dropout=0.5), resume=True)
    assert "trained with other settings (batch, dropout)" in message


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "something else"])
def test_a_broken_checkpoint_is_refused(
    data: Data, quick: Settings, unbroken: Path, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / CHECKPOINT
    if damage == "something else":
        torch.save([1, 2, 3], path)
    else:
        whole = (unbroken / CHECKPOINT).read_bytes()
        path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    message = refused(data, tmp_path, quick, resume=True)
    assert str(path) in message
    assert ("not a checkpoint" if damage == "something else" else "may be truncated: train anew") in message


@pytest.mark.parametrize(("field", "value"), [("history", [{"epoch": 1}]), ("model", "abc"), ("history", 1)])
def test_a_checkpoint_of_other_code_is_refused(
    data: Data, quick: Settings, unbroken: Path, tmp_path: Path, field: str, value: object
) -> None:
    torch.save({**load_checkpoint(unbroken / CHECKPOINT), field: value}, tmp_path / CHECKPOINT)
    assert "was trained by other code" in refused(data, tmp_path, quick, resume=True)


def test_a_network_without_its_checkpoint_is_not_written_over(
    data: Data, quick: Settings, unbroken: Path, tmp_path: Path
) -> None:
    kept = (unbroken / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(kept)
    assert "would be written over" in refused(data, tmp_path, quick)
    assert "no checkpoint to go on from" in refused(data, tmp_path, quick, resume=True)
    assert (tmp_path / WEIGHTS).read_bytes() == kept


def test_a_kill_between_the_files_of_the_first_save_costs_the_epochs_before_it_only(
    data: Data, quick: Settings, unbroken: Path, tmp_path: Path
) -> None:
    """On a GPU the first save may be after any epoch: what tells the run's own weights is what is in them."""
    kept = load_checkpoint(unbroken / WEIGHTS)
    assert kept["epoch"]["epoch"] > 1
    del kept["calibration"]
    torch.save(kept, tmp_path / WEIGHTS)
    train(data, tmp_path, quick, machine=Machine(), resume=True)
    again = weights(tmp_path)
    assert all(torch.equal(again[name], value) for name, value in weights(unbroken).items())


def test_a_loss_that_is_infinite_is_refused_and_says_what_to_set(data: Data, quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"the loss is NaN or infinite in epoch 1: .* learning rate of 1e") as error:
        train(data, tmp_path, replace(quick, optimiser="sgd", learning_rate=1e30), machine=Machine())
    assert error.value.instead == {"learning_rate": pytest.approx(1e29)}
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_loss_that_becomes_nan_leaves_the_last_checkpoint(
    data: Data, quick: Settings, unbroken: Path, tmp_path: Path
) -> None:
    saved = load_checkpoint(unbroken / CHECKPOINT)
    saved["history"] = saved["history"][:2]
    for weight in saved["model"].values():
        weight.mul_(float("nan") if weight.is_floating_point() else 1)
    torch.save(saved, tmp_path / CHECKPOINT)
    before = (tmp_path / CHECKPOINT).read_bytes()
    assert "the loss is NaN or infinite in epoch 3" in refused(data, tmp_path, quick, resume=True)
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_too_few_images_and_unknown_names_are_refused(data: Data, quick: Settings, tmp_path: Path) -> None:
    assert "fewer training images than a batch of 128" in refused(data, tmp_path / "a", replace(quick, batch=128))
    assert not (tmp_path / "a").exists()
    assert "choose adam or sgd" in refused(data, tmp_path / "b", replace(quick, optimiser="lion"))
    assert "there is no network 'vit'" in refused(data, tmp_path / "c", replace(quick, network="vit"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("batch=0", r"batch lies between 2 and 1e\+06$"),
        ("dropout=2", "dropout lies between 0 and 0.9$"),
        ("learning_rate=nan", "learning_rate lies between 1e-09 and 1000$"),
        ("epochs=0", r"epochs lies between 1 and 1e\+06$"),
        ("seed=99999999999999999999", r"seed lies between 0 and 1e\+09$"),
        ("augmentation.shift=-1", "shift lies between 0 and 1$"),
    ],
)
def test_a_setting_outside_its_range_is_refused(change: str, said: str) -> None:
    with pytest.raises(TrainingError, match=said):
        settings_of("baseline", [change])
