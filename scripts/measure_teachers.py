"""How good an ensemble of teachers is: out of fold, on PublicTest and, only when asked, on PrivateTest.

    python scripts/measure_teachers.py runs/teacher/* --data processed [--private]

Every number is of the official head, each face averaged with its mirror image; an ensemble is the mean of its
members' probabilities. A run that is not done is left out, and so is PublicTest where the data have no test images.
Prints a table, and writes it to --out as JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch

from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import load
from mien.errors import MienError
from mien.files import WholeFile, check_output
from mien.learn.checkpoint import HELD_OUT
from mien.learn.distil import flip_tta
from mien.learn.model import OFFICIAL
from mien.learn.trained import load_trained


def held_out(runs: list[Path]) -> dict[str, float]:
    """Accuracy of each member on what it did not learn from, and of the mean of those that did not, image by image."""
    found, sums, labels = {}, dict[int, np.ndarray](), dict[int, int]()
    for run in runs:
        try:
            with np.load(run / HELD_OUT) as file:
                scores, truth, rows = softmax(file["logits"]), file["labels"], file["rows"]
        except (OSError, ValueError, KeyError, BadZipFile):
            raise SystemExit(f"{run / HELD_OUT} is damaged: remove it and train with --resume") from None
        found[run.name] = float((scores.argmax(1) == truth).mean())
        for row, label, score in zip(rows.tolist(), truth.tolist(), scores, strict=True):
            sums[row] = sums.get(row, 0) + score
            labels[row] = label
    right = [int(score.argmax()) == labels[row] for row, score in sums.items()]
    return {**found, "ensemble": float(np.mean(right))}


def on_test(runs: list[Path], usage: int, data: Path, device: torch.device) -> dict[str, float]:
    """Accuracy of each member, and of all together, on the test images of one usage."""
    test = load(data, "test")
    if test.usage is None:
        raise SystemExit(f"{data} does not say which test images are Public: prepare it from the CSV")
    rows = torch.from_numpy(np.flatnonzero(test.usage == usage)).to(device)
    images, labels = torch.from_numpy(test.images).to(device), test.labels[test.usage == usage]
    found, total = {}, np.zeros((len(labels), OFFICIAL))
    for run in runs:
        scores = softmax(flip_tta(load_trained(run).net.to(device), images, rows).cpu().numpy())
        found[run.name] = float((scores.argmax(1) == labels).mean())
        total += scores
    return {**found, "ensemble": float((total.argmax(1) == labels).mean())}


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, 7) probabilities of the official head."""
    official = logits[:, :OFFICIAL].astype(np.float64)
    powers = np.exp(official - official.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def main() -> None:
    """Measure what is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, default=Path("processed"))
    parser.add_argument("--private", action="store_true", help="also on PrivateTest: once, when all is chosen")
    parser.add_argument("--out", type=Path, default=Path("teachers.json"))
    asked = parser.parse_args()
    done = [run for run in asked.runs if (run / HELD_OUT).exists()]
    for run in asked.runs:
        if run not in done:
            print(f"{run} is not done and not counted")
    if not done:
        raise SystemExit("no teacher is done: train on with scripts/train_on_gpu.sh teachers")
    load(asked.data, "train")  # what is wrong with a folder is known before anything is measured
    check_output(asked.out)
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    table = {"held out": held_out(done)}
    if asked.private or (asked.data / "test_images.npy").exists():
        table["PublicTest"] = on_test(done, PUBLIC, asked.data, place)
    if asked.private:
        table["PrivateTest"] = on_test(done, PRIVATE, asked.data, place)
    for name, row in table.items():
        print(f"{name}: " + ", ".join(f"{member} {accuracy:.4f}" for member, accuracy in row.items()))
    with WholeFile(asked.out) as report:
        report.write(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except MienError as error:
        raise SystemExit(str(error)) from None
