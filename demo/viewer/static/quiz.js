/* The question of the quiz, with its pictures. */

import { decodedRow } from "./codec.js";
import { greyed } from "./colours.js";
import { arrows, inSight, make, put, whenTurned } from "./dom.js";
import { button, newest, room } from "./quiz_room.js";

const SECONDS_TO_WAIT = 15;
const SIDES = ["Left", "Right"];

export function quiz(element, { trigger, props, watch }, _events, { studies }) {
  const root = element.querySelector(".quiz");
  const isNewer = newest();
  let study = Object.keys(studies)[0];
  let shown = null; // the value that is drawn
  let since = -Infinity; // when the server was asked for what is not here yet
  let drawing = 0; // how often; only the last is drawn

  const tabs = Object.entries(studies).map(([key, { title }]) => button(title, () => turnTo(key), { "data-study": key }));
  const stage = make("div", { class: "sight" });
  const heading = make("h2", { id: "quiz-question" });
  const about = make("p", { class: "about" });
  const answers = make("div", { class: "answers", role: "group", "aria-labelledby": "quiz-question" });
  const verdict = make("p", { class: "verdict", role: "status" });
  const note = make("p", { class: "note", role: "alert" });
  const next = button("Next", ask, { class: "next", hidden: true });
  const revealed = make("div", { class: "revealed" });
  const side = make("div", { class: "side" }, heading, about, note, answers, verdict, next);
  const nav = make("div", { class: "studies", role: "group", "aria-label": "The two studies" }, ...tabs);
  root.replaceChildren(nav, make("div", { class: "asked" }, stage, side, revealed));

  function turnTo(key) {
    if (key === study) return;
    study = key;
    since = -Infinity;
    mark();
    ask();
  }

  function mark() {
    root.dataset.study = study;
    heading.textContent = studies[study].question;
    for (const tab of tabs) tab.setAttribute("aria-pressed", tab.dataset.study === study);
  }

  /* Until an answer comes, or it is likely that none will. */
  const waits = () => performance.now() - since < SECONDS_TO_WAIT * 1000;

  function tell(event, told) {
    since = performance.now();
    root.setAttribute("aria-busy", true);
    trigger(event, { ...told, room });
  }

  /* The question that is open, or once it is answered the next. */
  function ask() {
    const after = shown?.study === study && shown.answer !== null ? shown.number : null;
    if (!waits()) tell("ask", { study, after });
  }

  function answer(place) {
    if (waits() || shown?.study !== study || shown.answer !== null) return;
    answers.children[place].setAttribute("aria-pressed", true);
    tell("answer", { study, number: shown.number, answer: place });
  }

  async function show() {
    const { value } = props;
    if (!isNewer(value) || value.study !== study) return;
    const mine = ++drawing;
    const pictures = await decodedRow(value.pictures ?? {});
    if (mine !== drawing || value.study !== study) return;
    const had = shown && ([document.body, null].includes(document.activeElement) || root.contains(document.activeElement));
    since = -Infinity;
    root.removeAttribute("aria-busy");
    const first = !shown;
    const again = shown?.study === value.study && shown.number === value.number && shown.answer === value.answer;
    shown = value;
    lay(pictures);
    if (again || !inSight(root)) return;
    if (had) (value.answer === null ? answers.firstChild : next).focus({ preventScroll: true });
    if (!first) (value.answer === null ? stage : next).scrollIntoView({ block: "nearest" });
  }

  function lay(pictures) {
    about.textContent = shown.about ?? "";
    const { asked, rest } = figures(shown, pictures);
    stage.replaceChildren(...asked);
    revealed.replaceChildren(...rest);
    answers.replaceChildren(...shown.answers.map(laidAnswer));
    verdict.textContent = shown.verdict ?? "";
    note.textContent = shown.note ?? "";
    next.hidden = shown.answer === null;
  }

  function laidAnswer(text, place) {
    const given = shown.answer !== null;
    const laid = button(text, () => answer(place), { tabindex: place ? -1 : 0, "data-key": place, "aria-disabled": given });
    laid.prepend(make("kbd", { "aria-hidden": "true" }, String(place + 1)));
    if (given) laid.setAttribute("aria-pressed", place === shown.answer);
    if (given && study === "object") laid.classList.add(place === shown.truth ? "right" : "wrong");
    return laid;
  }

  answers.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.repeat) event.preventDefault();
    arrows(event, [...answers.children], () => {});
  });
  next.addEventListener("keydown", (event) => event.key === "Enter" && event.repeat && event.preventDefault());
  document.addEventListener("keydown", (event) => {
    const at = document.activeElement;
    const elsewhere = at !== document.body && !root.contains(at) && at.getAttribute("role") !== "tab";
    if (elsewhere || !inSight(root) || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const place = Number(event.key) - 1;
    if (shown?.answers[place] !== undefined) answer(place);
    else if (event.key === "Enter" && document.activeElement === document.body && !next.hidden) ask();
  });

  mark();
  whenTurned(root, (open) => open && shown?.study !== study && ask());
  watch("value", show);
  show();
}

/* The pictures of a question: that which is asked about, or one of each network; and what the answer reveals, the
   photograph and the other object's. */
function figures({ study, pictures = {}, size, names = [], photo }, decoded) {
  const [width, height] = size ?? [4, 3];
  const figure = (...parts) => make("figure", { style: `--shape: ${width / height}` }, ...parts);
  const laid = Object.keys(pictures).map((key) => {
    const side = study === "trust" ? SIDES[key] : "";
    const name = [side, names[key]].filter(Boolean).join(": ");
    const canvas = make("canvas", { role: "img", "aria-label": name || "The picture that is asked about" });
    put(canvas, greyed(decoded[key], { width, height }));
    return figure(canvas, make("figcaption", {}, name));
  });
  const [asked, rest] = study === "trust" ? [laid, []] : [laid.slice(0, 1), laid.slice(1)];
  if (photo) {
    const picture = make("img", { src: photo.url, alt: "The photograph", width, height });
    rest.unshift(figure(picture, make("figcaption", {}, "The photograph")));
  }
  return { asked, rest };
}
