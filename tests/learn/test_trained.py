"""A network comes back from a run or a model file, says the same, and learns on."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from mien.apps.cli import main
from mien.data.prepare import Split
from mien.errors import ModelError, TrainingError
from mien.learn.checkpoint import WEIGHTS, load_checkpoint
from mien.learn.distil import predict_views
from mien.learn.export import export
from mien.learn.machine import Machine
from mien.learn.model import OFFICIAL
from mien.learn.settings import Augmentation, Settings
from mien.learn.train import train
from mien.learn.trained import Trained, load_trained, unfold_batch_norm
from mien.see.classify import Classifier, model_path

ROOT = Path(__file__).parents[2]
FACES = np.random.default_rng(5).integers(0, 256, (64, 48, 48), np.uint8)
PIXELS = torch.from_numpy(FACES[:, None]).float() / 255
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "emotion.onnx"
    export(run, path)
    return path


def probabilities(trained: Trained) -> np.ndarray:
    """The official head's, calibration and all."""
    with torch.inference_mode():
        logits = trained.net(PIXELS)[:, :OFFICIAL]
    return np.asarray(trained.calibration[0](logits).softmax(1))


# --- What comes back -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["s", "m"])
def test_a_packaged_model_becomes_a_network_that_says_the_same(size: str) -> None:
    trained = load_trained(model_path(size))
    assert np.abs(probabilities(trained) - Classifier(size)(FACES)).max() < TOLERANCE


def test_a_run_and_the_file_exported_from_it_give_the_same_network(run: Path, model: Path) -> None:
    kept, exported = load_trained(run), load_trained(model)
    assert kept.settings == exported.settings
    assert kept.epoch == exported.epoch
    assert kept.calibration == exported.calibration
    assert np.abs(probabilities(kept) - probabilities(exported)).max() < TOLERANCE


@pytest.mark.parametrize("size", ["s", "m"])
def test_an_unfolded_network_says_the_same_with_the_statistics_of_a_batch(size: str) -> None:
    """In training, normalisation counts on the batch: that the scores stay is what shows that it has its work back."""
    trained = load_trained(model_path(size))
    before = probabilities(trained)
    net = unfold_batch_norm(trained.net, PIXELS)
    for module in net.modules():
        module.training = isinstance(module, torch.nn.BatchNorm2d)
    assert np.abs(probabilities(trained._replace(net=net)) - before).max() < 1e-3  # type: ignore[arg-type]
    assert np.array_equal(probabilities(trained), before)  # it was a copy


def test_what_cannot_be_trained_is_refused(model: Path, tmp_path: Path) -> None:
    truncated, foreign = tmp_path / "truncated.onnx", tmp_path / "foreign.onnx"
    truncated.write_bytes(model.read_bytes()[:5000])
    graph = onnx.load(model)
    del graph.metadata_props[:]
    onnx.save(graph, foreign)
    for path, said in ((truncated, "whole file"), (foreign, "holds no network"), (tmp_path / "no.onnx", "no model at")):
        with pytest.raises(ModelError, match=said):
            load_trained(path)


# --- Learning on -----------------------------------------------------------------------------------------------------


def test_a_run_that_begins_with_a_model_is_ahead_of_one_with_random_weights(
    voted: dict[str, Split], run: Path, model: Path, quick: Settings, tmp_path: Path
) -> None:
    first = load_trained(model)
    settings = replace(quick, votes=0.5, epochs=1, init=first.digest, learning_rate=1e-4, ema=0.0)
    rows = train(voted, tmp_path / "on", settings, machine=Machine(), init=first)
    anew = train(voted, tmp_path / "anew", replace(settings, init=""), machine=Machine())
    assert rows[0]["val_loss"] < anew[0]["val_loss"]
    assert rows[0]["val_accuracy"] >= load_checkpoint(run / WEIGHTS)["epoch"]["val_accuracy"]


def test_a_run_goes_on_only_with_the_model_that_it_began_with(
    voted: dict[str, Split], model: Path, quick: Settings, tmp_path: Path
) -> None:
    first = load_trained(model)
    settings = replace(quick, votes=0.5, epochs=1, init=first.digest)
    with pytest.raises(TrainingError, match="give the model that it began with"):
        train(voted, tmp_path, settings, machine=Machine())
    with pytest.raises(TrainingError, match="plain-s with a FER"):
        train(voted, tmp_path, replace(settings, network="baseline"), machine=Machine(), init=first)


def test_a_model_file_teaches_as_its_run_does(
    voted: dict[str, Split], run: Path, model: Path, quick: Settings, tmp_path: Path
) -> None:
    how = Augmentation()
    train(voted, tmp_path / "all", replace(quick, votes=0.5, epochs=1, held_out="public"), machine=Machine())
    export(tmp_path / "all", tmp_path / "all.onnx")
    for everyone, pair in ((False, (run, model)), (True, (tmp_path / "all", tmp_path / "all.onnx"))):
        one, two = predict_views(voted, pair, how, machine=Machine(), count=1, everyone=everyone)
        assert np.abs(one.logits.astype(int) - two.logits).max() <= 1  # where a batch of another size rounds otherwise
    other = {**voted, "train": voted["val"], "val": voted["train"]}
    with pytest.raises(TrainingError, match="may have seen any of these"):
        predict_views(other, [model], how, machine=Machine(), count=1)


def test_a_run_does_not_hold_out_what_it_begins_with_has_learned(
    voted: dict[str, Split], model: Path, quick: Settings, tmp_path: Path
) -> None:
    first = load_trained(model)
    settings = replace(quick, votes=0.5, init=first.digest, held_out="0")
    with pytest.raises(TrainingError, match="hold out PublicTest"):
        train(voted, tmp_path, settings, machine=Machine(), init=first)


def test_a_model_file_keeps_its_head_when_it_is_exported_again(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "ferplus.onnx", head="ferplus")
    export(tmp_path / "ferplus.onnx", tmp_path / "again.onnx", half=True)
    assert Classifier(tmp_path / "again.onnx").head == "ferplus"


def test_a_model_file_that_recommends_a_head_it_has_not_is_not_exported(model: Path, tmp_path: Path) -> None:
    odd = onnx.load(model)
    next(fact for fact in odd.metadata_props if fact.key == "head").value = "foo"
    onnx.save(odd, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match=r"odd\.onnx was trained without a head 'foo'"):
        export(tmp_path / "odd.onnx", tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_a_file_of_a_run_is_not_taken_for_its_folder(run: Path) -> None:
    with pytest.raises(TrainingError, match=r"model\.pt is neither the folder of a run nor an ONNX file"):
        load_trained(run / WEIGHTS)


# --- The command -----------------------------------------------------------------------------------------------------


def mien(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    return int(end.value.code or 0)


def test_the_command_begins_with_a_model_and_says_what_is_wrong_with_it(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/small_data.py", tmp_path / "data"], check=True)
    quick = ("--set", "epochs=1", "--set", "batch=8", "--threads", 1)
    command = ("train", "--recipe", "student-s", "--data", tmp_path / "data", "--out", tmp_path / "on", *quick)
    assert mien(*command, "--init", tmp_path / "no.onnx") == 2
    assert "no model at" in capfd.readouterr().err
    assert mien(*command, "--init", model) == 0
    assert load_checkpoint(tmp_path / "on" / WEIGHTS)["settings"]["init"] == load_trained(model).digest
    assert mien(*command, "--resume") == 2
    assert "other settings (init)" in capfd.readouterr().err
