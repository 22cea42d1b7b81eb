/* The votes of the quiz: how they stand, and on the projector of a room. */

import { linkedRoom, showAddress } from "./address.js";
import { inSight, make, whenTurned } from "./dom.js";
import { button, enterRoom, newest, room } from "./quiz_room.js";

const SECONDS = 2; // from one look at the votes to the next, on the projector

export function votes(element, { trigger, props, watch }, _events, { chance, most, enough }) {
  const root = element.querySelector(".votes");
  const isNewer = newest();
  let value = { room: "", own: 0, charts: {}, note: "" };
  let linked = linkedRoom; // until it is joined

  const title = make("h2");
  const code = make("input", { type: "text", maxlength: 12, autocomplete: "off", autocapitalize: "characters", spellcheck: "false" });
  const join = make("form", { class: "join", onsubmit: typed }, make("label", {}, "Room code ", code), make("button", {}, "Join a room"));
  const open = button("Open a room", () => trigger("open", {}));
  const project = button("Show on the projector", () => projected(!projecting()), { "aria-pressed": "false" });
  const leave = button("Leave the room", leaveRoom);
  const table = button("Votes (CSV)", () => trigger("csv", { room }));
  const note = make("p", { class: "note", role: "alert", hidden: true });
  const banner = make("p", { class: "banner", hidden: true });
  const charts = make("div", { class: "charts" });
  const rules = make("div", { class: "rules" }, ...rulesOf(enough).map((text) => make("p", {}, text)));
  const tools = make("div", { class: "tools" }, open, join, project, table, leave);
  root.replaceChildren(make("header", {}, title, tools), note, banner, charts, legend(), rules);

  const projecting = () => root.classList.contains("projecting");

  function projected(on) {
    root.classList.toggle("projecting", on);
    update();
  }

  function typed(event) {
    event.preventDefault();
    if (code.value.trim()) trigger("join", { code: code.value });
  }

  function leaveRoom() {
    enterRoom("");
    trigger("join", { code: "" });
  }

  function show() {
    if (!isNewer(props.value)) return;
    ({ value } = props);
    enterRoom(value.room);
    if (value.mine && !opened.has(room)) {
      opened.add(room);
      root.classList.add("projecting");
    }
    if (room) code.value = "";
    else root.classList.remove("projecting");
    update();
    tell();
    address();
  }

  /* A note of null keeps the one that is there. */
  function tell() {
    if (value.note === null) return;
    note.hidden = !value.note;
    if (note.textContent !== value.note) note.textContent = value.note;
    if (value.note) note.scrollIntoView({ block: "nearest" });
  }

  function update() {
    const count = Object.values(value.charts).flat().reduce((sum, bar) => sum + bar.votes, 0);
    title.textContent = room ? `Room ${room}: ${counted(count)}` : `Your answers: ${value.own}`;
    leave.hidden = !room;
    for (const one of [project, table]) one.hidden = !opened.has(room);
    for (const one of [open, join]) one.hidden = Boolean(room);
    project.setAttribute("aria-pressed", projecting());
    project.textContent = projecting() ? "Back to the questions" : "Show on the projector";
    banner.hidden = !projecting();
    if (room) banner.replaceChildren("Join at ", make("b", { class: "link" }, link()), " or with the code ", make("b", { class: "code" }, room));
    charts.replaceChildren(...Object.entries(value.charts).map(([study, bars]) => chart(study, bars, chance[study], most[study])));
  }

  /* The address leads here again, and into the room. */
  function address() {
    if (inSight(root)) showAddress([["task", "quiz"], ...(room ? [["room", room]] : [])]);
  }

  whenTurned(root, (turned) => {
    root.classList.toggle("open", turned);
    if (!turned) return;
    if (linked && !room) trigger("join", { code: linked, linked: true });
    else address();
    linked = null;
  });
  setInterval(() => projecting() && inSight(root) && !document.hidden && trigger("look", { room }), SECONDS * 1000);
  watch("value", show);
  update();
  show();
}

const link = () => `${location.host}${location.pathname}?task=quiz&room=${room}`;

const counted = (count) => (count === 1 ? "1 vote" : `${count} votes`);

/* The codes of the rooms that this browser opened: the teacher's buttons are shown for these. */
const OPENED = "opened rooms";
const opened = {
  codes: [], // where the browser stores nothing, they are kept as long as the page is open
  has(code) {
    try {
      this.codes = JSON.parse(localStorage.getItem(OPENED)) ?? this.codes;
    } catch {}
    return this.codes.includes(code);
  },
  add(code) {
    this.codes = [code, ...this.codes].slice(0, 20);
    try {
      localStorage.setItem(OPENED, JSON.stringify(this.codes));
    } catch {}
  },
};

const rulesOf = (enough) => [
  `From ${enough} votes on, a bar has its 95% interval and the paper’s result. The interval counts each vote as a different person’s: it is too narrow where people voted more than once.`,
  "The paper asked about other images, of PASCAL VOC, and about other models: VGG-16, and which of it and AlexNet is more reliable.",
  "Everybody’s first question is an easy one about Guided Grad-CAM, which favours that method.",
  "A vote is the study, the method and the answer, and nothing about who gave it. A room with its votes is deleted after a day, or when the demo is restarted.",
];

const TITLES = {
  object: "Which object? Share of right answers",
  trust: "Which network? Trust in the better one, from −2 to 2",
};

function legend() {
  const parts = [["bar", "mean"], ["whisker", "95% interval"], ["reported", "the paper’s"], ["chance", "guessing"]];
  return make("p", { class: "legend", "aria-hidden": "true" }, ...parts.map(([name, text]) => make("span", {}, make("i", { class: name }), text)));
}

/* Bars of the methods in a study, whose values go up to `most`. */
function chart(study, bars, guessed, most) {
  const low = study === "trust" ? -most : 0;
  const place = (number) => `${(100 * (Math.min(Math.max(number, low), most) - low)) / (most - low)}%`;
  const at = (name, from, to = from) =>
    make("i", { class: name, style: `left: ${place(Math.min(from, to))}; right: calc(100% - ${place(Math.max(from, to))})` });
  const laid = bars.map(({ title, votes: count, mean, interval, reported }) => {
    const track = make("span", { class: "track", "aria-hidden": "true" }, at("chance", guessed));
    if (count) track.append(at("bar", 0, mean));
    if (interval) track.append(at("whisker", ...interval));
    if (reported !== null) track.append(at("reported", reported));
    const number = study === "trust" ? signed : percent;
    const range = interval ? ` (${interval.map(number).join(" to ")})` : "";
    const text = count ? `${number(mean)}${range}, ${counted(count)}` : "no votes yet";
    const paper = reported === null ? "" : `; paper: ${study === "trust" ? reported.toFixed(2) : `${(100 * reported).toFixed(2)}%`}`;
    return make("li", {}, make("span", { class: "method" }, title), track, make("span", { class: "number" }, text, paper));
  });
  return make("section", { "data-chart": study }, make("h3", {}, TITLES[study]), make("ul", {}, ...laid));
}

const percent = (share) => `${Math.round(100 * share)}%`;
const signed = (value) => `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(value).toFixed(2)}`;
