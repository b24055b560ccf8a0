"""Networks have the heads that they should have, and students stay small."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from mien.learn.model import NETWORKS, build
from mien.learn.settings import RECIPES
from mien.learn.views import LOGITS


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


def test_the_teacher_for_a_cpu_costs_what_its_comment_says() -> None:
    assert cost(build("resnet-18-slim", votes=True, dropout=0.0))[1] == pytest.approx(175e6, rel=0.01)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_both_heads(name: str) -> None:
    net = build(name, votes=True, dropout=0.0).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 1, 48, 48)).shape == (1, LOGITS)
