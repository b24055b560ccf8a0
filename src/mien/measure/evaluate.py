"""Evaluate the ONNX file that ships, through the classifier that users run; nothing is chosen here."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import Split
from mien.errors import DataError, ModelError
from mien.labels import FERPLUS_COLUMNS
from mien.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from mien.measure.metrics import Codes, Flags, interval, measures, rounded, share, short, spread, uncalibrated
from mien.see.classify import Classifier
from mien.see.picture import Floats, Image

PUBLIC_SET, PRIVATE_SET = "PublicTest", "PrivateTest"

Tick = Callable[[str], None]


def evaluate(
    test: Split,
    model: str | Path | None = None,
    *,
    head: str | None = None,
    flip: bool = False,
    threads: int = 1,
    robustness: bool = False,
    seeds: Sequence[str | Path] = (),
    tick: Tick = lambda _: None,
) -> dict[str, Any]:
    """The report on a test split: every number of the model card, as plain values.

    Of a split that holds PublicTest alone (`data.subsets.public_test`) the report does so too. `model` is "s", "m" or
    an ONNX file, `head` official, ferplus or blend; with `flip` each face is averaged with its mirror image, with
    `robustness` the report has the accuracy under corruptions as well. `seeds` are models of the same recipe with other
    seeds: the report has the spread of their accuracies. `tick` is called with the name of each step as it begins.
    Raises ModelError and DataError.
    """
    classifier = Classifier(model, head=head, flip=flip, threads=threads)
    subsets = subsets_of(test)
    tick(f"{classifier.path.name}, {len(test.labels):,} images")
    heads = classifier.by_head(test.images)
    scores = heads[classifier.head]
    tick("their mirror images")
    both = scores + classifier(test.images[..., ::-1])
    tick("time for a face")
    report: dict[str, Any] = {
        "model": {
            "file": classifier.path.name,
            "sha256": hashlib.sha256(classifier.path.read_bytes()).hexdigest(),
            "head": classifier.head,
            "flip": flip,
            "settings": _fact(classifier, "settings"),
            "calibration": _fact(classifier, "calibration"),
        },
        "official": {name: measures(scores[rows], test.labels[rows]) for name, rows in subsets.items()},
        "mirrored": {name: share(both[rows].argmax(1) == test.labels[rows]) for name, rows in subsets.items()},
        "speed": speed(Classifier(model, head=head, flip=flip), test.images[:1]),
    }
    if fitted := report["model"]["calibration"].get(classifier.head):
        plain = Classifier(model, head=head, threads=threads) if flip else None
        sides = [scores] if plain is None else [plain(test.images), plain(test.images[..., ::-1])]
        before = _before_calibration(classifier, sides, fitted)
        for name, rows in subsets.items():
            report["official"][name]["before calibration"] = short(measures(before[rows], test.labels[rows]))
    chosen_on = subsets[PUBLIC_SET if PUBLIC_SET in subsets else next(iter(subsets))]
    report["heads"] = {name: short(measures(heads[name][chosen_on], test.labels[chosen_on])) for name in heads}
    if test.votes is not None:
        report["ferplus"] = {name: ferplus(heads[name], test, subsets) for name in heads}
    if seeds:
        tick(f"{len(seeds)} of other seeds")
        every = [scores, *(other(test.images) for other in _other_seeds(classifier, seeds, threads))]
        report["seeds"] = {
            name: spread([each[rows] for each in every], test.labels[rows]) for name, rows in subsets.items()
        }
    if robustness:
        rows = subsets[PRIVATE_SET if PRIVATE_SET in subsets else next(iter(subsets))]
        report["robustness"] = under_corruptions(classifier, test.images[rows], test.labels[rows], tick)
    return report


def _fact(classifier: Classifier, key: str) -> dict[str, Any]:
    """What the model file records of its training."""
    try:
        return dict(json.loads(classifier.metadata.get(key, "{}")))
    except (TypeError, ValueError):
        raise ModelError(f"{classifier.path} has damaged {key} in its metadata: export it again") from None


def _before_calibration(classifier: Classifier, sides: Sequence[Floats], fitted: dict[str, Any]) -> Floats:
    """The scores as they were before calibration; of several `sides`, a face and its mirror image, their mean."""
    try:
        return np.asarray(np.mean([uncalibrated(side, **fitted) for side in sides], 0))
    except (TypeError, ValueError):
        raise ModelError(f"{classifier.path} holds a damaged calibration: export it again") from None


def _other_seeds(first: Classifier, models: Sequence[str | Path], threads: int) -> list[Classifier]:
    """Models that were trained as the first one was, but for their seeds."""
    classifiers = [first, *(Classifier(model, head=first.head, flip=first.flip, threads=threads) for model in models)]
    settings = [_fact(classifier, "settings") for classifier in classifiers]
    for each, found in zip(classifiers, settings, strict=True):
        both = (settings[0].keys() & found.keys()) - {"seed"}  # older files lack settings of newer ones
        if not both or any(found[key] != settings[0][key] for key in both):
            raise ModelError(f"{each.path} was not trained as {first.path} was, but for its seed: leave it out")
    if len({found.get("seed") for found in settings}) < len(settings):
        raise ModelError(f"two of the models have the same seed as {first.path} or as each other: leave one out")
    return classifiers[1:]


def subsets_of(test: Split) -> dict[str, Flags]:
    """The sets of test rows that a number can be on, by name."""
    if test.usage is None or test.twin is None:
        raise DataError("the test split does not say which rows are PublicTest: prepare the data anew")
    everything = np.ones(len(test.labels), bool)
    public, private = test.usage == PUBLIC, test.usage == PRIVATE
    named = {
        PUBLIC_SET: public,
        PRIVATE_SET: private,
        "merged": everything & (public.any() == private.any()),
        "PrivateTest without twins in Training": private & ~test.twin,
    }
    return {name: rows for name, rows in named.items() if rows.any()}


def under_corruptions(classifier: Classifier, images: Image, labels: Codes, tick: Tick) -> dict[str, Any]:
    """Accuracy under each corruption at five severities, and their mean relative to the accuracy on clean images."""
    clean = share(classifier(images).argmax(1) == labels)
    accuracy = {}
    for name in CORRUPTIONS:
        tick(f"under {name}")
        changed = (corrupted(images, name, severity) for severity in SEVERITIES)
        accuracy[name] = [share(classifier(faces).argmax(1) == labels) for faces in changed]
    mean = float(np.mean(list(accuracy.values())))
    return {
        "clean": clean,
        "mean": rounded(mean),
        "relative": rounded(mean / clean) if clean else 0.0,
        "accuracy": accuracy,
    }


def ferplus(scores: Floats, test: Split, subsets: dict[str, Flags]) -> dict[str, Any]:
    """How often the scores agree with the FER+ votes, on the images where more than half of ten voters agreed."""
    assert test.votes is not None
    votes = test.votes[:, FERPLUS_COLUMNS]
    clear = votes.max(1) > 5
    found = {}
    for name in (PUBLIC_SET, PRIVATE_SET):
        rows = subsets.get(name, np.zeros(len(votes), bool)) & clear
        if rows.any():
            right = scores[rows].argmax(1) == votes[rows].argmax(1)
            found[name] = {"images": int(rows.sum()), "accuracy": share(right), "interval": interval(right)}
    return found


def speed(classifier: Classifier, face: Image) -> dict[str, Any]:
    """Milliseconds for one face (1, 48, 48) on one thread: the median of 200 runs after 20."""
    times = []
    for _ in range(220):
        began = time.perf_counter()
        classifier(face)
        times.append(time.perf_counter() - began)
    return {
        "ms_per_face": round(float(np.median(times[20:])) * 1000, 3),
        "processor": processor(),
        "onnxruntime": onnxruntime.__version__,
    }


def processor() -> str:
    """The name of this machine's processor."""
    try:
        facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        facts = []
    names = [fact.partition(":")[2].strip() for fact in facts if fact.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
