/* What can be chosen: bars, words, small pictures. */

import { choose, exampleFiles, pickNumber, takeExample } from "./choosing.js";
import { decoded } from "./codec.js";
import { overlaid } from "./colours.js";
import { arrows, isNoValue, make, put } from "./dom.js";
import { photograph, thumbnail } from "./photographs.js";
import { drawnAnew } from "./settings.js";

/* A row of buttons, one stop for the Tab key with arrows inside. What the panels show is marked as pressed; where
   it says so, each has a second button that puts it beside what is shown, or takes it away. */
export function choices(element, { trigger, props, watch }, _events, { heading, style, task, add: adds, reveal, headed }) {
  const root = element.querySelector(".choices");
  root.classList.add(style);
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", heading);
  const above = make("p", { class: "heading", hidden: true, "aria-hidden": "true" }, heading);
  const note = make("p", { class: "note", role: "status" });
  if (headed) root.before(above);
  root.before(note);
  let value = { items: [] };
  let explained = [];
  let current = null;
  let pictures = []; // the canvases of small maps, and what is drawn on them
  let small = null; // the photograph below them

  function show() {
    if (isNoValue(props.value)) return;
    value = props.value?.items ? props.value : { items: [] };
    lay();
    if (reveal && (value.items.length || value.note)) root.scrollIntoView({ block: "nearest" });
  }

  function lay() {
    const had = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    above.hidden = !value.items.length;
    note.textContent = value.note ?? "";
    note.hidden = !value.note;
    root.replaceChildren(...value.items.map((item) => laidItem(item, adds, tell)));
    for (const { key, url } of value.items) if (url) exampleFiles.set(key, url);
    if (value.current) explained = [value.current];
    mark();
    if (had) stops().find((button) => button.tabIndex === 0)?.focus({ preventScroll: true });
    pictures = [];
    load();
  }

  const stops = () => [...root.querySelectorAll("button:not(:disabled)")];

  function tell(event, { key, url }) {
    takeExample(url);
    choose();
    const name = event === "add" ? (explained.includes(key) ? "drop" : "beside") : event;
    trigger(name, { key, about: value.about ?? "", number: pickNumber() });
  }

  /* Marks what the panels show; what is shown alone cannot be taken away. One button is the stop for the Tab key. */
  function mark() {
    for (const box of root.children) {
      const [pick, add] = box.children;
      const key = pick.dataset.key;
      const pressed = explained.includes(key);
      if (task || value.current) pick.setAttribute("aria-pressed", pressed);
      if (!add) continue;
      add.textContent = pressed ? "−" : "+";
      const does = pressed ? "Take away" : "Put beside the others:";
      add.setAttribute("aria-label", `${does} ${pick.querySelector(".name").textContent}`);
      add.title = add.getAttribute("aria-label");
      add.disabled = pressed && explained.length < 2;
    }
    const buttons = stops();
    const active = buttons.find((button) => button.dataset.key === current) ?? buttons[0];
    for (const button of buttons) button.tabIndex = button === active ? 0 : -1;
  }

  async function load() {
    const mine = value;
    const heated = value.items.map((item, place) => [item, root.children[place]]).filter(([item]) => item.heat);
    if (!heated.length) return;
    const photo = await photograph(value.photo).catch(() => null); // said where the panels are
    const maps = await Promise.all(heated.map(([{ heat }]) => decoded({ ...heat, kind: "map", limit: heat.shared })));
    if (mine !== value || !photo) return;
    small = thumbnail(photo);
    pictures = maps.map((picture, place) => [heated[place][1].querySelector("canvas"), picture]);
    draw();
  }

  function draw() {
    for (const [canvas, picture] of pictures) put(canvas, overlaid(picture, small));
  }

  root.addEventListener("keydown", (event) => arrows(event, stops(), (key) => (current = key)));
  if (task) {
    document.addEventListener("explained", ({ detail }) => {
      if (detail.task !== task) return;
      explained = [...new Set(detail.keys)];
      mark();
    });
  }
  drawnAnew(root, draw);
  watch("value", show);
  show();
}

/* Something to choose: a button that tells "pick", and perhaps one that tells "add". */
function laidItem(item, adds, tell) {
  const pick = make("button", { type: "button", class: "pick", "data-key": item.key, onclick: () => tell("pick", item) });
  if (item.thumbnail) pick.append(make("img", { src: item.thumbnail, alt: "", style: `object-position: 0 ${item.place}%` }));
  if (item.heat) pick.append(make("canvas", { "aria-hidden": "true" }));
  pick.append(make("span", { class: "name" }, item.label));
  if (item.detail) pick.append(make("span", { class: "detail" }, item.detail));
  const box = make("span", { class: "choice" }, pick);
  if (item.share !== undefined) box.style.setProperty("--share", item.share);
  if (adds) {
    box.append(make("button", { type: "button", class: "add", "data-key": `+${item.key}`, onclick: () => tell("add", item) }));
  }
  return box;
}
