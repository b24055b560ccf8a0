"""Faces → readings: the emotion network in ONNX Runtime, one batch for all faces of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from mien.errors import ModelError
from mien.labels import EMOTIONS, SIDE
from mien.see.crop import crop
from mien.see.face import Face, Frame, Reading
from mien.see.foreign import open_limited, try_out
from mien.see.picture import Floats, Image
from mien.see.weights import Device, find, open_session, read

ModelName = Literal["s", "m"]
Head = Literal["official", "ferplus", "blend"]

PACKAGED: dict[str, str] = {"s": "emotion.onnx", "m": "emotion-m.onnx"}  # a user's file of such a name is ./s, ./m
HEADS: tuple[Head, ...] = get_args(Head)
BATCH = 64  # faces a run: larger ones leave the cache and gain nothing


def model_path(model: ModelName | str | Path | None) -> Path:
    """Return the file of a model: "s" (or None) and "m" are in the package; everything else is a path."""
    name = _packaged(model)
    return find(name) if name else Path(model or "")


def _packaged(model: str | Path | None) -> str | None:
    return None if isinstance(model, Path) else PACKAGED.get("s" if model is None else model)


class Classifier:
    """The emotion network: crops of faces in, the probabilities of seven emotions out.

    >>> import numpy as np
    >>> import PIL.Image
    >>> from mien import EMOTIONS, Classifier, Detector
    >>> from mien.see.crop import crop
    >>> image = np.asarray(PIL.Image.open("assets/astronaut.jpg"))
    >>> crops = np.stack([crop(image, face) for face in Detector()(image)])
    >>> scores = Classifier("m")(crops)
    >>> crops.shape, scores.shape
    ((1, 48, 48), (1, 7))
    >>> EMOTIONS[scores[0].argmax()]
    'happy'

    `model` is "s", the small network in the package and the default, "m", the larger one that is right more often
    (MODEL_CARD.md), or the path of an ONNX file that `mien export` wrote. `head` chooses whose labels the network
    predicts: "official" (FER2013's own), "ferplus" (the ten voters of FER+) or "blend" (the mean of both); without it
    the file's own choice. `flip` averages each face with its mirror image, which takes twice the time. `threads` work
    on one batch.

    Raises ValueError for an unknown head or device, and ModelError for a file that is missing, broken or not such a
    network, that lacks the head, or that gives NaN or infinite scores.
    """

    def __init__(
        self,
        model: ModelName | str | Path | None = None,
        *,
        head: Head | str | None = None,
        flip: bool = False,
        threads: int = 1,
        device: Device = "cpu",
    ) -> None:
        if head is not None and head not in HEADS:
            raise ValueError(f"head is {head!r}: choose one of {', '.join(HEADS)}")
        name = _packaged(model)
        self.path = model_path(model)
        if not name:
            self._try_out()
        self._session = open_session(read(name) if name else self.path, threads=threads, device=device)
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.heads = self._checked()
        wanted = head or self.metadata.get("head", "official")
        if wanted not in self.heads:
            raise ModelError(f"{self.path} has no head {wanted!r}: choose one of {', '.join(self.heads)}")
        self.head = cast("Head", wanted)
        self.flip = flip

    def __call__(self, faces: Image) -> Floats:
        """Classify crops, uint8 (n, 48, 48): float32 (n, 7) in `EMOTIONS` order, each row with the sum 1."""
        return self.by_head(faces)[self.head]

    def by_head(self, faces: Image) -> dict[str, Floats]:
        """Classify crops by every head of the file and by their blend, each as `__call__` does."""
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
        """Crop and classify the faces found in several frames, in one batch: for each frame its readings."""
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
            raise ModelError(
                f"{self.path} gives scores that are NaN or infinite: its training failed, use another model"
            )
        return scores

    def _checked(self) -> tuple[Head, ...]:
        """The heads of the file, whose input, outputs and labels must be those of an emotion network."""
        labels = self.metadata.get("emotions", "")
        if labels != ",".join(EMOTIONS):
            raise ModelError(
                f"{self.path} is not an emotion network of Mien (its labels: {labels or 'none'}): use `mien export`"
            )
        inputs = [(node.name, node.type, list(node.shape[1:])) for node in self._session.get_inputs()]
        outputs = {node.name: list(node.shape[1:]) for node in self._session.get_outputs() if node.name in HEADS}
        any_batch = not any(isinstance(node.shape[0], int) for node in self._session.get_inputs() if node.shape)
        right = inputs == [("faces", "tensor(uint8)", [1, SIDE, SIDE])] and "official" in outputs and any_batch
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
