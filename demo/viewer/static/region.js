/* A region that is marked in the panels. */

import { choose } from "./choosing.js";
import { inset } from "./dom.js";

/* The region that is being marked runs from a corner to a point. */
export function marker(scene) {
  let corner = null;
  let region = null; // left, top, right, bottom in shares
  let begunOn = null; // of what it was begun on: photograph, model, layer and text
  let sent = 0; // how many; one may overtake another on its way
  const tell = (box) => scene.trigger("region", { number: ++sent, box });

  function draw() {
    for (const { edge } of scene.panels) {
      edge.hidden = !region;
      if (!region) continue;
      edge.style.inset = inset(region);
    }
  }

  return {
    draw,
    begun: () => corner !== null,
    /* The mode was entered or left. */
    turned(marking) {
      if (marking) scene.rows.scrollIntoView({ block: "nearest" });
      else this.drop();
    },
    there: () => region !== null,
    begin(at) {
      corner = at;
      region = null;
      begunOn = scene.shown.rows[0].sight;
    },
    extend(to) {
      region = [Math.min(corner.x, to.x), Math.min(corner.y, to.y), Math.max(corner.x, to.x), Math.max(corner.y, to.y)];
      draw();
    },
    end() {
      corner = null;
      const [left, top, right, bottom] = region ?? [0, 0, 0, 0];
      if ((right - left) * (bottom - top) <= 1e-4) region = null;
      choose();
      tell(region);
      draw();
    },
    /* There is none any more, and what it speaks for goes too. */
    drop() {
      if (region) tell(null);
      this.clear();
    },
    clear() {
      corner = region = null;
      draw();
    },
    /* What it speaks for goes when something else is shown; so does the region. */
    keep({ rows }) {
      if (!rows.some((row) => row.sight === begunOn)) this.clear();
    },
  };
}
