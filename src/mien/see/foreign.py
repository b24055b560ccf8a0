"""Model files that others wrote, tried within limits of time and memory before they are used."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Timer

import numpy as np
import onnxruntime as ort

from mien.errors import ModelError
from mien.labels import EMOTIONS, SIDE
from mien.see.picture import Floats

MEMORY = 1 << 30  # bytes that it may take on three faces: a hundred times what the packaged networks do
SECONDS = 20.0  # that it may take
ROUNDING = 0.01  # by which the sum of seven probabilities may miss 1


def open_limited(path: Path) -> ort.InferenceSession | None:
    """Open a model file of which nothing is computed yet; None where there is no file. Raises ModelError.

    The graph is not optimised: that would compute all that depends on constants alone, without any limit.
    """
    if not os.path.isfile(path):  # noqa: PTH113 - Path's own raises where a name is too long
        return None
    _limit_memory()
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own errors share no base but this
        raise ModelError(f"{path} cannot be used: is it a whole file that `mien export` wrote?") from error


def try_out(session: ort.InferenceSession, outputs: Sequence[str], path: Path) -> None:
    """Run an emotion network on a black, a white and a gray face. Raises ModelError unless it gives probabilities."""
    faces = np.stack([np.full((1, SIDE, SIDE), value, np.uint8) for value in (0, 255, 128)])
    options = ort.RunOptions()
    timer = Timer(SECONDS, setattr, (options, "terminate", True))
    timer.start()
    try:
        answers = session.run(list(outputs), {"faces": faces}, options)
    except Exception as error:
        limits = f"within {SECONDS:g} seconds and {MEMORY >> 30} GiB of memory"
        raise ModelError(f"{path} cannot read three faces {limits}: use another model") from error
    finally:
        timer.cancel()
    for name, scores in zip(outputs, answers, strict=True):
        _check(np.asarray(scores, np.float32), f"{path} gives", name, len(faces))


def _check(scores: Floats, gives: str, name: str, faces: int) -> None:
    if scores.shape != (faces, len(EMOTIONS)):
        raise ModelError(f"{gives} scores of shape {scores.shape} for {faces} faces: write it anew with `mien export`")
    if not np.isfinite(scores).all():
        raise ModelError(f"{gives} scores that are NaN or infinite: its training failed, use another model")
    if scores.min() < 0 or np.abs(scores.sum(1) - 1).max() > ROUNDING:
        low, high = scores.min(), scores.max()
        raise ModelError(f"{gives} no probabilities as {name} but {low:.3g} to {high:.3g}: end it with softmax")


@cache
def _limit_memory() -> None:
    """Give ONNX Runtime a pool of memory that ends, for the sessions that ask for it; the process has one such pool."""
    cpu = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(cpu, ort.OrtArenaCfg({"max_mem": MEMORY, "arena_extend_strategy": 1}))
