/* The six steps of the lesson: of each its name, and what is drawn and said. */

import { greyed, overlaid } from "./colours.js";
import { make, put } from "./dom.js";
import { ALPHA, MAP, RESULT, both, equation, gap, many, mi, mn, mo, mtext, over, row, signed, sub, sum, sup } from "./equations.js";
import { cellsOf, figure, heat, mapButtons, most, part } from "./lesson_pictures.js";

const PALER = 1.5; // so that the strongest is not nearly black

const quoted = (shown) => `“${shown.target}”`;

function featureMaps(scene) {
  const { shown } = scene;
  const [rows, columns] = shown.shape;
  return {
    pictures: [
      mapButtons(scene, null, (place) => {
        scene.map = place;
        scene.turn(1);
      }),
    ],
    equation: equation(
      row(sup(mi("A"), mn(1)), mo(","), sup(mi("A"), mn(2)), mo(","), mo("…"), mo(","), sup(mi("A"), `<mn>${many(shown.maps)}</mn>`)),
      row(mtext("each"), gap, mn(rows), mo("×"), mn(columns), gap, mtext("cells")),
    ),
    legend: "A with a small k above: feature map number k.",
    words: [
      `A network works in layers. Its ${shown.layer} gives ${many(shown.maps)} feature maps of the photograph: coarse pictures of ${rows} × ${columns} cells, each bright where it found one kind of thing. Nobody told it which kinds.`,
      `These ${shown.order.length} have the largest weights for ${quoted(shown)}: below each its number and its weight. Where a weight comes from is the next step: click one to see. A large weight on a map that found nothing adds nothing.`,
    ],
  };
}

function gradients(scene) {
  const { shown } = scene;
  const size = cellsOf(shown);
  const cells = part(shown.gradients, scene.map, size);
  const weight = shown.weights[scene.map];
  const first = cells[0];
  const even = cells.every((value) => Math.abs(value - first) <= 1e-3 * most(cells));
  const choose = (place) => {
    scene.map = place;
    scene.draw();
    scene.stage.querySelector(`.maps [data-key="${place}"]`).focus();
  };
  const k = shown.order[scene.map] + 1;
  const derivative = over(row(mo("∂"), sup(mi("y"), mi("c"))), row(mo("∂"), both(mi("A"), row(mi("i"), mi("j")), mi("k"))));
  return {
    pictures: [
      figure(`Feature map ${k}`, heat(shown, part(shown.features, scene.map, size))),
      figure("Its gradient: red for it, blue against it", heat(shown, cells, { kind: "signed", alone: true, limit: PALER * most(cells) })),
      mapButtons(scene, scene.map, choose),
    ],
    equation: equation(
      row(ALPHA, mo("="), over(mn(1), mi("Z")), sum(row(mi("i"), mo(","), mi("j"))), derivative),
      row(sub(mi("α"), mn(k)), mo("="), over(mn(1), mn(size)), mo("("), mn(first), ...term(cells[1]), ...term(cells[2]), mo("+"), mo("…"), mo(")")),
      row(mo("="), gap, `<mn class="result">${signed(weight)}</mn>`),
    ),
    legend: `y: the score of ${quoted(shown)}. ∂y/∂A: its gradient at the cell in row i and column j of map k. Z: the number of cells, ${size}.`,
    words: [
      `Make one cell of this map a little brighter: the gradient is by how much the score of ${quoted(shown)} then rises, or falls. The mean over all ${many(size)} cells is the map’s weight α.`,
      even
        ? "Here all cells have the same gradient, because this network takes the mean of each map’s cells before it decides. At an earlier layer they differ: choose one above."
        : "The cells’ gradients differ here: the mean forgets that, and keeps one number for the whole map.",
    ],
  };
}

/* A number as a further term of a sum. */
const term = (value) => [mo(value < 0 ? "−" : "+"), mn(Math.abs(value))];

