/* The tools below the panels. */

import { make } from "./dom.js";
import { opacities, set, settings } from "./settings.js";

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

export const splitter = () =>
  make("label", { class: "split" }, "Photograph", slider("How much of the pictures lies over the photograph", "split"), "Picture");

/* `switches` are classes that a button gives to all the panels or takes from them, with what stands on it; `marking`
   is told of the one of that name. */
export function toolbar(download, switches, marking) {
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
