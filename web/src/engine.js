/**
 * What the page asks to read pictures and frames, and the engine that does it in this browser.
 *
 * The page knows an engine by four methods and gets rows from it, so that another one, such as a server that takes
 * frames over a WebSocket and answers with the same rows, can stand in its place.
 */

/** @typedef {import("./rows.js").Row} Row */
/** @typedef {import("./rows.js").Frame} Frame */
/** @typedef {"s" | "m"} Size which emotion network: the small one, or the one that is more often right */

/**
 * @typedef {object} Engine
 * @property {(size: Size) => Promise<void>} open make ready to answer by that network; also to change to another
 * @property {(file: Blob, name: string) => Promise<Row[]>} read the faces in a picture
 * @property {() => Promise<void>} restart begin a stream: forget who was seen before
 * @property {(bitmap: ImageBitmap, frame: Frame) => Promise<{rows: Row[], bitmap: ImageBitmap}>} watch the faces in the
 *   next frame of a stream; the bitmap is handed back
 */

/** An error whose message is meant for people: what is wrong, then what to do. */
export class PlainError extends Error {}

/** What is asked of the worker. @typedef {{kind: "open", size: Size} | {kind: "read", file: Blob, name: string} | {kind: "restart"} | {kind: "watch", bitmap: ImageBitmap, frame: Frame}} Question */

/** What it answers; `plain` says whether an error is meant for people. @typedef {{id: number, answer?: any, error?: string, plain?: boolean}} Reply */

// (module (func (result v128) (v128.const i32x4 0 0 0 0))): valid where WebAssembly has SIMD.
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 22, 1, 20, 0, 253, 12, ...new Array(16).fill(0), 11];

/** Reads in a worker of this page. @implements {Engine} */
export class BrowserEngine {
  constructor() {
    if (typeof WebAssembly === "undefined" || !WebAssembly.validate(Uint8Array.from(SIMD)) || typeof OffscreenCanvas === "undefined") {
      throw new PlainError("This browser is too old to run the networks (it lacks WebAssembly SIMD): update it, or use another");
    }
    /** @type {Map<number, {resolve: (answer: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    this.asked = 0;
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => this.settle(data);
    this.worker.onerror = () => this.fail(new PlainError("The networks could not be started: reload this page"));
  }

  /** @param {Size} size @returns {Promise<void>} */
  open(size) {
    return this.ask({ kind: "open", size });
  }

  /** @param {Blob} file @param {string} name @returns {Promise<Row[]>} */
  read(file, name) {
    return this.ask({ kind: "read", file, name });
  }

  /** @returns {Promise<void>} */
  restart() {
    return this.ask({ kind: "restart" });
  }

  /** @param {ImageBitmap} bitmap @param {Frame} frame @returns {Promise<{rows: Row[], bitmap: ImageBitmap}>} */
  watch(bitmap, frame) {
    return this.ask({ kind: "watch", bitmap, frame }, [bitmap]);
  }

  /** @param {Question} question @param {Transferable[]} transfer @returns {Promise<any>} */
  ask(question, transfer = []) {
    const id = this.asked++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, question }, transfer);
    });
  }

  /** @param {Reply} reply */
  settle({ id, answer, error, plain }) {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) waiting?.resolve(answer);
    else waiting?.reject(plain ? new PlainError(error) : new Error(error));
  }

  /** @param {Error} error */
  fail(error) {
    for (const { reject } of this.waiting.values()) reject(error);
    this.waiting.clear();
  }
}
