// The legend of the colors; a click on a name shows its clips alone.

import { NONE, range, scaleColours } from "./colours.js";
import { $, h } from "./dom.js";
import { theme } from "./theme.js";

const SEVERAL = "A clip with several tags has the color of its rarest tag here. Press a tag to see all of its clips.";

/** `named`: names with colors and counts; `drawn`: number of clips in each name's color; `kept`: names that are shown alone; `press(name)`: on click. */
export function drawLegend(column, named, drawn, kept, press) {
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
  const names = h("ul", { onscroll: ({ target }) => markMore(target) }, [...named].map(([name, look]) => row(name, look, drawn.get(name) ?? 0, column, kept, press)));
  place.replaceChildren(h("h2", {}, column.name), column.kind === "set" ? h("p", { class: "how" }, SEVERAL) : "", names);
  names.scrollTop = scrolled;
  markMore(names);
  if (focused !== false) [...place.querySelectorAll("button")].find((each) => each.dataset.name === focused)?.focus({ preventScroll: true });
}

function row(name, { colour, ring, count, own }, drawn, column, kept, press) {
  const swatch = h("i", { class: ring ? "ring" : "disc" }), shown = name === NONE ? `no ${column.name}` : name;
  const all = count.toLocaleString("en"), some = column.kind === "set" && own && drawn < count ? `${drawn.toLocaleString("en")} of ${all}` : all;
  swatch.style[ring ? "borderColor" : "background"] = colour;
  return h("li", {}, h("button", { type: "button", class: "quiet", title: `${shown}: ${all}${some === all ? "" : `, of which ${drawn.toLocaleString("en")} have this color; the others have the color of a rarer tag`}`, "data-name": name, "aria-label": `${shown}, ${all}`, "aria-pressed": String(kept.has(name)), onclick: () => press(name) },
    swatch, h("span", {}, shown), h("small", {}, some)));
}

addEventListener("resize", () => { const list = $("legend")?.querySelector("ul"); if (list) markMore(list); });

/** Fades the edge behind which the list continues. */
function markMore(list) {
  const goesOn = list.scrollHeight - list.clientHeight - list.scrollTop > 2 || list.scrollWidth - list.clientWidth - list.scrollLeft > 2;
  list.classList.toggle("more", goesOn);
}
