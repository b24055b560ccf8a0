"""One picture, whatever it comes as → a frame: a file, bytes, an open file, a PIL image, an array."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from threading import Lock
from typing import IO, Any

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageFile
import PIL.ImageOps
from numpy.typing import NDArray

from mien.errors import SourceError, SourceWarning
from mien.see.face import Frame
from mien.see.picture import Image
from mien.sources.decode import decode_heif
from mien.sources.names import check_file, is_video, local_path, reason

MEGAPIXELS = 200
"""A picture of more pixels is refused before it is decoded: every copy of it takes 3 bytes a pixel, 600 MB."""

LOOKED_AT = 100  # frames of an animation in which one that shows something is looked for

AnyPicture = str | os.PathLike[str] | bytes | IO[bytes] | PIL.Image.Image | NDArray[Any]
"""What `open_picture` takes."""


def open_picture(picture: AnyPicture, *, megapixels: float = MEGAPIXELS) -> Frame:
    """Open one picture: a file by its name, its bytes, an open file, a PIL image, or an array.

    An array is uint8, RGB (height, width, 3) or gray (height, width). Anything else is turned upright by its EXIF
    orientation and becomes RGB bytes: transparency over white, more than 8 bits scaled down, of an animation the first
    frame that is not of one colour. A file of more than so many `megapixels` is refused before it is decoded. Raises
    SourceError; warns by SourceWarning where the end of a file is missing.
    """
    if isinstance(picture, np.ndarray):
        return Frame(_checked(picture))
    if isinstance(picture, PIL.Image.Image):
        with _explained("the PIL image"), _pillow_quiet():
            return Frame(_rgb(_upright(picture)))
    if isinstance(picture, bytes | bytearray | memoryview):
        return Frame(_decoded(BytesIO(picture), "the bytes", megapixels))
    if isinstance(picture, str) and picture == "-":
        return Frame(_decoded(BytesIO(sys.stdin.buffer.read()), "standard input", megapixels), name="-")
    if isinstance(picture, str | os.PathLike):
        return _from_file(os.fspath(picture), megapixels)
    if hasattr(picture, "read"):
        return _from_open_file(picture, megapixels)
    kind = type(picture).__name__
    raise SourceError(f"{kind} is no picture: give a path, bytes, an open file, a PIL image or an array")


def _from_file(name: str, megapixels: float) -> Frame:
    if not isinstance(name, str):
        raise SourceError(f"{name!r} is no name: give text")
    path = local_path(name)
    check_file(path, "give a picture")
    with _explained(str(path)), path.open("rb") as file:
        return Frame(_decoded(file, str(path), megapixels), name=str(path))


def _from_open_file(file: IO[bytes], megapixels: float) -> Frame:
    name = getattr(file, "name", "")
    shown = str(name) if isinstance(name, str) and name else "the open file"
    with _explained(shown):
        data = file.read()
    if not isinstance(data, bytes):
        raise SourceError(f"{shown} is open as text: open it in mode 'rb'")
    return Frame(_decoded(BytesIO(data), shown, megapixels), name=name if isinstance(name, str) else "")


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
        return "give bytes, x.astype('uint8') if its values lie in 0 to 255"
    return "give RGB bytes, uint8 (height, width, 3)"


def _decoded(file: IO[bytes], shown: str, megapixels: float) -> Image:
    """Return the upright RGB bytes of a picture file."""
    with _explained(shown), _pillow_quiet():
        try:
            with PIL.Image.open(file) as picture:
                if picture.format == "EPS":
                    raise SourceError(f"{shown} is PostScript, a program and no picture: convert it to PNG")
                width, height = picture.size
                if width * height > megapixels * 1e6:
                    raise SourceError(f"{shown} has more than {megapixels:g} megapixels: make it smaller")
                _load(picture, shown)
                return _rgb(_upright(picture))
        except PIL.UnidentifiedImageError:
            file.seek(0)
            rgb = decode_heif(file, shown, megapixels)
            if rgb is not None:
                return rgb
            if is_video(shown):
                raise SourceError(f"{shown} is a video: read it as one") from None
            raise SourceError(f"{shown} is not a picture in a format that can be read: try JPEG or PNG") from None


def _load(picture: PIL.Image.Image, shown: str) -> None:
    """Decode the pixels: of an animation a frame that shows something, of a file that ends early what is there."""
    try:
        picture.load()
    except OSError as error:
        if "truncated" not in str(error):
            raise
        with _PILLOW:  # the flag is the whole process's
            PIL.ImageFile.LOAD_TRUNCATED_IMAGES = True
            try:
                picture.load()
            finally:
                PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
        warnings.warn(f"{shown} ends early: the part that is there is read", SourceWarning, stacklevel=2)
    first = 0
    for number in range(1, min(getattr(picture, "n_frames", 1), LOOKED_AT)):
        if any(low != high for low, high in _extremes(picture)):
            return
        with suppress(EOFError, OSError):  # a broken animation is its first frame
            picture.seek(number)
            picture.load()
            continue
        picture.seek(first)
        return


def _extremes(picture: PIL.Image.Image) -> list[tuple[float, float]]:
    """The darkest and the brightest value of each channel."""
    found: Any = picture.convert("RGB").getextrema()
    return list(found)


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Turn and mirror a picture as its EXIF orientation says."""
    with suppress(Exception):  # a broken EXIF block does not make the pixels unreadable
        return PIL.ImageOps.exif_transpose(picture) or picture
    return picture


