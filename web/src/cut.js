/** Where a stream shows something else: cuts, and fades from one picture into another; as in src/mien/see/cut.py. */

import { blank, luma, rint, shrink } from "./pixels.js";

/** @typedef {import("./pixels.js").Image} Image */

/** When a frame is seen, in seconds, how many cuts are before it, and whether it is a mixture of two pictures. @typedef {{time: number, shot: number, fading: boolean}} Moment */

const WIDTH = 32; // pixels of the thumbnail that stands for a frame
const HEIGHT = 24;
const CHANGED = 3.0; // levels of gray by which thumbnails differ on average, at least, where anything happened
const CUT = 0.08; // how far a frame lies outside of what the frame before had nearby, on average, in standard deviations
const FADED = 0.02; // the same of the beginning and the end of a part of a fade
const STEADY = 0.9; // correlation of how the first and the second half of it change the picture
const PARTS = [0.27, 0.53]; // seconds of the parts of a fade: short fades change much in them, long ones enough
const LONGEST = 0.53;
const EVERY = 0.1; // seconds after which a fade is looked for again
const DEVIATION = 40; // levels of gray that stand for a standard deviation

/**
 * Says of each frame which shot it belongs to, and whether it is part of a fade.
 *
 * After a cut a frame shows much that the frame before had nowhere near, whatever the light. In a fade each pixel goes
 * straight from one picture to the other, so the second half of any part of it changes the picture as the first half did.
 */
export class Cuts {
  constructor() {
    /** @type {{time: number, small: Uint8Array}[]} */
    this.past = [];
    this.shot = 0;
    this.fading = false;
    this.looked = 0; // the time of the frame at which a fade was looked for
  }

  /** @param {Image} image @param {number} time @returns {Moment} */
  next(image, time) {
    const small = thumbnail(image);
    const last = this.past.at(-1);
    if (last && !(time >= last.time && time - last.time < LONGEST)) {
      this.past = []; // a gap is no cut, and too long for a fade
    } else if (last && change(last.small, small) > CUT) {
      this.past = [];
      this.shot += 1;
    }
    if (this.past.length === 0) {
      [this.fading, this.looked] = [false, time];
    } else if (!(time >= this.looked && time - this.looked < EVERY)) {
      [this.fading, this.looked] = [PARTS.some((seconds) => this.fades(time, small, seconds)), time];
    }
    this.past.push({ time, small });
    while (time - this.past[0].time > LONGEST + EVERY) this.past.shift();
    return { time, shot: this.shot, fading: this.fading };
  }

  /** Are the last so many seconds part of a fade? @param {number} time @param {Uint8Array} small @param {number} seconds */
  fades(time, small, seconds) {
    const nearest = (/** @type {number} */ ago) =>
      this.past.reduce((best, past) => (Math.abs(time - ago - past.time) < Math.abs(time - ago - best.time) ? past : best));
    const [start, middle] = [nearest(seconds), nearest(seconds / 2)];
    const long = time - start.time > 0.8 * seconds && start.time < middle.time;
    if (!long || change(start.small, small) <= FADED) return false;
    let [together, first, second] = [0, 0, 0];
    for (let n = 0; n < small.length; n++) {
      const [a, b] = [middle.small[n] - start.small[n], small[n] - middle.small[n]];
      [together, first, second] = [together + a * b, first + a * a, second + b * b];
    }
    return together > STEADY * Math.sqrt(first * second);
  }
}

/** The brightness of a frame, small. @param {Image} image */
function thumbnail({ data, width, height, channels }) {
  const [stepX, stepY] = [Math.max(1, Math.floor(width / 64)), Math.max(1, Math.floor(height / 48))];
  const [firstX, firstY] = [Math.floor(stepX / 2), Math.floor(stepY / 2)];
  const part = blank(Math.ceil((width - firstX) / stepX), Math.ceil((height - firstY) / stepY), 1);
  let to = 0;
  for (let y = firstY; y < height; y += stepY) {
    for (let x = firstX; x < width; x += stepX) part.data[to++] = luma(data, (y * width + x) * channels);
  }
  return shrink(part, WIDTH, HEIGHT).data;
}

/** How far one thumbnail lies outside of what the other has nearby, whatever the light, in standard deviations. @param {Uint8Array} before @param {Uint8Array} after */
function change(before, after) {
  const differs = before.reduce((sum, value, n) => sum + Math.abs(value - after[n]), 0);
  if (differs < CHANGED * before.length) return 0;
  const [a, b] = [normal(before), normal(after)];
  return Math.min(outside(a, b), outside(b, a));
}

/** @param {Uint8Array} a @param {Uint8Array} b */
function outside(a, b) {
  let sum = 0;
  for (let y = 0, n = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++, n++) {
      let [most, least] = [0, 255];
      for (let row = Math.max(0, y - 1); row <= Math.min(HEIGHT - 1, y + 1); row++) {
        for (let column = Math.max(0, x - 1); column <= Math.min(WIDTH - 1, x + 1); column++) {
          const value = a[row * WIDTH + column];
          if (value > most) most = value;
          if (value < least) least = value;
        }
      }
      sum += Math.max(0, b[n] - most) + Math.max(0, least - b[n]);
    }
  }
  return sum / a.length / DEVIATION;
}

/** In the same light as any other thumbnail: of mean 128 and the same deviation, or of less if it is dim. @param {Uint8Array} small */
function normal(small) {
  const mean = small.reduce((sum, value) => sum + value, 0) / small.length;
  const deviation = Math.sqrt(small.reduce((sum, value) => sum + (value - mean) ** 2, 0) / small.length);
  const gain = DEVIATION / Math.max(deviation, 8);
  return small.map((value) => Math.min(255, Math.abs(rint(Math.fround(value * gain + 128 - mean * gain)))));
}
