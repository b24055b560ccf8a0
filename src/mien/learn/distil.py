"""Views: what teachers say of every training image under seeded changes, stored so that students need no teachers.

A view is all training images, each changed in its own way. The changes are drawn from the view's number alone, so that
a student sees the very picture that its teachers judged ("consistent teaching": Beyer et al. 2022, arXiv:2106.05237),
and what they said is one byte a logit: 32 views of 28,000 images take 13 MB before compression.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.files import WholeFile
from mien.learn.checkpoint import digest_of
from mien.learn.folds import all_training, hold_out
from mien.learn.loader import Batch, Loader, augmented
from mien.learn.machine import Machine, autocast, enough_memory
from mien.learn.model import FERPLUS, OFFICIAL
from mien.learn.settings import Augmentation
from mien.learn.trained import load_trained

LOGITS = OFFICIAL + FERPLUS
CHUNK = 500  # faces changed together; a view depends on it, so that another number makes older files useless
CACHED = 64  # faces judged together on a CPU: more leave its cache and take a third longer
STEP = 1 / 16  # of a logit in a byte, counted down from the highest of its head: 16 below it is one in ten million
TOLERANCE = 0.005  # between mean grays of the same faces changed here and where the views were judged: a gray or so


@dataclass(frozen=True, eq=False, slots=True)
class Views:
    """What teachers said: `logits` (views, n, 15) uint8, in `STEP`s below the highest logit of the head.

    `rows` (n,) int32 are the images' rows in the source, rising, `marks` (n,) uint32 the checksums of their pixels;
    `grays` (CHUNK,) float32 the mean grays of the first faces of view 0, by which another random generator shows.
    """

    rows: NDArray[np.int32]
    marks: NDArray[np.uint32]
    grays: NDArray[np.float32]
    logits: NDArray[np.uint8]
    seed: int
    augmentation: Augmentation
    teachers: list[str]

    @property
    def digest(self) -> str:
        """Names these views in the settings of a student."""
        return digest_of(self.logits)


def view(images: Tensor, number: int, seed: int, augmentation: Augmentation) -> Tensor:
    """The view `number` of all `images` (n, 48, 48) uint8, in the same form, where they are."""
    rng = Generator().manual_seed(seed * 100_003 + number)
    changed = [augmented(part[:, None].float() / 255, augmentation, rng) for part in images.split(CHUNK)]
    return (torch.cat(changed)[:, 0] * 255).round().clamp(0, 255).byte()


# --- Teachers --------------------------------------------------------------------------------------------------------


class Teacher(NamedTuple):
    """A trained network and the places, among all training images, of those that it did not learn from."""

    net: nn.Module
    unseen: Tensor


@enough_memory(TrainingError("too little memory for the teachers: ask fewer of them"))
def judge(
    data: dict[str, Split],
    sources: Sequence[Path],
    augmentation: Augmentation,
    *,
    machine: Machine,
    count: int = 32,
    seed: int = 0,
    everyone: bool = False,
    tick: Callable[[int], None] = lambda _: None,
) -> Views:
    """Let the networks of `sources`, runs or model files, judge `count` views of all training images.

    Each view is judged with its mirror image. An image gets the mean logits of the teachers that did not learn from
    it, since the others remember its label, noise included; where there is none, and with `everyone` always, the mean
    of all. `tick` is called after each view.
    """
    torch.set_num_threads(machine.threads)
    device, pool = torch.device(machine.device), all_training(data)
    images = torch.from_numpy(pool.images).to(device)
    teachers = [_teacher(source, data, pool, device) for source in sources]
    places = [teacher.unseen for teacher in teachers]
    judged = torch.zeros(len(images), dtype=torch.bool, device=device)
    judged[torch.cat(places)] = not everyone
    rest = (~judged).nonzero().flatten()
    if len(rest):
        places = [torch.cat([unseen[judged[unseen]], rest]) for unseen in places]
    votes = torch.bincount(torch.cat(places), minlength=len(images))[:, None]
    said = np.empty((count, len(images), LOGITS), np.uint8)
    for number in range(count):
        faces = view(images, number, seed, augmentation)
        total = torch.zeros(len(images), LOGITS, device=device)
        for teacher, mine in zip(teachers, places, strict=True):
            with autocast(device):
                total[mine] += flip_tta(teacher.net, faces, mine)
        said[number] = packed(total / votes).cpu().numpy()
        tick(number + 1)
    grays = mean_grays(images, seed, augmentation)
    names = [source.name for source in sources]
    return Views(pool.rows, marks_of(pool), grays, said, seed, augmentation, names)


def _teacher(source: Path, data: dict[str, Split], pool: Split, device: torch.device) -> Teacher:
    trained = load_trained(source)
    net, settings = trained.net.to(device), trained.settings
    if not settings.votes:
        raise TrainingError(f"{source} has no FER+ head, so it cannot teach one: train it with the recipe teacher")
    if settings.held_out == "public":  # it learned every training image
        return Teacher(net, torch.empty(0, dtype=torch.int64, device=device))
    learned, held_out = hold_out(data, settings)
    if trained.may_have_seen(settings.held_out, digest_of(learned.images)):
        raise TrainingError(
            f"{source} learned from other images or does not say from which, so nobody knows which it has not seen: "
            "use the --data that it was trained on"
        )
    unseen = np.flatnonzero(np.isin(pool.rows, held_out.rows))
    return Teacher(net, torch.from_numpy(unseen).to(device))


def flip_tta(net: nn.Module, faces: Tensor, rows: Tensor) -> Tensor:
    """The mean logits (rows, 15) for some of the `faces` (n, 48, 48) uint8 and their mirror images."""
    said = []
    with torch.inference_mode():
        for part in rows.split(CHUNK if faces.is_cuda else CACHED):
            x = (faces[part, None].float() / 255).to(memory_format=torch.channels_last)
            said.append((net(x).float() + net(x.flip(3)).float()) / 2)
    return torch.cat(said)


def packed(logits: Tensor) -> Tensor:
    """(n, 15) logits → bytes."""
    below = [head.amax(1, keepdim=True) - head for head in logits.split((OFFICIAL, FERPLUS), 1)]
    return (torch.cat(below, 1) / STEP).round().clamp(0, 255).byte()


def unpacked(steps: Tensor) -> Tensor:
    """(n, 15) bytes → logits, the highest of each head 0."""
    return steps.float() * -STEP


def marks_of(split: Split) -> NDArray[np.uint32]:
    """A checksum (n,) for each image's pixels."""
    return np.array([zlib.crc32(image.tobytes()) for image in split.images], np.uint32)


