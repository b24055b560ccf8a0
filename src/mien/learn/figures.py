"""The figure of a run, drawn without a display; it comes as the bytes of a PNG file."""

from __future__ import annotations

from matplotlib.figure import Figure

from mien.data.plots import png


def losses(history: list[dict[str, float]]) -> bytes:
    """Loss and accuracy on training and validation, epoch by epoch."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        axes.plot(epochs, [row[name] for row in history], label="training (augmented)")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], label="validation")
        axes.set(xlabel="epoch", ylabel=name)
        axes.grid(alpha=0.3)
        axes.legend()
    return png(figure)
