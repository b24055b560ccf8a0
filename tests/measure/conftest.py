"""Test images with stripes, and a model file that reads them; nothing here needs training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mien.data.fer2013 import PRIVATE, PUBLIC
from mien.data.prepare import Split
from mien.labels import EMOTIONS, FERPLUS, FERPLUS_COLUMNS

ModelFile = Callable[..., Path]

SETTINGS = {"network": "linear", "epochs": 1, "seed": 0, "augmentation": {"rotation": 15.0}}


def stripe(label: int | np.uint8) -> slice:
    return slice(6 * int(label) + 2, 6 * int(label) + 10)


@pytest.fixture(scope="session")
def test_split() -> Split:
    """Noise with a bright stripe whose height tells the emotion; half is PublicTest, half PrivateTest."""
    rng = np.random.default_rng(3)
    labels = (np.arange(56) % 7).astype(np.uint8)
    images = rng.integers(0, 120, (56, 48, 48))
    votes = np.zeros((56, len(FERPLUS)), np.uint8)
    votes[np.arange(56), np.array(FERPLUS_COLUMNS)[labels]] = 9
    for image, label in zip(images, labels, strict=True):
        image[stripe(label)] += 60
    return Split(
        images.astype(np.uint8),
        labels,
        np.arange(56, dtype=np.int32),
        votes=votes,
        usage=np.repeat(np.array([PUBLIC, PRIVATE], np.uint8), 28),
        twin=np.arange(56) % 14 == 0,
    )


@pytest.fixture(scope="session")
def write_model() -> ModelFile:
    """Write a model file with two heads, each one dense layer that reads the stripes.

    `noise` in its weights makes errors, `weights` stand for all of them, `temperature` and `shifts` are its
    calibration; `metadata` is put over the rest.
    """

    def write(
        path: Path,
        *,
        seed: int = 0,
        noise: float = 0.04,
        weights: float | None = None,
        temperature: float = 1.0,
        shifts: tuple[float, ...] = (0.0,) * 7,
        **metadata: Any,
    ) -> Path:
        layer = np.zeros((48, 48, 7))
        for label in range(7):
            layer[stripe(label), :, label] = 0.1 / (8 * 48)
        layer += np.random.default_rng(seed).normal(0, noise, layer.shape) / 48
        if weights is not None:
            layer[:] = weights
        calibration = {"temperature": temperature, "shifts": list(shifts)}
        facts = {
            "emotions": ",".join(EMOTIONS),
            "settings": json.dumps({**SETTINGS, "seed": seed}),
            "calibration": json.dumps({"official": calibration}),
        }
        onnx.save(graph_of(layer.reshape(-1, 7), temperature, shifts, facts | metadata), path)
        return path

    return write


def graph_of(
    weights: NDArray[Any], temperature: float, shifts: tuple[float, ...], metadata: dict[str, str]
) -> onnx.ModelProto:
    arrays = {
        "shape": np.array([-1, len(weights)]),
        "weights": weights.astype(np.float32),
        "temperature": np.float32(temperature),
        "shifts": np.array(shifts, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["faces"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Div", ["logits", "temperature"], ["divided"]),
        helper.make_node("Add", ["divided", "shifts"], ["calibrated"]),
        helper.make_node("Softmax", ["calibrated"], ["official"], axis=1),
        helper.make_node("Softmax", ["logits"], ["ferplus"], axis=1),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 7]) for name in ("official", "ferplus")]
    graph = helper.make_graph(
        nodes,
        "stripes",
        [helper.make_tensor_value_info("faces", TensorProto.UINT8, ["n", 1, 48, 48])],
        outputs,
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return model


@pytest.fixture(scope="session")
def model(write_model: ModelFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = write_model(
        tmp_path_factory.mktemp("measure") / "stripes.onnx", temperature=0.8, shifts=(0.3, -0.2, 0, 0, 0.1, 0, 0)
    )
    return path
