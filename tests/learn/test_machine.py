"""The machine is asked for what it has, and says so in one line where that is too little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.learn.checkpoint import CHECKPOINT, HELD_OUT, load_checkpoint
from mien.learn.distil import predict_views
from mien.learn.limit import TimeLimit
from mien.learn.machine import Machine, autocast, enough_memory
from mien.learn.settings import Augmentation, Settings
from mien.learn.train import train
from mien.learn.views import LOGITS


def without_seconds(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_run_that_its_limit_stopped_goes_on_to_the_same_numbers(
    noise: dict[str, Split], tmp_path: Path, tiny: Settings
) -> None:
    limit = TimeLimit(10)

    def used_up(*_: float) -> None:
        limit.seconds = 0.001

    stopped = train(noise, tmp_path / "run", tiny, machine=Machine(), limit=limit, tick=used_up)
    assert limit.over
    assert limit.left == 0
    assert len(stopped) == 1
    assert not (tmp_path / "run" / HELD_OUT).exists()
    gone_on = train(noise, tmp_path / "run", tiny, machine=Machine(), resume=True)
    unbroken = train(noise, tmp_path / "other", tiny, machine=Machine())
    assert without_seconds(gone_on) == without_seconds(unbroken)
    with np.load(tmp_path / "run" / HELD_OUT) as file:
        assert file["rows"].tolist() == noise["val"].rows.tolist()
        assert file["logits"].shape == (len(noise["val"].rows), LOGITS)


def test_a_member_is_begun_only_where_there_is_time_for_an_epoch_as_long_as_those_before(
    noise: dict[str, Split], tmp_path: Path, tiny: Settings
) -> None:
    limit = TimeLimit(10)
    train(noise, tmp_path / "first", tiny, machine=Machine(), limit=limit)
    assert limit.longest > 0
    limit.longest = 700.0
    assert train(noise, tmp_path / "second", tiny, machine=Machine(), limit=limit) == []
    assert limit.over
    limit = TimeLimit(20)
    assert len(train(noise, tmp_path / "second", tiny, machine=Machine(), limit=limit, resume=True)) == tiny.epochs


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
    error: Exception, noise: dict[str, Split], tmp_path: Path, tiny: Settings
) -> None:
    def full(epoch: int, *_: float) -> None:
        if epoch == 2:
            raise error

    with pytest.raises(TrainingError, match="too little memory for plain-s: begin another run with a batch of 8"):
        train(noise, tmp_path, tiny, machine=Machine(), tick=full)
    assert len(load_checkpoint(tmp_path / CHECKPOINT)["history"]) == 1
    assert len(train(noise, tmp_path, tiny, machine=Machine(), resume=True)) == 2


def test_other_errors_of_the_libraries_below_are_not_taken_for_a_lack_of_memory() -> None:
    error = "could not create a primitive descriptor for a convolution forward propagation primitive"
    with pytest.raises(RuntimeError, match=error), enough_memory(TrainingError("wait")):
        raise RuntimeError(error)


def test_too_little_memory_for_teachers_is_one_line(
    noise: dict[str, Split], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: Settings
) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    train(noise, tmp_path, tiny, machine=Machine())
    monkeypatch.setattr("mien.learn.distil.flip_tta", full)
    with pytest.raises(TrainingError, match="too little memory for the teachers"):
        predict_views(noise, [tmp_path], Augmentation(), machine=Machine(), count=1, everyone=True)


def test_a_pytorch_that_does_not_tell_what_the_processor_can_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("torch.cpu.get_capabilities", raising=False)
    with autocast(torch.device("cpu")):
        assert torch.ones(2, 2).mm(torch.ones(2, 2)).dtype == torch.float32
