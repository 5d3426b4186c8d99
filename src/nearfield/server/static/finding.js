// Searches: by several clips, by a file (chosen or dropped), by a recording.

import * as api from "./api.js";
import { clear } from "./clip.js";
import { nameOf } from "./cloud.js";
import { $, h, say } from "./dom.js";
import { acts, arePictures, guarded, main, now, player, stages } from "./page.js";
import { list, markPlaying, nearestHeading, sheet, typicalityWords } from "./panel.js";
import { record, toWav } from "./record.js";
import { condition } from "./scene.js";

const ANSWERS = 24;

const wanted = { plus: [], minus: [] };
let stopRecording = null;

/** Adds an example to the query. `side`: plus (similar) or minus (dissimilar). */
export const want = guarded(async (side, id) => {
  drop(id);
  wanted[side].push(id);
  await showWanted();
});

/** Removes all examples. */
export const forget = () => Object.assign(wanted, { plus: [], minus: [] });

function drop(id) {
  for (const side of ["plus", "minus"]) wanted[side] = wanted[side].filter((other) => other !== id);
}

async function showWanted() {
  if (!wanted.plus.length && !wanted.minus.length) return clear();
  const found = await api.search({ ...wanted, top: ANSWERS, where: condition() });
  const without = guarded((id) => { drop(id); return showWanted(); });
  const chips = (side, sign) => wanted[side].map((id) => h("button", { type: "button", class: "chip", title: "Take away", onclick: () => without(id) }, `${sign} ${nameOf(id).file}`));
  const heading = wanted.plus.length ? "Near these" : "Far from these";
  if (!wanted.plus.length) found.typicality = null; // far from a clip, there is nothing to be typical of
  showFound(h("h2", {}, heading, h("small", {}, "press one to remove it")), found, h("p", { class: "acts" }, chips("plus", "+"), chips("minus", "−")));
}

function showFound(heading, found, ...before) {
  now.selected = null;
  stages[0].setMarks({ selected: null, near: found.answers.map(({ row }) => row) });
  sheet(heading, "search", clear, ...before, typicalityWords(found.typicality), nearestHeading(), list(found.answers, main()),
    h("p", { class: "acts" }, h("button", { type: "button", onclick: () => acts.gather(found.answers.map(({ id }) => id)) }, "Make a set of these")));
  markPlaying();
}

/** Searches by the user's own file, a sound or an image as in the space; the first of the files `among`. */
export const searchFile = guarded(async (file, among = 1) => {
  say(`Searching by ${file.name} …`);
  const found = await (arePictures() ? ask(file) : askBySound(file)).catch((error) => {
    throw new Error(`${file.name}: ${error.message.replace(/^the (sound|picture): /, "")}`);
  });
  const own = URL.createObjectURL(file);
  const shown = arePictures()
    ? h("figure", { class: "mel photograph" }, h("img", { src: own, alt: file.name }))
    : h("p", { class: "acts" }, h("button", { type: "button", onclick: () => player.toggle(`file:${file.name}`, 0, own) }, "Hear it"));
  showFound(h("h2", {}, file.name, h("small", {}, arePictures() ? "your image" : "your sound")), found, shown);
  say(among > 1 ? `Searched with ${file.name} only, the first of ${among} files.` : "");
});

const ask = (sent) => api.search({ file: sent, top: ANSWERS, where: condition() });

/** The browser may decode files that the server cannot. */
async function askBySound(file) {
  try {
    return await ask(file);
  } catch (error) {
    if (!error.message.includes("cannot be read as sound")) throw error;
    return ask(await toWav(file, "sound.wav").catch(() => { throw error; }));
  }
}

export const toggleRecording = guarded(async () => {
  if (arePictures()) return;
  if (stopRecording) {
    const stop = stopRecording;
    stopRecording = null;
    $("record").setAttribute("aria-pressed", "false");
    $("record").textContent = "Record";
    await searchFile(await stop());
    return;
  }
  player.stop();
  stopRecording = await record().catch(() => { throw new Error("No microphone: allow it for this page, or search with a file."); });
  $("record").setAttribute("aria-pressed", "true");
  $("record").textContent = "Stop and search";
});

/** Handles files that are chosen, or dropped anywhere on the page. */
export function bindFiles() {
  let depth = 0;
  const show = () => { $("drop").hidden = depth <= 0; };
  $("upload").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { const [file] = $("file").files; $("file").value = ""; if (file) searchFile(file); });
  $("record").addEventListener("click", toggleRecording);
  const onFiles = (name, act) => addEventListener(name, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // text that is dragged is none of ours
    event.preventDefault();
    act(event.dataTransfer.files);
    show();
  });
  onFiles("dragenter", () => { depth++; });
  onFiles("dragleave", () => { depth--; });
  onFiles("dragover", () => {});
  onFiles("drop", (files) => {
    depth = 0;
    if (files.length) searchFile(files[0], files.length);
  });
}
