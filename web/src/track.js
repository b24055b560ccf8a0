/** One number per person while in view; the steps and figures are those of src/mien/see/track.py. */

import { gray, halved, rint, shrink } from "./pixels.js";
import { assign } from "./assign.js";

/** @typedef {import("./pixels.js").Image} Image */
/** @typedef {import("./face.js").Reading} Reading */

const SIDE = 16; // pixels of the thumbnail that stands for how a face looks
const MEMORY = 4.0; // seconds out of sight after which a person is forgotten
const REACH = 1.0; // face sides that a face may be away from where it was expected, and for each second more:
const REACH_A_SECOND = 4.0;
const LOST = 0.3; // seconds unseen after which how a face looks must speak for it as well as where it is
const ALIKE = 0.35; // correlation from which on a face looks like a person who was lost
const SAME = 0.6; // and from which on it hardly is another's
const UNLIKE = 0.2; // under which it looks like somebody else, and has to be where the person was:
const NEAR = 0.2; // within so many face sides, and for each second more:
const NEAR_A_SECOND = 2.0;
const WHOLE = 0.9; // of a face must lie in the frame, and apart from the others, for its look to be remembered
const SURE = 0.98; // confidence that a look to be remembered has, at least
const BESIDE = 0.25; // face sides from another face or the border at which a face may be a part of one
const WAIT = 0.5; // seconds for which faces that do not show whose they are may be left out
const LOOK_TIME = 1.0; // seconds over which looks are averaged
const VELOCITY_TIME = 0.1; // seconds over which the velocity is averaged
const LIMIT = 1.3; // what differs by more is not assigned
const IMPOSSIBLE = 9.0;

/**
 * What is remembered of a person; times in seconds, places in pixels of the frame. `look` is the mean of the clear
 * thumbnails or, while none has been `clear`, of all.
 * @typedef {{number: number, seen: number, box: Float32Array, look: Float32Array, clear: boolean, velocity: number[]}} Person
 */

/** A face to be assigned. @typedef {{reading: Reading, look: Float32Array, clear: boolean}} Seen */

/**
 * Tells people apart from frame to frame: faces are assigned to people by place, size and looks, so that the sum of
 * differences is smallest. A face that may be cut off or half hidden and belongs to nobody here, while somebody is out
 * of sight, may be that one's: for up to half a second it is left out.
 */
export class Tracker {
  constructor() {
    /** @type {Person[]} */
    this.people = [];
    this.count = 0;
    this.before = 0; // the time of the frame before
    /** The time of the first frame since which faces have been left out. @type {number | null} */
    this.waiting = null;
  }

  /** The readings with `person` set, less those that do not show yet whose they are. @param {Image} image @param {number} time @param {Reading[]} readings @returns {Reading[]} */
  track(image, time, readings) {
    const oldest = Math.min(time - MEMORY, this.before);
    this.people = this.people.filter((person) => person.seen >= oldest);
    this.before = time;
    const boxes = readings.map((reading) => reading.box);
    const covered = hidden(image, boxes, 0);
    const seen = readings.map((reading, n) => {
      return { reading, look: lookOf(image, reading.box), clear: reading.confidence >= SURE && covered[n] <= 1 - WHOLE };
    });
    const costs = differences(this.people, seen, time);
    const owners = assign(costs, LIMIT).map((column) => (column < 0 ? null : this.people[column]));
    const wait = this.wait(image, time, seen, owners);
    return seen.flatMap((face, n) => {
      if (wait[n]) return [];
      const owner = owners[n];
      return [{ ...face.reading, person: owner ? follow(owner, face, time) : this.meet(face, time) }];
    });
  }

  /** Which faces are left out for now. @param {Image} image @param {number} time @param {Seen[]} seen @param {(Person | null)[]} owners */
  wait(image, time, seen, owners) {
    const here = new Set(owners);
    const missing = this.people.some((person) => !here.has(person) && time - person.seen <= MEMORY);
    const partly = hidden(image, seen.map((face) => face.reading.box), BESIDE);
    const wait = seen.map((face, n) => missing && !owners[n] && !face.clear && partly[n] > 1 - WHOLE);
    if (seen.length === 1 || !wait.includes(true)) {
      this.waiting = null; // a frame in which anybody was found has a row
      return wait.fill(false);
    }
    this.waiting ??= time;
    return time >= this.waiting && time - this.waiting < WAIT ? wait : wait.fill(false);
  }

  /** @param {Seen} face @param {number} time @returns {number} */
  meet({ reading, look, clear }, time) {
    this.count += 1;
    this.people.push({ number: this.count, seen: time, box: reading.box, look, clear, velocity: [0, 0] });
    return this.count;
  }
}

