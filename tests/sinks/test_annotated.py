"""Annotated pictures appear whole in the format of their name, in their place, and unchanged where nobody is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from mien.errors import OutputError
from mien.files import WholeFile
from mien.see.face import Frame, Reading
from mien.sinks.pictures import FORMATS, AnnotatedFolder, AnnotatedPicture, show_picture, write_picture
from mien.sources.pictures import open_picture

Make = Callable[..., Reading]

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
FRAME = Frame(IMAGE, "in.png")


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize("ending", [*FORMATS, ".PNG"])
def test_a_picture_is_written_in_the_format_of_its_ending(tmp_path: Path, ending: str, reading: Make) -> None:
    path = tmp_path / f"out{ending}"
    with AnnotatedPicture(path) as picture:
        picture.write(FRAME, [reading()])
    with PIL.Image.open(path) as written:
        assert (written.format, written.size) == (FORMATS[ending.lower()], (80, 60))
        assert (np.asarray(written)[20:50, 10:13] != IMAGE[20:50, 10:13]).any(2).mean() > 0.9  # the side of the box


def test_a_picture_without_faces_stays_byte_for_byte(tmp_path: Path) -> None:
    PIL.Image.fromarray(IMAGE).save(tmp_path / "in.jpg")
    with AnnotatedPicture(tmp_path / "out.JPEG") as picture:
        picture.write(open_picture(tmp_path / "in.jpg"), [])
    assert (tmp_path / "out.JPEG").read_bytes() == (tmp_path / "in.jpg").read_bytes()


def test_a_picture_without_faces_keeps_its_pixels_in_another_format(tmp_path: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    PIL.Image.fromarray(IMAGE).save(tmp_path / "in.webp", lossless=True, exif=exif)
    with AnnotatedPicture(tmp_path / "out.png") as picture:
        picture.write(open_picture(tmp_path / "in.webp"), [])
    assert (open_picture(tmp_path / "out.png").image == np.rot90(IMAGE, -1)).all()


@pytest.mark.parametrize("name", ["", "-", "frame_%03d.png", "gone.png"])
def test_a_frame_that_is_no_file_is_written_as_it_is(tmp_path: Path, name: str) -> None:
    write_picture(tmp_path / "out.png", Frame(IMAGE, name), [])
    assert (open_picture(tmp_path / "out.png").image == IMAGE).all()


def test_a_folder_keeps_names_and_places(tmp_path: Path, reading: Make) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    pictures = [tmp_path / "in" / "a.png", tmp_path / "in" / "below" / "a.png", tmp_path / "in" / "b.gif"]
    for picture in pictures:
        PIL.Image.fromarray(IMAGE).save(picture)
    with AnnotatedFolder(tmp_path / "out", pictures) as folder:
        for picture in pictures:
            folder.write(open_picture(picture), [reading()])
    assert listing(tmp_path / "out") == ["a.png", "b.gif.png", "below"]
    assert listing(tmp_path / "out" / "below") == ["a.png"]


def test_no_picture_leads_out_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    pictures = [Path("..", "a.png"), Path("b.png")]
    folder = AnnotatedFolder(Path("out"), pictures)
    assert [folder.place(picture) for picture in pictures] == [Path("out/a.png"), Path("out/here/b.png")]


def test_a_folder_that_stays_empty_goes_again(tmp_path: Path) -> None:
    with AnnotatedFolder(tmp_path / "new", [tmp_path / "a.png"]):
        assert listing(tmp_path) == ["new"]
    (tmp_path / "old").mkdir()
    with AnnotatedFolder(tmp_path / "old", [tmp_path / "a.png"]):
        pass
    assert listing(tmp_path) == ["old"]


def test_what_killed_runs_left_in_the_folder_is_swept(tmp_path: Path) -> None:
    (tmp_path / "old.png.mien-part").write_bytes(b"half a picture")
    (tmp_path / "rows.csv.mien-part").write_text("rows of another run, which somebody may want")
    with WholeFile(tmp_path / "now.jpg"), AnnotatedFolder(tmp_path, [tmp_path / "a.png"]):
        assert listing(tmp_path) == ["now.jpg.mien-part", "rows.csv.mien-part"]


def test_several_pictures_need_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, says in (("file", "need a folder"), ("out.png", "give a folder"), ("missing/out", "no folder")):
        with pytest.raises(OutputError, match=says):
            AnnotatedFolder(tmp_path / name, [tmp_path / "a.png"])


def test_a_failure_leaves_what_was_there_before(tmp_path: Path) -> None:
    (tmp_path / "out.png").write_text("before")
    with pytest.raises(KeyboardInterrupt), AnnotatedPicture(tmp_path / "out.png"):
        raise KeyboardInterrupt
    assert listing(tmp_path) == ["out.png"]
    assert (tmp_path / "out.png").read_text() == "before"


def test_what_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("folder.png", "pipe.png", "missing/out.png", "n" * 300 + ".png", "nul\0.png"):
        with pytest.raises(OutputError) as error:
            AnnotatedPicture(tmp_path / name)
        assert "\n" not in str(error.value)
    for name in ("out.xyz", "out", "out.gif"):
        with pytest.raises(OutputError, match=r"use a name that ends in \.bmp, \.jpeg"):
            AnnotatedPicture(tmp_path / name)
    assert listing(tmp_path) == ["folder.png", "pipe.png"]


def test_a_picture_too_large_for_its_format_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wide = Frame(np.zeros((1, 70_000, 3), np.uint8), "wide.png")
    for name in ("wide.jpg", "wide.webp"):
        with pytest.raises(OutputError, match="cannot write"), AnnotatedPicture(tmp_path / name) as picture:
            picture.write(wide, [])
    assert listing(tmp_path) == []


def test_a_disk_that_fills_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    program = """
        import resource, signal, numpy as np
        from pathlib import Path
        from mien.errors import OutputError
        from mien.sinks.pictures import AnnotatedPicture
        from mien.see.face import Frame
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
        sink = AnnotatedPicture(Path("out.png"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (50, 50))
        try:
            with sink as opened:
                opened.write(Frame(np.zeros((90, 90, 3), np.uint8)), [])
        except OutputError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "cannot write out.png (File too large): use another name or place\n"
    assert listing(tmp_path) == []


def test_without_a_display_no_picture_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    if sys.platform not in ("darwin", "win32"):
        assert show_picture(IMAGE) is False
