/** What may be faces: candidates, their overlap, and the networks that score and correct them in a picture. */

import { sample } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */

/** A network: RGB bytes (n, height, width, 3) in, `outputs` out. @typedef {(bytes: Uint8Array, shape: number[]) => Promise<Float32Array>} Net */

/** Boxes that may be faces: n scores in [0, 1], 4n box sides, 10n landmark coordinates. @typedef {{scores: Float32Array, boxes: Float32Array, landmarks: Float32Array}} Candidates */

const f = Math.fround;
const BATCH = 16; // patches scored at a time
export const BEYOND = 128; // the gray that is seen beyond a picture

/** One of the two later networks: it scores and corrects the boxes that the network before it proposes. */
export class Stage {
  /** @param {Net} net @param {number} side pixels of a patch @param {number} outputs a logit, four offsets, perhaps ten for the landmarks */
  constructor(net, side, outputs) {
    this.net = net;
    this.side = side;
    this.outputs = outputs;
  }

  /** Score square boxes and correct them. @param {Image} image @param {Float32Array} boxes @returns {Promise<Candidates>} */
  async judge(image, boxes) {
    const found = candidates(new Float32Array(boxes.length / 4), boxes);
    const outputs = await this.run(patches(image, boxes, this.side));
    for (let n = 0; n < found.scores.length; n++) improve(found, n, outputs.subarray(n * this.outputs, (n + 1) * this.outputs));
    return found;
  }

  /** What the network says of patches (n, side, side, 3): (n, outputs). @param {Uint8Array} patches */
  async run(patches) {
    const { side, outputs } = this;
    const size = side * side * 3;
    const said = new Float32Array((patches.length / size) * outputs);
    for (let first = 0; first * size < patches.length; first += BATCH) {
      const batch = patches.subarray(first * size, (first + BATCH) * size);
      said.set(await this.net(batch, [batch.length / size, side, side, 3]), first * outputs);
    }
    return said;
  }
}

/** Put a network's output on a candidate, (score, offsets, x and y of landmarks), in place of its box. @param {Candidates} found @param {number} n @param {Float32Array} output */
function improve({ scores, boxes, landmarks }, n, output) {
  const box = boxes.subarray(4 * n, 4 * n + 4);
  const [left, top] = box;
  const sizes = [f(f(box[2] - left) + 1), f(f(box[3] - top) + 1)]; // the last pixel belongs to the box
  scores[n] = sigmoid(output[0]);
  for (let side = 0; side < 4; side++) box[side] += f(output[1 + side] * sizes[side & 1]);
  if (output.length === 5) return;
  for (let point = 0; point < 5; point++) {
    landmarks[10 * n + 2 * point] = f(f(output[5 + point] * sizes[0]) + left) - 1;
    landmarks[10 * n + 2 * point + 1] = f(f(output[10 + point] * sizes[1]) + top) - 1;
  }
}

/** The boxes with their shorter side made as long as the longer, about the same centre. @param {Float32Array} boxes */
export function squares(boxes) {
  const out = new Float32Array(boxes.length);
  for (let n = 0; n < boxes.length; n += 4) {
    const half = f(Math.max(f(boxes[n + 2] - boxes[n]), f(boxes[n + 3] - boxes[n + 1])) / 2);
    for (let axis = 0; axis < 2; axis++) {
      const centre = f(f(boxes[n + axis] + boxes[n + 2 + axis]) / 2);
      out[n + axis] = centre - half;
      out[n + 2 + axis] = centre + half;
    }
  }
  return out;
}

/** The picture in each box, sampled at side x side points: (n, side, side, 3). @param {Image} image @param {Float32Array} boxes @param {number} side */
export function patches(image, boxes, side) {
  const out = new Uint8Array((boxes.length / 4) * side * side * 3);
  for (let n = 0; n < boxes.length / 4; n++) {
    const [x1, y1, x2, y2] = boxes.subarray(4 * n, 4 * n + 4);
    const across = points(x1, x2, side, image.width);
    sample(image, across, points(y1, y2, side, image.height), BEYOND, out, n * side * side * 3);
  }
  return out;
}

