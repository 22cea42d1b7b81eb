/* Which image is there, and whether somebody chose it. */

import { NO_VALUE } from "./dom.js";

export const exampleFiles = new Map(); // of the examples, by their keys: the page opens with the first
let taken = null; // the file of the example that was clicked last

export function takeExample(url) {
  taken = url ?? taken;
}

let shownPath = null; // the path of the image's file, once there is another than at first
let opening = null; // the example that a tab opened with last, if it is not the first
const KEPT_CHOICE = "choice";
let chosen = wasChosen();

/* Whether somebody chose the image: as before the page was opened again with the address that it wrote itself. Any
   other address that names an image counts as chosen, such as one that a teacher sends. */
function wasChosen() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(KEPT_CHOICE));
    if (kept?.search === location.search) {
      ({ opening } = kept);
      return kept.chosen;
    }
  } catch {
    // A browser that keeps nothing knows the address alone.
  }
  return ["photo", "text", "target"].some((name) => new URLSearchParams(location.search).has(name));
}

export function keepChoice() {
  try {
    sessionStorage.setItem(KEPT_CHOICE, JSON.stringify({ chosen, opening, search: location.search }));
  } catch {
    // As above.
  }
}

let picks = 0;

/* The number of a click on something to be explained: one may overtake another on its way. */
export const pickNumber = () => ++picks;

/* Work on an image chooses it: it stays in all tabs. */
export function choose() {
  chosen = true;
  keepChoice();
}

document.addEventListener("input", ({ target }) => target.matches("#question textarea, #caption textarea") && choose());

const first = () => exampleFiles.values().next().value;
const isThere = (file) => file?.path === (shownPath ?? first()?.path);

/* It becomes the image; one that is there already is looked at anew. */
export function picked() {
  choose();
  if (!isThere(taken)) return taken;
  document.dispatchEvent(new CustomEvent("look", { detail: { again: true } }));
  return NO_VALUE;
}

/* Whether a tab opens with another example than the one that is there: only as long as nobody chose an image. */
export function isToOpen(key) {
  if (chosen || !exampleFiles.has(key) || isThere(exampleFiles.get(key))) return false;
  opening = key;
  return true;
}

/* The example that a tab opens with becomes the image, unless one was chosen meanwhile. */
export function openedWith() {
  if (!chosen) return exampleFiles.get(opening);
  lookAgain();
  return NO_VALUE;
}

const KEPT_PHOTOGRAPH = "photograph";
let shownPhotograph = null;

/* There is another photograph or model: the tab that is open looks at it. */
export const lookAgain = () => document.dispatchEvent(new CustomEvent("look"));

/* There is another photograph; it is there again when the page is opened again. */
export function photographed(photo) {
  shownPhotograph = photo;
  shownPath = photo?.path ?? "";
  if (![first(), exampleFiles.get(opening)].some((file) => file?.path === shownPath)) choose();
  try {
    sessionStorage.setItem(KEPT_PHOTOGRAPH, JSON.stringify(photo));
  } catch {
    // A browser that keeps nothing starts with the example.
  }
  lookAgain();
}

/* The photograph that was there when the page was left, if its address is that of one without a name, and if the
   server still has it. */
export async function restored() {
  const parameters = new URLSearchParams(location.search);
  try {
    const photo = JSON.parse(sessionStorage.getItem(KEPT_PHOTOGRAPH));
    if (!photo?.url || !parameters.has("task") || parameters.has("photo")) return NO_VALUE;
    chosen = true; // no tab opens with its example meanwhile
    if ((await fetch(photo.url, { method: "HEAD" })).ok) return photo;
    chosen = false;
    sessionStorage.removeItem(KEPT_PHOTOGRAPH);
  } catch {
    // As above.
  }
  return NO_VALUE;
}

const LOST = "lost";

/* Opens the page again where the server has lost the photograph, which then says so. After a restart of the server the
   files of the examples are elsewhere, too. */
export async function openWithoutLost(message) {
  const lost = shownPhotograph;
  const kept = !lost?.url || (await fetch(lost.url, { method: "HEAD" }).then(({ ok }) => ok, () => true)); // or no server
  if (kept || lost !== shownPhotograph) return;
  try {
    for (const key of [KEPT_PHOTOGRAPH, KEPT_CHOICE]) sessionStorage.removeItem(key);
    sessionStorage.setItem(LOST, message);
  } catch {
    // As above.
  }
  location.reload();
}

/* What the page says when it is opened again without a lost photograph. */
export function lostMessage() {
  try {
    const message = sessionStorage.getItem(LOST);
    sessionStorage.removeItem(LOST);
    return message;
  } catch {
    return null;
  }
}
