"""What docs/server.md says to type works."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")
COMMANDS = [
    command.replace("\n  ", " ")
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for command in re.split(r"\n(?! )", block.strip())
    if "curl" in command
]


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_document_work(
    command: str, server: Any, film: Callable[..., Path], tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is missing")
    for folder in ("assets", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    film(size=(320, 240), frames=3)  # film.mp4
    typed = command.replace("http://127.0.0.1:8000", server.url).replace("curl ", "curl -sSf ")
    done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    if "annotate" in command:
        assert (tmp_path / "annotated.jpg").read_bytes().startswith(b"\xff\xd8")
    elif "video" in command:
        assert [json.loads(one)["frame"] for one in done.stdout.splitlines()] == [0, 1, 2]
    else:
        assert all(len(picture["rows"]) == 1 for picture in json.loads(done.stdout)["pictures"])


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5


def test_the_python_of_the_document_works(server: Any) -> None:
    [program] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    program = program.replace("ws://127.0.0.1:8000", server.url.replace("http", "ws"))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout)["rows"][0]["emotion"] == "happy", done.stderr
