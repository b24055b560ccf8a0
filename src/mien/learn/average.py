"""One network out of several that began alike: the mean of their weights, right more often than each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.files import explained
from mien.learn.checkpoint import WEIGHTS, Machine, load_checkpoint, write
from mien.learn.folds import parts
from mien.learn.loader import Loader
from mien.learn.settings import Settings
from mien.learn.train import finish, validate
from mien.learn.trained import load_trained


def average(runs: Sequence[Path], out: Path, data: dict[str, Split], *, machine: Machine) -> dict[str, float]:
    """Write the mean of the weights that `runs` kept to the folder `out`, in the form of a run that is done.

    The runs must have begun with one model (`Settings.init`) and may differ in their seeds: only then is the mean of
    their weights a network ("model soups": Wortsman et al. 2022, arXiv:2203.05482). Gets its temperatures from what
    they held out; returns loss and accuracy there. Raises TrainingError for runs that cannot be averaged.
    """
    if (out / WEIGHTS).exists():
        raise TrainingError(f"{out} holds a run: give --out another name")
    torch.set_num_threads(machine.threads)
    members = [load_trained(run) for run in runs]
    settings = members[0].settings
    if len({_but_seed(member.settings) for member in members}) > 1 or not settings.init:
        raise TrainingError("only runs that began with the same --init and differ in their seed alone can be averaged")
    net = members[0].net
    states = [member.net.state_dict() for member in members]
    net.load_state_dict({key: _mean([state[key] for state in states]) for key in states[0]})
    check = Loader(parts(data, settings)[1], torch.device("cpu"), settings.batch, settings.seed)
    loss, accuracy = validate(net, check)
    epoch = {**members[0].epoch, "val_loss": loss, "val_accuracy": accuracy}
    saved = load_checkpoint(runs[0] / WEIGHTS)
    with explained(out):
        out.mkdir(parents=True, exist_ok=True)
    write(out / WEIGHTS, {**saved, "model": net.state_dict(), "epoch": epoch})
    finish(out, check)
    return epoch


def _but_seed(settings: Settings) -> Settings:
    return replace(settings, seed=0)


def _mean(values: list[Tensor]) -> Tensor:
    """Of whole numbers, the batches that normalisation has seen, the first."""
    return torch.stack(values).mean(0) if values[0].is_floating_point() else values[0]
