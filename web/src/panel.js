/** What stands beside and below the picture: the faces, the bars of the chosen one, the pictures, the last minute. */

import { BIN, MINUTE, percent, rectangle, shownOf, timeline } from "./draw.js";
import { COLOURS, EMOTIONS } from "./rows.js";

/** @typedef {import("./rows.js").Row} Row */

/** @template {keyof HTMLElementTagNameMap} T @param {T} tag @param {Record<string, any>} properties @param {(Node | string)[]} children @returns {HTMLElementTagNameMap[T]} */
export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** @param {string} id @returns {any} the element, of whatever kind the page has there */
export const byId = (id) => document.getElementById(id);

/** Which of a frame's faces is meant: a person's number or, where that is not known, the place from the left, below 0. @param {Row} row @param {number} n */
export const keyOf = (row, n) => row.person ?? -(n + 1);

/** The seven bars of one face. */
export class Bars {
  constructor() {
    this.lines = EMOTIONS.map((emotion, n) => {
      const fill = element("span", { className: "fill" });
      fill.style.background = COLOURS[n];
      const output = element("output", { textContent: "–" });
      const line = element("li", {}, element("span", { textContent: emotion }), element("span", { className: "track" }, fill), output);
      byId("bars").append(line);
      return { line, fill, output };
    });
  }

  /** @param {Row | undefined} row */
  show(row) {
    const first = row && shownOf(row).emotion;
    this.lines.forEach(({ line, fill, output }, n) => {
      const emotion = EMOTIONS[n];
      line.className = emotion === first ? "first" : "";
      fill.style.transform = `translateX(${100 * (row ? row[emotion] : 0) - 100}%)`;
      output.textContent = row ? percent(row[emotion]) : "–";
    });
  }
}

/** The list of faces, of which one is chosen. */
export class Faces {
  /** @param {(key: number) => void} onChoose */
  constructor(onChoose) {
    this.onChoose = onChoose;
    /** @type {Map<number, {label: HTMLLabelElement, radio: HTMLInputElement, look: HTMLCanvasElement, emotion: HTMLElement, share: HTMLElement}>} */
    this.entries = new Map();
    this.list = byId("faces");
    this.none = this.list.firstElementChild;
    /** @type {HTMLElement | undefined} */
    this.revealed = undefined;
  }

  /** @param {Row[]} rows @param {CanvasImageSource | null} picture that they were read from @param {number} chosen @param {string} none what is said where there are none */
  show(rows, picture, chosen, none) {
    const keys = rows.map(keyOf);
    for (const [key, { label }] of this.entries) {
      if (!keys.includes(key)) {
        label.remove();
        this.entries.delete(key);
      }
    }
    rows.forEach((row, n) => {
      const entry = this.entries.get(keys[n]) ?? this.add(row, keys[n]);
      const { emotion, probability } = shownOf(row);
      entry.radio.checked = keys[n] === chosen;
      entry.emotion.textContent = emotion;
      entry.share.textContent = percent(probability);
      if (picture) thumbnail(entry.look, picture, row);
    });
    this.reveal(this.entries.get(chosen)?.label);
    this.none.hidden = rows.length > 0;
    this.none.textContent = none;
  }

  /** Scroll the list, and not the page, to an entry. @param {HTMLElement | undefined} label */
  reveal(label) {
    if (!label || label === this.revealed) return;
    this.revealed = label;
    const below = label.offsetTop + label.offsetHeight - this.list.offsetTop - this.list.clientHeight;
    this.list.scrollTop = Math.min(Math.max(this.list.scrollTop, below + 6), label.offsetTop - this.list.offsetTop - 6);
  }

  /** @param {Row} row @param {number} key */
  add(row, key) {
    const radio = element("input", { type: "radio", name: "face", onchange: () => this.onChoose(key) });
    const look = element("canvas", { width: 84, height: 84 });
    look.setAttribute("aria-hidden", "true");
    const [emotion, share] = [element("b"), element("output")];
    const who = element("small", { textContent: row.person === null ? `Face ${-key}` : `Person ${key}` });
    const label = element("label", {}, radio, look, element("span", {}, emotion, who), share);
    const entry = { label, radio, look, emotion, share };
    const after = [...this.entries.keys()].filter((other) => Math.abs(other) > Math.abs(key)).sort((a, b) => Math.abs(a) - Math.abs(b))[0];
    this.list.insertBefore(label, this.entries.get(after)?.label ?? null);
    this.entries.set(key, entry);
    return entry;
  }
}

