"""What makes a run survive being killed: the machine it is on, what a checkpoint holds, starting, saving, going on."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.errors import TrainingError
from mien.files import WholeFile, explained
from mien.learn.model import build
from mien.learn.settings import Settings, settings_from

CHECKPOINT, WEIGHTS, SETTINGS, HISTORY = "checkpoint.pt", "model.pt", "settings.json", "history.csv"
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")  # of the history
MOST_THREADS = 1024  # that a damaged file is believed
HELD_OUT = "held_out.npz"  # rows, labels and logits of the images that the run did not learn from


@dataclass(frozen=True, slots=True)
class Machine:
    """What a run is computed on; on a CPU the same machine and seed give the same numbers."""

    device: str = "cpu"
    threads: int = 1
    torch: str = torch.__version__


def machine(device: str = "auto", threads: int | None = None, resumed: Path | None = None) -> Machine:
    """The device and the CPU threads to use: as asked for, else as the resumed run had them, else what is free."""
    before = _machine_of(resumed) if resumed else None
    there = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    if device == "auto":
        device = before.device if before and before.device in there else there[-1]
    if device not in there:
        raise TrainingError(f"there is no device {device!r} here: use --device cpu")
    return Machine(device, threads or (before.threads if before else free_cores()))


def _machine_of(run: Path) -> Machine | None:
    """What a run was computed on; a lost or damaged file costs no more than the exact numbers."""
    try:
        saved = json.loads((run / SETTINGS).read_text())["machine"]
        found = Machine(str(saved["device"]), int(saved["threads"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if 1 <= found.threads <= MOST_THREADS else None


def free_cores() -> int:
    """The cores that this process may use and that nothing else uses now: a thread too many halves the speed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        before = _idle_seconds()
        time.sleep(0.5)
        idle = _idle_seconds() - before
    except (OSError, ValueError):  # no /proc/stat: not Linux
        return cores
    return max(1, min(cores, round(idle / 0.5)))


def _idle_seconds() -> float:
    """Seconds that the machine's cores have idled since it started (proc(5): the fourth number of the first line)."""
    return int(Path("/proc/stat").read_text().split()[4]) / os.sysconf("SC_CLK_TCK")


NO_MEMORY = re.compile(
    "can't allocate memory|out of memory|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED"
    "|could not create a (memory|primitive)(?! descriptor)"  # oneDNN, which lacks a descriptor for other reasons
)
"""Words of PyTorch's allocators and of the libraries below it."""


