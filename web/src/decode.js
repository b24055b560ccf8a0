/** Picture files and frames → RGBA bytes: those that Pillow gives to the Python runtime. */

import { PlainError } from "./engine.js";

const MEGAPIXELS = 100; // a picture of more is refused: its bytes alone take 400 MB

const canvas = new OffscreenCanvas(1, 1);
const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d", { alpha: false, willReadFrequently: true }));

/** A picture, upright; its colours are those of the file, whatever profile it names. @param {Blob} file @param {string} name @returns {Promise<ImageBitmap>} */
export async function decode(file, name) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" }).catch(() => {
    throw new PlainError(`${name} cannot be read as a picture: is it a whole JPEG, PNG or WebP file?`);
  });
  if (bitmap.width * bitmap.height > MEGAPIXELS * 1e6) {
    bitmap.close();
    throw new PlainError(`${name} has more than ${MEGAPIXELS} megapixels: make it smaller`);
  }
  return bitmap;
}

/** The bytes of a bitmap, over white where it is transparent. @param {ImageBitmap} bitmap @returns {import("./pixels.js").Image} */
export function pixels(bitmap) {
  const { width, height } = bitmap;
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return { data: new Uint8Array(data.buffer), width, height, channels: 4 }; // one kind of array: code for two is slow
}
