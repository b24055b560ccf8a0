/** Writes dist/: the bundled scripts, ONNX Runtime, the networks and what else the page loads. */

import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

process.chdir(fileURLToPath(new URL(".", import.meta.url)));
const OUT = "dist";
const COPIED = [
  "index.html",
  "style.css",
  "icon.svg",
  "models/pnet.onnx",
  "models/rnet.onnx",
  "models/onet.onnx",
  "../src/mien/models/emotion.onnx",
  "../src/mien/models/emotion-m.onnx",
  "../assets/astronaut.jpg",
  "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
];
const bundle = { bundle: true, minify: true, format: "esm", target: "es2022", outdir: OUT, legalComments: "eof" };

rmSync(OUT, { recursive: true, force: true });
mkdirSync(OUT);
for (const path of COPIED) copyFileSync(path, `${OUT}/${path.split("/").at(-1)}`);
copyFileSync("../src/mien/models/NOTICE.md", `${OUT}/notice.txt`); // plain text, which every host shows
await build({ ...bundle, entryPoints: ["src/app.js", "src/worker.js"] });

const hash = (name) => createHash("sha256").update(readFileSync(`${OUT}/${name}`)).digest("hex").slice(0, 16);
const files = Object.fromEntries(readdirSync(OUT).map((name) => [name, hash(name)]));
await build({ ...bundle, format: "iife", entryPoints: ["src/sw.js"], define: { FILES: JSON.stringify(files) } });
