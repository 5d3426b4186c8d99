// What the colours mean; a press on a name shows its clips alone.

import { range, scaleColours } from "./colours.js";
import { $, h } from "./dom.js";
import { theme } from "./theme.js";

/** `named`: names with colours and counts; `kept`: names that are shown alone; `press(name)`. */
export function drawLegend(column, named, kept, press) {
  const place = $("legend");
  place.hidden = !column;
  if (!column) return;
  if (column.kind === "number") {
    const [low, high] = range(column.values), strip = h("i", { class: "scale" });
    strip.style.background = `linear-gradient(to right, ${scaleColours(theme()).join(", ")})`;
    place.replaceChildren(h("h2", {}, column.name), strip, h("p", { class: "ends" }, h("span", {}, String(+low.toPrecision(3))), h("span", {}, String(+high.toPrecision(3)))));
    return;
  }
  const scrolled = place.querySelector("ul")?.scrollTop ?? 0, focused = place.contains(document.activeElement) && document.activeElement.dataset.name;
  place.replaceChildren(h("h2", {}, column.name), h("ul", {}, [...named].map(([name, { colour, count }]) => {
    const swatch = h("i");
    swatch.style.background = colour;
    return h("li", {}, h("button", { type: "button", class: "quiet", "data-name": name, "aria-label": `${name}, ${count.toLocaleString("en")}`, "aria-pressed": String(kept.has(name)), onclick: () => press(name) },
      swatch, h("span", {}, name), h("small", {}, count.toLocaleString("en"))));
  })));
  place.querySelector("ul").scrollTop = scrolled;
  if (focused !== false) [...place.querySelectorAll("button")].find((each) => each.dataset.name === focused)?.focus({ preventScroll: true });
}
