"""The figures of training and evaluation, drawn without a display."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mien.files import WholeFile
from mien.labels import EMOTIONS

FEWEST = 10  # images in a bin that is drawn: the accuracy of fewer says nothing


def save(figure: Figure, path: Path) -> None:
    """Write the figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    with WholeFile(path, "wb") as file:
        file.write(buffer.getvalue())


def losses(history: list[dict[str, float]], path: Path) -> None:
    """Loss and accuracy on training and validation, epoch by epoch."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [row[name] for row in history], label="training (augmented)")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], label="validation")
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    save(figure, path)


def confusion(counts: list[list[int]], path: Path) -> None:
    """Rows are labels, columns what the network says; each cell the share of its row and the count."""
    table = np.array(counts)
    shares = table / table.sum(1, keepdims=True).clip(1)
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(shares):
        colour = "white" if value > 0.5 else "black"
        text = f"{value:.2f}\n{table[row, column]}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS, rotation=30, ha="right")
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set(xlabel="what the network says", ylabel="FER2013's label")
    save(figure, path)


def reliability(bins: list[dict[str, Any]], path: Path) -> None:
    """How often the network is right at each confidence; on the diagonal it is as sure as it should be."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linestyle="--", label="as sure as right")
    shown = [row for row in bins if row["images"] >= FEWEST]
    sure, right, images = (np.array([row[key] for row in shown]) for key in ("confidence", "accuracy", "images"))
    axes.plot(sure, right)
    axes.scatter(sure, right, s=8 + 300 * images / images.sum(), label="the network")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)
