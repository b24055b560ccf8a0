"""The built page behind a server, and browsers in which it is open."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest

from .browsers import OPENED, WEB, Browser, Chromium, Firefox, Site, missing


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


@pytest.fixture(scope="session", params=[Chromium, Firefox], ids=["chromium", "firefox"])
def browser(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Each browser with the page open and its networks ready."""
    with closing(request.param(tmp_path_factory.mktemp("browser"))) as opened:
        opened.open(site.url)
        opened.run(OPENED)
        yield opened


@pytest.fixture
def chromium(site: Site, tmp_path: Path) -> Iterator[Callable[..., Chromium]]:
    """Open Chromium with a profile of its own, the page open and its networks ready."""
    with ExitStack() as stack:

        def opened(*arguments: str) -> Chromium:
            page = stack.enter_context(closing(Chromium(tmp_path, *arguments)))
            page.open(site.url)
            page.run(OPENED)
            return page

        yield opened
