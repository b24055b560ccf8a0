"""How fast the page in web/dist answers in headless Chromium, pinned to one core, beside Python's runtime on that core.

`python benchmarks/page.py [PICTURE]` prints milliseconds for the picture at VGA size and for a frame that is followed,
seconds until the first answer, and the frames a second that a camera is watched at; each the best of several, since
whatever else the machine does only adds to them. Needs `npm ci && npm run build` in web/, Chromium with its driver, and
selenium.
"""

from __future__ import annotations

import argparse
import base64
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import PIL.Image
from selenium import webdriver

from mien.see.detect import Detector
from mien.see.picture import Image

ROOT = Path(__file__).parents[1]
VGA = (640, 480)
OPENED = "while (!document.body?.dataset.engine) await new Promise((go) => setTimeout(go, 5));"
ASK = """
    const worker = new Worker("worker.js", { type: "module" });
    const ask = (question, transfer = []) => new Promise((done) => {
        worker.onmessage = ({ data }) => done(data.answer);
        worker.postMessage({ id: 0, question }, transfer);
    });
    const best = async (count, what) => {
        let least = Infinity;
        for (let n = 0; n < count; n++) {
            const began = performance.now();
            await what(n);
            least = Math.min(least, performance.now() - began);
        }
        return least;
    };
    const picture = new Blob([Uint8Array.from(atob("PICTURE"), (letter) => letter.charCodeAt(0))]);
    await ask({ kind: "open", size: "SIZE" });
    const rows = await ask({ kind: "read", file: picture, name: "" });
    const read = await best(RUNS, () => ask({ kind: "read", file: picture, name: "" }));
    let bitmap = await createImageBitmap(picture);
    const follow = await best(4 * RUNS, async (n) => {
        ({ bitmap } = await ask({ kind: "watch", bitmap, frame: { name: "", index: n, time: n / 1000 } }, [bitmap]));
    });
    worker.terminate();
    return { faces: rows.length, read, follow };
"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves without a word."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def chromium(*arguments: str) -> Any:
    """Open headless Chromium."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
    for argument in ("--headless=new", "--no-sandbox", *arguments):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.set_script_timeout(300)
    return driver


def run(driver: Any, body: str) -> Any:
    """What the body of an asynchronous function returns in the page."""
    return driver.execute_async_script(f"(async () => {{ {body} }})().then(arguments[0])")


def film(folder: Path, image: Image) -> Path:
    """A camera's view for Chromium's fake camera: 30 frames a second of a picture that moves to and fro."""
    path = folder / "camera.mjpeg"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=30)
        assert isinstance(stream, av.VideoStream)
        (stream.width, stream.height), stream.pix_fmt = VGA, "yuvj420p"
        for number in range(60):
            moved = np.roll(image, abs(30 - number), 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(moved), "rgb24")))
        container.mux(stream.encode(None))
    return path


def first_answer(url: str, runs: int) -> float:
    """Seconds from opening the page again, from a warm cache, until it has read its portrait."""
    driver, times = chromium(), list[float]()
    driver.get(url)
    run(driver, OPENED)
    for _ in range(runs):
        began = time.perf_counter()
        driver.get(url)
        driver.find_element("id", "sample").click()
        run(driver, "while (document.getElementById('png').disabled) await new Promise((go) => setTimeout(go, 5));")
        times.append(time.perf_counter() - began)
    driver.quit()
    return min(times)


def camera(url: str, path: Path, seconds: int) -> int:
    """The most frames of a second that were shown with what they show."""
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    driver = chromium(*fake, f"--use-file-for-fake-video-capture={path}")
    driver.get(url)
    run(driver, OPENED)
    driver.find_element("id", "camera").click()
    most = 0
    for _ in range(4 * seconds):
        time.sleep(0.25)
        most = max(most, int(run(driver, "return document.body.dataset.rate ?? 0")))
    driver.quit()
    return most


def best(runs: int, what: Callable[[], object]) -> float:
    """The least milliseconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        what()
        times.append(1000 * (time.perf_counter() - began))
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", nargs="?", type=Path, default=ROOT / "assets" / "astronaut.jpg")
    parser.add_argument("--core", type=int, default=0, help="the core that everything runs on")
    parser.add_argument("--runs", type=int, default=15, help="how often each is measured")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.core})
    with PIL.Image.open(options.picture) as opened:
        image = np.asarray(opened.convert("RGB").resize(VGA, PIL.Image.Resampling.LANCZOS))
    png = BytesIO()
    PIL.Image.fromarray(image).save(png, "PNG")
    detector = Detector()
    print(f"Python searches it in {best(options.runs, partial(detector, image)):.0f} ms")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(ROOT / "web" / "dist")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    driver = chromium()
    driver.get(url)
    run(driver, OPENED)
    for size in "sm":
        script = ASK.replace("PICTURE", base64.b64encode(png.getvalue()).decode()).replace("SIZE", size)
        told = run(driver, script.replace("RUNS", str(options.runs)))
        print(
            f"{size.upper()}: {told['faces']} faces read in {told['read']:.0f} ms, followed in {told['follow']:.1f} ms"
        )
    driver.quit()
    print(f"first answer {first_answer(url, 4):.2f} s after the page is opened from a warm cache")
    with tempfile.TemporaryDirectory() as folder:
        print(f"camera: {camera(url, film(Path(folder), image), 8)} frames a second of 30")
    server.shutdown()


if __name__ == "__main__":
    main()