function runningSum(scene) {
  const { shown } = scene;
  const size = cellsOf(shown);
  const final = part(shown.sums, shown.counts.length - 1, size);
  const limit = most(final);
  const canvas = make("canvas", { role: "img" });
  const caption = make("figcaption", {});
  const so = make("figure", { class: "shown" }, caption, canvas);
  const share = make("p", { class: "share" });
  const slider = make("input", { type: "range", min: 0, max: shown.counts.length - 1, "aria-label": "How many maps are added up" });
  const play = make("button", { type: "button", class: "button", onclick: () => (scene.playing() ? scene.stop() : start()) });
  const written = make("div");

  function update() {
    const count = shown.counts[scene.at];
    slider.value = scene.at;
    slider.setAttribute("aria-valuetext", `${many(count)} of ${many(shown.maps)} maps`);
    caption.textContent = `${many(count)} of ${many(shown.maps)} maps added`;
    canvas.setAttribute("aria-label", caption.textContent);
    put(canvas, heat(shown, part(shown.sums, scene.at, size), { kind: "signed", limit, smooth: false }));
    share.replaceChildren(...shareSaid(shown.shares[scene.at]));
    written.innerHTML = sumWritten(shown, count);
    play.textContent = scene.playing() ? "Pause" : "Play";
  }

  function start() {
    if (scene.at === shown.counts.length - 1) scene.at = 0;
    scene.play(() => {
      if (scene.at === shown.counts.length - 1) scene.stop();
      else scene.at += 1;
      update();
    });
    update();
  }

  slider.addEventListener("input", () => {
    scene.at = Number(slider.value);
    scene.stop();
  });
  scene.stopped = update;
  update();
  return {
    pictures: [so, figure("All maps added", heat(shown, final, { kind: "signed" })), make("div", { class: "controls" }, play, slider, share)],
    written,
    legend: "α with k below: the weight of map k. Written out: those with the largest weights.",
    words: [
      "Multiply each map by its weight, and add: first the one with the largest weight, then the next. Red cells speak for it, blue cells against it. Both pictures have one scale, so that one map alone is hardly seen.",
      `The share says how close the sum is to the final one. Here it takes ${many(enough(shown))} of the ${many(shown.maps)} maps to get to 90%.`,
    ],
  };
}

/* How many maps are added when the share is, and stays, 90% or more. */
function enough({ shares, counts }) {
  return counts[shares.findLastIndex((share) => share < 0.9) + 1];
}

function shareSaid(share) {
  if (share <= 0) return [make("b", {}, "0%"), " of the final map: still no nearer to it than an empty one"];
  return [make("b", {}, `${share >= 0.9995 ? 100 : Math.min(Math.round(100 * share), 99)}%`), " of the final map"];
}

const WRITTEN = 2; // terms of the sum

function sumWritten(shown, count) {
  const terms = shown.order.slice(0, Math.min(count, WRITTEN)).map((k, place) => {
    const weight = shown.weights[place];
    const sign = place || weight < 0 ? mo(weight < 0 ? "−" : "+") : "";
    return row(sign, mn(Math.abs(weight)), sup(mi("A"), mn(k + 1)));
  });
  const rest = count > WRITTEN ? row(mo("+"), mo("…")) : "";
  return equation(row(sum(mi("k")), ALPHA, MAP), row(mo("="), gap, ...terms, rest));
}

