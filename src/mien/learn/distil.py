"""Distillation: teachers predict views of the training images, students learn from what they predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.learn.checkpoint import digest_of
from mien.learn.folds import all_training, hold_out
from mien.learn.loader import Batch, Loader
from mien.learn.machine import Machine, autocast, enough_memory
from mien.learn.model import OFFICIAL
from mien.learn.settings import Augmentation
from mien.learn.trained import Trained, load_trained
from mien.learn.views import LOGITS, Teacher, Views, check_views, data_digest, mean_grays, packed, unpacked, view

PASS = 500  # faces predicted together on a GPU
CACHED = 64  # the same on a CPU: more leave its cache and take a third longer


# --- Teachers --------------------------------------------------------------------------------------------------------


@enough_memory(TrainingError("too little memory for the teachers: take fewer of them at a time"))
def predict_views(
    data: dict[str, Split],
    sources: Sequence[Path],
    augmentation: Augmentation,
    *,
    machine: Machine,
    count: int = 32,
    seed: int = 0,
    everyone: bool = False,
    tick: Callable[[int], None] = lambda _: None,
) -> list[Views]:
    """Let each network of `sources`, runs or model files, predict `count` views of the training images.

    It predicts the images that it did not learn from, since of the others it remembers the labels, noise included; with
    `everyone` all images. Logits are averaged over each face and its mirror image. `data` has the splits train and val,
    `tick` is called after each view. Raises TrainingError for a teacher without a FER+ head, one that learned from
    every image, and one that learned from other images.
    """
    torch.set_num_threads(machine.threads)
    device, pool = torch.device(machine.device), all_training(data)
    images = torch.from_numpy(pool.images).to(device)
    trained = [load_trained(source) for source in sources]
    places = [_places(each, source, data, pool, everyone) for each, source in zip(trained, sources, strict=True)]
    nets = [each.net.to(device) for each in trained]
    asked = [torch.from_numpy(rows).to(device) for rows in places]

    def predict(faces: Tensor) -> list[NDArray[np.uint8]]:
        with autocast(device):
            return [packed(flip_tta(net, faces, rows)).cpu().numpy() for net, rows in zip(nets, asked, strict=True)]

    logits = [np.empty((count, len(rows), LOGITS), np.uint8) for rows in places]
    for number in range(count):
        for mine, predicted in zip(logits, predict(view(images, number, seed, augmentation)), strict=True):
            mine[number] = predicted
        tick(number + 1)
    grays, digest = mean_grays(torch.from_numpy(pool.images), seed, augmentation), data_digest(pool)
    found = []
    for source, each, rows, mine, plain in zip(sources, trained, places, logits, predict(images), strict=True):
        accuracy = float((plain[:, :OFFICIAL].argmin(1) == pool.labels[rows]).mean())
        teacher = Teacher(name_of(source), each.settings, each.learned, accuracy, pool.rows[rows])
        found.append(Views(teacher.rows, grays, mine, plain, digest, seed, augmentation, everyone, (teacher,)))
    return found


def name_of(source: Path) -> str:
    """The name of a teacher: that of its run's folder or of its model file."""
    return source.stem if source.suffix.lower() == ".onnx" else source.resolve().name


def _places(
    trained: Trained, source: Path, data: dict[str, Split], pool: Split, everyone: bool
) -> NDArray[np.signedinteger]:
    """Where the images that a teacher is to predict stand among all training images."""
    settings = trained.settings
    if not settings.votes:
        raise TrainingError(f"{source} has no FER+ head, so it cannot teach one: train it with the recipe teacher")
    if everyone:
        return np.arange(len(pool.rows))
    if settings.held_out == "public":
        raise TrainingError(f"{source} learned from every training image: it can teach only with `everyone`")
    learned, held_out = hold_out(data, settings)
    if trained.may_have_seen(settings.held_out, digest_of(learned.images)):
        raise TrainingError(
            f"{source} learned from other images, or does not say from which, so it may have seen any of these: "
            "use the prepared data that it was trained on"
        )
    return np.flatnonzero(np.isin(pool.rows, held_out.rows))


def flip_tta(net: nn.Module, faces: Tensor, rows: Tensor) -> Tensor:
    """The logits (rows, 15) of some of the `faces` (n, 48, 48) uint8, averaged over each and its mirror image."""
    logits = []
    with torch.inference_mode():
        for part in rows.split(PASS if faces.is_cuda else CACHED):
            x = (faces[part, None].float() / 255).to(memory_format=torch.channels_last)
            logits.append((net(x).float() + net(x.flip(3)).float()) / 2)
    return torch.cat(logits)


# --- Students --------------------------------------------------------------------------------------------------------


class ViewLoader(Loader):
    """The batches of a split as its views show it, another view each epoch, with the logits that teachers predicted."""

    def __init__(self, split: Split, pool: Split, views: Views, device: torch.device, batch: int, seed: int) -> None:
        super().__init__(split, device, batch, seed)
        check_views(views, pool)
        self._views = views
        self._pool = torch.from_numpy(pool.images).to(device)
        self._kept: dict[int, Tensor] = {}
        self._places = torch.from_numpy(np.searchsorted(pool.rows, split.rows)).to(device)
        self._predicted = torch.from_numpy(np.searchsorted(pool.rows, views.rows)).to(device)
        self._taught: Tensor | None = None  # which images of the pool have predictions, where some have none
        if len(views.rows) < len(pool.rows):
            self._taught = torch.zeros(len(pool.rows), dtype=torch.bool, device=device)
            self._taught[self._predicted] = True

    def epoch(self, number: int, augmentation: Augmentation, oversample: float) -> Iterator[Batch]:  # noqa: ARG002
        """One epoch of one view, mirrored at random, on which the teachers' predictions do not depend."""
        rng = self._rng(number)
        which = (number - 1) % len(self._views.logits)
        faces = self._faces(which)
        logits = torch.zeros(len(self._pool), LOGITS, device=self.device)
        logits[self._predicted] = unpacked(torch.from_numpy(self._views.logits[which]).to(self.device))
        for rows in self._drawn(oversample, rng):
            places = self._places[rows]
            seen = faces[places, None].float() / 255
            mirrored = (torch.rand(len(rows), generator=rng) < 0.5).to(self.device, non_blocking=True)
            seen = torch.where(mirrored.view(-1, 1, 1, 1), seen.flip(3), seen)
            taught = None if self._taught is None else self._taught[places]
            yield Batch(seen, self.labels[rows], self.votes[rows], rows, logits[places], taught)

    def _faces(self, which: int) -> Tensor:
        """All training images in that view, (n, 48, 48) uint8; a GPU, which has room, keeps them: 64 MB a view."""
        if which in self._kept:
            return self._kept[which]
        faces = view(self._pool, which, self._views.seed, self._views.augmentation)
        if self.device.type == "cuda":
            self._kept[which] = faces
        return faces
