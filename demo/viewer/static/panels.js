/* The panels of a tab. */

import { address } from "./address.js";
import { isToOpen } from "./choosing.js";
import { decodedRow } from "./codec.js";
import { isNoValue, make, whenOpen } from "./dom.js";
import { wholeScreen } from "./enlarged.js";
import { gestures } from "./gestures.js";
import { lateColumns } from "./late.js";
import { photograph } from "./photographs.js";
import { lookingGlass } from "./pointer.js";
import { redraw } from "./redraw.js";
import { marker } from "./region.js";
import { layOut } from "./rows.js";
import { drawnAnew, settings } from "./settings.js";
import { toolbar } from "./toolbar.js";

/* The panels of a tab. What its parts share is the `scene`: what is `shown`, which is the value with its pictures
   decoded and the photograph's pixels; of each of the `panels` the picture and its elements; of each row what says
   on what scale it is; and the parts themselves. */
export function panels(element, { trigger, props, watch }, _events, { kinds, opens }) {
  const root = element.querySelector(".panels");
  const scene = { root, trigger, shown: null, panels: [], scales: [], swiped: null, added: null, rows: make("div", { class: "rows" }) };
  scene.glass = lookingGlass(scene);
  scene.region = marker(scene);
  scene.hands = gestures(scene);
  scene.screen = wholeScreen(scene);
  scene.late = lateColumns(scene);
  scene.bar = toolbar(
    () => trigger("zip", { ...settings, own: settings.own ?? scene.shown.own }),
    { marking: `Select a region: which ${kinds} does it support?`, boxed: "Box around the evidence" },
    (marking) => scene.region.turned(marking),
  );
  const hint = make("p", { class: "hint", role: "status" }, "Drag over a panel to select a region. By keyboard, press Space at two opposite corners.");
  scene.status = make("p", { class: "unseen", role: "status" }); // read out when other panels are there
  root.replaceChildren(hint, scene.rows, scene.bar.element, scene.screen.element, scene.status);

  let newest = 0; // Gradio may send what was drawn before after what was drawn last
  async function show() {
    if (isNoValue(props.value) || props.value?.time < newest) return;
    const { time, wanted, ...value } = props.value?.rows ? props.value : { rows: [] };
    newest = time ?? newest;
    const mine = newest;
    const text = JSON.stringify(value);
    // What is drawn already stays, with the place of the pointer and of the keyboard in it.
    if (text !== scene.shown?.text) {
      const shown = { text, ...(await prepared(value)) };
      if (mine !== newest) return;
      scene.region.keep(shown);
      scene.shown = shown;
      layOut(scene);
      scene.late.begin(wanted);
    }
    address(scene);
    if (scene.shown.all_layers) trigger("layers", {});
  }

  let looks = 0;
  whenOpen(root, (detail) => {
    if (isToOpen(opens)) trigger("open", {});
    else trigger("look", { number: ++looks, ...detail }); // one may overtake another on its way
  });
  document.addEventListener("late", ({ detail }) => detail.task === scene.shown?.task && scene.late.answered(detail));
  document.addEventListener("added", ({ detail }) => detail.task === scene.shown?.task && (scene.added = detail.method));
  drawnAnew(root, (changes) => redraw(scene, changes));
  watch("value", show);
  show();
}

/* The value of the panels with all that is to be drawn. */
async function prepared(value) {
  try {
    const photo = value.photo ? Object.assign(await photograph(value.photo), { url: value.photo.url }) : null;
    const pictures = await Promise.all(value.rows.map((row) => decodedRow(row.pictures)));
    for (const picture of pictures.flatMap(Object.values)) picture.own = value.own;
    return { ...value, photo, rows: value.rows.map((row, place) => ({ ...row, pictures: pictures[place] })) };
  } catch (error) {
    // Without a text, so that the same is drawn when it comes again.
    return { rows: [], note: `The pictures could not be drawn: ${error.message}`, text: null };
  }
}
