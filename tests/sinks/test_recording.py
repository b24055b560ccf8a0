"""Recordings play everywhere, keep the times of the frames, and are whole wherever they end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from mien.errors import OutputError
from mien.files import part_of
from mien.see.face import Frame, Reading
from mien.see.picture import Image
from mien.sinks.video import Recording
from mien.sources.video import open_source

Film = Callable[..., Path]
Make = Callable[..., Reading]


def picture(size: tuple[int, int] = (64, 48), value: int = 120) -> Image:
    return np.full((size[1], size[0], 3), (value, 60, 200 - value // 2), np.uint8)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def record(path: Path, frames: list[Frame]) -> Path:
    with Recording(path) as recording:
        for frame in frames:
            recording.write(frame, [])
    return path


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".m4v", ".mkv"])
def test_a_recording_is_h264_that_browsers_play_with_every_frame_at_its_time(tmp_path: Path, ending: str) -> None:
    times = [0.0, 0.04, 0.05, 0.3, 1.0, 1.001, 2.5]
    frames = [Frame(picture(value=30 * number), "", number, time) for number, time in enumerate(times)]
    path = record(tmp_path / f"out{ending}", frames)
    assert listing(tmp_path) == [path.name]
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.colorspace) == ("h264", "yuv420p", 1)
    written = list(open_source(path))
    assert [frame.time for frame in written] == pytest.approx(times, abs=1e-3)
    for before, after in zip(frames, written, strict=True):
        assert np.abs(before.image.astype(int) - after.image).mean() < 4  # the colours come back


def test_faces_are_drawn(tmp_path: Path, reading: Make) -> None:
    with Recording(tmp_path / "out.mp4") as recording:
        recording.write(Frame(picture()), [])
        recording.write(Frame(picture(), time=0.1), [reading()])
    without, drawn = open_source(tmp_path / "out.mp4")
    assert np.abs(without.image.astype(int) - picture()).max() < 12
    assert np.abs(drawn.image[20:50, 10:13].astype(int) - picture()[0, 0]).mean() > 30  # the side of the box


def test_odd_sizes_are_made_even_and_other_sizes_put_between_bars(tmp_path: Path) -> None:
    frames = [Frame(picture((65, 47)), time=0), Frame(picture((130, 94)), time=0.1), Frame(picture((20, 94)), time=0.2)]
    odd, scaled, narrow = open_source(record(tmp_path / "out.mp4", frames))
    assert odd.image.shape == scaled.image.shape == narrow.image.shape == (48, 66, 3)
    assert np.abs(odd.image.astype(int) - frames[0].image[0, 0]).max() < 12
    assert narrow.image[:, :10].max() < 30
    assert narrow.image[:, 33].mean() > 60


def test_a_recording_that_is_killed_can_be_played_up_to_its_last_fragment(tmp_path: Path) -> None:
    program = f"""
        import os, signal, numpy as np
        from pathlib import Path
        from mien.sinks.video import Recording
        from mien.see.face import Frame
        noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
        with Recording(Path({str(tmp_path / "out.mp4")!r})) as recording:
            for number in range(400):
                recording.write(Frame(noise, time=number / 25), [])
            os.kill(os.getpid(), signal.SIGKILL)
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False).returncode == -9
    part = part_of(tmp_path / "out.mp4")
    assert listing(tmp_path) == [part.name]
    part.rename(tmp_path / "out.mp4")
    assert len(list(open_source(tmp_path / "out.mp4"))) >= 240


def test_an_error_in_the_middle_leaves_what_was_recorded(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Recording(tmp_path / "out.mp4") as recording:
        for number in range(5):
            recording.write(Frame(picture(), time=number / 25), [])
        raise ZeroDivisionError
    assert len(list(open_source(tmp_path / "out.mp4"))) == 5


def test_a_recording_without_a_frame_leaves_no_file(tmp_path: Path) -> None:
    record(tmp_path / "out.mp4", [])
    assert listing(tmp_path) == []


def test_a_link_stays_a_link_and_the_video_is_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "far" / "out.mp4")
    record(tmp_path / "link.mp4", [Frame(picture())])
    assert (tmp_path / "link.mp4").is_symlink()
    assert listing(tmp_path / "far") == ["out.mp4"]


def test_a_video_that_another_run_writes_is_refused(tmp_path: Path) -> None:
    with Recording(tmp_path / "out.mp4") as recording:
        recording.write(Frame(picture()), [])
        with pytest.raises(OutputError, match="another run"):
            Recording(tmp_path / "out.mp4")
        recording.write(Frame(picture(), time=0.1), [])
    assert len(list(open_source(tmp_path / "out.mp4"))) == 2


def test_a_video_ending_that_cannot_be_written_names_those_that_can(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.mp4"):
        Recording(tmp_path / "out.gif")
    with pytest.raises(OutputError, match="no folder"):
        Recording(tmp_path / "missing" / "out.mp4")


@pytest.mark.parametrize("size", [30_000, 200_000])
def test_a_full_disk_is_one_line_and_what_was_recorded_plays(tmp_path: Path, size: int) -> None:
    pytest.importorskip("resource")
    program = f"""
        import resource, signal, numpy as np
        from pathlib import Path
        from mien.errors import OutputError
        from mien.sinks.video import Recording
        from mien.see.face import Frame
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
        noise = np.random.default_rng(0).integers(0, 255, (3, 48, 64, 3), np.uint8)
        said = set()
        try:
            with Recording(Path("out.mp4")) as recording:
                for number in range(2000):
                    try:
                        recording.write(Frame(noise[number % 3], "film", number, number / 25), [])
                    except OutputError as error:
                        said.add(str(error))
                        break
        except OutputError as error:
            said.add(str(error))
        print("\\n".join(said))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("cannot write out.mp4 (File too large): use another name or place\n", "")
    assert listing(tmp_path) == ["out.mp4"]
    assert len(list(open_source(tmp_path / "out.mp4"))) > (20 if size > 100_000 else -1)
