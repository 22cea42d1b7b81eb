/* The address of the page shows again what the tab that is open shows. */

import { keepChoice } from "./choosing.js";
import { inSight } from "./dom.js";

/* The room of the quiz that the page was opened for; the address may be another one later. */
export const linkedRoom = new URLSearchParams(location.search).get("room");

/* The address of the page shows again what the tab that is open shows. */
export function address({ root, shown }) {
  if (!inSight(root) || !shown?.link) return;
  showAddress(Object.entries(shown.link).flatMap(([name, value]) => [value].flat().map((one) => [name, one])));
}

/* Makes these the parameters of the page's address; the theme stays. */
export function showAddress(pairs) {
  const theme = new URLSearchParams(location.search).getAll("__theme").map((value) => ["__theme", value]);
  history.replaceState(null, "", `?${new URLSearchParams([...theme, ...pairs])}`);
  keepChoice();
}
