/**
 * The page's engine where the page is not built: the server that serves the page reads the faces.
 *
 * It stands in the place of web/src/engine.js, has the same methods, and answers with the same rows.
 */

/** An error whose message is meant for people: what is wrong, then what to do. */
export class PlainError extends Error {}

const QUALITY = 0.92; // of the JPEG files that frames are sent as
const AWAY = "The server does not answer: start it again with `mien serve`, then reload this page";
const token = new URLSearchParams(location.hash.slice(1)).get("token"); // the part of an address that is never sent

/** Sends pictures by HTTP and frames over a WebSocket, one after the other. */
export class BrowserEngine {
  constructor() {
    this.opened = false;
    this.socket = null;
    this.turn = Promise.resolve();
    tellWhereItIsRead();
  }

  /** Make ready to answer by a network, which is the server's choice: the first call takes the one that it has. */
  async open(size) {
    const { model } = await (await reached(fetch("v1/health"))).json();
    if (this.opened && model !== size) {
      throw new PlainError(`This server reads with ${model}: start it with \`mien serve --model ${size}\``);
    }
    const choice = document.querySelector(`[name=size][value="${model}"]`);
    if (choice) choice.checked = true;
    this.opened = true;
  }

  /** The rows of a picture. */
  async read(file, name) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const query = new URLSearchParams({ name });
    const answer = await reached(fetch(`v1/read?${query}`, { method: "POST", body: file, headers }));
    const said = await answer.json();
    if (!answer.ok) throw new PlainError(`${name}: ${said.detail}`);
    return said.pictures[0].rows;
  }

  /** Begin a stream: the server forgets who was seen before. */
  async restart() {
    this.socket?.close();
    this.socket = null;
  }

  /** The rows of the next frame of a stream; the bitmap is handed back. */
  async watch(bitmap, frame) {
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    const picture = await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY });
    const answer = this.turn.then(() => this.exchange(picture, frame));
    this.turn = answer.catch(() => null);
    const { rows, problem } = await answer;
    if (problem) throw new PlainError(problem.detail);
    return { rows: rows.map((row) => ({ ...row, frame: frame.index })), bitmap };
  }

  /** Send a frame and wait for its answer. */
  async exchange(picture, { time, name }) {
    this.socket ??= await connected();
    const { socket } = this;
    return new Promise((resolve, reject) => {
      socket.onmessage = ({ data }) => resolve(JSON.parse(data));
      socket.onclose = () => {
        if (this.socket === socket) this.socket = null; // a stream that rested is begun anew
        reject(new PlainError(AWAY));
      };
      socket.send(JSON.stringify({ time, source: name }));
      socket.send(picture);
    });
  }
}

/** An open WebSocket. */
function connected() {
  const url = new URL("v1/watch", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, token ? ["mien", `bearer.${token}`] : ["mien"]);
    socket.onopen = () => {
      socket.onclose = null;
      resolve(socket);
    };
    socket.onclose = () => reject(new PlainError(AWAY));
  });
}

/** What fetch gives, or a sentence. */
async function reached(request) {
  return request.catch(() => {
    throw new PlainError(AWAY);
  });
}

/** The page says that nothing leaves this computer, which is so when the server is on it. */
function tellWhereItIsRead() {
  const local = /^(localhost|127\..*|\[::1\])$/.test(location.hostname);
  const where = local ? "Read by the server on this computer" : `Pictures are sent to ${location.hostname}`;
  const short = document.querySelector("header .local");
  if (short) short.textContent = where;
  for (const title of document.querySelectorAll("footer h2")) {
    if (!title.textContent.includes("Nothing leaves")) continue;
    title.textContent = where;
    title.nextElementSibling.textContent = "Pictures, frames of the camera and of videos go to the server that serves " +
      "this page, which keeps none of them.";
  }
}
