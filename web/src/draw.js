/** Draws rows on a picture, as src/mien/sinks/draw.py does, and people's last minute as bands of colour. */

import { COLOURS, EMOTIONS } from "./rows.js";

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {CanvasRenderingContext2D | OffscreenCanvasRenderingContext2D} Context */
/** x, y, width, height @typedef {[number, number, number, number]} Rectangle */

const FONT = "system-ui, sans-serif";
const SMALLEST_TEXT = 11; // pixels: at smaller sizes the letters run together

/** What is shown of a row: the emotion that holds on in a stream, else the one with the highest score. @param {Row} row */
export function shownOf(row) {
  const emotion = row.shown ?? row.emotion;
  return { emotion, probability: row[emotion], colour: COLOURS[EMOTIONS.indexOf(emotion)] };
}

/** @param {number} share in [0, 1] */
export const percent = (share) => `${Math.round(share * 100)}%`;

/** What a label says. @param {Row} row */
export function caption(row) {
  const { emotion, probability } = shownOf(row);
  return `${row.person === null ? "" : `${row.person} · `}${emotion} ${percent(probability)}`;
}

/**
 * Boxes and labels over a picture that is drawn already.
 * @param {Context} context @param {Row[]} rows @param {number} scale pixels of the canvas for each of the picture's
 * @param {number} chosen which row stands out, -1 for none
 * @param {number} smallest height of the text in pixels of the canvas, at least
 */
export function annotate(context, rows, scale, chosen = -1, smallest = SMALLEST_TEXT) {
  const { width, height } = context.canvas;
  const boxes = rows.map((row) => rectangle(row, scale));
  const sizes = boxes.map((box) => textSize(box[2], width, height, smallest));
  boxes.forEach((box, n) => {
    outline(context, box, shownOf(rows[n]).colour, (1 + Math.floor(sizes[n] / 8)) * (n === chosen ? 2 : 1));
  });
  /** @type {Rectangle[]} */
  const labels = [];
  rows.forEach((row, n) => {
    const [text, size] = [caption(row), sizes[n]];
    context.font = `600 ${size}px ${FONT}`;
    const wide = Math.ceil(context.measureText(text).width) + 2 * Math.floor(size / 3);
    const [x, y] = place(boxes[n], wide, Math.round(size * 1.5), [width, height], boxes, labels);
    labels.push([x, y, wide, Math.round(size * 1.5)]);
    label(context, labels[n], text, size, shownOf(row).colour);
  });
}

/** @param {Row} row @param {number} scale @returns {Rectangle} */
export function rectangle(row, scale) {
  const [x1, y1, x2, y2] = [row.x1, row.y1, row.x2, row.y2].map((at) => Math.round(at * scale));
  return [x1, y1, x2 - x1, y2 - y1];
}

/** The height of a label's text: it grows with the face, and with the picture it is seen in. @param {number} face @param {number} width @param {number} height @param {number} smallest */
function textSize(face, width, height, smallest) {
  const side = Math.max(width, height);
  const size = Math.max(smallest, side / 80, Math.min(face / 7, side / 25));
  return Math.max(8, Math.floor(Math.min(size, width / 7)));
}

/** The sides of a box, seamed in black; where it reaches beyond the frame they run along its edge. @param {Context} context @param {Rectangle} box @param {string} colour @param {number} thickness */
function outline(context, [x, y, width, height], colour, thickness) {
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  const right = Math.min(context.canvas.width, x + width);
  const bottom = Math.min(context.canvas.height, y + height);
  for (const [inset, wide, tone] of /** @type {[number, number, string][]} */ ([[0, thickness + 2, "black"], [1, thickness, colour]])) {
    const half = inset + wide / 2;
    [context.lineWidth, context.strokeStyle] = [wide, tone];
    context.strokeRect(left + half, top + half, Math.max(0, right - left - 2 * half), Math.max(0, bottom - top - 2 * half));
  }
}

/** @param {Context} context @param {Rectangle} at @param {string} text @param {number} size @param {string} colour */
function label(context, [x, y, width, height], text, size, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.roundRect(x, y, width, height, Math.round(size / 4));
  context.fill();
  context.fillStyle = readableOn(colour);
  context.textBaseline = "middle";
  context.fillText(text, x + Math.floor(size / 3), y + height / 2 + 1);
}

/**
 * The top left corner of a label: above its box, or where it hides least, within the frame.
 * @param {Rectangle} box @param {number} wide @param {number} high @param {[number, number]} frame width and height
 * @param {Rectangle[]} faces @param {Rectangle[]} labels those that are drawn already
 */
function place([x, y, width, height], wide, high, frame, faces, labels) {
  const [right, bottom] = [x + width, y + height];
  const spots = [[x, y - high], [right - wide, y - high], [x, bottom], [right - wide, bottom], [right, y], [x - wide, y], [x, y]];
  let [best, least] = [[0, 0], Infinity];
  for (const spot of spots) {
    const at = spot.map((value, axis) => Math.min(Math.max(value, 0), Math.max(0, frame[axis] - [wide, high][axis])));
    const hides = (/** @type {Rectangle} */ other) => shared([at[0], at[1], wide, high], other);
    const hidden = sum(faces.map(hides)) + 10 * sum(labels.map(hides)); // a face is known by half of it, a label is not
    if (hidden < least) [best, least] = [at, hidden];
  }
  return best;
}

/** @param {Rectangle} a @param {Rectangle} b */
function shared(a, b) {
  const across = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  return Math.max(0, across) * Math.max(0, Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]));
}

/** @param {number[]} values */
const sum = (values) => values.reduce((total, value) => total + value, 0);

/** Black or white, whichever has more contrast (WCAG 2.2, with a plain gamma of 2.2). @param {string} colour as #rrggbb */
export function readableOn(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(colour.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 ? "black" : "white";
}

/**
 * The last minute of a person: at each moment a column of seven colours, high as the scores are.
 * @param {CanvasRenderingContext2D} context @param {{time: number, scores: number[]}[]} moments @param {number} now seconds
 */
export function timeline(context, moments, now) {
  const { width, height } = context.canvas;
  context.clearRect(0, 0, width, height);
  const wide = width / (MINUTE / BIN);
  for (const { time, scores } of moments) {
    const x = width - (Math.floor(now / BIN) - Math.floor(time / BIN) + 1) * wide;
    let y = height;
    scores.forEach((score, n) => {
      context.fillStyle = COLOURS[n];
      context.fillRect(x, y - score * height, wide + 0.5, score * height);
      y -= score * height;
    });
  }
}

export const MINUTE = 60; // seconds
export const BIN = 0.5; // seconds that share a column
