"""The metrics are those that the books define, on scores whose metrics are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.measure.metrics import calibration, coverage, interval, measures, reliability, uncalibrated
from mien.see.picture import Floats

LABELS = np.arange(70) % 7


def confident(guesses: np.ndarray, confidence: float) -> Floats:
    """Scores that give `guesses` (n,) the same confidence and share the rest among the other emotions."""
    scores = np.full((len(guesses), 7), (1 - confidence) / 6, np.float32)
    scores[np.arange(len(guesses)), guesses] = confidence
    return scores


def softmax(logits: np.ndarray) -> Floats:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True), np.float32)


def test_who_is_always_right_gets_full_marks() -> None:
    marks = measures(confident(LABELS, 1.0), LABELS)
    assert (marks["images"], marks["accuracy"], marks["macro_f1"]) == (70, 1.0, 1.0)
    assert marks["interval"] == [1.0, 1.0]
    assert (marks["nll"], marks["ece"]) == (0.0, 0.0)
    assert set(marks["recall"].values()) == set(marks["precision"].values()) == {1.0}
    assert marks["confusion"] == (np.eye(7, dtype=int) * 10).tolist()


def test_recall_goes_by_label_and_precision_by_guess() -> None:
    guesses = LABELS.copy()
    guesses[LABELS == 0] = 1  # every angry face is called disgust
    marks = measures(confident(guesses, 0.9), LABELS)
    assert (marks["recall"]["angry"], marks["recall"]["disgust"]) == (0.0, 1.0)
    assert (marks["precision"]["angry"], marks["precision"]["disgust"]) == (0.0, 0.5)
    assert marks["accuracy"] == pytest.approx(6 / 7, abs=1e-4)
    assert marks["macro_f1"] == pytest.approx((0 + 2 / 3 + 5) / 7, abs=1e-4)
    assert marks["confusion"][0][1] == 10  # rows are labels
    assert marks["confusion"][1][0] == 0


def test_the_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    guesses = LABELS.copy()
    guesses[:21] = (guesses[:21] + 1) % 7  # 70 % are right, and every answer is 90 % sure
    found = calibration(confident(guesses, 0.9), LABELS)
    assert found["ece"] == pytest.approx(0.2, abs=1e-4)
    assert found["nll"] == pytest.approx(-0.7 * np.log(0.9) - 0.3 * np.log(0.1 / 6), abs=1e-4)
    assert calibration(confident(LABELS, 1 / 7 + 1e-6), LABELS)["nll"] == pytest.approx(np.log(7), abs=1e-4)


def test_gaps_of_bins_add_up_and_do_not_cancel_out() -> None:
    scores = np.concatenate([confident(LABELS[:35], 0.6), confident((LABELS[35:] + 1) % 7, 0.4)])
    rows = reliability(scores, LABELS)
    assert [(row["images"], row["confidence"], row["accuracy"]) for row in rows] == [(35, 0.4, 0.0), (35, 0.6, 1.0)]
    assert calibration(scores, LABELS)["ece"] == pytest.approx(0.4, abs=1e-4)


@pytest.mark.parametrize(("images", "accuracy"), [(100, 0.5), (3589, 0.7), (7178, 0.66)])
def test_the_interval_is_that_of_the_binomial_distribution(images: int, accuracy: float) -> None:
    right = np.arange(images) < round(accuracy * images)
    low, high = interval(right)
    half = 1.96 * np.sqrt(accuracy * (1 - accuracy) / images)
    assert low == pytest.approx(accuracy - half, abs=0.1 * half)
    assert high == pytest.approx(accuracy + half, abs=0.1 * half)
    assert interval(right) == [low, high]


@given(seed=st.integers(0, 2**32 - 1), temperature=st.floats(0.5, 3))
@settings(max_examples=20, deadline=None)
def test_what_calibration_did_can_be_undone(seed: int, temperature: float) -> None:
    rng = np.random.default_rng(seed)
    logits, shifts = rng.normal(size=(20, 7)) * 2, rng.normal(size=8)  # the eighth is contempt's
    scores = softmax(logits / temperature + shifts[:7])
    assert np.allclose(uncalibrated(scores, temperature, shifts.tolist()), softmax(logits), atol=1e-4)


def test_risk_falls_where_confidence_says_what_is_right() -> None:
    guesses = LABELS.copy()
    guesses[35:] = (guesses[35:] + 1) % 7
    scores = np.concatenate([confident(guesses[:35], 0.9), confident(guesses[35:], 0.5)])
    risks = {row["coverage"]: row["risk"] for row in coverage(scores, LABELS)}
    assert risks[0.1] == risks[0.5] == 0
    assert risks[1.0] == 0.5
    assert list(risks.values()) == sorted(risks.values())


def test_a_class_that_does_not_occur_counts_as_zero_and_the_mean_is_over_all_seven() -> None:
    labels = np.zeros(10, int)
    marks = measures(confident(labels, 0.9), labels)
    assert marks["recall"]["angry"] == marks["precision"]["angry"] == 1.0
    assert marks["recall"]["happy"] == marks["precision"]["happy"] == 0.0
    assert marks["macro_f1"] == pytest.approx(1 / 7, abs=1e-4)


def test_one_certain_error_does_not_make_the_likelihood_infinite() -> None:
    assert 36 < calibration(confident(np.array([1]), 1.0), np.array([0]))["nll"] < 37
