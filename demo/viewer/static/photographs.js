/* The photograph below the pictures, and as a small picture. */

import { pixelsOf } from "./codec.js";
import { stretch } from "./resampling.js";

const photographs = new Map(); // by address: the pixels of the last few

export function photograph({ url }) {
  if (!photographs.has(url)) {
    if (photographs.size > 4) photographs.delete(photographs.keys().next().value);
    const fetched = fetch(url).then(async (answer) => {
      if (!answer.ok) throw new Error(`The photograph could not be fetched: ${answer.status}.`);
      return pixelsOf(await answer.blob());
    });
    fetched.catch(() => photographs.delete(url));
    photographs.set(url, fetched);
  }
  return photographs.get(url);
}

const SMALL = 132; // the longer side of a small picture, in pixels
const thumbnails = new WeakMap();

/* A photograph as a small picture. */
export function thumbnail(photo) {
  if (!thumbnails.has(photo)) {
    const factor = Math.min(SMALL / Math.max(photo.width, photo.height), 1);
    const [width, height] = [photo.width, photo.height].map((length) => Math.max(Math.round(length * factor), 1));
    const result = new ImageData(width, height);
    result.data.set(stretch(photo.data, photo.width, photo.height, 4, width, height));
    thumbnails.set(photo, result);
  }
  return thumbnails.get(photo);
}