def mean_grays(images: Tensor, seed: int, augmentation: Augmentation) -> NDArray[np.float32]:
    """The mean gray, in [0, 1], of the first faces of view 0."""
    first = view(images[:CHUNK], 0, seed, augmentation)
    return (first.float().mean((1, 2)) / 255).cpu().numpy()


# --- The file --------------------------------------------------------------------------------------------------------

ARRAYS = {"rows": np.int32, "marks": np.uint32, "grays": np.float32, "logits": np.uint8}


def write_views(views: Views, path: Path) -> None:
    """Write a file for `read_views`, whole or not at all."""
    facts = {key: getattr(views, key) for key in ("seed", "teachers")}
    facts["augmentation"] = asdict(views.augmentation)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, facts=json.dumps(facts), **{key: getattr(views, key) for key in ARRAYS})
    with WholeFile(path, "wb") as file:
        file.write(buffer.getvalue())


def read_views(path: Path) -> Views:
    """Read what `write_views` wrote. Raises TrainingError where the file is broken or something else."""
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            arrays = {key: file[key] for key in ARRAYS}
            facts = json.loads(str(file["facts"]))
        augmentation = Augmentation(**facts.pop("augmentation"))
        if facts.pop("mixup", 0):
            raise TrainingError(f"{path} holds views of mixed faces, which this Mien no longer knows")
        views = Views(**arrays, augmentation=augmentation, **facts)
        if not isinstance(views.seed, int):
            raise ValueError("facts that no view was made with")
    except FileNotFoundError:
        raise TrainingError(f"there is no {path}: write it with `mien distil-views`") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        raise TrainingError(f"{path} cannot be read as views: is it truncated?") from None
    fits = views.logits.shape[1:] == (len(views.rows), LOGITS) and len(views.logits) > 0
    if not fits or any(getattr(views, key).dtype != kind for key, kind in ARRAYS.items()):
        raise TrainingError(f"{path} holds no views: write it again with `mien distil-views`")
    return views


# --- Students --------------------------------------------------------------------------------------------------------


class ViewLoader(Loader):
    """The batches of a split as its views show it, another view each epoch, with what the teachers said of it."""

    def __init__(self, split: Split, pool: Split, views: Views, device: torch.device, batch: int, seed: int) -> None:
        super().__init__(split, device, batch, seed)
        if not (np.array_equal(views.rows, pool.rows) and np.array_equal(views.marks, marks_of(pool))):
            raise TrainingError("the views are of other images than these data: prepare them as the teachers had them")
        self._pool = torch.from_numpy(pool.images).to(device)
        grays = mean_grays(self._pool, views.seed, views.augmentation)
        if grays.shape != views.grays.shape or np.abs(grays - views.grays).max() > TOLERANCE:
            raise TrainingError(
                "the views come out otherwise with this code: write them again with `mien distil-views`"
            )
        self._views = views
        self._kept: dict[int, Tensor] = {}
        self._places = torch.from_numpy(np.searchsorted(pool.rows, split.rows)).to(device)

    def epoch(self, number: int, augmentation: Augmentation, oversample: float) -> Iterator[Batch]:  # noqa: ARG002
        """One epoch of one view, mirrored at random, which its teachers' judgement does not depend on."""
        rng = self._rng(number)
        which = (number - 1) % len(self._views.logits)
        faces = self._faces(which)
        said = unpacked(torch.from_numpy(self._views.logits[which]).to(self.device))
        for rows in self._drawn(oversample, rng):
            places = self._places[rows]
            seen = faces[places, None].float() / 255
            mirrored = (torch.rand(len(rows), generator=rng) < 0.5).to(self.device, non_blocking=True)
            seen = torch.where(mirrored.view(-1, 1, 1, 1), seen.flip(3), seen)
            yield Batch(seen, self.labels[rows], self.votes[rows], rows, said[places])

    def _faces(self, which: int) -> Tensor:
        """All training images in that view, (n, 48, 48) uint8; a GPU, which has room, keeps them: 64 MB a view."""
        if which in self._kept:
            return self._kept[which]
        faces = view(self._pool, which, self._views.seed, self._views.augmentation)
        if self.device.type == "cuda":
            self._kept[which] = faces
        return faces
