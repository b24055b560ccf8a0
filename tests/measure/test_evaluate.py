"""The measures of the report are those that the books define, on scores whose measures are known beforehand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.fer2013 import PRIVATE, PUBLIC, TEST
from mien.data.prepare import Split
from mien.errors import DataError, ModelError
from mien.labels import EMOTIONS
from mien.learn.checkpoint import WEIGHTS, Machine, load_checkpoint
from mien.learn.export import export
from mien.learn.folds import public
from mien.learn.train import train
from mien.learn.trained import load_trained
from mien.measure.corruptions import CORRUPTIONS
from mien.measure.evaluate import (
    calibration,
    coverage,
    evaluate,
    ferplus,
    interval,
    measures,
    reliability,
    subsets_of,
    uncalibrated,
)
from mien.measure.report import table, write
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
    chance = np.random.default_rng(seed)
    logits, shifts = chance.normal(size=(20, 7)) * 2, chance.normal(size=8)  # the eighth is contempt's
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


def test_numbers_are_on_public_private_both_and_private_without_twins(voted: dict[str, Split]) -> None:
    rows = subsets_of(voted["test"])
    assert {name: int(flags.sum()) for name, flags in rows.items()} == {
        "PublicTest": 28,
        "PrivateTest": 28,
        "merged": 56,
        "PrivateTest without twins in Training": 26,
    }


def test_where_public_and_private_are_not_told_apart_there_is_the_merged_number_only(voted: dict[str, Split]) -> None:
    test = replace(voted["test"], usage=np.full(56, TEST, np.uint8))
    assert list(subsets_of(test)) == ["merged"]
    with pytest.raises(DataError, match="does not say which rows are Public"):
        subsets_of(replace(test, usage=None))


def test_while_something_is_chosen_a_report_can_be_of_public_test_alone(
    run: Path, voted: dict[str, Split], tmp_path: Path
) -> None:
    export(run, tmp_path / "emotion.onnx")
    alone = evaluate(public(voted["test"]), tmp_path / "emotion.onnx")
    both = evaluate(voted["test"], tmp_path / "emotion.onnx")
    assert alone["official"] == {"PublicTest": both["official"]["PublicTest"]}
    assert alone["heads"] == both["heads"]
    text = table(alone)
    assert "PrivateTest |" not in text.replace("| PublicTest | PrivateTest |", "")
    assert "merged" not in text


def test_a_model_that_gives_no_numbers_is_refused(run: Path, voted: dict[str, Split], tmp_path: Path) -> None:
    export(run, tmp_path / "emotion.onnx")
    graph = onnx.load(tmp_path / "emotion.onnx")
    for array in graph.graph.initializer:
        if array.data_type == onnx.TensorProto.FLOAT:
            values = onnx.numpy_helper.to_array(array)
            array.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), array.name))
    onnx.save(graph, tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="scores that are no numbers"):
        evaluate(voted["test"], tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="weights that are no numbers"):
        load_trained(tmp_path / "none.onnx")


def test_ferplus_counts_only_faces_on_which_most_voters_agreed(voted: dict[str, Split]) -> None:
    test = voted["test"]
    assert test.votes is not None
    votes = test.votes.copy()
    votes[::2] //= 2  # four votes of ten are no majority
    found = ferplus(confident(test.labels, 0.9), replace(test, votes=votes), subsets_of(test))
    assert {name: row["images"] for name, row in found.items()} == {"PublicTest": 14, "PrivateTest": 14}
    assert all(row["accuracy"] == 1.0 for row in found.values())


def test_the_report_of_an_exported_file_is_written_and_its_table_says_the_same(
    run: Path, voted: dict[str, Split], tmp_path: Path
) -> None:
    export(run, tmp_path / "emotion.onnx")
    out = tmp_path / "report"
    out.mkdir()
    report = evaluate(voted["test"], str(tmp_path / "emotion.onnx"))
    write(report, out)
    assert {path.name for path in out.iterdir()} == {
        "report.json",
        "table.md",
        "confusion_matrix.png",
        "reliability.png",
    }
    assert json.loads((out / "report.json").read_text()) == report
    assert report["official"]["merged"]["accuracy"] > 0.5  # the network has learned what is easy
    assert set(report["ferplus"]) >= {"official", "ferplus"}
    assert report["speed"]["ms_per_face"] > 0
    text = (out / "table.md").read_text()
    assert text == table(report)
    for name, row in report["official"].items():
        assert f"| {name} | {row['images']} | **{100 * row['accuracy']:.1f} %** |" in text
    assert f"| on PrivateTest | {' | '.join(EMOTIONS)} |" in text


def test_the_report_has_the_accuracy_of_the_mean_with_the_mirror_image(
    run: Path, voted: dict[str, Split], tmp_path: Path
) -> None:
    export(run, tmp_path / "emotion.onnx")
    model = str(tmp_path / "emotion.onnx")
    once, twice = evaluate(voted["test"], model), evaluate(voted["test"], model, flip=True)
    assert once["mirrored"] == {name: row["accuracy"] for name, row in twice["official"].items()}
    assert f"{100 * once['mirrored']['PrivateTest']:.1f} % on PrivateTest" in table(once)


def test_models_of_several_seeds_give_mean_and_deviation(run: Path, voted: dict[str, Split], tmp_path: Path) -> None:
    recipe = replace(load_trained(run).settings, epochs=1)
    for seed in range(3):
        train(voted, tmp_path / str(seed), replace(recipe, seed=seed), machine=Machine())
        export(tmp_path / str(seed), tmp_path / f"{seed}.onnx")
    models = [tmp_path / f"{seed}.onnx" for seed in range(3)]
    report = evaluate(voted["test"], models[0], seeds=models[1:])
    accuracies = [evaluate(voted["test"], model)["official"]["merged"]["accuracy"] for model in models]
    found = report["seeds"]["merged"]
    assert found["accuracies"] == accuracies
    assert found["mean"] == pytest.approx(sum(accuracies) / 3, abs=1e-4)
    assert found["deviation"] == pytest.approx(float(np.std(accuracies, ddof=1)), abs=1e-4)
    assert f"over 3 seeds: {100 * report['seeds']['PublicTest']['mean']:.1f} ±" in table(report)


def test_seeds_are_of_one_recipe(run: Path, voted: dict[str, Split], tmp_path: Path) -> None:
    export(run, tmp_path / "one.onnx")
    with pytest.raises(ModelError, match=r"was not trained as .*one\.onnx was"):
        evaluate(voted["test"], tmp_path / "one.onnx", seeds=["m"])
    with pytest.raises(ModelError, match="the same seed"):
        evaluate(voted["test"], tmp_path / "one.onnx", seeds=[tmp_path / "one.onnx"])


@pytest.mark.parametrize("flip", [False, True])
def test_before_calibration_is_what_the_network_itself_says(
    run: Path, voted: dict[str, Split], tmp_path: Path, flip: bool
) -> None:
    saved = load_checkpoint(run / WEIGHTS)
    del saved["calibration"]
    (tmp_path / "run").mkdir()
    torch.save(saved, tmp_path / "run" / WEIGHTS)
    export(run, tmp_path / "fitted.onnx")
    export(tmp_path / "run", tmp_path / "plain.onnx")
    fitted, plain = (evaluate(voted["test"], tmp_path / f"{name}.onnx", flip=flip) for name in ("fitted", "plain"))
    for name, row in fitted["official"].items():
        for key, value in row["before calibration"].items():
            assert value == pytest.approx(plain["official"][name][key], abs=2e-3)
        assert row["nll"] != row["before calibration"]["nll"]


def test_harm_is_measured_under_each_corruption(run: Path, voted: dict[str, Split], tmp_path: Path) -> None:
    export(run, tmp_path / "emotion.onnx")
    found = evaluate(voted["test"], tmp_path / "emotion.onnx", harm=True)
    under = found["robustness"]["accuracy"]
    assert set(under) == set(CORRUPTIONS)
    assert found["robustness"]["mean"] == pytest.approx(np.mean(list(under.values())), abs=1e-4)
    assert f"| box jitter | {100 * under['box jitter'][0]:.1f} |" in table(found)


def test_a_calibration_that_cannot_be_read_is_one_line(run: Path, voted: dict[str, Split], tmp_path: Path) -> None:
    export(run, tmp_path / "emotion.onnx")
    for broken in ("7", '{"official": 3}', '{"official": {"temperature": 1}}'):
        model = onnx.load(tmp_path / "emotion.onnx")
        kept = {fact.key: fact.value for fact in model.metadata_props} | {"calibration": broken}
        del model.metadata_props[:]
        for key, value in kept.items():
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, tmp_path / "broken.onnx")
        with pytest.raises(ModelError, match=r"of its calibration|holds no calibration"):
            evaluate(voted["test"], tmp_path / "broken.onnx")


def test_public_and_private_are_measured_apart(run: Path, voted: dict[str, Split], tmp_path: Path) -> None:
    export(run, tmp_path / "emotion.onnx")
    test = voted["test"]
    assert test.usage is not None
    labels = np.where(test.usage == PUBLIC, (test.labels + 1) % 7, test.labels).astype(np.uint8)
    official = evaluate(replace(test, labels=labels), str(tmp_path / "emotion.onnx"))["official"]
    assert official["PublicTest"]["accuracy"] < 0.3 < 0.5 < official["PrivateTest"]["accuracy"]
    assert official["PrivateTest"]["images"] == (test.usage == PRIVATE).sum()
