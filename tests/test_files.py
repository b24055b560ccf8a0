"""A file appears under its name when it is whole; two runs never write one file, and a killed run leaves no lock."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mien.errors import OutputError
from mien.files import (
    LONGEST_NAME,
    StandardOutput,
    WholeFile,
    check_distinct,
    check_folder,
    check_output,
    part_of,
    text_file,
)


def listing(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@contextmanager
def another_process(path: Path, text: str) -> Iterator[subprocess.Popen[str]]:
    """A process that writes a text into a file and holds it open until it is killed or told to end."""
    program = f"""
        import sys
        from pathlib import Path
        from mien.files import WholeFile
        with WholeFile(Path({str(path)!r})) as file:
            file.write({text!r})
            print("there", flush=True)
            sys.stdin.readline()
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "there\n"
        yield process


def test_a_file_appears_when_its_block_has_ended_well(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with WholeFile(path) as file:
        file.write("one 笑\n")
        file.write(b"two\n")
        assert file.part.read_bytes() == "one 笑\ntwo\n".encode()
        assert (file.tell(), file.size, file.closed) == (12, 12, False)
        assert listing(tmp_path) == ["out.txt.mien-part"]
    assert file.closed
    assert path.read_bytes() == "one 笑\ntwo\n".encode()
    assert listing(tmp_path) == ["out.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), WholeFile(path) as file:
        file.write("after")
        raise ZeroDivisionError
    assert path.read_text() == "before"
    assert listing(tmp_path) == ["out.txt"]


def test_what_is_discarded_leaves_no_trace_when_the_block_ends_well(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "out.txt") as file:
        file.write("text")
        file.discard()
    assert listing(tmp_path) == []


def test_a_name_that_is_no_utf8_keeps_its_bytes(tmp_path: Path) -> None:
    with WholeFile(tmp_path / "out.txt") as file:
        file.write(os.fsdecode(b"caf\xe9"))
    assert (tmp_path / "out.txt").read_bytes() == b"caf\xe9"


def test_the_second_process_is_refused_in_one_line_while_the_first_writes(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with another_process(path, "first") as first:
        for second in (check_output, WholeFile):
            with pytest.raises(OutputError, match="another run is writing it; use another name, or wait") as error:
                second(path)
            assert "\n" not in str(error.value)
        assert part_of(path).read_text() == "first"
        first.communicate("go on\n")
    assert path.read_text() == "first"
    with WholeFile(path) as file:
        file.write("second")
    assert path.read_text() == "second"


def test_two_threads_are_two_runs(tmp_path: Path) -> None:
    refused = []

    def write() -> None:
        try:
            with WholeFile(tmp_path / "out.txt"):
                pass
        except OutputError as error:
            refused.append(error)

    with WholeFile(tmp_path / "out.txt"):
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_a_file_that_was_checked_before_another_run_began_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    early = WholeFile(path)
    with another_process(path, "first") as other:
        with pytest.raises(OutputError, match="another run"), early:
            pass
        other.communicate("go on\n")
    assert path.read_text() == "first"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_the_part_of_a_killed_run_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with another_process(path, "a long text of a run that is killed") as killed:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    assert listing(tmp_path) == ["out.txt.mien-part"]
    check_output(path)
    assert part_of(path).read_text().startswith("a long text")  # what is there goes when it is written over, not before
    with WholeFile(path) as file:
        file.write("short")
    assert path.read_text() == "short"
    assert listing(tmp_path) == ["out.txt"]


def test_runs_that_begin_at_once_write_one_after_the_other_or_are_refused(tmp_path: Path) -> None:
    """Whoever gets the lock writes a whole file, however the others come and go meanwhile."""
    path, written, unexpected = tmp_path / "out.txt", list[str](), list[BaseException]()

    def write(name: str) -> None:
        for number in range(40):
            text = f"{name} {number}\n" * 50
            try:
                with WholeFile(path) as file:
                    file.write(text[:100])
                    file.write(text[100:])
                written.append(text)
            except OutputError as error:
                assert "another run is writing it" in str(error)
            except BaseException as error:
                unexpected.append(error)

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert unexpected == []
    assert written  # how many depends on how the threads happen to meet
    assert path.read_text() in written
    assert listing(tmp_path) == ["out.txt"]


def limited(size: int, program: str, cwd: Path) -> str:
    """Run a program for which a file may have so many bytes; return what it prints."""
    pytest.importorskip("resource")
    head = f"""
        import resource, signal
        from pathlib import Path
        from mien.errors import OutputError
        from mien.files import WholeFile
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the write fails
        resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
    """
    command = [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(program)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_a_write_that_finds_no_room_is_rolled_back(tmp_path: Path) -> None:
    program = """
        with WholeFile(Path("out.txt")) as file:
            file.write("a" * 90)
            try:
                file.write("b" * 20)
            except OutputError as error:
                print(error, file.size)
            file.write("c" * 10)
    """
    assert limited(100, program, tmp_path) == "cannot write out.txt (File too large): use another name or place 90\n"
    assert (tmp_path / "out.txt").read_text() == "a" * 90 + "c" * 10


def test_room_that_was_reserved_is_there_and_given_back(tmp_path: Path) -> None:
    program = """
        with WholeFile(Path("out.txt")) as file:
            file.write("a" * 10)
            file.reserve(60)
            assert file.part.stat().st_size == 70
            file.write("b" * 20)
            try:
                file.reserve(100)
            except OutputError:
                print("no room")
            file.write("c" * 40)
    """
    assert limited(100, program, tmp_path) == "no room\n"
    assert (tmp_path / "out.txt").read_text() == "a" * 10 + "b" * 20 + "c" * 40


def test_a_full_disk_says_to_make_room(tmp_path: Path) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mounted)]
    try:
        failed = os.name == "nt" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode
    except FileNotFoundError:
        failed = True
    if failed:
        pytest.skip("only root may mount a small disk")
    try:
        with WholeFile(mounted / "out.txt") as file:
            file.write("a" * 1000)
            with pytest.raises(
                OutputError, match=r"\(No space left on device\): make room there, or use another place"
            ):
                file.write("b" * 100_000)
        assert (mounted / "out.txt").read_text() == "a" * 1000
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.parametrize("length", [LONGEST_NAME - len(".mien-part"), LONGEST_NAME - 9, LONGEST_NAME])
def test_the_longest_names_can_be_written(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("n" * length)
    with WholeFile(path) as file:
        file.write("text")
        assert len(os.fsencode(file.part.name)) <= LONGEST_NAME
        assert file.part.name.endswith(".mien-part")
    assert listing(tmp_path) == [path.name]


def test_long_names_that_begin_alike_grow_in_parts_of_their_own(tmp_path: Path) -> None:
    assert part_of(tmp_path / ("n" * 255)) != part_of(tmp_path / ("n" * 254 + "m"))
    assert part_of(tmp_path / ("ü" * 127)).name != f"{'ü' * 127}.mien-part"  # bytes count, not letters


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "far" / "out.txt")
    for text in ("new", "newer"):
        with WholeFile(tmp_path / "link.txt") as file:
            file.write(text)
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "far" / "out.txt").read_text() == text
    assert listing(tmp_path / "far") == ["out.txt"]


def test_a_link_and_its_target_are_one_output(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(tmp_path / "out.txt")
    with WholeFile(tmp_path / "out.txt"), pytest.raises(OutputError, match="another run"):
        WholeFile(tmp_path / "link.txt")


def test_a_check_leaves_nothing_behind_and_changes_nothing(tmp_path: Path) -> None:
    check_output(tmp_path / "new.txt")
    (tmp_path / "old.txt").write_text("before")
    check_output(tmp_path / "old.txt")
    assert listing(tmp_path) == ["old.txt"]
    assert (tmp_path / "old.txt").read_text() == "before"


def test_what_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    hopeless = {
        tmp_path / "folder": "it is a folder; name a file in it",
        tmp_path / "pipe": "it is a device or a pipe",
        Path("/dev/null"): "it is a device or a pipe",
        tmp_path / "missing" / "out.txt": "there is no folder",
        tmp_path / "file" / "out.txt": "Not a directory",
        tmp_path / ("n" * 300): "File name too long",
        tmp_path / "nul\0": "null",
        Path(): "it is a folder",
    }
    for path, says in hopeless.items():
        for refuse in (check_output, WholeFile):
            with pytest.raises(OutputError, match=re.escape(says)) as error:
                refuse(path)
            assert "\n" not in str(error.value)
    assert listing(tmp_path) == ["file", "folder", "pipe"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_or_file_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    (tmp_path / "kept.csv").touch(mode=0o400)
    for path in (tmp_path / "locked" / "out.csv", tmp_path / "kept.csv"):
        with pytest.raises(OutputError, match="cannot write"):
            check_output(path)


def test_a_folder_that_goes_while_a_file_grows_is_one_line(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(OutputError, match="No such file or directory"), WholeFile(place / "out.txt") as file:
        file.write("text")
        file.part.unlink()
        place.rmdir()
    assert file.closed


def test_a_folder_is_checked_by_making_a_file_in_it(tmp_path: Path) -> None:
    check_folder(tmp_path)
    assert listing(tmp_path) == []
    with pytest.raises(OutputError, match="there is no folder"):
        check_folder(tmp_path / "missing")


def test_no_output_replaces_a_source_or_another_output(tmp_path: Path) -> None:
    source, output = tmp_path / "in.png", tmp_path / "out.csv"
    source.touch()
    (tmp_path / "soft.png").symlink_to(source)
    (tmp_path / "hard.png").hardlink_to(source)
    check_distinct([source], [output, tmp_path / "other.csv"])
    for same in (source, tmp_path / "soft.png", tmp_path / "hard.png", tmp_path / "." / "in.png"):
        with pytest.raises(OutputError, match="is read from"):
            check_distinct([source], [same])
    with pytest.raises(OutputError, match="twice"):
        check_distinct([source], [output, tmp_path / "x" / ".." / "out.csv"])
    check_distinct([Path("-")], [Path("-"), output])  # from standard input to standard output
    with pytest.raises(OutputError, match="twice"):
        check_distinct([], [Path("-"), output, Path("-")])


def test_standard_output_takes_the_place_of_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with text_file(Path("-")) as file:
        assert isinstance(file, StandardOutput)
        file.write("a row\n")
        assert capsys.readouterr().out == "a row\n"  # the next program gets it at once


def test_a_full_standard_output_is_an_error_of_ours_and_a_closed_one_says_so() -> None:
    program = """
        import sys
        from mien.errors import OutputError
        from mien.files import StandardOutput
        try:
            StandardOutput().write("a row")
        except (OutputError, BrokenPipeError) as error:
            print(type(error).__name__, error, file=sys.stderr)
        sys.stderr.flush()
        import os; os._exit(0)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    said = "OutputError cannot write to standard output (No space left on device): give it more room or another place"
    assert ended.stderr == said + "\n"
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert ended.stderr.startswith("BrokenPipeError")
