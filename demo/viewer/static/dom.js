/* Elements, what is in sight, and the keyboard. */

// oxlint-disable-next-line no-underscore-dangle -- Gradio now and then takes its "no update" for a value
export const isNoValue = (value) => typeof value?.__type__ === "string";
export const NO_VALUE = { __type__: "update" };

export const between = (low, value, high) => Math.min(Math.max(value, low), high);

/* An element with attributes, `on...` listeners and children. */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "html") made.innerHTML = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

export function put(canvas, image) {
  canvas.width = image.width;
  canvas.height = image.height;
  canvas.getContext("2d").putImageData(image, 0, 0);
}

export function save(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export const fileName = (text) => text.replace(/[^\p{L}\p{N}_.-]+/gu, "_").slice(-80);

export const inSight = (root) => Boolean(root.offsetParent);

/* Calls back when an element comes into sight or goes out of it, with its tab. */
export function whenTurned(root, turned) {
  let open = false;
  new ResizeObserver(() => {
    if (open === inSight(root)) return;
    open = inSight(root);
    turned(open);
  }).observe(root);
}

/* The tab that is open looks; another one does when it is turned to. */
export function whenOpen(root, look) {
  whenTurned(root, (open) => open && look());
  document.addEventListener("look", ({ detail }) => inSight(root) && look(detail));
}

/* Where a box lies, given in shares of the sides. */
export const inset = ([left, top, right, bottom]) =>
  [top, 1 - right, 1 - bottom, left].map((share) => `${100 * share}%`).join(" ");

export function tool(name, sign, key, onclick) {
  return make("button", { type: "button", class: "tool", title: name, "aria-label": name, "data-key": key, onclick }, sign);
}

/* Returns what opens a dialog, which the browser's way back then closes. */
export function closedByBack(dialog) {
  let entered = false;
  dialog.addEventListener("close", () => entered && history.back());
  addEventListener("popstate", () => {
    entered = false;
    dialog.close();
  });
  return () => {
    dialog.showModal();
    history.pushState(null, "");
    entered = true;
  };
}

/* Moves the keyboard from one of several buttons to another, which becomes the stop for the Tab key, and is told. */
export function arrows(event, buttons, tell) {
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  const at = buttons.indexOf(document.activeElement);
  const to = { Home: 0, End: buttons.length - 1 }[event.key] ?? at + steps[event.key];
  if (at < 0 || !buttons[to]) return;
  event.preventDefault();
  buttons[at].tabIndex = -1;
  buttons[to].tabIndex = 0;
  buttons[to].focus();
  tell(buttons[to].dataset.key);
}

/* Brings what can be explained in the open tab under the keyboard, its bars or the words of its caption, if there are. */
export function skip(event) {
  const stops = document.querySelectorAll(".bars [tabindex='0'], .strip [tabindex='0']");
  const stop = [...stops].find(inSight);
  if (stop) event.preventDefault();
  stop?.focus();
}

/* Brings a part of the page into sight, and the keyboard with it. */
export function goTo(id) {
  const part = document.getElementById(id);
  part.scrollIntoView({ block: "start" });
  part.focus({ preventScroll: true });
}

/* Saves a file of the server, if there is one. */
export const download = (file) => file && make("a", { href: file.url, download: file.orig_name }).click();
