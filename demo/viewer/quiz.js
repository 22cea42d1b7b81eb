/* Draws the quiz: the question with its pictures, and the votes. viewer.js stands before this script. */

(() => {
  "use strict";

  const { make, put, decodedRow, greyed, arrows, inSight, whenTurned, showAddress, isNoValue } = viewer.tools;

  const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, text);

  /* Takes what is newer than all before: Gradio may send what was made before after what was made last. */
  function newest() {
    let last = 0;
    return (value) => {
      if (isNoValue(value) || !value?.time || value.time < last) return false;
      last = value.time;
      return true;
    };
  }

  let room = ""; // that this page is in: told with each event, as a server that was restarted has forgotten it

  // ---- The question -----------------------------------------------------------------------------------------------

  const SECONDS_TO_WAIT = 15;
  const SIDES = ["Left", "Right"];

  function quiz(element, { trigger, props, watch }, _events, { studies }) {
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

  // ---- The votes --------------------------------------------------------------------------------------------------

  const SECONDS = 2; // from one look at the votes to the next, on the projector

  function votes(element, { trigger, props, watch }, _events, { chance, most, enough }) {
    const root = element.querySelector(".votes");
    const isNewer = newest();
    let value = { room: "", own: 0, charts: {}, note: "" };
    let linked = new URLSearchParams(location.search).get("room"); // until it is joined

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
      room = "";
      trigger("join", { code: "" });
    }

    function show() {
      if (!isNewer(props.value)) return;
      ({ value } = props);
      ({ room } = value);
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

  Object.assign(viewer, { quiz, votes });
})();
