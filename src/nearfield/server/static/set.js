// The set: clips that the user selected, to play and to export.

import { clear } from "./clip.js";
import { $, download, h, say, seconds } from "./dom.js";
import { acts, arePictures, chosen, main, player, stages } from "./page.js";
import { list, markPlaying, sheet } from "./panel.js";
import { restate } from "./scene.js";

$("set").addEventListener("click", showSet);

/** Replaces the set by these clips. */
export function gather(ids) {
  if (!ids.length) return say("There is no clip in this area.");
  chosen.clear();
  ids.forEach((id) => chosen.add(id));
  setLasso(false);
  showChange();
}

export function toggleChosen(id) {
  if (!chosen.delete(id)) chosen.add(id);
  showChange();
}

const there = () => [...chosen].filter((id) => main().rows.has(id)).map((id) => ({ id }));

/** Shows the set on the map, in its panel and on the button that opens it. */
function showChange() {
  restate();
  const { length } = there();
  $("set").hidden = !length;
  $("set").textContent = `Set (${length.toLocaleString("en")})`;
  showSet();
}

function showSet() {
  const cloud = main(), rows = there();
  if (!rows.length) return clear();
  const length = rows.reduce((sum, { id }) => sum + (cloud.columns.get("seconds")?.values[cloud.rows.get(id)] ?? 0), 0);
  const empty = () => { chosen.clear(); showChange(); };
  sheet(h("h2", {}, `${rows.length.toLocaleString("en")} ${arePictures() ? "images" : "clips"}`, arePictures() ? null : h("small", {}, seconds(length))), "set", clear,
    h("p", { class: "acts" },
      arePictures() ? null : h("button", { type: "button", id: "listen", onclick: listenThrough, title: "One after the other (X)" }, "Listen through"),
      h("button", { type: "button", id: "export", onclick: exportSet, title: "As CSV (E)" }, "Export"),
      h("button", { type: "button", onclick: empty, title: "Remove all clips from the set" }, "Empty")),
    list(rows, cloud));
  markPlaying();
}

export function listenThrough() {
  if (arePictures()) return;
  if (player.now && (player.queue.length || chosen.has(player.now.id))) player.stop();
  else player.playAll([...chosen]);
}

export function exportSet() {
  if (!chosen.size) return say("The set is empty: draw a lasso around some clips first (L), or add all visible clips (G).");
  const cloud = main(), names = [...cloud.columns.keys()];
  const marked = (text) => (/^'*[=+\-@\t\r]/.test(text) && !Number.isFinite(Number(text)) ? `'${text}` : text); // no formula for a spreadsheet
  const cell = (text) => (/[",\n\r]/.test(text) ? `"${marked(text).replaceAll('"', '""')}"` : marked(text));
  const [start, length] = ["start", "seconds"].map((name) => cloud.columns.get(name)?.values), ends = start && length ? ["end"] : [];
  const lines = [...chosen].map((id) => [id, cloud.rows.get(id)]).filter(([, row]) => row !== undefined).map(([id, row]) => [
    id, ...names.map((name) => value(cloud, name, row)), ...ends.map(() => String(+(start[row] + length[row]).toFixed(3))),
  ]);
  download(`${cloud.name}.csv`, [["id", ...names, ...ends], ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n", "text/csv");
}

/** As in tables: tags separated by bars, numbers in full. */
function value(cloud, name, row) {
  const own = cloud.columns.get(name);
  if (own.kind === "set") return cloud.tags(row).map((number) => own.names[number]).join("|");
  return own.kind === "number" && Number.isFinite(own.values[row]) ? String(own.values[row]) : cloud.text(name, row);
}

export function setLasso(on) {
  stages.forEach((stage) => { stage.lassoing = on; });
  document.body.classList.toggle("lassoing", on);
  $("lasso").setAttribute("aria-pressed", String(on));
}

/** Shows on the map and in the list which clip of the set plays. */
export function followQueue() {
  const id = player.now?.id;
  if ($("panel").dataset.sheet !== "set") return;
  stages[0].setMarks({ selected: id ? main().rows.get(id) ?? null : null, near: [] });
  for (const item of document.querySelectorAll("#panel ol.clips li")) {
    item.classList.toggle("here", item.dataset.id === id);
    if (item.dataset.id === id) item.scrollIntoView({ block: "nearest" });
  }
  if (player.queue.length) acts.ahead(player.queue[0].id);
}
