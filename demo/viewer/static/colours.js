/* Pictures as they are seen: a map over the photograph, a gradient around mid-grey. */

import { bytesOf } from "./codec.js";
import { between } from "./dom.js";
import { stretch } from "./resampling.js";
import { settings } from "./settings.js";

const tables = Object.fromEntries(Object.entries(COLOUR_TABLES).map(([name, text]) => [name, bytesOf(text)]));

// Each row has its own scale where somebody said so, and until then where the rows open so.
export const strongest = (picture) => ((settings.own ?? picture.own) ? picture.limit : picture.shared);

/* A map as it is seen, RGBA, of the size of the photograph. In a signed one zero has the colour in the middle. Opacity
   grows with the absolute value up to the one that is drawn strongest, or is uniform. */
export function overlaid(picture, photo, { opacity, uniform } = settings) {
  picture.stretched ??= stretch(picture.values, picture.columns, picture.rows, 1, photo.width, photo.height);
  const result = new ImageData(photo.width, photo.height);
  const signed = picture.kind === "signed";
  const [pixels, below, table] = [result.data, photo.data, tables[signed ? "signed" : settings.colours]];
  const [zero, most] = signed ? [128, 128] : [0, 256];
  const scale = strongest(picture) > 0 ? 1 / strongest(picture) : 0;
  for (let at = 0, to = 0; at < picture.stretched.length; at++, to += 4) {
    const share = picture.stretched[at] * scale;
    const colour = 3 * between(0, Math.floor(zero + share * most), 255);
    const cover = uniform ? opacity : opacity * Math.min(Math.abs(share), 1);
    pixels[to] = Math.floor(below[to] + cover * (table[colour] - below[to]));
    pixels[to + 1] = Math.floor(below[to + 1] + cover * (table[colour + 1] - below[to + 1]));
    pixels[to + 2] = Math.floor(below[to + 2] + cover * (table[colour + 2] - below[to + 2]));
    pixels[to + 3] = 255;
  }
  return result;
}

/* A gradient as it is seen, RGBA, of the size of the photograph. */
export function greyed(picture, { width, height }) {
  const scale = strongest(picture);
  const result = new ImageData(width, height);
  const pixels = result.data;
  const greys = picture.values.map((value) => {
    const share = scale > 0 ? Math.min(Math.max(value / scale, -1), 1) : 0;
    return Math.round(127.5 + 127.5 * share);
  });
  const stretched = stretch(greys, picture.columns, picture.rows, 3, width, height);
  for (let at = 0, to = 0; at < stretched.length; at += 3, to += 4) {
    for (let channel = 0; channel < 3; channel++) pixels[to + channel] = stretched[at + channel];
    pixels[to + 3] = 255;
  }
  return result;
}

/* The value of a picture at a point, given in shares of width and height; a gradient's is the mean of its colours. */
export function valueAt(picture, { x, y }) {
  const sides = [
    [x * picture.columns - 0.5, picture.columns],
    [y * picture.rows - 0.5, picture.rows],
  ].map(([place, count]) => {
    const before = Math.min(Math.max(Math.floor(place), 0), count - 1);
    const after = Math.min(before + 1, count - 1);
    return { before, after, share: Math.min(Math.max(place - before, 0), 1) };
  });
  const [across, down] = sides;
  const mean = (row, column) => {
    const start = (row * picture.columns + column) * picture.depth;
    let sum = 0;
    for (let channel = 0; channel < picture.depth; channel++) sum += picture.values[start + channel];
    return sum / picture.depth;
  };
  const line = (row) => (1 - across.share) * mean(row, across.before) + across.share * mean(row, across.after);
  return (1 - down.share) * line(down.before) + down.share * line(down.after);
}
