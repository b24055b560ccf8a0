/**
 * What Mien's Python runtime asks of OpenCV, to the byte: shrinking by area, gray, sampling at points, turning.
 *
 * A canvas resizes in other ways, and the networks answer otherwise then: faces are lost and labels change. OpenCV 4
 * counts in float32 and rounds halves to even numbers, and where it samples, in 1/32 of a pixel; so does this file.
 */

/**
 * A picture's bytes, row by row. Of four channels the fourth, alpha, is not looked at.
 * @typedef {{data: Uint8Array, width: number, height: number, channels: 1 | 3 | 4}} Image
 */

/** A part of a picture: from `x1`, `y1` up to, and without, `x2`, `y2`. @typedef {{x1: number, y1: number, x2: number, y2: number}} Part */

const f = Math.fround;
const FRACTIONS = 32; // positions between two pixels that OpenCV tells apart
const WHOLE = FRACTIONS * FRACTIONS;
const HALF_EVEN = 1.5 * 2 ** 52; // added and subtracted, a double loses what lies behind its point, halves to even

/** @param {number} value @returns {number} rounded as C does, halves to the even number */
export function rint(value) {
  return value + HALF_EVEN - HALF_EVEN;
}

/** @param {number} width @param {number} height @param {1 | 3} channels @returns {Image} */
export function blank(width, height, channels) {
  return { data: new Uint8Array(width * height * channels), width, height, channels };
}

/** @param {Image} image @returns {1 | 3} the channels that come out where such a picture goes in */
const kept = (image) => (image.channels === 1 ? 1 : 3);

/** A part of a picture as a picture of its own, without alpha. @param {Image} image @param {Part} part @returns {Image} */
export function cut(image, { x1, y1, x2, y2 }) {
  const out = blank(x2 - x1, y2 - y1, kept(image));
  for (let y = y1, to = 0; y < y2; y++) {
    for (let x = x1, from = (y * image.width + x1) * image.channels; x < x2; x++, from += image.channels) {
      for (let c = 0; c < out.channels; c++) out.data[to++] = image.data[from + c];
    }
  }
  return out;
}

/** The brightness of an RGB pixel (BT.601) that begins at `at`. @param {Uint8Array} data @param {number} at */
export function luma(data, at) {
  return (data[at] * 9798 + data[at + 1] * 19235 + data[at + 2] * 3735 + 16384) >> 15;
}

/** A part of an RGB picture as gray bytes. @param {Image} image @param {Part} part @returns {Image} */
export function gray(image, { x1, y1, x2, y2 }) {
  const out = blank(x2 - x1, y2 - y1, 1);
  const { data, channels } = image;
  for (let y = y1, to = 0; y < y2; y++) {
    for (let x = x1, at = (y * image.width + x1) * channels; x < x2; x++, at += channels) {
      out.data[to++] = luma(data, at);
    }
  }
  return out;
}

/** Half the size, each pixel the mean of four; the last line of an odd number is left out. @param {Image} image @returns {Image} */
export function halved(image) {
  const { data, channels } = image;
  const out = blank(image.width >> 1, image.height >> 1, kept(image));
  const below = image.width * channels;
  for (let y = 0, to = 0; y < out.height; y++) {
    for (let x = 0, at = 2 * y * below; x < out.width; x++, at += 2 * channels) {
      for (let c = 0; c < out.channels; c++) {
        const here = at + c;
        const four = data[here] + data[here + channels] + data[here + below] + data[here + below + channels];
        out.data[to++] = (four + 2) >> 2;
      }
    }
  }
  return out;
}

/**
 * The picture at a smaller size, each pixel the mean of the area that it covers (OpenCV's INTER_AREA).
 *
 * Where a side is to grow, OpenCV interpolates and this still takes the area: no more than a likeness.
 * @param {Image} image @param {number} width @param {number} height @returns {Image}
 */
export function shrink(image, width, height) {
  if (width === image.width && height === image.height) {
    return cut(image, { x1: 0, y1: 0, x2: width, y2: height });
  }
  const across = 1 / (width / image.width);
  const down = 1 / (height / image.height);
  const [nearX, nearY] = [Math.round(across), Math.round(down)];
  if (Math.abs(across - nearX) < Number.EPSILON && Math.abs(down - nearY) < Number.EPSILON) {
    const even = image.width === 2 * width && image.height === 2 * height;
    return even ? halved(image) : blocks(image, width, height, nearX, nearY);
  }
  return areas(image, width, height, across, down);
}

