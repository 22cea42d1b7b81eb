/* What stands where in the panels of a tab. */

import { inset, make, tool } from "./dom.js";
import { savePanel, saveRow } from "./files.js";
import { LENS } from "./pointer.js";
import { redraw } from "./redraw.js";
import { settings } from "./settings.js";

export function layOut(scene) {
  const { root, rows, shown } = scene;
  const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  scene.screen.close();
  scene.hands.letGo();
  scene.panels = [];
  scene.scales = [];
  if (shown.photo) root.style.setProperty("--shape", shown.photo.width / shown.photo.height);
  rows.replaceChildren(...shown.rows.map((row, number) => laidRow(scene, row, number)));
  const kind = shown.invites ? { class: "note invitation", role: "status" } : { class: "note", role: "alert" };
  if (shown.note) rows.prepend(make("p", kind, shown.note));
  for (const line of rows.querySelectorAll(".line")) line.scrollTo({ left: swiped(scene, line), behavior: "instant" });
  scene.bar.element.hidden = !shown.rows.length;
  scene.bar.several(shown.rows.length > 1);
  scene.status.textContent = shown.rows.map(({ title }) => title).join(", ");
  scene.glass.reset();
  redraw(scene, settings);
  if (focused) {
    const again = rows.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? rows.querySelector(".frame");
    again?.focus({ preventScroll: true });
  }
  if (shown.methods?.[scene.added]) {
    rows.querySelector(`[data-panel=${scene.added}]`)?.scrollIntoView({ block: "nearest", inline: "start" });
    scene.added = null;
  }
  const { task, note, attends } = shown;
  const keys = shown.rows.map(({ key }) => key);
  document.dispatchEvent(new CustomEvent("explained", { detail: { task, note, keys, attends } }));
}

/* How far a row is swiped on a telephone, where one panel is seen at a time: as before, at first to Grad-CAM. */
function swiped(scene, line) {
  return scene.swiped ?? line.querySelector("[data-panel=gradcam]").offsetLeft - line.firstChild.offsetLeft;
}

function laidRow(scene, row, number) {
  const scale = make("span", { class: "scale" });
  const box = make("span", { class: "box-said" }, boxSaid(scene, row));
  const numbers = make("small", {}, make("span", { html: row.numbers }), " ", scale, " ", box);
  const heads = [make("p", { class: "sentence" }, make("span", { html: row.sentence }), " ", numbers)];
  heads.push(tool("Save this row as one picture", "⤓", `save-row-${number}`, () => saveRow(scene, row, number)));
  if (row.away) {
    heads.push(tool(`Take away ${row.title}`, "✕", `drop-${number}`, () => scene.trigger(row.away, { key: row.key })));
  }
  const drawn = Object.keys(row.pictures).map((method) => [method, laidPanel(scene, row, number, method)]);
  const laid = Object.fromEntries(drawn);
  // On a telephone all rows show the same method.
  const swipe = () => {
    scene.swiped = line.scrollLeft;
    for (const other of scene.rows.querySelectorAll(".line")) {
      if (other !== line && other.scrollLeft !== line.scrollLeft) other.scrollLeft = line.scrollLeft;
    }
  };
  const figures = Object.keys(scene.shown.methods).map((method) => laid[method]?.figure ?? scene.late.laid(method, number));
  const line = make("div", { class: "line", onscroll: swipe }, ...figures);
  scene.panels.push(...Object.values(laid));
  scene.scales.push([scale, row.scale]);
  return make("section", { class: "panel-row", "aria-label": row.title }, make("header", {}, ...heads), line);
}

function boxSaid({ shown: { photo } }, { box }) {
  if (!box) return "There is no evidence to put a box around.";
  const [left, top, right, bottom] = box.map((share, side) => Math.round(share * (side % 2 ? photo.height : photo.width)));
  const size = `${photo.width} × ${photo.height} pixels`;
  return `Box around Grad-CAM above 15% of its peak: x ${left} to ${right}, y ${top} to ${bottom} of ${size}.`;
}

export function laidPanel(scene, row, number, method) {
  const { photo, methods } = scene.shown;
  const { title, sentence } = methods[method];
  const name = `${title} for ${row.title}`;
  const panel = {
    picture: row.pictures[method],
    row,
    method,
    name,
    canvas: make("canvas", { role: "img", "aria-label": name }),
    below: make("img", { src: photo.url, alt: "", width: photo.width, height: photo.height }),
    lens: make("canvas", { class: "lens", width: LENS, height: LENS, hidden: true, "aria-hidden": "true" }),
    mark: make("span", { class: "mark", hidden: true }),
    edge: make("span", { class: "edge", hidden: true }),
    box: row.box ? make("span", { class: "box", style: `inset: ${inset(row.box)}` }) : "",
    value: make("span", { class: "value" }),
  };
  const { canvas, below, lens, mark, edge, box, value } = panel;
  panel.stage = make("span", { class: "stage" }, below, canvas, box, edge, mark);
  panel.frame = make(
    "button",
    {
      type: "button",
      class: "frame",
      "aria-label": `${name}: enlarge; arrow keys move the point, plus and minus zoom`,
      "data-key": `${method}-${number}`,
    },
    panel.stage,
    lens,
  );
  scene.hands.reach(panel);
  const tools = make(
    "span",
    { class: "tools" },
    tool(`Enlarge ${name}`, "⤢", `enlarge-${method}-${number}`, () => scene.screen.open(panel)),
    tool(`Save ${name}`, "⤓", `save-${method}-${number}`, () => savePanel(panel)),
  );
  panel.figure = make(
    "figure",
    { class: "panel", "data-panel": method, "data-row": number },
    make("figcaption", { title: sentence }, make("b", {}, title), value, tools),
    panel.frame,
  );
  if (number === 0) panel.figure.append(make("p", { class: "caption" }, sentence));
  return panel;
}
