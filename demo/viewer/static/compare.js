/* The methods that can be shown beside the panels. */

import { choose } from "./choosing.js";
import { make } from "./dom.js";

/* The methods that can be shown beside the panels, by group, to tick. */
export function compare(element, { trigger }, _events, { task, groups }) {
  const boxes = [];
  let sent = 0; // how many: one may overtake another on its way
  const laid = ({ key, title, sentence }) => {
    const box = make("input", { type: "checkbox", value: key, onchange: () => compared(box) });
    boxes.push(box);
    return make("label", { class: "chip", title: sentence }, box, title);
  };
  const group = ([name, all]) =>
    make("div", { role: "group", "aria-label": name }, make("span", { class: "heading", "aria-hidden": "true" }, name), ...all.map(laid));
  const fold = make("details", {}, make("summary", {}, "Compare methods"), ...Object.entries(groups).map(group));
  element.querySelector(".compare").replaceChildren(fold);

  function compared(box) {
    choose();
    if (box.checked) document.dispatchEvent(new CustomEvent("added", { detail: { task, method: box.value } }));
    trigger("choose", { number: ++sent, methods: boxes.filter(({ checked }) => checked).map(({ value }) => value) });
  }

  document.addEventListener("explained", ({ detail }) => {
    if (detail.task !== task) return;
    // What the model cannot have is not offered; what was ticked before can still be taken away.
    for (const box of boxes) box.parentElement.hidden = box.value === "attention" && !detail.attends && !box.checked;
  });
}
