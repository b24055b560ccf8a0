"""The metrics of a report, on scores (n, 7) and labels (n,): plain values, rounded to four places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.labels import EMOTIONS
from mien.see.picture import Floats

BINS = 15  # of the calibration error (Guo et al. 2017, arXiv:1706.04599)
DRAWS = 2000  # bootstrap samples
SMALLEST = np.finfo(float).eps  # probability of a label: one certain error does not make the loss infinite

Flags = NDArray[np.bool_]
Codes = NDArray[np.integer[Any]]


def measures(scores: Floats, labels: Codes) -> dict[str, Any]:
    """Accuracy with its 95 % interval, macro-F1, recall and precision of each class, NLL, calibration, coverage."""
    guesses = scores.argmax(1)
    confusion = np.zeros((len(EMOTIONS), len(EMOTIONS)), int)
    np.add.at(confusion, (labels, guesses), 1)
    hits, labelled, guessed = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    recall, precision = hits / labelled.clip(1), hits / guessed.clip(1)  # 0 for a class that does not occur
    f1 = 2 * hits / (labelled + guessed).clip(1)
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
    """The measures by which heads are compared, and a head with itself before calibration."""
    return {key: found[key] for key in ("accuracy", "macro_f1", "recall", "nll", "ece")}


def calibration(scores: Floats, labels: Codes) -> dict[str, float]:
    """Negative log-likelihood, and the expected calibration error in `BINS` bins of equal width."""
    bins = reliability(scores, labels)
    error = sum(row["images"] * abs(row["accuracy"] - row["confidence"]) for row in bins) / len(labels)
    likelihoods = scores.astype(np.float64)
    likelihoods = likelihoods[np.arange(len(labels)), labels] / likelihoods.sum(1)
    return {"nll": rounded(-np.log(likelihoods.clip(SMALLEST)).mean()), "ece": rounded(error)}


def uncalibrated(scores: Floats, temperature: float, shifts: list[float]) -> Floats:
    """The probabilities (n, 7) of the network's own logits, before they were divided and shifted."""
    logits = (np.log(scores.clip(1e-12)) - np.array(shifts[: scores.shape[1]])) * temperature
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def reliability(scores: Floats, labels: Codes) -> list[dict[str, Any]]:
    """For each bin of confidence that holds images: their number, mean confidence and accuracy."""
    sure, right = scores.max(1), scores.argmax(1) == labels
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    return [
        {"images": int(here.sum()), "confidence": rounded(sure[here].mean()), "accuracy": share(right[here])}
        for here in (places == place for place in range(BINS))
        if here.any()
    ]


def coverage(scores: Floats, labels: Codes) -> list[dict[str, float]]:
    """Risk against coverage: the share of errors among the most confident 10 %, 20 %, … 100 %."""
    right = (scores.argmax(1) == labels)[np.argsort(-scores.max(1), kind="stable")]
    firsts = [max(1, round(len(right) * tenth / 10)) for tenth in range(1, 11)]
    return [
        {"coverage": tenth / 10, "risk": rounded(1 - right[:first].mean())} for tenth, first in enumerate(firsts, 1)
    ]


def spread(scores: Sequence[Floats], labels: Codes) -> dict[str, Any]:
    """The accuracies of several models, their mean and their standard deviation (that of a sample)."""
    accuracies = [share(each.argmax(1) == labels) for each in scores]
    deviation = rounded(float(np.std(accuracies, ddof=1)))
    return {"accuracies": accuracies, "mean": rounded(float(np.mean(accuracies))), "deviation": deviation}


def interval(right: Flags) -> list[float]:
    """The 95 % bootstrap interval of an accuracy, seeded."""
    draws = np.random.default_rng(0).binomial(len(right), right.mean(), DRAWS) / len(right)  # resampling 0s and 1s
    return [rounded(bound) for bound in np.quantile(draws, (0.025, 0.975))]


def share(right: Flags) -> float:
    """The share of true values, to four places."""
    return rounded(right.mean())


def rounded(value: float) -> float:
    """A number for the report: four places, which on 3,589 images is finer than one image."""
    return round(float(value), 4)
