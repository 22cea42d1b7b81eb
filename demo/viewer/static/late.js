/* Columns that are filled when they are ready. */

import { decoded } from "./codec.js";
import { isNoValue, make } from "./dom.js";
import { redraw } from "./redraw.js";
import { laidPanel } from "./rows.js";
import { settings } from "./settings.js";

/* The server tells of them when it is asked: what is filled, and how far the others are. */
export function lateColumns(scene) {
  let known = []; // those that are filled
  let wanted = []; // those that somebody started
  let number = null; // of what is shown, with its columns
  let asked = 0; // how often; only the last answer is asked after again
  let layout = 0; // how often they were laid out; what is decoded for an earlier time is not drawn
  const figureOf = (method, row) => scene.rows.querySelector(`[data-panel="${method}"][data-row="${row}"].late`);

  function laid(method, row) {
    const figure = make("figure", { class: "panel late", "data-panel": method, "data-row": row });
    const { title, sentence } = scene.shown.methods[method];
    figure.append(make("figcaption", { title: sentence }, make("b", {}, title)), make("div", { class: "frame" }));
    if (row === 0) figure.append(make("p", { class: "caption" }, sentence));
    const price = scene.shown.late.prices[method];
    waits(figure, method, price, price ? undefined : "");
    return figure;
  }

  /* What stands in a column that is not filled: its price and a way to start it, or how far it is and one to stop. */
  function waits(figure, method, price, progress) {
    const begun = progress !== undefined;
    const press = () => (begun ? stop(method) : want([...wanted, method]));
    const said = make("span", {}, begun ? progress || "Computing" : price && `${price}.`);
    const button = make("button", { type: "button", class: "button", onclick: press }, begun ? "Stop" : "Start");
    // One button serves all rows.
    figure.querySelector(".frame").replaceChildren(said, figure.dataset.row === "0" && (price || !begun) ? button : "");
  }

  function stop(method) {
    want(wanted.filter((one) => one !== method));
    for (const row of scene.shown.rows.keys()) waits(figureOf(method, row), method, scene.shown.late.prices[method]);
  }

  function want(methods) {
    wanted = methods;
    ask();
  }

  function ask() {
    scene.trigger("late", { time: scene.shown.late.number, ask: ++asked, known, wanted });
  }

  async function fill(method, { pictures, notes }, isLaid) {
    const drawn = await Promise.all(pictures.map((picture) => picture && decoded(picture)));
    if (!isLaid()) return;
    for (const [place, row] of scene.shown.rows.entries()) {
      const figure = figureOf(method, place);
      if (!drawn[place]) {
        figure.querySelector(".frame").replaceChildren(make("span", {}, notes[place]));
        continue;
      }
      row.pictures[method] = { ...drawn[place], own: scene.shown.own };
      const panel = laidPanel(scene, row, place, method);
      panel.figure.append(make("p", { class: "caption" }, notes[place]));
      figure.replaceWith(panel.figure);
      scene.panels.push(panel);
    }
    redraw(scene, settings);
  }

  return {
    laid,
    /* Fills the columns that were just laid out; the server goes on with those that it had begun. */
    begin(begun) {
      layout++;
      const { prices, ...now } = scene.shown.late ?? {};
      if (!prices) return;
      if (now.number !== number) wanted = begun ?? [];
      number = now.number;
      known = [];
      if (Object.keys(prices).length) ask();
    },
    async answered(answer) {
      if (answer.time !== number) return;
      const mine = layout;
      const isLaid = () => mine === layout;
      const fresh = Object.entries(answer.columns).filter(([method]) => !known.includes(method));
      known.push(...fresh.map(([method]) => method));
      for (const [method, column] of fresh) await fill(method, column, isLaid);
      if (!isLaid()) return;
      const { prices } = scene.shown.late;
      // One that is neither filled nor running was given up, as when this page did not ask for a while.
      for (const method of Object.keys(prices).filter((one) => !known.includes(one))) {
        for (const row of scene.shown.rows.keys()) waits(figureOf(method, row), method, prices[method], answer.running[method]);
      }
      if (answer.ask === asked && answer.time === number && Object.keys(answer.running).length) ask();
    },
  };
}

/* Hands on what the server tells of the columns that are filled late. */
export function late(_element, { props, watch }, _events, { task }) {
  watch("value", () => {
    if (isNoValue(props.value) || !props.value) return;
    document.dispatchEvent(new CustomEvent("late", { detail: { task, ...props.value } }));
  });
}
