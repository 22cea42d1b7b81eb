/* The settings of the pictures: the same in all tabs, kept by the browser. */

import { between } from "./dom.js";

const KEPT = "panels";
export const opacities = { true: 0.5, false: 0.8 }; // where uniform and where not; at first, then as last chosen there
export const settings = { colours: Object.keys(COLOUR_NAMES)[0], opacity: opacities.false, uniform: false, own: null, split: 1 };
try {
  const kept = JSON.parse(localStorage.getItem(KEPT)) ?? {};
  if (Object.hasOwn(COLOUR_NAMES, kept.colours)) settings.colours = kept.colours;
  // An opacity without it was chosen when all was uniform.
  if (typeof kept.uniform === "boolean" && typeof kept.opacity === "number") {
    Object.assign(settings, { uniform: kept.uniform, opacity: between(0, kept.opacity, 1) });
  }
} catch {
  // A browser that keeps nothing starts with the defaults.
}

const drawing = new Map(); // of each element whose pictures depend on the settings, what draws them
const stale = new Set(); // those that were out of sight when the settings changed

const sight = new IntersectionObserver((seen) => {
  for (const { target, isIntersecting } of seen) if (isIntersecting && stale.delete(target)) drawing.get(target)(settings);
});

export function drawnAnew(element, draw) {
  drawing.set(element, draw);
  sight.observe(element);
}

export function set(changes) {
  Object.assign(settings, changes);
  try {
    const { colours, opacity, uniform } = settings;
    localStorage.setItem(KEPT, JSON.stringify({ colours, opacity, uniform }));
  } catch {
    // As above.
  }
  for (const [element, draw] of drawing) {
    if (element.offsetParent) draw(changes);
    else stale.add(element);
  }
}
