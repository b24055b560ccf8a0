/**
 * The service worker: a cache of the page's own files, so that it works offline. It runs no network and reads nothing.
 *
 * A file is kept under its name and the hash of its content, so that a new version fetches what has changed alone. On
 * the first visit files are kept as the page loads them, each fetched once; a new version is fetched whole before it
 * takes over.
 */

/** Hashes by name, put in by the build. @type {Record<string, string>} */
const files = FILES;
const LATE = ["emotion-m.onnx"]; // fetched when it is chosen: it is not for everybody

/** @typedef {Event & {waitUntil: (done: Promise<unknown>) => void}} Extendable */
/** @typedef {Extendable & {request: Request, respondWith: (response: Promise<Response>) => void}} Fetch */
const worker = /** @type {any} */ (self);

/** @param {string} name */
const keyOf = (name) => `${new URL(name, worker.registration.scope)}?${files[name]}`;

/** @param {string} name @returns {Promise<Response>} */
async function kept(name) {
  const cache = await caches.open("mien");
  const found = await cache.match(keyOf(name));
  if (found) return found;
  const response = await fetch(new URL(name, worker.registration.scope), { cache: "no-cache" });
  if (response.ok) await cache.put(keyOf(name), response.clone()).catch(() => null); // no room: it works online
  return response;
}

async function install() {
  const first = (await (await caches.open("mien")).keys()).length === 0;
  const shell = ["index.html", "style.css", "icon.svg", "app.js", "astronaut.jpg", "notice.txt"];
  const names = first ? shell : Object.keys(files).filter((name) => !LATE.includes(name));
  await Promise.all(names.map(kept));
  await worker.skipWaiting();
}

async function activate() {
  const cache = await caches.open("mien");
  const wanted = new Set(Object.keys(files).map(keyOf));
  const old = (await cache.keys()).filter((request) => !wanted.has(request.url));
  await Promise.all(old.map((request) => cache.delete(request)));
  await worker.clients.claim();
}

worker.addEventListener("install", (/** @type {Extendable} */ event) => event.waitUntil(install()));
worker.addEventListener("activate", (/** @type {Extendable} */ event) => event.waitUntil(activate()));
worker.addEventListener("message", (/** @type {Extendable} */ event) => event.waitUntil(worker.clients.claim()));
worker.addEventListener("fetch", (/** @type {Fetch} */ event) => {
  const { href } = new URL(event.request.url);
  const name = href.slice(worker.registration.scope.length).replace(/[?#].*/, "") || "index.html";
  if (href.startsWith(worker.registration.scope) && name in files) event.respondWith(kept(name));
});
