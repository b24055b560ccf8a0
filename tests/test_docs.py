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
from mien.measure.evaluate import PRIVATE_SET
from mien.measure.report import percent, table
from mien.see.classify import PACKAGED
from mien.see.weights import MODELS, find
from mien.sinks.rows import COLUMNS

ROOT = Path(__file__).parents[1]
REPORTS = {
    size: json.loads((ROOT / folder / "report.json").read_text(encoding="utf-8"))
    for size, folder in {"s": "docs/report", "m": "docs/report-m"}.items()
}
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "MODEL_CARD.md",
    "CHANGELOG.md",
    *(f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")),
]
CARD = (ROOT / "MODEL_CARD.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("size", "folder"), [("s", "docs/report"), ("m", "docs/report-m")])
def test_the_model_card_shows_the_table_of_each_committed_report(size: str, folder: str) -> None:
    shown = re.search(rf"<!-- report: {folder}/table.md -->\n(.*?)<!-- end of report -->", CARD, re.DOTALL)
    assert shown is not None
    assert shown[1] == table(REPORTS[size])


@pytest.mark.parametrize("name", REPORTS["s"]["official"])
def test_the_readme_gives_the_accuracies_of_the_committed_reports(name: str) -> None:
    shown = [percent(REPORTS[size]["official"][name]["accuracy"]) for size in PACKAGED]
    assert re.search(rf"\| {re.escape(name)} \| [\d,]+ \| {shown[0]} % \| {shown[1]} % \|", README)


@pytest.mark.parametrize(("size", "file"), PACKAGED.items())
def test_the_reports_are_on_the_models_that_ship(size: str, file: str) -> None:
    assert REPORTS[size]["model"]["file"] == file
    assert REPORTS[size]["model"]["sha256"] == MODELS[file]
    assert hashlib.sha256(find(file).read_bytes()).hexdigest() == MODELS[file]
    assert PRIVATE_SET in REPORTS[size]["official"]


def test_the_packaged_networks_take_12_megabytes_at_most() -> None:
    assert sum(find(file).stat().st_size for file in PACKAGED.values()) <= 12e6


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


def test_every_file_of_the_package_stands_in_the_tree() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files = [path for path in (ROOT / "src/mien").rglob("*.py") if path.name != "__init__.py"]
    assert [path.name for path in files if f"{path.name} " not in tree] == []


def test_every_column_is_explained_in_its_place() -> None:
    page = (ROOT / "docs/columns.md").read_text(encoding="utf-8")
    explained = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    assert tuple(explained) == COLUMNS


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_between_the_documents_leads_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", text)
    assert [link for link in links if not ((ROOT / document).parent / link).exists()] == []
