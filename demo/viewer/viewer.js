/* Draws the panels, and what can be chosen beside them, from the data that demo/viewer/data.py makes.

   COLOUR_TABLES, 256 colours for each colour map, stands before this script. All of it hangs on one name, `viewer`:
   viewer.panels and viewer.choices are what the components of the page call when they load. */

// oxlint-disable-next-line no-unused-vars -- the page's components call it
const viewer = (() => {
  "use strict";

  // ---- Settings: the same in all tabs, kept by the browser --------------------------------------------------------

  // oxlint-disable-next-line no-underscore-dangle -- Gradio now and then takes its "no update" for a value
  const isNoValue = (value) => typeof value?.__type__ === "string";
  const NO_VALUE = { __type__: "update" };

  const between = (low, value, high) => Math.min(Math.max(value, low), high);

  const KEPT = "panels";
  const opacities = { true: 0.5, false: 0.8 }; // where uniform and where not; at first, then as last chosen there
  const settings = { colours: Object.keys(COLOUR_NAMES)[0], opacity: opacities.false, uniform: false, own: null, split: 1 };
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT)) ?? {};
    if (Object.hasOwn(COLOUR_NAMES, kept.colours)) settings.colours = kept.colours;
    // An opacity without it was chosen when all was uniform.
    if (typeof kept.uniform === "boolean" && typeof kept.opacity === "number") {
      Object.assign(settings, { uniform: kept.uniform, opacity: between(0, kept.opacity, 1) });
    }
  } catch {
    // A browser that keeps nothing starts with the defaults.
  }

  const drawing = new Map(); // of each element whose pictures depend on the settings, what draws them
  const stale = new Set(); // those that were out of sight when the settings changed

  const sight = new IntersectionObserver((seen) => {
    for (const { target, isIntersecting } of seen) if (isIntersecting && stale.delete(target)) drawing.get(target)(settings);
  });

  function drawnAnew(element, draw) {
    drawing.set(element, draw);
    sight.observe(element);
  }

  function set(changes) {
    Object.assign(settings, changes);
    try {
      const { colours, opacity, uniform } = settings;
      localStorage.setItem(KEPT, JSON.stringify({ colours, opacity, uniform }));
    } catch {
      // As above.
    }
    for (const [element, draw] of drawing) {
      if (element.offsetParent) draw(changes);
      else stale.add(element);
    }
  }

  // ---- Numbers ----------------------------------------------------------------------------------------------------

  function bytesOf(text) {
    const letters = atob(text);
    const bytes = new Uint8Array(letters.length);
    for (let at = 0; at < letters.length; at++) bytes[at] = letters.charCodeAt(at);
    return bytes;
  }

  const tables = Object.fromEntries(Object.entries(COLOUR_TABLES).map(([name, text]) => [name, bytesOf(text)]));

  /* For each of `to` places the first of `from` places that it is made of, how many, and their weights: a triangle
     around its middle, which is bilinear interpolation, or where it shrinks a weighted mean, as Pillow's BILINEAR. */
  function taps(from, to) {
    const scale = from / to;
    const reach = Math.max(scale, 1);
    return Array.from({ length: to }, (_, place) => {
      const middle = (place + 0.5) * scale;
      const first = Math.max(Math.floor(middle - reach + 0.5), 0);
      const last = Math.min(Math.floor(middle + reach + 0.5), from);
      const weights = [];
      for (let at = first; at < last; at++) {
        weights.push(Math.max(1 - Math.abs((at + 0.5 - middle) / reach), 0));
      }
      const sum = weights.reduce((a, b) => a + b);
      return { first, weights: weights.map((weight) => weight / sum) };
    });
  }

  /* An array of rows x columns x depth values at another size. */
  function stretch(values, columns, rows, depth, width, height) {
    const line = width * depth;
    const across = taps(columns, width);
    const wide = new Float32Array(rows * line);
    for (let row = 0, to = 0; row < rows; row++) {
      for (let x = 0; x < width; x++, to += depth) {
        const { first, weights } = across[x];
        for (let k = 0, from = (row * columns + first) * depth; k < weights.length; k++, from += depth) {
          for (let d = 0; d < depth; d++) wide[to + d] += weights[k] * values[from + d];
        }
      }
    }
    const result = new Float32Array(height * line);
    taps(rows, height).forEach(({ first, weights }, y) => {
      const drawn = result.subarray(y * line, (y + 1) * line);
      weights.forEach((weight, k) => {
        const source = wide.subarray((first + k) * line, (first + k + 1) * line);
        for (let at = 0; at < line; at++) drawn[at] += weight * source[at];
      });
    });
    return result;
  }

  /* The pixels of a picture file, RGBA. */
  async function pixelsOf(blob) {
    const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    bitmap.close();
    return context.getImageData(0, 0, canvas.width, canvas.height);
  }

  // ---- Pictures: a map over the photograph, a gradient around mid-grey ---------------------------------------------

  /* An array as it was sent, decoded. A gradient's values are known up to its `reach`. */
  async function decoded(picture) {
    const [rows, columns] = picture.shape;
    if (picture.kind !== "gradient") {
      return { ...picture, rows, columns, depth: 1, values: new Float32Array(bytesOf(picture.data).buffer) };
    }
    const { data } = await pixelsOf(new Blob([bytesOf(picture.data)], { type: "image/webp" }));
    const values = new Float32Array(rows * columns * 3);
    for (let at = 0, from = 0; at < values.length; from += 4) {
      for (let channel = 0; channel < 3; channel++) values[at++] = ((data[from + channel] - 128) / 127) * picture.reach;
    }
    return { ...picture, rows, columns, depth: 3, values };
  }

  /* The pointwise product of a gradient and a map, which is stretched to the gradient's size. */
  function product(picture, gradient, map) {
    const up = stretch(map.values, map.columns, map.rows, 1, gradient.columns, gradient.rows);
    const values = gradient.values.map((value, at) => value * up[Math.floor(at / 3)]);
    return { ...picture, rows: gradient.rows, columns: gradient.columns, depth: 3, values };
  }

  /* All the pictures of a row, by method. */
  async function decodedRow(pictures) {
    const row = {};
    for (const [key, picture] of Object.entries(pictures)) if (picture.data) row[key] = await decoded(picture);
    for (const [key, picture] of Object.entries(pictures)) {
      if (picture.product) row[key] = product(picture, ...picture.product.map((part) => row[part]));
    }
    return Object.fromEntries(Object.keys(pictures).map((key) => [key, row[key]]));
  }

  // Each row has its own scale where somebody said so, and until then where the rows open so.
  const strongest = (picture) => ((settings.own ?? picture.own) ? picture.limit : picture.shared);

  /* A map as it is seen, RGBA, of the size of the photograph. In a signed one zero has the colour in the middle. Opacity
     grows with the absolute value up to the one that is drawn strongest, or is uniform. */
  function overlaid(picture, photo, { opacity, uniform } = settings) {
    picture.stretched ??= stretch(picture.values, picture.columns, picture.rows, 1, photo.width, photo.height);
    const result = new ImageData(photo.width, photo.height);
    const signed = picture.kind === "signed";
    const [pixels, below, table] = [result.data, photo.data, tables[signed ? "signed" : settings.colours]];
    const [zero, most] = signed ? [128, 128] : [0, 256];
    const scale = strongest(picture) > 0 ? 1 / strongest(picture) : 0;
    for (let at = 0, to = 0; at < picture.stretched.length; at++, to += 4) {
      const share = picture.stretched[at] * scale;
      const colour = 3 * between(0, Math.floor(zero + share * most), 255);
      const cover = uniform ? opacity : opacity * Math.min(Math.abs(share), 1);
      pixels[to] = Math.floor(below[to] + cover * (table[colour] - below[to]));
      pixels[to + 1] = Math.floor(below[to + 1] + cover * (table[colour + 1] - below[to + 1]));
      pixels[to + 2] = Math.floor(below[to + 2] + cover * (table[colour + 2] - below[to + 2]));
      pixels[to + 3] = 255;
    }
    return result;
  }

  /* A gradient as it is seen, RGBA, of the size of the photograph. */
  function greyed(picture, { width, height }) {
    const scale = strongest(picture);
    const result = new ImageData(width, height);
    const pixels = result.data;
    const greys = picture.values.map((value) => {
      const share = scale > 0 ? Math.min(Math.max(value / scale, -1), 1) : 0;
      return Math.round(127.5 + 127.5 * share);
    });
    const stretched = stretch(greys, picture.columns, picture.rows, 3, width, height);
    for (let at = 0, to = 0; at < stretched.length; at += 3, to += 4) {
      for (let channel = 0; channel < 3; channel++) pixels[to + channel] = stretched[at + channel];
      pixels[to + 3] = 255;
    }
    return result;
  }

  /* The value of a picture at a point, given in shares of width and height; a gradient's is the mean of its colours. */
  function valueAt(picture, { x, y }) {
    const sides = [
      [x * picture.columns - 0.5, picture.columns],
      [y * picture.rows - 0.5, picture.rows],
    ].map(([place, count]) => {
      const before = Math.min(Math.max(Math.floor(place), 0), count - 1);
      const after = Math.min(before + 1, count - 1);
      return { before, after, share: Math.min(Math.max(place - before, 0), 1) };
    });
    const [across, down] = sides;
    const mean = (row, column) => {
      const start = (row * picture.columns + column) * picture.depth;
      let sum = 0;
      for (let channel = 0; channel < picture.depth; channel++) sum += picture.values[start + channel];
      return sum / picture.depth;
    };
    const line = (row) => (1 - across.share) * mean(row, across.before) + across.share * mean(row, across.after);
    return (1 - down.share) * line(down.before) + down.share * line(down.after);
  }

  const photographs = new Map(); // by address: the pixels of the last few

  function photograph({ url }) {
    if (!photographs.has(url)) {
      if (photographs.size > 4) photographs.delete(photographs.keys().next().value);
      const fetched = fetch(url).then(async (answer) => {
        if (!answer.ok) throw new Error(`The photograph could not be fetched: ${answer.status}.`);
        return pixelsOf(await answer.blob());
      });
      fetched.catch(() => photographs.delete(url));
      photographs.set(url, fetched);
    }
    return photographs.get(url);
  }

  // ---- Elements ---------------------------------------------------------------------------------------------------

  /* An element with attributes, `on...` listeners and children. */
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (name === "html") made.innerHTML = value;
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function put(canvas, image) {
    canvas.width = image.width;
    canvas.height = image.height;
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  function save(blob, name) {
    const link = make("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  const fileName = (text) => text.replace(/[^\p{L}\p{N}_.-]+/gu, "_").slice(-80);

  // ---- The panels -------------------------------------------------------------------------------------------------

  const LENS = 104; // its diameter in pixels of the screen, where a panel is not small
  const LENS_GAP = 14; // from the point to it
  const MOST_ZOOM = 12;
  const STEP = 1 / 64; // of the side of the photograph, for an arrow key
  const MIDDLE = { x: 0.5, y: 0.5 };

  /* The panels of a tab. What its parts share is the `scene`: what is `shown`, which is the value with its pictures
     decoded and the photograph's pixels; of each of the `panels` the picture and its elements; of each row what says
     on what scale it is; and the parts themselves. */
  function panels(element, { trigger, props, watch }, _events, { kinds, opens }) {
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

  const inSight = (root) => Boolean(root.offsetParent);

  /* Calls back when an element comes into sight or goes out of it, with its tab. */
  function whenTurned(root, turned) {
    let open = false;
    new ResizeObserver(() => {
      if (open === inSight(root)) return;
      open = inSight(root);
      turned(open);
    }).observe(root);
  }

  /* The tab that is open looks; another one does when it is turned to. */
  function whenOpen(root, look) {
    whenTurned(root, (open) => open && look());
    document.addEventListener("look", ({ detail }) => inSight(root) && look(detail));
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

  /* The address of the page shows again what the tab that is open shows. */
  function address({ root, shown }) {
    if (!inSight(root) || !shown?.link) return;
    showAddress(Object.entries(shown.link).flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
  }

  /* Makes these the parameters of the page's address; the theme stays. */
  function showAddress(pairs) {
    const theme = new URLSearchParams(location.search).getAll("__theme").map((value) => ["__theme", value]);
    history.replaceState(null, "", `?${new URLSearchParams([...theme, ...pairs])}`);
    keepChoice();
  }

  // -- What stands where --

  function layOut(scene) {
    const { root, rows, shown } = scene;
    const focused = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    scene.screen.close();
    scene.hands.letGo();
    scene.panels = [];
    scene.scales = [];
    if (shown.photo) root.style.setProperty("--shape", shown.photo.width / shown.photo.height);
    rows.replaceChildren(...shown.rows.map((row, number) => laidRow(scene, row, number)));
    const kind = shown.invites ? { class: "note invitation", role: "status" } : { class: "note", role: "alert" };
    if (shown.note) rows.prepend(make("p", kind, shown.note));
    for (const line of rows.querySelectorAll(".line")) line.scrollTo({ left: swiped(scene, line), behavior: "instant" });
    scene.bar.element.hidden = !shown.rows.length;
    scene.bar.several(shown.rows.length > 1);
    scene.status.textContent = shown.rows.map(({ title }) => title).join(", ");
    scene.glass.reset();
    redraw(scene, settings);
    if (focused) {
      const again = rows.querySelector(`[data-key="${CSS.escape(focused)}"]`) ?? rows.querySelector(".frame");
      again?.focus({ preventScroll: true });
    }
    if (shown.methods?.[scene.added]) {
      rows.querySelector(`[data-panel=${scene.added}]`)?.scrollIntoView({ block: "nearest", inline: "start" });
      scene.added = null;
    }
    const { task, note, attends } = shown;
    const keys = shown.rows.map(({ key }) => key);
    document.dispatchEvent(new CustomEvent("explained", { detail: { task, note, keys, attends } }));
  }

  /* How far a row is swiped on a telephone, where one panel is seen at a time: as before, at first to Grad-CAM. */
  function swiped(scene, line) {
    return scene.swiped ?? line.querySelector("[data-panel=gradcam]").offsetLeft - line.firstChild.offsetLeft;
  }

  function laidRow(scene, row, number) {
    const scale = make("span", { class: "scale" });
    const box = make("span", { class: "box-said" }, boxSaid(scene, row));
    const numbers = make("small", {}, make("span", { html: row.numbers }), " ", scale, " ", box);
    const heads = [make("p", { class: "sentence" }, make("span", { html: row.sentence }), " ", numbers)];
    heads.push(tool("Save this row as one picture", "⤓", `save-row-${number}`, () => saveRow(scene, row, number)));
    if (row.away) {
      heads.push(tool(`Take away ${row.title}`, "✕", `drop-${number}`, () => scene.trigger(row.away, { key: row.key })));
    }
    const drawn = Object.keys(row.pictures).map((method) => [method, laidPanel(scene, row, number, method)]);
    const laid = Object.fromEntries(drawn);
    // On a telephone all rows show the same method.
    const swipe = () => {
      scene.swiped = line.scrollLeft;
      for (const other of scene.rows.querySelectorAll(".line")) {
        if (other !== line && other.scrollLeft !== line.scrollLeft) other.scrollLeft = line.scrollLeft;
      }
    };
    const figures = Object.keys(scene.shown.methods).map((method) => laid[method]?.figure ?? scene.late.laid(method, number));
    const line = make("div", { class: "line", onscroll: swipe }, ...figures);
    scene.panels.push(...Object.values(laid));
    scene.scales.push([scale, row.scale]);
    return make("section", { class: "panel-row", "aria-label": row.title }, make("header", {}, ...heads), line);
  }

  function boxSaid({ shown: { photo } }, { box }) {
    if (!box) return "There is no evidence to put a box around.";
    const [left, top, right, bottom] = box.map((share, side) => Math.round(share * (side % 2 ? photo.height : photo.width)));
    const size = `${photo.width} × ${photo.height} pixels`;
    return `Box around Grad-CAM above 15% of its peak: x ${left} to ${right}, y ${top} to ${bottom} of ${size}.`;
  }

  /* Where a box lies, given in shares of the sides. */
  const inset = ([left, top, right, bottom]) =>
    [top, 1 - right, 1 - bottom, left].map((share) => `${100 * share}%`).join(" ");

  function tool(name, sign, key, onclick) {
    return make("button", { type: "button", class: "tool", title: name, "aria-label": name, "data-key": key, onclick }, sign);
  }

  function laidPanel(scene, row, number, method) {
    const { photo, methods } = scene.shown;
    const { title, sentence } = methods[method];
    const name = `${title} for ${row.title}`;
    const panel = {
      picture: row.pictures[method],
      row,
      method,
      name,
      canvas: make("canvas", { role: "img", "aria-label": name }),
      below: make("img", { src: photo.url, alt: "", width: photo.width, height: photo.height }),
      lens: make("canvas", { class: "lens", width: LENS, height: LENS, hidden: true, "aria-hidden": "true" }),
      mark: make("span", { class: "mark", hidden: true }),
      edge: make("span", { class: "edge", hidden: true }),
      box: row.box ? make("span", { class: "box", style: `inset: ${inset(row.box)}` }) : "",
      value: make("span", { class: "value" }),
    };
    const { canvas, below, lens, mark, edge, box, value } = panel;
    panel.stage = make("span", { class: "stage" }, below, canvas, box, edge, mark);
    panel.frame = make(
      "button",
      {
        type: "button",
        class: "frame",
        "aria-label": `${name}: enlarge; arrow keys move the point, plus and minus zoom`,
        "data-key": `${method}-${number}`,
      },
      panel.stage,
      lens,
    );
    scene.hands.reach(panel);
    const tools = make(
      "span",
      { class: "tools" },
      tool(`Enlarge ${name}`, "⤢", `enlarge-${method}-${number}`, () => scene.screen.open(panel)),
      tool(`Save ${name}`, "⤓", `save-${method}-${number}`, () => savePanel(panel)),
    );
    panel.figure = make(
      "figure",
      { class: "panel", "data-panel": method, "data-row": number },
      make("figcaption", { title: sentence }, make("b", {}, title), value, tools),
      panel.frame,
    );
    if (number === 0) panel.figure.append(make("p", { class: "caption" }, sentence));
    return panel;
  }

  // -- Columns that are filled when they are ready --

  /* The server tells of them when it is asked: what is filled, and how far the others are. */
  function lateColumns(scene) {
    let known = []; // those that are filled
    let wanted = []; // those that somebody started
    let number = null; // of what is shown, with its columns
    let asked = 0; // how often; only the last answer is asked after again
    let layout = 0; // how often they were laid out; what is decoded for an earlier time is not drawn
    const figureOf = (method, row) => scene.rows.querySelector(`[data-panel="${method}"][data-row="${row}"].late`);

    function laid(method, row) {
      const figure = make("figure", { class: "panel late", "data-panel": method, "data-row": row });
      const { title, sentence } = scene.shown.methods[method];
      figure.append(make("figcaption", { title: sentence }, make("b", {}, title)), make("div", { class: "frame" }));
      if (row === 0) figure.append(make("p", { class: "caption" }, sentence));
      const price = scene.shown.late.prices[method];
      waits(figure, method, price, price ? undefined : "");
      return figure;
    }

    /* What stands in a column that is not filled: its price and a way to start it, or how far it is and one to stop. */
    function waits(figure, method, price, progress) {
      const begun = progress !== undefined;
      const press = () => (begun ? stop(method) : want([...wanted, method]));
      const said = make("span", {}, begun ? progress || "Computing" : price && `${price}.`);
      const button = make("button", { type: "button", class: "button", onclick: press }, begun ? "Stop" : "Start");
      // One button serves all rows.
      figure.querySelector(".frame").replaceChildren(said, figure.dataset.row === "0" && (price || !begun) ? button : "");
    }

    function stop(method) {
      want(wanted.filter((one) => one !== method));
      for (const row of scene.shown.rows.keys()) waits(figureOf(method, row), method, scene.shown.late.prices[method]);
    }

    function want(methods) {
      wanted = methods;
      ask();
    }

    function ask() {
      scene.trigger("late", { time: scene.shown.late.number, ask: ++asked, known, wanted });
    }

    async function fill(method, { pictures, notes }, isLaid) {
      const drawn = await Promise.all(pictures.map((picture) => picture && decoded(picture)));
      if (!isLaid()) return;
      for (const [place, row] of scene.shown.rows.entries()) {
        const figure = figureOf(method, place);
        if (!drawn[place]) {
          figure.querySelector(".frame").replaceChildren(make("span", {}, notes[place]));
          continue;
        }
        row.pictures[method] = { ...drawn[place], own: scene.shown.own };
        const panel = laidPanel(scene, row, place, method);
        panel.figure.append(make("p", { class: "caption" }, notes[place]));
        figure.replaceWith(panel.figure);
        scene.panels.push(panel);
      }
      redraw(scene, settings);
    }

    return {
      laid,
      /* Fills the columns that were just laid out; the server goes on with those that it had begun. */
      begin(begun) {
        layout++;
        const { prices, ...now } = scene.shown.late ?? {};
        if (!prices) return;
        if (now.number !== number) wanted = begun ?? [];
        number = now.number;
        known = [];
        if (Object.keys(prices).length) ask();
      },
      async answered(answer) {
        if (answer.time !== number) return;
        const mine = layout;
        const isLaid = () => mine === layout;
        const fresh = Object.entries(answer.columns).filter(([method]) => !known.includes(method));
        known.push(...fresh.map(([method]) => method));
        for (const [method, column] of fresh) await fill(method, column, isLaid);
        if (!isLaid()) return;
        const { prices } = scene.shown.late;
        // One that is neither filled nor running was given up, as when this page did not ask for a while.
        for (const method of Object.keys(prices).filter((one) => !known.includes(one))) {
          for (const row of scene.shown.rows.keys()) waits(figureOf(method, row), method, prices[method], answer.running[method]);
        }
        if (answer.ask === asked && answer.time === number && Object.keys(answer.running).length) ask();
      },
    };
  }

  function redraw(scene, changes) {
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

  // -- One point and one zoom in all panels --

  /* What is looked at: a point, in shares of the photograph's sides, and how large all is seen, and from where. */
  function lookingGlass(scene) {
    const view = { zoom: 1, left: 0, top: 0 };
    let point = null;

    function pointAt(at) {
      point = at;
      // All is measured before anything is moved: otherwise the browser lays the page out once for each panel.
      const boxes = scene.panels.map(({ stage, frame }) => at && [stage.getBoundingClientRect(), frame.getBoundingClientRect()]);
      scene.panels.forEach((panel, number) => showPoint(panel, at, boxes[number], view.zoom));
      // The lens would cover the region that is being marked.
      if (scene.region.begun()) for (const { lens } of scene.panels) lens.hidden = true;
    }

    function moveTo({ zoom, left, top }) {
      view.zoom = between(1, zoom, MOST_ZOOM);
      view.left = between(0, left, 1 - 1 / view.zoom);
      view.top = between(0, top, 1 - 1 / view.zoom);
      const { zoom: size } = view;
      scene.root.classList.toggle("zoomed", size > 1);
      for (const { stage } of scene.panels) {
        stage.style.transform = `translate(${-100 * view.left * size}%, ${-100 * view.top * size}%) scale(${size})`;
      }
      if (point) pointAt(point);
    }

    return {
      pointAt,
      point: () => point,
      zoom: () => view.zoom,
      whole: () => moveTo({ zoom: 1, left: 0, top: 0 }),
      reset() {
        point = null;
        moveTo({ zoom: 1, left: 0, top: 0 });
      },
      /* The point stays where it is on the screen. */
      zoomAt(at, factor) {
        const zoom = between(1, view.zoom * factor, MOST_ZOOM);
        const kept = (place, start) => place - ((place - start) * view.zoom) / zoom;
        moveTo({ zoom, left: kept(at.x, view.left), top: kept(at.y, view.top) });
      },
      /* By shares of the photograph's sides. */
      shift: (x, y) => moveTo({ zoom: view.zoom, left: view.left + x, top: view.top + y }),
      /* So that a point is seen. */
      reach({ x, y }) {
        const inside = (place, start) => between(place - 1 / view.zoom, start, place);
        moveTo({ zoom: view.zoom, left: inside(x, view.left), top: inside(y, view.top) });
      },
    };
  }

  /* Shows a point in a panel, of whose stage and frame these are the boxes: by a mark, a lens and the value there. */
  function showPoint({ picture, canvas, below, lens, mark, value }, at, boxes, zoom) {
    mark.hidden = lens.hidden = !at;
    value.textContent = at ? told(picture, valueAt(picture, at)) : "";
    if (!at) return;
    const [box, frame] = boxes;
    mark.style.left = `${100 * at.x}%`;
    mark.style.top = `${100 * at.y}%`;
    mark.style.transform = `translate(-50%, -50%) scale(${1 / zoom})`;
    const side = placeLens(lens, box.left - frame.left + box.width * at.x, box.top - frame.top + box.height * at.y, frame);
    const seen = ((side / 4) * canvas.width) / box.width; // four times as large as in the panel
    const pencil = lens.getContext("2d");
    pencil.imageSmoothingEnabled = false;
    pencil.clearRect(0, 0, LENS, LENS);
    // What is seen there: beyond the slider the photograph.
    const source = at.x <= settings.split ? canvas : below;
    pencil.drawImage(source, at.x * canvas.width - seen / 2, at.y * canvas.height - seen / 2, seen, seen, 0, 0, LENS, LENS);
  }

  /* Lays a lens beside a point, along the longer side of the frame, so that it does not cover it; returns its diameter. */
  function placeLens(lens, x, y, { width, height }) {
    const side = Math.min(LENS, width, height, Math.max(width, height) / 2 - LENS_GAP);
    const beside = (place, length) => (place > length / 2 ? place - side - LENS_GAP : place + LENS_GAP);
    const [left, top] = width < height ? [x - side / 2, beside(y, height)] : [beside(x, width), y - side / 2];
    lens.style.width = lens.style.height = `${side}px`;
    lens.style.left = `${between(0, left, width - side)}px`;
    lens.style.top = `${between(0, top, height - side)}px`;
    return side;
  }

  function told(picture, value) {
    const scale = strongest(picture);
    const share = scale > 0 ? value / scale : 0;
    return picture.kind !== "gradient" ? `${Math.round(100 * share)}% (${value.toPrecision(3)})` : value.toExponential(1);
  }

  // -- A region --

  /* The region that is being marked runs from a corner to a point. */
  function marker(scene) {
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

  // -- Mouse, fingers, keyboard --

  let scrolled = 0; // when the page last moved
  let moved = 0; // when the pointer last moved over a panel, and to where: browsers tell of it also when the page moves
  let last = {};
  addEventListener("scroll", () => (scrolled = performance.now()), { passive: true });

  function pointOf(event, { stage }) {
    const box = stage.getBoundingClientRect();
    return {
      x: between(0, (event.clientX - box.left) / box.width, 1),
      y: between(0, (event.clientY - box.top) / box.height, 1),
    };
  }

  function gestures(scene) {
    const { glass, region } = scene;
    const fingers = new Map(); // pointers that are down, where each was last
    let dragged = 0; // how far, in pixels; a click that ends a drag enlarges nothing

    function onPress(event, panel) {
      fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      dragged = 0;
      if (event.pointerType === "mouse" || scene.bar.marks()) panel.frame.setPointerCapture(event.pointerId);
      if (event.pointerType !== "mouse") glass.pointAt(pointOf(event, panel));
      if (scene.bar.marks() && fingers.size === 1) region.begin(pointOf(event, panel));
    }

    function onRelease(event) {
      fingers.delete(event.pointerId);
      if (region.begun() && scene.bar.marks()) region.end();
    }

    function onMove(event, panel) {
      const now = { x: event.clientX, y: event.clientY };
      if (now.x !== last.x || now.y !== last.y) moved = performance.now();
      last = now;
      const before = fingers.get(event.pointerId);
      const at = pointOf(event, panel);
      if (!before) {
        if (event.pointerType === "mouse") glass.pointAt(at);
        return;
      }
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      fingers.set(event.pointerId, now);
      if (other) {
        pinch(panel, before, now, other);
      } else if (region.begun()) {
        glass.pointAt(at);
        region.extend(at);
      } else if (glass.zoom() > 1) {
        dragged += Math.hypot(now.x - before.x, now.y - before.y);
        drag(panel, before, now, 1);
      } else {
        glass.pointAt(at);
      }
    }

    function drag({ stage }, before, now, share) {
      const box = stage.getBoundingClientRect();
      glass.shift((share * (before.x - now.x)) / box.width, (share * (before.y - now.y)) / box.height);
    }

    /* One of two fingers moved. */
    function pinch(panel, before, now, other) {
      const apart = (place) => Math.hypot(place.x - other.x, place.y - other.y);
      const middle = { clientX: (now.x + other.x) / 2, clientY: (now.y + other.y) / 2 };
      dragged = Infinity;
      region.clear();
      drag(panel, before, now, 1 / 2);
      glass.zoomAt(pointOf(middle, panel), apart(now) / Math.max(apart(before), 1));
    }

    function onWheel(event, panel) {
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      // A wheel that moves the page goes on moving it when a panel comes under the pointer.
      const passing = glass.zoom() === 1 && (event.deltaY > 0 || scrolled > moved);
      if (!event.ctrlKey && (sideways || passing)) return;
      event.preventDefault();
      glass.zoomAt(pointOf(event, panel), Math.exp(-between(-120, event.deltaY, 120) / 400));
    }

    function onClick(event, panel) {
      // A finger points; it enlarges by the button.
      if (event.pointerType === "touch" || (event.detail && (dragged > 4 || scene.bar.marks()))) return;
      scene.screen.open(panel);
    }

    document.addEventListener("pointerdown", (event) => {
      if (event.pointerType !== "mouse" && glass.point() && !event.target.closest(".frame")) glass.pointAt(null);
    });

    return {
      letGo: () => fingers.clear(),
      reach(panel) {
        const on = (name, does, options) => panel.frame.addEventListener(name, (event) => does(event, panel), options);
        on("keydown", keyboard(scene));
        on("keyup", (event) => event.key === " " && event.preventDefault()); // which would click
        on("pointermove", onMove);
        on("pointerleave", (event) => event.pointerType === "mouse" && glass.pointAt(null));
        on("pointerdown", onPress);
        on("pointerup", onRelease);
        on("pointercancel", onRelease);
        on("click", onClick);
        on("wheel", onWheel, { passive: false });
      },
    };
  }

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  /* What the keys do in a panel. */
  function keyboard({ glass, region, screen }) {
    function move([x, y], far) {
      const before = glass.point();
      const step = (STEP * (far ? 4 : 1)) / glass.zoom();
      // The first arrow shows the point.
      const to = before ? { x: between(0, before.x + x * step, 1), y: between(0, before.y + y * step, 1) } : MIDDLE;
      glass.pointAt(to);
      glass.reach(to);
      if (region.begun()) region.extend(to);
    }

    /* The first marks a corner of a region, the second the one across. */
    function mark() {
      glass.pointAt(glass.point() ?? MIDDLE);
      if (region.begun()) region.end();
      else region.begin(glass.point());
    }

    function clear() {
      region.drop();
      glass.pointAt(null);
      glass.whole();
    }

    function doing({ key, shiftKey }) {
      if (key in ARROWS) return () => move(ARROWS[key], shiftKey);
      if (key === " ") return mark;
      if (key === "+" || key === "=") return () => glass.zoomAt(glass.point() ?? MIDDLE, 1.5);
      if (key === "-") return () => glass.zoomAt(glass.point() ?? MIDDLE, 1 / 1.5);
      const clears = key === "Escape" && !screen.isOpen() && (glass.point() || region.there() || glass.zoom() > 1);
      return clears ? clear : null;
    }

    return (event) => {
      const does = !(event.ctrlKey || event.metaKey || event.altKey) && doing(event);
      if (!does) return;
      event.preventDefault();
      event.stopPropagation();
      does();
    };
  }

  /* Returns what opens a dialog, which the browser's way back then closes. */
  function closedByBack(dialog) {
    let entered = false;
    dialog.addEventListener("close", () => entered && history.back());
    addEventListener("popstate", () => {
      entered = false;
      dialog.close();
    });
    return () => {
      dialog.showModal();
      history.pushState(null, "");
      entered = true;
    };
  }

  // -- One panel over the whole screen --

  /* The panel goes into a dialog and, when that is closed, back to where it stands otherwise. The browser's way back
     closes it too. */
  function wholeScreen(scene) {
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

  // -- Files --

  const blobOf = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

  async function savePanel({ canvas, row, method }) {
    save(await blobOf(canvas), fileName(`${row.title}_${method}.png`));
  }

  async function saveRow(scene, row, number) {
    const those = scene.panels.filter((panel) => panel.row === row);
    const canvas = rowPicture(those, row, scene.scales[number][0].textContent, scene.shown.methods, scene.shown.photo);
    save(await blobOf(canvas), fileName(`${row.title}.png`));
  }

  /* The panels of a row beside each other, with their names above and the sentence below, as for a slide. */
  function rowPicture(those, row, scale, methods, photo) {
    const [gap, line, least] = [16, 34, 320];
    const factor = Math.max(least / photo.width, 1);
    const [wide, high] = [photo.width * factor, photo.height * factor];
    const width = those.length * (wide + gap) + gap;
    const canvas = make("canvas");
    const pencil = canvas.getContext("2d");
    const font = (weight) => `${weight} 24px system-ui, sans-serif`;
    const small = "20px system-ui, sans-serif";
    pencil.font = font("");
    const lines = wrapped(pencil, make("p", { html: row.sentence }).textContent, width - 2 * gap);
    pencil.font = small;
    const numbers = wrapped(pencil, `${make("p", { html: row.numbers }).textContent} ${scale}`, width - 2 * gap);
    canvas.width = width;
    canvas.height = high + (lines.length + numbers.length + 1) * line + 3 * gap;
    pencil.fillStyle = "#fff";
    pencil.fillRect(0, 0, canvas.width, canvas.height);
    pencil.fillStyle = "#000";
    pencil.textBaseline = "top";
    those.forEach(({ canvas: picture, method }, place) => {
      const left = gap + place * (wide + gap);
      pencil.font = font("bold");
      pencil.fillText(methods[method].title, left, gap);
      pencil.drawImage(picture, left, gap + line, wide, high);
    });
    const write = (words, place) => pencil.fillText(words, gap, high + line * (place + 1) + 2 * gap);
    pencil.font = font("");
    lines.forEach(write);
    pencil.font = small;
    pencil.fillStyle = "#555";
    numbers.forEach((words, place) => write(words, lines.length + place));
    return canvas;
  }

  function wrapped(pencil, text, width) {
    const lines = [""];
    for (const word of text.split(/\s+/)) {
      const longer = `${lines.at(-1)} ${word}`.trim();
      if (lines.at(-1) && pencil.measureText(longer).width > width) lines.push(word);
      else lines[lines.length - 1] = longer;
    }
    return lines;
  }

  // ---- The tools below the panels ---------------------------------------------------------------------------------

  function slider(name, key) {
    const input = make("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      value: settings[key],
      "aria-label": name,
      "data-setting": key,
      oninput: () => set({ [key]: Number(input.value) }),
    });
    return input;
  }

  const splitter = () =>
    make("label", { class: "split" }, "Photograph", slider("How much of the pictures lies over the photograph", "split"), "Picture");

  /* `switches` are classes that a button gives to all the panels or takes from them, with what stands on it; `marking`
     is told of the one of that name. */
  function toolbar(download, switches, marking) {
    const turned = Object.entries(switches).map(([name, label]) => {
      const turn = () => {
        const on = element.closest(".panels").classList.toggle(name);
        button.setAttribute("aria-pressed", on);
        if (name === "marking") marking(on);
      };
      const button = make("button", { type: "button", class: "button", "aria-pressed": "false", onclick: turn }, label);
      return button;
    });
    const colours = make(
      "select",
      { "aria-label": "Colours of the map", onchange: () => set({ colours: colours.value }) },
      ...Object.keys(COLOUR_NAMES).map((name) => make("option", { value: name }, COLOUR_NAMES[name])),
    );
    // Each has an opacity of its own.
    const even = () => {
      opacities[settings.uniform] = settings.opacity;
      set({ uniform: uniform.checked, opacity: opacities[uniform.checked] });
    };
    const uniform = make("input", { type: "checkbox", onchange: even });
    const own = make("input", { type: "checkbox", onchange: () => set({ own: own.checked }) });
    const scale = make("label", {}, own, "each row on its own scale");
    const element = make(
      "div",
      { class: "toolbar", hidden: true },
      ...turned,
      make("label", {}, "Colours", colours),
      make("label", {}, "Opacity", slider("Opacity of the map over the photograph", "opacity")),
      make("label", {}, uniform, "uniform, as in the paper"),
      splitter(),
      scale,
      make("button", { type: "button", class: "button", onclick: download }, "Download all panels and their numbers (zip)"),
    );
    return {
      element,
      marks: () => element.closest(".panels").classList.contains("marking"),
      update(apart) {
        colours.value = settings.colours;
        uniform.checked = settings.uniform;
        own.checked = apart;
        for (const input of element.closest(".panels").querySelectorAll("[data-setting]")) {
          input.value = settings[input.dataset.setting];
        }
      },
      several(many) {
        scale.hidden = !many;
      },
    };
  }

  // ---- What can be chosen: bars, words, small pictures -------------------------------------------------------------

  const exampleFiles = new Map(); // of the examples, by their keys: the page opens with the first
  let taken = null; // the file of the example that was clicked last
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

  function keepChoice() {
    try {
      sessionStorage.setItem(KEPT_CHOICE, JSON.stringify({ chosen, opening, search: location.search }));
    } catch {
      // As above.
    }
  }

  /* Work on an image chooses it: it stays in all tabs. */
  function choose() {
    chosen = true;
    keepChoice();
  }

  document.addEventListener("input", ({ target }) => target.matches("#question textarea, #caption textarea") && choose());

  const first = () => exampleFiles.values().next().value;
  const isThere = (file) => file?.path === (shownPath ?? first()?.path);

  /* It becomes the image; one that is there already is looked at anew. */
  function picked() {
    choose();
    if (!isThere(taken)) return taken;
    document.dispatchEvent(new CustomEvent("look", { detail: { again: true } }));
    return NO_VALUE;
  }

  /* Whether a tab opens with another example than the one that is there: only as long as nobody chose an image. */
  function isToOpen(key) {
    if (chosen || !exampleFiles.has(key) || isThere(exampleFiles.get(key))) return false;
    opening = key;
    return true;
  }

  /* The example that a tab opens with becomes the image, unless one was chosen meanwhile. */
  function openedWith() {
    if (!chosen) return exampleFiles.get(opening);
    lookAgain();
    return NO_VALUE;
  }

  const KEPT_PHOTOGRAPH = "photograph";
  let shownPhotograph = null;

  /* There is another photograph or model: the tab that is open looks at it. */
  const lookAgain = () => document.dispatchEvent(new CustomEvent("look"));

  /* There is another photograph; it is there again when the page is opened again. */
  function photographed(photo) {
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
  async function restored() {
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
  async function openWithoutLost(message) {
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
  function lostMessage() {
    try {
      const message = sessionStorage.getItem(LOST);
      sessionStorage.removeItem(LOST);
      return message;
    } catch {
      return null;
    }
  }

  /* A row of buttons, one stop for the Tab key with arrows inside. What the panels show is marked as pressed; where
     it says so, each has a second button that puts it beside what is shown, or takes it away. */
  function choices(element, { trigger, props, watch }, _events, { heading, style, task, add: adds, reveal, headed }) {
    const root = element.querySelector(".choices");
    root.classList.add(style);
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", heading);
    const above = make("p", { class: "heading", hidden: true, "aria-hidden": "true" }, heading);
    const note = make("p", { class: "note", role: "status" });
    if (headed) root.before(above);
    root.before(note);
    let value = { items: [] };
    let explained = [];
    let current = null;
    let pictures = []; // the canvases of small maps, and what is drawn on them
    let small = null; // the photograph below them

    function show() {
      if (isNoValue(props.value)) return;
      value = props.value?.items ? props.value : { items: [] };
      lay();
      if (reveal && (value.items.length || value.note)) root.scrollIntoView({ block: "nearest" });
    }

    function lay() {
      const had = root.contains(document.activeElement) ? document.activeElement.dataset.key : null;
      above.hidden = !value.items.length;
      note.textContent = value.note ?? "";
      note.hidden = !value.note;
      root.replaceChildren(...value.items.map((item) => laidItem(item, adds, tell)));
      for (const { key, url } of value.items) if (url) exampleFiles.set(key, url);
      if (value.current) explained = [value.current];
      mark();
      if (had) stops().find((button) => button.tabIndex === 0)?.focus({ preventScroll: true });
      pictures = [];
      load();
    }

    const stops = () => [...root.querySelectorAll("button:not(:disabled)")];

    function tell(event, { key, url }) {
      taken = url ?? taken;
      choose();
      const name = event === "add" ? (explained.includes(key) ? "drop" : "beside") : event;
      trigger(name, { key, about: value.about ?? "" });
    }

    /* Marks what the panels show; what is shown alone cannot be taken away. One button is the stop for the Tab key. */
    function mark() {
      for (const box of root.children) {
        const [pick, add] = box.children;
        const key = pick.dataset.key;
        const pressed = explained.includes(key);
        if (task || value.current) pick.setAttribute("aria-pressed", pressed);
        if (!add) continue;
        add.textContent = pressed ? "−" : "+";
        const does = pressed ? "Take away" : "Put beside the others:";
        add.setAttribute("aria-label", `${does} ${pick.querySelector(".name").textContent}`);
        add.title = add.getAttribute("aria-label");
        add.disabled = pressed && explained.length < 2;
      }
      const buttons = stops();
      const active = buttons.find((button) => button.dataset.key === current) ?? buttons[0];
      for (const button of buttons) button.tabIndex = button === active ? 0 : -1;
    }

    async function load() {
      const mine = value;
      const heated = value.items.map((item, place) => [item, root.children[place]]).filter(([item]) => item.heat);
      if (!heated.length) return;
      const photo = await photograph(value.photo).catch(() => null); // said where the panels are
      const maps = await Promise.all(heated.map(([{ heat }]) => decoded({ ...heat, kind: "map", limit: heat.shared })));
      if (mine !== value || !photo) return;
      small = thumbnail(photo);
      pictures = maps.map((picture, place) => [heated[place][1].querySelector("canvas"), picture]);
      draw();
    }

    function draw() {
      for (const [canvas, picture] of pictures) put(canvas, overlaid(picture, small));
    }

    root.addEventListener("keydown", (event) => arrows(event, stops(), (key) => (current = key)));
    if (task) {
      document.addEventListener("explained", ({ detail }) => {
        if (detail.task !== task) return;
        explained = [...new Set(detail.keys)];
        mark();
      });
    }
    drawnAnew(root, draw);
    watch("value", show);
    show();
  }

  /* Something to choose: a button that tells "pick", and perhaps one that tells "add". */
  function laidItem(item, adds, tell) {
    const pick = make("button", { type: "button", class: "pick", "data-key": item.key, onclick: () => tell("pick", item) });
    if (item.thumbnail) pick.append(make("img", { src: item.thumbnail, alt: "" }));
    if (item.heat) pick.append(make("canvas", { "aria-hidden": "true" }));
    pick.append(make("span", { class: "name" }, item.label));
    if (item.detail) pick.append(make("span", { class: "detail" }, item.detail));
    const box = make("span", { class: "choice" }, pick);
    if (item.share !== undefined) box.style.setProperty("--share", item.share);
    if (adds) {
      box.append(make("button", { type: "button", class: "add", "data-key": `+${item.key}`, onclick: () => tell("add", item) }));
    }
    return box;
  }

  /* Moves the keyboard from one of several buttons to another, which becomes the stop for the Tab key, and is told. */
  function arrows(event, buttons, tell) {
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    const at = buttons.indexOf(document.activeElement);
    const to = { Home: 0, End: buttons.length - 1 }[event.key] ?? at + steps[event.key];
    if (at < 0 || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
    tell(buttons[to].dataset.key);
  }

  /* Hands on what the server tells of the columns that are filled late. */
  function late(_element, { props, watch }, _events, { task }) {
    watch("value", () => {
      if (isNoValue(props.value) || !props.value) return;
      document.dispatchEvent(new CustomEvent("late", { detail: { task, ...props.value } }));
    });
  }

  /* The methods that can be shown beside the panels, by group, to tick. */
  function compare(element, { trigger }, _events, { task, groups }) {
    const boxes = [];
    let sent = 0; // how many: one may overtake another on its way
    const laid = ({ key, title, sentence }) => {
      const box = make("input", { type: "checkbox", value: key, onchange: () => compared(box) });
      boxes.push(box);
      return make("label", { class: "chip", title: sentence }, box, title);
    };
    const group = ([name, all]) =>
      make("div", { role: "group", "aria-label": name }, make("span", { class: "heading", "aria-hidden": "true" }, name), ...all.map(laid));
    const fold = make("details", {}, make("summary", {}, "Compare methods"), ...Object.entries(groups).map(group));
    element.querySelector(".compare").replaceChildren(fold);

    function compared(box) {
      choose();
      if (box.checked) document.dispatchEvent(new CustomEvent("added", { detail: { task, method: box.value } }));
      trigger("choose", { number: ++sent, methods: boxes.filter(({ checked }) => checked).map(({ value }) => value) });
    }

    document.addEventListener("explained", ({ detail }) => {
      if (detail.task !== task) return;
      // What the model cannot have is not offered; what was ticked before can still be taken away.
      for (const box of boxes) box.parentElement.hidden = box.value === "attention" && !detail.attends && !box.checked;
    });
  }

  /* A box for names, of what is explained alone or put beside. Half a name is enough, unless what can be typed has no
     list: then the names are some of many. */
  function names(element, { trigger, props, watch }, _events, { kind, example, task }) {
    const root = element.querySelector(".names");
    const list = make("datalist", { id: `names-of-${root.closest("[id]").id}` });
    const plain = { autocomplete: "off", autocorrect: "off", autocapitalize: "off", spellcheck: "false" };
    const box = make("input", { type: "text", list: list.id, enterkeyhint: "go", ...plain, oninput: listed });
    const beside = make("button", { type: "button", class: "button", onclick: () => take("beside") }, "+ Compare");
    const form = make(
      "form",
      { onsubmit: (sent) => (sent.preventDefault(), take("pick")) },
      make("label", {}, `Another ${kind}`, box),
      make("button", { type: "submit", class: "button" }, "Explain"),
      beside,
    );
    const close = make("p", { class: "close", hidden: true });
    root.replaceChildren(list, form, close);
    let offered = [];
    let hint = "";
    let asked = "pick"; // what was asked for with what was typed

    function take(event) {
      const typed = box.value.trim();
      const key = hint ? typed : completed(typed);
      if (!key) {
        box.focus();
        return;
      }
      choose();
      asked = event;
      trigger(event, { key });
    }

    function listed({ inputType }) {
      // How browsers tell that a name of the list was clicked, or a word corrected.
      if ((inputType === "insertReplacementText" || !inputType) && offered.includes(box.value)) take("pick");
    }

    /* The name that was typed, else the first that begins with it, else the first of which a word does. */
    function completed(typed) {
      const text = typed.toLowerCase();
      const fits = [(name) => name === text, (name) => name.startsWith(text), (name) => name.includes(` ${text}`)];
      const found = fits.map((fit) => offered.find((name) => fit(name.toLowerCase())));
      return (text && found.find(Boolean)) || typed;
    }

    function show() {
      if (isNoValue(props.value)) return;
      offered = props.value?.names ? props.value.names.split("\n") : [];
      hint = props.value?.hint ?? "";
      list.replaceChildren(...offered.map((name) => make("option", { value: name })));
      box.placeholder = hint || `e.g. ${example}`;
    }

    /* The names that an error proposes, to click. */
    function propose(note) {
      const proposed = /Did you mean (.+)\?/u.exec(note)?.[1].split(" or ") ?? [];
      const known = proposed.filter((name) => offered.includes(name));
      const button = (name) => make("button", { type: "button", class: "button", onclick: () => trigger(asked, { key: name }) }, name);
      close.replaceChildren("Did you mean: ", ...known.map(button));
      close.hidden = !known.length;
    }

    document.addEventListener("explained", ({ detail }) => {
      if (detail.task !== task) return;
      propose(detail.note);
      // What could not be explained stays, to be corrected.
      if (!detail.note) box.value = "";
    });
    watch("value", show);
    show();
  }

  const SMALL = 132; // the longer side of a small picture, in pixels
  const thumbnails = new WeakMap();

  /* A photograph as a small picture. */
  function thumbnail(photo) {
    if (!thumbnails.has(photo)) {
      const factor = Math.min(SMALL / Math.max(photo.width, photo.height), 1);
      const [width, height] = [photo.width, photo.height].map((length) => Math.max(Math.round(length * factor), 1));
      const result = new ImageData(width, height);
      result.data.set(stretch(photo.data, photo.width, photo.height, 4, width, height));
      thumbnails.set(photo, result);
    }
    return thumbnails.get(photo);
  }

  // ---- Photographs from everywhere, and the camera ------------------------------------------------------------------

  /* Takes a photograph that is pasted or dropped anywhere on the page, and has the camera. */
  function intake(element, { trigger, props, watch, upload }, _events, { most }) {
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

    const camera = live((frame) => trigger("frame", frame), take);
    element.querySelector(".intake").replaceChildren(...camera.elements, note);
    watch("value", () => camera.answered(props.value));
  }

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
  function live(ask, take) {
    const video = make("video", { muted: true, playsinline: true });
    const frame = make("canvas", { "aria-hidden": "true" }); // what was sent
    const canvas = make("canvas", { role: "img", "aria-label": "The camera's picture with the Grad-CAM map over it" });
    const seen = classes();
    const note = make("p", { class: "note", role: "alert", hidden: true });
    const keep = make("button", { type: "button", onclick: keepFrame }, "Keep this one");
    const stopping = make("button", { type: "button", onclick: () => dialog.close() }, "Close");
    const buttons = make("p", { class: "buttons" }, keep, stopping);
    const dialog = make("dialog", { class: "live", "aria-label": "Live", onclose: stop }, canvas, seen.element, note, buttons);
    const start = make("button", { type: "button", class: "start", onclick: begin }, "Camera (live)");
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
    return { elements: [start, dialog], answered };
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

  /* Brings what can be explained in the open tab under the keyboard: its bars, or the words of its caption. */
  function skip() {
    const stops = document.querySelectorAll(".bars [tabindex='0'], .strip [tabindex='0']");
    const stop = [...stops].find(inSight);
    stop?.focus();
    return !stop;
  }

  /* Brings a part of the page into sight, and the keyboard with it. */
  function goTo(id) {
    const part = document.getElementById(id);
    part.scrollIntoView({ block: "start" });
    part.focus({ preventScroll: true });
  }

  const download = ({ url, orig_name: name }) => make("a", { href: url, download: name }).click();

  // What the lesson and the quiz are drawn with too.
  const numbers = { bytesOf, decoded, decodedRow, isNoValue };
  const pictures = { put, overlaid, greyed, photograph, thumbnail, drawnAnew };
  const tools = { ...numbers, ...pictures, make, inSight, whenTurned, whenOpen, showAddress, arrows };

  return { panels, compare, choices, names, late, intake, picked, openedWith, photographed, restored, lookAgain, choose, skip, goTo, download, tools };
})();
