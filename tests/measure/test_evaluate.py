"""A report says what a model file does to the test images, set by set, and is written as files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from mien.apps.cli import main
from mien.data.fer2013 import PRIVATE, PUBLIC, TEST
from mien.data.prepare import Split
from mien.data.subsets import public_test
from mien.errors import DataError, MissingExtra, ModelError
from mien.labels import EMOTIONS
from mien.measure.corruptions import CORRUPTIONS
from mien.measure.evaluate import evaluate, ferplus, subsets_of
from mien.measure.report import table, write
from mien.see.classify import Classifier

ModelFile = Callable[..., Path]


# --- What a number is on ---------------------------------------------------------------------------------------------


def test_numbers_are_on_public_private_both_and_private_without_twins(test_split: Split) -> None:
    rows = subsets_of(test_split)
    assert {name: int(flags.sum()) for name, flags in rows.items()} == {
        "PublicTest": 28,
        "PrivateTest": 28,
        "merged": 56,
        "PrivateTest without twins in Training": 26,
    }


def test_where_public_and_private_are_not_told_apart_there_is_the_merged_number_only(test_split: Split) -> None:
    test = replace(test_split, usage=np.full(56, TEST, np.uint8))
    assert list(subsets_of(test)) == ["merged"]
    with pytest.raises(DataError, match="does not say which rows are PublicTest"):
        subsets_of(replace(test, usage=None))
    with pytest.raises(DataError, match="do not say which test images are PublicTest"):
        public_test(test)


def test_while_something_is_chosen_a_report_can_be_of_public_test_alone(test_split: Split, model: Path) -> None:
    alone, both = evaluate(public_test(test_split), model), evaluate(test_split, model)
    assert alone["official"] == {"PublicTest": both["official"]["PublicTest"]}
    assert alone["heads"] == both["heads"]
    text = table(alone)
    assert "PrivateTest |" not in text.replace("| PublicTest | PrivateTest |", "")
    assert "merged" not in text


def test_public_and_private_are_measured_apart(test_split: Split, model: Path) -> None:
    assert test_split.usage is not None
    labels = np.where(test_split.usage == PUBLIC, (test_split.labels + 1) % 7, test_split.labels).astype(np.uint8)
    official = evaluate(replace(test_split, labels=labels), model)["official"]
    assert official["PublicTest"]["accuracy"] < 0.3 < 0.5 < official["PrivateTest"]["accuracy"]
    assert official["PrivateTest"]["images"] == (test_split.usage == PRIVATE).sum()


def test_ferplus_counts_only_faces_on_which_most_voters_agreed(test_split: Split) -> None:
    assert test_split.votes is not None
    votes = test_split.votes.copy()
    votes[::2] //= 2  # four votes of ten are no majority
    scores = np.eye(7, dtype=np.float32)[test_split.labels]
    found = ferplus(scores, replace(test_split, votes=votes), subsets_of(test_split))
    assert {name: row["images"] for name, row in found.items()} == {"PublicTest": 14, "PrivateTest": 14}
    assert all(row["accuracy"] == 1.0 for row in found.values())


# --- What is measured ------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_classifier(test_split: Split, model: Path) -> None:
    report = evaluate(test_split, model)
    right = Classifier(model)(test_split.images).argmax(1) == test_split.labels
    assert 0.5 < right.mean() < 1
    assert report["official"]["merged"]["accuracy"] == pytest.approx(right.mean(), abs=1e-4)
    assert set(report["ferplus"]) == {"official", "ferplus", "blend"}
    assert report["speed"]["ms_per_face"] > 0


def test_the_report_has_the_accuracy_of_the_mean_with_the_mirror_image(test_split: Split, model: Path) -> None:
    once, twice = evaluate(test_split, model), evaluate(test_split, model, flip=True)
    assert once["mirrored"] == {name: row["accuracy"] for name, row in twice["official"].items()}
    assert f"{100 * once['mirrored']['PrivateTest']:.1f} % on PrivateTest" in table(once)


@pytest.mark.parametrize("flip", [False, True])
def test_before_calibration_is_what_the_network_itself_predicts(
    test_split: Split, model: Path, write_model: ModelFile, tmp_path: Path, flip: bool
) -> None:
    plain = evaluate(test_split, write_model(tmp_path / "plain.onnx"), flip=flip)
    for name, row in evaluate(test_split, model, flip=flip)["official"].items():
        for key, value in row["before calibration"].items():
            assert value == pytest.approx(plain["official"][name][key], abs=2e-3)
        assert row["nll"] != row["before calibration"]["nll"]


def test_models_of_several_seeds_give_mean_and_deviation(
    test_split: Split, write_model: ModelFile, tmp_path: Path
) -> None:
    models = [write_model(tmp_path / f"{seed}.onnx", seed=seed, noise=0.08) for seed in range(3)]
    report = evaluate(test_split, models[0], seeds=models[1:])
    accuracies = [evaluate(test_split, model)["official"]["merged"]["accuracy"] for model in models]
    found = report["seeds"]["merged"]
    assert found["accuracies"] == accuracies
    assert len(set(accuracies)) > 1
    assert found["mean"] == pytest.approx(sum(accuracies) / 3, abs=1e-4)
    assert found["deviation"] == pytest.approx(float(np.std(accuracies, ddof=1)), abs=1e-4)
    assert f"over 3 seeds: {100 * report['seeds']['PublicTest']['mean']:.1f} ±" in table(report)


def test_seeds_are_of_one_recipe(test_split: Split, model: Path, write_model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"was not trained as .*stripes\.onnx was"):
        evaluate(test_split, model, seeds=["m"])
    with pytest.raises(ModelError, match="the same seed"):
        evaluate(test_split, model, seeds=[model])
    older = {"network": "linear", "epochs": 1, "seed": 1, "augmentation": {"rotation": 15.0}, "sam": 0.0}
    other = write_model(tmp_path / "older.onnx", settings=json.dumps(older))  # of when there was a setting more
    assert len(evaluate(test_split, model, seeds=[other])["seeds"]["merged"]["accuracies"]) == 2


def test_accuracy_is_measured_under_each_corruption(test_split: Split, model: Path) -> None:
    steps: list[str] = []
    found = evaluate(test_split, model, robustness=True, tick=steps.append)
    under = found["robustness"]["accuracy"]
    assert set(under) == set(CORRUPTIONS)
    assert found["robustness"]["mean"] == pytest.approx(np.mean(list(under.values())), abs=1e-4)
    assert f"| box jitter | {100 * under['box jitter'][0]:.1f} |" in table(found)
    assert [step for step in steps if step.startswith("under ")] == [f"under {name}" for name in CORRUPTIONS]


# --- What is refused -------------------------------------------------------------------------------------------------


def test_a_model_whose_scores_are_nan_is_refused(test_split: Split, write_model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx gives scores"):
        evaluate(test_split, write_model(tmp_path / "none.onnx", weights=float("nan")))


@pytest.mark.parametrize("broken", ["7", '{"official": {"temperature": 1}}', '{"official": 3}'])
def test_a_damaged_calibration_is_one_line(
    test_split: Split, write_model: ModelFile, tmp_path: Path, broken: str
) -> None:
    with pytest.raises(ModelError, match=r"damaged calibration"):
        evaluate(test_split, write_model(tmp_path / "broken.onnx", calibration=broken))


# --- The files and the command ---------------------------------------------------------------------------------------


def test_the_report_is_written_and_its_table_says_the_same(test_split: Split, model: Path, tmp_path: Path) -> None:
    report = evaluate(test_split, model)
    write(report, tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {"report.json", "table.md", "confusion_matrix.png", "reliability.png"}
    assert json.loads((tmp_path / "report.json").read_text()) == report
    text = (tmp_path / "table.md").read_text()
    assert text == table(report)
    for name, row in report["official"].items():
        assert f"| {name} | {row['images']} | **{100 * row['accuracy']:.1f} %** |" in text
    assert f"| on PrivateTest | {' | '.join(EMOTIONS)} |" in text


def test_without_matplotlib_it_says_what_to_install_before_it_measures(
    test_split: Split, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = evaluate(test_split, model)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[plot\]'"):
        write(report, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_is_measured_where_nothing_of_training_can_be_imported() -> None:
    program = """if True:
        import sys
        for name in ("torch", "onnx", "sklearn", "mien.learn"):
            sys.modules[name] = None  # importing it raises ImportError
        from mien.measure import corruptions, evaluate, figures, metrics, report
        from mien.apps import measure
    """
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_the_command_shows_its_steps_and_prints_a_table(
    test_split: Split, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for field in fields(Split):
        np.save(tmp_path / f"test_{field.name}.npy", getattr(test_split, field.name))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", "--data", str(tmp_path), "--model", str(model), "--out", str(tmp_path / "report")])
    out, err = capfd.readouterr()
    assert end.value.code == 0
    assert "stripes.onnx, 56 images" in err
    assert "their mirror images" in err
    accuracy = json.loads((tmp_path / "report/report.json").read_text())["official"]["PrivateTest"]["accuracy"]
    assert f"{100 * accuracy:.1f} %" in out
    assert "recall" in out
    assert "|" not in out  # Markdown is for the file
