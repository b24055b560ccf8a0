"""What hostile clients send: each has the right answer, the log says nothing of it, and the server goes on."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

ASTRONAUT = Path(__file__).parents[3] / "assets" / "astronaut.jpg"
PICTURE = ASTRONAUT.read_bytes()
TOKEN = "a-token-that-nobody-guesses"
MOST = 200_000  # bytes that the strict server takes
EACH = 100  # broken pictures of each format
FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "ppm", "ico", "jpeg2000", "avif")

Soon = Callable[..., bool]


@pytest.fixture(scope="module")
def strict(serving_with: Any) -> Iterator[Any]:
    """A server with little room and little patience."""
    options = ("--timeout", 1.5, "--max-body", MOST / 1e6, "--max-pixels", 0.3, "--queue", 4, "--workers", 1)
    with serving_with(*options) as one:
        yield one


@pytest.fixture(scope="module")
def guarded(serving_with: Any) -> Iterator[Any]:
    """A server that other computers reach, with a token."""
    with serving_with("--host", "0.0.0.0", "--token", TOKEN, "--name", "faces.example.org") as one:
        yield one


def small(kind: str = "jpeg", size: int = 64) -> bytes:
    """The astronaut's face as a file of that kind."""
    data = BytesIO()
    with PIL.Image.open(ASTRONAUT) as picture:
        picture.crop((150, 30, 310, 190)).resize((size, size)).save(data, kind)
    return data.getvalue()


def alive(server: Any) -> bool:
    """Whether it answers, and holds nothing of what was sent before."""
    answer = httpx.post(f"{server.url}/v1/read?faces=1", content=small(), timeout=60)
    return answer.status_code == 200 and len(answer.json()["pictures"][0]["rows"]) == 1


def status(raw: bytes) -> int:
    """The status of an answer; 0 where there is none."""
    return int(raw.split(b" ", 2)[1]) if raw.startswith(b"HTTP/1.1 ") else 0


def answer(connection: socket.socket) -> bytes:
    """All that a server sends until it closes the connection."""
    parts = []
    with suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def head(*lines: str, target: str = "/v1/read", host: str = "localhost") -> bytes:
    return "\r\n".join([f"POST {target} HTTP/1.1", f"Host: {host}", *lines, "", ""]).encode()


def test_a_body_that_is_too_large_is_refused_by_its_length_and_else_when_it_is_too_long(strict: Any) -> None:
    with strict.connect() as connection:
        connection.sendall(head(f"Content-Length: {10**12}"))
        assert status(connection.recv(1000)) == 413
    with strict.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        with suppress(ConnectionError):
            for _ in range(8):
                connection.sendall(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        assert status(connection.recv(1000)) == 413
    too_large = httpx.post(f"{strict.url}/v1/read", files={"picture": b"x" * (MOST + 1)})
    assert too_large.json()["detail"] == "the body has more than 200,000 bytes: send less at a time"
    with connect(f"{strict.url.replace('http', 'ws')}/v1/watch") as stream:
        with suppress(ConnectionClosed):
            stream.send(b"x" * (MOST + 1))
            stream.recv(20)
        assert stream.close_code == 1009
    assert alive(strict)


def test_pictures_and_videos_of_too_many_pixels_are_refused_before_they_are_decoded(
    strict: Any, film: Callable[..., Path]
) -> None:
    bomb = BytesIO()
    PIL.Image.new("1", (30_000, 30_000)).save(bomb, "PNG")  # 900 megapixels in 110 kB
    assert len(bomb.getvalue()) < MOST
    began = time.monotonic()
    refused = httpx.post(f"{strict.url}/v1/read", content=bomb.getvalue(), timeout=60)
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "what was given as bytes has more than 0.3 megapixels: make it smaller",
    )
    assert time.monotonic() - began < 5
    video = httpx.post(f"{strict.url}/v1/video", content=film(size=(800, 600), frames=3).read_bytes(), timeout=60)
    assert video.json()["detail"] == "the video has frames of more than 0.3 megapixels: make it smaller"
    assert alive(strict)


def test_a_head_that_comes_slowly_or_never_ends_is_cut_off(strict: Any) -> None:
    with strict.connect() as silent, strict.connect() as slow:
        began = time.monotonic()
        with suppress(ConnectionError):
            for letter in head()[:-2].decode():
                slow.sendall(letter.encode())
                time.sleep(0.1)
                if time.monotonic() - began > 8:
                    break
        assert answer(slow) == answer(silent) == b""
        assert 1 < time.monotonic() - began < 7
    with strict.connect() as endless, pytest.raises(ConnectionError):
        endless.sendall(head()[:-2])
        for number in range(10_000):
            endless.sendall(f"X-{number}: {'x' * 1000}\r\n".encode())
    with strict.connect() as kept:  # after a request that was answered as well
        kept.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.5)  # its head and its body may come one after the other
        assert status(kept.recv(2000)) == 200
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() - began < 8:
                kept.sendall(b"\r\n")
                time.sleep(0.1)
        assert answer(kept) == b"" and time.monotonic() - began < 7
    assert alive(strict)


