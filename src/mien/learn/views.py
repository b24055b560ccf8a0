"""Views: what teachers predict on seeded augmentations of the training images, stored for students.

A view is all training images, each augmented in its own way. The augmentation depends on the view's number alone, so a
student sees the very picture that its teachers saw ("consistent teaching": Beyer et al. 2022, arXiv:2106.05237). A
logit takes one byte: 32 views of a fold of 5,600 images take 2.7 MB before compression.

Each teacher has a file of its own. A folder of such files is an ensemble that grows: an image has the mean of the
teachers that predicted it.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.files import WholeFile
from mien.learn.checkpoint import digest_of
from mien.learn.loader import augmented
from mien.learn.model import FERPLUS, OFFICIAL
from mien.learn.settings import Augmentation, Settings, settings_from

LOGITS = OFFICIAL + FERPLUS
CHUNK = 500  # faces augmented together; a view depends on it, so that another number makes older files useless
STEP = 1 / 16  # of a logit in a byte, counted down from the highest of its head: 16 below it is one in ten million
TOLERANCE = 0.005  # between mean grays of the same faces augmented here and by the teacher: about one gray


@dataclass(frozen=True, eq=False, slots=True)
class Teacher:
    """The network that predicted: its name, how it was trained, and which images it predicted.

    `learned` is the digest of the images that it learned from, `accuracy` that of its official head on `rows` (n,), the
    source's rows of the images, each averaged with its mirror image.
    """

    name: str
    settings: Settings
    learned: str
    accuracy: float
    rows: NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class Views:
    """The predictions of one teacher, or the mean of several: `logits` (views, n, 15) uint8, and `plain` (n, 15) uint8.

    Logits are in `STEP`s below the highest of their head; `plain` are those of the images without augmentation. `rows`
    (n,) int32 are the images' rows in the source, rising. `data` is the digest of all training images. `grays` (up to
    `CHUNK`,) float32 are the mean grays of the first faces of view 0, which show whether the augmentation still comes
    out the same. Teachers predicted images that they had not learned from, with `everyone` all images.
    """

    rows: NDArray[np.int32]
    grays: NDArray[np.float32]
    logits: NDArray[np.uint8]
    plain: NDArray[np.uint8]
    data: str
    seed: int
    augmentation: Augmentation
    everyone: bool
    teachers: tuple[Teacher, ...]

    @property
    def digest(self) -> str:
        """Names these views in the settings of a student."""
        return digest_of(self.logits)


def view(images: Tensor, number: int, seed: int, augmentation: Augmentation) -> Tensor:
    """The view `number` of all `images` (n, 48, 48) uint8, in the same form and on the same device."""
    rng = Generator().manual_seed(seed * 100_003 + number)
    changed = [augmented(part[:, None].float() / 255, augmentation, rng) for part in images.split(CHUNK)]
    return (torch.cat(changed)[:, 0] * 255).round().clamp(0, 255).byte()


def mean_grays(images: Tensor, seed: int, augmentation: Augmentation) -> NDArray[np.float32]:
    """The mean gray, in [0, 1], of each of the first faces of view 0."""
    first = view(images[:CHUNK], 0, seed, augmentation)
    return (first.float().mean((1, 2)) / 255).cpu().numpy()


def packed(logits: Tensor) -> Tensor:
    """(n, 15) logits → bytes."""
    below = [head.amax(1, keepdim=True) - head for head in logits.split((OFFICIAL, FERPLUS), 1)]
    return (torch.cat(below, 1) / STEP).round().clamp(0, 255).byte()


def unpacked(steps: Tensor) -> Tensor:
    """(n, 15) bytes → logits, the highest of each head 0."""
    return steps.float() * -STEP


def data_digest(training: Split) -> str:
    """Names all training images and their rows, which views depend on."""
    return digest_of(np.frombuffer(training.images.tobytes() + training.rows.tobytes(), np.uint8))


def check_views(views: Views, training: Split) -> None:
    """Raise TrainingError unless views were made of these training images, come out the same, and can be trusted.

    A teacher can be trusted that predicted exactly those images that it did not learn from, or everything openly.
    """
    if views.data != data_digest(training):
        raise TrainingError("the views are of other images than these data: prepare them as the teachers had them")
    grays = mean_grays(torch.from_numpy(training.images), views.seed, views.augmentation)
    if grays.shape != views.grays.shape or not np.abs(grays - views.grays).max() <= TOLERANCE:
        raise TrainingError("the augmentation comes out otherwise with this code: let the teachers predict again")
    for teacher in views.teachers:
        rest = training.images[~np.isin(training.rows, teacher.rows)]
        if not views.everyone and teacher.learned != digest_of(rest):
            raise TrainingError(f"{teacher.name} learned from images that it predicted: remove its file")


# --- Files -----------------------------------------------------------------------------------------------------------

ARRAYS = {"rows": np.int32, "grays": np.float32, "logits": np.uint8, "plain": np.uint8}


def write_views(views: Views, path: Path) -> None:
    """Write the views of one teacher to a file for `read_views`, whole or not at all. Raises OutputError."""
    [teacher] = views.teachers
    told = {key: getattr(teacher, key) for key in ("name", "learned", "accuracy")}
    facts = {
        "data": views.data,
        "seed": views.seed,
        "augmentation": asdict(views.augmentation),
        "everyone": views.everyone,
        "teacher": {**told, "settings": asdict(teacher.settings)},
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, facts=json.dumps(facts), **{key: getattr(views, key) for key in ARRAYS})
    with WholeFile(path) as file:
        file.write(buffer.getvalue())


def read_views(path: Path) -> Views:
    """The views of a file, or the mean of those of all files in a folder.

    Raises TrainingError for a file that is broken or something else, and for a folder that holds none, the same teacher
    twice, or files that do not belong together.
    """
    if not path.is_dir():
        return _read_file(path)
    parts = {file.name: _read_file(file) for file in sorted(path.glob("*.npz"))}
    if not parts:
        raise TrainingError(f"{path} holds no views: let a teacher predict into it, or name another folder")
    for (one, first), (two, second) in combinations(parts.items(), 2):
        if unlike := _unlike(first, second):
            raise TrainingError(f"{one} and {two} in {path} {unlike}: remove one of them")
    return mean_of(list(parts.values()))


def _unlike(one: Views, two: Views) -> str:
    """What keeps two teachers' views from being averaged, empty where nothing does."""
    if one.data != two.data:
        return "are of different images"
    if (one.seed, one.augmentation) != (two.seed, two.augmentation):
        return "show the images with different seeds or augmentation"
    if len(one.logits) != len(two.logits):
        return f"have {len(one.logits)} and {len(two.logits)} views"
    if one.everyone != two.everyone:
        return "differ in whether the teacher had learned from the images"
    if one.teachers[0].settings == two.teachers[0].settings:
        return "are of the same teacher"
    return ""


