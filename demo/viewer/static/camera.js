/* The camera, live: its picture with the map that the server answers each frame with. */

import { decoded } from "./codec.js";
import { overlaid } from "./colours.js";
import { closedByBack, make, put } from "./dom.js";

const FRAME = 320; // the longer side of a frame of the camera, in pixels
const LIVE_MINUTES = 5;
const ANSWER_SECONDS = 20; // after which a frame's answer is given up

/* The camera, playing in a video. */
async function opened(video) {
  try {
    video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } });
    await video.play();
    return video.srcObject;
  } catch (error) {
    turnOff(video.srcObject);
    const why = navigator.mediaDevices ? error.message : "browsers give it to pages of https addresses alone";
    throw new Error(`There is no camera, or it may not be used: ${why}.`, { cause: error });
  }
}

function turnOff(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/* The camera's picture with the map that the server answers each frame with. */
export function live(ask, take) {
  const video = make("video", { muted: true, playsinline: true });
  const frame = make("canvas", { "aria-hidden": "true" }); // what was sent
  const canvas = make("canvas", { role: "img", "aria-label": "The camera's picture with the Grad-CAM map over it" });
  const seen = classes();
  const note = make("p", { class: "note", role: "alert", hidden: true });
  const keep = make("button", { type: "button", onclick: keepFrame }, "Keep this one");
  const stopping = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const buttons = make("p", { class: "buttons" }, keep, stopping);
  const dialog = make("dialog", { class: "live", "aria-label": "Live", onclose: stop }, canvas, seen.element, note, buttons);
  const enter = closedByBack(dialog);
  let stream = null;
  let sent = 0; // how many frames; an answer that comes after its time is dropped
  let since = 0; // when the last one was sent
  let timers = [];

  async function begin() {
    note.hidden = keep.hidden = canvas.hidden = true;
    seen.clear();
    enter();
    const mine = ++sent;
    const found = await opened(video).catch((error) => tell(error.message));
    if (!found || mine !== sent || !dialog.open) {
      turnOff(found);
      return;
    }
    stream = found;
    const ended = `Stopped after ${LIVE_MINUTES} minutes: close this and open it again to go on.`;
    timers.push(setTimeout(() => end(ended), LIVE_MINUTES * 60_000));
    keep.hidden = false;
    send();
  }

  function tell(text) {
    note.textContent = text;
    note.hidden = false;
  }

  function end(text) {
    stop();
    tell(text);
  }

  function stop() {
    turnOff(stream);
    stream = null;
    sent++;
    timers.forEach(clearTimeout);
    timers = [];
    keep.hidden = true;
  }

  /* One frame is on its way at a time: those between are never sent. */
  function send() {
    const factor = FRAME / Math.max(video.videoWidth, video.videoHeight);
    frame.width = Math.round(video.videoWidth * factor);
    frame.height = Math.round(video.videoHeight * factor);
    dialog.style.setProperty("--shape", frame.width / frame.height);
    frame.getContext("2d", { willReadFrequently: true }).drawImage(video, 0, 0, frame.width, frame.height);
    since = performance.now();
    ask({ number: ++sent, target: seen.target(), data: frame.toDataURL("image/jpeg", 0.85).split(",")[1] });
    clearTimeout(timers[1]);
    timers[1] = setTimeout(() => end("The server does not answer: close this and open it again."), ANSWER_SECONDS * 1000);
  }

  async function answered(answer) {
    if (!stream || answer?.number !== sent) return;
    if (answer.note) {
      end(answer.note);
      return;
    }
    const below = frame.getContext("2d").getImageData(0, 0, frame.width, frame.height);
    const began = since;
    send(); // the server goes on while this one is drawn
    const map = await decoded({ ...answer.heat, kind: "map", shared: answer.heat.limit });
    canvas.hidden = false;
    put(canvas, overlaid(map, below));
    seen.list(answer.items);
    dispatchEvent(new CustomEvent("live", { detail: performance.now() - began })); // milliseconds, to be measured
  }

  function keepFrame() {
    const still = make("canvas", { width: video.videoWidth, height: video.videoHeight });
    still.getContext("2d").drawImage(video, 0, 0);
    dialog.close();
    still.toBlob((blob) => blob && take(new File([blob], "camera.jpg", { type: "image/jpeg" })), "image/jpeg", 0.95);
  }

  document.addEventListener("visibilitychange", () => document.hidden && dialog.close());
  addEventListener("offline", () => stream && end("There is no network: close this and open it again when there is."));
  return { dialog, begin, answered };
}

/* What a network sees in the frames: the most probable class is explained, or the one that was chosen. */
function classes() {
  const element = make("div", { class: "choices bars", role: "group", "aria-label": "What the network sees" });
  let target = ""; // the one that was chosen
  let items = [];

  /* In the buttons of the frame before, so that the keyboard keeps its place. */
  function list(found) {
    // What was chosen stays in the list, so that it can be let go.
    const gone = target && !found.some(({ key }) => key === target);
    items = gone ? [...found, { key: target, detail: "", share: 0 }] : found;
    while (element.children.length > items.length) element.lastChild.remove();
    while (element.children.length < items.length) element.append(laidClass(element.children.length));
    for (const [place, { key, detail, share }] of items.entries()) {
      const box = element.children[place];
      const [name, value] = box.firstChild.children;
      name.textContent = key;
      value.textContent = detail;
      box.style.setProperty("--share", share);
      box.firstChild.setAttribute("aria-pressed", key === target);
    }
  }

  function laidClass(place) {
    const turn = () => {
      target = items[place].key === target ? "" : items[place].key;
      list(items);
    };
    const parts = [make("span", { class: "name" }), make("span", { class: "detail" })];
    return make("span", { class: "choice" }, make("button", { type: "button", class: "pick", onclick: turn }, ...parts));
  }

  return {
    element,
    list,
    target: () => target,
    clear() {
      target = "";
      list([]);
    },
  };
}
