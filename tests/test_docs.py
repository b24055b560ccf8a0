"""What the documents say is what the code does and what was measured."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from mien.apps import cli
from mien.learn.evaluate import PRIVATE_SET, percent, table
from mien.see.weights import MODELS, find

ROOT = Path(__file__).parents[1]
REPORT = json.loads((ROOT / "docs/report/report.json").read_text(encoding="utf-8"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = ["README.md", "MODEL_CARD.md", "CHANGELOG.md", "docs/crop.md", "docs/training.md"]
CARD = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_model_card_shows_the_table_of_the_committed_report() -> None:
    shown = re.search(r"<!-- report: docs/report/table.md -->\n(.*)<!-- end of report -->", CARD, re.DOTALL)
    assert shown is not None
    assert shown[1] == table(REPORT)


@pytest.mark.parametrize("name", REPORT["official"])
def test_the_readme_gives_the_accuracies_of_the_committed_report(name: str) -> None:
    assert re.search(rf"\| {re.escape(name)} \| [\d,]+ \| {percent(REPORT['official'][name]['accuracy'])} % \|", README)


def test_the_report_is_on_the_model_that_ships() -> None:
    assert REPORT["model"]["file"] == "emotion.onnx"
    assert REPORT["model"]["sha256"] == MODELS["emotion.onnx"].sha256
    assert hashlib.sha256(find("emotion.onnx").read_bytes()).hexdigest() == MODELS["emotion.onnx"].sha256
    assert PRIVATE_SET in REPORT["official"]


def test_the_documents_name_no_option_that_a_command_has_not() -> None:
    group = typer.main.get_command(cli.app)
    found = 0
    for text in (README, CARD, (ROOT / "docs/training.md").read_text(encoding="utf-8")):
        for line in text.splitlines():
            for words in re.findall(r"\bmien ((?:data |bench )?[a-z][a-z-]*)\b", line):
                command: Any = group
                for word in words.split():
                    command = getattr(command, "commands", {}).get(word)
                if command is None or line.count("mien ") > 1 or "scripts/" in line:  # a sentence, or other commands
                    continue
                known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
                named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line))
                assert named <= known | {"--help"}, line
                found += len(named)
    assert found > 20


def test_every_file_of_the_package_stands_in_the_readmes_tree() -> None:
    files = [path for path in (ROOT / "src/mien").rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in files if f"{path.name} " not in README] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_between_the_documents_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", text)
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []
