"""What people do on the page, in Chromium: open, watch, choose and save; offline, by keyboard, and with bad input."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import PIL.Image
import pytest

import mien
from mien.see.face import iou

from .browsers import CSP, OPENED, ROOT, WEB, Chromium, Site, wait_until

PORTRAIT = ROOT / "assets" / "astronaut.jpg"
FAKE_CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
SIDES = ("x1", "y1", "x2", "y2")

Opened = Callable[..., Chromium]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One Chromium for the tests that need no other."""
    opened = Chromium(tmp_path_factory.mktemp("page"))
    yield opened
    opened.close()


@pytest.fixture
def fresh(page: Chromium, site: Site) -> Chromium:
    """The page as it is when it was just opened."""
    page.open(site.url)
    page.run(OPENED)
    return page


def status(page: Chromium) -> str:
    text: str = page.find("#status").text
    return text


def give(page: Chromium, *paths: Path) -> None:
    """Choose pictures and wait until they are read."""
    page.find("#pictures").send_keys("\n".join(map(str, paths)))
    wait_until(lambda: re.search(r"faces?.* ms$", status(page)))


def error(page: Chromium) -> str:
    """Wait for an error and return its line."""
    text: str = wait_until(lambda: page.run('return document.querySelector("#error p")?.firstChild.textContent'))
    return text


def described(page: Chromium, start: str) -> bool:
    """Does what a screen reader says of the picture begin so?"""
    return str(page.find("#picture").get_attribute("aria-label")).startswith(start)


def rows(page: Chromium) -> list[dict[str, Any]]:
    """Save the rows as JSON."""
    page.find("#json").click()
    return [json.loads(line) for line in page.saved("mien.jsonl").decode().splitlines()]


def test_the_policy_of_the_page_is_the_one_that_the_tests_send() -> None:
    html = (WEB / "index.html").read_text(encoding="utf-8")
    meta = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert meta
    assert meta[1].startswith(CSP)


def test_a_picture_is_read_and_saved_as_picture_csv_and_json(fresh: Chromium) -> None:
    give(fresh, PORTRAIT)
    [reading] = mien.read(PORTRAIT)
    [row] = rows(fresh)
    assert row["source"] == "astronaut.jpg"
    assert row["emotion"] == reading.emotion
    assert (row["person"], row["shown"], row["frame"], row["time"]) == (None, None, 0, 0.0)
    fresh.find("#csv").click()
    [line] = csv.DictReader(io.StringIO(fresh.saved("mien.csv").decode()))
    assert line == {name: "" if value is None else str(value) for name, value in row.items()}
    fresh.find("#png").click()
    saved = PIL.Image.open(io.BytesIO(fresh.saved("astronaut-mien.png"))).convert("RGB")
    original = PIL.Image.open(PORTRAIT)
    assert saved.size == original.size
    changed = np.abs(np.asarray(saved, int) - np.asarray(original, int)).max(2) > 8
    x1, y1, x2, y2 = reading.face.box.round().astype(int)
    assert changed[y1 : y2 + 1, x1 : x2 + 1].mean() > 0.05  # the box's lines
    below = changed[y2 + 1 :]
    assert not below.any()


def test_several_pictures_line_up_and_a_broken_one_is_named(fresh: Chromium, tmp_path: Path) -> None:
    empty, broken = tmp_path / "gray.png", tmp_path / "broken.jpg"
    PIL.Image.new("RGB", (90, 60), "gray").save(empty)
    broken.write_bytes(PORTRAIT.read_bytes()[:900])
    give(fresh, broken, PORTRAIT, empty)
    assert error(fresh) == "broken.jpg cannot be read as a picture: is it a whole JPEG, PNG or WebP file?"
    assert len(fresh.driver.find_elements("css selector", "#strip label")) == 2
    assert [row["source"] for row in rows(fresh)] == ["astronaut.jpg"]
    fresh.find('#strip [aria-label="gray.png"]').click()
    wait_until(partial(described, fresh, "gray.png: no face"))
    assert "No face" in fresh.find("#faces").text
    fresh.find("#strip button").click()
    assert described(fresh, "No picture yet")
    assert fresh.find("#empty").is_displayed()


def test_the_other_network_reads_the_pictures_again(fresh: Chromium) -> None:
    give(fresh, PORTRAIT)
    [small] = rows(fresh)
    fresh.find("#size [value=m]").click()
    wait_until(lambda: re.search(r"ms$", status(fresh)) and rows(fresh) != [small])
    [large] = rows(fresh)
    assert large["happy"] == pytest.approx(float(mien.read(PORTRAIT, model="m")[0].scores[3]), abs=0.01)
    assert large["happy"] != small["happy"]


