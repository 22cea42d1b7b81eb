/* What the components and events of the page call. */

import { goTo, make, skip, whenTurned } from "./dom.js";

export { choices } from "./choices.js";
export { picked, openedWith, photographed, restored, lookAgain, choose } from "./choosing.js";
export { compare } from "./compare.js";
export { download } from "./dom.js";
export { intake } from "./intake.js";
export { late } from "./late.js";
export { names } from "./names.js";
export { panels } from "./panels.js";

/* What stands in the place of a part that could not be fetched: browsers do not try again. */
const unfetched = () =>
  make(
    "p",
    { class: "note", role: "alert" },
    "This part of the page could not be fetched. ",
    make("button", { type: "button", class: "button", onclick: () => location.reload() }, "Open the page again"),
  );

/* A part of the page that is fetched when it first comes into sight. */
function later(file, name) {
  return (element, ...given) => {
    let begun = false;
    whenTurned(element, (open) => {
      if (!open || begun) return;
      begun = true;
      import(file).then((part) => part[name](element, ...given), () => element.append(unfetched()));
    });
  };
}

export const lesson = later("./lesson.js", "lesson");
export const randomising = later("./trust.js", "randomising");
export const noising = later("./trust.js", "noising");
export const quiz = later("./quiz.js", "quiz");
export const votes = later("./votes.js", "votes");

document.addEventListener("click", (event) => {
  if (event.target.closest(".skip")) skip(event);
  const leads = event.target.closest("[data-leads-to]");
  if (leads) goTo(leads.dataset.leadsTo);
});