/** Points from one end to the other. The reference's, TensorFlow's crop_and_resize, span the picture less a pixel. @param {number} from @param {number} to @param {number} count @param {number} size */
function points(from, to, count, size) {
  const [length, factor] = [f(to - from), f(f(size - 1) / size)];
  return Float32Array.from({ length: count }, (_, step) => f(from + f(length * f(step / (count - 1)))) * factor);
}

/**
 * Those that overlap no surer one by more than `limit`, the surest first; one that is dropped still drops others.
 * The overlap is intersection over union or, `ofSmaller`, over the smaller of the two areas.
 * @param {Candidates} all @param {number} limit @param {boolean} ofSmaller @returns {Candidates}
 */
export function nms(all, limit, ofSmaller = false) {
  const { scores, boxes } = (all = pick(all, indices(all.scores.length).sort((a, b) => all.scores[b] - all.scores[a])));
  const share = f(ofSmaller ? limit : limit / (1 + limit)); // shared / (a + b - shared) > limit is less work so
  const bounds = new Float32Array(scores.length);
  let tallest = 0;
  for (let n = 0; n < scores.length; n++) {
    const [across, down] = [f(boxes[4 * n + 2] - boxes[4 * n]), f(boxes[4 * n + 3] - boxes[4 * n + 1])];
    bounds[n] = f(across * down) * share;
    tallest = Math.max(tallest, down);
  }
  const order = indices(scores.length).sort((a, b) => boxes[4 * a + 1] - boxes[4 * b + 1]); // from top to bottom
  const dropped = new Uint8Array(scores.length);
  for (let i = 0, first = 0; i < order.length; i++) {
    const a = order[i];
    while (boxes[4 * order[first] + 1] < boxes[4 * a + 1] - tallest) first++;
    for (let j = first; j < i; j++) {
      const b = order[j];
      const across = f(Math.min(boxes[4 * a + 2], boxes[4 * b + 2]) - Math.max(boxes[4 * a], boxes[4 * b]));
      const down = f(Math.min(boxes[4 * a + 3], boxes[4 * b + 3]) - Math.max(boxes[4 * a + 1], boxes[4 * b + 1]));
      if (across <= 0 || down <= 0) continue;
      const bound = ofSmaller ? Math.min(bounds[a], bounds[b]) : f(bounds[a] + bounds[b]);
      if (f(across * down) > bound) dropped[Math.max(a, b)] = 1; // the less sure one stands later
    }
  }
  return pick(all, indices(scores.length).filter((n) => !dropped[n]));
}

/** @param {number} count */
export const indices = (count) => Array.from({ length: count }, (_, n) => n);

/** @param {ArrayLike<number>} scores @param {ArrayLike<number>} boxes @returns {Candidates} */
export function candidates(scores, boxes) {
  return { scores: Float32Array.from(scores), boxes: Float32Array.from(boxes), landmarks: new Float32Array(10 * scores.length) };
}

/** @param {Candidates[]} parts @returns {Candidates} */
export function joined(parts) {
  return candidates(parts.flatMap((part) => [...part.scores]), parts.flatMap((part) => [...part.boxes]));
}

/** @param {Candidates} all @param {number[]} which @returns {Candidates} */
export function pick({ scores, boxes, landmarks }, which) {
  const of = (/** @type {Float32Array} */ values, /** @type {number} */ size) =>
    Float32Array.from({ length: which.length * size }, (_, at) => values[which[Math.floor(at / size)] * size + (at % size)]);
  return { scores: of(scores, 1), boxes: of(boxes, 4), landmarks: of(landmarks, 10) };
}

/** @param {Candidates} all @param {number} threshold @returns {Candidates} */
export const surer = (all, threshold) => pick(all, indices(all.scores.length).filter((n) => all.scores[n] > f(threshold)));

/** @param {number} logit @returns {number} */
export const sigmoid = (logit) => f(0.5 * f(1 + f(Math.tanh(f(logit / 2))))); // exp would overflow where the network is very sure

/** @param {Candidates} found @param {number} scale @returns {Face[]} */
export function faces({ scores, boxes, landmarks }, scale) {
  const factor = f(scale);
  return Array.from(scores, (confidence, n) => ({
    box: boxes.slice(4 * n, 4 * n + 4).map((side) => side / factor),
    confidence,
    landmarks: landmarks.slice(10 * n, 10 * n + 10).map((at) => at / factor),
    turn: 0,
  }));
}
