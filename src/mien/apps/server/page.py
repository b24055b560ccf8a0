"""The page: built, with the networks in the browser; or as it is written, with this server in their place."""

from __future__ import annotations

import mimetypes
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from mien.apps.server import documents
from mien.apps.server.problems import Problem

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""What the page may do, of which nothing leads to another site."""

HEADERS = {"content-security-policy": POLICY, "cache-control": "no-cache"}  # kept, but asked for anew

PACKAGE = Path(__file__).parents[2]
# in the wheel, in a copy of the source:
BUILT = (PACKAGE / "page", PACKAGE.parents[1] / "web" / "dist")
WRITTEN = (PACKAGE / "web", PACKAGE.parents[1] / "web")
KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
}
"""Media types by ending: what systems say differs, and browsers are strict."""


def routes() -> list[BaseRoute]:
    """What answers / and all that no other route does."""
    for ending, kind in KINDS.items():
        mimetypes.add_type(kind, ending)
    if built := _first(BUILT):
        return [Mount("/", Built(directory=built, html=True))]
    files = written()
    if "index.html" not in files:
        return [Route("/", partial(_no_page))]
    return [Route("/", partial(_file, files)), Route("/{name}", partial(_file, files))]


class Built(StaticFiles):
    """The built page."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file of it, under the page's own policy."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def written() -> dict[str, Path]:
    """The files of the page as it is written, by name: its modules, of which ours replaces the engine."""
    web = _first(WRITTEN)
    if web is None:
        return {}
    found = {file.name: file for folder in (web, web / "src") for file in folder.iterdir() if file.suffix in KINDS}
    pictures = (web / "astronaut.jpg", web.parent / "assets" / "astronaut.jpg")
    found |= {file.name: file for file in pictures if file.is_file()}
    found |= {"engine.js": Path(__file__).with_name("engine.js"), "notice.txt": PACKAGE / "models" / "NOTICE.md"}
    return {name: file for name, file in found.items() if name not in ("sw.js", "worker.js", "build.js")}


def _first(folders: Sequence[Path]) -> Path | None:
    """The first of the folders that holds a page."""
    return next((folder for folder in folders if (folder / "index.html").is_file()), None)


async def _file(files: dict[str, Path], request: Request) -> Response:
    name = request.path_params.get("name", "index.html")
    if name not in files:
        raise Problem(404, "there is nothing here: /docs lists what there is")
    return FileResponse(files[name], headers=HEADERS, media_type=KINDS[Path(name).suffix])


async def _no_page(_: Request) -> Response:
    return HTMLResponse(documents.no_page(), headers={"content-security-policy": documents.POLICY})
