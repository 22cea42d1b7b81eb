/* Two experiments about an explanation, from what demo/tabs/trust.py sends: a network with random layers, and a
   photograph with noise. */

import { decoded, decodedRow } from "./codec.js";
import { greyed, overlaid } from "./colours.js";
import { isNoValue, make, put } from "./dom.js";
import { photograph, thumbnail } from "./photographs.js";
import { drawnAnew } from "./settings.js";

const picture = (name) => make("canvas", { role: "img", "aria-label": name });

// ---- With random layers ------------------------------------------------------------------------------------------

/* A row of a table for each number of random blocks: the page asks for the next one when it has drawn the last. */
export function randomising(element, { trigger, props, watch }) {
  const root = element.querySelector(".randomising");
  const scene = { root, about: null, drawn: [], running: false, rows: make("tbody") };
  scene.ask = () => trigger("randomise", { number: scene.about.number, count: scene.drawn.length });
  scene.verdict = make("p", { class: "verdict", role: "status" });
  scene.button = make("button", { type: "button", class: "button", onclick: () => (scene.running ? stop(scene) : start(scene)) });
  scene.progress = make("span", { class: "progress", role: "status" });

  async function show() {
    if (isNoValue(props.value)) return;
    const { value } = props;
    if (!value) {
      scene.about = null;
      root.replaceChildren();
    } else if (value.count !== undefined) {
      await addRow(scene, value);
    } else if (value.number !== scene.about?.number) {
      offer(scene, value);
    }
  }

  drawnAnew(root, (changes) => {
    if (Object.keys(changes).join() === "split") return;
    for (const step of scene.drawn) step.draw?.();
  });
  watch("value", show);
  show();
}

function offer(scene, about) {
  Object.assign(scene, { about });
  const titles = Object.values(about.titles).map((title) => make("th", { scope: "col" }, title));
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Random so far"), ...titles));
  const table = make("table", {}, make("caption", {}, LIKENESS), head, scene.rows);
  // It is wider than a telephone.
  scene.box = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "The pictures with random layers" }, table);
  const words = [make("h3", {}, "Does the picture depend on what the network has learnt?"), make("p", {}, RANDOMISING)];
  const way = about.note ? make("p", { class: "note" }, about.note) : make("p", { class: "controls" }, scene.button, scene.progress);
  scene.root.replaceChildren(...words, way, scene.verdict, scene.box);
  clear(scene);
  stop(scene);
}

function clear(scene) {
  scene.drawn = [];
  scene.rows.replaceChildren();
  scene.verdict.textContent = "";
  scene.box.hidden = true;
}

/* Says on the button what it does, and beside it how far all is. */
function update({ about, drawn, running, button, progress }, note = "") {
  button.textContent = running ? "Stop" : "Make its layers random, from the top down";
  const far = running ? `Computing ${drawn.length + 1} of ${about.blocks.length + 1}` : drawn.length ? "" : `${about.price}.`;
  progress.textContent = note || far;
}

/* Goes on where it was stopped, or once more from the beginning. */
function start(scene) {
  if (scene.drawn.length > scene.about.blocks.length) clear(scene);
  scene.running = true;
  update(scene);
  scene.ask();
}

function stop(scene, note = "") {
  scene.running = false;
  update(scene, note);
}

async function addRow(scene, step) {
  const { about, drawn } = scene;
  if (step.number !== about?.number || step.count !== drawn.length || !scene.running) return;
  if (step.note) {
    stop(scene, step.note);
    return;
  }
  drawn.push(step); // at once, so that the same answer is drawn once
  const [pictures, photo] = await Promise.all([decodedRow(step.pictures), photograph(about.photo)]);
  if (drawn !== scene.drawn) return;
  scene.rows.append(laidRow(about, step, pictures, thumbnail(photo)));
  scene.box.hidden = false;
  scene.verdict.textContent = step.verdict;
  if (drawn.length > about.blocks.length) scene.running = false;
  update(scene);
  if (scene.running) scene.ask();
}

const RANDOMISING =
  "A picture that shows why the network says something must change when the network forgets all it has learnt. " +
  "So its parts, called blocks, get random weights in a copy, one more in each row, from the last, which decides, down to " +
  "the first, which sees edges and colours (Adebayo et al., 2018). " +
  "A picture that stays the same shows something else: the edges of the photograph, for example.";

const LIKENESS =
  "Below each picture: how like the first row’s it is, by Spearman’s rank correlation (1: the same order from weak to " +
  "strong; 0: nothing in common) and by structural similarity (SSIM). Of gradients the absolute values are compared, " +
  "summed over the colours, as Adebayo et al. do. Each picture is drawn on its own scale. The weights are one random draw.";

