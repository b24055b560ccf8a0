/** One number per person while in view; the steps and figures are those of src/mien/see/track.py. */

import { assign } from "./assign.js";
import { SURE, areClear, lookOf, unit } from "./thumbnail.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */
/** @typedef {import("./cut.js").Moment} Moment */

const MEMORY = 10.0; // seconds for which a person may be out of sight and keep the number, as in src/mien/see/pipeline.py

const LOOK_TIME = 1.0; // seconds over which looks are averaged
const AGAIN = 0.77; // correlation of looks from which on a face is that of somebody known, wherever it is,
const RETURNED = 0.55; // and where somebody was a few seconds ago,
const HALF_SEEN = 0.35; // and of a face there that is not seen as a whole
const UNLIKE = 0.56; // correlation below which a face in the place of a person is another's
const MORE = 0.2; // by so much it may not look more like somebody who was lost
const FADED = 0.7; // the same of the look that the person had before a fade
const SETTLE = 0.2; // seconds after which a new face is a new person's: boxes take some frames to fit
const WAIT = 0.5; // the same of a face that is not seen as a whole

const AWAY = 4.0; // seconds for which who is out of sight is expected where they were
const LOST = 0.3; // seconds unseen after which a face is not followed any more, but has to be known again
const REACH = 1.0; // face sides that a face may be away from where it was expected, and for each second more:
const REACH_A_SECOND = 4.0;
const NEAR = 0.2; // the same of a face that is not seen as a whole and looks unlike the person
const NEAR_A_SECOND = 2.0;
const VELOCITY_TIME = 0.1; // seconds over which the velocity is averaged
const LIMIT = 1.3; // what differs by more is not assigned
const IMPOSSIBLE = 9.0;

/** A face that is followed from frame to frame, and the number of the person whose it turns out to be. Times in seconds, places in pixels. */
class Track {
  /** @param {number} time @param {Face} face @param {Float32Array} look @param {boolean} clear */
  constructor(time, face, look, clear) {
    this.began = time;
    this.seen = time;
    this.box = face.box;
    this.last = look; // how it looked in the last frame
    this.look = look; // the mean of the clear looks, or of all while none has been clear
    this.clear = clear;
    /** @type {number | null} */
    this.number = null;
    /** The time of the first frame that was sure. @type {number | null} */
    this.sure = null;
    this.placed = true; // false after a cut: where it was says nothing of where it is
    this.velocity = [0, 0];
  }

  /** The box where it is expected; one that is lost is expected not far beyond where it was lost. @param {number} time */
  expected(time) {
    const passed = Math.min(time - this.seen, LOST);
    return this.box.map((side, n) => side + this.velocity[n & 1] * passed);
  }

  /** Take in the face in the next frame. @param {Face} face @param {Float32Array} look @param {boolean} clear @param {Moment} moment */
  follow(face, look, clear, { time, fading }) {
    const passed = Math.max(time - this.seen, 1e-6);
    const [before, now, share] = [centre(this.box), centre(face.box), weight(passed, VELOCITY_TIME)];
    this.velocity = this.velocity.map((speed, axis) => speed + ((now[axis] - before[axis]) / passed - speed) * share);
    if (!this.placed) [this.placed, this.velocity] = [true, [0, 0]];
    [this.seen, this.box, this.last] = [time, face.box, look];
    if (fading) return; // a mixture of two faces is nobody's look
    if (clear === this.clear) {
      const part = weight(passed, LOOK_TIME);
      this.look = unit(this.look.map((value, n) => value + (look[n] - value) * part));
    } else if (clear) {
      [this.look, this.clear] = [look, true];
    }
  }

  /** Has it been sure for so long that it has to be told by now whose it is? @param {number} time */
  waited(time) {
    return this.sure !== null && time - this.sure >= (this.clear ? SETTLE : WAIT);
  }

  /** Turn out to be the face of somebody who was lost. @param {Track} person */
  become(person) {
    this.number = person.number;
    if (person.clear) [this.look, this.clear] = [person.look, true];
  }
}

/**
 * Tells people apart from frame to frame. Faces are assigned to those of the frame before by place, size and looks, so
 * that the sum of differences is smallest. A new face gets a number once it was sure, and seen as a whole or waited for:
 * that of a person who was out of sight and looks alike, or a new one. Where somebody was counts until the next cut.
 */
export class Tracker {
  constructor() {
    /** @type {Track[]} */
    this.tracks = [];
    this.count = 0;
    this.before = 0; // the time of the frame before
    this.shot = 0;
  }

  /**
   * The number of each face of the next frame, null while it is not known.
   * @param {Image} image @param {Moment} moment @param {Face[]} faces @returns {(number | null)[]}
   */
  track(image, moment, faces) {
    this.forget(moment);
    const looks = faces.map((face) => lookOf(image, face.box));
    const clear = areClear(image, faces).map((whole) => whole && !moment.fading); // a mixture of two pictures shows nobody
    const known = this.assign(moment, faces, looks, clear);
    const tracks = faces.map((face, n) => {
      const track = known[n] ?? new Track(moment.time, face, looks[n], clear[n]);
      if (known[n]) track.follow(face, looks[n], clear[n], moment);
      if (track.sure === null && face.confidence >= SURE && !moment.fading) track.sure = moment.time;
      return track;
    });
    this.tracks = [...this.tracks.filter((track) => !tracks.includes(track)), ...tracks];
    this.before = moment.time;
    if (moment.fading) for (const track of this.tracks) track.placed &&= track.seen === moment.time;
    this.name(tracks.filter((track) => track.number === null), moment.time, { fading: moment.fading });
    return tracks.map((track) => track.number);
  }

