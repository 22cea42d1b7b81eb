/* How Grad-CAM's map comes about, in six steps, drawn from the numbers that demo/tabs/lesson.py sends; nothing is
   asked of the server from one step to the next. */

import { bytesOf, decodedRow } from "./codec.js";
import { isNoValue, make, whenOpen } from "./dom.js";
import { STEPS } from "./lesson_steps.js";
import { photograph } from "./photographs.js";
import { drawnAnew } from "./settings.js";

const PLAY_MILLISECONDS = 350; // from one sum to the next

/* What its parts share: what is `shown`, which is the value decoded, the number of the `step`, the place of the
   `map` that is looked at, and `at` which of the sums the slider is. */
export function lesson(element, { trigger, props, watch }) {
  const root = element.querySelector(".lesson");
  const scene = { root, shown: null, step: 0, map: 0, at: 0, stage: make("div", { class: "stage" }), ...player() };
  scene.status = make("p", { class: "unseen", role: "status" }); // read out when another step is there
  scene.bar = navigation(scene);
  scene.draw = () => drawStep(scene);
  scene.turn = (step) => turn(scene, step);
  Object.entries({ tabindex: 0, role: "region", "aria-label": LABEL }).forEach(([name, value]) => root.setAttribute(name, value));
  root.addEventListener("keydown", (event) => onKey(event, scene));

  async function show() {
    if (isNoValue(props.value)) return;
    const value = props.value?.photo ? props.value : { note: props.value?.note ?? "" };
    const mine = (scene.value = value);
    const shown = value.photo ? await opened(value).catch(({ message }) => ({ note: `The pictures could not be drawn: ${message}` })) : value;
    if (mine !== scene.value) return;
    scene.stop();
    Object.assign(scene, { shown: shown.photo ? shown : null, map: 0, at: 0 });
    if (scene.shown) {
      root.replaceChildren(make("p", { class: "sentence", html: value.sentence }), scene.bar.element, scene.stage, scene.status);
      scene.draw();
    } else {
      root.replaceChildren(shown.note ? make("p", { class: "note", role: "alert" }, shown.note) : "");
    }
  }

  whenOpen(root, () => trigger("look", { task: new URLSearchParams(location.search).get("task") ?? "" }));
  drawnAnew(root, (changes) => scene.shown && Object.keys(changes).join() !== "split" && scene.draw());
  watch("value", show);
  show();
}

const LABEL = "How Grad-CAM works, in six steps: the arrow keys to the left and right turn them";

/* What plays the sums: it ticks until it is stopped, which `stopped` is told. */
function player() {
  let timer = null;
  return {
    stopped: () => {},
    playing: () => timer !== null,
    play: (tick) => (timer = setInterval(tick, PLAY_MILLISECONDS)),
    stop() {
      clearInterval(timer);
      timer = null;
      this.stopped();
    },
  };
}

function turn(scene, step) {
  if (!scene.shown || !STEPS[step] || step === scene.step) return;
  scene.step = step;
  scene.draw();
  scene.status.textContent = `Step ${step + 1} of ${STEPS.length}: ${STEPS[step][1]}`;
}

function drawStep(scene) {
  scene.stopped = () => {};
  scene.stop();
  const inside = scene.stage.contains(document.activeElement);
  scene.stage.replaceChildren(...laidStep(scene));
  scene.bar.update();
  if (inside) scene.root.focus({ preventScroll: true }); // what had the keyboard is not there any more
}

/* The value with its numbers decoded. */
async function opened(value) {
  const numbers = ["weights", "features", "gradients", "sums", "shares"];
  const decoded = Object.fromEntries(numbers.map((name) => [name, new Float32Array(bytesOf(value[name]).buffer)]));
  const [photo, pictures] = await Promise.all([photograph(value.photo), decodedRow(value.pictures)]);
  return { ...value, ...decoded, photo, pictures };
}

function laidStep(scene) {
  const [, question, draw] = STEPS[scene.step];
  const { pictures, equation: html = "", written = make("div", { html }), legend = "", words } = draw(scene);
  const formula = make("div", { class: "equation" }, written, make("p", {}, legend));
  return [
    make("h3", {}, `${scene.step + 1}. ${question}`),
    make("div", { class: `figures step-${scene.step + 1}` }, ...pictures),
    make("div", { class: "said" }, formula, make("div", { class: "words" }, ...words.map((text) => make("p", {}, text)))),
  ];
}

/* The list of the steps, between the ways back and on. */
function navigation(scene) {
  const by = (steps) => () => scene.turn(scene.step + steps);
  const back = make("button", { type: "button", class: "button", onclick: by(-1) }, "‹ Back");
  const next = make("button", { type: "button", class: "button next", onclick: by(1) }, "Next ›");
  const jumps = STEPS.map(([name], step) =>
    make("button", { type: "button", class: "button", onclick: () => scene.turn(step) }, make("b", {}, step + 1), " ", make("span", { class: "name" }, name)),
  );
  const list = make("ol", { class: "jumps" }, ...jumps.map((button) => make("li", {}, button)));
  const whole = make("button", { type: "button", class: "button", onclick: () => fullScreen(scene.root) }, "Full screen");
  const element = make("nav", { class: "turning", "aria-label": "The six steps" }, back, list, next, whole);
  whole.hidden = !document.fullscreenEnabled;
  scene.root.addEventListener("fullscreenchange", () => {
    whole.textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
  });

  function update() {
    jumps.forEach((button, step) => {
      if (step === scene.step) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    // Not disabled: the keyboard would lose its place.
    back.setAttribute("aria-disabled", scene.step === 0);
    next.setAttribute("aria-disabled", scene.step === STEPS.length - 1);
  }

  return { element, update };
}

function fullScreen(root) {
  if (document.fullscreenElement) document.exitFullscreen();
  else root.requestFullscreen().then(() => root.focus());
}

/* The keys of keyboards, and of the remotes of presenters. */
function onKey(event, scene) {
  const { key, target } = event;
  const steps = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
  const slides = target.matches("input") && !key.startsWith("Page");
  if (!steps[key] || slides || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  scene.turn(scene.step + steps[key]);
}
