"""Which model files there are, with licence and SHA-256; finds, verifies and opens them in ONNX Runtime."""

from __future__ import annotations

import hashlib
import importlib.util
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from mien.errors import ModelError

Device = Literal["cpu", "cuda"]

PROVIDERS: dict[Device, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that an installed package carries."""

    package: str  # the package's import name; it is looked up, never imported
    path: str  # within the package
    licence: str
    sha256: str
    remedy: str  # what to do where the file is missing or altered


def _mtcnn(net: str, sha256: str) -> ModelFile:
    return ModelFile("mtcnn", f"assets/weights/{net}.lz4", "MIT", sha256, "pip install --force-reinstall mtcnn==1.0.0")


def _own(name: str, sha256: str) -> ModelFile:
    return ModelFile("mien", f"models/{name}", "MIT", sha256, "pip install --force-reinstall mien")


MODELS: dict[str, ModelFile] = {
    "pnet.lz4": _mtcnn("pnet", "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"),
    "rnet.lz4": _mtcnn("rnet", "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"),
    "onet.lz4": _mtcnn("onet", "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"),
    "emotion.onnx": _own("emotion.onnx", "1618ad645a88adccf36864ff67a7b03972f9b0053d988ef7cf3b15ac45a9fd35"),
    "emotion-m.onnx": _own("emotion-m.onnx", "e1b22a21accd113e23b82338855ac52f8d340719a83fab0e5d97845e907346b8"),
    "pnet.onnx": _own("pnet.onnx", "3c2ef50e3c6a98fed3e32b09757e78efcd334d229a99bf6343a25455859f8433"),
    "rnet.onnx": _own("rnet.onnx", "fbf8facef2155c936b2bbbe8ba3802dd8821c3b3399e87bec9fc86a16e9ba387"),
    "onet.onnx": _own("onet.onnx", "78f3738d2122710119e3aaaddf7e3454854ca4712a5683ac00e83f6b49dff7d2"),
}
"""Every model file that Mien uses unless the user names another, by name.

MTCNN's weights come out of the `mtcnn` wheel; its graphs, which carry none, are written by
`scripts/build_mtcnn_graphs.py`.
"""


def find(name: str, table: Mapping[str, ModelFile] = MODELS) -> Path:
    """Where the model file `name` of the table lies; ModelError where its package or the file is missing."""
    file = table[name]
    # find_spec does not run the package: `import mtcnn` would import TensorFlow.
    spec = importlib.util.find_spec(file.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, file.path)
        if path.is_file():
            return path
    raise ModelError(f"the model file {name} of the package {file.package} is missing: {file.remedy}")


def read(name: str, table: Mapping[str, ModelFile] = MODELS) -> bytes:
    """The bytes of the model file `name`, its SHA-256 verified; ModelError where it is missing or altered."""
    path = find(name, table)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != table[name].sha256:
        raise ModelError(f"{path} is not the model file that Mien was made for: {table[name].remedy}")
    return content


def read_arrays(name: str, table: Mapping[str, ModelFile] = MODELS) -> list[NDArray[np.float32]]:
    """The float32 arrays of one of the `mtcnn` wheel's weight files, in the file's order; raises as `read` does."""
    import joblib  # a tenth of a second, and only detection needs it

    # The format is a pickle, which runs what it holds: `read` has checked that it holds what it should.
    arrays: list[NDArray[np.float32]] = joblib.load(io.BytesIO(read(name, table)))
    return arrays


def open_session(
    model: Path | bytes,
    *,
    weights: Sequence[NDArray[np.float32]] = (),
    threads: int = 1,
    device: Device = "cpu",
) -> ort.InferenceSession:
    """Open a model, a file or its bytes, in ONNX Runtime.

    `weights` fill the initialisers `w0`, `w1`, … of a graph that carries none. ModelError where the file is missing,
    truncated or not ONNX, or where the device is not to be had.
    """
    name = str(model) if isinstance(model, Path) else "the model"
    if isinstance(model, Path) and not _is_file(model):
        raise ModelError(f"there is no model at {model}: give s, m or the path of an ONNX file")
    if PROVIDERS[device] not in ort.get_available_providers():
        raise ModelError(f"this install of ONNX Runtime has no {device}: pip install onnxruntime-gpu, or use cpu")
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            _options(weights, threads),
            providers=[PROVIDERS[device]] if device == "cpu" else [PROVIDERS[device], PROVIDERS["cpu"]],
        )
    except Exception as error:  # ONNX Runtime's own errors share no base but this
        raise ModelError(f"{name} cannot be used: is it a whole file that `mien export` wrote?") from error


def _is_file(path: Path) -> bool:
    try:
        return path != Path() and path.is_file()
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"the model {path} cannot be opened ({why}): give s, m or the path of an ONNX file") from None


def _options(weights: Sequence[NDArray[np.float32]], threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised; the log would be a second line on stderr
    # A pool that spins between runs takes the core from whatever comes next: decoding, drawing, the other sessions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The shapes change from picture to picture: a plan of the memory for each of them would only pile up.
    options.enable_mem_pattern = False
    # Given before the graph is optimised, so that folding and blocked layouts see them as constants;
    # `add_initializer` would come too late for that.
    values = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array)) for array in weights]
    if values:
        options.add_external_initializers([f"w{number}" for number in range(len(values))], values)
    return options
