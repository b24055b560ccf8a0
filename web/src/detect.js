/**
 * MTCNN: an image pyramid and three networks give the boxes and landmarks of the faces in a picture.
 *
 * Zhang, Zhang, Li, Qiao 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks",
 * IEEE SPL 23(10), arXiv:1604.02878. The steps, figures and where they round to float32 are those of
 * src/mien/see/detect.py.
 */

import { cut, halved, rint, shrink } from "./pixels.js";
import { secondLook } from "./look.js";
import { candidates, faces, indices, joined, nms, patches, pick, sigmoid, squares, Stage, surer } from "./stage.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */
/** @typedef {import("./stage.js").Net} Net */
/** @typedef {import("./stage.js").Candidates} Candidates */

const f = Math.fround;
const CELL = 12; // pixels: the proposal network scores cells of 12 x 12, one at every second pixel
const STRIDE = 2;
const FACTOR = 0.709; // from one level of the pyramid to the next; the square root of 1/2, as in the paper
const TILE = 256; // pixels of a side of a level that are scored at a time, for the sake of memory

const THRESHOLDS = [0.6, 0.7, 0.7]; // scores from which on a candidate passes each of the three networks
export const SURE = f(0.99); // confidence from which on nobody looks a second time
const LEAST_SMALL = f(0.76); // confidence after the second look, under so many pixels, and of the rest:
const SMALL = 36;
const LEAST = f(0.54);
const STILL_THERE = f(0.8); // confidence from which on a face that is followed is still one

const CLOSE_UP = f(0.95); // confidence of a face that fills the picture
const CLOSE_UP_SIDE = 192; // pixels of the shorter side of a picture in which one is looked for
const CLOSE_UP_SIZES = [0.75, 0.9, 1.05, 1.2]; // of that side

/** Finds faces. */
export class Detector {
  /**
   * @param {{pnet: Net, rnet: Net, onet: Net}} nets
   * @param {number} minFace side in pixels of the smallest face looked for; halving it costs four times the time
   * @param {number} longestSide a picture with a longer one is searched as if it were shrunk to that
   */
  constructor(nets, minFace = 20, longestSide = 1920) {
    this.nets = nets;
    this.rnet = new Stage(nets.rnet, 24, 5);
    this.onet = new Stage(nets.onet, 48, 15);
    this.minFace = minFace;
    this.longestSide = longestSide;
  }

  /** The faces in a picture, the highest confidence first. @param {Image} image @returns {Promise<Face[]>} */
  async find(image) {
    const scale = Math.min(1, this.longestSide / Math.max(image.width, image.height));
    const searched = scale < 1 ? resized(image, scale) : image;
    let found = await this.rnet.judge(searched, squares(await this.propose(searched)));
    found = nms(surer(found, THRESHOLDS[1]), 0.7);
    found = await this.onet.judge(searched, squares(found.boxes));
    found = nms(surer(found, THRESHOLDS[2]), 0.7, true);
    return faces(await this.confirmed(searched, found), scale);
  }

  /** One face that fills a picture, or nearly, which the proposal network takes for no face. @param {Image} image @returns {Promise<Face[]>} */
  async closeUp(image) {
    const scale = Math.min(1, CLOSE_UP_SIDE / Math.min(image.width, image.height));
    const small = scale < 1 ? shrink(image, rint(image.width * scale), rint(image.height * scale)) : image;
    const found = await this.onet.judge(small, aboutAllOf(small));
    const best = found.scores.reduce((most, score, n) => (score >= found.scores[most] ? n : most), 0);
    return faces(pick(found, found.scores[best] >= CLOSE_UP ? [best] : []), scale);
  }

  /**
   * The face at each box, or null where there is none, by the output network alone: enough to follow a face.
   * @param {Image} image @param {Float32Array[]} boxes @returns {Promise<(Face | null)[]>}
   */
  async refine(image, boxes) {
    const found = await this.onet.judge(image, squares(Float32Array.from(boxes.flatMap((box) => [...box]))));
    return faces(found, 1).map((face) => (face.confidence > STILL_THERE ? face : null));
  }

  /** The scores of a face as it is, and turned by 90, 180 and 270 degrees: where it stands it has the highest. @param {Image} image @param {Face} face */
  async scoresTurned(image, face) {
    const { side, outputs } = this.onet;
    const size = side * side * 3;
    const all = new Uint8Array(4 * size);
    all.set(patches(image, squares(face.box), side));
    for (let quarter = 1; quarter < 4; quarter++) {
      for (let y = 0, to = quarter * size; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const from = (quarter - 1) * size + (x * side + side - 1 - y) * 3; // counter-clockwise
          for (let c = 0; c < 3; c++) all[to++] = all[from + c];
        }
      }
    }
    const said = await this.onet.run(all);
    return [0, 1, 2, 3].map((n) => sigmoid(said[n * outputs]));
  }

  /**
   * Look a second time at what is not sure, and keep what stays likely, the highest confidence first.
   * @param {Image} image @param {Candidates} found @returns {Promise<Candidates>}
   */
  async confirmed(image, found) {
    const unsure = indices(found.scores.length).filter((n) => found.scores[n] < SURE);
    if (unsure.length > 0) {
      const scores = await secondLook(this.onet, image, pick(found, unsure));
      unsure.forEach((n, at) => (found.scores[n] = scores[at]));
      found = pick(found, indices(found.scores.length).sort((a, b) => found.scores[b] - found.scores[a]));
    }
    const { boxes } = found;
    const likely = indices(found.scores.length).filter((n) => {
      const side = Math.max(f(boxes[4 * n + 2] - boxes[4 * n]), f(boxes[4 * n + 3] - boxes[4 * n + 1]));
      return found.scores[n] >= (side < SMALL ? LEAST_SMALL : LEAST);
    });
    return pick(found, likely);
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
}

/** The cells along a side of so many pixels. @param {number} side */
const cellsOf = (side) => Math.floor((side - CELL + 1) / STRIDE) + 1;

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


/** Squares that hold nearly all of a picture, along its longer side beside one another. @param {Image} image */
function aboutAllOf({ width, height }) {
  const side = Math.min(width, height);
  const along = (/** @type {number} */ length) => {
    const count = 3 + rint((length - side) / (0.2 * side));
    const [first, last] = [0.4 * side, length - 0.4 * side];
    return indices(count).map((n) => f(first + (n * (last - first)) / (count - 1)));
  };
  const squares = CLOSE_UP_SIZES.flatMap((size) => {
    const half = f(f(f(size) * side) / 2);
    return along(width).flatMap((x) => along(height).flatMap((y) => [x - half, y - half, x + half, y + half]));
  });
  return Float32Array.from(squares);
}
