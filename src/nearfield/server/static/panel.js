// The panel beside the map: a clip with its neighbors, search results, a set of clips, suspects.

import { pictureOf } from "./api.js";
import { nameOf } from "./cloud.js";
import { $, clock, figure, h } from "./dom.js";
import { acts, arePictures, now, player, stages } from "./page.js";
import { logMel } from "./spectrogram.js";

const FURTHEST_SHOWN = 500; // rows of a list; the map shows all

const LISTS = ["suspects", "search", "set"]; // sheets that one comes back to from a clip

let opener = null; // what had the focus before it went into the sheet
let former = null; // the list that the open clip was opened from

/** Shows a panel: title, close button, content. The focus stays on the same control if it still exists. */
export function sheet(heading, kind, close, ...parts) {
  const panel = $("panel"), focused = document.activeElement, isWithin = panel.contains(focused), key = keyOf(focused);
  if (!isWithin) opener = focused;
  if (kind !== "clip") former = null;
  else if (LISTS.includes(panel.dataset.sheet)) former = { kind: panel.dataset.sheet, nodes: [...panel.childNodes], scrolled: panel.scrollTop };
  heading.tabIndex = -1;
  fill(kind, [
    former && h("button", { type: "button", class: "quiet back", title: "Back (Esc)", onclick: goBack }, `← Back to the ${former.kind}`),
    h("header", {}, heading, h("button", { type: "button", class: "quiet close", title: "Close", "aria-label": "Close", onclick: close }, "×")),
    ...parts.flat()]);
  panel.scrollTop = 0;
  if (!isWithin && !focused.closest(".bar")) return;
  const same = [...panel.querySelectorAll("button, a, select, summary")].find((each) => isWithin && keyOf(each) === key);
  (same ?? heading).focus({ preventScroll: true });
}

function fill(kind, parts) {
  const panel = $("panel");
  panel.hidden = false;
  panel.dataset.sheet = kind;
  panel.setAttribute("aria-label", kind[0].toUpperCase() + kind.slice(1));
  panel.replaceChildren(...parts.filter(Boolean));
}

/** The key of a control, to find it again after the panel is redrawn. */
function keyOf(control) {
  const { id, kind, proposed } = control.closest("li")?.dataset ?? {};
  return [id, kind, proposed, control.getAttribute("aria-label") ?? control.textContent].join("\0");
}

/** Shows the list again from which a clip was opened, in its former state. */
function goBack() {
  const panel = $("panel"), isWithin = panel.contains(document.activeElement), { kind, nodes, scrolled } = former, id = now.selected;
  former = now.selected = null;
  history.replaceState(null, "", location.pathname);
  fill(kind, nodes);
  panel.scrollTop = scrolled;
  const items = [...panel.querySelectorAll("ol.clips li")], item = items.find((each) => each.dataset.id === id);
  const found = kind === "search" ? items.map((each) => stages[0].cloud.rows.get(each.dataset.id)) : [];
  stages.forEach((stage, place) => stage.setMarks({ selected: null, near: place ? [] : found }));
  if (isWithin) (item?.querySelector(".open") ?? panel.querySelector("h2")).focus({ preventScroll: true });
  markPlaying();
}

export function closeSheet() {
  const panel = $("panel"), isWithin = panel.contains(document.activeElement);
  former = null;
  panel.hidden = true;
  panel.dataset.sheet = "";
  panel.replaceChildren();
  if (!isWithin) return;
  const isThere = opener !== document.body && opener?.getClientRects().length;
  (isThere ? opener : document.querySelector(".stage")).focus({ preventScroll: true });
}

/** The name of a clip: large file name, small folder. */
export function title(id, small = "") {
  const { file, folder } = nameOf(id);
  return h("h2", { title: id }, file, h("small", {}, small || folder));
}

