"""What training and measuring say is meant for a program as well: options are named by the command line alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "mien"
FILES = [*SOURCE.glob("learn/*.py"), *SOURCE.glob("measure/*.py")]


def texts(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_the_library_names_no_option_and_no_command(file: Path) -> None:
    assert [text for text in texts(file) if re.search(r"(?<![\w-])--[a-z]|`mien ", text)] == []
