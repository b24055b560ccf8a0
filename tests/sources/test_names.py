"""Whatever people name is found and sorted into pictures and videos; what is not read is named, and nothing is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from mien.errors import SourceError
from mien.sources.names import (
    PICTURES,
    UNREAD,
    VIDEOS,
    check_file,
    find,
    is_camera,
    is_sequence,
    is_url,
    local_path,
    short,
    without_password,
)

Film = Callable[..., Path]

CASES = Path(__file__).parents[2].parent / "shared" / "cases"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures, videos and other things, some of them in a folder below."""
    (tmp_path / "below").mkdir()
    (tmp_path / ".hidden").mkdir()
    names = ["b.PNG", "a.jpg", ".hidden.png", ".hidden/h.png", "below/c.heic", "notes.txt", "z.MP4", "below/y.webm"]
    for name in names:
        (tmp_path / name).touch()
    return tmp_path


def test_a_folder_stands_for_what_is_directly_in_it(folder: Path) -> None:
    found = find([folder])
    assert found.pictures == [folder / "a.jpg", folder / "b.PNG"]
    assert found.videos == [str(folder / "z.MP4")]
    assert (found.left_out, found.empty) == ([], [])


def test_recursively_it_stands_for_the_folders_below_too_but_not_the_hidden_ones(folder: Path) -> None:
    found = find([folder], recursive=True)
    assert found.pictures == [folder / "a.jpg", folder / "b.PNG", folder / "below" / "c.heic"]
    assert found.videos == [str(folder / "below" / "y.webm"), str(folder / "z.MP4")]


def test_patterns_stand_for_files_and_two_stars_reach_below(folder: Path) -> None:
    assert find([folder / "*.jpg"]).pictures == [folder / "a.jpg"]
    assert find([folder / "**" / "*.*"]).videos == [str(folder / "below" / "y.webm"), str(folder / "z.MP4")]
    assert find([folder / "*.MP4"]).videos == [str(folder / "z.MP4")]


def test_numbered_pictures_are_found_by_their_pattern(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"frame_{number:03}.png").touch()
    assert len(find([tmp_path / "frame_%03d.png"]).pictures) == 3
    assert is_sequence(str(tmp_path / "frame_%03d.png"))
    (tmp_path / "100%d.png").touch()
    assert not is_sequence(str(tmp_path / "100%d.png"))  # a file of that name is itself
    assert find([tmp_path / "100%d.png"]).pictures == [tmp_path / "100%d.png"]


def test_each_file_comes_once_and_in_the_order_given(folder: Path) -> None:
    c, a, b = folder / "below" / "c.heic", folder / "a.jpg", folder / "b.PNG"
    assert find([c, folder, a]).pictures == [c, a, b]
    assert find([folder / "notes.txt"]).pictures == [folder / "notes.txt"]  # who names it wants it read


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "a [1] *.png").touch()
    assert find([tmp_path / "a [1] *.png"]).pictures == [tmp_path / "a [1] *.png"]


def test_what_stands_for_nothing_is_kept_to_be_reported(tmp_path: Path) -> None:
    nothing = [tmp_path / "*.png", tmp_path / "missing", Path("nul\0")]
    assert find(nothing).pictures == nothing
    found = find([tmp_path])
    assert (found.pictures, found.empty) == ([], [str(tmp_path)])


def test_a_folder_whose_pictures_lie_deeper_is_named_as_empty(folder: Path) -> None:
    (folder / "above").mkdir()
    (folder / "above" / "deep").mkdir()
    (folder / "above" / "deep" / "a.png").touch()
    assert find([folder / "above"]).empty == [str(folder / "above")]
    assert find([folder / "above"], recursive=True).empty == []


