"""One picture, whatever it comes as → a frame: a file, bytes, an open file, a PIL image, an array."""

from __future__ import annotations

import os
import sys
from io import BytesIO
from typing import IO, Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.see.face import Frame
from mien.see.picture import Image
from mien.sources.names import check_file, local_path
from mien.sources.pillow import MEGAPIXELS, decode, explained, rgb_of

AnyPicture = str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[Any]
"""What `open_picture` takes."""


def open_picture(picture: AnyPicture, *, megapixels: float = MEGAPIXELS) -> Frame:
    """Open one picture: a file by its name, its bytes, an open file, a PIL image, or an array.

    An array is uint8, RGB (height, width, 3) or gray (height, width). Anything else is turned upright by its EXIF
    orientation and becomes RGB bytes: transparency over white, more than 8 bits scaled down, of an animation the first
    frame that is not of one colour. A file of more than so many `megapixels` is refused before it is decoded. Raises
    SourceError; warns by SourceWarning where the end of a file is missing.
    """
    if isinstance(picture, PIL.Image.Image):
        return Frame(rgb_of(picture))
    if isinstance(picture, bytes | bytearray | memoryview):
        return Frame(_from_bytes(bytes(picture), "what was given as bytes", megapixels))
    if isinstance(picture, str | os.PathLike):
        name = os.fspath(picture)
        if not name:
            raise SourceError("a picture has no name: give a path")
        if name == "-":
            return Frame(_from_bytes(_standard_input(), "standard input", megapixels), "-")
        return _from_file(name, megapixels)
    if hasattr(picture, "__array__"):  # NumPy's own, and those of PyTorch and others
        return Frame(_checked(np.asarray(picture)))
    if hasattr(picture, "read"):
        return _from_open_file(picture, megapixels)
    kind = type(picture).__name__
    raise SourceError(f"{kind} is no picture: give a path, bytes, an open file, a PIL image or an array")


def _from_file(name: str, megapixels: float) -> Frame:
    if not isinstance(name, str):
        raise SourceError(f"{name!r} is no name: give text")
    path = local_path(name)
    check_file(path, "give a picture")
    with explained(str(path)), path.open("rb") as file:
        return Frame(decode(file, str(path), megapixels), name=str(path))


def _standard_input() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        raise SourceError("standard input is a terminal: let a program write a picture into it")
    return sys.stdin.buffer.read()


def _from_open_file(file: IO[bytes], megapixels: float) -> Frame:
    name = getattr(file, "name", "")
    shown = str(name) if isinstance(name, str) and name else "the open file"
    with explained(shown):
        data = file.read()
    if not isinstance(data, bytes):
        raise SourceError(f"{shown} is open as text: open it in mode 'rb'")
    return Frame(_from_bytes(data, shown, megapixels), name=name if isinstance(name, str) else "")


def _from_bytes(data: bytes, shown: str, megapixels: float) -> Image:
    if not data:
        raise SourceError(f"{shown} is empty: give all of a picture file")
    return decode(BytesIO(data), shown, megapixels)


def _checked(array: NDArray[np.generic]) -> Image:
    """Return the array as RGB bytes, or say how to make it a picture."""
    if array.size == 0:
        raise SourceError(f"an array of shape {array.shape} has no pixels: give at least one")
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        raise SourceError(f"an array of {array.dtype} {array.shape} is no picture: {_remedy(array)}")
    rgb = array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def _remedy(array: NDArray[np.generic]) -> str:
    """Say what makes RGB bytes of an array that is something else."""
    shape = array.shape
    if array.ndim == 1 and array.dtype == np.uint8:
        return "give x.tobytes() if it is the content of a file"
    if array.ndim == 4:
        return "give the pictures of a batch as a list, list(x)"
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        return "its channels come first; give x.transpose(1, 2, 0)"
    if array.ndim == 3 and shape[2] == 4:
        return "it has a fourth channel; give x[..., :3]"
    if array.ndim == 3 and shape[2] == 1:
        return "it has one channel; give x[..., 0]"
    if array.dtype.kind == "f":
        return "give bytes, (x * 255).round().astype('uint8') if its values lie in [0, 1]"
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        wide = ", (x >> 8).astype('uint8') if in 0 to 65535" if array.dtype.itemsize > 1 else ""
        return f"give bytes, x.astype('uint8') if its values lie in 0 to 255{wide}"
    return "give RGB bytes, uint8 (height, width, 3)"
