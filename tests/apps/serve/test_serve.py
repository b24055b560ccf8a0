"""What the server answers is what the library says: pictures, videos, streams, and documents about itself."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import mien
from mien.sinks.pictures import encode

Film = Callable[..., Path]

ASTRONAUT = Path(__file__).parents[3] / "assets" / "astronaut.jpg"
PICTURE = ASTRONAUT.read_bytes()
READER = mien.Reader()


def rows_of(data: bytes, name: str = "", **options: Any) -> list[dict[str, Any]]:
    """The rows that the library gives, as JSON has them."""
    rows = READER.read(data, **options).to_dicts()
    found: list[dict[str, Any]] = json.loads(json.dumps([row | {"source": name} for row in rows]))
    return found


def smaller(size: int, kind: str = "PNG") -> bytes:
    data = BytesIO()
    with PIL.Image.open(ASTRONAUT) as picture:
        picture.resize((size, size)).save(data, kind)
    return data.getvalue()


def test_a_picture_as_body_gives_the_rows_that_the_library_gives(client: httpx.Client) -> None:
    answer = client.post("/v1/read", content=PICTURE, params={"name": "a photo.jpg"})
    assert answer.status_code == 200
    expected = {"source": "a photo.jpg", "width": 512, "height": 512, "rows": rows_of(PICTURE, "a photo.jpg")}
    assert answer.json() == {"pictures": [expected]}
    assert answer.json()["pictures"][0]["rows"][0]["emotion"] == "happy"


def test_several_pictures_of_a_form_are_answered_in_order_each_by_its_name(client: httpx.Client) -> None:
    pictures = {"one.jpg": PICTURE, "two.png": smaller(300), "three.webp": smaller(200, "WEBP")}
    files = [("picture", (name, data)) for name, data in pictures.items()]
    found = client.post("/v1/read", files=files).json()["pictures"]
    assert [one["rows"] for one in found] == [rows_of(data, name) for name, data in pictures.items()]
    assert [one["width"] for one in found] == [512, 300, 200]


def test_json_holds_pictures_in_base64_as_text_as_data_urls_and_with_names(client: httpx.Client) -> None:
    text = base64.b64encode(PICTURE).decode()
    pictures = [text, f"data:image/jpeg;base64,{text}", {"name": "me", "data": text}]
    found = client.post("/v1/read", json={"pictures": pictures}).json()["pictures"]
    assert [one["rows"] for one in found] == [rows_of(PICTURE), rows_of(PICTURE), rows_of(PICTURE, "me")]


def test_annotate_gives_the_picture_with_its_faces_drawn_as_the_client_wants_it(client: httpx.Client) -> None:
    drawn = np.asarray(READER.read(PICTURE).annotate())
    answer = client.post("/v1/read?annotate=1", content=PICTURE)
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", encode(drawn, Path("x.jpg")))
    answer = client.post("/v1/read?annotate=1", content=PICTURE, headers={"accept": "image/png"})
    with PIL.Image.open(BytesIO(answer.content)) as picture:
        assert np.array_equal(np.asarray(picture), drawn)


def test_faces_takes_each_picture_for_one_face(client: httpx.Client) -> None:
    face = smaller(48)
    [found] = client.post("/v1/read?faces=1", content=face).json()["pictures"]
    assert found["rows"] == rows_of(face, faces=True)
    assert (found["rows"][0]["x2"], found["rows"][0]["nose_x"]) == (48, None)


def test_a_broken_picture_is_a_problem_with_the_librarys_sentence_and_the_others_are_read(
    client: httpx.Client,
) -> None:
    answer = client.post("/v1/read", content=b"no picture")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    with pytest.raises(mien.SourceError) as error:
        mien.read(b"no picture")
    assert answer.json()["detail"] == str(error.value)
    files = [("picture", ("bad", b"no picture")), ("picture", ("good", PICTURE))]
    bad, good = client.post("/v1/read", files=files).json()["pictures"]
    assert bad == {"source": "bad", "problem": answer.json()}
    assert good["rows"] == rows_of(PICTURE, "good")


def test_a_picture_whose_end_is_missing_is_read_and_says_so(client: httpx.Client) -> None:
    [found] = client.post("/v1/read", content=PICTURE[:30_000]).json()["pictures"]
    assert found["warning"] == "what was given as bytes ends early: the part that is there is read"
    assert len(found["rows"]) == 1


@pytest.mark.parametrize(
    ("query", "content", "headers", "status"),
    [
        ("?faces=2", PICTURE, {}, 400),
        ("?url=http://localhost/", PICTURE, {}, 400),
        ("", b"", {}, 400),
        ("", b"hello", {"content-type": "text/plain"}, 415),
        ("", b"{", {"content-type": "application/json"}, 400),
        ("", b"[1]", {"content-type": "application/json"}, 400),
        ("", b'{"pictures": [3]}', {"content-type": "application/json"}, 400),
        ("", b"[" * 100_000, {"content-type": "application/json"}, 400),
        ("", b"x", {"content-type": "multipart/form-data"}, 400),
        ("", b"x", {"content-type": "multipart/form-data; boundary=y"}, 400),
    ],
)
def test_what_is_not_understood_is_400_or_415_and_one_sentence(
    client: httpx.Client, query: str, content: bytes, headers: dict[str, str], status: int
) -> None:
    answer = client.post(f"/v1/read{query}", content=content, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert ": " in answer.json()["detail"] and "\n" not in answer.json()["detail"]


def test_a_video_gives_the_rows_of_the_library_as_lines(client: httpx.Client, film: Film) -> None:
    path = film(size=(320, 240), frames=30)
    answer = client.post("/v1/video", content=path.read_bytes())
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    rows = [json.loads(line) for line in answer.text.splitlines()]
    with READER.watch(path) as results:
        expected = [row | {"source": ""} for result in results for row in result.to_dicts()]
    assert rows == json.loads(json.dumps(expected))
    assert [row["frame"] for row in rows] == list(range(30))
    assert {row["person"] for row in rows} == {1}
    named = client.post("/v1/video", files={"video": ("film.mp4", path.read_bytes())})
    assert json.loads(named.text.splitlines()[-1]) == rows[-1] | {"source": "film.mp4"}


def test_rows_of_a_video_come_while_it_is_read_and_a_client_that_leaves_frees_its_place(
    server: Any, film: Film, soon: Callable[..., bool]
) -> None:
    data = film("film.ts", size=(640, 480), frames=60).read_bytes() * 40
    before = server.metric('mien_step_seconds_count{step="track"}')
    with httpx.stream("POST", f"{server.url}/v1/video", content=data, timeout=60) as answer:
        lines = answer.iter_lines()  # which leaves when nobody holds it any more
        assert json.loads(next(lines))["frame"] == 0
        assert server.metric("mien_videos") == 1
    assert soon(lambda: server.metric("mien_videos") == 0)
    assert server.metric('mien_step_seconds_count{step="track"}') - before < 2000
    assert server.metric("mien_bodies_bytes") == 0


@pytest.mark.parametrize("content", [b"no video", PICTURE], ids=["text", "picture"])
def test_what_is_no_video_is_a_problem(client: httpx.Client, content: bytes) -> None:
    answer = client.post("/v1/video", content=content)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("the video is damaged, or not a video that can be read")


def test_a_stream_is_followed_and_each_picture_answered_with_its_time_and_name(server: Any) -> None:
    with connect(f"{server.url.replace('http', 'ws')}/v1/watch", subprotocols=["mien"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "mien"
        for number in range(3):
            socket.send(json.dumps({"time": number / 10, "source": "camera"}))
            socket.send(PICTURE)
            said = json.loads(socket.recv(60))
            [row] = said.pop("rows")
            assert said == {"frame": number, "time": number / 10, "dropped": 0, "width": 512, "height": 512}
            assert (row["source"], row["person"], row["shown"]) == ("camera", 1, "happy")
        socket.send(b"no picture")
        assert json.loads(socket.recv(60))["problem"]["status"] == 422
        socket.send(PICTURE)
        assert json.loads(socket.recv(60))["rows"][0]["person"] == 1
        socket.send('{"what": 1}')
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(60)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1003


def test_of_pictures_that_come_faster_than_they_are_read_the_newest_wins(server: Any) -> None:
    with connect(f"{server.url.replace('http', 'ws')}/v1/watch") as socket:
        for _ in range(40):
            socket.send(PICTURE)
        frames: list[dict[str, Any]] = []
        while not frames or frames[-1]["frame"] < 39:
            frames.append(json.loads(socket.recv(60)))
    assert [said["frame"] for said in frames] == sorted({said["frame"] for said in frames})
    assert len(frames) < 40
    assert len(frames) + frames[-1]["dropped"] == 40


def test_the_server_says_what_it_is_and_what_it_has_done(client: httpx.Client, server: Any) -> None:
    assert client.get("/v1/health").json() == {"status": "ok", "version": mien.__version__, "model": "s"}
    document = client.get("/openapi.json").json()
    page = client.get("/docs").text
    assert set(document["paths"]) == {"/v1/read", "/v1/video", "/v1/watch", "/v1/health", "/metrics"}
    assert all(path in page for path in document["paths"])
    [row] = client.post("/v1/read", content=PICTURE).json()["pictures"][0]["rows"]
    assert list(document["components"]["schemas"]["Row"]["properties"]) == list(row)
    happy, answered = 'mien_faces_total{emotion="happy"}', 'mien_requests_total{path="/v1/read",status="200"}'
    before = server.metric(happy), server.metric(answered)
    client.post("/v1/read", content=PICTURE)
    assert (server.metric(happy), server.metric(answered)) == (before[0] + 1, before[1] + 1)


def test_the_page_is_served_where_it_is_built(serve: Callable[..., Any], tmp_path: Path) -> None:
    for name, text in {"index.html": "<p>the page", "app.js": "1", "net.wasm": "2"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path.parent / "secret").write_text("secret")
    program = (
        f"from pathlib import Path; from mien.apps.server import page; page.BUILT = (Path({str(tmp_path)!r}),); "
        "from mien.apps.cli import main; main()"
    )
    built = serve(command=("-c", program))
    with httpx.Client(base_url=built.url) as browser:
        assert browser.get("/").text == "<p>the page"
        kinds = [browser.get(name).headers["content-type"] for name in ("app.js", "net.wasm")]
        assert kinds == ["text/javascript; charset=utf-8", "application/wasm"]
        policy = browser.get("/").headers["content-security-policy"]
        assert "script-src 'self' 'wasm-unsafe-eval'" in policy and "unsafe-inline" not in policy
        assert browser.get("/v1/health").status_code == 200
    with built.connect() as raw:
        raw.sendall(b"GET /../secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"404" in raw.recv(1000)


def test_a_bug_is_500_and_stands_in_the_log_and_the_server_goes_on(serve: Callable[..., Any]) -> None:
    program = (
        "from mien.apps.server.read import Pictures; Pictures.drawn = lambda *_: 1 / 0; "
        "from mien.apps.cli import main; main()"
    )
    server = serve(command=("-c", program))
    answer = httpx.post(f"{server.url}/v1/read?annotate=1", content=PICTURE, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert httpx.post(f"{server.url}/v1/read", content=PICTURE, timeout=60).status_code == 200
    assert server.metric('mien_requests_total{path="/v1/read",status="500"}') == 1
    assert any("ZeroDivisionError" in line for line in server.said)
    server.said[:] = server.said[:1]
