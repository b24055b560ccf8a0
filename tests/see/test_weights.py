"""Model files are found, verified and opened; each thing that can be wrong with one is a ModelError in plain words."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from mien.errors import ModelError
from mien.see.weights import MODELS, find, open_session, read, read_arrays

PNET = MODELS["pnet.lz4"]
GRAPH = find("pnet.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_file_is_there_and_is_the_one_that_was_meant(name: str) -> None:
    assert read(name) == find(name).read_bytes()


def test_every_model_file_says_its_licence() -> None:
    assert all(file.licence for file in MODELS.values())


def test_the_weights_are_read_without_running_the_mtcnn_package() -> None:
    program = (
        "import sys; from mien.see.weights import read_arrays; read_arrays('pnet.lz4'); print('mtcnn' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_weights_are_float32_arrays_in_the_layouts_of_keras() -> None:
    arrays = read_arrays("pnet.lz4")
    assert {array.dtype.name for array in arrays} == {"float32"}
    assert arrays[0].shape == (3, 3, 3, 10)


def test_a_file_with_another_sha256_is_refused_before_it_is_unpickled() -> None:
    with pytest.raises(ModelError, match="not the model file that Mien was made for: pip install"):
        read_arrays("pnet.lz4", {"pnet.lz4": replace(PNET, sha256="0" * 64)})


@pytest.mark.parametrize("changes", [{"package": "no_such_package"}, {"path": "assets/nothing.lz4"}])
def test_a_missing_package_or_file_is_named_with_what_to_do(changes: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"pnet\.lz4 of the package .* is missing: pip install"):
        find("pnet.lz4", {"pnet.lz4": replace(PNET, **changes)})


def test_a_graph_that_carries_no_weights_opens_with_the_weights_given() -> None:
    session = open_session(GRAPH, weights=read_arrays("pnet.lz4"))
    [verdicts] = session.run(None, {"image": np.zeros((2, 12, 14, 3), np.uint8)})
    assert verdicts.shape == (2, 5, 1, 2)


@pytest.mark.parametrize("weights", [(), [np.zeros((3, 3), np.float32)]], ids=["none", "others"])
def test_a_graph_without_its_own_weights_does_not_open(weights: list[np.ndarray]) -> None:
    with pytest.raises(ModelError, match="cannot be used"):
        open_session(GRAPH, weights=weights)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"there is no model at .*mine\.onnx: give s, m or the path of an ONNX file"),
        (b"", r"mine\.onnx cannot be used"),
        (b"not a model at all", r"mine\.onnx cannot be used"),
        (GRAPH.read_bytes()[:4000], r"mine\.onnx cannot be used"),
    ],
    ids=["missing", "empty", "text", "truncated"],
)
def test_a_users_model_that_is_no_model_is_an_error_that_names_it(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "mine.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=says):
        open_session(path)


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model at"):
        open_session(tmp_path)


@pytest.mark.parametrize("name", ["n" * 300 + ".onnx", "nul\0.onnx"])
def test_a_name_that_no_file_can_have_is_no_model(name: str) -> None:
    with pytest.raises(ModelError, match=r"cannot be opened|there is no model"):
        open_session(Path(name))


def test_a_device_that_is_not_there_is_an_error_with_what_to_do() -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this machine has the device")
    with pytest.raises(ModelError, match="has no cuda: pip install onnxruntime-gpu, or use cpu"):
        open_session(GRAPH, device="cuda")


def test_the_graphs_are_what_their_script_writes() -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: pip install 'mien[train]'")
    from importlib.util import module_from_spec, spec_from_file_location

    script = spec_from_file_location("graphs", Path(__file__).parents[2] / "scripts" / "build_mtcnn_graphs.py")
    assert script and script.loader
    graphs = module_from_spec(script)
    script.loader.exec_module(graphs)
    for build in (graphs.pnet, graphs.rnet, graphs.onet):
        assert build().SerializeToString(deterministic=True) == read(f"{build.__name__}.onnx")