  /** Leave out who was out of sight for too long; frames may be further apart than that. @param {Moment} moment */
  forget({ time, shot }) {
    const [known, fresh] = [MEMORY, LOST].map((seconds) => Math.min(time - seconds, this.before));
    if (shot !== this.shot) for (const track of this.tracks) track.placed = false;
    this.shot = shot;
    const over = this.tracks.filter((track) => track.number === null && track.seen < fresh);
    this.name(over, time, { over: true });
    this.tracks = this.tracks.filter((track) => track.seen >= known && (track.number !== null || !over.includes(track)));
  }

  /** The track that each face goes on with, null for a new one. @param {Moment} moment @param {Face[]} faces @param {Float32Array[]} looks @param {boolean[]} clear */
  assign(moment, faces, looks, clear) {
    const oldest = Math.min(moment.time - LOST, this.before);
    const tracks = this.tracks.filter((track) => track.seen >= oldest && (track.placed || track.number === null));
    const lost = this.tracks.filter((track) => track.number !== null && track.seen < this.before);
    const costs = faces.map((face, n) => {
      const other = Math.max(...lost.map((person) => correlation(looks[n], person.look)));
      return tracks.map((track) => difference(track, other, face, looks[n], clear[n], moment));
    });
    return assign(costs, LIMIT).map((column) => (column < 0 ? null : tracks[column]));
  }

  /**
   * Give new tracks the numbers of people who were lost and look alike, or else numbers of their own.
   *
   * Who was lost is waited for, unless the tracks are `over`; nobody is new in a picture that is `fading`.
   * @param {Track[]} fresh @param {number} time @param {{fading?: boolean, over?: boolean}} how
   */
  name(fresh, time, { fading = false, over = false }) {
    const lost = this.tracks.filter((track) => track.number !== null && track.seen < time);
    const late = fresh.filter((track) => track.sure !== null && (over || lost.length === 0 || track.waited(time)));
    const told = fresh.filter((track) => fading || late.includes(track) || (track.clear && track.sure !== null));
    const costs = told.map((track) => lost.map((person) => strangeness(track, person, fading, over)));
    assign(costs, LIMIT).forEach((column, n) => {
      if (column < 0) return;
      told[n].become(lost[column]);
      this.tracks = this.tracks.filter((track) => track !== lost[column]);
    });
    if (!fading) for (const track of late) track.number ??= ++this.count;
  }
}

/** How little a new track is a lost person's, IMPOSSIBLE where it cannot be. @param {Track} track @param {Track} person @param {boolean} fading @param {boolean} over */
function strangeness(track, person, fading, over) {
  const last = correlation(track.last, person.look);
  const alike = fading ? last : Math.max(last, correlation(track.look, person.look));
  const unseen = track.began - person.seen;
  const [away, size] = apart(track.box, person.box);
  const recent = over || (unseen > LOST && unseen <= AWAY);
  const back = person.placed && !fading && recent && away <= REACH + REACH_A_SECOND * unseen && size <= 1;
  const elsewhere = over ? RETURNED : AGAIN;
  const enough = back ? (track.clear && !over ? RETURNED : HALF_SEEN) : elsewhere;
  return unseen < 0 || alike < enough ? IMPOSSIBLE : 1 - alike + 0.1 * Math.min(away, 1);
}

/**
 * How little a face goes on with a track, in [0, LIMIT), IMPOSSIBLE where it cannot.
 * @param {Track} track @param {number} other how much the face looks like somebody who was lost, -Infinity if nobody was
 * @param {Face} face @param {Float32Array} look @param {boolean} clear @param {Moment} moment
 */
function difference(track, other, face, look, clear, { time, fading }) {
  const unseen = time - track.seen;
  const mean = correlation(look, track.look);
  const alike = fading ? mean : Math.max(mean, correlation(look, track.last));
  const others = other >= AGAIN && alike < other - MORE;
  const unlike = fading ? alike < FADED && track.clear : clear && (alike < UNLIKE || others);
  const [away, size] = apart(face.box, track.expected(time));
  const reach = REACH + REACH_A_SECOND * unseen;
  const near = NEAR + NEAR_A_SECOND * unseen;
  const moved = track.placed ? away > (alike < UNLIKE ? near : reach) || size > 1 : alike < AGAIN;
  if (moved || unlike) return IMPOSSIBLE;
  const waited = Math.min(unseen / LOST, 1); // of two who may be here, the one seen last is
  return 0.5 * Math.min(away / reach, 1) + 0.2 * Math.min(size, 1) + 0.15 * (1 - alike) + 0.3 * waited;
}

/** @param {Float32Array} a @param {Float32Array} b */
const correlation = (a, b) => a.reduce((sum, value, n) => sum + value * b[n], 0);

/** How far two boxes are from each other, in sides, and the logarithm of their sizes' ratio. @param {Float32Array} a @param {Float32Array} b */
function apart(a, b) {
  const [[ax, ay], [bx, by]] = [centre(a), centre(b)];
  const [sideA, sideB] = [side(a), side(b)];
  return [Math.hypot(ax - bx, ay - by) / Math.max(sideA, sideB), Math.abs(Math.log(sideA / sideB))];
}

/** The weight of the new in an exponential mean after `passed` seconds. @param {number} passed @param {number} constant */
const weight = (passed, constant) => 1 - Math.exp(-passed / constant);

/** @param {Float32Array} box */
const centre = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

/** The side of a square of the box's area. @param {Float32Array} box */
const side = (box) => Math.max(Math.sqrt(Math.max(0, (box[2] - box[0]) * (box[3] - box[1]))), 1e-3);