/** @param {Person} person @param {Seen} face @param {number} time @returns {number} */
function follow(person, { reading, look, clear }, time) {
  const passed = Math.max(time - person.seen, 1e-6);
  const [before, now] = [centre(person.box), centre(reading.box)];
  person.velocity = person.velocity.map(
    (speed, axis) => speed + ((now[axis] - before[axis]) / passed - speed) * weight(passed, VELOCITY_TIME),
  );
  [person.seen, person.box] = [time, reading.box];
  if (clear === person.clear) {
    const share = weight(passed, LOOK_TIME);
    person.look = unit(person.look.map((value, n) => value + (look[n] - value) * share));
  } else if (clear) {
    [person.look, person.clear] = [look, true];
  }
  return person.number;
}

/** How little each face is each person's: in [0, LIMIT), IMPOSSIBLE where it cannot be. @param {Person[]} people @param {Seen[]} seen @param {number} time @returns {number[][]} */
function differences(people, seen, time) {
  return seen.map(({ reading, look, clear }) => {
    const alike = people.map((person) => person.look.reduce((sum, value, n) => sum + value * look[n], 0));
    const most = Math.max(...alike);
    return people.map((person, n) => {
      const unseen = time - person.seen;
      const lost = unseen > LOST;
      const [away, size] = apart(reading.box, expected(person, time));
      const reach = REACH + REACH_A_SECOND * unseen;
      const unlike = alike[n] < UNLIKE;
      const known = alike[n] >= ALIKE && alike[n] === most;
      // Somebody was here a moment ago, but who is here now looks like another: boxes slide from face to face.
      const stranger = clear && unlike && most >= SAME;
      const moved = away > (unlike && !lost ? NEAR + NEAR_A_SECOND * unseen : reach);
      if (moved || size > 1 || (lost && !known) || stranger) return IMPOSSIBLE;
      const waited = Math.min(unseen / LOST, 1); // of two who may be here, the one seen last is
      return (0.5 * away) / reach + 0.2 * size + 0.15 * (1 - alike[n]) + 0.3 * waited;
    });
  });
}

/** The box where a person is expected; one who is lost is expected not far beyond where. @param {Person} person @param {number} time */
function expected({ box, velocity, seen }, time) {
  const passed = Math.min(time - seen, LOST);
  return box.map((side, n) => side + velocity[n & 1] * passed);
}

/** How far two boxes are from each other, in sides, and the logarithm of their sizes' ratio. @param {Float32Array} a @param {Float32Array} b */
function apart(a, b) {
  const [[ax, ay], [bx, by]] = [centre(a), centre(b)];
  const [sideA, sideB] = [side(a), side(b)];
  return [Math.hypot(ax - bx, ay - by) / Math.max(sideA, sideB), Math.abs(Math.log(sideA / sideB))];
}

/** The part of each face that others or the border may hide, where faces reach further by `beside`. @param {Image} image @param {Float32Array[]} boxes @param {number} beside */
function hidden(image, boxes, beside) {
  const wide = boxes.map((box) => box.map((at, n) => at + (n < 2 ? -1 : 1) * side(box) * beside));
  const frame = Float32Array.of(0, 0, image.width, image.height);
  return wide.map((box) => {
    const others = wide.reduce((sum, other) => sum + shared(box, other), 0);
    return (others - shared(box, frame)) / Math.max(shared(box, box), 1e-6);
  });
}

/** @param {Float32Array} a @param {Float32Array} b */
function shared(a, b) {
  const across = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  return Math.max(0, across) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));
}

/** The face as a thumbnail of mean 0 and length 1. @param {Image} image @param {Float32Array} box */
function lookOf(image, box) {
  const [x1, y1, x2, y2] = Array.from(box, rint);
  const left = Math.min(Math.max(x1, 0), image.width - 1);
  const top = Math.min(Math.max(y1, 0), image.height - 1);
  const right = Math.min(Math.max(x2, left + 1), image.width);
  const bottom = Math.min(Math.max(y2, top + 1), image.height);
  let part = gray(image, { x1: left, y1: top, x2: right, y2: bottom });
  while (Math.min(part.width, part.height) >= 2 * SIDE) part = halved(part);
  const values = Float32Array.from(shrink(part, SIDE, SIDE).data);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return unit(values.map((value) => value - mean));
}

/** @param {Float32Array} look @returns {Float32Array} of length 1 */
function unit(look) {
  const length = Math.sqrt(look.reduce((sum, value) => sum + value * value, 0));
  return look.map((value) => value / Math.max(length, 1e-6));
}

/** The weight of the new in an exponential mean after `passed` seconds. @param {number} passed @param {number} constant */
const weight = (passed, constant) => 1 - Math.exp(-passed / constant);

/** @param {Float32Array} box */
const centre = (box) => [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2];

/** The side of a square of the box's area. @param {Float32Array} box */
const side = (box) => Math.max(Math.sqrt(Math.max(0, (box[2] - box[0]) * (box[3] - box[1]))), 1e-3);
