"""The page answers as Python does: pixels to the byte, the same faces, the same labels; in Chromium and in Firefox."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lap
import numpy as np
import PIL.Image
import pytest

import mien
from mien.see.crop import crop
from mien.see.cut import Cuts
from mien.see.detect import _pyramid
from mien.see.face import Face, Frame, Reading, Shown, iou
from mien.see.smooth import Smoother
from mien.see.track import Tracker
from mien.sinks.rows import COLUMNS
from mien.sinks.rows import rows as python_rows
from mien.sinks.tables import csv_lines, json_lines
from mien.sources.pictures import open_picture

from .browsers import OPENED, PHOTOS, ROOT, Browser, Site

Rows = list[dict[str, Any]]

PORTRAIT = ROOT / "assets" / "astronaut.jpg"
PICTURES = [PORTRAIT, *sorted(PHOTOS.glob("*.jpg"))]
NO_PHOTOS = "the photographs beside the checkout (../shared/photos) are missing"

HELPERS = """
    const { decode, pixels } = await import("/source/decode.js");
    const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const imageOf = ([width, height, channels, text]) => ({ data: bytesOf(text), width, height, channels });
    const hash = async (bytes) => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)),
        (byte) => byte.toString(16).padStart(2, "0")).join("");
"""

DROP = """
    const [paths, size] = GIVEN;
    const files = new DataTransfer();
    for (const path of paths) files.items.add(new File([await (await fetch(path)).blob()], path.split("/").at(-1)));
    const status = document.getElementById("status");
    document.querySelector(`#size [value=${size}]`).click();
    const read = (end) => new Promise((done) => {
        const look = () => end.test(status.textContent) && done();
        const seen = new MutationObserver(look);
        seen.observe(status, { childList: true });
    });
    let ended = read(/ ms$/);
    document.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
    await ended;
    const saved = [];
    const url = URL.createObjectURL;
    URL.createObjectURL = (blob) => (saved.push(blob.text()), url(blob));
    document.getElementById("csv").click();
    document.getElementById("json").click();
    URL.createObjectURL = url;
    return Promise.all(saved);
"""


def packed(image: np.ndarray) -> list[Any]:
    """An image as the helpers' `imageOf` takes it."""
    height, width = image.shape[:2]
    return [width, height, image.shape[2] if image.ndim == 3 else 1, base64.b64encode(image.tobytes()).decode()]


def run(browser: Browser, given: Any, body: str) -> Any:
    """Run a script with GIVEN in it."""
    return browser.run(HELPERS + body.replace("GIVEN", json.dumps(given)))


