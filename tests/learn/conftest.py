"""Made-up faces that a network learns in seconds, and a run that has learned them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import Split
from mien.data.subsets import take
from mien.labels import FERPLUS, FERPLUS_COLUMNS
from mien.learn.distil import predict_views
from mien.learn.machine import Machine
from mien.learn.model import OFFICIAL
from mien.learn.settings import Augmentation, Settings, members_of
from mien.learn.train import train
from mien.learn.views import Views

torch.set_num_threads(1)

QUICK = Settings(
    network="plain-s",
    epochs=3,
    batch=7,
    warmup=0.5,
    dropout=0.0,
    smoothing=0.0,
    oversample=0.0,
    ema=0.8,
    augmentation=Augmentation(rotation=5, zoom=0.05, shift=0.02),
)


TINY = Settings(
    network="plain-s", epochs=2, batch=16, optimiser="sgd", learning_rate=0.01, votes=0.5, patience=0, oversample=0.0
)
CHANGED = Augmentation(light=0.2, erase=0.2, degrade=0.1)


def striped(count: int, seed: int, votes: bool = False) -> Split:
    """Noise with a bright stripe whose height tells the emotion, which neither small turns nor a mirror change."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % 7).astype(np.uint8)
    images = rng.integers(0, 120, (count, 48, 48))
    for image, label in zip(images, labels, strict=True):
        image[6 * label + 2 : 6 * label + 10] += 110
    ballots = np.zeros((count, len(FERPLUS)), np.uint8)
    ballots[np.arange(count), np.array(FERPLUS_COLUMNS)[labels]] = 8
    ballots[:, FERPLUS.index("contempt")] = 1
    ballots[:, FERPLUS.index("NF")] = 1
    rows = np.arange(count, dtype=np.int32) + 1000 * seed
    return Split(images.astype(np.uint8), labels, rows, votes=ballots if votes else None)


@pytest.fixture(scope="session")
def quick() -> Settings:
    return QUICK


@pytest.fixture(scope="session")
def faces() -> Callable[..., Split]:
    return striped


@pytest.fixture(scope="session")
def data() -> dict[str, Split]:
    return {"train": striped(70, seed=1), "val": striped(35, seed=2)}


@pytest.fixture(scope="session")
def voted() -> dict[str, Split]:
    test = striped(56, seed=3, votes=True)
    usage = np.repeat(np.array([PUBLIC, PRIVATE], np.uint8), 28)
    test = replace(test, usage=usage, twin=np.arange(56) % 14 == 0)
    return {"train": striped(70, seed=1, votes=True), "val": striped(35, seed=2, votes=True), "test": test}


@pytest.fixture(scope="session")
def written() -> Callable[[dict[str, Split], Path], Path]:
    """Writes splits as `mien data prepare` does."""

    def write(splits: dict[str, Split], folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        for name, split in splits.items():
            arrays = {field.name: getattr(split, field.name) for field in fields(split)}
            for key, array in arrays.items():
                if array is not None:
                    np.save(folder / f"{name}_{key}.npy", array)
        return folder

    return write


@pytest.fixture(scope="session")
def run(voted: dict[str, Split], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with both heads and every kind of augmentation."""
    out = tmp_path_factory.mktemp("learn") / "run"
    how = replace(QUICK.augmentation, light=0.1, erase=0.1, degrade=0.1)
    train(voted, out, replace(QUICK, votes=0.5, mixup=0.2, augmentation=how), machine=Machine())
    return out


# --- Teachers and their views: on noise, which nothing can be learned from -------------------------------------------


@pytest.fixture(scope="session")
def tiny() -> Settings:
    return TINY


@pytest.fixture(scope="session")
def changed() -> Augmentation:
    return CHANGED


def random_faces(images: int, first_row: int) -> Split:
    """Noise of each class in turn, with votes."""
    rng = np.random.default_rng(first_row)
    return Split(
        images=rng.integers(0, 256, (images, 48, 48), np.uint8),
        labels=(np.arange(images) % OFFICIAL).astype(np.uint8),
        rows=np.arange(first_row, first_row + images, dtype=np.int32),
        votes=rng.integers(0, 4, (images, 10), np.uint8),
    )


@pytest.fixture(scope="session")
def noise() -> dict[str, Split]:
    """Train and val interleave in the source, as `prepare` leaves them."""
    together, test = random_faces(70, 0), random_faces(14, 70)
    in_val = np.arange(70) % 5 == 0
    test = replace(test, usage=np.where(np.arange(14) % 2, PUBLIC, PRIVATE).astype(np.uint8))
    return {"train": take(together, ~in_val), "val": take(together, in_val), "test": test}


@pytest.fixture(scope="session")
def teachers(noise: dict[str, Split], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two members that held out the folds 0 and 1."""
    place = tmp_path_factory.mktemp("teachers")
    members = members_of(TINY, "plain-s:0,plain-s:1")
    for name, settings in members.items():
        train(noise, place / name, settings, machine=Machine())
    return [place / name for name in members]


@pytest.fixture(scope="session")
def views(noise: dict[str, Split], teachers: list[Path]) -> list[Views]:
    """Two views by each of the two teachers."""
    return predict_views(noise, teachers, CHANGED, machine=Machine(), count=2)
