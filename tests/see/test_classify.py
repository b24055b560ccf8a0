"""The packaged networks are picked by their size, any other by its file."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.errors import ModelError
from mien.see import classify
from mien.see.classify import Classifier
from mien.see.weights import find

ROOT = Path(__file__).parents[2]

FACES = np.random.default_rng(3).integers(0, 256, (5, 48, 48), np.uint8)


def test_s_is_what_is_taken_without_a_name() -> None:
    assert Classifier().path == Classifier("s").path == find("emotion.onnx")
    assert (Classifier()(FACES) == Classifier("s")(FACES)).all()


def test_m_is_another_network_with_the_same_heads() -> None:
    small, large = Classifier("s"), Classifier("m")
    assert large.path == find("emotion-m.onnx")
    assert large.heads == small.heads
    assert np.allclose(large(FACES).sum(1), 1, atol=1e-5)
    assert np.abs(large(FACES) - small(FACES)).max() > 0.01


def test_a_file_that_is_named_like_a_size_is_taken_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(find("emotion.onnx"), tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    for name in ("./m", Path("m")):
        assert (Classifier(name)(FACES) == Classifier("s")(FACES)).all()


def test_an_unknown_size_is_a_file_that_is_missing() -> None:
    with pytest.raises(ModelError, match="no model at xl: give s, m or the path of an ONNX file"):
        Classifier("xl")
    with pytest.raises(ModelError, match="there is no model"):  # an unset variable of the shell is not S
        Classifier("")


def test_a_face_and_its_mirror_image_get_one_answer_with_flip() -> None:
    both = Classifier("m", flip=True)
    assert np.allclose(both(FACES), both(FACES[..., ::-1]), atol=1e-6)


def test_the_example_in_the_documentation_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    failed, tried = doctest.testmod(classify)
    assert tried
    assert not failed


@pytest.mark.parametrize("options", [{"head": "best"}, {"device": "gpu"}])
def test_an_option_that_is_no_choice_is_refused_with_the_choices(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"choose one of (official, ferplus, blend|cpu, cuda)"):
        Classifier(**options)
