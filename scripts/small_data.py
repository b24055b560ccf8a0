"""Write a little prepared data, to try training on: a few images of a prepared folder, or noise in the same form.

python scripts/small_data.py OUT [processed]
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from mien.data.prepare import ARRAYS, load
from mien.labels import EMOTIONS, SIDE

COUNTS = {"train": 48, "val": 32, "test": 32}


def some(folder: Path, split: str, count: int) -> dict[str, np.ndarray]:
    """Images from all over a prepared split."""
    whole = load(folder, split)
    places = np.linspace(0, len(whole.labels) - 1, count).astype(int)
    columns = {key: getattr(whole, key) for key in ARRAYS}
    return {key: column[places] for key, column in columns.items() if column is not None}


def noise(split: str, count: int) -> dict[str, np.ndarray]:
    """Images of noise, with labels and votes in turn."""
    rng = np.random.default_rng(list(COUNTS).index(split))
    columns = {
        "images": rng.integers(0, 256, (count, SIDE, SIDE), np.uint8),
        "labels": (np.arange(count) % len(EMOTIONS)).astype(np.uint8),
        "rows": np.arange(count, dtype=np.int32) + 1000 * list(COUNTS).index(split),
        "votes": rng.integers(0, 5, (count, 10), np.uint8),
    }
    if split == "test":
        columns["usage"] = (np.arange(count) % 2 + 1).astype(np.uint8)
        columns["twin"] = np.zeros(count, bool)
    return columns


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    out.mkdir(parents=True)
    for name, images in COUNTS.items():
        arrays = some(Path(sys.argv[2]), name, images) if len(sys.argv) == 3 else noise(name, images)
        for key, array in arrays.items():
            np.save(out / f"{name}_{key}.npy", array)
