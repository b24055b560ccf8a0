"""The page as it is written, in a real browser, with the server as its engine."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

ROOT = Path(__file__).parents[3]
ASTRONAUT = ROOT / "assets" / "astronaut.jpg"
TOKEN = "a-token-that-nobody-guesses"


def missing(what: str) -> NoReturn:
    """Skip, but not in CI, which installs everything."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is missing")


def program(built: str, written: str) -> tuple[str, str]:
    """`mien` that finds the page in other places."""
    return "-c", (
        "from pathlib import Path; from mien.apps.server import page; "
        f"page.BUILT, page.WRITTEN = (Path({built!r}),), (Path({written!r}),); from mien.apps.cli import main; main()"
    )


@pytest.fixture
def browser(film: Callable[..., Path]) -> Iterator[Any]:
    """Chromium, without a window, with a film for its camera."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        missing("chromium")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    camera = film("camera.mjpeg", size=(640, 480), frames=30, codec="mjpeg", pix_fmt="yuvj420p")
    media = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    for argument in ("--headless=new", "--no-sandbox", *media, f"--use-file-for-fake-video-capture={camera}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(60)
    yield opened
    opened.quit()


def eventually(true: Callable[[], Any], seconds: float = 40) -> bool:
    """Whether something comes to be true."""
    ends = time.monotonic() + seconds
    while not true():
        if time.monotonic() > ends:
            return False
        time.sleep(0.1)
    return True


def test_the_page_as_it_is_written_reads_pictures_and_the_camera_by_the_server(
    browser: Any, serving_with: Any, tmp_path: Path
) -> None:
    if not (ROOT / "web" / "index.html").exists():
        missing("web/")
    with serving_with("--token", TOKEN, command=program(str(tmp_path), str(ROOT / "web"))) as server:
        browser.get(f"{server.url}/#token={TOKEN}")
        assert eventually(lambda: browser.execute_script("return document.body.dataset.engine") == "ready")
        assert "Read by the server on this computer" in browser.find_element("css selector", "header").text
        browser.find_element("css selector", "input[type=file]").send_keys(str(ASTRONAUT))
        assert eventually(lambda: "1 face" in browser.find_element("css selector", "body").text)
        assert "happy" in browser.find_element("css selector", "main").text
        read = 'mien_stream_frames_total{what="read"}'
        browser.find_element("id", "camera").click()
        assert eventually(lambda: server.metric(read, TOKEN) > 10)
        browser.find_element("id", "stop").click()
        assert server.metric('mien_stream_frames_total{what="dropped"}', TOKEN) == 0
        said = [entry["message"] for entry in browser.get_log("browser")]
        offline = ("sw.js", "fetching the script")  # what is not built has no service worker
        assert [line for line in said if not any(word in line for word in offline)] == []


def test_where_there_is_no_page_it_is_said_how_to_build_it(serve: Any, tmp_path: Path) -> None:
    server = serve(command=program(str(tmp_path), str(tmp_path)))
    answer = httpx.get(server.url)
    assert "npm run build" in answer.text and "script" not in answer.headers["content-security-policy"]
