"""Model files are found, verified and opened; each thing that can be wrong with one is a ModelError in plain words."""

from __future__ import annotations

import subprocess
import sys
import warnings
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from mien.errors import ModelError
from mien.see.weights import FOLDER, MODELS, find, open_session, read

ROOT = Path(__file__).parents[2]
PNET = find("pnet.onnx")


@pytest.mark.parametrize("name", MODELS)
def test_every_model_file_is_there_and_is_the_one_that_was_meant(name: str) -> None:
    assert read(name) == find(name).read_bytes()


def test_the_package_has_no_other_model_files_and_its_notice_names_each() -> None:
    assert {path.name for path in FOLDER.glob("*.onnx")} == set(MODELS)
    notice = (FOLDER / "NOTICE.md").read_text(encoding="utf-8")
    assert [name for name in MODELS if name not in notice] == []


def test_a_file_with_another_sha256_is_refused(tmp_path: Path) -> None:
    content = bytearray(PNET.read_bytes())
    content[-1] ^= 1
    (tmp_path / "pnet.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"pnet\.onnx is damaged or was changed: pip install"):
        read("pnet.onnx", tmp_path)


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"pnet\.onnx is missing: pip install"):
        read("pnet.onnx", tmp_path)


def test_faces_are_found_where_nothing_that_unpickles_weights_can_be_imported() -> None:
    program = """
import sys
for name in ("mtcnn", "joblib", "lz4"):
    sys.modules[name] = None  # importing it raises ImportError
import mien
print(len(mien.read("assets/astronaut.jpg")))
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout == "1\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"there is no model at .*mine\.onnx: give s, m or the path of an ONNX file"),
        (b"", r"mine\.onnx cannot be used"),
        (b"not a model at all", r"mine\.onnx cannot be used"),
        (PNET.read_bytes()[:4000], r"mine\.onnx cannot be used"),
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


@pytest.mark.parametrize("options", [{"device": "gpu"}, {"threads": 0}])
def test_an_option_that_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"choose one of cpu, cuda|threads is 0: it is 1 or more"):
        open_session(PNET, **options)


def without_cuda() -> None:
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this build of ONNX Runtime knows CUDA")


def test_a_device_that_onnx_runtime_was_not_built_for_is_an_error_with_what_to_do() -> None:
    without_cuda()
    with pytest.raises(ModelError, match="has no cuda: pip uninstall onnxruntime, then pip install onnxruntime-gpu"):
        open_session(PNET, device="cuda")


def test_a_device_on_which_onnx_runtime_falls_back_to_the_cpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cuda()  # a build that lists CUDA opens a session on the CPU where CUDA does not work, as this one does
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with warnings.catch_warnings(), pytest.raises(ModelError, match="cannot use cuda here: install the driver"):
        warnings.simplefilter("ignore")
        open_session(PNET, device="cuda")


@pytest.fixture(scope="module")
def graphs() -> Any:
    """The script that writes MTCNN's graphs, as a module."""
    missing = [package for package in ("mtcnn", "onnx") if not find_spec(package)]  # mtcnn imports TensorFlow
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}. pip install 'mien[dev]'")
    spec = spec_from_file_location("graphs", ROOT / "scripts" / "build_mtcnn_graphs.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("net", ["pnet", "rnet", "onet"])
def test_the_graphs_are_what_their_script_writes(graphs: Any, net: str) -> None:
    assert getattr(graphs, net)().SerializeToString(deterministic=True) == read(f"{net}.onnx")


@pytest.mark.parametrize(("net", "size"), [("pnet", (60, 90)), ("rnet", (24, 24)), ("onet", (48, 48))])
def test_the_form_for_browsers_gives_the_same(graphs: Any, net: str, size: tuple[int, int]) -> None:
    patches = np.random.default_rng(0).integers(0, 256, (3, *size, 3), np.uint8)
    web = getattr(graphs, net)(web=True)
    assert "BatchNormalization" not in {node.op_type for node in web.graph.node}
    ours, theirs = (
        open_session(model).run(None, {"image": patches})[0] for model in (find(f"{net}.onnx"), web.SerializeToString())
    )
    assert np.abs(ours - theirs).max() < 1e-5


def test_the_script_verifies_weights_before_it_unpickles_them(graphs: Any) -> None:
    with pytest.raises(ValueError, match=r"pnet\.lz4 is not the file of mtcnn 1\.0\.0"):
        graphs.read_weights("pnet.lz4", {"pnet.lz4": "0" * 64})
