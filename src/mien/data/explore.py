"""Look at prepared data: class counts, sample images, mean faces, and how far FER+'s voters share FER2013's labels."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.data.fer2013 import PRIVATE, Bytes
from mien.data.prepare import SPLITS, Split, load
from mien.errors import MissingExtra, OutputError
from mien.files import WholeFile, check_folder, explained
from mien.labels import EMOTIONS, FERPLUS, FERPLUS_COLUMNS

SAMPLES = 12  # of each emotion on the sheet
WORTH_NAMING = 0.05  # the share of votes from which on the table names what voters saw instead

Floats = NDArray[np.float64]


class Table(NamedTuple):
    """What the terminal shows: a title, a word for each column, and rows of numbers and words."""

    title: str
    header: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True, eq=False, slots=True)
class Noise:
    """What ten voters saw in the images of each official label; every array has a row for each of `EMOTIONS`.

    `images` (7,) counts them. Of these, `agreed` (7,) is the share in which no choice has more votes than the label,
    and `unseen` (7,) the share in which the label has none. `votes` (7, 10) is the mean share of each choice in
    `FERPLUS` order.
    """

    images: NDArray[np.int64]
    agreed: Floats
    unseen: Floats
    votes: Floats


def explore(processed: Path, out: Path) -> list[Table]:
    """Draw what the folder `processed` holds into the folder `out`, and return the figures to be shown.

    Writes class_distribution.png, sample_images.png and mean_faces.png, and where the data has FER+ votes
    label_noise.png and label_noise.csv. Raises DataError, OutputError, and MissingExtra where matplotlib is missing.
    """
    try:
        from mien.data import plots
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith("matplotlib"):
            raise
        raise MissingExtra("drawing needs matplotlib: pip install 'mien[plot]'") from None
    _check_place(out)
    splits = {name: load(processed, name) for name in SPLITS}
    counts = {name: np.bincount(split.labels, minlength=len(EMOTIONS)) for name, split in splits.items()}
    train = splits["train"]
    files = {
        "class_distribution.png": plots.class_distribution(counts),
        "sample_images.png": plots.sample_images(samples(train, SAMPLES, seed=0)),
        "mean_faces.png": plots.mean_faces(mean_faces(train)),
    }
    tables = [count_table(counts)]
    if (judged := _judged(splits["test"])) is not None:
        name, labels, votes = judged
        noise = label_noise(labels, votes)
        files |= {"label_noise.png": plots.label_noise(noise.votes, name), "label_noise.csv": noise_csv(noise)}
        tables.append(noise_table(noise, name))
    _write(files, out)
    return tables


def samples(split: Split, number: int, seed: int) -> list[Bytes]:
    """Up to `number` images of each emotion (number, 48, 48), drawn at random, none twice."""
    rng = np.random.default_rng(seed)
    rows = [rng.permutation(np.flatnonzero(split.labels == code))[:number] for code in range(len(EMOTIONS))]
    return [split.images[chosen] for chosen in rows]


def mean_faces(split: Split) -> Floats:
    """The mean image of each emotion (7, 48, 48) in [0, 255]; that of all where an emotion has none."""
    images = [split.images[split.labels == code] for code in range(len(EMOTIONS))]
    return np.stack([(chosen if len(chosen) else split.images).mean(0) for chosen in images])


def label_noise(labels: Bytes, votes: Bytes) -> Noise:
    """Compare the official labels (n,) with the FER+ votes (n, 10)."""
    shares = votes / votes.sum(1, keepdims=True).clip(1)
    own = shares[np.arange(len(labels)), np.array(FERPLUS_COLUMNS)[labels]]
    groups = [labels == code for code in range(len(EMOTIONS))]

    def each(values: NDArray[Any]) -> Floats:
        """The mean of `values` over the images of each label, zero for a label that has none."""
        return np.stack([values[group].sum(0) / max(group.sum(), 1) for group in groups])

    images = np.array([group.sum() for group in groups])
    return Noise(images, each((own == shares.max(1)) & (own > 0)), each(own == 0), each(shares))


def count_table(counts: dict[str, NDArray[Any]]) -> Table:
    """Images of each emotion in each split."""
    rows = [[emotion, *(int(count[code]) for count in counts.values())] for code, emotion in enumerate(EMOTIONS)]
    return Table("Images", ["emotion", *counts], [*rows, ["all", *(int(count.sum()) for count in counts.values())]])


def noise_table(noise: Noise, name: str) -> Table:
    """For each label: how often the voters agree, how often none does, and what they saw instead."""
    rows = [
        [
            emotion,
            int(noise.images[code]),
            percent(noise.agreed[code]),
            percent(noise.unseen[code]),
            _instead(noise, code),
        ]
        for code, emotion in enumerate(EMOTIONS)
    ]
    total = [int(noise.images.sum()), *(percent(_over_all(noise, share)) for share in (noise.agreed, noise.unseen))]
    header = ["FER2013's label", "images", "most votes", "no vote", "what voters saw instead"]
    return Table(f"Labels of {name} and the ten votes of FER+", header, [*rows, ["all", *total, ""]])


def noise_csv(noise: Noise) -> bytes:
    """The whole of `noise` as CSV: a row for each label, shares to four places."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["label", "images", "most_votes", "no_vote", *FERPLUS])
    for code, emotion in enumerate(EMOTIONS):
        shares = (noise.agreed[code], noise.unseen[code], *noise.votes[code])
        table.writerow([emotion, noise.images[code], *(f"{share:.4f}" for share in shares)])
    return text.getvalue().encode()


def percent(share: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def _judged(test: Split) -> tuple[str, Bytes, Bytes] | None:
    """Name, labels and votes of the test images, none of which was dropped: PrivateTest where it is told apart."""
    if test.votes is None:
        return None
    private = np.zeros(len(test.labels), bool) if test.usage is None else test.usage == PRIVATE
    if not private.any():
        return "test", test.labels, test.votes
    return "PrivateTest", test.labels[private], test.votes[private]


def _instead(noise: Noise, code: int) -> str:
    """The choices other than the label that drew the most votes, at most three."""
    shares = {name: share for name, share in zip(FERPLUS, noise.votes[code], strict=True) if share >= WORTH_NAMING}
    shares.pop(FERPLUS[FERPLUS_COLUMNS[code]], None)
    return ", ".join(f"{name} {percent(shares[name])}" for name in sorted(shares, key=lambda name: -shares[name])[:3])


def _over_all(noise: Noise, shares: Floats) -> float:
    return float(shares @ noise.images / max(noise.images.sum(), 1))


def _check_place(out: Path) -> None:
    """Raise OutputError, before anything is drawn, when no pictures can be written to the folder `out`."""
    with explained(out):
        if out.exists() and not out.is_dir():
            raise OutputError(f"cannot write to {out}: it is not a folder; use another name")
        check_folder(out if out.exists() else out.parent)


def _write(files: dict[str, bytes], out: Path) -> None:
    """Write each file whole to the folder `out`, which is made where it is missing."""
    with explained(out):
        out.mkdir(exist_ok=True)
    for name, data in files.items():
        with WholeFile(out / name) as file:
            file.write(data)
