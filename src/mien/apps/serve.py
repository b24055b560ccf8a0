"""The command `serve`: its options, and what they mean for the server."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.apps.options import (
    SMALLEST,
    Confidence,
    Device,
    Head,
    LongestSide,
    Model,
    Threads,
    face_option,
    open_reader,
)
from mien.apps.terminal import finite
from mien.errors import MissingExtra

Slow = "Seconds a client may be slow, a request waits for its turn, and open requests have when the server stops."


def add_to(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(serve)


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; other computers cannot reach 127.0.0.1.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Pictures read at the same time.  \\[default: one a core]")
    ] = None,
    queue: Annotated[
        int, typer.Option(min=1, max=10_000, help="Requests that wait at most; more are told that the server is busy.")
    ] = 64,
    max_body: Annotated[
        float, typer.Option(min=0.001, max=4000, metavar="MB", callback=finite, help="Size of a request, at most.")
    ] = 64,
    max_pixels: Annotated[
        float,
        typer.Option(
            min=0.001, max=1000, metavar="MEGAPIXELS", callback=finite, help="Size of a picture or frame, at most."
        ),
    ] = 50,
    timeout: Annotated[float, typer.Option(min=0.1, max=3600, metavar="SECONDS", callback=finite, help=Slow)] = 10,
    token: Annotated[
        str | None, typer.Option(envvar="MIEN_TOKEN", help="What clients must send: Authorization: Bearer TOKEN.")
    ] = None,
    no_token: Annotated[
        bool, typer.Option("--no-token", help="Let in everybody on an address that other computers reach.")
    ] = False,
    name: Annotated[
        list[str] | None, typer.Option(help="A name that browsers reach this server by; may be repeated.")
    ] = None,
    browse: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    min_face: Annotated[float | None, face_option(help=f"{SMALLEST}  \\[default: 20, in video 40]")] = None,
    min_confidence: Confidence = None,
    longest_side: LongestSide = 1920,
    model: Model = "s",
    head: Head = None,
    device: Device = "cpu",
    threads: Threads = 1,
) -> int:
    """Serve a page, and an API over HTTP and WebSockets that reads pictures, videos and streams."""
    from mien.apps.server.settings import Settings
    from mien.sources.prefetch import cores

    settings = Settings(
        host=host,
        port=port,
        workers=workers or cores(),
        queue=queue,
        max_body=int(max_body * 1e6),
        megapixels=max_pixels,
        timeout=timeout,
        token=token,
        open_to_all=no_token,
        names=tuple(name or ()),
    )
    try:
        from mien.apps.server.start import run_server
    except ModuleNotFoundError as error:
        if (error.name or "mien").startswith("mien"):
            raise
        raise MissingExtra(f"the server needs {error.name}: pip install 'mien[serve]'") from None
    sizes = {"min_face": min_face, "min_confidence": min_confidence, "longest_side": longest_side}
    reader = open_reader(model, head=head, device=device, threads=threads, **sizes)
    return run_server(settings, reader, browse=browse)
