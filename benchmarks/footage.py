"""Footage with known faces: who is drawn, and the kinds of scenes of `benchmarks/people.py`.

The people are six that the portrait in assets/ makes in other light, with other hair and mirrored, or are cut out of
photographs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image as Pillow

from mien.see.picture import Floats, Image

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
MIDDLE, REACH = (225, 130), 110  # of the portrait's face, and pixels around it
FACE = (0.30, 0.23, 0.70, 0.79)  # the face in that square, as shares of its side
RATE = 30  # frames a second
VGA, HD = (640, 480), (1280, 720)

Truth = dict[int, tuple[Floats, bool]]  # by person: the box of the face, and whether it is in plain view
Draw = Callable[[int], tuple[Image, Truth]]  # from the number of a frame


class Person(NamedTuple):
    """A square picture of a person, and the box of the face in it as shares of its side."""

    image: Image
    face: tuple[float, float, float, float]


@dataclass(frozen=True)
class Scene:
    """So many frames of footage, and who is in them."""

    frames: int
    draw: Draw
    rate: int = RATE


def portrayed() -> list[Person]:
    """Six people made of one portrait: mirrored, lit from above and from below, with other hair, skin and clothes."""
    (x, y), picture = MIDDLE, np.asarray(Pillow.open(PORTRAIT).convert("RGB"))
    face = picture[y - REACH : y + REACH, x - REACH : x + REACH]
    down, across = np.mgrid[0 : 2 * REACH, 0 : 2 * REACH] / (2 * REACH) - 0.5
    oval = ((across / 0.25) ** 2 + (down / 0.34) ** 2 < 1).astype(np.float32)
    inner = cv2.GaussianBlur(oval, (0, 0), 6)[..., None]

    def lit(image: Image, light: np.ndarray) -> np.ndarray:
        return np.asarray((image * light[..., None]).clip(0, 255))

    def framed(image: np.ndarray, around: np.ndarray | tuple[int, int, int]) -> np.ndarray:
        return np.asarray(image * inner + np.asarray(around) * (1 - inner))

    made = (
        face[:, ::-1],
        lit(face, 0.85 - 1.3 * down),
        lit(face, 0.85 + 1.3 * down),
        framed(face, 255 - face),
        framed(255 * (face / 255) ** 2.2, (200, 200, 190)),
        framed(lit(face[:, ::-1], 0.75 + 1.1 * across), (235, 230, 220)),
    )
    mirrored = (1 - FACE[2], FACE[1], 1 - FACE[0], FACE[3])
    return [Person(image.astype(np.uint8), mirrored if number in (0, 5) else FACE) for number, image in enumerate(made)]


def photographed(folder: Path, least: int = 60) -> list[Person]:
    """The people of photographs whose faces are of `least` pixels and have room around them."""
    cast: list[Person] = []
    for name, boxes in json.loads((folder / "faces.json").read_text()).items():
        picture = np.asarray(Pillow.open(folder / name).convert("RGB"))
        for x1, y1, x2, y2 in boxes["faces"]:
            reach = 0.9 * max(x2 - x1, y2 - y1)
            left, top, right, bottom = (
                round((a + b) / 2 + by) for by in (-reach, reach) for a, b in ((x1, x2), (y1, y2))
            )
            if min(x2 - x1, y2 - y1) < least or min(left, top) < 0 or right > picture.shape[1] or bottom > len(picture):
                continue
            side = right - left
            box = ((x1 - left) / side, (y1 - top) / side, (x2 - left) / side, (y2 - top) / side)
            cast.append(Person(picture[top : top + side, left:right], box))
    return cast


def put(image: Image, person: Person, x: float, y: float, side: float) -> Floats:
    """Draw a person as a square of `side` with its upper left corner at x, y; return the box of the face."""
    size, left, top = round(side), round(x), round(y)
    small = cv2.resize(person.image, (size, size), interpolation=cv2.INTER_AREA if side < 220 else cv2.INTER_LINEAR)
    height, width = image.shape[:2]
    rows, columns = (
        slice(max(0, top), max(0, min(height, top + size))),
        slice(max(0, left), max(0, min(width, left + size))),
    )
    image[rows, columns] = small[
        slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    ]
    return np.array(person.face, np.float32) * size + np.array((left, top) * 2, np.float32)


def wall(seed: int, size: tuple[int, int] = VGA, step: int = 40) -> Image:
    """A background of colours that flow into one another, width and height in pixels."""
    coarse = np.random.default_rng(seed).integers(40, 200, (size[1] // step, size[0] // step, 3), np.uint8)
    return cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def plain(box: Floats, image: Image) -> bool:
    """Whether a face of that box lies in the frame as a whole and is large enough to be looked for."""
    height, width = image.shape[:2]
    return bool(box[:2].min() >= 0 and box[2] <= width and box[3] <= height and (box[2:] - box[:2]).min() >= 46)


def still(cast: list[Person], who: dict[int, tuple[float, float, float]], back: Image) -> tuple[Image, Truth]:
    """People at their places, x, y and side, before a background."""
    image = back.copy()
    boxes = {person: put(image, cast[person % len(cast)], *place) for person, place in who.items()}
    return image, {person: (box, plain(box, image)) for person, box in boxes.items()}


# The kinds


def moving(cast: list[Person]) -> Iterator[Scene]:
    """Pans, zooms and a camera that swings fast."""
    paths: list[Callable[[int], tuple[float, float, float]]] = [
        lambda n: (180 + 130 * np.sin(n / 40), 100 + 60 * np.sin(n / 23), 260),
        lambda n: (320 - (side := 120 + 380 * (0.5 - 0.5 * np.cos(n / 40))) / 2, 240 - side / 2, side),
        lambda n: (180 + 150 * np.sin(n / 9), 100 + 50 * np.sin(n / 5), 260),
    ]
    for person in range(len(cast)):
        path = paths[person % 3]
        yield Scene(200, lambda n, person=person, path=path: still(cast, {person: path(n)}, wall(person)))  # type: ignore[misc]


def hard_to_see(cast: list[Person]) -> Iterator[Scene]:
    """Noise, little light, flashes, a lamp that goes out."""

    def draw(person: int, seed: int, light: Callable[[int], float], noise: float) -> Draw:
        def one(n: int) -> tuple[Image, Truth]:
            image, truth = still(cast, {person: (160 + 30 * np.sin(n / 20), 60, 340)}, wall(person))
            grain = np.random.default_rng((seed, n)).normal(0, noise, image.shape) if noise else 0
            return (image * light(n) + grain).clip(0, 255).astype(np.uint8), truth

        return one

    yield Scene(150, draw(0, 1, lambda _: 1.0, 25))
    yield Scene(150, draw(1, 2, lambda _: 0.25, 4))
    yield Scene(150, draw(2, 3, lambda n: 1.8 if n % 50 in (20, 21) else 1.0, 0))
    yield Scene(150, draw(3, 4, lambda n: 0.35 if n // 25 % 2 else 1.0, 0))


def hidden(cast: list[Person]) -> Iterator[Scene]:
    """A hand before the face; who goes out of the picture and comes back after two seconds, and after eight."""

    def hand(person: int) -> Draw:
        def one(n: int) -> tuple[Image, Truth]:
            image, truth = still(cast, {person: (150, 60, 350)}, wall(person))
            x1, y1, x2, y2 = truth[person][0].tolist()
            if n >= 30 and n % 80 < 40:
                at = round(x1 + (x2 - x1) * (3 * (n % 80) / 40 - 1)), round((y1 + y2) / 2)
                cv2.ellipse(
                    image, at, (round(0.45 * (x2 - x1)), round(0.6 * (y2 - y1))), 15, 0, 360, (198, 150, 125), -1
                )
                truth = {person: (truth[person][0], False)}
            return image, truth

        return one

    def away(person: int, frames: int) -> Draw:
        return lambda n: still(cast, {} if 60 <= n < 60 + frames else {person: (150, 60, 350)}, wall(person))

    yield from (Scene(240, hand(person)) for person in (0, 3))
    yield from (Scene(150 + seconds * RATE, away(person, seconds * RATE)) for person, seconds in ((1, 2), (4, 8)))


def cut(cast: list[Person], shots: Sequence[tuple[int, int]], fade: int = 0, *, same: bool = False) -> Scene:
    """Shots of one person each, by person and frames, that fade into one another; all at the `same` place or not."""
    ends = np.cumsum([frames for _, frames in shots])

    def shot(at: int, n: int) -> tuple[Image, Truth]:
        person = shots[at][0]
        place = (150.0, 60.0, 340) if same else (110 + 37 * person % 90 + 3 * np.sin(n / 9), 40 + 17 * person % 60, 330)
        return still(cast, {person: place}, wall(99 if same else person))

    def draw(n: int) -> tuple[Image, Truth]:
        at = int(np.searchsorted(ends, n, "right"))
        image, truth = shot(at, n)
        share = (fade - int(ends[at]) + n + 1) / (fade + 1)
        if share <= 0 or at + 1 == len(shots):
            return image, truth
        other, coming = shot(at + 1, n)
        mixed = cv2.addWeighted(image, 1 - share, other, share, 0).astype(np.uint8)
        return mixed, {person: (box, yes and share < 0.3) for person, (box, yes) in truth.items()} | {
            person: (box, yes and share > 0.7) for person, (box, yes) in coming.items()
        }

    return Scene(int(ends[-1]), draw)


def cuts(cast: list[Person]) -> Iterator[Scene]:
    """Cuts between two and more people, elsewhere and in the same place."""
    yield cut(cast, [(person, 30) for person in range(6)])
    yield cut(cast, [(number % 2, 60) for number in range(5)])
    yield cut(cast, [(2 + number % 3, 45) for number in range(6)], same=True)
    yield cut(cast, [(4, 120), (5, 180), (4, 60)])


def fades(cast: list[Person]) -> Iterator[Scene]:
    """Cross-fades of half a second and of one, to somebody elsewhere and in the same place; to black and back."""
    yield cut(cast, [(person, 65) for person in range(5)], 15)
    yield cut(cast, [(5 - person, 80) for person in range(4)], 30)
    yield cut(cast, [(2 * person, 75) for person in range(3)], 24, same=True)

    def black(n: int) -> tuple[Image, Truth]:
        image, truth = still(cast, {3: (150, 60, 350)}, wall(3))
        share = min(1.0, abs(n % 120 - 60) / 30)
        return (image * share).astype(np.uint8), {3: (truth[3][0], share > 0.5)}

    yield Scene(240, black)


def crossing(cast: list[Person]) -> Iterator[Scene]:
    """Two people who pass before one another, and three who go to and fro across the picture and beyond it."""

    def two(a: int, b: int) -> Draw:
        def one(n: int) -> tuple[Image, Truth]:
            share = 0.5 - 0.5 * np.cos(n / 38)
            x, y = 40 + 560 * share, 600 - 560 * share
            image, truth = still(cast, {a: (x, 120, 300), b: (y, 120, 300)}, wall(a, (960, 540)))
            return image, {a: (truth[a][0], abs(x - y) > 330), b: truth[b]}

        return one

    def three(speed: float) -> Draw:
        def one(n: int) -> tuple[Image, Truth]:
            paths = enumerate(((0.9, 0), (-1.1, 1), (0.7, 2)))
            middles = {who: 640 * (0.5 + 0.6 * np.sin(n / RATE * pace * speed + begin)) for who, (pace, begin) in paths}
            image, truth = still(cast, {who: (x - 90, 60 + 80 * who, 180) for who, x in middles.items()}, wall(7))
            free = {
                who: all(abs(x - middles[other]) > 130 for other in middles if other > who)
                for who, x in middles.items()
            }
            return image, {who: (box, yes and free[who]) for who, (box, yes) in truth.items()}

        return one

    yield from (Scene(480, two(a, b)) for a, b in ((0, 1), (2, 3), (4, 5)))
    yield from (Scene(600, three(speed)) for speed in (1.0, 0.6, 1.6))


def tiles(cast: list[Person]) -> Iterator[Scene]:
    """A grid of six that is put in another order, that people join, and in which one takes another's tile."""

    def grid(order: Callable[[int], Sequence[int | None]]) -> Scene:
        def draw(n: int) -> tuple[Image, Truth]:
            image, truth = np.full((HD[1], HD[0], 3), 26, np.uint8), Truth()
            for tile, person in enumerate(order(n)):
                if person is None:
                    continue
                part, there = still(cast, {person: (60 + 2 * np.sin(n / 11), 10, 340)}, wall(person, (410, 350)))
                corner = 8 + 425 * (tile % 3), 5 + 360 * (tile // 3)
                image[corner[1] : corner[1] + 350, corner[0] : corner[0] + 410] = part
                box, yes = there[person]
                truth[person] = box + np.array(corner * 2, np.float32), yes
            return image, truth

        return Scene(180, draw)

    yield grid(lambda n: (0, 1, 2, 3, 4, 5) if n < 60 else (4, 0, 1, 2, 3, 5) if n < 120 else (5, 4, 3, 2, 1, 0))
    yield grid(lambda n: [person if n >= 25 * person else None for person in range(6)])
    yield grid(lambda n: (0, 1, 2, None, 4, None) if n < 90 else (0, 3, 2, None, 5, None))


def nobody(_: list[Person]) -> Iterator[Scene]:
    """A camera that travels over the portrait, whose face is painted over, and over a wall."""
    picture = np.asarray(Pillow.open(PORTRAIT).convert("RGB")).copy()
    picture[40:220, 150:300] = picture[40:220, 150:300].mean((0, 1))

    def over(image: Image) -> Draw:
        def draw(n: int) -> tuple[Image, Truth]:
            zoom = 2 + np.sin(n / 40)
            matrix = np.array(
                [
                    [zoom, 0, 320 - zoom * (256 + 120 * np.sin(n / 30))],
                    [0, zoom, 240 - zoom * (256 + 150 * np.cos(n / 23))],
                ]
            )
            return cv2.warpAffine(image, matrix, VGA, borderMode=cv2.BORDER_REFLECT).astype(np.uint8), {}

        return draw

    yield from (Scene(300, over(image)) for image in (picture, wall(1, (512, 512), 12)))


KINDS: dict[str, Callable[[list[Person]], Iterator[Scene]]] = {
    "moving": moving,
    "hard to see": hard_to_see,
    "hidden": hidden,
    "cuts": cuts,
    "fades": fades,
    "crossing": crossing,
    "tiles": tiles,
    "nobody": nobody,
}
