"""The detector's networks as the page has them give what Python's give."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from mien.see.detect import Detector

from .browsers import WEB

DETECTOR = Detector()
NETS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "pnet": (DETECTOR._pnet, (1, 131, 97, 3)),
    "rnet": (DETECTOR._rnet.session, (40, 24, 24, 3)),
    "onet": (DETECTOR._onet.session, (40, 48, 48, 3)),
}


@pytest.mark.parametrize("name", NETS)
def test_the_pages_networks_give_what_pythons_give(name: str) -> None:
    session, shape = NETS[name]
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    page = ort.InferenceSession(WEB / "models" / f"{name}.onnx", providers=["CPUExecutionProvider"])
    wanted, given = (each.run(None, {"image": image})[0] for each in (session, page))
    assert given.shape == wanted.shape
    assert np.abs(given - wanted).max() <= 9e-6
