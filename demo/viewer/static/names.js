/* A box for names, of what is explained alone or put beside. */

import { choose, pickNumber } from "./choosing.js";
import { isNoValue, make } from "./dom.js";

/* A box for names, of what is explained alone or put beside. Half a name is enough, unless what can be typed has no
   list: then the names are some of many. */
export function names(element, { trigger, props, watch }, _events, { kind, example, task }) {
  const root = element.querySelector(".names");
  const list = make("datalist", { id: `names-of-${root.closest("[id]").id}` });
  const plain = { autocomplete: "off", autocorrect: "off", autocapitalize: "off", spellcheck: "false" };
  const box = make("input", { type: "text", list: list.id, enterkeyhint: "go", ...plain, oninput: listed });
  const beside = make("button", { type: "button", class: "button", onclick: () => take("beside") }, "+ Compare");
  const form = make(
    "form",
    { onsubmit: (sent) => (sent.preventDefault(), take("pick")) },
    make("label", {}, `Another ${kind}`, box),
    make("button", { type: "submit", class: "button" }, "Explain"),
    beside,
  );
  const close = make("p", { class: "close", hidden: true });
  root.replaceChildren(list, form, close);
  let offered = [];
  let hint = "";
  let asked = "pick"; // what was asked for with what was typed

  function take(event) {
    const typed = box.value.trim();
    const key = hint ? typed : completed(typed);
    if (!key) {
      box.focus();
      return;
    }
    choose();
    asked = event;
    trigger(event, { key, number: pickNumber() });
  }

  function listed({ inputType }) {
    // How browsers tell that a name of the list was clicked, or a word corrected.
    if ((inputType === "insertReplacementText" || !inputType) && offered.includes(box.value)) take("pick");
  }

  /* The name that was typed, else the first that begins with it, else the first of which a word does. */
  function completed(typed) {
    const text = typed.toLowerCase();
    const fits = [(name) => name === text, (name) => name.startsWith(text), (name) => name.includes(` ${text}`)];
    const found = fits.map((fit) => offered.find((name) => fit(name.toLowerCase())));
    return (text && found.find(Boolean)) || typed;
  }

  function show() {
    if (isNoValue(props.value)) return;
    offered = props.value?.names ? props.value.names.split("\n") : [];
    hint = props.value?.hint ?? "";
    list.replaceChildren(...offered.map((name) => make("option", { value: name })));
    box.placeholder = hint || `e.g. ${example}`;
  }

  /* The names that an error proposes, to click. */
  function propose(note) {
    const proposed = /Did you mean (.+)\?/u.exec(note)?.[1].split(" or ") ?? [];
    const known = proposed.filter((name) => offered.includes(name));
    const button = (name) => make("button", { type: "button", class: "button", onclick: () => trigger(asked, { key: name, number: pickNumber() }) }, name);
    close.replaceChildren("Did you mean: ", ...known.map(button));
    close.hidden = !known.length;
  }

  document.addEventListener("explained", ({ detail }) => {
    if (detail.task !== task) return;
    propose(detail.note);
    // What could not be explained stays, to be corrected.
    if (!detail.note) box.value = "";
  });
  watch("value", show);
  show();
}