def sha256(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def address(picture: Path) -> str:
    return f"/{'assets' if picture == PORTRAIT else 'photos'}/{picture.name}"


@pytest.fixture(params=PICTURES, ids=lambda path: path.stem)
def picture(request: pytest.FixtureRequest) -> Path:
    if not PHOTOS.exists():
        pytest.skip(NO_PHOTOS)
    path: Path = request.param
    return path


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_shrink_to_the_byte_as_opencv_shrinks_them(browser: Browser, channels: int) -> None:
    sizes = [(100, 140, 33, 51), (100, 140, 50, 70), (99, 141, 33, 47), (480, 640, 288, 384), (60, 60, 59, 60)]
    sizes += [(70, 50, 1, 1), (64, 48, 64, 48), (60, 80, 30, 20), (333, 217, 200, 130)]
    images = [noise(height, width, 3)[..., :channels].squeeze() for height, width, _, _ in sizes]
    wanted = [
        cv2.resize(image, size[:1:-1], interpolation=cv2.INTER_AREA) for image, size in zip(images, sizes, strict=True)
    ]
    given = [(packed(image), size[2:]) for image, size in zip(images, sizes, strict=True)]
    body = """
        const { shrink } = await import("/source/pixels.js");
        return Promise.all(GIVEN.map(([image, [height, width]]) => hash(shrink(imageOf(image), width, height).data)));
    """
    assert run(browser, given, body) == [sha256(image) for image in wanted]


def test_pictures_are_sampled_to_the_byte_as_opencv_samples_them(browser: Browser) -> None:
    image = noise(101, 77, 3)
    squares = [(3.3, 4.4, 40), (-20.1, -10.2, 70), (50, 80, 60), (-90, -90, 50), (0, 0, 76)]
    steps = np.linspace(0, 1, 24, dtype=np.float32)
    grids = [[np.float32(start) + np.float32(side) * steps for start in (x, y)] for x, y, side in squares]
    border: dict[str, Any] = {"borderMode": cv2.BORDER_CONSTANT, "borderValue": (128,) * 3}
    wanted = [cv2.remap(image, *np.meshgrid(*grid)[:2], cv2.INTER_LINEAR, **border) for grid in grids]  # type: ignore[call-overload]
    body = """
        const { sample } = await import("/source/pixels.js");
        const [image, grids] = GIVEN;
        return Promise.all(grids.map((grid) => {
            const out = new Uint8Array(24 * 24 * 3);
            sample(imageOf(image), ...grid.map((points) => Float32Array.from(points)), 128, out, 0);
            return hash(out);
        }));
    """
    given = [packed(image), [[points.tolist() for points in grid] for grid in grids]]
    assert run(browser, given, body) == [sha256(sampled) for sampled in wanted]


def test_pictures_and_their_crops_equal_pythons_to_the_byte(browser: Browser, picture: Path) -> None:
    """The bytes of the file, each level of the pyramid, and the crop of each face."""
    image = open_picture(picture).image
    faces = [reading.face for reading in mien.read(image)]
    levels = [level for level, _ in _pyramid(image, 20)]
    wanted = [sha256(part) for part in (image, *levels, *(crop(image, face) for face in faces))]
    body = """
        const [path, landmarks] = GIVEN;
        const { cut } = await import("/source/pixels.js");
        const { pyramid } = await import("/source/detect.js");
        const { crop } = await import("/source/face.js");
        const image = pixels(await decode(await (await fetch(path)).blob(), path));
        const parts = [cut(image, { x1: 0, y1: 0, x2: image.width, y2: image.height }).data];
        for (const [level] of pyramid(image, 20)) parts.push(level.data);
        parts.push(...landmarks.map((points) => crop(image, { landmarks: Float32Array.from(points) })));
        return Promise.all(parts.map(hash));
    """
    given = [address(picture), [face.landmarks.ravel().tolist() for face in faces]]
    assert run(browser, given, body) == wanted


@pytest.mark.parametrize("kind", ["turned.jpg", "clear.png", "lossless.webp", "gray.png"])
def test_files_of_other_kinds_are_decoded_as_python_decodes_them(browser: Browser, kind: str, tmp_path: Path) -> None:
    """Turned by EXIF, transparent, WebP, gray."""
    path = tmp_path / kind
    with PIL.Image.open(PORTRAIT) as opened:
        portrait = opened.copy()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter
    if kind == "clear.png":
        portrait.putalpha(PIL.Image.linear_gradient("L").resize(portrait.size))
    {
        "turned.jpg": lambda: portrait.resize((300, 200)).save(path, exif=exif),
        "clear.png": lambda: portrait.save(path),
        "lossless.webp": lambda: portrait.save(path, lossless=True),
        "gray.png": lambda: portrait.convert("L").save(path),
    }[kind]()
    body = """
        const image = pixels(await decode(new Blob([bytesOf(GIVEN)]), "a picture"));
        return [image.width, image.height, btoa(Array.from(image.data, (byte) => String.fromCharCode(byte)).join(""))];
    """
    width, height, text = run(browser, base64.b64encode(path.read_bytes()).decode(), body)
    shown = np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)[..., :3]
    wanted = open_picture(path).image
    assert shown.shape == wanted.shape
    assert np.abs(shown.astype(int) - wanted).max() <= (1 if kind == "clear.png" else 0)


def readings_of(path: Path, size: str) -> list[Reading]:
    return [*mien.read(path, model=size)]


def compare(rows: Rows, readings: Sequence[Reading]) -> None:
    """Assert that each of Python's faces has a row, with the same label and scores, and that there are no others."""
    assert len(rows) == len(readings)
    if not readings:
        return
    boxes = np.array([[row[side] for side in ("x1", "y1", "x2", "y2")] for row in rows], np.float32)
    overlaps = iou(np.stack([reading.face.box for reading in readings]), boxes)
    assert (overlaps.max(1) >= 0.99).all()
    for reading, row in zip(readings, (rows[n] for n in overlaps.argmax(1)), strict=True):
        assert row["emotion"] == reading.emotion
        assert [row[emotion] for emotion in mien.EMOTIONS] == pytest.approx(list(reading.scores), abs=0.01)
        assert row["probability"] == pytest.approx(reading.probability, abs=0.01)
        assert row["confidence"] == pytest.approx(reading.face.confidence, abs=0.01)
        points = [value for name, value in row.items() if name.endswith(("_x", "_y"))]
        assert points == pytest.approx(reading.face.landmarks.ravel().tolist(), abs=0.5)