def test_a_body_that_comes_slowly_is_408_and_what_comes_after_it_is_cut_off(strict: Any) -> None:
    with strict.connect() as slow:
        slow.sendall(head("Content-Length: 100000"))
        began = time.monotonic()
        slow.settimeout(0.1)
        said = b""
        while not said and time.monotonic() - began < 8:
            slow.sendall(b"x")
            with suppress(TimeoutError):
                said = slow.recv(2000)
        assert status(said) == 408 and 1 < time.monotonic() - began < 7
        with pytest.raises(ConnectionError):
            while time.monotonic() - began < 20:
                slow.sendall(b"x")
                time.sleep(0.1)
    assert alive(strict)


def test_a_client_that_takes_nothing_off_is_cut_off(strict: Any, soon: Soon) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (250, 250, 3), np.uint8)
    data = BytesIO()
    PIL.Image.fromarray(noise).save(data, "PNG")
    with strict.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
        request = head(
            f"Content-Length: {len(data.getvalue())}", "Accept: image/png", target="/v1/read?annotate=1&faces=1"
        )
        with suppress(ConnectionError, TimeoutError):
            for _ in range(40):
                deaf.sendall(request + data.getvalue())
        assert soon(lambda: alive(strict))
        assert soon(lambda: strict.metric("mien_places_taken") == 0)
    assert strict.metric("mien_bodies_bytes") == 0


def test_more_connections_than_there_is_room_for_are_told_to_come_again(strict: Any, soon: Soon) -> None:
    many = [strict.connect() for _ in range(2 * (4 + 1) + 100 + 20)]
    last = answer(many[-1])
    assert status(last) == 503 and b"retry-after: 1" in last
    for connection in many:
        connection.close()
    assert soon(lambda: alive(strict))


def test_a_full_queue_is_503_with_retry_after_and_frees_itself(strict: Any) -> None:
    big = small("png", 500)  # searched turned as well: it takes a while
    with ThreadPoolExecutor(20) as clients:
        answers = list(
            clients.map(lambda _: httpx.post(f"{strict.url}/v1/read", content=big[:MOST], timeout=60), range(20))
        )
    refused = [one for one in answers if one.status_code == 503]
    assert {one.status_code for one in answers} <= {200, 422, 503} and refused
    assert all(one.headers["retry-after"] == "1" for one in refused)
    assert refused[0].json()["detail"] == "the server is busy: try again in a second"
    assert alive(strict) and strict.metric("mien_places_taken") == 0


@pytest.mark.parametrize("path", ["/v1/read", "/v1/video", "/metrics"])
@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}"]
)
def test_without_the_right_token_nothing_is_read(guarded: Any, path: str, given: str) -> None:
    refused = httpx.request(
        "GET" if path == "/metrics" else "POST", guarded.url + path, headers={"authorization": given}
    )
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_the_right_token_lets_in_as_a_header_and_for_browsers_as_a_protocol(guarded: Any) -> None:
    right = {"authorization": f"Bearer {TOKEN}"}
    assert httpx.post(f"{guarded.url}/v1/read?faces=1", content=small(), headers=right, timeout=60).status_code == 200
    assert httpx.get(f"{guarded.url}/v1/health").status_code == 200  # says nothing that is not public
    url = f"{guarded.url.replace('http', 'ws')}/v1/watch"
    with connect(url, subprotocols=["mien", f"bearer.{TOKEN}"]) as stream:  # type: ignore[list-item]
        stream.send(PICTURE)
        assert stream.subprotocol == "mien" and json.loads(stream.recv(60))["rows"]
    for protocols in (None, ["mien"], ["mien", "bearer.wrong"]):
        with pytest.raises(InvalidStatus) as refused, connect(url, subprotocols=protocols):  # type: ignore[arg-type]
            pass
        assert refused.value.response.status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:80", "127.0.0.1.evil.example", "", "[::1", "a b"]
)
def test_a_foreign_name_is_refused_so_that_no_page_reaches_us_by_rebinding_its_own(server: Any, host: str) -> None:
    with server.connect() as connection:
        connection.sendall(head("Content-Length: 0", "Connection: close", host=host))
        assert status(answer(connection)) in (400, 403)


def test_names_that_are_ours_are_let_in(server: Any, guarded: Any) -> None:
    port = server.address[1]
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", "[::1]", socket.gethostname(), "192.168.1.7:80"):
        assert httpx.get(f"{server.url}/v1/health", headers={"host": host}).status_code == 200, host
    assert httpx.get(f"{guarded.url}/v1/health", headers={"host": "Faces.Example.org"}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "https://127.0.0.1", "file://", "http://["]
)
def test_pages_of_other_sites_may_neither_ask_nor_open_a_websocket(server: Any, origin: str) -> None:
    refused = httpx.post(f"{server.url}/v1/read", content=PICTURE, headers={"origin": origin})
    assert refused.status_code == 403
    assert "access-control-allow-origin" not in refused.headers
    with (
        pytest.raises(InvalidStatus) as error,
        connect(f"{server.url.replace('http', 'ws')}/v1/watch", origin=Origin(origin)),
    ):
        pass
    assert error.value.response.status_code == 403


