/** A face in a picture, and its crop: upright and as FER2013 frames it, whatever the picture's size. */

import { gray, halved, rint, shrink, warp } from "./pixels.js";

/**
 * Where a face is, in pixels of the whole frame. `box` is x1, y1, x2, y2 and may reach beyond the frame; `landmarks` are
 * x, y of the eyes (the one further left first), the nose and the corners of the mouth; `confidence` lies in [0, 1]; by `turn`
 * degrees clockwise the picture had to be turned for the face to stand upright.
 * @typedef {{box: Float32Array, confidence: number, landmarks: Float32Array, turn: number}} Face
 */

/**
 * A face and what the network says of it: seven `scores` in the order of EMOTIONS, of sum 1. The same number of
 * `person` is the same person while in view; `shown` is the emotion that holds on where scores are smoothed over time.
 * @typedef {Face & {scores: Float32Array, person: number | null, shown: string | null}} Reading
 */

export const SIDE = 48; // pixels of a side of FER2013's pictures

// How FER2013 frames a face, the medians of docs/crop.md:
const BY_SPREAD = 4.27; // the frame's side for the root mean square distance of the landmarks from their mean
const ABOVE = 0.084; // how far the frame's centre lies above that mean, in sides of the frame

/**
 * The face as FER2013 frames it, by its landmarks: gray bytes, SIDE x SIDE.
 * @param {import("./pixels.js").Image} image @param {Face} face @returns {Uint8Array}
 */
export function crop(image, { landmarks: points }) {
  let [x, y, spread] = [0, 0, 0];
  for (let i = 0; i < 10; i += 2) [x, y] = [x + points[i] / 5, y + points[i + 1] / 5];
  for (let i = 0; i < 10; i += 2) spread += (points[i] - x) ** 2 + (points[i + 1] - y) ** 2;
  const side = Math.max(1, BY_SPREAD * Math.sqrt(spread / 5));
  const across = points[2] - points[0] + points[8] - points[6];
  const down = points[3] - points[1] + points[9] - points[7];
  const roll = Math.atan2(down, across);
  return square(image, x + ABOVE * side * Math.sin(roll), y - ABOVE * side * Math.cos(roll), side, roll);
}

/** A square of the picture around x, y as gray bytes, turned clockwise by `roll` radians. @param {import("./pixels.js").Image} image @param {number} x @param {number} y @param {number} side @param {number} roll */
function square(image, x, y, side, roll) {
  const scale = Math.min(1, SIDE / side);
  const reach = side * 0.75 + 2 / scale; // 0.75: the half diagonal, whatever the roll
  const [x1, x2] = within(x, reach, image.width);
  const [y1, y2] = within(y, reach, image.height);
  let part = gray(image, { x1, y1, x2, y2 });
  let fold = 1;
  for (; fold * scale <= 0.5 && Math.min(part.width, part.height) > 1; fold *= 2) part = halved(part);
  const width = Math.max(1, rint(part.width * fold * scale));
  const height = Math.max(1, rint(part.height * fold * scale));
  const small = shrink(part, width, height);

  // From pixels of the crop to those of the picture, then to those of `small`; pixel centres lie at halves.
  const cos = (side / SIDE) * Math.cos(roll);
  const sin = (side / SIDE) * Math.sin(roll);
  const middle = (SIDE - 1) / 2;
  const across = width / (part.width * fold);
  const down = height / (part.height * fold);
  const toX = [cos * across, -sin * across, (x - x1 - (cos - sin) * middle) * across - 0.5];
  const toY = [sin * down, cos * down, (y - y1 - (sin + cos) * middle) * down - 0.5];
  return warp(small, toX, toY, SIDE).data;
}

/** What a side of so many pixels has within `reach` of a point, a pixel at least. @param {number} at @param {number} reach @param {number} size */
function within(at, reach, size) {
  const [first, last] = [Math.min(Math.max(at - reach, 0), size - 1), Math.min(Math.max(at + reach + 1, 1), size)];
  return [Math.trunc(first), Math.trunc(last)];
}

/** Intersection over union of two boxes, in [0, 1]. @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
export function iou(a, b) {
  const across = Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0]));
  const down = Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
  const union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - across * down;
  return union > 0 ? (across * down) / union : 0;
}
