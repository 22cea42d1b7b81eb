/* Mouse, fingers and keyboard in the panels. */

import { between } from "./dom.js";

const STEP = 1 / 64; // of the side of the photograph, for an arrow key
const MIDDLE = { x: 0.5, y: 0.5 };

let scrolled = 0; // when the page last moved
let moved = 0; // when the pointer last moved over a panel, and to where: browsers tell of it also when the page moves
let last = {};
addEventListener("scroll", () => (scrolled = performance.now()), { passive: true });

function pointOf(event, { stage }) {
  const box = stage.getBoundingClientRect();
  return {
    x: between(0, (event.clientX - box.left) / box.width, 1),
    y: between(0, (event.clientY - box.top) / box.height, 1),
  };
}

export function gestures(scene) {
  const { glass, region } = scene;
  const fingers = new Map(); // pointers that are down, where each was last
  let dragged = 0; // how far, in pixels; a click that ends a drag enlarges nothing

  function onPress(event, panel) {
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    dragged = 0;
    if (event.pointerType === "mouse" || scene.bar.marks()) panel.frame.setPointerCapture(event.pointerId);
    if (event.pointerType !== "mouse") glass.pointAt(pointOf(event, panel));
    if (scene.bar.marks() && fingers.size === 1) region.begin(pointOf(event, panel));
  }

  function onRelease(event) {
    fingers.delete(event.pointerId);
    if (region.begun() && scene.bar.marks()) region.end();
  }

  function onMove(event, panel) {
    const now = { x: event.clientX, y: event.clientY };
    if (now.x !== last.x || now.y !== last.y) moved = performance.now();
    last = now;
    const before = fingers.get(event.pointerId);
    const at = pointOf(event, panel);
    if (!before) {
      if (event.pointerType === "mouse") glass.pointAt(at);
      return;
    }
    const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
    fingers.set(event.pointerId, now);
    if (other) {
      pinch(panel, before, now, other);
    } else if (region.begun()) {
      glass.pointAt(at);
      region.extend(at);
    } else if (glass.zoom() > 1) {
      dragged += Math.hypot(now.x - before.x, now.y - before.y);
      drag(panel, before, now, 1);
    } else {
      glass.pointAt(at);
    }
  }

  function drag({ stage }, before, now, share) {
    const box = stage.getBoundingClientRect();
    glass.shift((share * (before.x - now.x)) / box.width, (share * (before.y - now.y)) / box.height);
  }

  /* One of two fingers moved. */
  function pinch(panel, before, now, other) {
    const apart = (place) => Math.hypot(place.x - other.x, place.y - other.y);
    const middle = { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 };
    dragged = Infinity;
    region.clear();
    drag(panel, before, now, 1 / 2);
    glass.zoomAt(pointOf(middle, panel), apart(now) / Math.max(apart(before), 1));
  }

  function onWheel(event, panel) {
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    // A wheel that moves the page goes on moving it when a panel comes under the pointer.
    const passing = glass.zoom() === 1 && (event.deltaY > 0 || scrolled > moved);
    if (!event.ctrlKey && (sideways || passing)) return;
    event.preventDefault();
    glass.zoomAt(pointOf(event, panel), Math.exp(-between(-120, event.deltaY, 120) / 400));
  }

  function onClick(event, panel) {
    // A finger points; it enlarges by the button.
    if (event.pointerType === "touch" || (event.detail && (dragged > 4 || scene.bar.marks()))) return;
    scene.screen.open(panel);
  }

  document.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "mouse" && glass.point() && !event.target.closest(".frame")) glass.pointAt(null);
  });

  return {
    letGo: () => fingers.clear(),
    reach(panel) {
      const on = (name, does, options) => panel.frame.addEventListener(name, (event) => does(event, panel), options);
      on("keydown", keyboard(scene));
      on("keyup", (event) => event.key === " " && event.preventDefault()); // which would click
      on("pointermove", onMove);
      on("pointerleave", (event) => event.pointerType === "mouse" && glass.pointAt(null));
      on("pointerdown", onPress);
      on("pointerup", onRelease);
      on("pointercancel", onRelease);
      on("click", onClick);
      on("wheel", onWheel, { passive: false });
    },
  };
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/* What the keys do in a panel. */
function keyboard({ glass, region, screen }) {
  function move([x, y], far) {
    const before = glass.point();
    const step = (STEP * (far ? 4 : 1)) / glass.zoom();
    // The first arrow shows the point.
    const to = before ? { x: between(0, before.x + x * step, 1), y: between(0, before.y + y * step, 1) } : MIDDLE;
    glass.pointAt(to);
    glass.reach(to);
    if (region.begun()) region.extend(to);
  }

  /* The first marks a corner of a region, the second the one across. */
  function mark() {
    glass.pointAt(glass.point() ?? MIDDLE);
    if (region.begun()) region.end();
    else region.begin(glass.point());
  }

  function clear() {
    region.drop();
    glass.pointAt(null);
    glass.whole();
  }

  function doing({ key, shiftKey }) {
    if (key in ARROWS) return () => move(ARROWS[key], shiftKey);
    if (key === " ") return mark;
    if (key === "+" || key === "=") return () => glass.zoomAt(glass.point() ?? MIDDLE, 1.5);
    if (key === "-") return () => glass.zoomAt(glass.point() ?? MIDDLE, 1 / 1.5);
    const clears = key === "Escape" && !screen.isOpen() && (glass.point() || region.there() || glass.zoom() > 1);
    return clears ? clear : null;
  }

  return (event) => {
    const does = !(event.ctrlKey || event.metaKey || event.altKey) && doing(event);
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  };
}
