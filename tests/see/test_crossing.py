"""Three people who cross, leave and come back in a real video keep their numbers."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from mien.see.picture import Image

ROOT = Path(__file__).parents[2]
PHOTOS = Path(os.environ.get("MIEN_SHARED") or ROOT.parent / "shared") / "photos"
SECONDS = 12  # in which everyone crosses the others, and two leave and come back


@pytest.fixture(scope="module")
def crossing() -> ModuleType:
    """benchmarks/crossing.py, which draws the footage and counts."""
    spec = spec_from_file_location("crossing", ROOT / "benchmarks" / "crossing.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules["crossing"] = module_from_spec(spec)  # its dataclass looks itself up there
    spec.loader.exec_module(module)
    return module


def check(crossing: ModuleType, faces: list[Image], path: Path) -> None:
    """Write the footage and read it through the whole pipeline."""
    footage = crossing.FOOTAGE["as usual"]
    crossing.write_crossing(path, footage, faces, SECONDS)
    numbers = crossing.read_numbers(path, footage)
    assert min(map(len, numbers)) > SECONDS * footage.rate / 3
    assert crossing.switches(numbers) <= 1
    assert len({number for seen in numbers for number in seen}) == 3


def test_one_face_in_three_lights_is_three_people_with_a_number_each(crossing: ModuleType, tmp_path: Path) -> None:
    check(crossing, crossing.relit(), tmp_path / "crossing.mp4")


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs for development are not in ../shared/photos")
def test_three_photographed_people_keep_their_numbers(crossing: ModuleType, tmp_path: Path) -> None:
    check(crossing, crossing.photographed(PHOTOS), tmp_path / "crossing.mp4")
