"""Arrays → batches on the device: oversampled, shuffled and augmented there, the same for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from mien.data.prepare import Split
from mien.labels import FERPLUS, FERPLUS_COLUMNS
from mien.learn import augment
from mien.learn.settings import Augmentation

VOTED = (*FERPLUS_COLUMNS, FERPLUS.index("contempt"))  # the columns that the FER+ head learns, in its order


class Batch(NamedTuple):
    """`faces` (n, 1, 48, 48) in [0, 1], `labels` (n,) int64, `votes` (n, 8): shares of the FER+ votes, or all zero."""

    faces: Tensor
    labels: Tensor
    votes: Tensor
    rows: Tensor  # (n,) int64: where in the split each face stands
    teachers: Tensor | None = None  # (n, 15): the logits that a student learns from, where it has teachers
    taught: Tensor | None = None  # (n,) bool: which faces have such logits, None where all have


class Loader:
    """The batches of a split, one epoch after the other. The split lives on the device, as bytes."""

    def __init__(self, split: Split, device: torch.device, batch: int, seed: int) -> None:
        self.images = torch.from_numpy(split.images).to(device)
        self.labels = torch.from_numpy(split.labels.astype(np.int64)).to(device)
        self.votes = torch.from_numpy(vote_shares(split)).to(device)
        self.source = split.rows  # where each face stands in the source
        self.device, self.batch, self.seed = device, batch, seed
        self._counts = self.labels.bincount().cpu()
        self._members = [(self.labels == emotion).nonzero().flatten().cpu() for emotion in range(len(self._counts))]

    def epoch(self, number: int, augmentation: Augmentation, oversample: float) -> Iterator[Batch]:
        """One epoch of augmented batches; only whole batches, since a small rest would disturb the statistics."""
        rng = self._rng(number)
        for rows in self._drawn(oversample, rng):
            batch = self._take(rows)
            yield batch._replace(faces=augmented(batch.faces, augmentation, rng))

    def in_order(self, batch: int = 512) -> Iterator[Batch]:
        """All faces as they are, once."""
        for rows in torch.arange(len(self.images), device=self.device).split(batch):
            yield self._take(rows)

    def steps(self, oversample: float) -> int:
        """Batches in an epoch."""
        return int(self._draws(oversample).sum()) // self.batch

    def _take(self, rows: Tensor) -> Batch:
        return Batch(self.images[rows, None].float() / 255, self.labels[rows], self.votes[rows], rows)

    def _rng(self, number: int) -> Generator:
        return Generator().manual_seed(self.seed * 100_003 + number)  # on the CPU: see augment.py

    def _drawn(self, oversample: float, rng: Generator) -> Iterator[Tensor]:
        """The rows of an epoch, a batch at a time."""
        rows = self._draw(oversample, rng).to(self.device)
        return (rows[start : start + self.batch] for start in range(0, len(rows) - self.batch + 1, self.batch))

    def _draws(self, oversample: float) -> Tensor:
        """How often each class is drawn: n at 0, as often as the largest at 1, between them geometrically."""
        counts = self._counts.double()
        return (counts ** (1 - oversample) * counts.max() ** oversample).round().long() * (counts > 0)

    def _draw(self, oversample: float, rng: Generator) -> Tensor:
        """The rows of one epoch, shuffled: every face of a class once before any of them comes again."""
        chosen = []
        for members, due in zip(self._members, self._draws(oversample).tolist(), strict=True):
            rounds = -(-due // len(members)) if due else 0
            turns = [torch.randperm(len(members), generator=rng) for _ in range(rounds)]
            chosen += [members[torch.cat(turns)[:due]]] if turns else []
        rows = torch.cat(chosen)
        return rows[torch.randperm(len(rows), generator=rng)]


def augmented(faces: Tensor, how: Augmentation, rng: Generator) -> Tensor:
    """`faces` changed as `how` says: first what the scene does, then what camera and file do to it."""
    faces = augment.affine(faces, rng, rotation=how.rotation, zoom=how.zoom, shift=how.shift, flip=True)
    if how.light:
        faces = augment.light(faces, rng, how.light)
    if how.erase:
        faces = augment.erase(faces, rng, how.erase)
    if how.degrade:
        faces = augment.degrade(faces, rng, how.degrade)
    return faces


def vote_shares(split: Split) -> np.ndarray:
    """(n, 8) float32: each face's votes for the seven emotions and contempt as shares; zero where there are none."""
    if split.votes is None:
        return np.zeros((len(split.labels), len(VOTED)), np.float32)
    votes = split.votes[:, VOTED].astype(np.float32)
    return votes / votes.sum(1, keepdims=True).clip(1)
