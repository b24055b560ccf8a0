/** A second look at what may be a face: bark, cloth and sand look like one at one place and of one size only. */

import { sampleAt } from "./pixels.js";
import { BEYOND, sigmoid, squares } from "./stage.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./stage.js").Candidates} Candidates */

const f = Math.fround;
const LOW = 0.2; // the quantile of the scores of a second look that is the confidence
const DARK = 160; // a face whose bright pixels are under this is looked at with these at `LIT`
const LIT = 200;

/** How far the square lies to the right and below, in sides, and its side. */
const VIEWS = [[0, 0, 1], [-0.1, 0, 1], [0.1, 0, 1], [0, -0.1, 1], [0, 0.1, 1], [0, 0, 0.85], [0, 0, 1.2]];

/**
 * A low score of each candidate over VIEWS, upright by its landmarks, mirrored and, if dark, lit.
 * @param {import("./stage.js").Stage} onet @param {Image} image @param {Candidates} found @returns {Promise<number[]>}
 */
export async function secondLook(onet, image, { boxes, landmarks }) {
  const { side, outputs } = onet;
  const scores = [];
  const square = squares(boxes);
  for (let n = 0; n < boxes.length / 4; n++) {
    const patches = lit(views(image, square.subarray(4 * n, 4 * n + 4), landmarks.subarray(10 * n, 10 * n + 10), side));
    const said = [await onet.run(patches), await onet.run(mirrored(patches, side))];
    scores.push(quantile(said.flatMap((each) => VIEWS.map((_, view) => sigmoid(each[view * outputs])))));
  }
  return scores;
}

/** A box in all views, upright: RGB bytes (views, side, side, 3). @param {Image} image @param {Float32Array} box @param {Float32Array} points @param {number} side */
function views(image, [x1, y1, x2, y2], points, side) {
  const turn = (/** @type {number} */ axis) => f(f(points[2 + axis] - points[axis]) + f(points[8 + axis] - points[6 + axis]));
  const roll = f(Math.atan2(turn(1), turn(0)));
  const [cos, sin, size] = [f(Math.cos(roll)), f(Math.sin(roll)), f(x2 - x1)];
  const [x, y] = [f(f(x1 + x2) / 2), f(f(y1 + y2) / 2)];
  const steps = Float32Array.from({ length: side }, (_, n) => f(n / (side - 1)) - 0.5);
  const across = new Float32Array(VIEWS.length * side * side);
  const down = new Float32Array(across.length);
  let at = 0;
  for (const [dx, dy, scale] of VIEWS) {
    for (let row = 0; row < side; row++) {
      const below = f(f(dy) + f(f(scale) * steps[row]));
      for (let column = 0; column < side; column++, at++) {
        const right = f(f(dx) + f(f(scale) * steps[column]));
        across[at] = x + f(size * f(f(cos * right) - f(sin * below)));
        down[at] = y + f(size * f(f(sin * right) + f(cos * below)));
      }
    }
  }
  const out = new Uint8Array(3 * across.length);
  sampleAt(image, across, down, BEYOND, out);
  return out;
}

/** Dark patches made lighter. @param {Uint8Array} patches */
function lit(patches) {
  const counts = new Uint32Array(256);
  for (const byte of patches) counts[byte]++;
  const at = 0.99 * (patches.length - 1);
  const bright = Math.max(20, between(sortedAt(counts, Math.floor(at)), sortedAt(counts, Math.ceil(at)), at % 1));
  const gain = f(LIT / bright);
  return bright < DARK ? patches.map((byte) => Math.min(255, f(byte * gain))) : patches;
}

/** Of so many bytes of each value, the one at a place of their order. @param {Uint32Array} counts @param {number} place */
function sortedAt(counts, place) {
  let value = 0;
  for (let passed = counts[0]; passed <= place; passed += counts[value]) value++;
  return value;
}

/** @param {Uint8Array} patches (n, side, side, 3) @param {number} side */
function mirrored(patches, side) {
  const out = new Uint8Array(patches.length);
  for (let line = 0; line < patches.length; line += 3 * side) {
    for (let x = 0; x < side; x++) {
      const from = line + 3 * (side - 1 - x);
      for (let c = 0; c < 3; c++) out[line + 3 * x + c] = patches[from + c];
    }
  }
  return out;
}

/** @param {number[]} scores */
function quantile(scores) {
  const sorted = Float32Array.from(scores).sort();
  const at = LOW * (sorted.length - 1);
  return f(between(sorted[Math.floor(at)], sorted[Math.ceil(at)], at % 1));
}

/** @param {number} low @param {number} high @param {number} share */
const between = (low, high, share) => low + (high - low) * share;