/** By whole pixels: the mean of blocks. @param {Image} image @param {number} width @param {number} height @param {number} across @param {number} down @returns {Image} */
function blocks(image, width, height, across, down) {
  const { data, channels } = image;
  const out = blank(width, height, kept(image));
  const share = f(1 / (across * down));
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < out.channels; c++) {
        let sum = 0;
        for (let j = 0; j < down; j++) {
          let at = ((y * down + j) * image.width + x * across) * channels + c;
          for (let i = 0; i < across; i++, at += channels) sum += data[at];
        }
        out.data[to++] = rint(f(sum * share));
      }
    }
  }
  return out;
}

/** By any factor: each row is shrunk, then the rows of an output row are added up. @param {Image} image @param {number} width @param {number} height @param {number} across @param {number} down @returns {Image} */
function areas(image, width, height, across, down) {
  const { data } = image;
  const out = blank(width, height, kept(image));
  const size = width * out.channels;
  const row = new Float32Array(size);
  const sum = new Float32Array(size);
  const columns = shares(image.width, width, across);
  const rows = shares(image.height, height, down);
  for (let line = 0; line < height; line++) {
    sum.fill(0);
    for (let k = rows.first[line]; k < rows.first[line + 1]; k++) {
      shrinkRow(data, rows.from[k] * image.width * image.channels, image.channels, columns, row);
      const share = rows.share[k];
      for (let i = 0; i < size; i++) sum[i] = f(sum[i] + f(share * row[i]));
    }
    for (let i = 0, to = line * size; i < size; i++) out.data[to++] = rint(sum[i]);
  }
  return out;
}

/** @param {Uint8Array} data @param {number} start @param {number} step @param {Shares} columns @param {Float32Array} row */
function shrinkRow(data, start, step, { first, from, share }, row) {
  const count = first.length - 1;
  for (let column = 0, k = 0, to = 0; column < count; column++) {
    const end = first[column + 1];
    let red = f(0);
    if (step === 1) {
      for (; k < end; k++) red = f(red + f(f(data[start + from[k]]) * share[k]));
      row[to++] = red;
      continue;
    }
    let green = f(0);
    let blue = f(0);
    for (; k < end; k++) {
      const at = start + from[k] * step;
      red = f(red + f(f(data[at]) * share[k]));
      green = f(green + f(f(data[at + 1]) * share[k]));
      blue = f(blue + f(f(data[at + 2]) * share[k]));
    }
    row[to] = red;
    row[to + 1] = green;
    row[to + 2] = blue;
    to += 3;
  }
}

/** Of each line of the result: from `first[line]` up to `first[line + 1]`, which source lines go into it and by what share. @typedef {{first: Int32Array, from: Int32Array, share: Float32Array}} Shares */

/** What OpenCV's computeResizeAreaTab says. @param {number} size @param {number} wanted @param {number} scale @returns {Shares} */
function shares(size, wanted, scale) {
  const first = new Int32Array(wanted + 1);
  const entries = /** @type {[number, number][]} */ ([]);
  for (let line = 0; line < wanted; line++) {
    const [begin, end] = [line * scale, line * scale + scale];
    const width = Math.min(scale, size - begin);
    const last = Math.min(Math.floor(end), size - 1);
    const whole = Math.min(Math.ceil(begin), last);
    if (whole - begin > 1e-3) entries.push([whole - 1, (whole - begin) / width]);
    for (let source = whole; source < last; source++) entries.push([source, 1 / width]);
    if (end - last > 1e-3) entries.push([last, Math.min(end - last, 1, width) / width]);
    first[line + 1] = entries.length;
  }
  return { first, from: Int32Array.from(entries, (entry) => entry[0]), share: Float32Array.from(entries, (entry) => entry[1]) };
}

/**
 * An RGB picture at every column of `across` in every row of `down`, between pixels interpolated (OpenCV's remap).
 * @param {Image} image @param {Float32Array} across @param {Float32Array} down in pixels @param {number} beyond the gray around the picture
 * @param {Uint8Array} out gets RGB bytes @param {number} start where in `out`
 */
export function sample(image, across, down, beyond, out, start) {
  const xs = Int32Array.from(across, (x) => rint(x * FRACTIONS));
  const ys = Int32Array.from(down, (y) => rint(y * FRACTIONS));
  for (let row = 0, to = start; row < ys.length; row++) {
    for (let column = 0; column < xs.length; column++, to += 3) interpolate(image, xs[column], ys[row], beyond, out, to);
  }
}

