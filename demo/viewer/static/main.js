/* What the components and events of the page call. */

import { goTo, skip } from "./dom.js";

export { choices } from "./choices.js";
export { picked, openedWith, photographed, restored, lookAgain, choose } from "./choosing.js";
export { compare } from "./compare.js";
export { download } from "./dom.js";
export { intake } from "./intake.js";
export { late } from "./late.js";
export { lesson } from "./lesson.js";
export { names } from "./names.js";
export { panels } from "./panels.js";
export { quiz } from "./quiz.js";
export { randomising, noising } from "./trust.js";
export { votes } from "./votes.js";

document.addEventListener("click", (event) => {
  if (event.target.closest(".skip")) skip(event);
  const leads = event.target.closest("[data-leads-to]");
  if (leads) goTo(leads.dataset.leadsTo);
});
