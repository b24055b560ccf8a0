"""Small data, and the real data where it is there."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mien.data.fer2013 import Fer2013
from mien.data.read import read

from .forms import small_data, write_votes

SHARED = Path(os.environ.get("MIEN_SHARED") or Path(__file__).parents[3] / "shared")
NONE = np.empty(0, np.uint8)


@pytest.fixture(scope="session")
def small() -> Fer2013:
    return small_data()


@pytest.fixture(scope="session")
def voted() -> Fer2013:
    return small_data(votes=True)


@pytest.fixture(scope="session")
def real_csv(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The real fer2013.csv with FER+'s fer2013new.csv beside it, for as long as the tests run."""
    script = SHARED / "fer2013" / "forms.py"
    if not script.exists():
        pytest.skip("the real FER2013 is not here: it may not be passed on; MIEN_SHARED names the folder that has it")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the real FER2013 is a Parquet file: pip install pyarrow")
    spec = importlib.util.spec_from_file_location("forms", script)
    assert spec is not None and spec.loader is not None
    forms = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(forms)
    folder = tmp_path_factory.mktemp("fer2013")
    forms.FORMS["csv"](folder)
    columns = parquet.read_table(forms.PARQUET, columns=["ferplus_votes", "usage"])
    votes = np.array(columns["ferplus_votes"].to_pylist(), np.uint8)
    usage = columns["usage"].to_numpy()
    write_votes(Fer2013(NONE, NONE, usage, [], votes=votes), folder / "fer2013new.csv")
    yield folder / "fer2013.csv"
    (folder / "fer2013.csv").unlink()  # 301 MB, which pytest would keep


@pytest.fixture(scope="session")
def real(real_csv: Path) -> Fer2013:
    return read(real_csv, real_csv.with_name("fer2013new.csv"))
