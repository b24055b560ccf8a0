"""FER2013 is read alike in every form in which it is published; what is not FER2013 becomes one clear line."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.data.fer2013 import PRIVATE, PUBLIC, PUBLISHED_MD5, TEST, TRAINING, Fer2013, read
from mien.errors import DataError
from mien.labels import EMOTIONS

CSV, ICML = "fer2013.csv", "icml_face_data.csv"
FORMS = (CSV, ICML, "folders", "zip", "zip of CSV")

Writer = Callable[[str, Fer2013, Path], Path]
Maker = Callable[..., Fer2013]


def refused(source: Path, votes: Path | None = None) -> str:
    """The message of the DataError that reading raises; it is one line."""
    with pytest.raises(DataError) as error:
        read(source, votes)
    assert "\n" not in str(error.value)
    return str(error.value)


def content(data: Fer2013) -> list[tuple[int, int, bytes]]:
    """What the rows say, whatever order they stand in."""
    images = (image.tobytes() for image in data.images)
    return sorted(zip(data.usage.tolist(), data.labels.tolist(), images, strict=True))


def edited(path: Path, old: str, new: str, row: int) -> Path:
    """Replace text in a row of a CSV file, counted from 1 after the header."""
    lines = path.read_text().split("\n")
    assert old in lines[row]
    lines[row] = lines[row].replace(old, new, 1)
    path.write_text("\n".join(lines))
    return path


# --- What is read ----------------------------------------------------------------------------------------------------


@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.sampled_from([TRAINING, PUBLIC, PRIVATE])), max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=10, deadline=None)
def test_what_is_written_is_read(
    made: Maker, written: Writer, form: str, rows: list[tuple[int, int]], seed: int
) -> None:
    labels, usage = zip(*rows, (0, TRAINING), (1, PUBLIC), (2, PRIVATE), strict=True)
    data = made(labels, usage, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        found = read(written(form, data, Path(folder)))
    assert content(found) == content(data)
    if form in (CSV, ICML):
        assert found.images.tobytes() == data.images.tobytes()  # in the source's order
    assert all(array.dtype == np.uint8 for array in (found.images, found.labels, found.usage))


def test_a_folder_that_holds_the_csv_file_is_read_as_that_file(small: Fer2013, written: Writer, tmp_path: Path) -> None:
    file = written(ICML, small, tmp_path)
    assert read(tmp_path).md5 == read(file).md5


def test_an_archive_and_its_folders_give_the_same_rows_in_the_same_order(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    archive, folder = read(written("zip", small, tmp_path)), read(written("folders", small, tmp_path))
    assert archive.names == folder.names
    assert archive.images.tobytes() == folder.images.tobytes()


def test_folders_may_stand_below_others_and_beside_what_file_systems_leave_behind(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    source = tmp_path / "data" / "archive"
    source.mkdir(parents=True)
    written("folders", small, source)
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (source / "fer2013" / name).write_bytes(b"\0")
    (source / ".git").mkdir()
    (source / ".git" / "HEAD").write_text("ref")
    assert content(read(tmp_path / "data")) == content(small)


def test_kaggles_names_tell_public_from_private_and_others_are_plainly_test(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    source = written("folders", small, tmp_path)
    assert set(read(source).usage) == {TRAINING, PUBLIC, PRIVATE}
    for number, path in enumerate(sorted((source / "test").rglob("*.jpg"))):
        path.rename(path.with_name(f"{number}.jpg"))
    assert set(read(source).usage) == {TRAINING, TEST}


def test_pictures_are_made_gray_and_48_pixels_wide(small: Fer2013, written: Writer, tmp_path: Path) -> None:
    source = written("folders", small, tmp_path)
    path = next((source / "train" / "happy").iterdir())
    picture = Image.new("RGB", (96, 130), (200, 100, 50))
    picture.save(path, "JPEG", quality=95)
    data = read(source)
    row = data.names.index(path.relative_to(source).as_posix())
    assert np.abs(data.images[row].astype(int) - picture.convert("L").getpixel((0, 0))).max() <= 2


def test_sixteen_bits_and_transparency_become_the_grays_that_they_show(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    source = written("folders", small, tmp_path)
    ramp = np.tile(np.arange(48) * 5, (48, 1))
    deep, clear = source / "train/happy/deep.png", source / "train/happy/clear.png"
    Image.fromarray((ramp * 257).astype(np.uint16)).save(deep)
    Image.new("RGBA", (48, 48), (0, 0, 0, 0)).save(clear)
    data = read(source)
    assert np.array_equal(data.images[data.names.index("train/happy/deep.png")], ramp)
    assert (data.images[data.names.index("train/happy/clear.png")] == 255).all()


def test_linked_folders_are_read_once_and_links_to_nothing_are_named(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    source = written("folders", small, tmp_path)
    before = content(read(source))
    (source / "train" / "happy").rename(tmp_path / "elsewhere")
    (source / "train" / "happy").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(source)
    assert content(read(source)) == before
    (source / "train" / "sad" / "lost.png").symlink_to(tmp_path / "nowhere")
    assert "train/sad/lost.png cannot be read" in refused(source)


def test_a_byte_order_mark_windows_line_ends_and_empty_lines_change_nothing(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    path = written(CSV, small, tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\r\n")
    assert content(read(path)) == content(small)


@pytest.mark.parametrize("form", [CSV, "folders"])
def test_the_md5_tells_sources_apart(small: Fer2013, made: Maker, written: Writer, tmp_path: Path, form: str) -> None:
    other = made(small.labels, small.usage, seed=1)
    digests = []
    for name, data in (("one", small), ("same", small), ("other", other)):
        (tmp_path / name).mkdir()
        digests.append(read(written(form, data, tmp_path / name)).md5)
    assert digests[0] == digests[1] != digests[2]
    assert digests[0] not in PUBLISHED_MD5


# --- What is refused -------------------------------------------------------------------------------------------------


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "there is no" in refused(tmp_path / "fer2013.csv")


@pytest.mark.parametrize("text", ["", "a,b,c\n", "emotion,pixels\n", "\0\0\0", "\xff\xfe", "emotion;pixels;Usage\n"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "some.csv").write_bytes(text.encode("latin-1"))
    assert "first line must name emotion, pixels and Usage" in refused(tmp_path / "some.csv")


@given(share=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("form", [CSV, ICML])
@settings(max_examples=25, deadline=None)
def test_a_truncated_csv_is_refused_unless_it_ends_with_a_whole_row(
    made: Maker, written: Writer, form: str, share: float
) -> None:
    data = made([0, 1, 2, 3], [TRAINING, PUBLIC, PRIVATE, PRIVATE])
    with tempfile.TemporaryDirectory() as folder:
        path = written(form, data, Path(folder))
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])
        try:
            found = read(path)
        except DataError as error:
            assert "truncated" in str(error) or "Usage" in str(error) or "is it the whole" in str(error)
        else:
            assert found.labels.tolist() in ([0, 1, 2], [0, 1, 2, 3])


def test_a_truncated_row_is_named(small: Fer2013, written: Writer, tmp_path: Path) -> None:
    path = written(CSV, small, tmp_path)
    lines = path.read_text().split("\n")
    path.write_text("\n".join([*lines[:40], lines[40][:100]]))
    assert refused(path) == "fer2013.csv: row 40 has 2 of 3 cells: is the file truncated?"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (" ", "", "2,303 pixels, not 2,304"),
        (" ", " 7 ", "2,305 pixels, not 2,304"),
        (" ", " x", "not numbers from 0 to 255"),
        (" ", "\0 ", "not numbers from 0 to 255"),
        (" ", " -", "not numbers from 0 to 255"),
        (" ", "999 ", "not numbers from 0 to 255"),
        (" ", "99999999999999999999 ", "not numbers from 0 to 255"),
        (" ", "65541", "pixels"),  # 65536 + 5: a short integer would make it 5
        ("0,", "7,", "the emotion '7': codes go from 0 to 6"),
        ("0,", "-1,", "the emotion '-1'"),
        ("0,", "happy,", "the emotion 'happy'"),
        ("0,", ",", "the emotion ''"),
        ("Training", "Train", "the Usage 'Train', which is none of Training, PublicTest, PrivateTest"),
        ("Training", "Test", "the Usage 'Test'"),
        (",Training", "", "2 of 3 cells"),
        (",Training", ',"Training' + "x" * 200_000, "cannot be read"),
        (" ", " " * 200_000, "row 8"),
    ],
)
def test_a_bad_row_is_named(small: Fer2013, written: Writer, tmp_path: Path, old: str, new: str, says: str) -> None:
    path = edited(written(CSV, small, tmp_path), old, new, row=8)
    message = refused(path)
    assert "row 8" in message
    assert says in message
    assert len(message) < 200


def test_bytes_that_are_no_text_are_named_by_their_row(small: Fer2013, written: Writer, tmp_path: Path) -> None:
    path = written(CSV, small, tmp_path)
    lines = path.read_bytes().split(b"\n")
    lines[5] = lines[5].replace(b" ", b"\xff\xfe", 1)
    path.write_bytes(b"\n".join(lines))
    assert "row 5 has pixels that are not numbers" in refused(path)


@pytest.mark.parametrize("usage", [TRAINING, PUBLIC, PRIVATE])
@pytest.mark.parametrize("form", FORMS)
def test_a_missing_split_is_named(made: Maker, written: Writer, tmp_path: Path, form: str, usage: int) -> None:
    name = ("Training", "PublicTest", "PrivateTest")[usage]
    others = [code for code in (TRAINING, PUBLIC, PRIVATE) if code != usage]
    assert f"holds no {name} images" in refused(written(form, made([0, 1], others), tmp_path))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("train/contempt/1.jpg", "an unknown emotion: the folders are " + ", ".join(EMOTIONS)),
        ("valid/happy/1.jpg", "stands in no train/<emotion>/ or test/<emotion>/ folder"),
        ("train/1.jpg", "stands in no train"),
        ("1.jpg", "stands in no train"),
        ("train/happy/more/1.jpg", "stands in no train"),
        ("train/happy/1.jpg", "no readable picture"),
    ],
)
@pytest.mark.parametrize("form", ["folders", "zip"])
def test_a_stray_file_is_named(
    small: Fer2013, written: Writer, tmp_path: Path, form: str, name: str, says: str
) -> None:
    source = written(form, small, tmp_path)
    if form == "folders":
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"no picture")
    else:
        with zipfile.ZipFile(source, "a") as archive:
            archive.writestr(name, b"no picture")
    message = refused(source)
    assert says in message
    assert name in message


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_picture_is_read_or_named(made: Maker, written: Writer, data: st.DataObject) -> None:
    whole = io.BytesIO()
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]))
    Image.radial_gradient("L").resize((48, 48)).save(whole, kind)
    damaged = bytearray(whole.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    with tempfile.TemporaryDirectory() as folder:
        source = written("folders", made([0, 1, 2], [TRAINING, PUBLIC, PRIVATE]), Path(folder))
        (source / "train" / "angry" / "1.jpg").write_bytes(damaged[:cut])
        try:
            assert len(read(source).labels) == 4
        except DataError as error:
            assert str(error).startswith("train/angry/1.jpg ")


def test_pictures_of_monstrous_size_are_refused_before_they_are_decoded(
    small: Fer2013, written: Writer, tmp_path: Path
) -> None:
    source = written("folders", small, tmp_path)
    path = source / "train" / "sad" / "big.png"
    Image.new("1", (9000, 9000)).save(path)
    assert "has 9,000×9,000 pixels" in refused(source)
    Image.new("1", (20_000, 20_000)).save(path)  # more than Pillow itself would open
    assert "has far too many pixels" in refused(source)
    with path.open("wb") as file:
        file.truncate(2**25)  # a file of 32 MiB without a byte of content
    assert "has more than 16 MiB" in refused(source)


# --- FER+ ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [CSV, ICML])
def test_votes_are_read_beside_the_rows(
    voted: Fer2013, written: Writer, written_votes: Callable[[Fer2013, Path], Path], tmp_path: Path, form: str
) -> None:
    source, votes = written(form, voted, tmp_path), written_votes(voted, tmp_path / "fer2013new.csv")
    found = read(source, votes).votes
    assert found is not None and voted.votes is not None
    assert found.tolist() == voted.votes.tolist()
    assert read(source).votes is None


def test_votes_do_not_go_with_folders_whose_order_is_another(
    voted: Fer2013, written: Writer, written_votes: Callable[[Fer2013, Path], Path], tmp_path: Path
) -> None:
    source, votes = written("folders", voted, tmp_path), written_votes(voted, tmp_path / "fer2013new.csv")
    assert "votes go by the rows of FER2013's CSV, so prepare that" in refused(source, votes)


@pytest.mark.parametrize(
    ("old", "new", "row", "says"),
    [
        ("neutral", "calm", 0, "has no column neutral"),
        ("Usage", "Use", 0, "has no column Usage"),
        ("Training", "PublicTest", 3, "row 3 is 'PublicTest' and in FER2013 Training"),
        (".png,", ".png,x", 3, "row 3 has a vote that is no number"),
        (".png,", ".png,-9", 3, "row 3 has a vote that is no number"),
        (".png,", ".png,999", 3, "row 3 has a vote that is no number"),
        (".png,", ".png", 3, "row 3 has a vote that is no number"),
        ("Training", "\0", 3, "row 3"),
    ],
)
def test_bad_votes_are_named(
    voted: Fer2013,
    written: Writer,
    written_votes: Callable[[Fer2013, Path], Path],
    tmp_path: Path,
    old: str,
    new: str,
    row: int,
    says: str,
) -> None:
    votes = edited(written_votes(voted, tmp_path / "fer2013new.csv"), old, new, row)
    assert says in refused(written(CSV, voted, tmp_path), votes)


def test_truncated_and_missing_votes_are_refused(
    voted: Fer2013, written: Writer, written_votes: Callable[[Fer2013, Path], Path], tmp_path: Path
) -> None:
    source, votes = written(CSV, voted, tmp_path), written_votes(voted, tmp_path / "fer2013new.csv")
    votes.write_text("".join(votes.read_text().splitlines(keepends=True)[:-3]))
    assert "has 165 rows and FER2013 168: are both files whole?" in refused(source, votes)
    assert "cannot be read" in refused(source, tmp_path / "nowhere.csv")
