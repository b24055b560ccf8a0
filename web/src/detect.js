/**
 * MTCNN: an image pyramid and three networks give the boxes and landmarks of the faces in a picture.
 *
 * Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks",
 * IEEE SPL 23(10), arXiv:1604.02878. The steps, and where they round to float32, are those of src/mien/see/detect.py.
 */

import { cut, halved, sample, shrink } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */

/** A network: RGB bytes (n, height, width, 3) in, `outputs` out. @typedef {(bytes: Uint8Array, shape: number[]) => Promise<Float32Array>} Net */

/** What may be faces: n scores in [0, 1], 4n box sides, 10n landmark coordinates. @typedef {{scores: Float32Array, boxes: Float32Array, landmarks: Float32Array}} Candidates */

const f = Math.fround;
const CELL = 12; // pixels: the proposal network judges 12-pixel cells, one at every second pixel
const STRIDE = 2;
const FACTOR = 0.709; // from one level of the pyramid to the next; the square root of 1/2, as in the paper
const THRESHOLDS = [0.6, 0.7, 0.8]; // that a candidate must exceed at each of the networks
const TILE = 256; // pixels of a side of a level that are judged at a time, for the sake of memory
const BATCH = 16; // patches judged at a time
const BEYOND = 128; // the gray that is seen beyond a picture

/** Finds faces. */
export class Detector {
  /**
   * @param {{pnet: Net, rnet: Net, onet: Net}} nets
   * @param {number} minFace side in pixels of the smallest face looked for; halving it costs four times the time
   * @param {number} longestSide a picture with a longer one is searched as if it were shrunk to that
   */
  constructor(nets, minFace = 20, longestSide = 1920) {
    this.nets = nets;
    this.minFace = minFace;
    this.longestSide = longestSide;
  }

  /** The faces in a picture, the surest first. @param {Image} image @returns {Promise<Face[]>} */
  async find(image) {
    const scale = Math.min(1, this.longestSide / Math.max(image.width, image.height));
    const searched = scale < 1 ? resized(image, scale) : image;
    let found = await this.judge("rnet", searched, squares(await this.propose(searched)));
    found = nms(surer(found, THRESHOLDS[1]), 0.7);
    found = await this.judge("onet", searched, squares(found.boxes));
    return faces(nms(surer(found, THRESHOLDS[2]), 0.7, true), scale);
  }

  /**
   * The face at each box, or null where there is none, by the output network alone: enough to follow a face.
   * @param {Image} image @param {Float32Array[]} boxes @returns {Promise<(Face | null)[]>}
   */
  async refine(image, boxes) {
    const found = await this.judge("onet", image, squares(Float32Array.from(boxes.flatMap((box) => [...box]))));
    return faces(found, 1).map((face) => (face.confidence > THRESHOLDS[2] ? face : null));
  }

  /** Boxes that the proposal network takes for faces at some level of the pyramid. @param {Image} image */
  async propose(image) {
    /** @type {Candidates[]} */
    const levels = [];
    for (const [level, scale] of pyramid(image, this.minFace)) {
      levels.push(nms(await this.cells(level, scale), 0.5));
    }
    return nms(joined(levels), 0.7).boxes;
  }

  /** The cells of a level that may be faces, as boxes of the picture. @param {Image} level @param {number} scale @returns {Promise<Candidates>} */
  async cells(level, scale) {
    const outputs = await this.scoreCells(level);
    const [rows, columns] = [cellsOf(level.height), cellsOf(level.width)];
    const plane = rows * columns;
    const least = f(Math.log(THRESHOLDS[0] / (1 - THRESHOLDS[0])));
    const scores = [];
    const boxes = [];
    for (let at = 0; at < plane; at++) {
      if (outputs[at] <= least) continue;
      scores.push(sigmoid(outputs[at]));
      const corner = [(at % columns) * STRIDE, Math.floor(at / columns) * STRIDE];
      for (let side = 0; side < 4; side++) {
        // The network learned to count pixels from 1 and the last one in: its cells are 1 to 12.
        const start = corner[side & 1] + (side < 2 ? 1 : CELL);
        boxes.push((start + f(outputs[(1 + side) * plane + at] * (CELL - 1))) / scale);
      }
    }
    return candidates(scores, boxes);
  }