function rectified(scene) {
  const { shown } = scene;
  const size = cellsOf(shown);
  const final = part(shown.sums, shown.counts.length - 1, size);
  const [low, high] = [Math.min(...final), Math.max(...final)];
  const above = final.filter((value) => value > 0);
  const limit = most(final);
  const cells = final.map((value) => Math.max(value, 0));
  const cut = size - above.length;
  return {
    pictures: [
      figure("Before: for it and against it", heat(shown, final, { kind: "signed", limit })),
      figure("After the ReLU: for it alone", heat(shown, cells)),
    ],
    equation: equation(
      row(RESULT, mo("="), mi("ReLU"), mo("("), sum(mi("k")), ALPHA, MAP, mo(")")),
      row(mtext("highest cell:"), gap, mn(high), mo("→"), mn(Math.max(high, 0))),
      row(mtext("lowest cell:"), gap, mn(low), mo("→"), mn(Math.max(low, 0))),
    ),
    legend: "L: the map. ReLU: what is above zero stays, all else becomes zero.",
    words: above.length
      ? [
          cut === 0
            ? `Here no cell is below zero: nothing speaks against ${quoted(shown)}, and the ReLU changes nothing.`
            : `${cut === 1 ? "1 cell is" : `${many(cut)} of ${many(size)} cells are`} below zero: they speak against ${quoted(shown)}, often because they show something else. The ReLU sets them to zero.`,
          `What is left is where the evidence for ${quoted(shown)} lies.`,
        ]
      : [
          `Not one cell is above zero: at this layer the whole photograph speaks against ${quoted(shown)}. The ReLU sets all to zero, and so the map is empty.`,
          "An empty map is an answer too: there is no evidence for it here.",
        ],
  };
}

function overPhotograph(scene) {
  const { shown } = scene;
  const [rows, columns] = shown.shape;
  const { photo, pictures } = shown;
  const { values } = pictures.gradcam;
  const drawn = { ...pictures.gradcam, stretched: undefined };
  return {
    pictures: [
      figure(`The ${rows} × ${columns} cells`, heat(shown, values, { alone: true })),
      figure("Smooth between their middles", heat(shown, values, { alone: true, smooth: true })),
      figure("Over the photograph: Grad-CAM", overlaid(drawn, photo)),
    ],
    equation: equation(
      row(mn(rows), mo("×"), mn(columns), gap, mtext("cells"), mo("→"), `<mn>${photo.width}</mn>`, mo("×"), `<mn>${photo.height}</mn>`, gap, mtext("pixels")),
    ),
    words: [
      `Each cell stands for about ${Math.round(photo.width / columns)} × ${Math.round(photo.height / rows)} pixels. Between the middles of the cells the values are interpolated, which looks smooth but adds no detail.`,
      `Laid over the photograph, this is Grad-CAM: yellow where the evidence for ${quoted(shown)} is strongest, and the photograph itself where there is none.`,
    ],
  };
}

function fineDetail(scene) {
  const { pictures, photo } = scene.shown;
  const sign = (text) => make("span", { class: "sign", "aria-hidden": "true" }, text);
  return {
    pictures: [
      figure("Guided Backprop", greyed(pictures.guided_backprop, photo)),
      sign("×"),
      figure("Grad-CAM", overlaid({ ...pictures.gradcam, stretched: undefined }, photo)),
      sign("="),
      figure("Guided Grad-CAM", greyed(pictures.guided_gradcam, photo)),
    ],
    equation: equation(
      row(mtext("Guided Grad-CAM")),
      row(mo("="), gap, mtext("Guided Backprop"), mo("⊙"), mtext("Grad-CAM")),
    ),
    legend: "⊙: multiplied pixel by pixel.",
    words: [
      "Guided Backprop takes the gradient on from the layer to the pixels, and at each ReLU stops what is negative: fine lines that the score reacts to, but all over the photograph, much the same whatever is explained.",
      "Grad-CAM knows where, but is coarse. Multiplied, they show the fine detail only where there is evidence.",
    ],
  };
}

export const STEPS = [
  ["Feature maps", "What did the layer find, and where?", featureMaps],
  ["Weights", "How much does each map count?", gradients],
  ["Sum", "Add the maps, each times its weight", runningSum],
  ["ReLU", "Keep only what speaks for it", rectified],
  ["Over the photograph", "Stretch the cells over the photograph", overPhotograph],
  ["Fine detail", "Multiply with Guided Backprop", fineDetail],
];
