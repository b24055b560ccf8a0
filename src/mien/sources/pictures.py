"""Where frames come from: pictures, folders and patterns of them, arrays."""

from __future__ import annotations

import glob
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageOps
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.see.face import Frame
from mien.see.picture import Image
from mien.sources.video import is_video

MEGAPIXELS = 200
"""A picture of more pixels is refused before it is decoded: every copy of it takes 3 bytes a pixel, 600 MB."""

ENDINGS = (".avif", ".bmp", ".gif", ".ico", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""The files of a folder that are taken for pictures; a file that is named is opened whatever its ending."""


def find_pictures(names: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """List the pictures that files, folders and patterns name, each once, in the order given.

    A folder stands for the pictures directly in it, by name and without hidden ones; `**` in a pattern reaches deeper.
    What names nothing is listed as it is, for the reading to report: one bad name does not stop the others.
    """
    names = list(names)
    if "" in names:  # an unset variable of the shell; as a path it would be the current folder
        raise SourceError("a source has no name: give a picture, a folder or a pattern")
    found = (path for name in names for path in _expanded(Path(name)) or [Path(name)])
    return list(dict.fromkeys(found))


def open_pictures(paths: Iterable[Path], on_error: Callable[[SourceError], object] | None = None) -> Iterator[Frame]:
    """Yield a frame for each picture, decoded when its turn comes.

    A picture that cannot be read raises SourceError; with `on_error` it is handed over and the next one follows.
    """
    for path in paths:
        try:
            frame = open_picture(path)
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield frame


def open_picture(picture: str | os.PathLike[str] | NDArray[np.generic]) -> Frame:
    """Open a picture file, or take an array as it is: uint8, RGB (height, width, 3) or gray (height, width).

    A file is turned upright by its EXIF orientation and becomes RGB bytes: transparency over white, more than 8 bits
    scaled down, of an animation the first frame. Raises SourceError.
    """
    if isinstance(picture, np.ndarray):
        return Frame(_checked(picture))
    path = Path(picture)
    return Frame(_decoded(path), name=str(path))


def _expanded(path: Path) -> list[Path]:
    """List the pictures that a folder or a pattern stands for; empty for anything else."""
    with suppress(OSError, ValueError):  # an unreadable folder, a NUL in a name: reported when it is opened
        if path.is_dir():
            return sorted(file for file in path.iterdir() if _is_picture(file))
        if not path.exists() and glob.has_magic(str(path)):
            return sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())  # noqa: PTH207 - Path.glob takes no absolute pattern
    return []


def _is_picture(file: Path) -> bool:
    return file.suffix.lower() in ENDINGS and not file.name.startswith(".") and file.is_file()


def _checked(array: NDArray[np.generic]) -> Image:
    """Return the array as RGB bytes, or say which shape and type were expected."""
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        got = f"{array.dtype} {array.shape}"
        raise SourceError(f"an array of {got} is no picture: give RGB bytes, uint8 (height, width, 3)")
    if array.size == 0:
        raise SourceError(f"an array of shape {array.shape} has no pixels: give at least one")
    rgb = array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2)
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def _decoded(path: Path) -> Image:
    """Return the upright RGB bytes of a picture file."""
    _check_file(path)
    with _pillow_quiet():
        try:
            with path.open("rb") as file, PIL.Image.open(file) as picture:
                if picture.format == "EPS":
                    raise SourceError(f"{path} is PostScript, a program and no picture: convert it to PNG")
                picture.load()
                with suppress(Exception):  # a broken EXIF block does not make the pixels unreadable
                    PIL.ImageOps.exif_transpose(picture, in_place=True)
                return _rgb(picture)
        except SourceError:
            raise
        except PIL.Image.DecompressionBombError:
            raise SourceError(f"{path} has more than {MEGAPIXELS} megapixels: make it smaller") from None
        except PIL.UnidentifiedImageError:
            if is_video(path.name):
                raise SourceError(f"{path} is a video: give it alone, or use mien watch") from None
            raise SourceError(f"{path} is not a picture in a format that can be read: try JPEG or PNG") from None
        except PermissionError:
            raise SourceError(f"{path} may not be read: ask its owner for permission") from None
        except MemoryError:
            raise SourceError(f"{path} needs more memory than there is: make it smaller") from None
        except Exception as error:  # on damaged files Pillow's readers raise whatever they trip over
            raise SourceError(f"{path} cannot be decoded ({_reason(error)}): is it a whole copy?") from error


def _check_file(path: Path) -> None:
    """Raise SourceError when there is no file to open, or one that would never end."""
    try:
        if not path.exists():
            raise SourceError(f"there is no file {path}: check its name")
        if path.is_dir():
            next(path.iterdir(), None)  # a folder that may not be read says so
            raise SourceError(f"{path} is a folder: give a picture, or a folder with pictures in it")
        if not path.is_file():
            raise SourceError(f"{path} is not a file: give a picture")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty: get a whole copy of it")
    except (OSError, ValueError) as error:  # a NUL in the name, a name too long, a folder that may not be entered
        raise SourceError(f"{path} cannot be opened ({_reason(error)}): check its name") from None


logging.getLogger("PIL").addHandler(logging.NullHandler())  # what goes wrong is raised: once is enough
_PILLOW = Lock()


@contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Silence Pillow's warnings and let it refuse pictures by our limit: it raises above twice its own.

    Both are settings of the whole process, so only one thread at a time changes them.
    """
    with _PILLOW, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = PIL.Image.MAX_IMAGE_PIXELS
        PIL.Image.MAX_IMAGE_PIXELS = MEGAPIXELS * 10**6 // 2
        try:
            yield
        finally:
            PIL.Image.MAX_IMAGE_PIXELS = limit


def _rgb(picture: PIL.Image.Image) -> Image:
    """Return the pixels as RGB bytes, (height, width, 3)."""
    if picture.mode.startswith("I;16"):
        picture = _gray(picture, (65535,))
    elif picture.mode == "I":
        picture = _gray(picture, (255, 65535))
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

    Values below 0 or above every white have no known scale: they are stretched from the darkest to the brightest.
    """
    values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0, neginf=0)
    black, brightest = min(float(values.min()), 0.0), float(values.max())
    white = next((white for white in whites if black == 0 and brightest <= white), brightest)
    scaled = (values - black) * (255 / max(white - black, 1e-9))
    return PIL.Image.fromarray((scaled + 0.5).astype(np.uint8))


def _reason(error: Exception) -> str:
    """Return what an error says, in one short line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(said.split())[:100]
