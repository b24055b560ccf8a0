"""A model file of somebody else gives probabilities, one row a face, in little time and memory, or is refused."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import ModelError
from mien.labels import EMOTIONS
from mien.see import foreign
from mien.see.classify import Classifier

onnx = pytest.importorskip("onnx")

FACES = np.random.default_rng(3).integers(0, 256, (5, 48, 48), np.uint8)

Save = Callable[..., Path]


def node(kind: str, inputs: str, output: str, **options: Any) -> Any:
    return onnx.helper.make_node(kind, inputs.split(), [output], **options)


SOFTMAX = node("Softmax", "logits", "official", axis=1)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Write a network whose logits are those of a linear layer, ended by some nodes, with some constants."""

    def write(ends: Sequence[Any], **constants: Any) -> Path:
        random = np.random.default_rng(0)
        arrays = {"weights": random.normal(0, 0.001, (48 * 48, 7)).astype(np.float32), **constants}
        begin = [node("Cast", "faces", "floats", to=1), node("Flatten", "floats", "flat")]
        nodes = [*begin, node("MatMul", "flat weights", "logits"), *ends]
        values = [onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
        faces = onnx.helper.make_tensor_value_info("faces", onnx.TensorProto.UINT8, ["n", 1, 48, 48])
        official = onnx.helper.make_tensor_value_info("official", onnx.TensorProto.FLOAT, ["n", 7])
        graph = onnx.helper.make_graph(nodes, "graph", [faces], [official], values)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
        onnx.helper.set_model_props(model, {"emotions": ",".join(EMOTIONS)})
        onnx.save(model, str(tmp_path / "model.onnx"))
        return tmp_path / "model.onnx"

    return write


def refused(path: Path) -> str:
    """The message of the ModelError; it is one line, and comes in a few seconds."""
    began = time.monotonic()
    with pytest.raises(ModelError) as error:
        Classifier(path)
    assert time.monotonic() - began < 10
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    return str(error.value)


def test_a_network_that_gives_probabilities_is_taken(save: Save) -> None:
    scores = Classifier(save([SOFTMAX]))(FACES)
    assert scores.shape == (5, 7)
    assert np.allclose(scores.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("ends", "constants", "says"),
    [
        ([node("Identity", "logits", "official")], {}, "no probabilities as official"),
        (
            [node("Softmax", "logits", "s", axis=1), node("Mul", "s k", "official")],
            {"k": np.float32(79_654.73)},
            "no probabilities as official but .* to .*: end it with softmax",
        ),
        (
            [node("Softmax", "logits", "s", axis=1), node("ReduceMean", "s", "official", axes=[0], keepdims=1)],
            {},
            r"shape \(1, 7\) for 3 faces",
        ),
        (
            [node("Softmax", "logits", "s", axis=1), node("Slice", "s zero zero", "official")],
            {"zero": np.array([0], np.int64)},
            r"shape \(0, 7\) for 3 faces",
        ),
        (
            [node("Softmax", "logits", "s", axis=1), node("Div", "s zero", "official")],
            {"zero": np.float32(0)},
            "NaN or infinite",
        ),
    ],
)
def test_what_are_no_probabilities_is_refused(
    save: Save, ends: Sequence[Any], constants: dict[str, Any], says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        Classifier(save(ends, **constants))
    assert refused(save(ends, **constants))


def huge(save: Save) -> Path:
    """A network that takes 9 GiB, of constants alone: what opens it may compute these beforehand."""
    ones = onnx.helper.make_tensor("ones", onnx.TensorProto.FLOAT, [1], [1.0])
    ends = [
        node("ConstantOfShape", "shape", "big", value=ones),
        node("ReduceMean", "big", "one", keepdims=0),
        node("Softmax", "logits", "s", axis=1),
        node("Mul", "s one", "official"),
    ]
    return save(ends, shape=np.array([9 * 2**28], np.int64))


def test_a_graph_that_takes_gigabytes_is_refused_before_it_has_them(save: Save) -> None:
    resource = pytest.importorskip("resource")
    del resource
    program = f"""
        import resource, sys
        from pathlib import Path
        from mien.errors import ModelError
        from mien.see.classify import Classifier
        try:
            Classifier(Path({str(huge(save))!r}))
        except ModelError as error:
            print(error)
        status = Path("/proc/self/status")
        if status.exists():  # on Linux `getrusage` counts what the program held that started this one
            [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
            print(int(line.split()[1]) * 1024)
        else:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True)
    said, most = done.stdout.splitlines()
    assert "cannot read three faces within 20 seconds and 1 GiB of memory" in said
    assert int(most) < 1 << 30
    assert done.stderr == ""


def test_a_graph_that_never_ends_is_refused(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "SECONDS", 0.5)
    value = onnx.helper.make_tensor_value_info
    kinds = onnx.TensorProto
    body = onnx.helper.make_graph(
        [node("Identity", "going", "goes_on"), node("Softmax", "scores", "next", axis=1)],
        "body",
        [value("number", kinds.INT64, []), value("going", kinds.BOOL, []), value("scores", kinds.FLOAT, ["n", 7])],
        [value("goes_on", kinds.BOOL, []), value("next", kinds.FLOAT, ["n", 7])],
    )
    loop = onnx.helper.make_node("Loop", ["", "true", "logits"], ["official"], body=body)
    assert "cannot read three faces within 0.5 seconds" in refused(save([loop], true=np.array(True)))


def test_what_is_no_emotion_network_is_called_so(save: Save, tmp_path: Path) -> None:
    path = save([SOFTMAX])
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(path))
    assert "is not an emotion network of Mien (its labels: none)" in refused(path)
    path.write_bytes(path.read_bytes()[:5000])
    assert "cannot be used" in refused(path)
    assert "there is no model" in refused(tmp_path / "missing.onnx")
