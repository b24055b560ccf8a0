"""The options of every command that reads faces, and the reader that they describe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mien.apps.terminal import finite
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.reader import Reader

SMALLEST = "Side of the smallest face looked for, in pixels."
face_option = partial(typer.Option, min=12, metavar="PIXELS", callback=finite)
MinFace = Annotated[float, face_option(help=SMALLEST)]

Model = Annotated[str, typer.Option(help="s, m (larger, more often right) or an ONNX file that `mien export` wrote.")]
Head = Annotated[
    str | None,
    typer.Option(help="Labels predicted: official (FER2013's), ferplus or blend.  \\[default: the model's own]"),
]
Device = Annotated[str, typer.Option(help="cpu, or cuda with onnxruntime-gpu.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of one run of a network.")]
Confidence = Annotated[
    float | None,
    typer.Option(
        min=0.01,
        max=0.999,
        callback=finite,
        help="Least confidence of a face.  \\[default: 0.76, from 36 pixels 0.54]",
    ),
]
LongestSide = Annotated[
    int | None,
    typer.Option(
        min=12,
        max=30_000,
        metavar="PIXELS",
        help="Side to which what is larger is shrunk before the search.  \\[default: 1920, in video 960]",
    ),
]


def open_reader(model: str, **options: Any) -> Callable[[], Reader]:
    """What opens the networks once all else is known to work; what it refuses by ValueError is a wrong option."""

    def opened() -> Reader:
        from mien.reader import Reader

        try:
            return Reader(model, **options)
        except ValueError as error:
            raise MienError(str(error)) from None

    return opened
