"""The built page behind a plain server, and browsers that open it."""

from __future__ import annotations

import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
PHOTOS = ROOT.parent / "shared" / "photos"
CSP = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; style-src 'self'"
)


def missing(what: str) -> NoReturn:
    """Skip, but not in CI, which installs everything."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{what} is missing")


class Site(http.server.ThreadingHTTPServer):
    """Serves the built page; the scripts it is made of, and photographs, lie below `/source/` and `/photos/`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, dist: Path) -> None:
        super().__init__(("127.0.0.1", 0), partial(Page, directory=str(dist)))
        self.folders = {"/source/": WEB / "src", "/photos/": PHOTOS, "/assets/": ROOT / "assets"}
        self.requests: list[str] = []
        self.bytes = 0
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: a browser that is closed breaks off its connections."""


class Page(http.server.SimpleHTTPRequestHandler):
    """Sends the page's strict policy with everything."""

    server: Site
    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012 - the base class has it so
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def translate_path(self, path: str) -> str:
        for prefix, folder in self.server.folders.items():
            if path.startswith(prefix):
                return str(folder / Path(path.removeprefix(prefix)).name)
        return super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CSP)
        super().end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        self.server.requests.append(self.path)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="session")
def dist() -> Path:
    """The page, built from the sources as they are."""
    if not shutil.which("node"):
        missing("node")
    if not (WEB / "node_modules").exists():
        missing("web/node_modules (npm ci in web/ makes it)")
    subprocess.run(["npm", "run", "build", "--silent"], cwd=WEB, check=True, timeout=100)
    return WEB / "dist"


@pytest.fixture(scope="session")
def site(dist: Path) -> Iterator[Site]:
    with Site(dist) as server:
        thread = threading.Thread(target=partial(server.serve_forever, 0.05))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


Open = Callable[..., Any]


@pytest.fixture(scope="session")
def open_chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Open]:
    """Open Chromium with so many more arguments; files are saved into `driver.downloads`."""
    from selenium import webdriver

    chromium, chromedriver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (chromium and chromedriver):
        missing("Chromium or its driver")
    drivers = []

    def opened(*arguments: str, folder: Path | None = None) -> Any:
        downloads = tmp_path_factory.mktemp("downloads")
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        profile = folder or tmp_path_factory.mktemp("profile")
        quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
        for argument in ("--headless=new", "--no-sandbox", *quiet, f"--user-data-dir={profile}", *arguments):
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
        drivers.append(driver)
        driver.set_script_timeout(60)
        driver.downloads = downloads  # type: ignore[attr-defined]
        return driver

    yield opened
    for driver in drivers:
        driver.quit()