def test_a_picture_can_be_pasted_and_dropped(fresh: Chromium) -> None:
    for event, kind, key in (("paste", "ClipboardEvent", "clipboardData"), ("drop", "DragEvent", "dataTransfer")):
        fresh.run(f"""
            const files = new DataTransfer();
            files.items.add(new File([await (await fetch("/assets/astronaut.jpg")).blob()], "{event}.jpg"));
            document.dispatchEvent(new {kind}("{event}", {{ {key}: files, bubbles: true, cancelable: true }}));
        """)
        wait_until(partial(described, fresh, f"{event}.jpg: happy"))


def test_everything_works_by_keyboard(fresh: Chromium) -> None:
    from selenium.webdriver import ActionChains, Keys

    def press(*keys: str) -> None:
        ActionChains(fresh.driver).send_keys(*keys).perform()

    def focused() -> str:
        return str(fresh.run("return document.activeElement.id || document.activeElement.value || ''"))

    met = []
    for _ in range(8):
        press(Keys.TAB)
        met.append(focused())
    assert met[:5] == ["sample", "choose", "camera", "film", "tray"]
    fresh.run('document.getElementById("sample").focus()')
    press(Keys.ENTER)
    wait_until(lambda: "ms" in status(fresh))
    reached = set()
    for _ in range(12):
        press(Keys.TAB)
        reached.add(focused())
    assert {"png", "csv", "json", "s"} <= reached
    fresh.run('document.querySelector("#size input").focus()')
    press(Keys.ARROW_RIGHT)
    wait_until(lambda: fresh.find("#size [value=m]").is_selected() and "ms" in status(fresh))


