/* The arrays of pictures, decoded from what demo/viewer/data.py makes. */

import { stretch } from "./resampling.js";

export function bytesOf(text) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
  return bytes;
}

/* The pixels of a picture file, RGBA. */
export async function pixelsOf(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/* An array as it was sent, decoded. A gradient's values are known up to its `reach`. */
export async function decoded(picture) {
  const [rows, columns] = picture.shape;
  if (picture.kind !== "gradient") {
    return { ...picture, rows, columns, depth: 1, values: new Float32Array(bytesOf(picture.data).buffer) };
  }
  const { data } = await pixelsOf(new Blob([bytesOf(picture.data)], { type: "image/webp" }));
  const values = new Float32Array(rows * columns * 3);
  for (let at = 0, from = 0; at < values.length; from += 4) {
    for (let channel = 0; channel < 3; channel++) values[at++] = ((data[from + channel] - 128) / 127) * picture.reach;
  }
  return { ...picture, rows, columns, depth: 3, values };
}

/* The pointwise product of a gradient and a map, which is stretched to the gradient's size. */
export function product(picture, gradient, map) {
  const up = stretch(map.values, map.columns, map.rows, 1, gradient.columns, gradient.rows);
  const values = gradient.values.map((value, at) => value * up[Math.floor(at / 3)]);
  return { ...picture, rows: gradient.rows, columns: gradient.columns, depth: 3, values };
}

/* All the pictures of a row, by method. */
export async function decodedRow(pictures) {
  const row = {};
  for (const [key, picture] of Object.entries(pictures)) if (picture.data) row[key] = await decoded(picture);
  for (const [key, picture] of Object.entries(pictures)) {
    if (picture.product) row[key] = product(picture, ...picture.product.map((part) => row[part]));
  }
  return Object.fromEntries(Object.keys(pictures).map((key) => [key, row[key]]));
}
