/* The pictures of the lesson: cells over the photograph, or alone. */

import { overlaid } from "./colours.js";
import { arrows, make, put } from "./dom.js";
import { many, signed } from "./equations.js";
import { thumbnail } from "./photographs.js";

export const most = (values) => values.reduce((found, value) => Math.max(found, Math.abs(value)), 0);

/* Cells as squares, of the size of a photograph. */
function squares(values, [rows, columns], { width, height }) {
  const found = new Float32Array(width * height);
  for (let y = 0, at = 0; y < height; y++) {
    const line = Math.floor((y * rows) / height) * columns;
    for (let x = 0; x < width; x++, at++) found[at] = values[line + Math.floor((x * columns) / width)];
  }
  return found;
}

/* A picture with its name above. */
export function figure(name, image, ...below) {
  const canvas = make("canvas", { role: "img", "aria-label": name });
  put(canvas, image);
  return make("figure", { class: "shown" }, make("figcaption", {}, name), canvas, ...below);
}

const BARE = { opacity: 1, uniform: true };

/* Cells over the photograph, or alone; `smooth` between their middles. */
export function heat(shown, values, { kind = "map", limit = most(values), alone = false, smooth = false, photo = shown.photo } = {}) {
  const [rows, columns] = shown.shape;
  const picture = { kind, values, rows, columns, limit, shared: limit };
  if (!smooth) picture.stretched = squares(values, shown.shape, photo);
  return alone ? overlaid(picture, photo, BARE) : overlaid(picture, photo);
}

/* One after the other. */
export const part = (values, place, size) => values.subarray(place * size, (place + 1) * size);

export const cellsOf = ({ shape: [rows, columns] }) => rows * columns;

const mapName = (shown, place) => `Feature map ${shown.order[place] + 1}, weight ${signed(shown.weights[place])}`;

/* The feature maps that count most, each to click; `current` is the one that is looked at. */
export function mapButtons(scene, current, choose) {
  const { shown } = scene;
  const photo = thumbnail(shown.photo);
  const buttons = shown.order.map((_, place) => {
    const canvas = make("canvas", { "aria-hidden": "true" });
    put(canvas, heat(shown, part(shown.features, place, cellsOf(shown)), { photo }));
    const name = mapName(shown, place);
    const pressed = current === null ? null : String(place === current);
    const attributes = { "data-key": place, "aria-label": name, "aria-pressed": pressed, tabindex: place === (current ?? 0) ? 0 : -1 };
    const label = make("span", {}, make("small", {}, `${many(shown.order[place] + 1)}: `), signed(shown.weights[place]));
    return make("button", { type: "button", ...attributes, onclick: () => choose(place) }, canvas, label);
  });
  const group = make("div", { class: "maps", role: "group", "aria-label": "The feature maps with the largest weights" }, ...buttons);
  group.addEventListener("keydown", (event) => {
    arrows(event, buttons, () => {});
    if (event.defaultPrevented) event.stopPropagation();
  });
  return group;
}
