"""A plain server that serves the built page, and the browsers that open it."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
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
        self.files = dist
        self.requests: list[str] = []
        self.refuse = False  # as if there were no network
        self.newer: dict[str, bytes] = {}  # what has changed since the page was built, by path
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

    def do_GET(self) -> None:
        if self.server.refuse:
            self.close_connection = True
        elif self.path in self.server.newer:
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(self.path))
            self.send_header("Content-Length", str(len(self.server.newer[self.path])))
            self.end_headers()
            self.wfile.write(self.server.newer[self.path])
        else:
            super().do_GET()

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CSP)
        super().end_headers()

    def log_request(self, *_: object) -> None:
        self.server.requests.append(self.path)

    def log_message(self, *_: object) -> None:
        pass


class Chromium:
    """Headless Chromium with so many more arguments; what it saves lands in `downloads`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        from selenium import webdriver

        chromium, chromedriver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
        if not (chromium and chromedriver):
            missing("Chromium or its driver")
        self.downloads = folder / "downloads"
        self.downloads.mkdir(exist_ok=True)
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        quiet = ("--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run")
        profile = f"--user-data-dir={folder / 'profile'}"
        for argument in ("--headless=new", "--no-sandbox", "--window-size=1280,900", profile, *quiet, *arguments):
            options.add_argument(argument)
        options.add_experimental_option("prefs", {"download.default_directory": str(self.downloads)})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(chromedriver))
        self.driver.set_script_timeout(60)
        self.driver.implicitly_wait(10)

    def open(self, url: str) -> None:
        """Open a page."""
        self.driver.get(url)

    def run(self, body: str) -> Any:
        """Return what the body of an asynchronous function returns in the page."""
        told = self.driver.execute_async_script(
            f"const tell = arguments[0]; (async () => {{ {body} }})().then("
            "(answer) => tell({ answer }), (error) => tell({ error: `${error.stack}` }))"
        )
        assert "error" not in told, told["error"]
        return told["answer"]

    def find(self, selector: str) -> Any:
        """Return the first element of the page that a selector of CSS names."""
        return self.driver.find_element("css selector", selector)

    def saved(self, name: str) -> bytes:
        """Wait for a file to be saved, take it away and return what is in it."""
        path = self.downloads / name
        wait_until(path.exists)
        content = path.read_bytes()
        path.unlink()
        return content

    def close(self) -> None:
        """Close it."""
        self.driver.quit()


class Firefox:
    """Headless Firefox, driven by WebDriver BiDi, which needs no driver between."""

    def __init__(self, folder: Path) -> None:
        import websocket

        firefox = shutil.which("firefox-esr") or shutil.which("firefox")
        if not firefox:
            pytest.skip("Firefox is missing")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        profile = folder / "profile"
        profile.mkdir()
        command = [
            firefox,
            "--headless",
            "--no-remote",
            "--profile",
            str(profile),
            "--remote-debugging-port",
            str(port),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.asked = 0
        wait_until(lambda: _listens(port))
        self.socket = websocket.create_connection(f"ws://127.0.0.1:{port}/session", timeout=60, suppress_origin=True)
        self.ask("session.new", capabilities={})
        self.context = self.ask("browsingContext.getTree")["contexts"][0]["context"]

    def ask(self, method: str, **params: Any) -> Any:
        """Return the answer to a command of WebDriver BiDi."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": params}))
        while (told := json.loads(self.socket.recv())).get("id") != self.asked:
            pass
        assert told["type"] == "success", told
        return told["result"]

    def open(self, url: str) -> None:
        """Open a page."""
        self.ask("browsingContext.navigate", context=self.context, url=url, wait="complete")

    def run(self, body: str) -> Any:
        """Return what the body of an asynchronous function returns in the page."""
        expression = f"(async () => {{ {body} }})().then((answer) => JSON.stringify(answer ?? null))"
        target = {"context": self.context}
        told = self.ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert told["type"] == "success", told["exceptionDetails"]["text"]
        return json.loads(told["result"]["value"])

    def close(self) -> None:
        """Close it."""
        self.socket.close()
        self.process.terminate()
        self.process.wait(20)


Browser = Chromium | Firefox

OPENED = "while (!document.body?.dataset.engine) await new Promise((go) => setTimeout(go, 20));"


def wait_until(done: Callable[[], Any], seconds: float = 30) -> Any:
    """Ask again and again until the answer is a yes, and return it."""
    end = time.monotonic() + seconds
    while not (answer := done()):
        assert time.monotonic() < end, "waited for too long"
        time.sleep(0.02)
    return answer


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
