"""Pictures with their faces drawn: one file, or a folder of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Self

import PIL.Image

from mien.errors import OutputError
from mien.files import WholeFile, check_folder, check_output, explained, sweep
from mien.see.face import Frame, Reading
from mien.see.picture import Image
from mien.sinks.draw import annotate

FORMATS = {
    ".bmp": "BMP",
    ".jpeg": "JPEG",
    ".jpg": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
}
"""The endings of pictures that can be written, each with the format's name in Pillow."""


class AnnotatedPicture:
    """Writes one picture with its faces drawn; without faces it stays unchanged."""

    def __init__(self, path: Path) -> None:
        format_of(path)
        check_output(path)
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: a picture is whole as soon as it is written."""

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Draw the faces and write the picture."""
        write_picture(self.path, frame, readings)


class AnnotatedFolder:
    """Writes each picture with its faces drawn into one folder, which is made when it is not there.

    A picture keeps its name, and its place below the folder that all of them have in common; one whose ending cannot
    be written becomes a PNG. What killed runs left half-written in the folder is removed.
    """

    def __init__(self, folder: Path, pictures: Sequence[Path]) -> None:
        with explained(folder):
            if folder.exists() and not folder.is_dir():
                raise OutputError(f"cannot write into {folder}: it is a file; several pictures need a folder")
            if not folder.exists() and folder.suffix.lower() in FORMATS:
                raise OutputError(f"cannot write several pictures to {folder}: give a folder")
            check_folder(folder if folder.exists() else _absolute(folder).parent)
            # on Windows, pictures on two drives have nothing in common, which raises ValueError
            self.base = os.path.commonpath([_absolute(picture).parent for picture in pictures])
        self.folder = folder

    def __enter__(self) -> Self:
        self.made = not self.folder.exists()
        with explained(self.folder):
            self.folder.mkdir(exist_ok=True)
            sweep(self.folder, FORMATS)
        return self

    def __exit__(self, *_: object) -> None:
        if self.made:
            with suppress(OSError):  # it holds pictures and stays
                self.folder.rmdir()

    def place(self, picture: Path) -> Path:
        """Return the file that a picture is written to."""
        place = self.folder / _absolute(picture).relative_to(self.base)
        return place if place.suffix.lower() in FORMATS else place.with_name(place.name + ".png")

    def write(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Draw the faces of one picture and write it."""
        place = self.place(Path(frame.name))
        with explained(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_picture(place, frame, readings)


def write_picture(path: Path, frame: Frame, readings: Sequence[Reading]) -> None:
    """Write a frame with its faces drawn; without faces as it is, from a file of the same format byte for byte."""
    source = Path(frame.name)
    with explained(path):
        same_format = format_of(path) == FORMATS.get(source.suffix.lower())
        unchanged = not readings and same_format and source.is_file()  # a frame of frame_%03d.png is no file
        data = source.read_bytes() if unchanged else encode(annotate(frame.image, readings), path)
    with WholeFile(path) as file:
        file.write(data)


def show_picture(image: Image) -> bool:
    """Open a picture in the system's viewer; False where there is no display, or no viewer."""
    import PIL.ImageShow  # looks through the system for viewers

    on_unix = sys.platform not in ("darwin", "win32")
    if on_unix and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    return PIL.ImageShow.show(PIL.Image.fromarray(image), "Mien")


def encode(image: Image, path: Path) -> bytes:
    """Return RGB bytes, (height, width, 3), as a picture file in the format that a name's ending says."""
    data = BytesIO()
    # the edges of letters need every pixel's colour, which JPEG by default halves
    PIL.Image.fromarray(image).save(data, format_of(path), quality=92, subsampling=0)
    return data.getvalue()


def format_of(path: Path) -> str:
    """Return Pillow's name of the format that a name's ending stands for."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        endings = ", ".join(FORMATS)
        raise OutputError(f"cannot write {path}: use a name that ends in {endings}") from None


def _absolute(path: Path) -> Path:
    """Return the path from the root on without `..`, which would lead out of the folder again."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`
