"""What is done to a face keeps it a face: its size, its range, and the same again for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from mien.learn import augment
from mien.learn.loader import augmented
from mien.learn.settings import Augmentation

Change = Callable[[Tensor, Generator], Tensor]

CHANGES: dict[str, Change] = {
    "affine": partial(augment.affine, rotation=15, zoom=0.25, shift=0.12, flip=True),
    "light": partial(augment.light, amount=0.3),
    "erase": partial(augment.erase, share=0.5),
    "degrade": partial(augment.degrade, share=0.5),
    "blur": augment.blur,
    "shrink": augment.shrink,
    "noise": augment.noise,
    "jpeg": augment.jpeg,
    "all": lambda x, rng: augmented(x, Augmentation(light=0.3, erase=0.5, degrade=0.5), rng),
}


def faces(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 1, 48, 48, generator=Generator().manual_seed(seed))


def rng(seed: int) -> Generator:
    return Generator().manual_seed(seed)


@pytest.mark.parametrize("name", CHANGES)
@given(count=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_a_changed_face_keeps_its_size_and_its_range_and_comes_again(name: str, count: int, seed: int) -> None:
    x = faces(count, seed)
    before = x.clone()
    changed = CHANGES[name](x, rng(seed))
    assert changed.shape == x.shape
    assert changed.dtype == x.dtype
    assert float(changed.min()) >= -1e-5
    assert float(changed.max()) <= 1 + 1e-5
    assert torch.equal(changed, CHANGES[name](x, rng(seed)))
    assert torch.equal(x, before)  # what is handed in stays as it was


@pytest.mark.parametrize("name", CHANGES)
def test_another_seed_gives_another_change(name: str) -> None:
    assert not torch.equal(CHANGES[name](faces(8), rng(1)), CHANGES[name](faces(8), rng(2)))


def test_nothing_to_change_changes_nothing() -> None:
    x = faces(4)
    still = augment.affine(x, rng(0), rotation=0, zoom=0, shift=0, flip=False)
    assert torch.allclose(still, x, atol=1e-5)
    assert torch.equal(augment.erase(x, rng(0), 0.0), x)
    assert torch.equal(augment.degrade(x, rng(0), 0.0), x)


def test_a_flip_mirrors_about_half_of_the_faces() -> None:
    x = faces(200)
    flipped = augment.affine(x, rng(0), rotation=0, zoom=0, shift=0, flip=True)
    as_it_was = (flipped - x).abs().amax((1, 2, 3)) < 1e-4
    mirrored = (flipped - x.flip(3)).abs().amax((1, 2, 3)) < 1e-4
    assert bool((as_it_was ^ mirrored).all())
    assert 70 < int(mirrored.sum()) < 130


def test_a_shift_moves_no_further_than_it_may() -> None:
    x = torch.zeros(300, 1, 48, 48)
    x[:, :, 23:25, 23:25] = 1
    moved = augment.affine(x, rng(0), rotation=0, zoom=0, shift=0.125, flip=False)
    line = torch.arange(48.0)
    centres = (moved.sum(2)[:, 0] * line).sum(1) / moved.sum((1, 2, 3))
    assert 17.4 < float(centres.min()) < 18.5  # 23.5 less six pixels
    assert 28.5 < float(centres.max()) < 29.6


def test_erasing_covers_a_quarter_at_most_and_only_its_share() -> None:
    x = faces(400)
    covered = (augment.erase(x, rng(0), 0.3) != x).float().mean((1, 2, 3))
    assert 80 < int((covered > 0).sum()) < 160
    assert float(covered.max()) < 0.3


def test_jpeg_leaves_a_flat_face_nearly_flat_and_blur_altogether() -> None:
    flat = torch.full((6, 1, 48, 48), 0.4)
    assert float((augment.jpeg(flat, rng(0)) - flat).abs().max()) < 0.1
    assert torch.allclose(augment.blur(flat, rng(0)), flat, atol=1e-5)