def test_axe_finds_nothing_with_and_without_a_picture_by_day_and_by_night(fresh: Chromium) -> None:
    axe = (WEB / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    fresh.driver.execute_script(axe)
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        fresh.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        found = fresh.run("return (await axe.run()).violations.map(({ id, nodes }) => [id, nodes.map((n) => n.html)])")
        assert found == []
        give(fresh, PORTRAIT)


def test_nothing_moves_when_a_picture_comes(fresh: Chromium) -> None:
    places = """return [...document.querySelectorAll("section, aside, button, #tray, #bars li, footer")]
        .map((each) => { const box = each.getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })"""
    before = fresh.run(places.replace("button", "#save button"))
    give(fresh, PORTRAIT)
    assert fresh.run(places.replace("button", "#save button")) == before


def test_nothing_is_fetched_from_anywhere_else_and_no_policy_is_broken(
    chromium: Opened, site: Site, tmp_path: Path
) -> None:
    """Every request of the page, its worker and its service worker is in Chromium's log, beside those of its own."""
    page = chromium(f"--log-net-log={tmp_path / 'net.json'}", *FAKE_CAMERA)
    give(page, PORTRAIT)
    page.find("#camera").click()
    wait_until(lambda: page.run("return Number(document.body.dataset.rate) > 0"))
    page.find("#stop").click()
    said = [entry["message"] for entry in page.driver.get_log("browser")]  # type: ignore[no-untyped-call]
    page.close()
    log = json.loads((tmp_path / "net.json").read_text(encoding="utf-8"))
    asked = [event["params"] for event in log["events"] if "url" in event.get("params", {})]
    ours = [each for each in asked if "127.0.0.1" in f"{each.get('initiator')} {each.get('network_isolation_key')}"]
    assert len(ours) > 10
    assert {urlsplit(each["url"]).netloc for each in ours} == {urlsplit(site.url).netloc}
    assert said == []


def test_the_page_works_offline_after_the_first_visit(chromium: Opened, site: Site) -> None:
    before = len(site.requests)
    page = chromium()
    large = [path for path in site.requests[before:] if re.search(r"worker|wasm|onnx", path)]
    assert len(large) == len(set(large)) == 6  # nothing large is fetched twice
    site.refuse = True
    try:
        page.open(site.url)
        page.run(OPENED)
        page.find("#sample").click()
        wait_until(lambda: status(page).startswith("1 face"))
        page.find("#size [value=m]").click()
        assert "emotion-m.onnx could not be loaded" in error(page)
        assert page.find("#size [value=s]").is_selected()
    finally:
        site.refuse = False
    page.find("#size [value=m]").click()
    wait_until(
        lambda: page.run('return (await (await caches.open("mien")).keys()).some(({url}) => /-m.onnx/.test(url))')
    )


def test_a_new_version_fetches_what_has_changed_alone(chromium: Opened, site: Site) -> None:
    page = chromium()
    built = site.files / "sw.js", site.files / "style.css"
    script, style = (path.read_text(encoding="utf-8") for path in built)
    before = len(site.requests)
    site.newer["/style.css"] = f"{style} :root {{ --newer: yes }}".encode()
    site.newer["/sw.js"] = re.sub(r'("style.css":")[^"]*', r"\1newer", script).encode()
    try:
        page.open(site.url)  # with what is kept; in the meantime the new version is fetched
        kept = 'return (await (await caches.open("mien")).keys()).map(({ url }) => url).join()'
        wait_until(lambda: "newer" in page.run(kept))

        def taken_over() -> bool:
            page.open(site.url)
            return "yes" in page.run('return getComputedStyle(document.documentElement).getPropertyValue("--newer")')

        wait_until(taken_over)
    finally:
        site.newer.clear()
    assert set(site.requests[before:]) == {"/sw.js", "/style.css"}


def test_a_camera_is_watched_and_its_rows_are_saved(chromium: Opened, film: Callable[..., Path]) -> None:
    recorded = film("camera.mjpeg", (640, 480), frames=60, rate=30, codec="mjpeg", pix_fmt="yuvj420p")
    page = chromium(*FAKE_CAMERA, f"--use-file-for-fake-video-capture={recorded}")
    page.find("#camera").click()
    wait_until(lambda: page.find("#people").text.startswith("Person 1"))
    wait_until(lambda: page.run("return Number(document.body.dataset.rate) > 4"))
    assert "mostly happy" in page.find("#people canvas").get_attribute("aria-label")
    page.find("#pause").click()
    wait_until(lambda: page.find("#pause").get_attribute("aria-pressed") == "true")
    page.find("#pause").click()
    page.find("#stop").click()
    found = rows(page)
    assert len(found) > 4
    assert {(row["source"], row["person"], row["shown"]) for row in found} == {("camera", 1, "happy")}
    times = [row["time"] for row in found]
    assert times == sorted(set(times))


def test_a_video_is_watched_to_its_end_as_python_watches_it(fresh: Chromium, film: Callable[..., Path]) -> None:
    path = film("pan.webm", (640, 480), frames=40, rate=20, codec="libvpx", options={"b": "4M"})
    fresh.find("#videos").send_keys(str(path))
    wait_until(lambda: "has ended" in status(fresh))
    wanted = {round(result.frame.time, 2): result.readings for result in mien.watch(path)}
    found = rows(fresh)
    assert len(found) > 8
    for row in found:
        [reading] = wanted[round(row["time"], 2)]
        box = np.array([[row[side] for side in SIDES]], np.float32)
        assert iou(box, reading.face.box[None])[0, 0] > 0.8  # one search may have been at another frame
        assert (row["emotion"], row["person"]) == (reading.emotion, reading.person)
        assert row["happy"] == pytest.approx(float(reading.scores[3]), abs=0.1)


def test_what_is_no_video_is_said_in_one_line(fresh: Chromium, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all")
    fresh.find("#videos").send_keys(str(broken))
    assert error(fresh) == "broken.mp4 cannot be played by this browser: try MP4 (H.264) or WebM"
    fresh.find("#error button").click()
    assert fresh.find("#error").text == ""


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("NotAllowedError", "The camera may not be used: allow it for this page in the browser, then try again"),
        ("NotFoundError", "No camera was found: connect one, then try again"),
        ("NotReadableError", "The camera is busy: close the program that uses it, then try again"),
    ],
)
def test_a_camera_that_cannot_be_used_is_said_in_one_line(fresh: Chromium, name: str, line: str) -> None:
    failing = f"async () => {{ throw new DOMException('', '{name}'); }}"
    fresh.run(f"navigator.mediaDevices.getUserMedia = {failing}")
    fresh.find("#camera").click()
    assert error(fresh) == line


def test_a_real_refusal_and_a_missing_camera_are_said_in_one_line(chromium: Opened) -> None:
    page = chromium("--deny-permission-prompts")
    page.find("#camera").click()
    assert re.match(r"(No camera was found|The camera may not be used): ", error(page))


def test_a_browser_without_simd_is_told_so(page: Chromium, site: Site) -> None:
    script = "WebAssembly.validate = () => false"
    added = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": script})
    page.open(site.url)
    assert error(page).startswith("This browser is too old to run the networks (it lacks WebAssembly SIMD)")
    assert not page.find("#choose").is_enabled()
    page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
