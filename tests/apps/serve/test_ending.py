"""How the server begins and ends: what it refuses in one line, and what becomes of open requests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import PIL.Image
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).parents[3]
PICTURE = (ROOT / "assets" / "astronaut.jpg").read_bytes()

Serve = Callable[..., Any]


def refused(*options: object, **environment: str) -> str:
    """The one line in which a start is refused."""
    line = [sys.executable, "-m", "mien", "serve", *map(str, options)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60, env=os.environ | environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    return done.stderr.removeprefix("mien: ").strip()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--host", "0.0.0.0"], "0.0.0.0 is an address that other computers reach: give a --token"),
        (["--host", "::"], ":: is an address that other computers reach: give a --token"),
        (["--host", "faces.example"], "faces.example is an address that other computers reach"),
        (["--token", "short"], "the token must be 16 or more letters"),
        (["--token", "a token with spaces in it"], "the token must be 16 or more letters"),
        (["--host", "192.0.2.1", "--no-token"], "cannot listen on 192.0.2.1:8000 ("),
        (["--host", "no.such.name.invalid", "--no-token"], "no.such.name.invalid is no address of this computer ("),
        (["--queue", "0"], "Invalid value for '--queue'"),
        (["--timeout", "nan"], "Invalid value for '--timeout': "),
        (["--port", "70000"], "Invalid value for '--port'"),
        (["--model", "nowhere.onnx", "--port", "0"], "there is no model at nowhere.onnx"),
    ],
)
def test_what_is_unsafe_or_makes_no_sense_is_refused_in_one_line(options: list[str], said: str) -> None:
    assert said in refused(*options)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert refused("--port", port) == (
            f"cannot listen on 127.0.0.1:{port} (address already in use): give another --port or --host"
        )


def test_a_token_may_stand_in_the_environment_where_no_other_user_sees_it() -> None:
    assert "the token must be" in refused(MIEN_TOKEN="short")


def test_a_package_that_is_missing_is_named() -> None:
    program = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv[1:] = ['serve']; from mien.apps.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "mien: the server needs uvicorn: pip install 'mien[serve]'\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl+C", "SIGTERM"])
def test_a_signal_ends_it_within_the_timeout_with_open_requests_answered_and_code_0(
    serve: Serve, film: Callable[..., Path], number: int
) -> None:
    server = serve("--timeout", 3, "--workers", 1)
    video = film("film.ts", size=(640, 480), frames=60).read_bytes() * 40
    with (
        server.connect() as half_a_head,
        server.connect() as half_a_body,
        connect(f"{server.url.replace('http', 'ws')}/v1/watch") as stream,
        httpx.stream("POST", f"{server.url}/v1/video", content=video, timeout=60) as rows,
    ):
        half_a_head.sendall(b"GET /v1/health HTTP/1.1\r\nHo")
        half_a_body.sendall(b"POST /v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx")
        lines = rows.iter_lines()
        next(lines)
        answers: list[httpx.Response] = []
        reading = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{server.url}/v1/read", content=PICTURE, timeout=60))
        )
        reading.start()
        time.sleep(0.2)
        code, seconds = server.end(number)
        *_, last = lines
        assert json.loads(last)["problem"]["detail"] == "the server is stopping: try again when it is back"
        reading.join()
        with pytest.raises(ConnectionClosed) as closed:
            stream.recv(10)
    assert (code, closed.value.rcvd and closed.value.rcvd.code) == (0, 1012)
    assert seconds < 3.5
    assert [answer.status_code for answer in answers] == [200]
    server.said[:] = [line for line in server.said if "graceful shutdown" not in line]  # of the body that never came


def test_nothing_is_waited_for_when_the_time_is_up(serve: Serve) -> None:
    """A picture that takes longer than the server has left."""
    data = BytesIO()
    PIL.Image.new("RGB", (7000, 7000)).save(data, "PNG", compress_level=1)
    server = serve("--timeout", 0.5)
    with server.connect() as busy:
        busy.sendall(b"POST /v1/read HTTP/1.1\r\nHost: localhost\r\n")
        busy.sendall(b"Content-Length: %d\r\n\r\n" % len(data.getvalue()) + data.getvalue())
        time.sleep(0.2)
        code, seconds = server.end()
    assert code == 0 and seconds < 2
    server.said[:] = server.said[:1]


def test_kill_leaves_nothing_behind_and_the_next_one_has_the_port_at_once(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        line = [sys.executable, "-m", "mien", "serve", "--port", str(port)]
        process = subprocess.Popen(line, cwd=tmp_path, stderr=subprocess.PIPE, env=environment, text=True)
        assert process.stderr is not None
        assert f"serving at http://127.0.0.1:{port}/" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port)) as upload:
            upload.sendall(
                b"POST /v1/read HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 10**6
            )
            process.kill()
            assert process.wait(10) == -signal.SIGKILL
        process.stderr.close()
        assert list(tmp_path.iterdir()) == []
