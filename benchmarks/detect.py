"""How well and how fast faces are found: against photographs with marked faces, and against `mtcnn` on TensorFlow.

    taskset -c 1 python benchmarks/detect.py --photos ../shared/photos

A folder of photographs holds `faces.json`: for each picture's name, `faces` and `ignore`, lists of x1, y1, x2, y2. A
face is a hit when its centre lies within half a marked face of the marked centre and its size within 0.45 to 2.2 of it;
what hits one of `ignore` counts neither way. Without photographs the portrait in assets/ stands in for the timing.
The comparison needs `pip install tensorflow mtcnn`; what is missing is said, nothing is installed.

Times are of one thread, the best of the repeats: CPU time, which other programs on the machine lengthen less, and
wall-clock time. Both detectors take turns on each picture.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from mien.see.detect import Detector
from mien.see.face import iou
from mien.see.picture import Floats, Image

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
SIZES = {"640x480": (640, 480), "1920x1080": (1920, 1080)}
SMALL = 20  # pixels: the median longer side of a photograph's marked faces after shrinking it

Find = Callable[[Image], Any]


class Photo(NamedTuple):
    """A picture, (height, width, 3), and the boxes, (n, 4), of its faces and of what may be one."""

    image: Image
    faces: Floats
    ignore: Floats


def main() -> None:
    """Print every figure that can be had."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, help="a folder of photographs with faces.json")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each detector on each picture (5)")
    options = parser.parse_args()
    cv2.setNumThreads(1)

    photos = list(read_photos(options.photos)) if options.photos else []
    if photos:
        print_quality(photos)
    else:
        print("quality: not measured, give --photos")
    reference = open_reference()
    if reference and photos:
        print_agreement(photos, reference)
    print_speed([photo.image for photo in photos] or [read_picture(PORTRAIT)], reference, options.repeats)


def read_photos(folder: Path) -> Iterator[Photo]:
    """The photographs of a folder, by name."""
    for name, marks in sorted(json.loads((folder / "faces.json").read_text()).items()):
        faces, ignore = (np.array(marks[kind], np.float32).reshape(-1, 4) for kind in ("faces", "ignore"))
        yield Photo(read_picture(folder / name), faces, ignore)


def read_picture(path: Path) -> Image:
    """A picture as RGB bytes."""
    return np.asarray(cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB), np.uint8)


def open_reference() -> Find | None:
    """The `mtcnn` package's detector on one thread: a picture in, x1, y1, x2, y2, … of each face out."""
    missing = [package for package in ("tensorflow", "mtcnn") if not find_spec(package)]
    if missing:
        print(f"comparison with the reference: not measured, pip install {' '.join(missing)}")
        return None
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf  # type: ignore[import-untyped]
    from mtcnn import MTCNN

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    detector = MTCNN()
    return lambda image: detector.detect_faces(image, output_type="numpy", box_format="xyxy")[:, 1:5]


def print_quality(photos: list[Photo]) -> None:
    """Found and false: as the photographs are, turned, and shrunk; all with the detector's defaults."""
    detector = Detector()
    for name, change in (
        ("as they are", lambda photo: photo),
        ("turned by +30°", lambda photo: turned(photo, 30)),
        ("turned by -30°", lambda photo: turned(photo, -30)),
        (f"faces of {SMALL} pixels", shrunk),
    ):
        counts = np.array([judge(change(photo), boxes_of(detector, change(photo).image)) for photo in photos])
        marked, found, false = counts.sum(0)
        print(f"{name:20} {found} of {marked} found ({found / marked:.1%}), {false} false")


def boxes_of(detector: Detector, image: Image) -> Floats:
    """The boxes, (n, 4)."""
    return np.array([face.box for face in detector(image)], np.float32).reshape(-1, 4)


def judge(photo: Photo, boxes: Floats) -> tuple[int, int, int]:
    """How many faces are marked, found and falsely found."""
    found, ignored = hits(boxes, photo.faces), hits(boxes, photo.ignore)
    return len(photo.faces), int(found.any(0).sum()), int((~found.any(1) & ~ignored.any(1)).sum())


