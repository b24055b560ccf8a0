"""Broken pictures of every common format: each is read, or refused in one line with nothing written."""

from __future__ import annotations

import warnings
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.random import Generator

from mien.apps.read import Outputs, read_pictures
from mien.errors import MienError, SourceWarning
from mien.reader import Reader

ASTRONAUT = Path(__file__).parents[2] / "assets" / "astronaut.jpg"
FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "tiff_lzw", "ppm", "ico", "jpeg2000")
EACH = 50  # pictures of each format: 500 in all

opened = cache(Reader)  # the networks load once


def whole(kind: str) -> bytes:
    """The astronaut's face, 64 pixels a side, as a file of that kind."""
    data = BytesIO()
    with PIL.Image.open(ASTRONAUT) as picture:
        face = picture.crop((150, 30, 310, 190)).resize((64, 64))
    options = {"compression": "tiff_lzw"} if kind == "tiff_lzw" else {}
    face.save(data, kind.removesuffix("_lzw"), **options)
    return data.getvalue()


def broken(data: bytes, chance: Generator) -> bytes:
    """The file with a few of its bytes changed, cut off, doubled or left out; half of the time near its beginning."""
    mutated = bytearray(data)
    for _ in range(chance.integers(1, 9)):
        reach = len(mutated) if chance.random() < 0.5 else min(len(mutated), 128)
        at, length = int(chance.integers(reach)), int(chance.integers(1, 33))
        match chance.integers(6):
            case 0:
                mutated[at] ^= 1 << int(chance.integers(8))
            case 1:
                mutated[at] = int(chance.choice((0, 1, 127, 128, 255)))
            case 2:
                mutated[at : at + length] = chance.bytes(length)
            case 3:
                mutated[at:at] = mutated[at : at + length]
            case 4:
                del mutated[at : at + length]
            case 5 if chance.random() < 0.3:
                del mutated[max(at, 8) :]
        mutated = mutated or bytearray(b"\0")
    return bytes(mutated)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_broken_picture_is_read_whole_or_refused_in_one_line(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    chance = np.random.default_rng(FORMATS.index(kind))
    source = tmp_path / f"picture.{kind}"
    outputs = Outputs(image=tmp_path / "out.png", counts=tmp_path / "counts.csv", csv=tmp_path / "out.csv")
    for _ in range(EACH):
        source.write_bytes(broken(whole(kind), chance))
        check_one(source, outputs)
    assert capfd.readouterr().err == ""  # libtiff would speak past Python


def check_one(source: Path, outputs: Outputs) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SourceWarning)  # of a file that ends early what is there is read
            assert read_pictures([source], outputs, opened, several=False, workers=1) == 0
    except MienError as error:
        assert "\n" not in str(error)
        assert [file.name for file in source.parent.iterdir()] == [source.name]
    else:
        assert set(source.parent.iterdir()) == {source, *outputs.files()}
        with PIL.Image.open(outputs.files()[0]) as drawn:
            drawn.load()
        for file in outputs.files():
            file.unlink()


def test_the_whole_files_are_read() -> None:
    for kind in FORMATS:
        assert len(opened().read(whole(kind))) == 1
