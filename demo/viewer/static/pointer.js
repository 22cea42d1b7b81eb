/* One point and one zoom in all panels. */

import { strongest, valueAt } from "./colours.js";
import { between } from "./dom.js";
import { settings } from "./settings.js";

export const LENS = 104; // its diameter in pixels of the screen, where a panel is not small
const LENS_GAP = 14; // from the point to it
const MOST_ZOOM = 12;

/* What is looked at: a point, in shares of the photograph's sides, and how large all is seen, and from where. */
export function lookingGlass(scene) {
  const view = { zoom: 1, left: 0, top: 0 };
  let point = null;

  function pointAt(at) {
    point = at;
    // All is measured before anything is moved: otherwise the browser lays the page out once for each panel.
    const boxes = scene.panels.map(({ stage, frame }) => at && [stage.getBoundingClientRect(), frame.getBoundingClientRect()]);
    scene.panels.forEach((panel, number) => showPoint(panel, at, boxes[number], view.zoom));
    // The lens would cover the region that is being marked.
    if (scene.region.begun()) for (const { lens } of scene.panels) lens.hidden = true;
  }

  function moveTo({ zoom, left, top }) {
    view.zoom = between(1, zoom, MOST_ZOOM);
    view.left = between(0, left, 1 - 1 / view.zoom);
    view.top = between(0, top, 1 - 1 / view.zoom);
    const { zoom: size } = view;
    scene.root.classList.toggle("zoomed", size > 1);
    for (const { stage } of scene.panels) {
      stage.style.transform = `translate(${-100 * view.left * size}%, ${-100 * view.top * size}%) scale(${size})`;
    }
    if (point) pointAt(point);
  }

  return {
    pointAt,
    point: () => point,
    zoom: () => view.zoom,
    whole: () => moveTo({ zoom: 1, left: 0, top: 0 }),
    reset() {
      point = null;
      moveTo({ zoom: 1, left: 0, top: 0 });
    },
    /* The point stays where it is on the screen. */
    zoomAt(at, factor) {
      const zoom = between(1, view.zoom * factor, MOST_ZOOM);
      const kept = (place, start) => place - ((place - start) * view.zoom) / zoom;
      moveTo({ zoom, left: kept(at.x, view.left), top: kept(at.y, view.top) });
    },
    /* By shares of the photograph's sides. */
    shift: (x, y) => moveTo({ zoom: view.zoom, left: view.left + x, top: view.top + y }),
    /* So that a point is seen. */
    reach({ x, y }) {
      const inside = (place, start) => between(place - 1 / view.zoom, start, place);
      moveTo({ zoom: view.zoom, left: inside(x, view.left), top: inside(y, view.top) });
    },
  };
}

/* Shows a point in a panel, of whose stage and frame these are the boxes: by a mark, a lens and the value there. */
function showPoint({ picture, canvas, below, lens, mark, value }, at, boxes, zoom) {
  mark.hidden = lens.hidden = !at;
  value.textContent = at ? told(picture, valueAt(picture, at)) : "";
  if (!at) return;
  const [box, frame] = boxes;
  mark.style.left = `${100 * at.x}%`;
  mark.style.top = `${100 * at.y}%`;
  mark.style.transform = `translate(-50%, -50%) scale(${1 / zoom})`;
  const side = placeLens(lens, box.left - frame.left + box.width * at.x, box.top - frame.top + box.height * at.y, frame);
  const seen = ((side / 4) * canvas.width) / box.width; // four times as large as in the panel
  const pencil = lens.getContext("2d");
  pencil.imageSmoothingEnabled = false;
  pencil.clearRect(0, 0, LENS, LENS);
  // What is seen there: beyond the slider the photograph.
  const source = at.x <= settings.split ? canvas : below;
  pencil.drawImage(source, at.x * canvas.width - seen / 2, at.y * canvas.height - seen / 2, seen, seen, 0, 0, LENS, LENS);
}

/* Lays a lens beside a point, along the longer side of the frame, so that it does not cover it; returns its diameter. */
function placeLens(lens, x, y, { width, height }) {
  const side = Math.min(LENS, width, height, Math.max(width, height) / 2 - LENS_GAP);
  const beside = (place, length) => (place > length / 2 ? place - side - LENS_GAP : place + LENS_GAP);
  const [left, top] = width < height ? [x - side / 2, beside(y, height)] : [beside(x, width), y - side / 2];
  lens.style.width = lens.style.height = `${side}px`;
  lens.style.left = `${between(0, left, width - side)}px`;
  lens.style.top = `${between(0, top, height - side)}px`;
  return side;
}

function told(picture, value) {
  const scale = strongest(picture);
  const share = scale > 0 ? value / scale : 0;
  return picture.kind !== "gradient" ? `${Math.round(100 * share)}% (${value.toPrecision(3)})` : value.toExponential(1);
}
