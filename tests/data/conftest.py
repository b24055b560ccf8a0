"""Small data in every form in which FER2013 is published, and the real data where it is there."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, USAGES, Bytes, Fer2013, read
from mien.labels import EMOTIONS, FERPLUS

CSV_FORMS = {"fer2013.csv": "emotion,pixels,Usage", "icml_face_data.csv": "emotion, Usage, pixels"}
SHARED = Path(os.environ.get("MIEN_SHARED") or Path(__file__).parents[3] / "shared")


def make(labels: Sequence[int], usage: Sequence[int], votes: bool = False, seed: int = 0) -> Fer2013:
    """Random images with the labels and usages given; two values next to each other differ little, as in a photo."""
    chance = np.random.default_rng(seed)
    images = chance.integers(0, 256, (len(labels), 6, 6), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    counts = chance.multinomial(10, np.full(len(FERPLUS), 0.1), len(labels)).astype(np.uint8)
    codes = np.array(labels, np.uint8), np.array(usage, np.uint8)
    return Fer2013(images, *codes, [""] * len(labels), md5="", votes=counts if votes else None)


def small_data(votes: bool = False) -> Fer2013:
    """20 training images and 2 of each kind of test image for each emotion."""
    usage = [TRAINING] * 20 + [PUBLIC] * 2 + [PRIVATE] * 2
    return make([code for _ in usage for code in range(7)], [use for use in usage for _ in range(7)], votes)


def rows_of(data: Fer2013, header: str) -> Iterator[str]:
    """The lines of one of the CSV forms."""
    yield header
    for image, label, usage in zip(data.images, data.labels, data.usage, strict=True):
        pixels = " ".join(map(str, image.ravel()))
        cells = [str(label), pixels, USAGES[usage]]
        yield ",".join(cells if header.endswith("Usage") else [cells[0], cells[2], cells[1]])


def pictures_of(data: Fer2013) -> Iterator[tuple[str, bytes]]:
    """Names as in Kaggle's archive, and the pictures; lossless, unlike Kaggle's, so that they can be compared."""
    for number, (image, label, usage) in enumerate(zip(data.images, data.labels, data.usage, strict=True)):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        folder = "train" if usage == TRAINING else "test"
        yield f"{folder}/{EMOTIONS[label]}/{USAGES[usage]}_{number}.jpg", file.getvalue()


def write(form: str, data: Fer2013, folder: Path) -> Path:
    """Write `data` in one of the published forms; returns the source to be read."""
    if form in CSV_FORMS:
        path = folder / form
        path.write_text("\n".join(rows_of(data, CSV_FORMS[form])) + "\n")
    elif form == "folders":
        path = folder / "fer2013"
        for name, content in pictures_of(data):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif form == "zip":
        path = folder / "archive (7).zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in pictures_of(data):
                archive.writestr(name, content)
    else:
        path = folder / "fer2013.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("fer2013/fer2013.csv", "\n".join(rows_of(data, CSV_FORMS["fer2013.csv"])) + "\n")
    return path


def write_votes(votes: Bytes, usages: Bytes, path: Path) -> Path:
    """Write votes (n, 10) and usages (n,) as FER+'s fer2013new.csv."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["Usage", "Image name", *FERPLUS])
        for number, (row, usage) in enumerate(zip(votes.tolist(), usages, strict=True)):
            table.writerow([USAGES[usage], f"fer{number:07}.png", *row])
    return path


@pytest.fixture(scope="session")
def made() -> Callable[..., Fer2013]:
    return make


@pytest.fixture(scope="session")
def small() -> Fer2013:
    return small_data()


@pytest.fixture(scope="session")
def voted() -> Fer2013:
    return small_data(votes=True)


@pytest.fixture(scope="session")
def written() -> Callable[[str, Fer2013, Path], Path]:
    return write


@pytest.fixture(scope="session")
def written_votes() -> Callable[[Fer2013, Path], Path]:
    def of_data(data: Fer2013, path: Path) -> Path:
        assert data.votes is not None
        return write_votes(data.votes, data.usage, path)

    return of_data


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
    write_votes(votes, columns["usage"].to_numpy(), folder / "fer2013new.csv")
    yield folder / "fer2013.csv"
    (folder / "fer2013.csv").unlink()  # 301 MB, which pytest would keep


@pytest.fixture(scope="session")
def real(real_csv: Path) -> Fer2013:
    return read(real_csv, real_csv.with_name("fer2013new.csv"))
