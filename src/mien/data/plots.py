"""The pictures of the data set, drawn without a display; each function returns the bytes of a PNG file."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mien.data.fer2013 import Bytes
from mien.labels import EMOTIONS, FERPLUS, FERPLUS_COLUMNS, SIDE

GAP = 2  # pixels between the images of a sheet


def class_distribution(counts: dict[str, NDArray[Any]]) -> bytes:
    """Images of each emotion, a bar for each split; `counts` has (7,) for each."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.84 / len(counts)
    for number, (name, count) in enumerate(counts.items()):
        places = np.arange(len(EMOTIONS)) + (number - (len(counts) - 1) / 2) * width
        bars = axes.bar(places, count, width, label=f"{name} ({count.sum():,})")
        axes.bar_label(bars, [f"{value:,}" for value in count], fontsize=7, padding=1)
    axes.set_xticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set(ylabel="images")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return png(figure)


def sample_images(samples: list[Bytes]) -> bytes:
    """A row for each emotion; `samples` has up to n images (n, 48, 48) for each."""
    step = SIDE + GAP
    columns = max(len(images) for images in samples)
    sheet = np.full((len(samples) * step - GAP, columns * step - GAP), 255, np.uint8)
    for row, images in enumerate(samples):
        for column, image in enumerate(images):
            sheet[row * step :, column * step :][:SIDE, :SIDE] = image
    figure = Figure(figsize=(1 + columns * 0.7, len(samples) * 0.7), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255)
    axes.set_yticks([row * step + SIDE / 2 for row in range(len(samples))], EMOTIONS)
    axes.set_xticks([])
    _without_frame(axes)
    return png(figure)


def mean_faces(faces: NDArray[np.float64]) -> bytes:
    """The mean images (7, 48, 48) and, below, where each is lighter (red) or darker (blue) than the others.

    Below, all are of the same brightness: surprise is mostly lighter than the rest, which hides what the face does.
    """
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    rows = figure.subplots(2, len(EMOTIONS))
    even = faces - faces.mean((1, 2), keepdims=True)
    apart = even - even.mean(0)
    reach = max(float(np.abs(apart).max()), 1.0)  # of the colours; 1 where all faces are the same
    for column, emotion in enumerate(EMOTIONS):
        rows[0, column].imshow(faces[column], cmap="gray", vmin=faces.min(), vmax=faces.max())
        rows[0, column].set_title(emotion, fontsize=10)
        rows[1, column].imshow(apart[column], cmap="RdBu_r", vmin=-reach, vmax=reach)
    for axes, label in zip(rows[:, 0], ("mean", "against the others"), strict=True):
        axes.set_ylabel(label, fontsize=8)
    for axes in rows.flat:
        axes.set(xticks=[], yticks=[])
        _without_frame(axes)
    return png(figure)


def label_noise(votes: NDArray[np.float64], name: str) -> bytes:
    """The mean share (7, 10) of each choice, in `FERPLUS` order, among the images of each official label."""
    columns = [*FERPLUS_COLUMNS, *(place for place in range(len(FERPLUS)) if place not in FERPLUS_COLUMNS)]
    votes = votes[:, columns]  # the emotions first and in our order: where voters agree is the diagonal
    figure = Figure(figsize=(7.6, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.imshow(votes, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(votes):
        colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(columns)), [FERPLUS[place] for place in columns], rotation=30, ha="right")
    axes.set_yticks(range(len(EMOTIONS)), EMOTIONS)
    axes.set(xlabel="share of the votes of FER+ in %", ylabel=f"FER2013's label ({name})")
    return png(figure)


def _without_frame(axes: Any) -> None:
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def png(figure: Figure) -> bytes:
    """The bytes of a figure as a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
