/** Crops of faces → seven scores each, by the emotion network: one batch for all faces of a frame. */

import { SIDE } from "./face.js";
import { EMOTIONS } from "./rows.js";

/** Faces (n, 1, 48, 48) in, (n, 7) scores out. @typedef {(bytes: Uint8Array, shape: number[]) => Promise<Float32Array>} Net */

const BATCH = 64; // faces a run: larger ones leave the cache and gain nothing

/** @param {Net} net @param {Uint8Array[]} crops @returns {Promise<Float32Array[]>} scores in EMOTIONS order, each of sum 1 */
export async function classify(net, crops) {
  const found = [];
  for (let start = 0; start < crops.length; start += BATCH) {
    const batch = crops.slice(start, start + BATCH);
    const bytes = new Uint8Array(batch.length * SIDE * SIDE);
    batch.forEach((face, n) => bytes.set(face, n * SIDE * SIDE));
    const scores = await net(bytes, [batch.length, 1, SIDE, SIDE]);
    for (let n = 0; n < batch.length; n++) found.push(scores.slice(n * EMOTIONS.length, (n + 1) * EMOTIONS.length));
  }
  return found;
}