def test_our_own_page_may(server: Any) -> None:
    own = {"origin": server.url}
    assert httpx.post(f"{server.url}/v1/read?faces=1", content=small(), headers=own, timeout=60).status_code == 200
    with connect(f"{server.url.replace('http', 'ws')}/v1/watch", origin=Origin(server.url)):
        pass


@pytest.mark.parametrize(
    "target",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/read/../../etc/passwd",
        "//etc/passwd",
        "/docs/..%2f..%2fetc/passwd",
        "http://localhost/etc/passwd",
    ],
)
def test_no_path_leads_to_a_file(server: Any, target: str) -> None:
    with server.connect() as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        said = answer(connection)
    assert status(said) in (400, 404, 405) and b"root:" not in said


def test_names_and_addresses_that_clients_send_are_never_opened(client: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bait:
        url = f"http://127.0.0.1:{bait.getsockname()[1]}/picture.jpg"
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>'
        playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}\n#EXT-X-ENDLIST\n"
        session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        dash = (
            '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period>'
            f'<AdaptationSet><Representation id="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet>'
            "</Period></MPD>"
        )
        names = [url, str(ASTRONAUT), f"file://{ASTRONAUT}", "rtsp://127.0.0.1/", "0", "-", "concat:/etc/passwd"]
        for name in names:
            text = base64.b64encode(name.encode()).decode()
            for picture in (name, text, {"name": name, "data": text}, {"url": name}):
                assert client.post("/v1/read", json={"pictures": [picture]}).status_code in (400, 422)
        for body in (
            *names,
            svg,
            playlist,
            f"aaaaftypheic{dash}",
            f"ffconcat version 1.0\nfile {ASTRONAUT}\n",
            session,
            dash,
        ):
            kind = {"content-type": "application/octet-stream"}
            for path in ("/v1/read", "/v1/video"):
                assert client.post(path, content=body.encode(), headers=kind).status_code == 422, body
        bait.settimeout(0.2)
        with pytest.raises(TimeoutError):
            bait.accept()


def broken(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with a few of its bytes changed, doubled, left out or cut off; mostly near its beginning."""
    mutated = bytearray(data)
    for _ in range(rng.integers(1, 9)):
        reach = len(mutated) if rng.random() < 0.4 else min(len(mutated), 128)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 33))
        match rng.integers(5):
            case 0:
                mutated[at] ^= 1 << int(rng.integers(8))
            case 1:
                mutated[at : at + length] = rng.bytes(length)
            case 2:
                mutated[at:at] = mutated[at : at + length]
            case 3:
                del mutated[at : at + length]
            case 4 if rng.random() < 0.3:
                del mutated[max(at, 8) :]
        mutated = mutated or bytearray(b"\0")
    return bytes(mutated)


@pytest.mark.parametrize("kind", FORMATS)
def test_broken_pictures_are_read_or_refused_in_one_sentence(client: httpx.Client, server: Any, kind: str) -> None:
    rng = np.random.default_rng(FORMATS.index(kind))
    whole = small(kind)
    files = [("picture", (f"{number}", broken(whole, rng))) for number in range(EACH)]
    answered = client.post("/v1/read?faces=1", files=files)
    assert answered.status_code == 200
    found = answered.json()["pictures"]
    assert [one["source"] for one in found] == [str(number) for number in range(EACH)]
    for one in found:
        if "problem" in one:
            assert one["problem"]["status"] == 422 and "\n" not in one["problem"]["detail"]
        else:
            assert len(one["rows"]) == 1
    assert alive(server)


def test_broken_videos_are_read_or_refused(client: httpx.Client, server: Any, film: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    for name in ("film.mp4", "film.mkv", "film.avi"):
        whole = film(name, size=(64, 48), frames=4).read_bytes()
        for _ in range(15):
            assert client.post("/v1/video", content=broken(whole, rng)).status_code in (200, 422)
    assert alive(server)


def test_broken_requests_are_refused(server: Any) -> None:
    rng = np.random.default_rng(0)
    whole = head("Content-Length: 5") + b"hello"
    for _ in range(60):
        with server.connect() as connection:
            with suppress(ConnectionError):
                connection.sendall(broken(whole, rng))
                connection.shutdown(socket.SHUT_WR)
            assert status(answer(connection)) in (0, 400, 403, 404, 405, 413, 422, 501, 505)
    assert alive(server)


def test_clients_that_vanish_while_they_send_or_wait_free_what_they_had(server: Any, soon: Soon) -> None:
    for _ in range(10):
        sending, waiting = server.connect(), server.connect()
        sending.sendall(head("Content-Length: 1000000") + b"x" * 100_000)
        waiting.sendall(head(f"Content-Length: {len(PICTURE)}") + PICTURE)
        for connection in (sending, waiting):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # as when it is killed
            connection.close()
    assert soon(lambda: server.metric("mien_places_taken") == server.metric("mien_bodies_bytes") == 0)
    assert alive(server)
