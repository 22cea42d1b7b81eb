/* Draws the pictures of all panels of a tab as the settings say. */

import { greyed, overlaid, strongest } from "./colours.js";
import { put } from "./dom.js";
import { settings } from "./settings.js";

export function redraw(scene, changes) {
  const own = settings.own ?? scene.shown?.own ?? false;
  scene.bar.update(own);
  for (const [place, said] of scene.scales) {
    place.textContent = own && said ? "Each row has its own scale." : said;
  }
  for (const panel of scene.panels) {
    const { picture, canvas } = panel;
    canvas.style.clipPath = `inset(0 ${100 * (1 - settings.split)}% 0 0)`;
    if (Object.keys(changes).join() === "split") continue;
    if (picture.kind !== "gradient") {
      put(canvas, overlaid(picture, scene.shown.photo));
    } else if (panel.scale !== strongest(picture)) {
      put(canvas, greyed(picture, scene.shown.photo));
      panel.scale = strongest(picture);
    }
  }
  scene.glass.pointAt(scene.glass.point());
  scene.region.draw();
}
