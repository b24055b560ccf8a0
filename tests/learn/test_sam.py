"""Sharpness-aware minimisation: where the model stands meanwhile, and that it comes back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mien.learn.model import build
from mien.learn.sam import uphill

FACES = torch.rand(16, 1, 48, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    net = build("plain-s", votes=False, dropout=0.0)
    loss(net).backward()  # type: ignore[no-untyped-call]
    return net


def loss(net: nn.Module) -> torch.Tensor:
    return nn.functional.cross_entropy(net(FACES), torch.arange(16) % 7)


def distance(net: nn.Module, before: list[torch.Tensor]) -> float:
    moved = [(now - then).square().sum() for now, then in zip(net.parameters(), before, strict=True)]
    return torch.stack(moved).sum().sqrt().item()


def test_the_loss_is_higher_a_step_of_that_length_away(model: nn.Module) -> None:
    before = [weight.detach().clone() for weight in model.parameters()]
    here = loss(model).item()
    with uphill(model, 0.05):
        assert distance(model, before) == pytest.approx(0.05, rel=1e-3)
        assert loss(model).item() > here
    assert distance(model, before) == 0


def test_the_gradients_of_the_block_stay(model: nn.Module) -> None:
    here = gradients(model)
    with uphill(model, 0.05):
        model.zero_grad()
        loss(model).backward()  # type: ignore[no-untyped-call]
        there = gradients(model)
    assert all(torch.equal(kept, then) for kept, then in zip(gradients(model), there, strict=True))
    assert not all(torch.allclose(kept, then) for kept, then in zip(gradients(model), here, strict=True))


def test_batch_normalisation_counts_no_face_twice(model: nn.Module) -> None:
    before = means(model)
    with uphill(model, 0.05):
        loss(model)
    assert all(torch.equal(now, then) for now, then in zip(means(model), before, strict=True))
    loss(model)
    assert not any(torch.equal(now, then) for now, then in zip(means(model), before, strict=True))


def gradients(model: nn.Module) -> list[torch.Tensor]:
    return [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]


def means(model: nn.Module) -> list[torch.Tensor]:
    """What batch normalisation has remembered."""
    return [value.clone() for name, value in model.named_buffers() if name.endswith("running_mean")]
