"""How good an ensemble of teachers is: out of fold, on PublicTest and, only when asked, on PrivateTest.

    python scripts/measure_teachers.py [RUN ...] [--views training/views] [--data processed] [--private]

Out of fold each teacher counts on the images that it did not learn from: those in its file of views or, of a run, those
that it held out. The test sets need the runs themselves. Every number is the accuracy of the official head, each face
averaged with its mirror image; an ensemble is the mean of its members' probabilities. A run that is not done is left
out, and so is PublicTest where the data have no test images. Prints a line for each set and writes all to --out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import Split, load
from mien.errors import MienError
from mien.files import WholeFile, check_output
from mien.learn.checkpoint import HELD_OUT
from mien.learn.distil import flip_tta
from mien.learn.folds import all_training
from mien.learn.model import OFFICIAL
from mien.learn.trained import load_trained
from mien.learn.views import STEP, check_views, read_views

Predicted = tuple[str, np.ndarray, np.ndarray]
"""A teacher's name, the rows (n,) of the images that it predicted, and its probabilities (n, 7)."""


def from_views(folder: Path, training: Split) -> Iterator[Predicted]:
    """What each file of views in a folder holds of the images without augmentation."""
    check_views(read_views(folder), training)
    for file in sorted(folder.glob("*.npz")):
        views = read_views(file)
        [teacher], scores = views.teachers, softmax(views.plain * -STEP)
        found = accuracy(scores, training.labels[np.searchsorted(training.rows, views.rows)])
        if abs(found - teacher.accuracy) > 1e-3:
            raise SystemExit(f"{file} gives an accuracy of {teacher.accuracy:.4f}, with these labels it is {found:.4f}")
        yield teacher.name, views.rows, scores


def from_runs(runs: list[Path]) -> Iterator[Predicted]:
    """What each run predicted of the images that it held out."""
    for run in runs:
        try:
            with np.load(run / HELD_OUT) as file:
                yield run.name, file["rows"], softmax(file["logits"])
        except (OSError, ValueError, KeyError, BadZipFile):
            raise SystemExit(f"{run / HELD_OUT} is damaged: remove it and train with --resume") from None


def out_of_fold(teachers: list[Predicted], training: Split) -> dict[str, Any]:
    """Accuracy of each teacher on what it did not learn from, and of the mean of those that did not, image by image."""
    total, members = np.zeros((len(training.rows), OFFICIAL)), {}
    for name, rows, scores in teachers:
        places = np.searchsorted(training.rows, rows)
        members[name] = accuracy(scores, training.labels[places])
        total[places] += scores
    judged = total.any(1)
    ensemble = accuracy(total[judged], training.labels[judged])
    return {"images": int(judged.sum()), "members": members, "ensemble": ensemble}


def on_test(runs: list[Path], usage: int, data: Path, device: torch.device) -> dict[str, Any]:
    """Accuracy of each member, and of all together, on the test images of one usage."""
    test = load(data, "test")
    if test.usage is None:
        raise SystemExit(f"{data} does not say which test images are Public: prepare it from the CSV")
    rows = torch.from_numpy(np.flatnonzero(test.usage == usage)).to(device)
    images, labels = torch.from_numpy(test.images).to(device), test.labels[test.usage == usage]
    members, total = {}, np.zeros((len(labels), OFFICIAL))
    for run in runs:
        scores = softmax(flip_tta(load_trained(run).net.to(device), images, rows).cpu().numpy())
        members[run.name] = accuracy(scores, labels)
        total += scores
    return {"images": len(labels), "members": members, "ensemble": accuracy(total, labels)}


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, 7) probabilities of the official head."""
    official = logits[:, :OFFICIAL].astype(np.float64)
    powers = np.exp(official - official.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """The share of right answers, to four places."""
    return round(float((scores.argmax(1) == labels).mean()), 4)


def main() -> None:
    """Measure what is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="*", help="folders of runs, as long as they exist")
    parser.add_argument("--views", type=Path, help="the folder of the teachers' views")
    parser.add_argument("--data", type=Path, default=Path("processed"))
    parser.add_argument("--private", action="store_true", help="also on PrivateTest: once, when all is chosen")
    parser.add_argument("--out", type=Path, default=Path("teachers.json"))
    asked = parser.parse_args()
    done = [run for run in asked.runs if (run / HELD_OUT).exists()]
    for run in asked.runs:
        if run not in done:
            print(f"{run} is not done and not counted")
    if not (done or asked.views):
        raise SystemExit("no teacher is done: train on, or name a folder of --views")
    training = all_training({name: load(asked.data, name) for name in ("train", "val")})
    check_output(asked.out)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teachers = list(from_views(asked.views, training) if asked.views else from_runs(done))
    table = {"out of fold": out_of_fold(teachers, training)}
    if done and (asked.private or (asked.data / "test_images.npy").exists()):
        table["PublicTest"] = on_test(done, PUBLIC, asked.data, place)
    if done and asked.private:
        table["PrivateTest"] = on_test(done, PRIVATE, asked.data, place)
    for name, row in table.items():
        members = ", ".join(f"{member} {value:.4f}" for member, value in row["members"].items())
        print(f"{name}: {members}; ensemble {row['ensemble']:.4f} on {row['images']:,} images")
    with WholeFile(asked.out) as report:
        report.write(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except MienError as error:
        raise SystemExit(str(error)) from None
