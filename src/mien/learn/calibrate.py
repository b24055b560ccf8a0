"""Calibration: a temperature and a shift of each class for every head, fitted on what was held out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.learn.loader import Loader
from mien.learn.model import OFFICIAL

PLACES = 4  # of what is kept: a shift of 1e-4 moves no probability by more


class Calibration(NamedTuple):
    """That of one head: its logits are divided by `temperature`, then `shifts` (c,) are added."""

    temperature: float
    shifts: list[float]

    @classmethod
    def none(cls, classes: int) -> Calibration:
        """The calibration that leaves logits as they are."""
        return cls(1.0, [0.0] * classes)

    def __call__(self, logits: Tensor) -> Tensor:
        """(n, c) logits → (n, c) calibrated ones."""
        return logits / self.temperature + logits.new_tensor(self.shifts)


def calibrated(net: nn.Module, validation: Loader) -> list[Calibration]:
    """The calibration of each head of a network, fitted on the labels and votes of what was held out."""
    with torch.inference_mode():
        logits = torch.cat([net(batch.faces) for batch in validation.in_order()]).cpu()
    targets = F.one_hot(validation.labels.cpu(), OFFICIAL), validation.votes.cpu()
    heads = zip((logits[:, :OFFICIAL], logits[:, OFFICIAL:]), targets, strict=True)
    return [calibrate(*head) for head in heads if head[0].shape[1]]


def calibrate(logits: Tensor, targets: Tensor) -> Calibration:
    """The calibration of `logits` (n, c) that makes the distributions `targets` (n, c) likeliest.

    The temperature corrects overconfidence (Guo et al. 2017, arXiv:1706.04599, section 4.2), the shifts the frequencies
    of the classes, which oversampling changed (Alexandari et al. 2020, arXiv:1901.06852, section 2.3, "bias-corrected
    temperature scaling"). A normal prior of width 1 on each decides where there are few rows, or none of a class; rows
    of `targets` that are all zero count for nothing.
    """
    logits, targets = logits.double(), targets.double()
    free = torch.zeros(1 + logits.shape[1], dtype=torch.float64, requires_grad=True)  # logarithm of the scale; shifts
    optimiser = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        likelihood = (targets * (logits * free[0].exp() + free[1:]).log_softmax(1)).sum()
        value = (free.square().sum() / 2 - likelihood) / max(len(targets), 1)
        value.backward()
        return value

    optimiser.step(loss)
    scale, shifts = free.detach().split([1, logits.shape[1]])
    return Calibration(round(float((-scale).exp()), PLACES), [round(shift, PLACES) for shift in shifts.tolist()])