def test_one_file_alone_is_told_from_what_may_come_to_stand_for_more(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    a = tmp_path / "a.png"
    for names in ([a], [a.as_uri()], [tmp_path / "missing.mp4"], ["-"], [tmp_path / "[nothing].png"]):
        assert find(names).alone
    for names in ([tmp_path], [tmp_path / "*.png"], [tmp_path / "[ab].png"], [a, a], [tmp_path / "%d.png"]):
        assert find(names).alone is (names == [tmp_path / "%d.png"])  # no such pictures


def test_a_name_that_is_empty_is_refused_at_once() -> None:
    with pytest.raises(SourceError, match="has no name"):
        find(["a.png", ""])


@pytest.mark.parametrize("ending", sorted(UNREAD))
def test_pictures_that_are_not_read_are_named_and_not_passed_over(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"a{ending.upper()}").write_bytes(b"II*\0")
    found = find([tmp_path])
    assert (found.pictures, found.videos, found.empty) == ([], [], [])
    [said] = found.left_out
    assert said == f"{tmp_path / 'a'}{ending.upper()} is left out: {ending} is not read; convert it to PNG"


def test_the_kinds_of_files_do_not_overlap() -> None:
    assert not (PICTURES & VIDEOS or PICTURES & UNREAD or VIDEOS & UNREAD)


def test_pictures_and_videos_are_known_by_how_they_begin_where_their_ending_says_nothing(
    tmp_path: Path, film: Film
) -> None:
    for kind in ("jpeg", "png", "gif", "webp"):
        PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / f"{kind}_large", kind)
    for name in ("a.mp4", "a.mkv", "a.avi", "a.flv", "a.mpg"):
        film(name, frames=3, codec="mpeg4" if name == "a.avi" else "mpeg1video" if name == "a.mpg" else "libx264")
        (tmp_path / name).rename(tmp_path / name.replace(".", "_"))
    (tmp_path / "song.m4a").write_bytes(b"\0\0\0\x20ftypM4A isom")
    (tmp_path / "words").write_text("BMW makes cars")
    found = find([tmp_path])
    assert [path.name for path in found.pictures] == ["gif_large", "jpeg_large", "png_large", "webp_large"]
    assert [Path(name).name for name in found.videos] == ["a_avi", "a_flv", "a_mkv", "a_mp4", "a_mpg"]
    assert find([tmp_path / "a_mp4"]).videos == [str(tmp_path / "a_mp4")]


def test_the_part_of_a_killed_run_is_no_picture(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.png.mien-part")
    assert find([tmp_path]).pictures == []


def test_addresses_are_videos_and_file_urls_are_files(tmp_path: Path) -> None:
    (tmp_path / "a b#1.png").touch()
    found = find(["rtsp://camera/live", "HTTP://host/a.mp4", (tmp_path / "a b#1.png").as_uri()])
    assert found.videos == ["rtsp://camera/live", "HTTP://host/a.mp4"]
    assert found.pictures == [tmp_path / "a b#1.png"]
    for start in ("file://", "FILE://", "file:", "file://localhost"):
        assert local_path(f"{start}/tmp/a%20b.png") == Path("/tmp/a b.png")


def test_text_that_is_a_picture_is_one_short_line_and_the_others_go_on(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    data = "iVBORw0KGgo" + "A" * 97_776
    found = find([f"data:image/png;base64,{data}", data, tmp_path / "a.png"])
    assert found.pictures == [tmp_path / "a.png"]
    assert len(found.left_out) == 2
    for said in found.left_out:
        assert len(said) < 250 and "decode it and give the bytes" in said


@pytest.mark.parametrize("name", ["http://user:secret@host/a.jpg", "https://host/a.jpg", "ftp://host/a.jpg"])
def test_an_address_is_no_path_keeps_its_slashes_and_hides_its_password(name: str) -> None:
    with pytest.raises(SourceError, match=r"is an address, which is not fetched: download it first") as error:
        local_path(name)
    assert "://host" in str(error.value) and "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("rtsp://host", True),
        ("http+unix://x", True),
        ("C:\\photos\\a.png", False),
        ("c://photos", False),
        ("a.png", False),
        ("concat:a|b", False),
    ],
)
def test_a_drive_is_no_protocol(name: str, url: bool) -> None:
    assert is_url(name) is url


def test_a_number_is_a_camera_unless_a_file_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7").touch()
    assert [is_camera(name) for name in ("7", "8", "/dev/video3", "a.mp4", "nul\0")] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_a_password_is_not_shown() -> None:
    assert without_password("rtsp://user:secret@10.0.0.1:554/a?b=c") == "rtsp://10.0.0.1:554/a?b=c"
    assert without_password("rtsp://10.0.0.1/a@b") == "rtsp://10.0.0.1/a@b"


def test_why_a_file_cannot_be_opened_is_one_short_line(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "pipe")
    wrong = {
        tmp_path / "missing": "there is no file",
        tmp_path: "is a folder: give a picture",
        tmp_path / "pipe": "is not a file: give a picture",
        tmp_path / "empty": "is empty",
        tmp_path / "empty" / "below": "there is no file|cannot be opened",
        Path("n" * 300): "cannot be opened",
        Path("nul\0"): "there is no file|cannot be opened",
    }
    for path, says in wrong.items():
        with pytest.raises(SourceError, match=says) as error:
            check_file(path, "give a picture")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 250


def test_a_long_name_is_cut_in_messages() -> None:
    assert short("a" * 100) == "a" * 100
    assert short("a" * 101) == "a" * 99 + "…"


@pytest.mark.skipif(not CASES.exists(), reason="the folder shared/cases is not beside the checkout")
def test_the_cases_are_all_found_or_named() -> None:
    found = find([CASES / "folder"])
    names = {path.name for path in found.pictures} | {Path(video).name for video in found.videos}
    files = {path.name for path in (CASES / "folder").iterdir()}
    assert files - names == {said.split(" is left out")[0].rpartition("/")[2] for said in found.left_out}
    assert find([CASES / "nested"]).empty and find([CASES / "nested"], recursive=True).pictures
