"""What is exported says what its checkpoint says, carries all that readers need, and is refused when it does not."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from mien.data.prepare import Split
from mien.errors import ModelError, OutputError, TrainingError
from mien.labels import EMOTIONS
from mien.learn.checkpoint import WEIGHTS, load_checkpoint
from mien.learn.export import HALF_TOLERANCE, TOLERANCE, export, is_calibrated
from mien.learn.machine import Machine
from mien.learn.model import FERPLUS, OFFICIAL, build
from mien.learn.settings import Settings
from mien.learn.train import train
from mien.see.classify import Classifier

FACES = np.random.default_rng(7).integers(0, 256, (9, 48, 48), np.uint8)


@pytest.fixture(scope="module")
def model(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "emotion.onnx"
    assert export(run, path) < TOLERANCE
    return path


def checkpoint_says(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """The official and the FER+ probabilities for `FACES`, computed from the checkpoint alone."""
    saved = load_checkpoint(run / WEIGHTS)
    net = build(saved["settings"]["network"], votes=True, dropout=0.0).eval()
    net.load_state_dict(saved["model"])
    with torch.inference_mode():
        logits = net(torch.from_numpy(FACES[:, None]).float() / 255)
    heads = zip(logits.split([OFFICIAL, FERPLUS], dim=1), saved["calibration"], strict=True)
    calibrated = [head / of_head["temperature"] + torch.tensor(of_head["shifts"]) for head, of_head in heads]
    seven = slice(OFFICIAL)  # the FER+ head has contempt as well, which is no emotion of ours
    official, ferplus = (head[:, seven].softmax(1).numpy() for head in calibrated)
    return official, ferplus


def changed(model: Path, path: Path, **metadata: str) -> Path:
    """A copy of the model with other metadata."""
    copy = onnx.load(model)
    kept = {entry.key: entry.value for entry in copy.metadata_props} | metadata
    del copy.metadata_props[:]
    for key, value in kept.items():
        copy.metadata_props.add(key=key, value=value)
    onnx.save(copy, path)
    return path


def refused(model: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        Classifier(model, **options)
    assert "\n" not in str(error.value).strip()
    return str(error.value)


# --- What is written -------------------------------------------------------------------------------------------------


def test_the_file_says_what_the_checkpoint_says(run: Path, model: Path) -> None:
    official, ferplus = checkpoint_says(run)
    assert np.abs(Classifier(model, head="official")(FACES) - official).max() < TOLERANCE
    assert np.abs(Classifier(model, head="ferplus")(FACES) - ferplus).max() < TOLERANCE
    assert np.abs(Classifier(model, head="blend")(FACES) - (official + ferplus) / 2).max() < TOLERANCE


def test_scaling_and_softmax_are_inside(model: Path) -> None:
    scores = Classifier(model)(FACES)
    assert scores.shape == (9, 7)
    assert scores.dtype == np.float32
    assert np.allclose(scores.sum(1), 1, atol=1e-5)
    assert (scores >= 0).all()


def test_it_carries_labels_settings_calibration_and_the_head_to_use(run: Path, model: Path) -> None:
    metadata = Classifier(model).metadata
    saved = load_checkpoint(run / WEIGHTS)
    assert metadata["emotions"] == ",".join(EMOTIONS)
    assert metadata["head"] == "official"
    assert json.loads(metadata["settings"]) == saved["settings"]
    assert json.loads(metadata["calibration"]) == dict(zip(("official", "ferplus"), saved["calibration"], strict=True))
    assert any(saved["calibration"][0]["shifts"])


def test_it_is_calibrated_anew_on_what_was_held_out(
    run: Path, model: Path, voted: dict[str, Split], written: Callable[..., Path], tmp_path: Path
) -> None:
    happy = {**voted, "val": replace(voted["val"], labels=np.full_like(voted["val"].labels, 3))}
    export(model, tmp_path / "other.onnx", data=written(happy, tmp_path / "happy"))
    assert (Classifier(tmp_path / "other.onnx")(FACES)[:, 3] > Classifier(model)(FACES)[:, 3]).all()
    export(tmp_path / "other.onnx", tmp_path / "again.onnx", data=written(voted, tmp_path / "data"))
    assert np.abs(Classifier(tmp_path / "again.onnx")(FACES) - checkpoint_says(run)[0]).max() < 1e-3


def test_it_is_not_calibrated_on_what_it_may_have_learned(
    model: Path, voted: dict[str, Split], written: Callable[..., Path], tmp_path: Path
) -> None:
    swapped = {"train": voted["val"], "val": voted["train"]}
    with pytest.raises(TrainingError, match="not the data that this network learned from"):
        export(model, tmp_path / "other.onnx", data=written(swapped, tmp_path / "swapped"))
    assert not (tmp_path / "other.onnx").exists()


def test_an_old_onnx_runtime_reads_it(model: Path) -> None:
    written = onnx.load(model)
    onnx.checker.check_model(written)
    assert [opset.version for opset in written.opset_import] == [17]
    assert written.ir_version <= 10  # ONNX Runtime 1.20 reads up to 10


def test_the_head_that_was_asked_for_is_the_one_readers_use(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "emotion.onnx", head="blend")
    assert Classifier(tmp_path / "emotion.onnx").head == "blend"


def test_without_votes_there_is_the_official_head_only(data: dict[str, Split], quick: Settings, tmp_path: Path) -> None:
    train(data, tmp_path / "run", quick, machine=Machine())
    assert export(tmp_path / "run", tmp_path / "emotion.onnx") < TOLERANCE
    assert Classifier(tmp_path / "emotion.onnx").heads == ("official",)
    assert "no head 'ferplus'" in refused(tmp_path / "emotion.onnx", head="ferplus")
    with pytest.raises(ModelError, match="without a head 'ferplus'"):
        export(tmp_path / "run", tmp_path / "other.onnx", head="ferplus")
    assert not (tmp_path / "other.onnx").exists()


def test_weights_in_16_bits_take_half_the_room_and_say_nearly_the_same(run: Path, model: Path, tmp_path: Path) -> None:
    assert TOLERANCE / 100 < export(run, tmp_path / "half.onnx", half=True) < HALF_TOLERANCE
    assert (tmp_path / "half.onnx").stat().st_size < 0.6 * model.stat().st_size
    onnx.checker.check_model(onnx.load(tmp_path / "half.onnx"))
    assert np.abs(Classifier(tmp_path / "half.onnx")(FACES) - checkpoint_says(run)[0]).max() < HALF_TOLERANCE


def test_a_run_that_was_stopped_early_can_be_exported(run: Path, model: Path, tmp_path: Path) -> None:
    saved = load_checkpoint(run / WEIGHTS)
    del saved["calibration"]  # it is fitted at the end
    torch.save(saved, tmp_path / WEIGHTS)
    assert export(tmp_path, tmp_path / "emotion.onnx") < TOLERANCE
    assert not is_calibrated(tmp_path / "emotion.onnx")
    assert is_calibrated(model)


# --- What is refused -------------------------------------------------------------------------------------------------


def test_what_cannot_be_exported_leaves_the_file_that_was_there(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "emotion.onnx"
    out.write_text("mine")
    with pytest.raises(TrainingError, match="does not exist: train a network"):
        export(tmp_path, out)
    (tmp_path / WEIGHTS).write_bytes((run / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(TrainingError, match="may be truncated: train anew"):
        export(tmp_path, out)
    with pytest.raises(ModelError, match="choose one of official, ferplus"):
        export(run, out, head="best")
    assert out.read_text() == "mine"
    with pytest.raises(OutputError, match=r"ends in \.onnx"):
        export(run, tmp_path / "emotion.txt")
    with pytest.raises(OutputError, match="there is no folder"):
        export(run, tmp_path / "nowhere" / "emotion.onnx")


def test_a_full_temporary_folder_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc")  # where nothing can be written
    with pytest.raises(OutputError, match=r"cannot write /proc"):
        export(run, tmp_path / "emotion.onnx")
    assert not list(tmp_path.iterdir())


def test_no_temporary_folder_at_all_is_one_line(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    with pytest.raises(OutputError, match="cannot write a temporary file"):
        export(run, tmp_path / "emotion.onnx")


def test_weights_too_large_for_16_bits_are_one_line(run: Path, tmp_path: Path) -> None:
    saved = load_checkpoint(run / WEIGHTS)
    max(saved["model"].values(), key=lambda weights: weights.numel()).fill_(1e6)
    torch.save(saved, tmp_path / WEIGHTS)
    with pytest.raises(ModelError, match="do not fit into 16 bits: store them in 32"):
        export(tmp_path, tmp_path / "emotion.onnx", half=True)
    assert [file.name for file in tmp_path.iterdir()] == [WEIGHTS]


def test_weights_that_are_no_numbers_are_refused(run: Path, tmp_path: Path) -> None:
    saved = load_checkpoint(run / WEIGHTS)
    next(iter(saved["model"].values())).fill_(float("nan"))
    torch.save(saved, tmp_path / WEIGHTS)
    with pytest.raises(TrainingError, match="weights that are NaN or infinite: train it again"):
        export(tmp_path, tmp_path / "emotion.onnx")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("settings", {"votes": "a", "augmentation": {}}, "its setting votes is 'a'"),
        ("settings", {"dropout": "q", "augmentation": {}}, "its setting dropout is 'q'"),
        ("settings", {"augmentation": {"zoom": None}}, "its setting zoom is None"),
        ("settings", "x", "settings are not those of this version of Mien"),
        ("model", [1], "trained by other code"),
    ],
)
def test_a_run_of_other_code_is_refused(run: Path, tmp_path: Path, field: str, value: object, said: str) -> None:
    torch.save({**load_checkpoint(run / WEIGHTS), field: value}, tmp_path / WEIGHTS)
    with pytest.raises(TrainingError, match=said) as error:
        export(tmp_path, tmp_path / "emotion.onnx")
    assert str(tmp_path) in str(error.value)


def test_weights_of_another_network_are_refused(run: Path, tmp_path: Path) -> None:
    saved = load_checkpoint(run / WEIGHTS)
    torch.save({**saved, "settings": {**saved["settings"], "network": "baseline"}}, tmp_path / WEIGHTS)
    with pytest.raises(TrainingError, match="trained by other code"):
        export(tmp_path, tmp_path / "emotion.onnx")


@pytest.mark.parametrize("labels", ["", "happy,sad", ",".join(reversed(EMOTIONS))])
def test_a_model_with_other_labels_is_refused(model: Path, tmp_path: Path, labels: str) -> None:
    assert "is not an emotion network of Mien" in refused(changed(model, tmp_path / "other.onnx", emotions=labels))


@pytest.mark.parametrize(
    ("kind", "shape", "outputs"),
    [
        (TensorProto.FLOAT, ["n", 1, 48, 48], {"official": 7}),
        (TensorProto.UINT8, ["n", 1, 64, 64], {"official": 7}),
        (TensorProto.UINT8, ["n", 48, 48], {"official": 7}),
        (TensorProto.UINT8, [4, 1, 48, 48], {"official": 7}),
        (TensorProto.UINT8, ["n", 1, 48, 48], {"official": 8}),
        (TensorProto.UINT8, ["n", 1, 48, 48], {"official": 7, "ferplus": 8}),
        (TensorProto.UINT8, ["n", 1, 48, 48], {"ferplus": 7}),
    ],
)
def test_a_model_of_other_shapes_is_refused(
    tmp_path: Path, kind: int, shape: list[Any], outputs: dict[str, int]
) -> None:
    faces = helper.make_tensor_value_info("faces", kind, shape)
    scores, nodes = [], []
    for name, count in outputs.items():
        constant = helper.make_tensor("value", TensorProto.FLOAT, [1, count], [0.0] * count)
        nodes.append(helper.make_node("Constant", [], [name], value=constant))
        scores.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", count]))
    graph = helper.make_graph(nodes, "other", [faces], scores)
    other = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    other.metadata_props.add(key="emotions", value=",".join(EMOTIONS))
    onnx.save(other, tmp_path / "other.onnx")
    assert "other shapes" in refused(tmp_path / "other.onnx")


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "missing"])
def test_a_broken_model_file_is_refused_by_name(model: Path, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "broken.onnx"
    whole = model.read_bytes()
    if damage != "missing":
        path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "text": b"hello"}[damage])
    assert str(path) in refused(path)


def test_arrays_that_are_no_faces_are_refused(model: Path) -> None:
    classify = Classifier(model)
    others: list[Any] = [FACES.astype(np.float32), FACES[0], FACES[:, :40], FACES[..., None]]
    for wrong in others:
        with pytest.raises(ValueError, match=r"uint8 of shape \(n, 48, 48\)"):
            classify(wrong)
    assert classify(FACES[:0]).shape == (0, 7)
