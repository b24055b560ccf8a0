/** How a picture is searched: as it lies; for a face that fills it; and, where nothing sure is found, turned. */

import { SURE } from "./detect.js";
import { turned } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */
/** @typedef {import("./detect.js").Detector} Detector */

const TURNS = /** @type {const} */ ([270, 90, 180]); // degrees clockwise, the usual ones of a camera first

/**
 * The faces of a picture, at the cost of one search where that finds one that surely stands; the steps are those of
 * src/mien/see/search.py.
 *
 * Otherwise the picture is also searched turned. Where its faces are surer and more than those of the picture as it
 * lies, these count, with their `turn`: a face that lies on its side is often found as it lies, and then read wrongly.
 * @param {Detector} detector @param {Image} image @returns {Promise<Face[]>}
 */
export async function search(detector, image) {
  let best = await detector.find(image);
  if (best.length === 0) {
    const close = await detector.closeUp(image);
    if (close.length > 0) return close;
  }
  const [upright, others] = await uprightness(detector, image, best);
  if (upright >= others && best[0].confidence >= SURE) return best;
  let weight = upright * total(best);
  for (const turn of TURNS) {
    const lying = turned(image, turn);
    let faces = await detector.find(lying);
    if (faces.length === 0) faces = await detector.closeUp(lying);
    const [stands] = await uprightness(detector, lying, faces);
    if (stands * total(faces) > weight && faces[0].confidence >= SURE) {
      weight = stands * total(faces);
      best = faces.map((face) => turnedBack(face, turn, image));
    }
  }
  return best;
}

/** How much the first face looks like one as it is, and at most when it is turned; 0 and 1 where there is none. @param {Detector} detector @param {Image} image @param {Face[]} faces */
async function uprightness(detector, image, faces) {
  if (faces.length === 0) return [0, 1];
  const [asItIs, ...others] = await detector.scoresTurned(image, faces[0]);
  return [asItIs, Math.max(...others)];
}

/** @param {Face[]} faces */
const total = (faces) => faces.reduce((sum, face) => sum + face.confidence, 0);

/** A face of a picture that was turned, in pixels of the picture as it lies. @param {Face} face @param {90 | 180 | 270} turn @param {Image} image @returns {Face} */
function turnedBack(face, turn, { width, height }) {
  const back = (/** @type {Float32Array} */ points) => {
    const out = new Float32Array(points.length);
    for (let n = 0; n < points.length; n += 2) {
      const [x, y] = points.subarray(n, n + 2);
      out.set(turn === 90 ? [y, height - x] : turn === 180 ? [width - x, height - y] : [width - y, x], n);
    }
    return out;
  };
  const [ax, ay, bx, by] = back(face.box);
  const box = Float32Array.of(Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by));
  return { ...face, box, landmarks: back(face.landmarks), turn };
}
