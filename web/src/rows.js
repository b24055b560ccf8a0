/** The one list of columns and the rows of a frame, as src/mien/sinks/rows.py has them; rows as CSV and JSON. */

/** @typedef {import("./face.js").Reading} Reading */

/** In the order of FER2013's codes; every seven scores stand in it. */
export const EMOTIONS = /** @type {const} */ (["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]);

/** A colour for each emotion, told apart on dark and on light pictures: those of src/mien/labels.py. */
export const COLOURS = ["#d62728", "#8ca028", "#9467bd", "#ffbf00", "#4682dc", "#17becf", "#a0a0a0"];

const BOX = /** @type {const} */ (["x1", "y1", "x2", "y2"]);
const POINTS = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"];
const LANDMARKS = POINTS.flatMap((point) => [`${point}_x`, `${point}_y`]);

/** The columns of a row, which stands for one face in one frame. */
export const COLUMNS = [
  ...["source", "frame", "time", "person", ...BOX, "confidence", "turn", "emotion", "probability", "shown"],
  ...EMOTIONS,
  ...LANDMARKS,
];

/** The columns that hold a float32. */
const NUMBERS = new Set([...BOX, "confidence", "probability", ...EMOTIONS, ...LANDMARKS]);

const WHOLE = new Set(["frame", "person", "turn"]);

/**
 * COLUMNS as its keys: boxes and landmarks in pixels of the frame, times in seconds, probabilities in [0, 1].
 * @typedef {{source: string, frame: number, time: number, person: number | null, confidence: number, turn: number,
 *   emotion: typeof EMOTIONS[number], probability: number, shown: typeof EMOTIONS[number] | null}
 *   & Record<typeof BOX[number] | typeof EMOTIONS[number], number> & Record<string, string | number | null>} Row
 */

/** Which frame of which file or stream, and its seconds from the beginning. @typedef {{name: string, index: number, time: number}} Frame */

/** A row for each face, from left to right. @param {Frame} frame @param {Reading[]} readings @returns {Row[]} */
export function rows({ name, index, time }, readings) {
  const sorted = [...readings].sort((a, b) => a.box[0] + a.box[2] - (b.box[0] + b.box[2]));
  return sorted.map(({ box, confidence, turn, landmarks, scores, person, shown }) => {
    const probability = Math.max(...scores);
    const emotion = EMOTIONS[scores.indexOf(probability)];
    const values = [name, index, time, person, ...box, confidence, turn, emotion, probability, shown, ...scores, ...landmarks];
    return /** @type {Row} */ (Object.fromEntries(COLUMNS.map((column, n) => [column, values[n]])));
  });
}

/** Rows as the CSV that the Python package writes. @param {Row[]} table */
export function toCsv(table) {
  const line = (/** @type {Row} */ row) => COLUMNS.map((column) => cell(row[column], column)).join(",");
  return [COLUMNS.join(","), ...table.map(line), ""].join("\n");
}

/** Rows as JSON, one object a line, as the Python package writes it. @param {Row[]} table */
export function toJson(table) {
  const entry = (/** @type {Row} */ row, /** @type {string} */ column) => {
    const value = row[column];
    return `"${column}": ${typeof value === "number" ? decimal(value, column) : quoted(value)}`;
  };
  return table.map((row) => `{${COLUMNS.map((column) => entry(row, column)).join(", ")}}\n`).join("");
}

/** In ASCII alone, as Python has it. @param {string | null} text */
function quoted(text) {
  const escaped = (/** @type {string} */ letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, escaped);
}

/** A name that a spreadsheet would run as a formula begins with '. @param {string | number | null} value @param {string} column */
function cell(value, column) {
  if (value === null) return "";
  if (typeof value === "number") return decimal(value, column);
  const text = column === "source" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** The shortest decimal number that is the same float32, in Python's notation. @param {number} value @param {string} column */
function decimal(value, column) {
  const exact = NUMBERS.has(column) ? shortest(value) : value;
  if (Number.isInteger(exact)) return WHOLE.has(column) ? `${exact}` : `${exact}.0`;
  return Math.abs(exact) < 1e-4 ? exact.toExponential().replace(/e-(\d)$/, "e-0$1") : `${exact}`;
}

/** @param {number} value */
function shortest(value) {
  const single = Math.fround(value);
  for (let digits = 6; digits < 9; digits++) {
    const short = Number(single.toPrecision(digits));
    if (Math.fround(short) === single) return short;
  }
  return Number(single.toPrecision(9));
}
