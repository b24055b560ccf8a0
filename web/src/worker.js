/** The engine's worker: opens the networks in ONNX Runtime and knows the order of the steps. */

import * as ort from "onnxruntime-web/wasm";

import { classify } from "./classify.js";
import { Cuts } from "./cut.js";
import { decode, pixels } from "./decode.js";
import { Detector } from "./detect.js";
import { PlainError } from "./engine.js";
import { crop } from "./face.js";
import { Follower } from "./follow.js";
import { rows } from "./rows.js";
import { search } from "./search.js";
import { Smoother } from "./smooth.js";
import { Tracker } from "./track.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./rows.js").Frame} Frame */
/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./engine.js").Size} Size */
/** @typedef {import("./stage.js").Net} Net */

const FILES = { pnet: "pnet.onnx", rnet: "rnet.onnx", onet: "onet.onnx", s: "emotion.onnx", m: "emotion-m.onnx" };
const SMALLEST_FACE = 20; // pixels of the smallest face looked for in a picture
const SMALLEST_FACE_IN_STREAM = 40; // a search takes a third of the time so, and holds up no frame
const STREAM_SIDE = 960; // pixels: the search of a larger frame would hold up the stream

ort.env.wasm.numThreads = 1; // more need headers that static hosts do not send, and gain little

/** The networks, each opened once. @type {Map<keyof typeof FILES, Promise<Net>>} */
const nets = new Map();

/** @type {Size} */
let size = "s";
/** @type {Detector} */
let detector;
/** @type {{cuts: Cuts, follower: Follower, tracker: Tracker, smoother: Smoother}} */
let stream;

/** @param {keyof typeof FILES} name @returns {Promise<Net>} */
function net(name) {
  const opened = nets.get(name) ?? open(name);
  nets.set(name, opened);
  opened.catch(() => nets.delete(name)); // to be tried again
  return opened;
}

/** @param {keyof typeof FILES} name @returns {Promise<Net>} */
async function open(name) {
  const bytes = await download(FILES[name]);
  const options = {
    executionProviders: ["wasm"],
    enableMemPattern: false, // the shapes change from picture to picture: plans for each would only pile up
    logSeverityLevel: /** @type {const} */ (4),
  };
  const session = await ort.InferenceSession.create(bytes, options).catch((error) => {
    throw new PlainError(`The networks could not be started: reload this page (${error.message})`);
  });
  const input = session.inputNames[0];
  const output = name === "s" || name === "m" ? "official" : session.outputNames[0]; // FER2013's own labels
  return async (bytes, shape) => {
    const tensor = new ort.Tensor("uint8", bytes, shape);
    const found = await session.run({ [input]: tensor }, [output]);
    return /** @type {Float32Array} */ (found[output].data);
  };
}

/** @param {string} name @returns {Promise<Uint8Array>} */
async function download(name) {
  const response = await fetch(new URL(name, import.meta.url)).catch(() => null);
  if (!response?.ok) throw new PlainError(`The network ${name} could not be loaded: connect to the internet, then try again`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Open the networks and run each once, which compiles it. @param {Size} wanted */
async function prepare(wanted) {
  const [pnet, rnet, onet, emotion] = await Promise.all([net("pnet"), net("rnet"), net("onet"), net(wanted)]);
  size = wanted;
  if (detector) return;
  await pnet(new Uint8Array(128 * 128 * 3), [1, 128, 128, 3]);
  await rnet(new Uint8Array(24 * 24 * 3), [1, 24, 24, 3]);
  await onet(new Uint8Array(48 * 48 * 3), [1, 48, 48, 3]);
  await emotion(new Uint8Array(48 * 48), [1, 1, 48, 48]);
  detector = new Detector({ pnet, rnet, onet }, SMALLEST_FACE);
  restart();
}

/** Begin a stream. */
function restart() {
  const follower = new Follower(new Detector(detector.nets, SMALLEST_FACE_IN_STREAM, STREAM_SIDE));
  stream = { cuts: new Cuts(), follower, tracker: new Tracker(), smoother: new Smoother() };
}

/** @param {Blob} file @param {string} name @returns {Promise<Row[]>} */
async function read(file, name) {
  const bitmap = await decode(file, name);
  const image = pixels(bitmap);
  bitmap.close();
  const faces = await search(detector, image);
  return rows({ name, index: 0, time: 0 }, await readings(image, faces));
}

/** @param {ImageBitmap} bitmap @param {Frame} frame @returns {Promise<{rows: Row[], bitmap: ImageBitmap}>} */
async function watch(bitmap, frame) {
  const image = pixels(bitmap);
  const moment = stream.cuts.next(image, frame.time);
  const found = await readings(image, await stream.follower.find(image, moment));
  const people = stream.tracker.track(image, moment, found);
  const tracked = found.map((reading, n) => ({ ...reading, person: people[n] }));
  return { rows: rows(frame, stream.smoother.smooth(moment, tracked)), bitmap };
}

/** @param {Image} image @param {import("./face.js").Face[]} faces @returns {Promise<import("./face.js").Reading[]>} */
async function readings(image, faces) {
  const scores = await classify(await net(size), faces.map((face) => crop(image, face)));
  return faces.map((face, n) => ({ ...face, scores: scores[n], person: null, shown: null }));
}

/** @param {import("./engine.js").Question} question */
async function answer(question) {
  if (question.kind === "open") return prepare(question.size);
  if (question.kind === "read") return read(question.file, question.name);
  if (question.kind === "watch") return watch(question.bitmap, question.frame);
  return restart();
}

let last = Promise.resolve(); // one question after the other: a frame builds on the one before

self.onmessage = ({ data: { id, question } }) => {
  last = last.then(async () => {
    try {
      const given = await answer(question);
      self.postMessage({ id, answer: given }, { transfer: question.kind === "watch" ? [question.bitmap] : [] });
    } catch (error) {
      self.postMessage({ id, error: error instanceof Error ? error.message : `${error}`, plain: error instanceof PlainError });
    }
  });
};

