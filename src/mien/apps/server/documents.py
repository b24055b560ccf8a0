"""What the server says of itself: the OpenAPI document, the page that shows it, and the one where no page is built."""

from __future__ import annotations

import base64
from hashlib import sha256
from html import escape
from typing import Any

from mien import __version__
from mien.apps.server.settings import Settings
from mien.labels import EMOTIONS
from mien.sinks.rows import COLUMNS, NUMBERS

STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .25rem; } p { margin: .5rem 0; }
pre, code { font-family: ui-monospace, monospace; font-size: .9rem; }
pre { padding: .75rem 1rem; border: 1px solid #8886; border-radius: .4rem; overflow-x: auto; }
table { border-collapse: collapse; } td { padding: .2rem 1rem .2rem 0; vertical-align: top; }
.method { color: #0a7d3c; } @media (prefers-color-scheme: dark) { .method { color: #5ad18c; } }
"""

_DIGEST = base64.b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""These pages have one style, and nothing else."""

NOTICE = (
    "An expression is not a feeling: the answers say how a face looks to most people. Recognising emotions at work and "
    "in education is banned in the European Union (AI Act, article 5(1)(f)), save for medical and safety reasons; who "
    "is subject to it elsewhere must be told (article 50(3))."
)

_FLAG = {"type": "string", "enum": ["0", "1"], "default": "0"}


def openapi(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a server."""
    secured: dict[str, Any] = {"security": [{"token": []}]} if settings.token else {}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Mien", "version": __version__, "description": f"Reads emotions in faces. {NOTICE}"},
        "paths": {
            "/v1/read": {"post": _read() | secured},
            "/v1/video": {"post": _video() | secured},
            "/v1/watch": {"get": _watch() | secured},
            "/v1/health": {"get": _operation("Whether the server works, and which model reads.", "curl URL/v1/health")},
            "/metrics": {"get": _operation("Counts, in the format of Prometheus.", "curl URL/metrics") | secured},
        },
        "components": {
            "schemas": {"Row": _row(), "Picture": _picture(), "Problem": _problem()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def page(document: dict[str, Any]) -> str:
    """Return the OpenAPI document as a page to read."""
    parts = [f"<h1>Mien {__version__}: the server</h1><p>{escape(document['info']['description'])}</p>"]
    parts.append('<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>')
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            verb = "WS" if path == "/v1/watch" else method.upper()
            parts.append(f'<h2><span class="method">{verb}</span> <code>{path}</code></h2>')
            parts += [f"<p>{escape(text)}</p>" for text in (operation["summary"], operation.get("description")) if text]
            parts.append(f"<pre>{escape(operation['x-example'])}</pre>")
            rows = [(p["name"], p["description"]) for p in operation.get("parameters", [])]
            rows += [(code, answer["description"]) for code, answer in operation["responses"].items()]
            parts.append("<table>" + "".join(_line(*row) for row in rows) + "</table>")
    columns = ", ".join(f"<code>{name}</code>" for name in COLUMNS)
    parts.append(f"<h2>A row</h2><p>There is one for each face in each frame: {columns}.</p>")
    return _html("Mien: the server", "".join(parts))


def no_page() -> str:
    """Return what stands at / where the page was not built."""
    return _html(
        "Mien",
        "<h1>Mien</h1><p>The server works. Its page is not built: with Node.js, in a copy of the source,</p>"
        "<pre>cd web &amp;&amp; npm ci &amp;&amp; npm run build</pre>"
        '<p>and start <code>mien serve</code> again. What programs can ask is described at <a href="docs">docs</a>.</p>'
        f"<p>{escape(NOTICE)}</p>",
    )


def _line(name: str, meaning: str) -> str:
    return f"<tr><td><code>{escape(name)}</code></td><td>{escape(meaning)}</td></tr>"


def _html(title: str, body: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>'
        f"<body>{body}</body></html>"
    )


def _operation(summary: str, example: str, **more: Any) -> dict[str, Any]:
    answers = {"200": {"description": "as above"}} | more.pop("responses", {})
    return {
        "summary": summary,
        "x-example": example.replace("URL", "http://127.0.0.1:8000"),
        "responses": answers,
        **more,
    }


def _read() -> dict[str, Any]:
    binary = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
    form = {"type": "object", "properties": {"picture": {"type": "array", "items": binary["schema"]}}}
    encoded = {"type": "string", "contentEncoding": "base64"}
    named = {"type": "object", "properties": {"name": {"type": "string"}, "data": encoded}, "required": ["data"]}
    items = {"type": "array", "items": {"anyOf": [encoded, named]}, "maxItems": 100}
    answer = {"type": "object", "properties": {"pictures": {"type": "array", "items": _ref("Picture")}}}
    return _operation(
        "Read the emotion of every face in pictures: one as the body, several as a form, or JSON with base64.",
        "curl --data-binary @photo.jpg URL/v1/read\n"
        "curl -F picture=@one.jpg -F picture=@two.jpg URL/v1/read\n"
        "curl --data-binary @photo.jpg -o annotated.jpg 'URL/v1/read?annotate=1'\n"
        "curl --json '{\"pictures\": [\"'$(base64 -w0 photo.jpg)'\"]}' URL/v1/read",
        description="Of several pictures each has its own answer: rows, or a problem where it cannot be read.",
        parameters=[
            _parameter("faces", "1: each picture is one face already, and all of it is classified."),
            _parameter("annotate", "1: the answer is the picture with its faces drawn, JPEG, or as Accept says."),
            _parameter("name", "What the rows call a picture that is the body.", {"type": "string"}),
        ],
        requestBody={
            "required": True,
            "content": {
                "image/*": binary,
                "multipart/form-data": {"schema": form},
                "application/json": {"schema": {"type": "object", "properties": {"pictures": items}}},
            },
        },
        responses={"200": _answered("rows of each picture", "application/json", answer)} | _problems(),
    )


def _video() -> dict[str, Any]:
    return _operation(
        "Read a video: a row for each face in each frame, a JSON object a line, as they come.",
        "curl -N -T film.mp4 -X POST URL/v1/video",
        description='Where the video breaks off, or the server stops, the last line is {"problem": ...}.',
        requestBody={"required": True, "content": {"video/*": {"schema": {"type": "string"}}}},
        responses={"200": _answered("rows, as lines", "application/x-ndjson", _ref("Row"))} | _problems(),
    )


def _watch() -> dict[str, Any]:
    return _operation(
        "A WebSocket: pictures (JPEG, PNG, WebP) as binary messages in, an answer to each as text out.",
        '→ {"time": 0.04, "source": "camera"}        (text, before a picture, if you like)\n'
        "→ a picture                                  (binary)\n"
        '← {"frame": 0, "time": 0.04, "dropped": 0, "width": 640, "height": 480, "rows": [...]}',
        description="Faces are followed and people keep their numbers for as long as the connection lasts. A picture "
        "that comes while another is read replaces those that wait. Browsers give a token as a protocol: "
        'new WebSocket(url, ["mien", "bearer.TOKEN"]).',
        responses={"101": {"description": "the WebSocket is open"}},
    )


def _problems() -> dict[str, Any]:
    said = {
        "400": "the request is not understood",
        "401": "the token is missing or wrong",
        "403": "another site's page, or a name that this server has not",
        "408": "the body came too slowly",
        "413": "the body is too large",
        "422": "the file cannot be read",
        "503": "the server is busy: try again after Retry-After seconds",
    }
    return {code: _answered(text, "application/problem+json", _ref("Problem")) for code, text in said.items()}


def _answered(text: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {kind: {"schema": schema}}}


def _parameter(name: str, meaning: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": meaning, "schema": schema or _FLAG}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _row() -> dict[str, Any]:
    emotion = {"type": "string", "enum": list(EMOTIONS)}
    kinds: dict[str, Any] = {name: {"type": ["number", "null"]} for name in NUMBERS}
    kinds |= {"source": {"type": "string"}, "frame": {"type": "integer"}, "time": {"type": "number"}}
    kinds |= {"person": {"type": ["integer", "null"]}, "turn": {"type": "integer", "enum": [0, 90, 180, 270]}}
    kinds |= {"emotion": emotion, "shown": {"type": ["string", "null"], "enum": [*EMOTIONS, None]}}
    return {"type": "object", "properties": {name: kinds[name] for name in COLUMNS}, "required": list(COLUMNS)}


def _picture() -> dict[str, Any]:
    names = {"source": "string", "width": "integer", "height": "integer", "warning": "string"}
    properties: dict[str, Any] = {name: {"type": kind} for name, kind in names.items()}
    properties |= {"rows": {"type": "array", "items": _ref("Row")}, "problem": _ref("Problem")}
    return {"type": "object", "properties": properties, "required": ["source"]}


def _problem() -> dict[str, Any]:
    names = {"type": "string", "title": "string", "status": "integer", "detail": "string"}
    properties = {name: {"type": kind} for name, kind in names.items()}
    return {"type": "object", "properties": properties, "required": list(names)}