@contextmanager
def enough_memory(what: str, instead: str) -> Iterator[None]:
    """Turn what PyTorch says where memory runs out, a GPU's or the machine's, into a TrainingError."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)  # a GPU's; Python's and NumPy's
        if not known and not NO_MEMORY.search(str(error)):
            raise
        raise TrainingError(f"too little memory for {what}: {instead}") from None


@dataclass(slots=True)
class Run:
    """Where a run stands; what a checkpoint holds."""

    model: nn.Module
    average: nn.Module  # the exponential moving average of the weights
    optimiser: torch.optim.Optimizer
    history: list[dict[str, float]]  # one row an epoch
    learned: str  # digest of the images that it learns from

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        parts = {key: getattr(self, key).state_dict() for key in ("model", "average", "optimiser")}
        return {**parts, "history": self.history}


def _new(settings: Settings, device: torch.device, learned: str) -> Run:
    def network() -> nn.Module:
        net = build(settings.network, votes=settings.votes > 0, dropout=settings.dropout)
        return net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    model, average = network(), network()
    average.load_state_dict(model.state_dict())
    weights = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": weights, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser: torch.optim.Optimizer
    if settings.optimiser == "adam":
        optimiser = torch.optim.AdamW(groups, lr=settings.learning_rate)
    elif settings.optimiser == "sgd":
        optimiser = torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)
    else:
        raise TrainingError(f"there is no optimiser {settings.optimiser!r}: choose adam or sgd")
    return Run(model, average, optimiser, history=[], learned=learned)


def start_run(out: Path, settings: Settings, machine: Machine, learned: str) -> Run:
    """A run at its beginning, its settings saved in `out`; TrainingError where another run or a network is there."""
    if (out / CHECKPOINT).exists():
        raise TrainingError(f"{out} holds a run: go on with --resume, or give --out another name")
    if (out / WEIGHTS).exists():
        raise TrainingError(f"{out / WEIGHTS} would be written over: give --out another name")
    return _begun(out, settings, machine, learned)


def _begun(out: Path, settings: Settings, machine: Machine, learned: str) -> Run:
    run = _new(settings, torch.device(machine.device), learned)
    with explained(out):
        (out / "plots").mkdir(parents=True, exist_ok=True)
    with WholeFile(out / SETTINGS) as file:
        file.write(json.dumps({**asdict(settings), "machine": asdict(machine)}, indent=1) + "\n")
    return run


def resume_run(out: Path, settings: Settings, machine: Machine, learned: str) -> Run:
    """The run in `out` after its last whole epoch, or a new one; TrainingError where settings or images differ."""
    if not (out / CHECKPOINT).exists():
        # A kill or a full disk at the first save leaves this run's own weights, unfinished, without their checkpoint.
        if (out / WEIGHTS).exists():
            kept = load_checkpoint(out / WEIGHTS)
            own = settings_from(kept["settings"]) == settings and kept.get("learned") == learned
            if not own or "calibration" in kept:  # what is done has one
                raise TrainingError(f"{out} holds a network, but no checkpoint to go on from: give --out another name")
        return _begun(out, settings, machine, learned)
    saved = load_checkpoint(out / CHECKPOINT)
    before, now = asdict(settings_from(saved["settings"])), asdict(settings)
    if before != now:
        other = [key for key, value in now.items() if before[key] != value]
        raise TrainingError(f"{out} was trained with other settings ({', '.join(other)}): resume with the same ones")
    if saved.get("learned", learned) != learned:  # older checkpoints do not say
        raise TrainingError(f"{out} learned from other images: resume with the --data that it began with")
    with explained(out):
        (out / "plots").mkdir(exist_ok=True)
    run = _new(settings, torch.device(machine.device), learned)
    try:
        for key in ("model", "average", "optimiser"):
            getattr(run, key).load_state_dict(saved[key])
        return replace(run, history=[{key: row[key] for key in COLUMNS} for row in saved["history"]])
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError):
        raise TrainingError(f"{out} was trained by other code: its weights do not fit, give --out a new name") from None


def digest_of(array: NDArray[np.uint8]) -> str:
    """What names the images that a run learns from, in their order, what teachers said, or a model's file."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint that `train` wrote, on the CPU.

    Raises TrainingError where the file is broken, of other code or something else.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist: train with `mien train --out {path.parent}` first") from None
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # torch.load raises whatever its unpickler does
        raise TrainingError(f"{path} cannot be read, it may be truncated: train anew, into another folder") from None
    if not (isinstance(saved, dict) and "settings" in saved):
        raise TrainingError(f"{path} is not a checkpoint of mien train")
    try:
        settings_from(saved["settings"])
    except TrainingError as error:
        raise TrainingError(f"{path} cannot be used: {error}") from None
    return saved


def history(out: Path) -> list[dict[str, float]]:
    """The rows of a run's history, none where there is no run yet."""
    return list(load_checkpoint(out / CHECKPOINT)["history"]) if (out / CHECKPOINT).exists() else []


def save(run: Run, out: Path, settings: Settings, keep: bool) -> None:
    """Write what an epoch leaves, each file whole.

    The checkpoint comes last: where a kill or a full disk keeps it from being written, its epoch is trained again, and
    the other files come out the same.
    """
    shared = {"settings": asdict(settings), "learned": run.learned}
    if keep:
        write(out / WEIGHTS, {**shared, "model": run.average.state_dict(), "epoch": run.history[-1]})
    with WholeFile(out / HISTORY) as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(run.history)
    write(out / CHECKPOINT, {**shared, **run.state()})


def write(path: Path, content: dict[str, Any]) -> None:
    """Save a checkpoint whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with WholeFile(path, "wb") as file:
        file.write(buffer.getvalue())
