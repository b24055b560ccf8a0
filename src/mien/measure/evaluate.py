"""Measure the ONNX file that ships through the classifier that users run; nothing is chosen here, and no torch."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import Split
from mien.errors import DataError, ModelError, TrainingError
from mien.labels import EMOTIONS, FERPLUS_COLUMNS
from mien.learn.settings import Settings, settings_from
from mien.measure.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from mien.see.classify import Classifier
from mien.see.picture import Floats, Image

BINS = 15  # of the calibration error (Guo et al. 2017, arXiv:1706.04599)
DRAWS = 2000  # bootstrap samples
SMALLEST = np.finfo(float).eps  # probability of a label: one certain error does not make the loss infinite
PUBLIC_SET, PRIVATE_SET = "PublicTest", "PrivateTest"

Flags = NDArray[np.bool_]
Codes = NDArray[np.integer[Any]]


def evaluate(
    test: Split,
    model: str | Path | None = None,
    *,
    head: str | None = None,
    flip: bool = False,
    threads: int = 1,
    harm: bool = False,
    seeds: Sequence[str | Path] = (),
) -> dict[str, Any]:
    """The report on a test split: every number of the model card, as plain values; with `harm` robustness as well.

    Where the split holds PublicTest alone (`folds.public`), so does the report, for as long as something is chosen.

    `seeds` are models of the same recipe and of other seeds: the report says how far the accuracies of all lie apart.
    """
    classifier = Classifier(model, head=head, flip=flip, threads=threads)
    heads = classifier.by_head(test.images)
    scores = heads[classifier.head]
    both = scores + classifier(test.images[..., ::-1])
    subsets = subsets_of(test)
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
        try:
            before = np.mean([uncalibrated(side, **fitted) for side in sides], 0)
        except (TypeError, ValueError):
            raise ModelError(f"{classifier.path} holds no calibration that can be read: export it again") from None
        for name, rows in subsets.items():
            report["official"][name]["before calibration"] = short(measures(before[rows], test.labels[rows]))
    chosen_on = subsets[PUBLIC_SET if PUBLIC_SET in subsets else next(iter(subsets))]
    report["heads"] = {name: short(measures(heads[name][chosen_on], test.labels[chosen_on])) for name in heads}
    if test.votes is not None:
        report["ferplus"] = {name: ferplus(heads[name], test, subsets) for name in heads}
    if seeds:
        others = [other(test.images) for other in _other_seeds(classifier, seeds, threads)]
        report["seeds"] = {
            name: spread([each[rows] for each in (scores, *others)], test.labels[rows])
            for name, rows in subsets.items()
        }
    if harm:
        rows = subsets[PRIVATE_SET if PRIVATE_SET in subsets else next(iter(subsets))]
        report["robustness"] = robustness(classifier, test.images[rows], test.labels[rows])
    return report


def _fact(classifier: Classifier, key: str) -> dict[str, Any]:
    """What the model file says of its making."""
    try:
        return dict(json.loads(classifier.metadata.get(key, "{}")))
    except (TypeError, ValueError):
        raise ModelError(f"{classifier.path} says nothing readable of its {key}: write it with `mien export`") from None


def _other_seeds(first: Classifier, models: Sequence[str | Path], threads: int) -> list[Classifier]:
    """Models that were trained as the first one was, but for their seeds."""
    classifiers = [first, *(Classifier(model, head=first.head, flip=first.flip, threads=threads) for model in models)]
    made = list(map(_settings, classifiers))
    for each, settings in zip(classifiers, made, strict=True):
        if replace(settings, seed=made[0].seed) != made[0]:
            raise ModelError(f"{each.path} was not trained as {first.path} was, but for its seed: leave it out")
    if len({settings.seed for settings in made}) < len(made):
        raise ModelError(f"two of the models have the same seed as {first.path} or as each other: leave one out")
    return classifiers[1:]


def _settings(classifier: Classifier) -> Settings:
    """What the network of a model file was trained with."""
    try:
        return settings_from({"augmentation": {}, **_fact(classifier, "settings")})
    except TrainingError as error:
        raise ModelError(f"{classifier.path} cannot be compared: {error}") from None


def subsets_of(test: Split) -> dict[str, Flags]:
    """The sets of test rows that a number can be on, by name."""
    if test.usage is None or test.twin is None:
        raise DataError("the test split does not say which rows are Public: prepare the data anew")
    everything = np.ones(len(test.labels), bool)
    public, private = test.usage == PUBLIC, test.usage == PRIVATE
    named = {
        PUBLIC_SET: public,
        PRIVATE_SET: private,
        "merged": everything & (public.any() == private.any()),
        "PrivateTest without twins in Training": private & ~test.twin,
    }
    return {name: rows for name, rows in named.items() if rows.any()}


def measures(scores: Floats, labels: Codes) -> dict[str, Any]:
    """Accuracy with its 95 % interval, macro-F1, recall and precision of each class, NLL and calibration error."""
    guesses = scores.argmax(1)
    confusion = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    np.add.at(confusion, (labels, guesses), 1)
    hits, truth, guessed = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    recall, precision = hits / truth.clip(1), hits / guessed.clip(1)  # 0 for a class that never comes
    f1 = 2 * hits / (truth + guessed).clip(1)
    return {
        "images": len(labels),
        "accuracy": share(guesses == labels),
        "interval": interval(guesses == labels),
        "macro_f1": rounded(f1.mean()),
        "recall": dict(zip(EMOTIONS, map(rounded, recall), strict=True)),
        "precision": dict(zip(EMOTIONS, map(rounded, precision), strict=True)),
        **calibration(scores, labels),
        "confusion": confusion.tolist(),
        "reliability": reliability(scores, labels),
        "coverage": coverage(scores, labels),
    }


def short(found: dict[str, Any]) -> dict[str, Any]:
    """The measures by which heads are compared, and a head with what it is before calibration."""
    return {key: found[key] for key in ("accuracy", "macro_f1", "recall", "nll", "ece")}


def calibration(scores: Floats, labels: Codes) -> dict[str, float]:
    """Negative log-likelihood, and the expected calibration error in `BINS` bins of equal width."""
    bins = reliability(scores, labels)
    error = sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / len(labels)
    likelihoods = scores.astype(np.float64)
    likelihoods = likelihoods[np.arange(len(labels)), labels] / likelihoods.sum(1)
    return {"nll": rounded(-np.log(likelihoods.clip(SMALLEST)).mean()), "ece": rounded(error)}


def uncalibrated(scores: Floats, temperature: float, shifts: list[float]) -> Floats:
    """The probabilities (n, 7) as the network's own logits give them, before they are divided and shifted."""
    logits = (np.log(scores.clip(1e-12)) - np.array(shifts[: scores.shape[1]])) * temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def reliability(scores: Floats, labels: Codes) -> list[dict[str, Any]]:
    """For each bin of confidence that holds images: how many, how confident, how often right."""
    sure, right = scores.max(1), scores.argmax(1) == labels
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        {"images": int(here.sum()), "confidence": rounded(sure[here].mean()), "accuracy": share(right[here])}
        for here in (places == place for place in range(BINS))
        if here.any()
    ]


