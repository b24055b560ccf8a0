"""The model files in the package: which there are, and how they are found, verified and opened in ONNX Runtime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, get_args

import onnxruntime as ort

from mien.errors import ModelError

Device = Literal["cpu", "cuda"]

FOLDER = Path(__file__).parents[1] / "models"

MODELS = {
    "emotion.onnx": "1618ad645a88adccf36864ff67a7b03972f9b0053d988ef7cf3b15ac45a9fd35",
    "emotion-m.onnx": "e1b22a21accd113e23b82338855ac52f8d340719a83fab0e5d97845e907346b8",
    "pnet.onnx": "e040ad340ee1d5485ced9cd4a01c64570720b22fed3aef2441579436c3cc8823",
    "rnet.onnx": "1cdf39173cb72f99e6adc4a7c11aec5f4b997b0cb019080e4e4e383f682190d2",
    "onet.onnx": "5be860eeccefc6a57115381f6e61d5bf7070d807b631974be6976745bb209ef4",
}
"""The SHA-256 of every model file in the package: two emotion networks, and MTCNN's three networks as
`scripts/build_mtcnn_graphs.py` writes them. Where they come from and their licences: models/NOTICE.md."""


def find(name: str, folder: Path = FOLDER) -> Path:
    """Return the path of one of `MODELS`; ModelError where the file is missing."""
    path = folder / name
    if not path.is_file():
        raise ModelError(f"the model file {path} is missing: pip install --force-reinstall mien")
    return path


def read(name: str, folder: Path = FOLDER) -> bytes:
    """Return the content of one of `MODELS`; ModelError where it is missing or its SHA-256 is another one."""
    path = find(name, folder)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != MODELS[name]:
        raise ModelError(f"{path} is damaged or was changed: pip install --force-reinstall mien")
    return content


def open_session(model: Path | bytes, *, threads: int = 1, device: Device = "cpu") -> ort.InferenceSession:
    """Open a model, given as a file or its content, in ONNX Runtime.

    `threads` is how many threads work on one run. Raises ValueError where an option makes no sense, and ModelError
    where the file is missing, truncated or not ONNX, or where the device does not work.
    """
    if device not in get_args(Device):
        raise ValueError(f"device is {device!r}: choose one of {', '.join(get_args(Device))}")
    if threads < 1:
        raise ValueError(f"threads is {threads}: it is 1 or more")
    if isinstance(model, Path) and not _is_file(model):
        raise ModelError(f"there is no model at {model}: give s, m or the path of an ONNX file")
    provider = f"{device.upper()}ExecutionProvider"
    if provider not in ort.get_available_providers():
        raise ModelError(
            f"this build of ONNX Runtime has no {device}: pip uninstall onnxruntime, then pip install onnxruntime-gpu, "
            "or use the device cpu"
        )
    content = model if isinstance(model, bytes) else str(model)
    try:
        session = ort.InferenceSession(content, _options(threads), providers=[provider])
    except Exception as error:  # ONNX Runtime's own errors share no base but this
        name = str(model) if isinstance(model, Path) else "the model"
        raise ModelError(f"{name} cannot be used: is it a whole file that `mien export` wrote?") from error
    if provider not in session.get_providers():  # it falls back on the CPU, and only its log says so and why
        raise ModelError(
            f"ONNX Runtime {ort.__version__} cannot use {device} here: install the driver and libraries that this "
            "version needs, or use the device cpu"
        )
    return session


def _is_file(path: Path) -> bool:
    try:
        return path != Path() and path.is_file()
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be entered
        why = getattr(error, "strerror", None) or error
        raise ModelError(f"the model {path} cannot be opened ({why}): give s, m or the path of an ONNX file") from None


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # what goes wrong is raised; the log would be a second line on stderr
    # A pool that spins between runs takes the core from whatever comes next: decoding, drawing, the other sessions.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # The shapes change from picture to picture: a plan of the memory for each of them would only pile up.
    options.enable_mem_pattern = False
    return options
