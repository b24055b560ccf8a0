"""`mien bench video` measures the video that it was given; on a core of its own, so in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "mien", "bench", "video", *arguments], capture_output=True, text=True)


def test_speed_and_quality_stand_in_one_line(film: Callable[..., Path]) -> None:
    ended = bench(str(film(size=(320, 240), frames=24)))
    assert ended.returncode == 0, ended.stderr
    [line] = ended.stdout.splitlines()
    assert ": 320x240, 24 frames, 1.0 faces a frame: " in line
    assert re.search(r"\d+ frames a second, \d+\.\d+ ms of CPU a frame", line)
    assert "100.0 % of the faces" in line


def test_what_is_no_video_is_said_in_one_line(tmp_path: Path) -> None:
    ended = bench(str(tmp_path / "none.mp4"))
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
