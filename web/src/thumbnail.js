/** How a face looks, small, by which people are known again. */

import { blank, luma, rint, shrink } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */

const SIDE = 8; // pixels of the thumbnail
const AROUND = 1.6; // sides of the face that it shows: hair and neck tell people apart as well
const SAMPLES = 48; // pixels of the frame along a side of the thumbnail, at least, of which it is made

/** The face and what is around it as a thumbnail of mean 0 and length 1. @param {Image} image @param {Float32Array} box */
export function lookOf(image, [x1, y1, x2, y2]) {
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const half = (AROUND * Math.max(Math.sqrt((x2 - x1) * (y2 - y1)), 1)) / 2;
  const step = Math.max(1, Math.floor((2 * half) / SAMPLES));
  const across = along(x - half, x + half, image.width, step);
  const down = along(y - half, y + half, image.height, step);
  const part = blank(across.length, down.length, 1);
  let to = 0;
  for (const row of down) {
    for (const column of across) part.data[to++] = luma(image.data, (row * image.width + column) * image.channels);
  }
  const values = Float32Array.from(shrink(part, SIDE, SIDE).data);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return unit(values.map((value) => value - mean));
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