def hits(boxes: Floats, marks: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which box hits which mark, (boxes, marks); a box hits the nearest mark alone."""
    centres, marked = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2, (marks[:, :2] + marks[:, 2:]) / 2
    sizes, wanted = ((b[:, 2:] - b[:, :2]).max(1, initial=0) for b in (boxes, marks))
    distances, ratios = np.abs(centres - marked).max(2), sizes[:, None] / wanted
    nearest = distances == distances.min(1, keepdims=True, initial=np.inf)
    hit = nearest & (distances <= wanted / 2) & (ratios >= 0.45) & (ratios <= 2.2)
    return np.asarray(hit)


def turned(photo: Photo, degrees: float) -> Photo:
    """The photograph turned about its middle, on a canvas that holds all of it; boxes keep their size."""
    height, width = photo.image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    reach = np.abs(matrix[:, :2]) @ (width, height)
    matrix[:, 2] = matrix[:, 2] + reach / 2 - (width / 2, height / 2)
    image = cv2.warpAffine(photo.image, matrix, (int(reach[0]), int(reach[1])))

    def moved(boxes: Floats) -> Floats:
        centres, halves = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        centres = centres @ matrix[:, :2].T + matrix[:, 2]
        return np.hstack([centres - halves, centres + halves]).astype(np.float32)

    return Photo(np.asarray(image, np.uint8), moved(photo.faces), moved(photo.ignore))


def shrunk(photo: Photo) -> Photo:
    """The photograph at the size at which the longer sides of its marked faces have a median of 20 pixels."""
    scale = SMALL / float(np.median((photo.faces[:, 2:] - photo.faces[:, :2]).max(1)))
    image = cv2.resize(photo.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Photo(np.asarray(image, np.uint8), photo.faces * scale, photo.ignore * scale)


def print_agreement(photos: list[Photo], reference: Find) -> None:
    """How well the boxes agree with the reference's, on the defaults of both."""
    detector, best, extra = Detector(), [], 0
    for photo in photos:
        edge = np.tile(np.array(photo.image.shape[1::-1], np.float32) - 1, 2)  # the reference keeps boxes within
        theirs, ours = reference(photo.image).astype(np.float32), boxes_of(detector, photo.image).clip(0, edge)
        best += iou(theirs, ours).max(1).tolist()
        extra += len(ours) - len(theirs)
    matched = sum(iou > 0.5 for iou in best)
    print(f"the reference's boxes: {matched} of {len(best)} matched, mean IoU {np.mean(best):.4f}, {extra:+} of ours")


def print_speed(images: list[Image], reference: Find | None, repeats: int) -> None:
    """Milliseconds a picture, and the ratio where there is a reference."""
    print(f"one thread, mean over {len(images)} pictures, best of {repeats}, ms of CPU (of wall clock)")
    for name, size in SIZES.items():
        finders: dict[str, Find] = {"mien": Detector()}
        if reference:
            finders["mtcnn"] = reference
        means = time_each(finders, [filled(image, *size) for image in images], repeats)
        print(
            f"{name}, min face 20: " + ", ".join(f"{key} {cpu:.1f} ({wall:.1f})" for key, (cpu, wall) in means.items())
        )
        if reference:
            cpu, wall = means["mtcnn"] / means["mien"]
            print(f"    {cpu:.1f} times as fast ({wall:.1f})")
    face = filled(read_picture(PORTRAIT), *SIZES["640x480"])
    cpu, wall = time_each({"mien": Detector(min_face=40)}, [face], 10 * repeats)["mien"]
    print(f"640x480, min face 40, one face: mien {cpu:.1f} ({wall:.1f})")


def time_each(finders: dict[str, Find], images: list[Image], repeats: int) -> dict[str, Floats]:
    """For each finder its mean time over the images, CPU and wall, in milliseconds."""
    totals = {name: np.zeros(2, np.float32) for name in finders}
    for image in images:
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in finders}
        for _ in range(repeats):
            for name, find in finders.items():
                begun = time.process_time(), time.perf_counter()
                find(image)
                runs[name].append((time.process_time() - begun[0], time.perf_counter() - begun[1]))
        for name in finders:
            totals[name] += np.min(runs[name], axis=0) * 1000 / len(images)
    return totals


def filled(image: Image, width: int, height: int) -> Image:
    """The middle of the picture at a size that fills width x height."""
    scale = max(width / image.shape[1], height / image.shape[0])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(image, None, fx=scale, fy=scale, interpolation=way), np.uint8)
    y, x = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    return np.ascontiguousarray(image[y : y + height, x : x + width])


if __name__ == "__main__":
    main()
