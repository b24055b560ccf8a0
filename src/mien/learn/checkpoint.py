"""Checkpoints: what is saved of a run after an epoch, and how a run that was stopped gets it back."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from mien.errors import TrainingError
from mien.files import WholeFile, explained
from mien.learn.machine import Machine
from mien.learn.settings import Settings, settings_from

CHECKPOINT, WEIGHTS, SETTINGS, HISTORY = "checkpoint.pt", "model.pt", "settings.json", "history.csv"
HELD_OUT = "held_out.npz"  # rows, labels and logits of the images that the run did not learn from
COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate", "seconds")  # of the history
MOST_THREADS = 1024  # that a damaged file is believed


class RunExistsError(TrainingError):
    """A run is to begin in a folder that holds one already."""


class NoRunError(TrainingError):
    """A run is to go on in a folder that holds none."""


@dataclass(slots=True)
class State:
    """Where a run stands: `train` builds it, a checkpoint holds it."""

    model: nn.Module
    average: nn.Module  # the exponential moving average of the weights
    optimiser: torch.optim.Optimizer
    history: list[dict[str, float]]  # a row for each epoch that is done


# --- The folder of a run ---------------------------------------------------------------------------------------------


def holds_run(out: Path) -> bool:
    """Whether a run has begun in a folder, even if no epoch of it is done."""
    return any((out / name).exists() for name in (SETTINGS, CHECKPOINT, WEIGHTS))


def begin(out: Path, settings: Settings, machine: Machine) -> None:
    """Make the folder of a new run and save its settings there. Raises OutputError."""
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    with WholeFile(out / SETTINGS) as file:
        file.write(json.dumps({**asdict(settings), "machine": asdict(machine)}, indent=1) + "\n")


def check_new(out: Path) -> None:
    """Raise RunExistsError where a run that begins in `out` would write over another."""
    if (out / CHECKPOINT).exists():
        raise RunExistsError(f"{out} holds a run")
    if (out / WEIGHTS).exists():
        raise RunExistsError(f"{out / WEIGHTS} would be written over")


def machine_of(run: Path) -> Machine | None:
    """What a run was computed on; a lost or damaged file costs no more than the exact numbers."""
    try:
        saved = json.loads((run / SETTINGS).read_text(encoding="utf-8"))["machine"]
        found = Machine(str(saved["device"]), int(saved["threads"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    return found if 1 <= found.threads <= MOST_THREADS else None


def history_of(out: Path) -> list[dict[str, float]]:
    """The history of a run, empty where no epoch is done."""
    return list(load_checkpoint(out / CHECKPOINT)["history"]) if (out / CHECKPOINT).exists() else []


# --- Saving and loading ----------------------------------------------------------------------------------------------


def save(state: State, out: Path, settings: Settings, learned: str, keep: bool) -> None:
    """Write what an epoch leaves, each file whole; with `keep` its weights are the ones to keep.

    `learned` is the digest of the images that the run learns from. The checkpoint comes last: where a kill or a full
    disk keeps it from being written, its epoch is trained again, and the other files come out the same.
    """
    shared = {"settings": asdict(settings), "learned": learned}
    if keep:
        write(out / WEIGHTS, {**shared, "model": state.average.state_dict(), "epoch": state.history[-1]})
    with WholeFile(out / HISTORY) as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(state.history)
    states = {key: getattr(state, key).state_dict() for key in ("model", "average", "optimiser")}
    write(out / CHECKPOINT, {**shared, **states, "history": state.history})


def load_into(state: State, out: Path, settings: Settings, learned: str) -> None:
    """Fill a new state with that of the run in `out` after its last whole epoch; it stays new where none is done.

    Raises NoRunError where there is no run, and TrainingError where it has other settings or other images, or where
    its files are broken.
    """
    if not holds_run(out):
        raise NoRunError(f"there is no run in {out}")
    if not (out / CHECKPOINT).exists():
        _check_unfinished(out, settings, learned)
        return
    saved = load_checkpoint(out / CHECKPOINT)
    before, now = asdict(settings_from(saved["settings"])), asdict(settings)
    if before != now:
        other = [key for key, value in now.items() if before[key] != value]
        raise TrainingError(f"{out} was trained with other settings ({', '.join(other)}): resume with the same ones")
    if saved.get("learned", learned) != learned:  # older checkpoints do not say
        raise TrainingError(f"{out} learned from other images: resume with the prepared data that it began with")
    try:
        for key in ("model", "average", "optimiser"):
            getattr(state, key).load_state_dict(saved[key])
        state.history = [{key: row[key] for key in COLUMNS} for row in saved["history"]]
    except (KeyError, ValueError, RuntimeError, TypeError, AttributeError):
        raise TrainingError(f"{out} was trained by other code: its weights do not fit, use another folder") from None


def _check_unfinished(out: Path, settings: Settings, learned: str) -> None:
    """Raise TrainingError where weights without a checkpoint are not those that this run left at its first save.

    A kill or a full disk between the two files leaves them. What is done has a calibration.
    """
    if (out / WEIGHTS).exists():
        kept = load_checkpoint(out / WEIGHTS)
        own = settings_from(kept["settings"]) == settings and kept.get("learned") == learned
        if not own or "calibration" in kept:
            raise TrainingError(f"{out} holds a network, but no checkpoint to go on from: use another folder")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The content of a checkpoint or of kept weights, on the CPU.

    Raises TrainingError where the file is broken, of other code or something else.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise TrainingError(f"{path} does not exist: train a network into {path.parent} first") from None
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error.strerror}") from None
    except Exception:  # torch.load raises whatever its unpickler does
        raise TrainingError(f"{path} cannot be read, it may be truncated: train anew, into another folder") from None
    if not (isinstance(saved, dict) and "settings" in saved):
        raise TrainingError(f"{path} is not a checkpoint of a training run")
    try:
        settings_from(saved["settings"])
    except TrainingError as error:
        raise TrainingError(f"{path} cannot be used: {error}") from None
    return saved


def write(path: Path, content: dict[str, Any]) -> None:
    """Save a checkpoint whole or not at all."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with WholeFile(path) as file:
        file.write(buffer.getvalue())


def digest_of(array: NDArray[Any]) -> str:
    """Names the content of an array: images in their order, a teacher's predictions, the bytes of a model file."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()[:16]
