/* One panel over the whole screen. */

import { address } from "./address.js";
import { closedByBack, make, tool } from "./dom.js";
import { splitter } from "./toolbar.js";

/* The panel goes into a dialog and, when that is closed, back to where it stands otherwise. The browser's way back
   closes it too. */
export function wholeScreen(scene) {
  const element = make("dialog", { class: "enlarged", "aria-label": "The enlarged picture", onclose: putBack });
  const close = tool("Close", "✕", "close", () => element.close());
  const enter = closedByBack(element);
  let home = null;

  function open(panel) {
    if (element.open) return;
    home = make("figure", { class: "panel" });
    panel.figure.replaceWith(home);
    element.replaceChildren(make("h2", {}, panel.name), panel.figure, splitter(), close);
    enter();
    panel.frame.focus();
    scene.glass.pointAt(scene.glass.point());
  }

  function putBack() {
    const figure = element.querySelector("figure");
    home.replaceWith(figure);
    scene.glass.whole();
    figure.querySelector(".frame").focus();
  }

  addEventListener("popstate", () => address(scene)); // which may be another one by now
  return {
    element,
    open,
    isOpen: () => element.open,
    close: () => element.close(),
  };
}
