/** The page: what is opened goes to the engine, and what comes back onto the screen and into files. */

import { BrowserEngine, PlainError } from "./engine.js";
import { byId, element, keyOf, People, Strip } from "./panel.js";
import { toCsv, toJson } from "./rows.js";
import { Screen } from "./screen.js";
import { close, openCamera, openVideo, save, sorted, watch } from "./sources.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./panel.js").Picture} Picture */

const KEPT = 200_000; // rows of a stream, two hours of one face: older ones are dropped
const PANEL_EVERY = 120; // milliseconds, in which numbers that change can be read

/** @type {import("./engine.js").Engine} */
let engine;
/** @type {Picture[]} */
let pictures = [];
/** @type {Picture | null} */
let current = null;
/** What is watched. @type {{video: HTMLVideoElement, stop: () => void} | null} */
let stream = null;
/** @type {Row[]} */
let streamed = [];
let [opened, reading, failed] = [0, false, false]; // how many streams were asked for; are pictures being read; no engine

const hint = byId("hint");
const screen = new Screen();
const strip = new Strip(showPicture, clear);
let people = new People();

// --- the engine

async function start() {
  try {
    await throughCache();
    engine = new BrowserEngine();
    await engine.open("s");
    say("Ready");
    document.body.dataset.engine = "ready";
  } catch (error) {
    complain(error);
    say("Not ready");
    failed = true;
    for (const id of ["choose", "camera", "film", "sample"]) byId(id).disabled = true;
  }
}

/** Wait until the service worker, which keeps what comes through it, hears what this page loads. */
async function throughCache() {
  const workers = navigator.serviceWorker;
  if (!workers || workers.controller) return;
  const controlled = new Promise((resolve) => workers.addEventListener("controllerchange", resolve, { once: true }));
  const late = new Promise((resolve) => setTimeout(resolve, 1000)); // the page works without as well
  const registered = workers.register("sw.js").then(() => workers.ready).then((ready) => ready.active?.postMessage("claim"));
  await Promise.race([registered.then(() => controlled), late]).catch(() => null);
}

/** @param {"s" | "m"} size */
async function changeSize(size) {
  say(`Opening ${size.toUpperCase()}`);
  try {
    await ready;
    await engine.open(size);
    for (const picture of pictures) picture.rows = null; // each table holds the answers of one network
    if (pictures.length === 0) say("Ready");
    await readAll();
  } catch (error) {
    complain(error);
    say("Ready");
    byId("size").querySelector(`[value=${size === "s" ? "m" : "s"}]`).checked = true;
  }
}

// --- pictures

/** @param {File[]} files */
async function addPictures(files) {
  if (files.length === 0) return;
  stopStream();
  byId("tray").replaceChildren(strip.line);
  const added = files.map((file) => ({ file, name: file.name, rows: null }));
  pictures.push(...added);
  added.forEach((picture) => strip.add(picture));
  current = added[0];
  await ready;
  await readAll();
}

/** Read the pictures that were not read yet, one after the other; bad ones are named and left out. */
async function readAll() {
  if (reading || !engine || pictures.every((picture) => picture.rows)) return;
  reading = true;
  const began = performance.now();
  let count = 0;
  for (let next; (next = pictures.find((picture) => !picture.rows)); count++) {
    const left = pictures.filter((picture) => !picture.rows).length;
    say(left + count > 1 ? `Reading ${count + 1} of ${left + count}` : "Reading");
    try {
      next.rows = await engine.read(next.file, next.name);
      if (current === next && !stream) await showPicture(next);
    } catch (error) {
      complain(error);
      pictures = pictures.filter((picture) => picture !== next);
      strip.remove(next);
      if (current === next) current = pictures.find((picture) => picture.rows) ?? pictures[0] ?? null;
      if (current?.rows && !stream) await showPicture(current);
    }
    strip.show(current);
  }
  reading = false;
  if (stream) return;
  if (pictures.length === 0) return clear();
  const found = pictures.reduce((sum, picture) => sum + (picture.rows?.length ?? 0), 0);
  const where = pictures.length > 1 ? ` in ${pictures.length} pictures` : "";
  say(`${counted(found, "face")}${where} · ${counted(Math.round(performance.now() - began), "ms", "")}`);
}

/** Forget all pictures. */
function clear() {
  pictures.forEach((picture) => strip.remove(picture));
  [pictures, current] = [[], null];
  byId("tray").replaceChildren(hint);
  screen.clear();
  say("Ready");
}

/** @param {Picture} picture */
async function showPicture(picture) {
  current = picture;
  strip.show(picture);
  if (!picture.rows) return;
  const bitmap = await createImageBitmap(picture.file);
  if (current !== picture || stream) return bitmap.close();
  screen.chooseLargest(picture.rows);
  screen.show(bitmap, picture.rows, picture.name);
  screen.describe();
}

// --- cameras and videos

