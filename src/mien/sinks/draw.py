"""Draws readings on a picture: a box around each face, beside it who it is, the emotion and its probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from mien.labels import COLOURS, EMOTIONS
from mien.see.face import Reading
from mien.see.picture import Floats, Image, check_rgb

Colour = tuple[int, int, int]

SMALLEST_TEXT = 11
"""In pixels: at smaller sizes the letters run together."""


def annotate(image: Image, readings: Sequence[Reading]) -> Image:
    """Return a copy of RGB bytes, (height, width, 3), with the boxes and labels of the readings. Raises TypeError."""
    check_rgb(image)
    drawn = image.copy()
    faces, labels = [reading.face.box.round() for reading in readings], list[Floats]()
    for reading in readings:
        outline(drawn, reading.face.box, _colour(reading), 1 + text_size(image, reading.face.box) // 8)
    for reading in readings:  # after all the boxes, whose lines would cross the labels
        box = reading.face.box
        patch = fitting_label(image, reading)
        x, y = place(patch, box, image, faces, labels)
        part = drawn[y : y + patch.shape[0], x : x + patch.shape[1]]
        part[:] = patch[: part.shape[0], : part.shape[1]]  # a picture may be smaller than any label
        labels.append(_box(x, y, patch))
    return drawn


def scaled(image: Image, readings: Sequence[Reading], side: int) -> tuple[Image, list[Reading]]:
    """Return RGB bytes of at most `side` pixels a side, and the readings with boxes that fit them."""
    scale = min(1.0, side / max(image.shape[:2]))
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = np.asarray(PIL.Image.fromarray(image).resize(size, PIL.Image.Resampling.BOX)) if scale < 1 else image
    smaller = [replace(one, face=replace(one.face, box=one.face.box * np.float32(scale))) for one in readings]
    return small, smaller


def caption(reading: Reading) -> str:
    """Return what a label says: the person's number where there is one, the emotion and its probability."""
    who = "" if reading.person is None else f"{reading.person} · "
    seen = reading.shown or reading
    return f"{who}{seen.emotion} {seen.probability:.0%}"


def text_size(image: Image, box: Floats) -> int:
    """Return the height of a label's text in pixels: it grows with the face, and with the picture it is seen in.

    A picture is mostly seen scaled to a screen of about a thousand pixels, so on a large one small text is no text.
    """
    height, width = image.shape[:2]
    smallest = max(SMALLEST_TEXT, max(height, width) / 80)
    return int(max(smallest, min((box[2] - box[0]) / 7, max(height, width) / 25)))


def fitting_label(image: Image, reading: Reading) -> Image:
    """Return a label that fits into a picture: RGB bytes.

    Where there is no room it is smaller, then it leaves out the probability, then the number.
    """
    size, seen = text_size(image, reading.face.box), reading.shown or reading
    full, emotion = caption(reading), seen.emotion
    numbered = full.rpartition(" ")[0]
    choices = [(full, size), (full, SMALLEST_TEXT), (numbered, SMALLEST_TEXT)]
    choices += [(emotion, smaller) for smaller in range(SMALLEST_TEXT, 7, -1)]
    patches = (label(text, height, _colour(reading)) for text, height in choices)
    fitting = (patch for patch in patches if patch.shape[1] <= image.shape[1])
    return next(fitting, label(emotion, 8, _colour(reading)))


@lru_cache(maxsize=1024)  # in a video the same few labels return; drawing one takes about half a millisecond
def label(text: str, size: int, colour: Colour) -> Image:
    """Return text on a patch of a colour, in black or white, whichever stands out: RGB bytes."""
    font = PIL.ImageFont.load_default(size)  # comes with Pillow, so no font of the system is needed
    pad = size // 4
    ascent, descent = font.getmetrics()  # type: ignore[union-attr]
    patch = PIL.Image.new("RGB", (int(font.getlength(text)) + 2 * pad + 1, ascent + descent + pad), colour)
    PIL.ImageDraw.Draw(patch).text((pad, pad // 2), text, fill=_readable_on(colour), font=font)
    pixels = np.asarray(patch)
    pixels.flags.writeable = False  # the cache hands the same array to everyone
    return pixels


def outline(image: Image, box: Floats, colour: Colour, thickness: int) -> None:
    """Draw the sides of a box into the image, seamed in black, which stands out where the colour does not.

    Where the box reaches beyond the frame they are drawn along the frame's edge.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (int(at) for at in box.round().clip(0, (width, height, width, height)))
    seam = image[y1:y2, x1:x2]
    for inside, thick, tone in ((seam, thickness + 2, (0, 0, 0)), (seam[1:-1, 1:-1], thickness, colour)):
        inside[:thick] = inside[-thick:] = tone
        inside[:, :thick] = inside[:, -thick:] = tone


def place(
    patch: Image, box: Floats, image: Image, faces: Sequence[Floats], labels: Sequence[Floats]
) -> tuple[int, int]:
    """Return x, y of the top left corner of a label: above its box, or where it hides least, within the frame.

    `faces` and `labels` are the boxes of those that are drawn already.
    """
    (high, wide), (height, width) = patch.shape[:2], image.shape[:2]
    x1, y1, x2, y2 = box.round()
    spots = [(x1, y1 - high), (x2 - wide, y1 - high), (x1, y2), (x2 - wide, y2), (x2, y1), (x1 - wide, y1), (x1, y1)]
    corners = np.array(spots).clip(0, (max(width - wide, 0), max(height - high, 0))).astype(int)
    others = np.stack([*faces, *labels])
    low = np.maximum(corners[:, None], others[:, :2])
    top = np.minimum(corners[:, None] + (wide, high), others[:, 2:])
    hidden = (top - low).clip(0).prod(-1)
    hidden[:, len(faces) :] *= 10  # a face is known by half of it, a label is not
    x, y = corners[hidden.sum(1).argmin()]  # of equals the first
    return int(x), int(y)


def _box(x: int, y: int, patch: Image) -> Floats:
    return np.array((x, y, x + patch.shape[1], y + patch.shape[0]), dtype=np.float32)


def _colour(reading: Reading) -> Colour:
    return COLOURS[EMOTIONS.index((reading.shown or reading).emotion)]


def _readable_on(colour: Colour) -> str:
    """Return black or white, whichever has more contrast with a background (WCAG 2.2, with a plain gamma of 2.2)."""
    red, green, blue = ((value / 255) ** 2.2 for value in colour)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "black" if luminance > 0.18 else "white"
