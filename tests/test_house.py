"""The house stands as it was planned: who imports whom, what is public, what every command says."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import mien
from mien import errors
from mien.apps.cli import app

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "mien"

GROUND = {"labels", "errors", "files"}
ROOMS = {"see", "sources", "sinks", "reader", "run", "data", "measure", "learn"}
MAY_IMPORT = {
    "labels": set(),
    "errors": set(),
    "files": {"errors"},
    "see": GROUND,
    "sources": {"see"} | GROUND,
    "sinks": {"see"} | GROUND,
    "reader": {"see", "sources", "sinks"} | GROUND,
    "run": {"see", "sources", "sinks"} | GROUND,
    "data": GROUND,
    "measure": {"data", "see"} | GROUND,
    "learn": {"data", "see"} | GROUND,
    "apps": ROOMS | {"__init__"} | GROUND,
    "__init__": {"see", "sources", "sinks", "reader"} | GROUND,
    "__main__": {"apps"},
}
"""Which room may import which, besides itself."""

ONLY_IN_LEARN = {"torch"}
NEVER = {"mtcnn", "tensorflow"}  # of `mtcnn` only the weights are used; importing it would import TensorFlow


def room(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file: Path, *, run: bool = False) -> Iterator[str]:
    """The full names of the modules that a file imports, wherever in it; with `run` those that are not just types."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    skipped = {id(node) for block in for_types for node in ast.walk(block)} if run else set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports name the whole path"
            yield node.module or ""
            if run:  # `from mien.apps import watch` runs a file of its own
                yield from (f"{node.module}.{name.name}" for name in node.names)


def own(module: str) -> str | None:
    """The room that a module of ours belongs to; None for others' modules."""
    first, _, rest = module.partition(".")
    return (rest.partition(".")[0] or "__init__") if first == "mien" else None


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_file_imports_only_from_the_rooms_that_its_room_may(file: Path) -> None:
    here = room(file)
    rooms = {name for module in imports(file) if (name := own(module))}
    assert rooms - {here} <= MAY_IMPORT[here]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_torch_lives_in_learn_and_tensorflow_nowhere(file: Path) -> None:
    others = {module.partition(".")[0] for module in imports(file)}
    assert not others & NEVER
    assert room(file) == "learn" or not others & ONLY_IN_LEARN


def python(program: str) -> str:
    """Run a program in a fresh interpreter and return what it prints."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_runtime_runs_where_nothing_of_training_can_be_imported() -> None:
    program = """
        import sys
        for name in ("torch", "onnx", "sklearn", "matplotlib", "tensorflow"):
            sys.modules[name] = None  # importing it raises ImportError
        import mien
        print(len(mien.read("assets/astronaut.jpg")), "mtcnn" in sys.modules)
    """
    assert python(program) == "1 False\n"


def test_networks_are_trained_where_neither_the_runtime_nor_onnx_can_be_imported() -> None:
    """As on a machine that is lent for its GPU."""
    program = """
        import sys
        for name in ("onnxruntime", "onnx", "cv2", "av"):
            sys.modules[name] = None
        from mien.learn import distil, train
        from mien.apps.cli import app
        sys.stderr = sys.stdout
        app(["train", "--data", "nowhere", "--recipe", "teacher"], standalone_mode=False)
    """
    assert "there is no nowhere/train_images.npy" in python(program)


@pytest.mark.parametrize("program", ["import mien", "import mien.apps.cli"])
def test_nothing_heavy_loads_before_it_is_used(program: str) -> None:
    heavy = "{'numpy', 'cv2', 'onnxruntime', 'PIL', 'av', 'torch'}"
    assert python(f"import sys; {program}; print({heavy} & sys.modules.keys())") == "set()\n"


def test_all_is_what_is_exported() -> None:
    assert set(mien.__all__) == {name for name in dir(mien) if not name.startswith("_")}
    assert all(hasattr(mien, name) for name in mien.__all__)
    assert len(set(mien.__all__)) == len(mien.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        _ = mien.missing


def test_every_error_that_a_user_can_put_right_is_exported() -> None:
    ours = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(ours) <= set(mien.__all__)
    warnings = {name for name, value in ours.items() if issubclass(value, Warning)}
    assert warnings == {"SourceWarning"}
    assert all(issubclass(value, mien.MienError) for name, value in ours.items() if name not in warnings)
    assert not issubclass(mien.SourceWarning, mien.MienError)  # what was read nevertheless ends nothing


def test_every_public_name_says_what_it_is() -> None:
    """Classes and functions by a docstring, and so does each of their public methods."""
    silent = []
    for name in set(mien.__all__) - {"EMOTIONS"}:
        thing = getattr(mien, name)
        methods = vars(thing).items() if isinstance(thing, type) else ()
        parts = [(name, thing)]
        parts += [(f"{name}.{at}", value) for at, value in methods if callable(value) and not at.startswith("_")]
        silent += [part for part, value in parts if not (value.__doc__ or "").strip()]
    assert silent == []


def test_no_room_is_reached_from_a_room_that_it_imports() -> None:
    def below(here: str, seen: frozenset[str] = frozenset()) -> set[str]:
        assert here not in seen, f"a circle through {here}"
        return {here}.union(*(below(other, seen | {here}) for other in MAY_IMPORT[here]))

    for name in MAY_IMPORT:
        assert below(name)


def test_no_file_imports_itself_through_others() -> None:
    """Also where an import stands in a function; what only a type checker reads does not count."""
    modules = {file.relative_to(SOURCE.parent).with_suffix("").as_posix().replace("/", "."): file for file in FILES}
    arrows = {name: {other for other in imports(file, run=True) if other in modules} for name, file in modules.items()}
    done = set[str]()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join((*way, name))
        if name not in done:
            for other in arrows[name]:
                visit(other, (*way, name))
            done.add(name)

    for name in modules:
        visit(name, ())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SOURCE)))
def test_a_file_says_in_a_sentence_what_lives_in_it_and_is_short(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].endswith((".", ":", "?")), text[:100]
    assert text.count("\n") <= 320


def test_the_version_stands_in_one_more_place_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert mien.__version__ == project["version"]


def commands(command: Any, name: str = "mien") -> Iterator[tuple[str, Any]]:
    """Every command under its full name, as it is typed."""
    for part, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{name} {part}")
    if not hasattr(command, "commands"):
        yield name, command


COMMANDS = dict(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert [option.name for option in command.params if not option.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md yet")
    assert name in readme.read_text(encoding="utf-8")