def mean_of(parts: Sequence[Views]) -> Views:
    """Of each image the mean logits of the teachers that predicted it."""
    first, rows = parts[0], np.unique(np.concatenate([part.rows for part in parts]))
    places = [torch.from_numpy(np.searchsorted(rows, part.rows)) for part in parts]
    teachers = torch.bincount(torch.cat(places), minlength=len(rows))[:, None]

    def mean(logits: Sequence[NDArray[np.uint8]]) -> NDArray[Any]:
        total = torch.zeros(len(rows), LOGITS)
        for place, mine in zip(places, logits, strict=True):
            total[place] += unpacked(torch.from_numpy(mine))
        return packed(total / teachers).numpy()

    return Views(
        rows,
        first.grays,
        np.stack([mean([part.logits[number] for part in parts]) for number in range(len(first.logits))]),
        mean([part.plain for part in parts]),
        first.data,
        first.seed,
        first.augmentation,
        first.everyone,
        tuple(teacher for part in parts for teacher in part.teachers),
    )


def _read_file(path: Path) -> Views:
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            facts = json.loads(str(file["facts"]))
            old = "teacher" not in facts
            arrays = {} if old else {key: file[key] for key in ARRAYS}
        if old:
            raise TrainingError("it is of an older Mien, let the teacher predict again")
        return _checked(arrays, facts)
    except FileNotFoundError:
        raise TrainingError(f"there is no {path}: name a file of views, or a folder of them") from None
    except TrainingError as error:
        raise TrainingError(f"{path} holds no views that can be used: {error}") from None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error):
        raise TrainingError(f"{path} cannot be read as views: is it truncated?") from None


def _checked(arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Views:
    """Views of what a file holds. Raises ValueError, KeyError or TypeError where it is none."""
    rows, logits = arrays["rows"], arrays["logits"]
    fits = logits.shape[1:] == (len(rows), LOGITS) == arrays["plain"].shape and logits.size > 0
    rising = rows.ndim == 1 and bool((np.diff(rows) > 0).all())
    if not (fits and rising) or any(arrays[key].dtype != kind for key, kind in ARRAYS.items()):
        raise ValueError("arrays of other shapes")
    told = facts["teacher"]
    settings, accuracy = settings_from(told["settings"]), float(told["accuracy"])
    return Views(
        **arrays,
        data=str(facts["data"]),
        seed=int(facts["seed"]),
        augmentation=Augmentation(**facts["augmentation"]),
        everyone=bool(facts["everyone"]),
        teachers=(Teacher(str(told["name"]), settings, str(told["learned"]), accuracy, rows),),
    )
