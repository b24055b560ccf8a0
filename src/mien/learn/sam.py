"""Sharpness-aware minimisation: the gradient of where the loss is highest nearby, so that what is learned lies flat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def uphill(model: nn.Module, radius: float) -> Iterator[None]:
    """The model a step of length `radius` along its gradients, for the time of the block.

    The gradients that the block computes are those that the weights then take, where they were before; batch
    normalisation counts no face twice. Labels learned by heart make a steep loss, so that those are what it gives up
    (Foret et al. 2021, arXiv:2010.01412, section 2 and, on noisy labels, section 3.3).
    """
    weights: list[Tensor] = [weight for weight in model.parameters() if weight.grad is not None]
    before = [weight.detach().clone() for weight in weights]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    with torch.no_grad():
        length = torch.stack(torch._foreach_norm(gradients)).norm()
        torch._foreach_add_(weights, torch._foreach_mul(gradients, radius / (length + 1e-12)))
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        with torch.no_grad():
            torch._foreach_copy_(weights, before)
