"""Batches hold every face as often as they should, changed anew in each epoch and the same again for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.prepare import Split
from mien.labels import EMOTIONS, FERPLUS
from mien.learn.loader import Batch, Loader, vote_shares
from mien.learn.settings import Augmentation

CPU = torch.device("cpu")
STILL = Augmentation(rotation=0, zoom=0, shift=0)


def split_of(labels: list[int]) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 48, 48), np.uint8)
    return Split(images, np.array(labels, np.uint8), np.arange(len(labels), dtype=np.int32))


def drawn(batches: list[Batch]) -> list[int]:
    return [int(row) for batch in batches for row in batch.rows]


@pytest.mark.parametrize(("oversample", "rare"), [(0.0, 4), (0.5, 8), (1.0, 16)])
def test_a_rare_class_is_drawn_more_often_up_to_as_often_as_the_largest(oversample: float, rare: int) -> None:
    labels = [1] * 4 + [3] * 16
    loader = Loader(split_of(labels), CPU, rare + 16, seed=0)
    counts = Counter(labels[row] for row in drawn(list(loader.epoch(1, STILL, oversample))))
    assert counts == {1: rare, 3: 16}
    assert loader.steps(oversample) == 1


@given(sizes=st.lists(st.integers(0, 12), min_size=1, max_size=7).filter(any), oversample=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_each_face_of_a_class_comes_once_before_any_comes_twice(sizes: list[int], oversample: float) -> None:
    due = [round(size ** (1 - oversample) * max(sizes) ** oversample) if size else 0 for size in sizes]
    labels = [code for code, size in enumerate(sizes) for _ in range(size)]
    times = Counter(drawn(list(Loader(split_of(labels), CPU, 1, seed=0).epoch(1, STILL, oversample))))
    for code in range(len(sizes)):
        of_class = [times[row] for row, label in enumerate(labels) if label == code]
        assert sum(of_class) == pytest.approx(due[code], abs=1)  # a half may be rounded either way
        assert not of_class or max(of_class) - min(of_class) <= 1


def test_only_whole_batches_come_and_all_are_shuffled() -> None:
    loader = Loader(split_of([0, 1] * 11), CPU, 5, seed=0)
    batches = list(loader.epoch(1, STILL, 0.0))
    assert [len(batch.faces) for batch in batches] == [5] * 4 == [5] * loader.steps(0.0)
    assert len(set(drawn(batches))) == 20
    assert drawn(batches) != sorted(drawn(batches))


def test_an_epoch_is_the_same_for_the_same_seed_and_number_only() -> None:
    def faces(seed: int, number: int) -> torch.Tensor:
        loader = Loader(split_of([0, 1, 2] * 4), CPU, 4, seed)
        return torch.cat([batch.faces for batch in loader.epoch(number, Augmentation(light=0.2, degrade=0.5), 0.0)])

    assert torch.equal(faces(0, 1), faces(0, 1))
    assert not torch.equal(faces(0, 1), faces(0, 2))
    assert not torch.equal(faces(0, 1), faces(1, 1))


def test_a_batch_holds_faces_with_their_own_labels() -> None:
    split = split_of([0, 1, 2, 3] * 3)
    loader = Loader(split, CPU, 6, seed=0)
    for batch in (*loader.epoch(1, STILL, 0.0), *loader.in_order(5)):
        assert batch.labels.tolist() == split.labels[batch.rows].tolist()
        for face, row in zip(batch.faces, batch.rows, strict=True):
            image = torch.from_numpy(split.images[row]).float() / 255
            assert torch.allclose(face[0], image, atol=1e-5) or torch.allclose(face[0], image.flip(1), atol=1e-5)


def test_in_order_gives_every_face_once_as_it_is() -> None:
    split = split_of([5] * 7)
    batches = list(Loader(split, CPU, 4, seed=0).in_order(3))
    assert drawn(batches) == list(range(7))
    assert (
        torch.cat([batch.faces for batch in batches])[:, 0] * 255
    ).round().byte().numpy().tobytes() == split.images.tobytes()


def test_votes_become_shares_in_our_order_with_contempt_last(faces: Callable[..., Split]) -> None:
    split = faces(7, seed=0, votes=True)  # eight votes for the label, one for contempt, one that it is no face
    shares = vote_shares(split)
    assert shares.shape == (7, len(EMOTIONS) + 1)
    assert np.allclose(shares[:, :-1], np.eye(7) * 8 / 9)
    assert np.allclose(shares[:, -1], 1 / 9)
    assert split.votes is not None
    assert not split.votes[:, FERPLUS.index("unknown")].any()


def test_without_votes_for_a_face_its_shares_are_zero(faces: Callable[..., Split]) -> None:
    assert not vote_shares(faces(7, seed=0)).any()
