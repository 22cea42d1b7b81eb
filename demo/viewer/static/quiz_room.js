/* What the question and the votes of the quiz share. */

import { isNoValue, make } from "./dom.js";

export const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, text);

/* Takes what is newer than all before: Gradio may send what was made before after what was made last. */
export function newest() {
  let last = 0;
  return (value) => {
    if (isNoValue(value) || !value?.time || value.time < last) return false;
    last = value.time;
    return true;
  };
}

// That this page is in: told with each event, as a server that was restarted has forgotten it.
export let room = "";

export function enterRoom(code) {
  room = code;
}