/** @param {() => Promise<HTMLVideoElement>} open @param {string} name */
async function addStream(open, name) {
  stopStream();
  const turn = ++opened;
  try {
    await ready;
    const video = await open();
    if (turn !== opened) return close(video); // something else was opened in the meantime
    await engine.restart();
    await follow(video, name);
  } catch (error) {
    stopStream();
    complain(error);
  }
}

/** @param {HTMLVideoElement} video @param {string} name */
async function follow(video, name) {
  people = new People();
  byId("tray").replaceChildren(people.list);
  streamed = [];
  /** @type {number[]} */
  const times = [];
  let drawn = 0;
  const watching = watch(video, name, async (bitmap, frame) => {
    const { rows, bitmap: seen } = await engine.watch(bitmap, frame);
    if (stream?.video !== video) return seen.close();
    streamed.push(...rows);
    if (streamed.length > KEPT) streamed = streamed.slice(-KEPT);
    people.add(rows);
    screen.show(seen, rows, name);
    const now = performance.now();
    times.push(now);
    while (times[0] < now - 1000) times.shift();
    document.body.dataset.rate = `${times.length}`;
    if (now - drawn < PANEL_EVERY) return;
    drawn = now;
    if (!rows.some((row, n) => keyOf(row, n) === screen.chosen)) screen.chooseLargest(rows);
    screen.describe();
    people.show(frame.time);
    byId("rate").textContent = `${times.length} a second`;
  });
  stream = { video, stop: watching.stop };
  toggle(true);
  say(name === "camera" ? "Watching the camera" : `Watching ${name}`);
  await watching.ended;
  if (stream?.video !== video) return;
  const dropped = watching.dropped();
  stopStream();
  say(`${name} has ended · ${counted(streamed.length, "row")}${dropped ? ` · ${counted(dropped, "frame")} dropped to keep up` : ""}`);
}

function stopStream() {
  opened++;
  if (!stream) return;
  const { stop } = stream;
  stream = null;
  stop();
  toggle(false);
  say("Stopped");
}

/** @param {boolean} playing */
function toggle(playing) {
  byId("open").hidden = playing;
  byId("playing").hidden = !playing;
  byId("rate").textContent = "";
  byId("pause").setAttribute("aria-pressed", "false");
  byId(playing ? "stop" : "camera").focus({ preventScroll: true });
}

async function pause() {
  if (!stream) return;
  const paused = !stream.video.paused;
  await (paused ? stream.video.pause() : stream.video.play());
  byId("pause").setAttribute("aria-pressed", `${paused}`);
}

// --- what is said

/** @param {string} text */
function say(text) {
  byId("status").textContent = text;
}

/** An error in one line. @param {unknown} error */
function complain(error) {
  const why = error instanceof PlainError ? error.message : `Something went wrong that should not (${error}): reload this page`;
  const button = element("button", { type: "button", textContent: "Close", onclick: () => byId("error").replaceChildren() });
  byId("error").replaceChildren(element("p", {}, why, button));
}

/** @param {number} count @param {string} what @param {string} plural */
const counted = (count, what, plural = "s") => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : plural}`;

// --- saving

async function savePicture() {
  const picture = await screen.picture();
  if (picture) save(picture, `${screen.shown?.name.replace(/\.[^.]*$/, "")}-mien.png`);
}

/** @returns {Row[]} of the stream that is watched or was last, else of all pictures */
function allRows() {
  return byId("people") ? streamed : pictures.flatMap((picture) => picture.rows ?? []);
}

// --- what people do

/** @param {FileList | DataTransfer | null} given */
function open(given) {
  const { pictures: files, videos } = sorted(given);
  if (failed) return;
  byId("error").replaceChildren();
  if (videos.length) addStream(() => openVideo(videos[0]), videos[0].name);
  else addPictures(files);
}

for (const [button, input] of [["choose", "pictures"], ["film", "videos"]]) {
  byId(button).onclick = () => byId(input).click();
  byId(input).onchange = () => {
    open(byId(input).files);
    byId(input).value = ""; // the same file may be chosen again
  };
}
byId("sample").onclick = async () => {
  const portrait = await (await fetch("astronaut.jpg")).blob();
  addPictures([new File([portrait], "astronaut.jpg", { type: "image/jpeg" })]);
};
byId("camera").onclick = () => {
  byId("error").replaceChildren();
  addStream(openCamera, "camera");
};
byId("stop").onclick = stopStream;
byId("pause").onclick = pause;
byId("png").onclick = savePicture;
byId("csv").onclick = () => save(new Blob([toCsv(allRows())], { type: "text/csv" }), "mien.csv");
byId("json").onclick = () => save(new Blob([toJson(allRows())], { type: "application/jsonl" }), "mien.jsonl");
byId("size").onchange = (/** @type {any} */ event) => changeSize(event.target.value);

document.addEventListener("paste", (event) => event.clipboardData?.files.length && open(event.clipboardData));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
for (const end of ["dragleave", "drop"]) document.addEventListener(end, () => document.body.classList.remove("dropping"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  open(event.dataTransfer);
});

const ready = start();