  /** The proposal network's outputs on all cells of a level, (5, rows, columns), taken tile by tile. @param {Image} level */
  async scoreCells(level) {
    const [rows, columns] = [cellsOf(level.height), cellsOf(level.width)];
    const outputs = new Float32Array(5 * rows * columns);
    const step = (TILE - CELL) / STRIDE + 1; // the cells of a tile, which overlap by what the next cell shares
    for (let row = 0; row < rows; row += step) {
      for (let column = 0; column < columns; column += step) {
        const [x1, y1] = [column * STRIDE, row * STRIDE];
        const tile = cut(level, { x1, y1, x2: Math.min(x1 + TILE, level.width), y2: Math.min(y1 + TILE, level.height) });
        const judged = await this.nets.pnet(tile.data, [1, tile.height, tile.width, 3]);
        const [high, wide] = [cellsOf(tile.height), cellsOf(tile.width)];
        for (let line = 0; line < 5 * high; line++) {
          const target = (Math.floor(line / high) * rows + row + (line % high)) * columns + column;
          outputs.set(judged.subarray(line * wide, (line + 1) * wide), target);
        }
      }
    }
    return outputs;
  }

  /** What a network makes of square boxes: scores, better boxes and, from the output network, landmarks. @param {"rnet" | "onet"} net @param {Image} image @param {Float32Array} boxes @returns {Promise<Candidates>} */
  async judge(net, image, boxes) {
    const [side, values] = net === "rnet" ? [24, 5] : [48, 15];
    const found = candidates(new Float32Array(boxes.length / 4), boxes);
    for (let first = 0; first < boxes.length / 4; first += BATCH) {
      const batch = boxes.subarray(4 * first, 4 * (first + BATCH));
      const count = batch.length / 4;
      const outputs = await this.nets[net](patches(image, batch, side), [count, side, side, 3]);
      for (let n = 0; n < count; n++) {
        improve(found, first + n, outputs.subarray(n * values, (n + 1) * values));
      }
    }
    return found;
  }
}

/** The cells along a side of so many pixels. @param {number} side */
const cellsOf = (side) => Math.floor((side - CELL + 1) / STRIDE) + 1;

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

/** The picture at scales at which some face of at least `minFace` pixels fills a cell. @param {Image} image @param {number} minFace @returns {Generator<[Image, number]>} */
export function* pyramid(image, minFace) {
  const { width, height } = image;
  for (let scale = CELL / minFace; Math.min(width, height) * scale >= CELL; scale *= FACTOR) {
    // Halving whole pixels is fast and exact but for rounding; the small levels need no more than that.
    while (image.height >= 3 * scale * height && image.height % 2 === 0 && image.width % 2 === 0) image = halved(image);
    yield [shrink(image, Math.max(1, Math.trunc(width * scale)), Math.max(1, Math.trunc(height * scale))), scale];
  }
}

/** @param {Image} image @param {number} scale */
function resized(image, scale) {
  return shrink(image, Math.max(1, Math.trunc(image.width * scale)), Math.max(1, Math.trunc(image.height * scale)));
}

/** The boxes with their shorter side made as long as the longer, about the same centre. @param {Float32Array} boxes */
function squares(boxes) {
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
function patches(image, boxes, side) {
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
function nms(all, limit, ofSmaller = false) {
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
const indices = (count) => Array.from({ length: count }, (_, n) => n);

/** @param {ArrayLike<number>} scores @param {ArrayLike<number>} boxes @returns {Candidates} */
function candidates(scores, boxes) {
  return { scores: Float32Array.from(scores), boxes: Float32Array.from(boxes), landmarks: new Float32Array(10 * scores.length) };
}

/** @param {Candidates[]} parts @returns {Candidates} */
function joined(parts) {
  return candidates(parts.flatMap((part) => [...part.scores]), parts.flatMap((part) => [...part.boxes]));
}

/** @param {Candidates} all @param {number[]} which @returns {Candidates} */
function pick({ scores, boxes, landmarks }, which) {
  const of = (/** @type {Float32Array} */ values, /** @type {number} */ size) =>
    Float32Array.from({ length: which.length * size }, (_, at) => values[which[Math.floor(at / size)] * size + (at % size)]);
  return { scores: of(scores, 1), boxes: of(boxes, 4), landmarks: of(landmarks, 10) };
}

/** @param {Candidates} all @param {number} threshold @returns {Candidates} */
const surer = (all, threshold) => pick(all, indices(all.scores.length).filter((n) => all.scores[n] > f(threshold)));

/** @param {number} logit @returns {number} */
const sigmoid = (logit) => f(0.5 * f(1 + f(Math.tanh(f(logit / 2))))); // exp would overflow where the network is very sure

/** @param {Candidates} found @param {number} scale @returns {Face[]} */
function faces({ scores, boxes, landmarks }, scale) {
  const factor = f(scale);
  return Array.from(scores, (confidence, n) => ({
    box: boxes.slice(4 * n, 4 * n + 4).map((side) => side / factor),
    confidence,
    landmarks: landmarks.slice(10 * n, 10 * n + 10).map((at) => at / factor),
  }));
}
