/** What is on the screen: a picture with its boxes and labels, the list of its faces, the bars of the chosen one. */

import { annotate, caption, rectangle } from "./draw.js";
import { Bars, byId, Faces, keyOf } from "./panel.js";

/** @typedef {import("./rows.js").Row} Row */

const TEXT = 13; // pixels of the page, in which labels are legible

export class Screen {
  constructor() {
    /** @type {{bitmap: ImageBitmap, rows: Row[], name: string} | null} */
    this.shown = null;
    this.chosen = -1; // as keyOf counts
    this.bars = new Bars();
    this.faces = new Faces((key) => this.choose(key));
    this.canvas = byId("picture");
    this.canvas.onclick = (/** @type {MouseEvent} */ event) => this.chooseAt(event.offsetX, event.offsetY);
    new ResizeObserver(() => this.draw()).observe(byId("view"));
    this.describe();
  }

  /** Show another picture, which is closed when the next one comes. @param {ImageBitmap} bitmap @param {Row[]} rows @param {string} name */
  show(bitmap, rows, name) {
    this.shown?.bitmap.close();
    this.shown = { bitmap, rows, name };
    this.draw();
  }

  clear() {
    this.shown?.bitmap.close();
    this.shown = null;
    this.draw();
    this.describe();
  }

  /** The picture as large as the view allows, at the resolution of the screen. */
  draw() {
    const { canvas, shown } = this;
    canvas.hidden = !shown;
    byId("empty").hidden = Boolean(shown);
    if (!shown) return;
    const { bitmap, rows } = shown;
    const density = Math.min(window.devicePixelRatio, 2);
    this.fit(bitmap, density);
    const context = canvas.getContext("2d", { alpha: false });
    context.imageSmoothingQuality = "medium";
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    const marked = rows.length > 1 ? rows.findIndex((row, n) => keyOf(row, n) === this.chosen) : -1;
    annotate(context, rows, canvas.width / bitmap.width, marked, TEXT * density);
  }

  /** Give the canvas the picture's shape. @param {ImageBitmap} bitmap @param {number} density pixels of the screen for one of the page */
  fit(bitmap, density) {
    const { canvas } = this;
    const view = byId("view");
    const scale = Math.min(view.clientWidth / bitmap.width, view.clientHeight / bitmap.height);
    const [width, height] = [Math.max(1, Math.round(bitmap.width * scale)), Math.max(1, Math.round(bitmap.height * scale))];
    const [wide, high] = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width === wide && canvas.height === high) return; // setting them would clear it
    [canvas.width, canvas.height] = [wide, high];
    [canvas.style.width, canvas.style.height] = [`${width}px`, `${height}px`];
  }

  /** The panel beside the picture, and what a screen reader says of it. */
  describe() {
    const { shown, chosen } = this;
    const rows = shown?.rows ?? [];
    this.faces.show(rows, shown?.bitmap ?? null, chosen, shown ? "No face in this picture" : "None yet");
    this.bars.show(rows.find((row, n) => keyOf(row, n) === chosen));
    const said = shown ? `${shown.name}: ${rows.map(caption).join(", ") || "no face"}` : "No picture yet";
    this.canvas.setAttribute("aria-label", said);
    for (const id of ["png", "csv", "json"]) byId(id).disabled = !shown;
  }

  /** @param {number} key */
  choose(key) {
    this.chosen = key;
    this.draw();
    this.describe();
  }

  /** Choose the largest face, or the first. @param {Row[]} rows */
  chooseLargest(rows) {
    const areas = rows.map((row) => (row.x2 - row.x1) * (row.y2 - row.y1));
    const n = areas.indexOf(Math.max(...areas));
    this.chosen = rows.length ? keyOf(rows[n], n) : -1;
  }

  /** Choose the face at a point of the page, from the picture's corner. @param {number} left @param {number} top */
  chooseAt(left, top) {
    if (!this.shown) return;
    const { rows, bitmap } = this.shown;
    const n = rows.findIndex((row) => {
      const [x, y, width, height] = rectangle(row, this.canvas.clientWidth / bitmap.width);
      return left >= x && left <= x + width && top >= y && top <= y + height;
    });
    if (n >= 0) this.choose(keyOf(rows[n], n));
  }

  /** What is shown, with boxes and labels, at the picture's own size. @returns {Promise<Blob | null>} */
  async picture() {
    if (!this.shown) return null;
    const { bitmap, rows } = this.shown;
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.drawImage(bitmap, 0, 0);
    annotate(context, rows, 1);
    return canvas.convertToBlob({ type: "image/png" });
  }
}
