// One clip: its sound, its spectrogram, and its neighbors in each space.

import * as api from "./api.js";
import { nameOf } from "./cloud.js";
import { clock, h } from "./dom.js";
import { acts, arePictures, chosen, clouds, guarded, now, player, stages } from "./page.js";
import { closeSheet, list, look, markPlaying, nearestHeading, sheet, title, typicalityWords } from "./panel.js";
import { condition } from "./scene.js";

const NEAREST = 12;
const PATIENCE = 80; // milliseconds that all else waits for the sound
const AHEAD = 3; // neighbours that are fetched before they are asked for

/** Opens a clip: plays it, shows its spectrogram or image, and its neighbors in each space. */
export const choose = guarded(async (id, space = 0, sound = true) => {
  now.selected = id;
  const heard = sound && !arePictures() ? player.play(id, space) : null;
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  for (const stage of stages) {
    const row = stage.cloud.rows.get(id) ?? null;
    stage.setMarks({ selected: row, near: [] });
    if (row !== null) stage.reveal(row);
  }
  if (heard) await Promise.race([heard, new Promise((done) => setTimeout(done, PATIENCE))]);
  const holders = clouds.filter(({ rows }) => rows.has(id));
  const found = await Promise.all(holders.map(({ number }) => api.search({ clip: id, top: NEAREST, space: number, where: condition() }))).catch((error) => {
    if (now.selected === id) stages.forEach((stage) => stage.setMarks({ selected: null })); // no sheet, no ring
    throw error;
  });
  if (now.selected !== id) return;
  holders.forEach((cloud, place) => stages[cloud.number].setMarks({ near: found[place].answers.map(({ row }) => row) }));
  showClip(id, holders, found);
  found[0].answers.slice(0, AHEAD).forEach((near) => acts.ahead(near.id, holders[0].number));
});

function showClip(id, holders, found) {
  const [cloud] = holders, row = cloud.rows.get(id);
  const isSaid = (word) => nameOf(id).folder.endsWith(`${word}/`); // by the folder in the title
  const words = ["label", "tags"].map((name) => cloud.text(name, row)).filter((word) => word && !isSaid(word));
  const [compared, ...lists] = found.length > 1 ? sideBySide(holders, found) : [null, nearestHeading(), list(found[0].answers, cloud)];
  sheet(title(id), "clip", clear,
    words.length ? h("p", { class: "words" }, words.join(" · ")) : null,
    compared, look(id, cloud),
    h("p", { class: "acts" },
      h("button", { type: "button", onclick: () => acts.toggleChosen(id), title: "Add to the set or remove from it (A)" }, chosen.has(id) ? "Remove from set" : "Add to set"),
      h("button", { type: "button", onclick: () => acts.want("plus", id), title: "More like this (P)" }, "More like this"),
      h("button", { type: "button", onclick: () => acts.want("minus", id), title: "Less like this (N)" }, "Less like this")),
    ...lists, typicalityWords(found[0].typicality), facts(cloud, row));
  markPlaying();
}

function facts(cloud, row) {
  const pairs = [...cloud.columns.keys()].filter((name) => !["label", "tags"].includes(name)).map((name) => [name, name === "start" ? clock(cloud.columns.get(name).values[row]) : cloud.text(name, row)]).filter(([, value]) => value !== "");
  return h("details", {}, h("summary", {}, "All columns"), h("dl", { class: "facts" }, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

/** Neighbors in both spaces; those that only one space has are marked. */
function sideBySide(holders, found) {
  const ids = found.map(({ answers }) => new Set(answers.map(({ id }) => id)));
  const both = [...ids[0]].filter((id) => ids[1].has(id)).length;
  const words = `${both} of ${ids[0].size} neighbors are the same; ${holders[1].name} loses ${ids[0].size - both} and gains ${ids[1].size - both}.`;
  return [h("p", { class: "hint", id: "compared" }, words), h("div", { class: "sides" }, found.map(({ answers }, place) => {
    const marks = new Map(answers.map(({ id }) => [id, ids[1 - place].has(id) ? "same" : place ? "gained" : "lost"]));
    return h("div", {}, h("h3", {}, holders[place].name), list(answers, holders[place], { more: false, marks }));
  }))];
}

/** Closes the clip and stops its sound. */
export function clear() {
  now.selected = null;
  acts.forget();
  player.stop();
  history.replaceState(null, "", location.pathname);
  stages.forEach((stage) => stage.setMarks({ selected: null, near: [] }));
  closeSheet();
}

/** Selects the next clip of a list and plays it. */
export function step(by) {
  const items = [...document.querySelectorAll("#panel ol.clips li")];
  if (!items.length) return;
  const before = items.findIndex((item) => item.classList.contains("here"));
  const place = Math.max(0, Math.min(items.length - 1, before + by));
  mark(items[place]);
  if (!arePictures()) player.play(items[place].dataset.id);
  if (items[place + by]) acts.ahead(items[place + by].dataset.id);
}

/** Selects one item of a list. */
export function mark(here) {
  for (const item of here.parentElement.children) item.classList.toggle("here", item === here);
  here.scrollIntoView({ block: "nearest" });
}

/** The next clip on the map in a direction on the screen. */
export const walk = (right, down) => () => {
  const [stage] = stages, row = stage.toward(now.selected === null ? null : stage.cloud.rows.get(now.selected), right, down);
  if (row === null) return;
  const opened = choose(stage.cloud.ids[row]);
  for (const [x, y] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    const next = stage.toward(row, x, y);
    if (next !== null) opened.then(() => now.selected === stage.cloud.ids[row] && acts.ahead(stage.cloud.ids[next]));
  }
};