@pytest.mark.parametrize("size", ["s", "m"])
def test_the_rows_of_photographs_are_pythons(browser: Browser, site: Site, size: str) -> None:
    if not PHOTOS.exists():
        pytest.skip(NO_PHOTOS)
    pictures = PICTURES if size == "s" else PICTURES[:3]
    browser.open(site.url)
    browser.run(OPENED)
    table, lines = run(browser, [[address(path) for path in pictures], size], DROP)
    rows = [json.loads(line) for line in lines.splitlines()]
    for path in pictures:
        compare([row for row in rows if row["source"] == path.name], readings_of(path, size))
    assert [list(row) for row in rows] == [next(csv.reader(io.StringIO(table)))] * len(rows)
    typed = [{name: str("" if value is None else value) for name, value in row.items()} for row in rows]
    assert list(csv.DictReader(io.StringIO(table))) == typed


def test_people_keep_the_numbers_and_labels_that_python_gives_them(browser: Browser) -> None:
    """Four people walk over a picture and across each other, now and then out of sight; there is a cut, and a fade."""
    rng = np.random.default_rng(3)
    scenes = [cv2.resize(noise(30 + n, 40, 3), (320, 240), interpolation=cv2.INTER_CUBIC) for n in range(3)]
    cuts, tracker, smoother = Cuts(), Tracker(), Smoother()
    starts, moves = rng.uniform(0, 6, (4, 2)), rng.uniform(0.02, 0.06, (4, 2))
    frames, images, wanted = list[Any](), list[Any](), list[Any]()
    for number in range(120):
        share = float(np.clip((number - 90) / 16, 0, 1))
        image = np.asarray(cv2.addWeighted(scenes[number > 50], 1 - share, scenes[2], share, 0), np.uint8)
        places = (140, 100) + (140, 100) * np.sin(starts + number * moves)
        here = (number // 10 + np.arange(4)) % 5 > 0
        boxes = np.hstack([places, places + np.array((45, 50))])[here].astype(np.float32)
        faces = [Face(box, float(rng.choice([0.9, 0.999])), np.zeros((5, 2), np.float32)) for box in boxes]
        scores = rng.dirichlet(np.ones(7), len(faces)).astype(np.float32)
        frame = cuts(Frame(image, time=number / 20))
        readings = [Reading(face, row) for face, row in zip(faces, scores, strict=True)]
        told = smoother(frame, tracker(frame, readings))
        people = [[reading.person, reading.shown and reading.shown.emotion] for reading in told]
        wanted.append([frame.shot, frame.fading, people])
        told_of = [[f.box.tolist(), f.confidence, s.tolist()] for f, s in zip(faces, scores, strict=True)]
        frames.append([frame.time, told_of])
        images.append(image)
    body = """
        const { Cuts } = await import("/source/cut.js");
        const { Tracker } = await import("/source/track.js");
        const { Smoother } = await import("/source/smooth.js");
        const [given, frames] = GIVEN;
        const bytes = bytesOf(given);
        const size = 320 * 240 * 3;
        const [cuts, tracker, smoother] = [new Cuts(), new Tracker(), new Smoother()];
        return frames.map(([time, faces], n) => {
            const data = bytes.subarray(n * size, (n + 1) * size);
            const image = { data, width: 320, height: 240, channels: 3 };
            const readings = faces.map(([box, confidence, scores]) => ({
                box: Float32Array.from(box), confidence, scores: Float32Array.from(scores), shown: null,
            }));
            const moment = cuts.next(image, time);
            const people = tracker.track(image, moment, readings);
            const told = smoother.smooth(moment, readings.map((each, n) => ({ ...each, person: people[n] })));
            return [moment.shot, moment.fading, told.map(({ person, shown }) => [person, shown])];
        });
    """
    given = [base64.b64encode(np.stack(images).tobytes()).decode(), frames]
    assert run(browser, given, body) == wanted
    assert wanted[-1][0] >= 1
    assert any(fading for _, fading, _ in wanted)
    assert len({person for _, _, people in wanted for person, _ in people}) >= 4


@pytest.mark.parametrize("kind", ["turned", "close", "nobody"])
def test_turned_pictures_and_close_ups_are_read_as_python_reads_them(
    browser: Browser, site: Site, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"{kind}.png"
    with PIL.Image.open(PORTRAIT) as portrait:
        made = {
            "turned": portrait.transpose(PIL.Image.Transpose.ROTATE_90),
            "close": portrait.crop((178, 66, 270, 170)),
            "nobody": PIL.Image.fromarray(noise(90, 120, 3)),
        }
    made[kind].save(path)
    site.newer[f"/{path.name}"] = path.read_bytes()
    browser.open(site.url)
    browser.run(OPENED)
    _, lines = run(browser, [[f"/{path.name}"], "s"], DROP)
    rows, readings = [json.loads(line) for line in lines.splitlines()], readings_of(path, "s")
    compare(rows, readings)
    assert [row["turn"] for row in rows] == [reading.face.turn for reading in readings]
    assert len(rows) == (kind != "nobody")
    assert kind != "turned" or rows[0]["turn"] != 0


def test_faces_are_assigned_to_people_as_lap_assigns_them(browser: Browser) -> None:
    rng = np.random.default_rng(0)
    costs = [rng.random(size) * 1.5 for size in rng.integers(1, 7, (200, 2))]
    wanted = [lap.lapjv(each, extend_cost=True, cost_limit=1.3)[1].tolist() for each in costs]
    body = 'const { assign } = await import("/source/assign.js"); return GIVEN.map((costs) => assign(costs, 1.3));'
    assert run(browser, [each.tolist() for each in costs], body) == wanted


def test_rows_are_written_as_python_writes_them(browser: Browser) -> None:
    """The same columns, and the same CSV and JSON to the letter, whatever the numbers."""
    rng = np.random.default_rng(0)
    small = np.array([1e-5, 1e-4, 1.5e-7, 0, 1, 0.5, 0.1], np.float32)
    scores = [small, *rng.dirichlet(np.ones(7) / 9, 30).astype(np.float32)]
    frame = Frame(noise(8, 8, 3), name='=ä, "1".jpg', index=12, time=3.04)
    boxes = np.sort((rng.random((len(scores), 4)) * 999).astype(np.float32))
    boxes = boxes[np.argsort(boxes[:, 0] + boxes[:, 2])]
    readings = [
        Reading(
            Face(box, float(np.float32(score[0])), box[:2] + np.arange(10, dtype=np.float32).reshape(5, 2)), score, *who
        )
        for box, score, who in zip(boxes, scores, [(None, None), (3, Shown(small, "fear"))] * 99, strict=False)
    ]
    body = """
        const { COLUMNS, rows, toCsv, toJson } = await import("/source/rows.js");
        const [frame, readings] = GIVEN;
        const found = rows(frame, readings.map(([box, confidence, landmarks, scores, person, shown, turn]) => ({
            box: Float32Array.from(box), landmarks: Float32Array.from(landmarks), scores: Float32Array.from(scores),
            confidence, person, shown, turn,
        })));
        return [COLUMNS, toCsv(found), toJson(found)];
    """
    arrays = [(r.face.box, np.float32(r.face.confidence), r.face.landmarks.ravel(), r.scores) for r in readings]
    given = [
        [*(part.tolist() for part in parts), r.person, r.shown and r.shown.emotion, r.face.turn]
        for parts, r in zip(arrays, readings, strict=True)
    ]
    wanted = python_rows(frame, readings)
    columns, lines, objects = run(browser, [{"name": frame.name, "index": 12, "time": 3.04}, given], body)
    assert columns == list(COLUMNS)
    assert lines == ",".join(COLUMNS) + "\n" + csv_lines(wanted)
    assert objects == json_lines(wanted)


def test_the_page_has_the_emotions_and_colours_of_python(browser: Browser) -> None:
    from mien.labels import COLOURS

    body = 'const { EMOTIONS, COLOURS } = await import("/source/rows.js"); return [EMOTIONS, COLOURS];'
    colours = ["#" + bytes(colour).hex() for colour in COLOURS]
    assert run(browser, None, body) == [list(mien.EMOTIONS), colours]