def robustness(classifier: Classifier, images: Image, labels: Codes) -> dict[str, Any]:
    """Accuracy under each corruption at five severities, and their mean relative to the accuracy on clean images."""
    clean = share(classifier(images).argmax(1) == labels)
    under = {
        name: [share(classifier(corrupted(images, name, severity)).argmax(1) == labels) for severity in SEVERITIES]
        for name in CORRUPTIONS
    }
    mean = float(np.mean(list(under.values())))
    return {
        "clean": clean,
        "mean": rounded(mean),
        "relative": rounded(mean / clean) if clean else 0.0,
        "accuracy": under,
    }


def spread(scores: Sequence[Floats], labels: Codes) -> dict[str, Any]:
    """The accuracies of several models, their mean and their standard deviation (that of a sample)."""
    accuracies = [share(each.argmax(1) == labels) for each in scores]
    deviation = rounded(float(np.std(accuracies, ddof=1)))
    return {"accuracies": accuracies, "mean": rounded(float(np.mean(accuracies))), "deviation": deviation}


def coverage(scores: Floats, labels: Codes) -> list[dict[str, float]]:
    """Risk against coverage: the share of errors among the most confident 10 %, 20 %, … 100 %."""
    right = (scores.argmax(1) == labels)[np.argsort(-scores.max(1), kind="stable")]
    firsts = [max(1, round(len(right) * tenth / 10)) for tenth in range(1, 11)]
    return [
        {"coverage": tenth / 10, "risk": rounded(1 - right[:first].mean())} for tenth, first in enumerate(firsts, 1)
    ]


def ferplus(scores: Floats, test: Split, subsets: dict[str, Flags]) -> dict[str, Any]:
    """How often the scores agree with what the ten voters of FER+ saw, where they were clear about it."""
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


def interval(right: Flags) -> list[float]:
    """The 95 % bootstrap interval of an accuracy, seeded."""
    draws = np.random.default_rng(0).binomial(len(right), right.mean(), DRAWS) / len(right)  # resampling 0s and 1s
    return [rounded(bound) for bound in np.quantile(draws, (0.025, 0.975))]


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


def share(right: Flags) -> float:
    """The share of true values, to four places."""
    return rounded(right.mean())


def rounded(value: float) -> float:
    """A number for the report: four places, which on 3,589 images is finer than one image."""
    return round(float(value), 4)
