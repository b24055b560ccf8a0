"""`mien data prepare` and `mien data explore` say what they found, and what to type where something is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mien.apps.cli import main
from mien.data.fer2013 import PUBLIC, TRAINING, Fer2013

from .forms import make, pictures_of, write, write_folder

Mien = Callable[..., tuple[int, str, str]]


@pytest.fixture
def mien(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Mien:
    """Run `mien data` in an empty folder; its exit code, and what it says on stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["data", *arguments])
        return int(str(ended.value.code)), *capsys.readouterr()

    return run


@pytest.mark.parametrize("form", ["fer2013.csv", "fer2013.tar.gz", "zip", "fer2013.npz"])
def test_prepare_shows_what_it_found_and_explore_draws_it(
    mien: Mien, small: Fer2013, tmp_path: Path, form: str
) -> None:
    code, said, failed = mien("prepare", str(write(form, small, tmp_path)))
    assert (code, failed) == (0, "")
    assert "│ all      │ 126   │ 14  │ 28   │" in said
    assert ("differs from the published CSV" in said) == ("csv" in form or "tar" in form)
    assert "It has 168 of the 35,887 published rows" in said
    assert "processed written in" in said
    code, said, failed = mien("explore")
    assert (code, failed) == (0, "")
    assert "The pictures are in plots." in said
    assert (tmp_path / "plots" / "mean_faces.png").exists()


def test_prepare_says_what_becomes_of_validation(mien: Mien, tmp_path: Path) -> None:
    data = make([code for code in range(7) for _ in range(4)], [TRAINING, TRAINING, PUBLIC, PUBLIC] * 7)
    for folder, named in (("one", ""), ("two", "PublicTest_")):
        members = [
            (name.replace("test/", "validation/").replace("PublicTest_", named), file)
            for name, file in pictures_of(data)
        ]
        write_folder(tmp_path / folder, members)
        code, said, _ = mien("prepare", folder)
        assert code == 0
        assert "14 validation images, held out in test as PublicTest; val is drawn from its training images." in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["explore", "nowhere"], "prepare the data first (mien data prepare SOURCE --out nowhere)"),
        (["prepare", "nowhere.csv"], "there is no nowhere.csv: give FER2013's CSV file, its archive or its folder"),
        (
            ["prepare", "x", "--votes", "no.csv"],
            "there is no no.csv: give FER+'s fer2013new.csv, or leave the votes out",
        ),
        (["prepare", "x", "--val", "nan"], "Invalid value for"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    mien: Mien, tmp_path: Path, arguments: list[str], says: str
) -> None:
    code, said, failed = mien(*arguments)
    assert (code, said, failed.count("\n")) == (2, "", 1)
    assert says in failed
    assert list(tmp_path.iterdir()) == []
