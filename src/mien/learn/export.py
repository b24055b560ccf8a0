"""Checkpoint → ONNX file with scaling, calibration, softmax and label names inside, checked through `Classifier`."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mien.errors import ModelError, OutputError, TrainingError
from mien.files import WholeFile, check_output, explained
from mien.labels import EMOTIONS, SIDE
from mien.learn.calibrate import Calibration, calibrated
from mien.learn.checkpoint import digest_of
from mien.learn.folds import hold_out, load_splits
from mien.learn.loader import Loader
from mien.learn.model import OFFICIAL
from mien.learn.trained import IN_16_BITS, Trained, load_trained
from mien.see.classify import HEADS, Classifier

OPSET = 17  # ONNX Runtime reads it since 1.12
TOLERANCE = 1e-4  # between the checkpoint's probabilities and the file's
HALF_TOLERANCE = 5e-3  # the same where weights are stored in 16 bits, which moves each by up to 1 in 2,048
LARGE = 1000  # numbers: smaller arrays are not worth a node


class Shipped(nn.Module):
    """The network as users run it: (n, 1, 48, 48) bytes in, the (n, 7) probabilities of each head out."""

    def __init__(self, net: nn.Module, calibration: list[Calibration]) -> None:
        super().__init__()
        self.net = net
        self.calibration = calibration

    def forward(self, faces: Tensor) -> tuple[Tensor, ...]:
        """Scale, predict, calibrate, drop contempt (the last FER+ logit, none of the seven emotions), normalise."""
        logits = self.net(faces.float() / 255)
        heads = logits.split([len(of_head.shifts) for of_head in self.calibration], dim=1)
        pairs = zip(heads, self.calibration, strict=True)
        return tuple(of_head(head)[:, :OFFICIAL].softmax(1) for head, of_head in pairs)


def export(
    run: Path,
    out: Path,
    head: str | None = None,
    *,
    half: bool = False,
    data: Path | None = None,
) -> float:
    """Write the network of a run's folder or of a model file to the ONNX file `out`.

    `head` is the one that `Classifier` uses by default: official, ferplus or blend; without it, that of the model file.
    With `half` weights are stored in 16 bits. With `data`, a folder of prepared data, probabilities are calibrated anew
    on what training held out. Returns the largest difference between the probabilities of the checkpoint and those of
    the written file, read through `Classifier`. Raises TrainingError for a folder without whole weights and ModelError
    where the difference exceeds `TOLERANCE`, or `HALF_TOLERANCE`.
    """
    if out.suffix.lower() != ".onnx":
        raise OutputError(f"cannot write {out}: use a name that ends in .onnx")
    check_output(out)
    trained = load_trained(run)
    if data is not None:
        trained = trained._replace(calibration=_anew(trained, data))
    heads = HEADS[: len(trained.calibration)]
    choices = HEADS if len(heads) > 1 else heads
    head = head or trained.head
    if head not in choices:
        raise ModelError(f"{run} was trained without a head {head!r}: choose one of {', '.join(choices)}")
    shipped = Shipped(trained.net, trained.calibration).eval()
    model = _graph(shipped, heads)
    if half:
        halve(model)
    facts = {
        "emotions": ",".join(EMOTIONS),
        "head": head,
        "settings": json.dumps(asdict(trained.settings)),
        "epoch": json.dumps(trained.epoch),
        "learned": trained.learned,
        "calibration": json.dumps({name: of._asdict() for name, of in zip(heads, trained.calibration, strict=True)}),
    }
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    content = model.SerializeToString()
    difference = _difference(shipped, heads, content)
    if not difference <= (HALF_TOLERANCE if half else TOLERANCE):  # also where it is NaN
        raise ModelError(f"{run} changes by {difference:.1e} when exported: nothing is written; this is a bug of Mien")
    with WholeFile(out) as file:
        file.write(content)
    return difference


def _anew(trained: Trained, data: Path) -> list[Calibration]:
    learned, held_out = hold_out(load_splits(data, trained.settings.held_out), trained.settings)
    if trained.may_have_seen(trained.settings.held_out, digest_of(learned.images)):
        raise TrainingError(
            f"{data} is not the data that this network learned from: it may have seen what would calibrate it"
        )
    return calibrated(trained.net, Loader(held_out, torch.device("cpu"), trained.settings.batch, trained.settings.seed))


def is_calibrated(model: Path) -> bool:
    """Whether a model file holds a calibration that was fitted."""
    fitted = json.loads(Classifier(model).metadata["calibration"]).values()
    return any(of_head["temperature"] != 1 or any(of_head["shifts"]) for of_head in fitted)


def _graph(shipped: Shipped, heads: tuple[str, ...]) -> onnx.ModelProto:
    buffer = io.BytesIO()
    names = ["faces", *heads]
    with warnings.catch_warnings():
        # The older exporter: it folds batch normalisation, needs no further package and takes one second, not eight.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            shipped,
            (torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            opset_version=OPSET,
            input_names=names[:1],
            output_names=names[1:],
            dynamic_axes={name: {0: "n"} for name in names},
        )
    return onnx.load_from_string(buffer.getvalue())


def halve(model: onnx.ModelProto) -> None:
    """Store the large weights of a float32 graph as float16.

    A node each casts them back; ONNX Runtime does that once, when it opens the file, and computes in float32 as before.
    """
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < LARGE:
            continue
        if not np.abs(values).max() <= np.finfo(np.float16).max:
            raise ModelError("there are weights that do not fit into 16 bits: store them in 32 bits")
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + IN_16_BITS))
        casts.append(helper.make_node("Cast", [weight.name], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _difference(shipped: Shipped, heads: tuple[str, ...], content: bytes) -> float:
    """The largest difference between the probabilities of the checkpoint and those of the file through `Classifier`."""
    faces = np.random.default_rng(0).integers(0, 256, (64, SIDE, SIDE), np.uint8)
    with torch.inference_mode():
        wanted = [probabilities.numpy() for probabilities in shipped(torch.from_numpy(faces[:, None]))]
    with explained(Path("a temporary file")):  # there may be no usable folder at all
        place = Path(tempfile.gettempdir())
    with explained(place):
        folder = tempfile.TemporaryDirectory()
    with folder as name:
        file = Path(name) / "emotion.onnx"
        with explained(file):
            file.write_bytes(content)
        got = [Classifier(file, head=head)(faces) for head in heads]
    return max(float(np.abs(a - b).max()) for a, b in zip(wanted, got, strict=True))
