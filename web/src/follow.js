/** Faces in a stream of frames: searched for twice a second, and in between looked for where they were. */

import { iou } from "./face.js";
import { cut, rint, shrink } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */

const SEARCH_EVERY = 0.5; // seconds
const MARGIN = 1.0; // face sides around a lost face in which it is searched for
const ROUNDING = 1e-6; // seconds, by which the clock of the frames may differ from itself
const SOON = 0.1; // seconds from one search to the next while a picture fades into another, or just after all faces were lost
const SAME = 0.5; // overlap from which on two boxes are one face

/**
 * Finds the faces of one frame after the other, at a small part of the cost of searching each.
 *
 * The detector searches a whole frame now and then. In between its last network refines the boxes of the frame before
 * and says whether the face is still there; one that is not is searched for around its place, and when nobody is left
 * the whole frame is searched, so that a cut is not missed. The steps are those of src/mien/see/follow.py.
 */
export class Follower {
  /** @param {import("./detect.js").Detector} detector */
  constructor(detector) {
    this.detector = detector;
    /** @type {Face[]} */
    this.faces = [];
    this.known = -Infinity; // the time of the last frame before which a face was known
    this.searched = -Infinity; // the time of the frame that was searched last
    this.shot = 0;
  }

  /** The faces of the next frame. @param {Image} image @param {import("./cut.js").Moment} moment @returns {Promise<Face[]>} */
  async find(image, { time, shot, fading }) {
    const known = this.faces;
    if (known.length > 0) this.known = time;
    const [passed, lost] = [time - this.searched, time - this.known];
    const soon = known.length === 0 && lost >= 0 && lost < SEARCH_EVERY;
    const isCut = shot !== this.shot;
    const due = isCut || passed < 0 || passed >= (fading || soon ? SOON : SEARCH_EVERY) - ROUNDING;
    this.shot = shot;
    this.faces = due ? [] : distinct(await this.follow(image, known));
    if (due || (known.length > 0 && this.faces.length === 0)) {
      [this.faces, this.searched] = [await this.detector.find(image), time];
    }
    if (isCut && this.faces.length === 0 && known.length > 0) {
      this.faces = distinct((await this.refined(image, known)).filter((face) => face !== null)); // a flash looks like a cut, and faces in it are not found anew
    }
    return this.faces;
  }

  /** Each face where it is now, null where it is none any more. @param {Image} image @param {Face[]} known */
  refined(image, known) {
    return this.detector.refine(image, known.map((face) => face.box));
  }

  /** @param {Image} image @param {Face[]} known @returns {Promise<Face[]>} */
  async follow(image, known) {
    const found = [];
    for (const [n, face] of (await this.refined(image, known)).entries()) {
      found.push(...(face ? [face] : await this.searchAround(image, known[n].box)));
    }
    return found;
  }

  /** The faces near a box and of about its size: in the shrunk region smaller ones are too small to be found. @param {Image} image @param {Float32Array} box @returns {Promise<Face[]>} */
  async searchAround(image, box) {
    const side = Math.max(box[2] - box[0], box[3] - box[1]);
    const [x1, x2] = [box[0] - MARGIN * side, box[2] + MARGIN * side].map((x) => clamp(rint(x), image.width));
    const [y1, y2] = [box[1] - MARGIN * side, box[3] + MARGIN * side].map((y) => clamp(rint(y), image.height));
    if (x2 <= x1 || y2 <= y1) return [];
    const scale = Math.min(1, (1.5 * this.detector.minFace) / side);
    const width = Math.max(1, rint((x2 - x1) * scale));
    const height = Math.max(1, rint((y2 - y1) * scale));
    const found = await this.detector.find(shrink(cut(image, { x1, y1, x2, y2 }), width, height));
    const [across, down] = [(x2 - x1) / width, (y2 - y1) / height];
    const moved = (/** @type {Float32Array} */ points) => points.map((at, n) => (n % 2 ? at * down + y1 : at * across + x1));
    return found.map((face) => ({ ...face, box: moved(face.box), landmarks: moved(face.landmarks) }));
  }
}

/** Without those that overlap a surer one: two boxes that were followed may have come upon one face. @param {Face[]} faces */
function distinct(faces) {
  /** @type {Face[]} */
  const kept = [];
  for (const face of faces.sort((a, b) => b.confidence - a.confidence)) {
    if (kept.every((other) => iou(face.box, other.box) < SAME)) kept.push(face);
  }
  return kept;
}

/** @param {number} at @param {number} size */
const clamp = (at, size) => Math.min(Math.max(at, 0), size);
