/** Scores averaged over time, for labels that must not flicker; what the network said stays as it is. */

import { EMOTIONS } from "./rows.js";

/** @typedef {import("./face.js").Reading} Reading */
/** @typedef {import("./cut.js").Moment} Moment */

const TIME_CONSTANT = 0.25; // seconds
const MARGIN = 0.08; // by which another emotion must lead before it is shown
const FORGET = 4.0; // seconds unseen after which a person's average begins anew

/** Gives each reading `shown`, an emotion that holds on until the next cut; the steps are those of src/mien/see/smooth.py. */
export class Smoother {
  constructor() {
    /** By person. @type {Map<number, {scores: Float32Array, seen: number, held: number}>} */
    this.people = new Map();
    this.shot = 0;
  }

  /** The readings of the next frame with `shown`, where there is a person. @param {Moment} moment @param {Reading[]} readings @returns {Reading[]} */
  smooth({ time, shot }, readings) {
    if (shot !== this.shot) this.people.clear();
    this.shot = shot;
    for (const [person, { seen }] of this.people) {
      if (time < seen || time - seen > FORGET) this.people.delete(person);
    }
    return readings.map((reading) =>
      reading.person === null ? reading : { ...reading, shown: this.shown(time, reading.person, reading.scores) },
    );
  }

  /** @param {number} time @param {number} person @param {Float32Array} scores */
  shown(time, person, scores) {
    const past = this.people.get(person) ?? { scores: scores.slice(), seen: time, held: leader(scores) };
    const weight = Math.fround(1 - Math.exp(-Math.max(time - past.seen, 0) / TIME_CONSTANT));
    for (let n = 0; n < scores.length; n++) past.scores[n] += Math.fround((scores[n] - past.scores[n]) * weight);
    past.seen = time;
    const first = leader(past.scores);
    if (past.scores[first] - past.scores[past.held] >= MARGIN) past.held = first;
    this.people.set(person, past);
    return EMOTIONS[past.held];
  }
}

/** The place of the highest score, of equals the first. @param {Float32Array} scores */
export function leader(scores) {
  return scores.reduce((best, score, n) => (score > scores[best] ? n : best), 0);
}