/** The same at points, each of its own. @param {Image} image @param {Float32Array} across @param {Float32Array} down @param {number} beyond @param {Uint8Array} out */
export function sampleAt(image, across, down, beyond, out) {
  for (let n = 0; n < across.length; n++) {
    interpolate(image, rint(across[n] * FRACTIONS), rint(down[n] * FRACTIONS), beyond, out, 3 * n);
  }
}

/** One pixel, at a point in 1/32 of a pixel. @param {Image} image @param {number} fixedX @param {number} fixedY @param {number} beyond @param {Uint8Array} out @param {number} to */
function interpolate(image, fixedX, fixedY, beyond, out, to) {
  const { data, width, height, channels } = image;
  const x = fixedX >> 5;
  const y = fixedY >> 5;
  const right = fixedX & 31;
  const lower = fixedY & 31;
  const left = FRACTIONS - right;
  const upper = FRACTIONS - lower;
  const line = width * channels;
  const whole = x >= 0 && y >= 0 && x + 1 < width && y + 1 < height;
  for (let c = 0, at = y * line + x * channels; c < 3; c++, at++) {
    const p00 = whole ? data[at] : inside(image, x, y, at, beyond);
    const p01 = whole ? data[at + channels] : inside(image, x + 1, y, at + channels, beyond);
    const p10 = whole ? data[at + line] : inside(image, x, y + 1, at + line, beyond);
    const p11 = whole ? data[at + line + channels] : inside(image, x + 1, y + 1, at + line + channels, beyond);
    out[to + c] = ((p00 * left + p01 * right) * upper + (p10 * left + p11 * right) * lower + WHOLE / 2) >> 10;
  }
}

/** The byte at `at`, which is that of x, y, or what is seen beyond the picture. @param {Image} image @param {number} x @param {number} y @param {number} at @param {number} beyond */
function inside({ data, width, height }, x, y, at, beyond) {
  return x >= 0 && y >= 0 && x < width && y < height ? data[at] : beyond;
}

/** An RGB picture turned clockwise. @param {Image} image @param {90 | 180 | 270} degrees @returns {Image} */
export function turned({ data, width, height, channels }, degrees) {
  const out = degrees === 180 ? blank(width, height, 3) : blank(height, width, 3);
  for (let y = 0, to = 0; y < out.height; y++) {
    for (let x = 0; x < out.width; x++) {
      const [column, row] = degrees === 90 ? [y, height - 1 - x] : degrees === 180 ? [width - 1 - x, height - 1 - y] : [width - 1 - y, x];
      const from = (row * width + column) * channels;
      for (let c = 0; c < 3; c++) out.data[to++] = data[from + c];
    }
  }
  return out;
}

/**
 * A square of a gray picture through an affine map (OpenCV's warpAffine with WARP_INVERSE_MAP and BORDER_REPLICATE).
 * @param {Image} image @param {number[]} toX @param {number[]} toY a, b, c each: the source lies at a·x + b·y + c @param {number} side
 * @returns {Image}
 */
export function warp(image, toX, toY, side) {
  const { data, width, height } = image;
  const out = blank(side, side, 1);
  const steps = 1024; // coordinates are summed up in 1/1024 of a pixel, then cut to 1/32
  for (let row = 0, to = 0; row < side; row++) {
    const startX = rint((toX[1] * row + toX[2]) * steps) + steps / FRACTIONS / 2;
    const startY = rint((toY[1] * row + toY[2]) * steps) + steps / FRACTIONS / 2;
    for (let column = 0; column < side; column++) {
      const fixedX = (startX + rint(toX[0] * column * steps)) >> 5;
      const fixedY = (startY + rint(toY[0] * column * steps)) >> 5;
      const right = fixedX & 31;
      const lower = fixedY & 31;
      const x1 = clamp(fixedX >> 5, width);
      const x2 = clamp((fixedX >> 5) + 1, width);
      const y1 = clamp(fixedY >> 5, height) * width;
      const y2 = clamp((fixedY >> 5) + 1, height) * width;
      const above = data[y1 + x1] * (FRACTIONS - right) + data[y1 + x2] * right;
      const below = data[y2 + x1] * (FRACTIONS - right) + data[y2 + x2] * right;
      out.data[to++] = (above * (FRACTIONS - lower) + below * lower + WHOLE / 2) >> 10;
    }
  }
  return out;
}

/** @param {number} at @param {number} size */
const clamp = (at, size) => Math.min(Math.max(at, 0), size - 1);