@contextmanager
def _explained(shown: str) -> Iterator[None]:
    """Turn whatever goes wrong in decoding into a SourceError."""
    try:
        yield
    except SourceError:
        raise
    except PermissionError:
        raise SourceError(f"{shown} may not be read: ask its owner for permission") from None
    except MemoryError:
        raise SourceError(f"{shown} needs more memory than there is: make it smaller") from None
    except Exception as error:  # on damaged files Pillow's readers raise whatever they trip over
        raise SourceError(f"{shown} cannot be decoded ({reason(error)}): is it a whole copy?") from error


logging.getLogger("PIL").addHandler(logging.NullHandler())  # what goes wrong is raised: once is enough
_PILLOW = Lock()
_quiet = 0  # threads that decode now
_before: Any = None  # what to put back when none does


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Silence Pillow's warnings and lift its limit of pixels, since ours is checked.

    Both are settings of the whole process: the first thread that decodes makes them, the last puts back what was.
    """
    global _quiet, _before
    with _PILLOW:
        if not _quiet:
            caught = warnings.catch_warnings()
            caught.__enter__()
            warnings.filterwarnings("ignore", module="PIL")
            _before, PIL.Image.MAX_IMAGE_PIXELS = (caught, PIL.Image.MAX_IMAGE_PIXELS), None
        _quiet += 1
    try:
        yield
    finally:
        with _PILLOW:
            _quiet -= 1
            if not _quiet:
                caught, PIL.Image.MAX_IMAGE_PIXELS = _before
                caught.__exit__(None, None, None)


def _rgb(picture: PIL.Image.Image) -> Image:
    """Return the pixels as RGB bytes, (height, width, 3)."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        picture = _gray(picture, (255, 1023, 4095, 16383, 65535))
    elif picture.mode == "F":
        picture = _gray(picture, (1, 255, 65535))
    elif picture.mode == "LAB":  # the one mode that Pillow converts by colour profile only
        profiles = PIL.ImageCms.createProfile("LAB"), PIL.ImageCms.createProfile("sRGB")
        picture = PIL.ImageCms.profileToProfile(picture, *profiles, outputMode="RGB") or picture
    elif picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def _gray(picture: PIL.Image.Image, whites: tuple[int, ...]) -> PIL.Image.Image:
    """Scale gray values that are wider than a byte: white is the first of `whites` that no value exceeds.

    So 10 and 12 bits in a file of 16 are not black. Values below 0 or above every white have no known scale: they are
    stretched from the darkest to the brightest.
    """
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0, neginf=0)
    black, brightest = min(float(values.min()), 0.0), float(values.max())
    white = next((white for white in whites if black == 0 and brightest <= white), brightest)
    scaled = (values - black) * (255 / max(white - black, 1e-9))
    return PIL.Image.fromarray((scaled + 0.5).astype(np.uint8))
