"""Faces → readings: the emotion network in ONNX Runtime, one batch for all faces of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mien.errors import ModelError
from mien.labels import EMOTIONS, SIDE
from mien.see.crop import crop
from mien.see.face import Face, Frame, Reading
from mien.see.foreign import open_limited, try_out
from mien.see.picture import Floats, Image
from mien.see.weights import Device, find, open_session, read

PACKAGED = {"s": "emotion.onnx", "m": "emotion-m.onnx"}  # by size; a file of such a name is ./s, ./m
Model = Literal["s", "m"]
Head = Literal["official", "ferplus", "blend"]
HEADS: tuple[Head, ...] = get_args(Head)
BATCH = 64  # faces a run: larger ones leave the cache and gain nothing


def model_path(model: str | PathLike[str] | None) -> Path:
    """Where a model lies: "s", which None stands for, or "m" in the package; all else is a path."""
    packaged = _packaged(model)
    return find(packaged) if packaged else Path(fspath(model or ""))


def _packaged(model: str | PathLike[str] | None) -> str | None:
    """The file of the package that a name stands for; a path object is always a path."""
    return PACKAGED.get("s" if model is None else model) if model is None or isinstance(model, str) else None


class Classifier:
    """The emotion network: faces in, seven probabilities each out.

    `model` is "s", the small network in the package and the default, "m", the one that is larger and more often right
    (MODEL_CARD.md), or an ONNX file that `mien export` wrote. `head` says whose labels the
    scores speak for: "official" (FER2013's own), "ferplus" (the ten voters of FER+) or "blend" (the mean of both); by
    default what the file itself recommends. `flip` averages each face with its mirror image, at twice the time.
    Raises ModelError for a file that is missing, broken, or not such a network, and when it gives no numbers.
    """

    def __init__(
        self,
        model: Model | str | PathLike[str] | None = None,
        *,
        head: Head | None = None,
        flip: bool = False,
        threads: int = 1,
        device: Device = "cpu",
    ) -> None:
        if head is not None and head not in HEADS:
            raise ValueError(f"head is {head!r}: choose one of {', '.join(HEADS)}")
        self.path = model_path(model)
        packaged = _packaged(model)
        content = read(packaged) if packaged else self.path
        if not packaged:
            self._try_out()
        self._session = open_session(content, threads=threads, device=device)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.heads = self._checked()
        self.head = head or self.metadata.get("head", "official")
        if self.head not in self.heads:
            raise ModelError(f"{self.path} has no head {self.head!r}: choose one of {', '.join(self.heads)}")
        self.flip = flip

    def __call__(self, faces: Image) -> Floats:
        """(n, 48, 48) gray bytes → (n, 7) float32 in `EMOTIONS` order; each row sums to 1."""
        return self.by_head(faces)[self.head]

    def by_head(self, faces: Image) -> dict[str, Floats]:
        """The scores of every head that the file has, and of their blend, each as `__call__` gives them."""
        faces = np.asarray(faces)
        if faces.dtype != np.uint8 or faces.ndim != 3 or faces.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"faces must be uint8 of shape (n, 48, 48), not {faces.dtype} of shape {faces.shape}")
        scores = self._scores(faces)
        if self.flip:
            scores = (scores + self._scores(faces[..., ::-1])) / np.float32(2)
        if len(scores) > 1:
            scores = np.concatenate([scores, scores.mean(0, keepdims=True)])
        return dict(zip(self.heads, scores, strict=True))

    def read_frames(self, frames: Sequence[Frame], faces: Sequence[Sequence[Face]]) -> list[list[Reading]]:
        """What the faces found in each of several frames show, in one batch."""
        crops = [crop(frame.picture, face) for frame, found in zip(frames, faces, strict=True) for face in found]
        scores = iter(self(np.stack(crops)) if crops else ())
        return [[Reading(face, next(scores)) for face in found] for found in faces]

    def _scores(self, faces: Image) -> Floats:
        """(heads, n, 7)."""
        names = [name for name in self.heads if name != "blend"]
        scores = np.zeros((len(names), len(faces), len(EMOTIONS)), np.float32)
        for start in range(0, len(faces), BATCH):
            batch = np.ascontiguousarray(faces[start : start + BATCH, None])
            scores[:, start : start + BATCH] = self._session.run(names, {"faces": batch})
        if not np.isfinite(scores).all():
            raise ModelError(f"{self.path} gives scores that are no numbers: its training failed, use another model")
        return scores

    def _checked(self) -> tuple[str, ...]:
        """The heads of the file, once its input, outputs and label names are those of an emotion network."""
        labels = self.metadata.get("emotions", "")
        if labels != ",".join(EMOTIONS):
            raise ModelError(
                f"{self.path} is not an emotion network of Mien (its labels: {labels or 'none'}): use `mien export`"
            )
        inputs = [(node.name, node.type, list(node.shape[1:])) for node in self._session.get_inputs()]
        outputs = {node.name: list(node.shape[1:]) for node in self._session.get_outputs() if node.name in HEADS}
        any_number = not any(isinstance(node.shape[0], int) for node in self._session.get_inputs() if node.shape)
        right = inputs == [("faces", "tensor(uint8)", [1, SIDE, SIDE])] and "official" in outputs and any_number
        if not right or any(shape != [len(EMOTIONS)] for shape in outputs.values()):
            raise ModelError(f"{self.path} has inputs or outputs of other shapes: write it anew with `mien export`")
        return HEADS if "ferplus" in outputs else HEADS[:1]

    def _try_out(self) -> None:
        """Raise ModelError unless somebody's model file gives probabilities, within limits of time and memory."""
        limited = open_limited(self.path)
        if limited is None:  # no file, which `open_session` says
            return
        self._session, self.metadata = limited, limited.get_modelmeta().custom_metadata_map
        try_out(limited, [name for name in self._checked() if name != "blend"], self.path)