/** Image of a clip: the image itself, or its log-mel spectrogram, which plays on click. */
export function look(id, cloud) {
  if (!arePictures()) return logMel(id, cloud, playSign(id), instead);
  return h("figure", { class: "mel photograph" }, h("img", { src: pictureOf(id, cloud.number), alt: id, onerror: instead }));
}

/** Text instead of an image that cannot be loaded. */
const instead = ({ target }) => target.replaceWith(h("span", { class: "gone" }, "The file cannot be read."));

const playSign = (id) => h("span", { class: "sign", "data-play": id, "aria-hidden": "true" });

/** The button before a clip in a list: plays the sound, or shows the image. */
export function hearing(id, space) {
  const { file } = nameOf(id);
  const [what, shown] = arePictures() ? ["Show", h("img", { class: "small", src: pictureOf(id, space, 96), alt: "", loading: "lazy" })] : ["Play", playSign(id)];
  return h("button", { type: "button", class: "quiet play", title: arePictures() ? "Open" : "Play or stop", "aria-label": `${what} ${file}`, onclick: () => acts.play(id, space) }, shown);
}

export const nearestHeading = () => h("h3", {}, "Nearest in the space, by cosine similarity");

/** A list of clips to play and open, with buttons for "more like this" if `more`. `marks`: a word for an id. */
export function list(rows, cloud, { more = true, marks = new Map() } = {}) {
  return h("ol", { class: "clips" }, rows.slice(0, FURTHEST_SHOWN).map((row) => {
    const { file, time: named, folder } = nameOf(row.id), number = cloud.rows.get(row.id);
    const begins = cloud.columns.get("start")?.values[number] || 0, time = begins > 0 && !named ? clock(begins) : "";
    const words = [time, cloud.text("label", number), cloud.text("tags", number)].filter(Boolean).join(" · ") || folder;
    const bar = row.distance === undefined ? null : h("i", { class: "reach" });
    const alike = 100 * (1 - row.distance); // per cent: the cosine of the angle between the vectors
    if (bar) bar.style.width = `${Math.max(0, alike)}%`;
    const enter = () => { acts.hover(number, cloud.number); acts.ahead(row.id, cloud.number); };
    return h("li", { "data-id": row.id, "data-mark": marks.get(row.id), onmouseenter: enter, onmouseleave: () => acts.hover(null, cloud.number) },
      hearing(row.id, cloud.number),
      h("button", { type: "button", class: "quiet open", title: row.id, onclick: () => acts.choose(row.id, cloud.number) }, h("b", {}, file), h("span", {}, words)),
      more && h("span", { class: "more" },
        h("button", { type: "button", class: "quiet", title: "More like this (+)", "aria-label": `More like ${file}`, onclick: () => acts.want("plus", row.id) }, "+"),
        h("button", { type: "button", class: "quiet", title: "Less like this (−)", "aria-label": `Less like ${file}`, onclick: () => acts.want("minus", row.id) }, "−")),
      row.distance !== undefined && h("span", { class: "similarity", title: `Cosine similarity ${figure(1 - row.distance)}, distance ${figure(row.distance)}` }, `${alike.toFixed(alike < 99 ? 1 : 2)} %`), bar);
  }));
}

/** How typical a query is of the space, in words. */
export function typicalityWords(share) {
  if (share === null || share === undefined) return null;
  const them = arePictures() ? "images" : "clips";
  const per = 100 * share, far = "far from their nearest neighbor.";
  return h("p", { class: "hint" }, share > 0.05
    ? `This query is typical: ${Math.round(per)} % of the ${them} are at least as ${far}`
    : `No close match: ${per < 1 ? "fewer than 1 %" : `only ${Math.round(per)} %`} of the ${them} are this ${far}`);
}

/** Marks the clip that plays in every list. */
export function markPlaying() {
  for (const sign of document.querySelectorAll("[data-play]")) sign.classList.toggle("playing", player.isPlaying(sign.dataset.play));
}
