/* Takes a photograph that is pasted or dropped anywhere on the page, and has the camera. */

import { lostMessage, openWithoutLost } from "./choosing.js";
import { make } from "./dom.js";

/* Takes a photograph that is pasted or dropped anywhere on the page, and has the camera. */
export function intake(element, { trigger, props, watch, upload }, _events, { most }) {
  const note = make("p", { class: "note", role: "alert", hidden: true });
  const take = (file) => upload(file).then(({ path }) => trigger("taken", { path }), () => null); // Gradio says why
  const say = (message) => {
    note.textContent = message;
    note.hidden = false;
  };
  const picture = (files) => [...(files ?? [])].find((file) => file.type.startsWith("image/"));

  /* Says why a file cannot be the photograph, so that the one that is there stays. */
  function refuse(event, file) {
    const fits = !file?.type || file.type.startsWith("image/");
    if (!file || (fits && file.size <= most)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const why = fits ? `is larger than ${most / 2 ** 20} MB: make it smaller` : "is not an image: choose another file";
    say(`“${file.name}” ${why}.`);
  }

  document.addEventListener("change", (event) => event.target.closest("#photo") && refuse(event, event.target.files?.[0]), true);
  document.addEventListener("drop", (event) => refuse(event, event.dataTransfer.files[0]), true);
  document.addEventListener("look", () => (note.hidden = true));
  document.addEventListener("explained", ({ detail }) => detail.note && openWithoutLost(detail.note));
  const lost = lostMessage();
  if (lost) say(lost);
  document.addEventListener("paste", (event) => {
    const file = picture(event.clipboardData?.files);
    const text = event.target.closest("input, textarea") && event.clipboardData.types.includes("text/plain");
    if (!file || text) return;
    event.preventDefault();
    take(file);
  });
  document.addEventListener("dragover", (event) => {
    if (event.dataTransfer.types.includes("Files")) event.preventDefault();
  });
  document.addEventListener("drop", (event) => {
    const [file] = event.dataTransfer.files;
    if (event.defaultPrevented || !file) return;
    event.preventDefault();
    take(file);
  });
  // Of a photograph that this browser cannot show the server makes one that it can.
  document.addEventListener("error", ({ target }) => {
    if (!target.closest?.("#photo")) return;
    target.style.visibility = "hidden"; // until then its text would lie under the label
    trigger("unseen", {});
  }, true);
  document.addEventListener("load", ({ target }) => target.closest?.("#photo") && (target.style.visibility = ""), true);

  let camera = null; // once it was asked for
  const start = make("button", { type: "button", class: "start", onclick: begin }, "Camera (live)");
  const parts = element.querySelector(".intake");
  parts.replaceChildren(start, note);

  async function opened() {
    const { live } = await import("./camera.js");
    const made = live((frame) => trigger("frame", frame), take);
    parts.append(made.dialog);
    return made;
  }

  async function begin() {
    start.disabled = true; // or a double click would open two
    try {
      camera ??= await opened();
      camera.begin();
    } catch (error) {
      say(`The camera cannot be opened: ${error.message}.`);
    }
    start.disabled = false;
  }

  watch("value", () => camera?.answered(props.value));
}