/** @param {HTMLCanvasElement} canvas @param {CanvasImageSource} picture @param {Row} row */
function thumbnail(canvas, picture, row) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const [x, y, width, height] = rectangle(row, 1);
  const side = 1.15 * Math.max(width, height);
  context.clearRect(0, 0, canvas.width, canvas.height);
  const [left, top] = [x + (width - side) / 2, y + (height - side) / 2];
  context.drawImage(picture, left, top, side, side, 0, 0, canvas.width, canvas.height);
}

/** A picture that was opened; `rows` are null until it was read. @typedef {{file: File, name: string, rows: Row[] | null}} Picture */

/** The pictures in a line, of which one is shown. */
export class Strip {
  /** @param {(picture: Picture) => void} onChoose @param {() => void} onClear */
  constructor(onChoose, onClear) {
    this.onChoose = onChoose;
    this.group = element("div");
    this.group.setAttribute("role", "radiogroup");
    this.group.setAttribute("aria-label", "Pictures");
    const clear = element("button", { type: "button", textContent: "Clear", title: "Forget all pictures", onclick: onClear });
    this.line = element("div", { id: "strip" }, this.group, clear);
    /** @type {Map<Picture, {label: HTMLElement, radio: HTMLInputElement, count: HTMLElement, url: string}>} */
    this.entries = new Map();
  }

  /** @param {Picture} picture */
  add(picture) {
    const url = URL.createObjectURL(picture.file);
    const radio = element("input", { type: "radio", name: "picture", onchange: () => this.onChoose(picture) });
    radio.setAttribute("aria-label", picture.name);
    const count = element("span", { className: "count" });
    const label = element("label", { title: picture.name }, radio, element("img", { src: url, alt: "", decoding: "async" }), count);
    this.entries.set(picture, { label, radio, count, url });
    this.group.append(label);
  }

  /** @param {Picture} picture */
  remove(picture) {
    const entry = this.entries.get(picture);
    if (!entry) return;
    entry.label.remove();
    URL.revokeObjectURL(entry.url);
    this.entries.delete(picture);
  }

  /** @param {Picture | null} shown */
  show(shown) {
    for (const [picture, { radio, count }] of this.entries) {
      radio.checked = picture === shown;
      count.textContent = picture.rows ? `${picture.rows.length}` : "";
    }
  }
}

/** The last minute of each person: for every half second the mean of the scores. */
export class People {
  constructor() {
    this.axis = element("li", { className: "axis" }, element("small", { textContent: "a minute ago" }), element("small", { textContent: "now" }));
    this.list = element("ul", { id: "people" });
    /** @type {Map<number, {moments: {time: number, scores: number[], count: number}[], line: HTMLElement, canvas: HTMLCanvasElement}>} */
    this.people = new Map();
  }

  /** @param {Row[]} rows */
  add(rows) {
    for (const row of [...rows].sort((a, b) => Number(a.person) - Number(b.person))) {
      if (row.person === null) continue;
      const { moments } = this.people.get(row.person) ?? this.meet(row.person);
      const scores = EMOTIONS.map((emotion) => row[emotion]);
      const last = moments.at(-1);
      if (last && Math.floor(last.time / BIN) === Math.floor(row.time / BIN)) {
        last.count++;
        last.scores = last.scores.map((mean, n) => mean + (scores[n] - mean) / last.count);
      } else {
        moments.push({ time: row.time, scores, count: 1 });
      }
    }
  }

  /** @param {number} person */
  meet(person) {
    const canvas = element("canvas", { width: 720, height: 40 });
    canvas.setAttribute("role", "img");
    const line = element("li", {}, element("span", { textContent: `Person ${person}` }), canvas);
    const met = { moments: [], line, canvas };
    this.people.set(person, met);
    this.list.append(line, this.axis);
    return met;
  }

  /** @param {number} now seconds of the stream */
  show(now) {
    for (const [person, { moments, line, canvas }] of this.people) {
      while (moments.length > 0 && moments[0].time < now - MINUTE) moments.shift();
      if (moments.length === 0) {
        line.remove();
        this.people.delete(person);
        continue;
      }
      timeline(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), moments, now);
      const means = EMOTIONS.map((_, n) => moments.reduce((sum, { scores }) => sum + scores[n], 0));
      const most = EMOTIONS[means.indexOf(Math.max(...means))];
      canvas.setAttribute("aria-label", `Person ${person} in the last minute: mostly ${most}`);
    }
  }
}
