"""What the terminal says of a stream: how far it is read, who was seen, what went wrong on the way."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from mien.apps.terminal import counted, print_table, say
from mien.see.face import Frame, Reading
from mien.sinks.summary import Summary
from mien.sources.source import Source, SourceStats

MOST_ROWS = 50  # people that the terminal's table shows


class ConnectionNotice:
    """Says on the terminal that a live source is lost, and that it is back."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.told = False

    def look(self) -> None:
        """Say what is new since the last look."""
        if self.source.stats.lost == self.told:
            return
        self.told = self.source.stats.lost
        say("the source is lost: waiting until it is back" if self.told else "the source is back")


class Bar:
    """How far a file is read, how fast, and the time left; only on a terminal, and where the length is known."""

    def __init__(self, duration: float | None) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("{task.fields[rate]} frames/s"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns, console=console, transient=True, disable=not (duration and console.is_terminal))
        self.task = self.bar.add_task("reading", total=duration, rate="–")
        self.frames = 0

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def write(self, frame: Frame, _: Sequence[Reading]) -> None:
        """Move on by one frame."""
        if self.bar.disable:
            return
        self.frames += 1
        elapsed = self.bar.tasks[0].elapsed or 0.0
        self.bar.update(self.task, completed=frame.time, rate=f"{self.frames / elapsed:.0f}" if elapsed else "–")


def print_summary(summary: Summary, dropped: int, *, quiet: bool = False) -> None:
    """Print a table of the people, seconds in view and share of each emotion, and a line under it."""
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for column in ("person", "in view", "emotions"):
        table.add_column(column)
    everybody = sorted(summary.people.items(), key=lambda item: item[0] or 0)
    for person, presence in everybody[:MOST_ROWS]:
        shares = ", ".join(f"{emotion} {share:.0%}" for emotion, share in presence.shares().items() if share >= 0.005)
        table.add_row("–" if person is None else str(person), f"{presence.seconds:.1f} s", shares)
    if summary.people and not quiet:
        print_table(table)
        if len(everybody) > MOST_ROWS:
            print(f"and {len(everybody) - MOST_ROWS:,} more")
    people = sum(person is not None for person in summary.people)
    frames = counted(summary.frames, "frame")
    if dropped:
        frames += f" ({dropped} older ones were dropped to keep up)"
    faces = sum(presence.emotions.total() for presence in summary.people.values())
    who = f"{people} {'person' if people == 1 else 'people'}, " if people else ""
    print(f"{frames}, {who}{counted(faces, 'face')}" if faces else f"{frames}, no face found")


def troubles(stats: SourceStats) -> Sequence[str]:
    """Return a line for each kind of thing that went wrong while a source was read."""
    lost = sum(back - gone for gone, back in stats.gaps)
    away = "" if stats.reconnects >= len(stats.gaps) else ", and was not back at the end"
    missing = round(stats.missing)
    lines = {
        f"{counted(stats.corrupt, 'corrupt packet')} skipped": stats.corrupt,
        f"{counted(stats.damaged, 'damaged picture')}, with parts that the decoder made up": stats.damaged,
        f"the source was lost {counted(len(stats.gaps), 'time')}, for {lost:.1f} seconds{away}": stats.gaps,
        f"the file ends {counted(missing, 'second')} before the length that it states": stats.missing > 1,
    }
    return [line for line, happened in lines.items() if happened]