function laidRow(about, step, pictures, photo) {
  const { count, likenesses, probability } = step;
  const random = count ? `+ ${about.blocks[count - 1]}` : "none: as trained";
  const canvases = Object.entries(pictures).map(([key, array]) => [picture(`${about.titles[key]}, ${count} random`), array, key]);
  step.draw = () => {
    for (const [canvas, array] of canvases) {
      put(canvas, array.kind === "gradient" ? greyed(array, photo) : overlaid(array, photo));
    }
  };
  step.draw();
  const cells = canvases.map(([canvas, , key]) => {
    const [ranks, structure] = likenesses[key];
    const numbers = [make("b", {}, ranks === null ? "empty" : ranks.toFixed(2)), make("span", {}, `SSIM ${structure.toFixed(2)}`)];
    const share = make("span", { class: "meter", style: `--share: ${Math.max(ranks ?? 0, 0)}`, "aria-hidden": "true" });
    return make("td", {}, canvas, make("p", {}, ...numbers), share);
  });
  const first = [make("b", {}, random), make("span", { class: "detail" }, `${about.target}: ${probability}`)];
  return make("tr", {}, make("th", { scope: "row" }, ...first), ...cells);
}

// ---- With noise --------------------------------------------------------------------------------------------------

export function noising(element, { trigger, props, watch }) {
  const root = element.querySelector(".noising");
  const scene = { root, about: null, shown: null, found: make("div", { class: "found" }), form: asking(ask) };

  function ask(wanted) {
    scene.form.waits(true);
    trigger("noise", { number: scene.about.number, wanted });
  }

  async function show() {
    if (isNoValue(props.value)) return;
    const { value } = props;
    if (!value) {
      scene.about = scene.shown = null;
      root.replaceChildren();
    } else if (value.said) {
      await showNoise(scene, value);
    } else if (value.number !== scene.about?.number) {
      offerNoise(scene, value);
    }
  }

  drawnAnew(root, (changes) => {
    if (scene.shown && Object.keys(changes).join() !== "split") scene.found.replaceChildren(...laidNoise(scene));
  });
  watch("value", show);
  show();
}

/* The form that tells what the network should say. */
function asking(ask) {
  const list = make("datalist", { id: "noise-names" });
  const plain = { autocomplete: "off", autocorrect: "off", autocapitalize: "off", spellcheck: "false" };
  const wanted = make("input", { type: "text", list: list.id, enterkeyhint: "go", ...plain });
  const button = make("button", { class: "button" }, "Add noise");
  const progress = make("span", { class: "progress", role: "status" });
  let waiting = false;

  function onSubmit(event) {
    event.preventDefault();
    if (!waiting) ask(wanted.value);
  }

  return {
    element: make("form", { class: "controls", onsubmit: onSubmit }, make("label", {}, "What should it say? ", wanted), button, progress, list),
    waits(now) {
      waiting = now;
      button.setAttribute("aria-disabled", now);
      progress.textContent = now ? "Computing: up to 20 passes through the network and back, and two explanations" : "";
    },
    fill(amiss, names) {
      wanted.value = amiss;
      list.replaceChildren(...names.split("\n").map((name) => make("option", { value: name })));
    },
  };
}

function offerNoise(scene, about) {
  Object.assign(scene, { about, shown: null });
  scene.form.waits(false);
  scene.form.fill(about.amiss ?? "", about.names ?? "");
  scene.found.replaceChildren();
  const words = [make("h3", {}, "Can it be fooled?"), make("p", {}, NOISING)];
  scene.root.replaceChildren(...words, about.note ? make("p", { class: "note" }, about.note) : scene.form.element, scene.found);
}

async function showNoise(scene, value) {
  const { about, found } = scene;
  if (value.number !== about?.number) return;
  scene.form.waits(false);
  if (value.note) {
    scene.shown = null;
    found.replaceChildren(make("p", { class: "note", role: "alert" }, value.note));
    return;
  }
  const photos = await Promise.all([...value.photos, value.noise].map(photograph));
  const heats = await Promise.all(value.heats.map((heat) => decoded({ ...heat, kind: "map", shared: heat.limit })));
  if (about !== scene.about) return;
  scene.shown = { ...value, photos, heats };
  found.replaceChildren(...laidNoise(scene));
}

const NOISING =
  "Noise that nobody sees can make a network say almost anything (Goodfellow et al., 2015). It is made for this " +
  "network and this photograph, from its own gradient. The paper asks whether Grad-CAM still finds what is really there.";

function laidNoise({ about, shown }) {
  const { photos, heats, bars, magnified, sentence, shape } = shown;
  const drawn = (name, image) => {
    const canvas = picture(name);
    put(canvas, image);
    return make("figure", { class: "shown" }, make("figcaption", {}, name), canvas);
  };
  const sides = ["As it is", "With noise"].map((name, side) =>
    make("section", { class: "side", "aria-label": name },
      drawn(name, photos[side]),
      drawn(`Grad-CAM for ${about.target}`, overlaid(heats[side], photos[side])),
      make("ul", { class: "bars", "aria-label": `What the network says: ${name}` }, ...bars[side].map(laidBar)),
    ),
  );
  const noise = make("section", { class: "side" }, drawn(`The noise, ${magnified} times as strong`, photos[2]));
  const how = "The network takes them squashed to a square, which is stretched here as the image is. Each map has its own scale.";
  return [make("p", { class: "verdict", role: "status" }, sentence), make("div", { class: "sides", style: `--shape: ${shape}` }, ...sides, noise), make("p", { class: "detail" }, how)];
}

function laidBar({ label, detail, share }) {
  return make("li", { style: `--share: ${share}` }, make("span", {}, label), make("span", {}, detail));
}
