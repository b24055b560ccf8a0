"""The figures of a report, drawn without a display; each comes as the bytes of a PNG file."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mien.data.plots import png
from mien.labels import EMOTIONS

FEWEST = 10  # images in a bin that is drawn: the accuracy of fewer says nothing


def confusion(counts: list[list[int]]) -> bytes:
    """A row for each label, a column for each prediction; each cell shows the share of its row and the count."""
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
    axes.set(xlabel="prediction of the network", ylabel="FER2013's label")
    return png(figure)


def reliability(bins: list[dict[str, Any]]) -> bytes:
    """Accuracy at each confidence; a calibrated network lies on the diagonal."""
    figure = Figure(figsize=(5, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="gray", linestyle="--", label="calibrated")
    shown = [row for row in bins if row["images"] >= FEWEST]
    sure, right, images = (np.array([row[key] for row in shown]) for key in ("confidence", "accuracy", "images"))
    axes.plot(sure, right)
    axes.scatter(sure, right, s=8 + 300 * images / images.sum(), label="the network")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.grid(alpha=0.3)
    axes.legend()
    return png(figure)
