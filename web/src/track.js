/** One number per person while in view; the steps and figures are those of src/mien/see/track.py. */

import { assign } from "./assign.js";
import { lookOf, unit } from "./thumbnail.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Face} Face */
/** @typedef {import("./cut.js").Moment} Moment */

const MEMORY = 10.0; // seconds for which a person may be out of sight and keep the number
const LOOK_TIME = 1.0; // seconds over which looks are averaged
const AGAIN = 0.77; // correlation of looks from which on a face is that of somebody known, wherever it is,
const RETURNED = 0.6; // and where somebody was a moment ago
const HALF_SEEN = 0.35; // and of a face that is not seen as a whole
const UNLIKE = 0.68; // correlation below which a face in the place of a person is another's
const SURE = 0.98; // confidence that a face has at some time: what never has it is mostly none, or behind something
const WHOLE = 0.9; // of a face must lie in the frame, and apart from the others, for its look to be remembered
const WAIT = 0.5; // seconds after which a face that is never seen as a whole has to be somebody's as it is

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
    this.look = look; // the mean of the clear thumbnails, or of all while none has been clear
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
    [this.seen, this.box, this.last] = [time, face.box, look];
    if (fading) return; // a mixture of two faces is nobody's look
    if (clear === this.clear) {
      const part = weight(passed, LOOK_TIME);
      this.look = unit(this.look.map((value, n) => value + (look[n] - value) * part));
    } else if (clear) {
      [this.look, this.clear] = [look, true];
    }
  }

  /** Turn out to be the face of somebody who was lost. @param {Track} person */
  become(person) {
    this.number = person.number;
    if (!person.clear) return;
    this.look = this.clear ? unit(this.look.map((value, n) => value + person.look[n])) : person.look;
    this.clear = true;
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
    const clear = clearOf(image, faces);
    const known = this.assign(moment, faces, looks, clear);
    const tracks = faces.map((face, n) => {
      const track = known[n] ?? new Track(moment.time, face, looks[n], clear[n]);
      if (known[n]) track.follow(face, looks[n], clear[n], moment);
      if (track.sure === null && face.confidence >= SURE) track.sure = moment.time;
      return track;
    });
    this.tracks = [...this.tracks.filter((track) => !tracks.includes(track)), ...tracks];
    if (!moment.fading) this.identify(moment.time, tracks.filter((track, n) => told(track, clear[n], moment.time)));
    this.before = moment.time;
    return tracks.map((track) => track.number);
  }

  /** Leave out who was out of sight for too long; frames may be further apart than that. @param {Moment} moment */
  forget({ time, shot }) {
    if (shot !== this.shot) for (const track of this.tracks) track.placed = false;
    this.shot = shot;
    const [known, fresh] = [MEMORY, LOST].map((seconds) => Math.min(time - seconds, this.before));
    this.tracks = this.tracks.filter((track) =>
      track.number !== null ? track.seen >= known : track.placed && track.seen >= fresh,
    );
  }

  /** The track that each face goes on with, null for a new one. @param {Moment} moment @param {Face[]} faces @param {Float32Array[]} looks @param {boolean[]} clear */
  assign(moment, faces, looks, clear) {
    const oldest = Math.min(moment.time - LOST, this.before);
    const tracks = this.tracks.filter((track) => track.placed && track.seen >= oldest);
    const costs = faces.map((face, n) => tracks.map((track) => difference(track, face, looks[n], clear[n], moment)));
    return assign(costs, LIMIT).map((column) => (column < 0 ? null : tracks[column]));
  }

  /** Give each new track the number of a person who was lost, or else one of its own. @param {number} time @param {Track[]} fresh */
  identify(time, fresh) {
    const lost = this.tracks.filter((track) => track.number !== null && track.seen < time);
    const costs = fresh.map((track) => lost.map((person) => strangeness(track, person)));
    assign(costs, LIMIT).forEach((column, n) => {
      if (column < 0) return;
      fresh[n].become(lost[column]);
      this.tracks = this.tracks.filter((track) => track !== lost[column]);
    });
    for (const track of fresh) track.number ??= ++this.count;
  }
}

/** Can it be told whose track this is, and is not yet? @param {Track} track @param {boolean} whole @param {number} time */
function told(track, whole, time) {
  return track.number === null && track.sure !== null && (whole || time - track.sure >= WAIT);
}

/** How little a new track is a lost person's. @param {Track} track @param {Track} person */
function strangeness(track, person) {
  const alike = correlation(track.look, person.look);
  const unseen = track.began - person.seen;
  const [away, size] = apart(track.box, person.box);
  const back = person.placed && unseen > LOST && away <= REACH + REACH_A_SECOND * unseen && size <= 1;
  const enough = back ? (track.clear ? RETURNED : HALF_SEEN) : AGAIN;
  return unseen < 0 || alike < enough ? IMPOSSIBLE : 1 - alike;
}

/** How little a face goes on with a track, in [0, LIMIT), IMPOSSIBLE where it cannot. @param {Track} track @param {Face} face @param {Float32Array} look @param {boolean} clear @param {Moment} moment */
function difference(track, face, look, clear, { time, fading }) {
  const unseen = time - track.seen;
  const [mean, last] = [correlation(look, track.look), correlation(look, track.last)];
  const alike = fading ? mean : Math.max(mean, last);
  const unlike = fading ? alike < AGAIN : alike < UNLIKE && clear;
  const [away, size] = apart(face.box, track.expected(time));
  const reach = REACH + REACH_A_SECOND * unseen;
  const moved = away > (alike < UNLIKE ? NEAR + NEAR_A_SECOND * unseen : reach);
  if (moved || size > 1 || unlike) return IMPOSSIBLE;
  const waited = Math.min(unseen / LOST, 1); // of two who may be here, the one seen last is
  return (0.5 * away) / reach + 0.2 * size + 0.15 * (1 - alike) + 0.3 * waited;
}

/** @param {Float32Array} a @param {Float32Array} b */
const correlation = (a, b) => a.reduce((sum, value, n) => sum + value * b[n], 0);

/** How far two boxes are from each other, in sides, and the logarithm of their sizes' ratio. @param {Float32Array} a @param {Float32Array} b */
function apart(a, b) {
  const [[ax, ay], [bx, by]] = [centre(a), centre(b)];
  const [sideA, sideB] = [side(a), side(b)];
  return [Math.hypot(ax - bx, ay - by) / Math.max(sideA, sideB), Math.abs(Math.log(sideA / sideB))];
}

/** Whether each face is surely one, in the frame as a whole, and neither before nor behind another. @param {Image} image @param {Face[]} faces */
function clearOf(image, faces) {
  const frame = Float32Array.of(0, 0, image.width, image.height);
  return faces.map(({ box, confidence }) => {
    const others = faces.reduce((sum, other) => sum + shared(box, other.box), 0);
    const hidden = (others - shared(box, frame)) / Math.max(shared(box, box), 1e-6);
    return confidence >= SURE && hidden <= Math.fround(1 - WHOLE);
  });
}

/** @param {Float32Array} a @param {Float32Array} b */
function shared(a, b) {
  const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  return Math.max(0, across) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
}

/** The weight of the new in an exponential mean after `passed` seconds. @param {number} passed @param {number} constant */
const weight = (passed, constant) => 1 - Math.exp(-passed / constant);

/** @param {Float32Array} box */
const centre = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

/** The side of a square of the box's area. @param {Float32Array} box */
const side = (box) => Math.max(Math.sqrt(Math.max(0, (box[2] - box[0]) * (box[3] - box[1]))), 1e-3);
