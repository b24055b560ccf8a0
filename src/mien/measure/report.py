"""A report as files: report.json, the model card's tables, two figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mien.errors import MissingExtra
from mien.files import WholeFile
from mien.labels import EMOTIONS
from mien.measure.evaluate import PRIVATE_SET, PUBLIC_SET

REPORT, TABLE = "report.json", "table.md"

Rows = list[list[str]]
"""A table; its first row is its head."""


def write(report: dict[str, Any], out: Path) -> None:
    """Write report.json, table.md, confusion_matrix.png and reliability.png to the folder `out`.

    Raises OutputError, and MissingExtra where matplotlib is missing (`check_figures`).
    """
    check_figures()
    from mien.measure import figures  # Matplotlib takes a second to load, and the table does not need it

    with WholeFile(out / REPORT) as file:
        file.write(json.dumps(report, indent=1) + "\n")
    with WholeFile(out / TABLE) as file:
        file.write(table(report))
    _, last = _last(report)
    drawn = {"confusion_matrix.png": figures.confusion(last["confusion"])}
    drawn["reliability.png"] = figures.reliability(last["reliability"])
    for name, content in drawn.items():
        with WholeFile(out / name) as picture:
            picture.write(content)


def check_figures() -> None:
    """Raise MissingExtra where the figures of a report cannot be drawn."""
    try:
        import matplotlib  # noqa: F401 - tens of megabytes that most users never need
    except ModuleNotFoundError:
        raise MissingExtra("the figures of a report need matplotlib: pip install 'mien[plot]'") from None


def table(report: dict[str, Any]) -> str:
    """The model card's tables, in Markdown."""
    parts = [_markdown(rows) for rows in (accuracies(report), classes(report), _coverage(report), _heads(report))]
    parts += [_markdown(_votes(report))] if "ferplus" in report else []
    parts += [_robustness(report)] if "robustness" in report else []
    parts += [_sentences(report)]
    return "\n\n".join(parts) + "\n"


def percent(value: float) -> str:
    """A share as a percentage with one decimal."""
    return f"{100 * value:.1f}"


def _last(report: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """PrivateTest, or what there is in its place: its name, and what was measured there."""
    name = PRIVATE_SET if PRIVATE_SET in report["official"] else next(iter(report["official"]))
    return name, report["official"][name]


def _markdown(rows: Rows) -> str:
    head, *others = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *others))


def accuracies(report: dict[str, Any]) -> Rows:
    """Accuracy, macro-F1, likelihood and calibration error on each set of images, as bold Markdown says them."""
    rows = [["", "images", "accuracy", "95 % interval", "macro-F1", "NLL", "ECE"]]
    for name, row in report["official"].items():
        low, high = map(percent, row["interval"])
        first = [name, f"{row['images']:,}", f"**{percent(row['accuracy'])} %**", f"{low} to {high}"]
        rows.append([*first, f"{row['macro_f1']:.3f}", f"{row['nll']:.3f}", f"{row['ece']:.3f}"])
        if before := row.get("before calibration"):
            first = ["… before calibration", "", f"{percent(before['accuracy'])} %", ""]
            rows.append([*first, f"{before['macro_f1']:.3f}", f"{before['nll']:.3f}", f"{before['ece']:.3f}"])
    return rows


def classes(report: dict[str, Any]) -> Rows:
    """Recall and precision of each class on PrivateTest, or on what there is in its place."""
    name, last = _last(report)
    found = [(key, last[key]) for key in ("recall", "precision")]
    if before := last.get("before calibration"):
        found.append(("recall before calibration", before["recall"]))
    rows = [[key, *(f"{values[emotion]:.2f}" for emotion in EMOTIONS)] for key, values in found]
    return [[f"on {name}", *EMOTIONS], *rows]


def _coverage(report: dict[str, Any]) -> Rows:
    name, last = _last(report)
    head = [
        f"of {name}, the most confident",
        *(f"{100 * row['coverage']:.0f} %" for row in last["coverage"]),
    ]
    return [head, ["wrong, %", *(percent(row["risk"]) for row in last["coverage"])]]


def _heads(report: dict[str, Any]) -> Rows:
    rows = [
        [
            f"head `{head}`",
            f"{percent(row['accuracy'])} %",
            f"{row['macro_f1']:.3f}",
            f"{row['recall']['fear']:.2f}",
            f"{row['recall']['disgust']:.2f}",
            f"{row['ece']:.3f}",
        ]
        for head, row in report["heads"].items()
    ]
    name = PUBLIC_SET if PUBLIC_SET in report["official"] else next(iter(report["official"]))
    return [[f"on {name}", "accuracy", "macro-F1", "recall of fear", "of disgust", "ECE"], *rows]


def _votes(report: dict[str, Any]) -> Rows:
    sets = PUBLIC_SET, PRIVATE_SET
    rows = [
        [f"head `{head}`", *(f"{percent(row[name]['accuracy'])} %" if name in row else "–" for name in sets)]
        for head, row in report["ferplus"].items()
    ]
    return [["FER+, clear majority of the votes", *sets], *rows]


def _robustness(report: dict[str, Any]) -> str:
    found = report["robustness"]
    rows = [[name, *map(percent, shares)] for name, shares in found["accuracy"].items()]
    under = _markdown([[f"accuracy on {_last(report)[0]}, severity", *"12345"], *rows])
    mean, relative = percent(found["mean"]), f"{found['relative']:.2f}"
    return f"{under}\n\nMean under corruption: {mean} %, {relative} of the accuracy on clean images."


def _sentences(report: dict[str, Any]) -> str:
    mirrored = ", ".join(f"{percent(value)} % on {name}" for name, value in report["mirrored"].items())
    found = [f"Accuracy of the mean with the mirror image: {mirrored}."]
    if seeds := report.get("seeds"):
        each = [f"{percent(row['mean'])} ± {percent(row['deviation'])} % on {name}" for name, row in seeds.items()]
        count = len(next(iter(seeds.values()))["accuracies"])
        found.append(f"Mean and standard deviation over {count} seeds: {', '.join(each)}.")
    speed = report["speed"]
    found.append(
        f"{speed['ms_per_face']:.2f} ms a face, one at a time, on one thread of this processor: {speed['processor']}."
    )
    return "\n\n".join(found)
