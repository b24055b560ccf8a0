"""Picture files decoded, through Pillow: upright RGB bytes, of every mode, of animations, of files that are cut off."""

from __future__ import annotations

import ctypes
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from tempfile import TemporaryFile
from threading import Lock
from typing import IO, Any

import numpy as np
import PIL.Image
import PIL.ImageCms
from numpy.typing import NDArray

from mien.errors import MienError, SourceError, SourceWarning
from mien.see.picture import Image
from mien.sources.decode import turned
from mien.sources.heif import decode_heif
from mien.sources.names import is_video, reason
from mien.sources.planes import Orientation

MEGAPIXELS = 200
"""A picture of more pixels is refused before it is decoded: every copy of it takes 3 bytes a pixel, 600 MB."""

LARGE = 50 * 10**6  # pixels from which on it matters that a picture stands in memory twice
STRIP = 1 << 22  # pixels that are converted at a time

LOOKED_AT = 100  # frames of an animation in which one that shows something is looked for
PLAIN = 16  # a picture whose values differ by less is of one colour, as frames before a film begins

END_OF_JPEG = b"\xff\xd9"

ORIENTATION = 0x0112  # in EXIF
TURNS: dict[int, Orientation] = {
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""What EXIF's orientations but the first mean, as a video's display matrix says it."""


def decode(file: IO[bytes], shown: str, megapixels: float = MEGAPIXELS) -> Image:
    """Return the upright RGB bytes of a picture file, which messages call `shown`.

    Raises SourceError; warns by SourceWarning where the end of the file is missing.
    """
    with explained(shown), _pillow_quiet():
        try:
            opened = PIL.Image.open(file)
        except PIL.UnidentifiedImageError:
            return _decoded_otherwise(file, shown, megapixels)
        with opened:
            if opened.format == "EPS":
                raise SourceError(f"{shown} is PostScript, a program and no picture: convert it to PNG")
            width, height = opened.size
            if width * height > megapixels * 1e6:
                raise SourceError(f"{shown} has more than {megapixels:g} megapixels: make it smaller")
            with _loaded(opened, file, shown) as picture:
                if width * height < LARGE:
                    return _turned(_rgb(picture), _orientation(picture))
                return _rgb_by_disk(picture)


def rgb_of(picture: PIL.Image.Image) -> Image:
    """Return the upright RGB bytes of a picture that Pillow has opened. Raises SourceError."""
    with explained("what was given as PIL image"), _pillow_quiet():
        return _turned(_rgb(picture), _orientation(picture))


@contextmanager
def explained(shown: str) -> Iterator[None]:
    """Turn whatever goes wrong in decoding into a SourceError."""
    try:
        yield
    except MienError:
        raise
    except PermissionError:
        raise SourceError(f"{shown} may not be read: ask its owner for permission") from None
    except MemoryError:
        raise SourceError(f"{shown} needs more memory than there is: make it smaller") from None
    except Exception as error:  # on damaged files Pillow's readers raise whatever they trip over
        raise SourceError(f"{shown} cannot be decoded ({reason(error)}): is it a whole copy?") from error


def _decoded_otherwise(file: IO[bytes], shown: str, megapixels: float) -> Image:
    """Return the pixels of what Pillow does not know."""
    file.seek(0)
    rgb = decode_heif(file, shown, megapixels)
    if rgb is not None:
        return rgb
    if is_video(shown):
        raise SourceError(f"{shown} is a video: read it as one")
    raise SourceError(f"{shown} is not a picture in a format that can be read: try JPEG or PNG")


def _loaded(picture: PIL.Image.Image, file: IO[bytes], shown: str) -> PIL.Image.Image:
    """Return a picture that is decoded: of an animation a frame that shows something, of a cut file what is there."""
    try:
        picture.load()
    except OSError as error:
        if not _ends_early(picture, error):
            raise
        if picture.format == "JPEG":  # with its end put there, the decoder gives out all that came before
            file.seek(0)
            picture = PIL.Image.open(BytesIO(file.read() + END_OF_JPEG))
            picture.load()
        vars(picture)["tile"] = []  # Pillow would begin anew; what it has decoded is there
        if _is_plain(picture):
            raise SourceError(f"{shown} ends before its first pixels: get a whole copy of it") from None
        warnings.warn(f"{shown} ends early: the part that is there is read", SourceWarning, stacklevel=2)
        return picture
    if getattr(picture, "is_animated", False):
        _seek_content(picture)
    return picture


def _ends_early(picture: PIL.Image.Image, error: OSError) -> bool:
    """Whether an error says that a file is cut off, and not that it is damaged."""
    return "truncated" in str(error) or (picture.format == "TIFF" and _is_cut(picture))


def _is_cut(picture: Any) -> bool:
    """Whether strips or tiles of a TIFF lie behind the end of its file (TIFF 6.0, tags 273, 279, 324, 325)."""
    end = picture.fp.seek(0, os.SEEK_END) if picture.fp else 0
    tags = picture.tag_v2
    for offsets, counts in ((273, 279), (324, 325)):
        if any(
            offset + count > end for offset, count in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        ):
            return True
    return False


def _seek_content(picture: PIL.Image.Image) -> None:
    """Go to the first frame of an animation that is not of one colour; to the first of all where each is."""
    for number in range(min(getattr(picture, "n_frames", 1), LOOKED_AT)):
        try:
            picture.seek(number)
            if not _is_plain(picture):
                return
        except (EOFError, OSError, SyntaxError):  # a broken animation is its first frame
            break
    picture.seek(0)


def _is_plain(picture: PIL.Image.Image) -> bool:
    """Whether a picture is of one colour, or nearly so."""
    low, high = [255] * 3, [0] * 3
    for strip in _strips(picture.size):
        part = picture.crop((0, strip.start, picture.width, strip.stop)).convert("RGB")
        extremes: Any = part.getextrema()
        low, high = [*map(min, low, (at for at, _ in extremes))], [*map(max, high, (at for _, at in extremes))]
        if any(above - below >= PLAIN for below, above in zip(low, high, strict=True)):
            return False
    return True


def _orientation(picture: PIL.Image.Image) -> Orientation | None:
    """Return how a picture is to be turned and mirrored to stand upright, by its EXIF data."""
    with suppress(Exception):  # a broken EXIF block does not make the pixels unreadable
        exif = PIL.Image.Image.getexif(picture)  # a PNG's own would decode it first, and lose the errors of that
        return TURNS.get(exif.get(ORIENTATION, 1))
    return None


def _turned(image: Image, turn: Orientation | None) -> Image:
    return image if turn is None else np.ascontiguousarray(turned(image, turn))


def _strips(size: tuple[int, int]) -> Iterator[slice]:
    """Yield rows of a picture of that width and height, a few megapixels at a time."""
    width, height = size
    rows = max(1, STRIP // max(1, width))
    yield from (slice(top, min(top + rows, height)) for top in range(0, height, rows))


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
    rgb = np.empty((picture.height, picture.width, 3), np.uint8)
    for strip, pixels in _converted(picture):
        rgb[strip] = pixels
    return rgb


def _rgb_by_disk(picture: PIL.Image.Image) -> Image:
    """Return the upright RGB bytes of a large picture, which is closed.

    Pillow takes 4 bytes a pixel and the array 3: between the two the pixels wait in a temporary file, so that they are
    never in memory at the same time.
    """
    size, turn = picture.size, _orientation(picture) or (1, 0, 0, 1)
    a, b, c, d = turn
    upright = np.empty((*(size if b else size[::-1]), 3), np.uint8)
    as_it_lies = turned(upright, (a, c, b, d))  # the inverse of a turn
    with TemporaryFile() as waiting:
        for _, pixels in _converted(picture):
            waiting.write(pixels.tobytes())
        picture.close()
        waiting.seek(0)
        for strip in _strips(size):
            rows = np.fromfile(waiting, np.uint8, (strip.stop - strip.start) * size[0] * 3)
            as_it_lies[strip] = rows.reshape(-1, size[0], 3)
    return upright


def _converted(picture: PIL.Image.Image) -> Iterator[tuple[slice, Image]]:
    """Yield the pixels as RGB bytes, strip by strip, each with its rows."""
    convert = _conversion(picture)
    for strip in _strips(picture.size):
        yield strip, np.asarray(convert(picture.crop((0, strip.start, picture.width, strip.stop))))


def _conversion(picture: PIL.Image.Image) -> Callable[[PIL.Image.Image], PIL.Image.Image]:
    """Return what makes RGB of a part of a picture."""
    if picture.mode.startswith("I;16") or picture.mode == "I":
        return _gray(picture, (255, 1023, 4095, 16383, 65535))
    if picture.mode == "F":
        return _gray(picture, (1, 255, 65535))
    if picture.mode == "LAB":  # the one mode that Pillow converts by colour profile only
        profiles = PIL.ImageCms.createProfile("LAB"), PIL.ImageCms.createProfile("sRGB")
        return lambda part: PIL.ImageCms.profileToProfile(part, *profiles, outputMode="RGB") or part
    return _over_white if picture.has_transparency_data else lambda part: part.convert("RGB")


def _over_white(part: PIL.Image.Image) -> PIL.Image.Image:
    part = part.convert("RGBA")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", part.size, "white"), part).convert("RGB")


def _gray(picture: PIL.Image.Image, whites: tuple[int, ...]) -> Callable[[PIL.Image.Image], PIL.Image.Image]:
    """Return what scales gray values that are wider than a byte: white is the first of `whites` that no value exceeds.

    So 10 and 12 bits in a file of 16 are not black. Values below 0 or above every white have no known scale: they are
    stretched from the darkest to the brightest.
    """
    width = picture.width
    parts = (_finite(picture.crop((0, rows.start, width, rows.stop))) for rows in _strips(picture.size))
    extremes = [(float(part.min()), float(part.max())) for part in parts]
    darkest, brightest = min(low for low, _ in extremes), max(high for _, high in extremes)
    black = min(darkest, 0.0)
    white = next((white for white in whites if black == 0 and brightest <= white), brightest)

    def scaled(part: PIL.Image.Image) -> PIL.Image.Image:
        values = (_finite(part) - black) * (255 / max(white - black, 1e-9))
        return PIL.Image.fromarray((values + 0.5).astype(np.uint8)).convert("RGB")

    return scaled


def _finite(part: PIL.Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(part, dtype=np.float32), posinf=0, neginf=0)


def _silence_libtiff() -> None:
    """Keep libtiff, whose words go past Python, from printing what is wrong with a file: it is raised as well."""
    with suppress(AttributeError, OSError):
        pillow = ctypes.CDLL(vars(PIL.Image)["core"].__file__)
        pillow.TIFFSetErrorHandler(None)
        pillow.TIFFSetWarningHandler(None)


_silence_libtiff()
