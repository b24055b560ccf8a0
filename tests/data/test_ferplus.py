"""FER+'s votes go with the rows of FER2013, or one clear line says why they do not."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from mien.data.fer2013 import Fer2013
from mien.data.read import read

from .forms import FORMS, PICTURES, edited, refused, write, write_votes


@pytest.mark.parametrize("form", [form for form in FORMS if form not in PICTURES])
def test_votes_are_read_beside_the_rows(voted: Fer2013, tmp_path: Path, form: str) -> None:
    source, votes = write(form, voted, tmp_path), write_votes(voted, tmp_path / "fer2013new.csv")
    found = read(source, votes).votes
    assert found is not None and voted.votes is not None
    assert found.tolist() == voted.votes.tolist()
    assert (read(source).votes is None) == (form != "fer2013.npz")  # which brings its own


def test_votes_may_be_gzipped_and_changed_by_an_editor(voted: Fer2013, tmp_path: Path) -> None:
    source, votes = write("fer2013.csv", voted, tmp_path), write_votes(voted, tmp_path / "fer2013new.csv")
    text = votes.read_text().replace(",", ";").replace("Training", "training")
    votes.write_bytes(gzip.compress(b"\xef\xbb\xbf" + text.encode()))
    found = read(source, votes).votes
    assert found is not None and voted.votes is not None
    assert found.tolist() == voted.votes.tolist()


@pytest.mark.parametrize("form", PICTURES)
def test_votes_do_not_go_with_pictures_whose_order_is_another(voted: Fer2013, tmp_path: Path, form: str) -> None:
    source, votes = write(form, voted, tmp_path), write_votes(voted, tmp_path / "fer2013new.csv")
    assert "prepare the CSV file, or leave the votes out" in refused(source, votes)


@pytest.mark.parametrize(
    ("old", "new", "line", "says"),
    [
        ("neutral", "calm", 1, "has no column neutral"),
        ("Usage", "Use", 1, "has no column Usage"),
        ("Training", "PublicTest", 4, "line 4 is 'PublicTest' and in FER2013 Training"),
        ("Training", "nothing", 4, "line 4 is 'nothing' and in FER2013 Training"),
        (".png,", ".png,x", 4, "line 4 has a vote that is not a number from 0 to 255"),
        (".png,", ".png,-9", 4, "line 4 has a vote that is not a number from 0 to 255"),
        (".png,", ".png,999", 4, "line 4 has a vote that is not a number from 0 to 255"),
        (".png,", ".png", 4, "line 4 has a vote that is not a number from 0 to 255"),
        ("Training", "\0", 4, "line 4"),
    ],
)
def test_bad_votes_are_named(voted: Fer2013, tmp_path: Path, old: str, new: str, line: int, says: str) -> None:
    votes = edited(write_votes(voted, tmp_path / "fer2013new.csv"), old, new, line)
    assert says in refused(write("fer2013.csv", voted, tmp_path), votes)


def test_truncated_votes_are_refused(voted: Fer2013, tmp_path: Path) -> None:
    source, votes = write("fer2013.csv", voted, tmp_path), write_votes(voted, tmp_path / "fer2013new.csv")
    votes.write_text("".join(votes.read_text().splitlines(keepends=True)[:-3]))
    assert "has 165 rows and FER2013 168: are both files whole?" in refused(source, votes)


def test_missing_votes_may_be_left_out_and_that_is_said_before_the_source_is_read(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.csv"
    says = "give FER+'s fer2013new.csv, or leave the votes out"
    assert refused(tmp_path / "no source.csv", missing) == f"there is no {missing}: {says}"
    assert refused(tmp_path / "no source.csv", tmp_path).endswith(f"(Is a directory): {says}")


def test_a_file_of_another_kind_holds_no_votes(voted: Fer2013, tmp_path: Path) -> None:
    source = write("fer2013.csv", voted, tmp_path)
    assert "is not FER+'s fer2013new.csv: it has no column neutral" in refused(source, source)
    archive = write("zip", voted, tmp_path)
    assert "is neither a CSV file nor a zip" in refused(source, archive)
