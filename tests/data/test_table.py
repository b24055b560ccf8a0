"""A CSV file is read as editors and spreadsheets leave it, or refused in a line that names the line."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.fer2013 import PRIVATE, PUBLIC, TEST, TRAINING, Fer2013
from mien.data.read import read
from mien.data.table import number_of
from mien.errors import DataError

from .forms import CSV, ICML, content, csv_of, edited, make, refused, write

HEADER = b"emotion,pixels,Usage\n"


def rewritten(path: Path, *, lines: str = "\n", encoding: str = "utf-8", **changes: str) -> Path:
    """Write a CSV file anew, with other line ends, another encoding, and texts replaced."""
    text = path.read_text()
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_bytes(text.replace("\n", lines).encode(encoding))
    return path


# --- What is read ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [CSV, ICML])
@pytest.mark.parametrize(
    "changes",
    [
        {"encoding": "utf-8-sig", "lines": "\r\n"},
        {"lines": "\r"},
        {"lines": "\n\n"},
        {"lines": "  \n"},
        {"lines": "\n ,,\n"},
        {"encoding": "utf-16"},
        {",": ";"},
        {",": "\t"},
        {",": "|"},
        {",": " , "},
        {",": "  ;\t"},
        {"Training": " training ", "PublicTest": "publictest", "PrivateTest": "PRIVATETEST"},
        {"PublicTest": "Public Test", "PrivateTest": "private-test", "Usage": "USAGE", "emotion": "Emotion"},
        {"Training": "train"},
        {"emotion": '"emotion"', "Training": '"Training"'},
    ],
    ids=str,
)
def test_what_editors_change_changes_nothing(
    small: Fer2013, tmp_path: Path, form: str, changes: dict[str, str]
) -> None:
    found = read(rewritten(write(form, small, tmp_path), **changes))
    assert content(found) == content(small)
    assert found.images.tobytes() == small.images.tobytes()


@pytest.mark.parametrize("label", ["0", " 0 ", "0.0", "0.", "00", "0.000", "angry", "Angry", "ANGER", '"0"'])
def test_a_label_is_a_code_or_a_name_however_it_is_written(small: Fer2013, tmp_path: Path, label: str) -> None:
    path = edited(write(CSV, small, tmp_path), "0,", f"{label},", line=2)
    assert content(read(path)) == content(small)


def test_columns_may_be_in_any_order_and_others_beside_them(small: Fer2013, tmp_path: Path) -> None:
    lines = [line.split(",") for line in csv_of(small).decode().splitlines()]
    path = tmp_path / "faces.csv"
    path.write_text(
        "\n".join(f'{number};{usage};"{pixels}";"{emotion}";x' for number, (emotion, pixels, usage) in enumerate(lines))
    )
    assert content(read(path)) == content(small)


def test_pixels_may_be_far_apart(small: Fer2013, tmp_path: Path) -> None:
    path = write(CSV, small, tmp_path)
    head, _, body = path.read_text().partition("\n")
    path.write_text(f"{head}\n{body.replace(' ', '  ')}")
    assert content(read(path)) == content(small)


def test_a_usage_of_other_editions_is_understood(tmp_path: Path) -> None:
    path = write(CSV, make([0, 1, 2], [TRAINING, PUBLIC, PRIVATE]), tmp_path)
    assert read(edited(path, "PrivateTest", "test", line=4)).usage.tolist() == [TRAINING, PUBLIC, TEST]
    found = read(edited(path, "PublicTest", "validation", line=3))
    assert (found.usage.tolist(), found.validation) == ([TRAINING, PUBLIC, PRIVATE], 1)


def test_rows_are_named_by_their_lines(small: Fer2013, tmp_path: Path) -> None:
    path = write(CSV, small, tmp_path)
    lines = path.read_text().split("\n")
    path.write_text("\n".join([lines[0], lines[1], "", "", *lines[2:]]))
    assert read(path).names[:3] == [f"fer2013.csv: line {line}" for line in (2, 5, 6)]


# --- Headers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "a,b,c\n", "\xff\xfe", "<html>\n"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.csv").write_bytes(text.encode("latin-1"))
    assert "first line must name emotion, pixels and Usage" in refused(tmp_path / "some.csv")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("emotion,pixels", "has no column Usage, which tells training rows from test rows: give a CSV file that has"),
        ("pixels", "has no column emotion and Usage"),
        ("pixels,Usage", "has no column emotion: give a CSV file that has emotion, pixels and Usage"),
        ("Usage,Image name,neutral,happiness", "has no column emotion and pixels"),
    ],
)
def test_a_missing_column_is_named(tmp_path: Path, columns: str, says: str) -> None:
    (tmp_path / "train.csv").write_text(f"{columns}\n")
    assert refused(tmp_path / "train.csv").startswith(f"train.csv {says}")


def test_a_missing_header_is_told_from_another_file(small: Fer2013, tmp_path: Path) -> None:
    path = write(CSV, small, tmp_path)
    path.write_bytes(path.read_bytes().removeprefix(HEADER))
    assert refused(path) == (
        "fer2013.csv: line 1 holds a row: write a line above it that names the columns, emotion, pixels and Usage"
    )


# --- Rows ------------------------------------------------------------------------------------------------------------


@given(share=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("form", [CSV, ICML])
@settings(max_examples=25, deadline=None)
def test_a_truncated_csv_is_refused_unless_it_ends_with_a_whole_row(form: str, share: float) -> None:
    data = make([0, 1, 2, 3], [TRAINING, PUBLIC, PRIVATE, PRIVATE])
    with tempfile.TemporaryDirectory() as folder:
        path = write(form, data, Path(folder))
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            found = read(path)
        except DataError as error:
            assert "truncated" in str(error) or "Usage" in str(error) or "is it the whole" in str(error)
        else:
            assert found.labels.tolist() in ([0, 1, 2], [0, 1, 2, 3])


def test_a_truncated_row_is_named(small: Fer2013, tmp_path: Path) -> None:
    path = write(CSV, small, tmp_path)
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:40], lines[40][:100]]))
    assert refused(path) == "fer2013.csv: line 41 has 2 of 3 cells: is the file truncated?"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (" ", "", "2,303 pixels, not 2,304"),
        (" ", " 7 ", "2,305 pixels, not 2,304"),
        (" ", " x", "not whole numbers from 0 to 255"),
        (" ", "\0 ", "not whole numbers from 0 to 255"),
        (" ", ".0 ", "not whole numbers from 0 to 255"),
        (" ", " -", "not whole numbers from 0 to 255"),
        (" ", "999 ", "not whole numbers from 0 to 255"),
        (" ", "99999999999999999999 ", "not whole numbers from 0 to 255"),
        (" ", "65541", "pixels"),  # 65536 + 5: a short integer would make it 5
        ("0,", "7,", "the emotion '7': codes go from 0 to 6"),
        ("0,", "7.0,", "the emotion '7.0'"),
        ("0,", "0.5,", "the emotion '0.5'"),
        ("0,", "1e0,", "the emotion '1e0'"),
        ("0,", "-1,", "the emotion '-1'"),
        ("0,", f"{'9' * 5000},", "the emotion '99999999999999999999'"),
        ("0,", "contempt,", "the emotion 'contempt'"),
        ("0,", ",", "the emotion ''"),
        ("Training", "Trained", "the Usage 'Trained', which is none of Training, PublicTest, PrivateTest"),
        ("Training", "", "the Usage ''"),
        (",Training", "", "2 of 3 cells"),
        (",Training", ',"Training', "begins a cell without an end: is a quotation mark missing?"),
        (",Training", ',"Training' + "x" * 200_000, "has more than 131,072 letters"),
        (" ", " " * 200_000, "has more than 131,072 letters"),
    ],
)
def test_a_bad_row_is_named_by_its_line(small: Fer2013, tmp_path: Path, old: str, new: str, says: str) -> None:
    message = refused(edited(write(CSV, small, tmp_path), old, new, line=9))
    assert message.startswith("fer2013.csv: line 9 ")
    assert says in message
    assert len(message) < 200


def test_bytes_that_are_no_text_are_named_by_their_line(small: Fer2013, tmp_path: Path) -> None:
    path = write(CSV, small, tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[5] = lines[5].replace(b" ", b"\xff\xfe", 1)
    path.write_bytes(b"\n".join(lines))
    assert "line 6 has pixels that are not whole numbers" in refused(path)


@given(text=st.one_of(st.text(max_size=30), st.from_regex(r"[0-9]+\.?[0-9]*", fullmatch=True)))
def test_only_whole_numbers_are_numbers(text: str) -> None:
    found = number_of(text)
    if found is not None:
        assert Decimal(found) == Decimal(text.strip()[:20])
    assert (number_of("12"), number_of("3.0"), number_of("3.5"), number_of("")) == (12, 3, None, None)
