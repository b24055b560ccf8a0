/** How a face looks, by thumbnails: enough to tell the people of one stream apart; as in src/mien/see/look.py. */

import { blank, cut, luma, rint, shrink } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */

const SIDE = 8; // pixels of each of the two thumbnails that stand for a face
const AROUND = 1.6; // sides of the face that the one shows: hair and neck tell people apart as well; the other shows one
const SAMPLES = 48; // pixels of the frame along a side of what the larger shows, at least, of which it is made
export const SURE = 0.98; // confidence that a face has at some time: what never has it is mostly none, or behind something
const WHOLE = 0.9; // of a face must lie in the frame, and apart from the others, for its look to be remembered

/**
 * How a face looks, whatever the light, of length 1: the face with what is around it, and the face.
 *
 * The product of two is the mean correlation of their thumbnails, in [-1, 1].
 * @param {Image} image @param {Float32Array} box @returns {Float32Array}
 */
export function lookOf(image, [x1, y1, x2, y2]) {
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const half = (AROUND / 2) * Math.max(Math.sqrt((x2 - x1) * (y2 - y1)), 1);
  const step = Math.max(1, Math.floor((2 * half) / SAMPLES));
  const across = along(x - half, x + half, image.width, step);
  const down = along(y - half, y + half, image.height, step);
  const part = blank(across.length, down.length, 1);
  let to = 0;
  for (const row of down) {
    for (const column of across) part.data[to++] = luma(image.data, (row * image.width + column) * image.channels);
  }
  const [left, right] = inner(part.width);
  const [top, bottom] = inner(part.height);
  const face = cut(part, { x1: left, y1: top, x2: right, y2: bottom });
  return Float32Array.of(...normal(shrink(part, SIDE, SIDE).data), ...normal(shrink(face, SIDE, SIDE).data));
}

/** Where the face itself begins and ends along a side. @param {number} size */
const inner = (size) => [rint((size * (1 - 1 / AROUND)) / 2), rint((size * (1 + 1 / AROUND)) / 2)];

/** Of mean 0, and of such a length that two of them have length 1. @param {Uint8Array} small */
function normal(small) {
  const mean = Math.fround(small.reduce((sum, value) => sum + value, 0) / small.length);
  const values = Float32Array.from(small, (value) => value - mean);
  const length = Math.sqrt(2 * values.reduce((sum, value) => sum + value * value, 0));
  return values.map((value) => value / Math.max(length, 1e-6));
}

/**
 * Whether each face is surely one, in the frame as a whole, and neither before nor behind another: only then does its
 * look show the person, who is known again by it.
 * @param {Image} image @param {Face[]} faces
 */
export function areClear(image, faces) {
  const frame = Float32Array.of(0, 0, image.width, image.height);
  return faces.map(({ box, confidence }) => {
    const others = faces.reduce((sum, other) => sum + shared(box, other.box), 0);
    return confidence >= SURE && others - shared(box, frame) <= Math.fround(1 - WHOLE) * shared(box, box);
  });
}

/** The area that two boxes share. @param {Float32Array} a @param {Float32Array} b */
function shared(a, b) {
  const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  return Math.max(0, across) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
}

/** Every `step`-th pixel from one place to another; beyond the picture its outermost one goes on. @param {number} from @param {number} to @param {number} size @param {number} step */
function along(from, to, size, step) {
  const [first, last] = [rint(from), rint(to)];
  const places = [];
  for (let at = Math.min(Math.max(first, 0), size - 1); at < Math.max(Math.min(last, size), 1); at += step) places.push(at);
  const before = new Array(Math.max(0, Math.floor(-first / step))).fill(places[0]);
  const after = new Array(Math.max(0, Math.floor((last - size) / step))).fill(places.at(-1));
  return [...before, ...places, ...after];
}

/** @param {Float32Array} look @returns {Float32Array} of length 1 */
export function unit(look) {
  const length = Math.sqrt(look.reduce((sum, value) => sum + value * value, 0));
  return look.map((value) => value / Math.max(length, 1e-6));
}
