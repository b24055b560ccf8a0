/** Where pictures and frames come from: files that are chosen, dropped or pasted, a camera, a video. */

import { PlainError } from "./engine.js";

/** @typedef {import("./rows.js").Frame} Frame */
/** @typedef {(bitmap: ImageBitmap, frame: Frame) => Promise<void>} Take */

const IN_FLIGHT = 2; // frames that are worked on at a time: one is copied while the other is read
const VIDEO_ENDINGS = /\.(avi|m4v|mkv|mov|mp4|mpe?g|ogv|webm)$/i; // where a file has no type

/** The files of a drop, a paste or a choice. @param {FileList | DataTransfer | null} given @returns {{pictures: File[], videos: File[]}} */
export function sorted(given) {
  const files = given instanceof DataTransfer ? given.files : given;
  const isVideo = (/** @type {File} */ file) => file.type.startsWith("video/") || VIDEO_ENDINGS.test(file.name);
  const all = [...(files ?? [])];
  return { pictures: all.filter((file) => !isVideo(file)), videos: all.filter(isVideo) };
}

/** The camera, of those there are the one that looks at its user. @returns {Promise<HTMLVideoElement>} */
export async function openCamera() {
  if (!navigator.mediaDevices) {
    throw new PlainError("The browser gives a camera to secure pages only: open this page by https or from localhost");
  }
  const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" };
  const media = await navigator.mediaDevices.getUserMedia({ video: wanted }).catch((error) => {
    throw new PlainError(whyNoCamera(error.name));
  });
  const video = player();
  video.srcObject = media;
  for (const track of media.getTracks()) track.onended = () => video.dispatchEvent(new Event("ended")); // unplugged
  await video.play();
  return video;
}

/** @param {string} name of the DOMException @returns {string} */
function whyNoCamera(name) {
  if (name === "NotAllowedError") return "The camera may not be used: allow it for this page in the browser, then try again";
  if (name === "NotFoundError" || name === "OverconstrainedError") return "No camera was found: connect one, then try again";
  if (name === "NotReadableError" || name === "AbortError") return "The camera is busy: close the program that uses it, then try again";
  return `The camera cannot be used (${name}): choose a picture or a video`;
}

/** @param {File} file @returns {Promise<HTMLVideoElement>} */
export async function openVideo(file) {
  const video = player();
  video.src = URL.createObjectURL(file);
  await new Promise((resolve, reject) => {
    video.onloadeddata = resolve;
    video.onerror = () => reject(new PlainError(`${file.name} cannot be played by this browser: try MP4 (H.264) or WebM`));
  }).catch((error) => {
    close(video);
    throw error;
  });
  if (!video.videoWidth) {
    close(video);
    throw new PlainError(`${file.name} has no moving pictures in it: choose another file`);
  }
  await video.play();
  return video;
}

function player() {
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  return video;
}

/** Let go of the camera or the file. @param {HTMLVideoElement} video */
export function close(video) {
  video.pause();
  if (video.srcObject instanceof MediaStream) {
    for (const track of video.srcObject.getTracks()) track.stop();
  }
  if (video.src) URL.revokeObjectURL(video.src);
  video.srcObject = null;
  video.removeAttribute("src");
}

/**
 * Hand over each frame that is shown, with its place and time in the stream. What comes while IN_FLIGHT frames are
 * worked on is dropped, so that a slow machine sees the newest frames and not old ones.
 * @param {HTMLVideoElement} video @param {string} name @param {Take} take
 * @returns {{stop: () => void, ended: Promise<void>, dropped: () => number}} `ended` rejects where `take` does
 */
export function watch(video, name, take) {
  let [inFlight, index, dropped, over, stopped] = [0, 0, 0, false, false];
  /** @type {number | undefined} */
  let began;
  /** @type {() => void} */
  let resolve;
  /** @type {(error: unknown) => void} */
  let reject;
  const ended = new Promise((yes, no) => ([resolve, reject] = [() => yes(undefined), no]));

  /** @param {number} now @param {VideoFrameCallbackMetadata} shown */
  const onFrame = async (now, shown) => {
    if (stopped) return;
    video.requestVideoFrameCallback(onFrame);
    began ??= now;
    const frame = { name, index: index++, time: video.srcObject ? (now - began) / 1000 : shown.mediaTime };
    if (inFlight >= IN_FLIGHT) {
      dropped++;
      return;
    }
    inFlight++;
    try {
      await take(await createImageBitmap(video), frame);
    } catch (error) {
      if (!stopped) reject(error);
    }
    inFlight--;
    if (over && inFlight === 0) resolve();
  };
  video.requestVideoFrameCallback(onFrame);
  video.onended = () => {
    over = true;
    if (inFlight === 0) resolve();
  };
  const stop = () => {
    stopped = true;
    close(video);
    resolve();
  };
  return { stop, ended, dropped: () => dropped };
}

/** Give a file to the person. @param {Blob} content @param {string} name */
export function save(content, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // by then the browser has read it
}
