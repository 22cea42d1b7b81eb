/* How Grad-CAM's map comes about, in six steps, drawn from the numbers that demo/tabs/lesson.py sends; nothing is
   asked of the server from one step to the next. viewer.js, which comes before this, has what it is drawn with. */

/* global viewer */

(() => {
  "use strict";

  const { make, put, bytesOf, decodedRow, overlaid, greyed, photograph, thumbnail, drawnAnew, whenOpen, arrows, isNoValue } =
    viewer.tools;

  // ---- Numbers, in text and in MathML ------------------------------------------------------------------------------

  const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const raised = (power) => `${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => SUPERSCRIPTS[digit]).join("")}`;

  /* A number for people, with two digits that count. */
  function number(value) {
    const size = Math.abs(value);
    const sign = value < 0 ? "−" : "";
    if (Number.isInteger(size)) return `${sign}${size}`;
    if (size >= 0.001) return `${sign}${size >= 99.5 ? Math.round(size) : size.toPrecision(2)}`;
    const [digits, power] = size.toExponential(1).split("e");
    return `${sign}${digits}·10${raised(Number(power))}`;
  }

  const signed = (value) => (value > 0 ? "+" : "") + number(value);
  const many = (count) => count.toLocaleString("en");

  const mi = (name) => `<mi>${name}</mi>`;
  const mn = (value) => (value < 0 ? `<mo>−</mo>` : "") + `<mn>${number(Math.abs(value))}</mn>`;
  const mo = (sign) => `<mo>${sign}</mo>`;
  const mtext = (words) => `<mtext>${words}</mtext>`;
  const row = (...parts) => `<mrow>${parts.join("")}</mrow>`;
  const sub = (base, below) => `<msub>${base}${row(below)}</msub>`;
  const sup = (base, above) => `<msup>${base}${row(above)}</msup>`;
  const both = (base, below, above) => `<msubsup>${base}${row(below)}${row(above)}</msubsup>`;
  const gap = `<mspace width="0.4em"/>`;
  const over = (top, bottom) => `<mfrac>${row(top)}${row(bottom)}</mfrac>`;
  const sum = (index) => `<munder><mo>∑</mo>${row(index)}</munder>`;
  const equation = (...lines) => lines.map((line) => `<math display="block">${row(line)}</math>`).join("");

  const ALPHA = both(mi("α"), mi("k"), mi("c"));
  const MAP = sup(mi("A"), mi("k"));
  const RESULT = sup(mi("L"), mi("c"));

  // ---- Pictures ----------------------------------------------------------------------------------------------------

  const most = (values) => values.reduce((found, value) => Math.max(found, Math.abs(value)), 0);

  /* Cells as squares, of the size of a photograph. */
  function squares(values, [rows, columns], { width, height }) {
    const found = new Float32Array(width * height);
    for (let y = 0, at = 0; y < height; y++) {
      const line = Math.floor((y * rows) / height) * columns;
      for (let x = 0; x < width; x++, at++) found[at] = values[line + Math.floor((x * columns) / width)];
    }
    return found;
  }

  /* A picture with its name above. */
  function figure(name, image, ...below) {
    const canvas = make("canvas", { role: "img", "aria-label": name });
    put(canvas, image);
    return make("figure", { class: "shown" }, make("figcaption", {}, name), canvas, ...below);
  }

  const BARE = { opacity: 1, uniform: true };

  /* Cells over the photograph, or alone; `smooth` between their middles. */
  function heat(shown, values, { kind = "map", limit = most(values), alone = false, smooth = false, photo = shown.photo } = {}) {
    const [rows, columns] = shown.shape;
    const picture = { kind, values, rows, columns, limit, shared: limit };
    if (!smooth) picture.stretched = squares(values, shown.shape, photo);
    return alone ? overlaid(picture, photo, BARE) : overlaid(picture, photo);
  }

  /* One after the other. */
  const part = (values, place, size) => values.subarray(place * size, (place + 1) * size);

  // ---- The six steps: of each its name, and what is drawn and said -------------------------------------------------

  const PALER = 1.5; // so that the strongest is not nearly black

  const cellsOf = ({ shape: [rows, columns] }) => rows * columns;
  const quoted = (shown) => `“${shown.target}”`;

  const mapName = (shown, place) => `Feature map ${shown.order[place] + 1}, weight ${signed(shown.weights[place])}`;

  /* The feature maps that count most, each to click; `current` is the one that is looked at. */
  function mapButtons(scene, current, choose) {
    const { shown } = scene;
    const photo = thumbnail(shown.photo);
    const buttons = shown.order.map((_, place) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      put(canvas, heat(shown, part(shown.features, place, cellsOf(shown)), { photo }));
      const name = mapName(shown, place);
      const pressed = current === null ? null : String(place === current);
      const attributes = { "data-key": place, "aria-label": name, "aria-pressed": pressed, tabindex: place === (current ?? 0) ? 0 : -1 };
      const label = make("span", {}, make("small", {}, `${many(shown.order[place] + 1)}: `), signed(shown.weights[place]));
      return make("button", { type: "button", ...attributes, onclick: () => choose(place) }, canvas, label);
    });
    const group = make("div", { class: "maps", role: "group", "aria-label": "The feature maps with the largest weights" }, ...buttons);
    group.addEventListener("keydown", (event) => {
      arrows(event, buttons, () => {});
      if (event.defaultPrevented) event.stopPropagation();
    });
    return group;
  }

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

  const STEPS = [
    ["Feature maps", "What did the layer find, and where?", featureMaps],
    ["Weights", "How much does each map count?", gradients],
    ["Sum", "Add the maps, each times its weight", runningSum],
    ["ReLU", "Keep only what speaks for it", rectified],
    ["Over the photograph", "Stretch the cells over the photograph", overPhotograph],
    ["Fine detail", "Multiply with Guided Backprop", fineDetail],
  ];

  // ---- The lesson --------------------------------------------------------------------------------------------------

  const PLAY_MILLISECONDS = 350; // from one sum to the next

  /* What its parts share: what is `shown`, which is the value decoded, the number of the `step`, the place of the
     `map` that is looked at, and `at` which of the sums the slider is. */
  function lesson(element, { trigger, props, watch }) {
    const root = element.querySelector(".lesson");
    const scene = { root, shown: null, step: 0, map: 0, at: 0, stage: make("div", { class: "stage" }), ...player() };
    scene.status = make("p", { class: "unseen", role: "status" }); // read out when another step is there
    scene.bar = navigation(scene);
    scene.draw = () => drawStep(scene);
    scene.turn = (step) => turn(scene, step);
    Object.entries({ tabindex: 0, role: "region", "aria-label": LABEL }).forEach(([name, value]) => root.setAttribute(name, value));
    root.addEventListener("keydown", (event) => onKey(event, scene));

    async function show() {
      if (isNoValue(props.value)) return;
      const value = props.value?.photo ? props.value : { note: props.value?.note ?? "" };
      const mine = (scene.value = value);
      const shown = value.photo ? await opened(value).catch(({ message }) => ({ note: `The pictures could not be drawn: ${message}` })) : value;
      if (mine !== scene.value) return;
      scene.stop();
      Object.assign(scene, { shown: shown.photo ? shown : null, map: 0, at: 0 });
      if (scene.shown) {
        root.replaceChildren(make("p", { class: "sentence", html: value.sentence }), scene.bar.element, scene.stage, scene.status);
        scene.draw();
      } else {
        root.replaceChildren(shown.note ? make("p", { class: "note", role: "alert" }, shown.note) : "");
      }
    }

    whenOpen(root, () => trigger("look", { task: new URLSearchParams(location.search).get("task") ?? "" }));
    drawnAnew(root, (changes) => scene.shown && Object.keys(changes).join() !== "split" && scene.draw());
    watch("value", show);
    show();
  }

  const LABEL = "How Grad-CAM works, in six steps: the arrow keys to the left and right turn them";

  /* What plays the sums: it ticks until it is stopped, which `stopped` is told. */
  function player() {
    let timer = null;
    return {
      stopped: () => {},
      playing: () => timer !== null,
      play: (tick) => (timer = setInterval(tick, PLAY_MILLISECONDS)),
      stop() {
        clearInterval(timer);
        timer = null;
        this.stopped();
      },
    };
  }

  function turn(scene, step) {
    if (!scene.shown || !STEPS[step] || step === scene.step) return;
    scene.step = step;
    scene.draw();
    scene.status.textContent = `Step ${step + 1} of ${STEPS.length}: ${STEPS[step][1]}`;
  }

  function drawStep(scene) {
    scene.stopped = () => {};
    scene.stop();
    const inside = scene.stage.contains(document.activeElement);
    scene.stage.replaceChildren(...laidStep(scene));
    scene.bar.update();
    if (inside) scene.root.focus({ preventScroll: true }); // what had the keyboard is not there any more
  }

  /* The value with its numbers decoded. */
  async function opened(value) {
    const numbers = ["weights", "features", "gradients", "sums", "shares"];
    const decoded = Object.fromEntries(numbers.map((name) => [name, new Float32Array(bytesOf(value[name]).buffer)]));
    const [photo, pictures] = await Promise.all([photograph(value.photo), decodedRow(value.pictures)]);
    return { ...value, ...decoded, photo, pictures };
  }

  function laidStep(scene) {
    const [, question, draw] = STEPS[scene.step];
    const { pictures, equation: html = "", written = make("div", { html }), legend = "", words } = draw(scene);
    const formula = make("div", { class: "equation" }, written, make("p", {}, legend));
    return [
      make("h3", {}, `${scene.step + 1}. ${question}`),
      make("div", { class: `figures step-${scene.step + 1}` }, ...pictures),
      make("div", { class: "said" }, formula, make("div", { class: "words" }, ...words.map((text) => make("p", {}, text)))),
    ];
  }

  /* The list of the steps, between the ways back and on. */
  function navigation(scene) {
    const by = (steps) => () => scene.turn(scene.step + steps);
    const back = make("button", { type: "button", class: "button", onclick: by(-1) }, "‹ Back");
    const next = make("button", { type: "button", class: "button next", onclick: by(1) }, "Next ›");
    const jumps = STEPS.map(([name], step) =>
      make("button", { type: "button", class: "button", onclick: () => scene.turn(step) }, make("b", {}, step + 1), " ", make("span", { class: "name" }, name)),
    );
    const list = make("ol", { class: "jumps" }, ...jumps.map((button) => make("li", {}, button)));
    const whole = make("button", { type: "button", class: "button", onclick: () => fullScreen(scene.root) }, "Full screen");
    const element = make("nav", { class: "turning", "aria-label": "The six steps" }, back, list, next, whole);
    whole.hidden = !document.fullscreenEnabled;
    scene.root.addEventListener("fullscreenchange", () => {
      whole.textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
    });

    function update() {
      jumps.forEach((button, step) => {
        if (step === scene.step) button.setAttribute("aria-current", "step");
        else button.removeAttribute("aria-current");
      });
      // Not disabled: the keyboard would lose its place.
      back.setAttribute("aria-disabled", scene.step === 0);
      next.setAttribute("aria-disabled", scene.step === STEPS.length - 1);
    }

    return { element, update };
  }

  function fullScreen(root) {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen().then(() => root.focus());
  }

  /* The keys of keyboards, and of the remotes of presenters. */
  function onKey(event, scene) {
    const { key, target } = event;
    const steps = { ArrowRight: 1, PageDown: 1, ArrowLeft: -1, PageUp: -1 };
    const slides = target.matches("input") && !key.startsWith("Page");
    if (!steps[key] || slides || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    scene.turn(scene.step + steps[key]);
  }

  Object.assign(viewer, { lesson });
})();
