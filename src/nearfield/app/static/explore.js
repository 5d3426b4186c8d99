// The page: what is chosen, and what follows from it on the map and beside it.

import * as api from "./api.js";
import { Cloud } from "./cloud.js";
import { namedColours, paint } from "./colours.js";
import { $, download, h, say, seconds } from "./dom.js";
import { listenToKeys } from "./keys.js";
import { drawLegend } from "./legend.js";
import { closeSheet, list, markPlaying, picture, repaintPictures, sheet, title, unusualWords } from "./panel.js";
import { Player } from "./player.js";
import { record, toWav } from "./record.js";
import { CHOSEN, DIM, HIDDEN, PLAIN, Stage } from "./stage.js";
import { Suspects } from "./suspects.js";
import { followTheme, theme } from "./theme.js";

const NEAREST = 12;
const WORDS = { umap_2d: "UMAP, flat", umap_3d: "UMAP, solid", pca_2d: "PCA, flat", pca_3d: "PCA, solid" };

const player = new Player();
const chosen = new Set(); // ids of the set, in order
const kept = new Set(); // names of the legend that are shown alone
const wanted = { plus: [], minus: [] };
let stages = [], clouds = [], selected = null, passing = null, named = null, column = null, suspects = null, stopRecording = null;

const main = () => clouds[0];
const guarded = (act) => async (...given) => {
  try {
    return await act(...given);
  } catch (error) {
    say(error.message, true);
  }
};

async function start() {
  const turnTheme = followTheme(() => { recolour(); repaintPictures(); });
  const facts = await api.spaces();
  $("watch").hidden = !facts.watches;
  $("mend").hidden = !facts.suspects;
  clouds = await Promise.all(facts.spaces.map((_, number) => Cloud.open(number)));
  $("name").textContent = clouds.map(({ name }) => name).join(" and ");
  document.title = `${main().name} · Nearfield`;
  const hooks = { hover: hoverAll, select: (cloud) => (row) => (row === null ? clear() : choose(cloud.ids[row], cloud.number)), lasso: (cloud) => (rows) => gather(rows.map((row) => cloud.ids[row])) };
  stages = clouds.map((cloud) => new Stage($("stages"), cloud, {
    select: hooks.select(cloud), lasso: hooks.lasso(cloud), hover: (row) => hoverAll(row === null ? null : cloud.ids[row], cloud),
  }, clouds.length > 1));
  $("stages").dataset.count = stages.length;
  document.body.dataset.two = clouds.length > 1 ? "yes" : "no";
  fillChoices();
  suspects = new Suspects({ choose, clear, player, cloud: main() });
  bind(turnTheme);
  new MutationObserver(makeRoom).observe($("panel"), { attributes: true, attributeFilter: ["hidden"] });
  addEventListener("resize", makeRoom);
  makeRoom();
  await setLayout(main().header.layout);
  setColour($("colour").value);
  document.body.dataset.ready = "yes";
  const asked = decodeURIComponent(location.hash.slice(1));
  if (main().rows.has(asked)) await choose(asked, 0, false);
}

/** What lies on the map hides none of it, where there is room for both. */
function makeRoom() {
  const wide = innerWidth > 760, alone = stages.length === 1, open = !$("panel").hidden;
  const below = open && !(wide && alone) ? $("panel").offsetHeight + 10 : 0;
  stages.forEach((stage, place) => stage.makeRoom({
    left: wide && place === 0 && !below ? 190 : 0,
    right: wide && alone && open ? $("panel").offsetWidth + 20 : 0,
    bottom: below || (wide ? 20 : 64),
  }));
}

function fillChoices() {
  $("layout").replaceChildren(...main().layouts.map(({ name }) => h("option", { value: name }, WORDS[name] ?? name)));
  $("colour").replaceChildren(h("option", { value: "" }, "nothing"), ...[...main().columns.keys()].map((name) => h("option", { value: name }, name)));
  const first = ["label", "tags", "cluster"].find((name) => main().columns.get(name)?.names?.length);
  $("colour").value = first ?? "";
}

async function setLayout(name) {
  $("layout").value = name;
  await Promise.all(stages.map((stage) => stage.setLayout(stage.cloud.layouts.some((each) => each.name === name) ? name : stage.cloud.layouts[0].name)));
  const trust = main().trust(name);
  $("note").textContent = `${WORDS[name] ?? name}${trust === null ? "" : ` · trustworthiness ${trust.toFixed(2)}`}`;
  $("note").title = "Share of neighbours on the map that are neighbours in the space, by rank; 1 is all. Distances in lists are those of the space.";
}

function setColour(name) {
  $("colour").value = name;
  column = main().columns.get(name) ?? null;
  kept.clear();
  recolour();
  restate();
}

function recolour() {
  if (!stages.length) return;
  named = column && column.kind !== "number" ? namedColours(column, theme()) : null;
  for (const stage of stages) {
    const own = column ? stage.cloud.columns.get(column.name) : null;
    const names = own && own.kind !== "number" ? named : null;
    stage.setColours(paint(stage.cloud, own, names, theme()), own && { column: { ...own, names: own.names?.filter((one) => named?.has(one)) && own.names }, named: fill(own, named) });
  }
  drawLegend(column, named, kept, (name) => {
    if (!kept.delete(name)) kept.add(name);
    recolour();
    restate();
  });
}

/** Colours for names that the first space does not have. */
function fill(own, named) {
  if (!named) return null;
  return new Map(own.names.map((name) => [name, named.get(name) ?? { colour: "inherit", count: 0, own: false }]));
}

/** What of the map is plain, dim or chosen. */
function restate() {
  for (const [number, stage] of stages.entries()) {
    const { cloud } = stage, own = column ? cloud.columns.get(column.name) : null;
    const numbers = own?.names ? new Set([...kept].map((name) => own.names.indexOf(name))) : new Set();
    const isKept = (row) => !numbers.size || (own.kind === "set" ? cloud.tags(row).some((tag) => numbers.has(tag)) : numbers.has(own.values[row]));
    const pass = passing?.[number];
    stage.setStates((row) => ((pass && !pass.has(row)) || !isKept(row) ? DIM : chosen.has(cloud.ids[row]) ? CHOSEN : PLAIN));
  }
  const shown = [...(stages[0]?.states ?? [])].filter((state) => state >= PLAIN).length;
  $("count").textContent = shown === main().count ? `${shown.toLocaleString("en")} clips` : `${shown.toLocaleString("en")} of ${main().count.toLocaleString("en")} clips`;
  document.body.dataset.shown = shown;
}

const filter = guarded(async () => {
  const where = $("where").value.trim();
  $("where").removeAttribute("aria-invalid");
  try {
    passing = where ? await Promise.all(clouds.map(async ({ number }) => new Set(await api.rowsWhere(where, number)))) : null;
  } catch (error) {
    $("where").setAttribute("aria-invalid", "true");
    throw error;
  }
  restate();
});

function hoverAll(id, from) {
  for (const stage of stages) if (stage.cloud !== from) stage.setMarks({ hovered: id === null ? null : stage.cloud.rows.get(id) ?? null });
}

/** Opens a clip: plays it, shows its picture and its neighbours in each space. */
const choose = guarded(async (id, space = 0, sound = true) => {
  selected = id;
  if (sound) player.play(id, space);
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  for (const stage of stages) {
    const row = stage.cloud.rows.get(id) ?? null;
    stage.setMarks({ selected: row, near: [] });
    if (row !== null) stage.reveal(row);
  }
  const holders = clouds.filter(({ rows }) => rows.has(id));
  const found = await Promise.all(holders.map(({ number }) => api.search({ clip: id, top: NEAREST, space: number, where: $("where").getAttribute("aria-invalid") ? "" : $("where").value.trim() })));
  if (selected !== id) return;
  holders.forEach((cloud, place) => stages[cloud.number].setMarks({ near: found[place].answers.map(({ row }) => row) }));
  showClip(id, holders, found);
});

function showClip(id, holders, found) {
  const [cloud] = holders, row = cloud.rows.get(id), length = cloud.columns.get("seconds")?.values[row] ?? 0;
  const words = [["label", ""], ["tags", ""]].map(([name]) => cloud.text(name, row)).filter(Boolean);
  const lists = found.length > 1 ? sideBySide(holders, found) : [h("h3", {}, "Nearest in the space"), list(found[0].answers, cloud, hooksFor(cloud))];
  sheet(title(id), "clip", clear,
    words.length ? h("p", { class: "words" }, words.join(" · ")) : null,
    picture(id, cloud.number, player, length),
    h("p", { class: "acts" },
      h("button", { type: "button", onclick: () => toggleChosen(id), title: "Into the set or out of it (A)" }, chosen.has(id) ? "Out of the set" : "Into the set"),
      h("button", { type: "button", onclick: () => want("plus", id), title: "More like this (P)" }, "More like this"),
      h("button", { type: "button", onclick: () => want("minus", id), title: "Less like this (N)" }, "Less like this")),
    ...lists, unusualWords(found[0].unusual), facts(cloud, row));
  markPlaying(player);
}

function facts(cloud, row) {
  const pairs = [...cloud.columns.keys()].filter((name) => !["label", "tags"].includes(name)).map((name) => [name, cloud.text(name, row)]).filter(([, value]) => value !== "");
  return h("details", {}, h("summary", {}, "All columns"), h("dl", { class: "facts" }, pairs.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

/** Neighbours of both spaces, those that only one has marked. */
function sideBySide(holders, found) {
  const ids = found.map(({ answers }) => new Set(answers.map(({ id }) => id)));
  const both = [...ids[0]].filter((id) => ids[1].has(id)).length;
  const words = `${both} of ${ids[0].size} neighbours are the same; ${holders[1].name} loses ${ids[0].size - both} and gains ${ids[1].size - both}.`;
  return [h("p", { class: "hint", id: "compared" }, words), h("div", { class: "sides" }, found.map(({ answers }, place) => {
    const marks = new Map(answers.map(({ id }) => [id, ids[1 - place].has(id) ? "same" : place ? "gained" : "lost"]));
    return h("div", {}, h("h3", {}, holders[place].name), list(answers, holders[place], hooksFor(holders[place], false), marks));
  }))];
}

function hooksFor(cloud, more = true) {
  return {
    play: (id) => player.toggle(id, cloud.number),
    open: (id) => choose(id, cloud.number),
    hover: (row) => stages[cloud.number].setMarks({ hovered: row }),
    plus: more && ((id) => want("plus", id)),
    minus: more && ((id) => want("minus", id)),
  };
}

function clear() {
  selected = null;
  Object.assign(wanted, { plus: [], minus: [] });
  player.stop();
  history.replaceState(null, "", location.pathname);
  stages.forEach((stage) => stage.setMarks({ selected: null, near: [] }));
  closeSheet();
}

// Several examples: near to some, far from others.

const want = guarded(async (side, id) => {
  for (const each of ["plus", "minus"]) wanted[each] = wanted[each].filter((other) => other !== id);
  wanted[side].push(id);
  await showWanted();
});

async function showWanted() {
  if (!wanted.plus.length && !wanted.minus.length) return clear();
  const found = await api.search({ ...wanted, top: 2 * NEAREST, where: $("where").value.trim() });
  const drop = guarded(async (id) => {
    for (const each of ["plus", "minus"]) wanted[each] = wanted[each].filter((other) => other !== id);
    await showWanted();
  });
  const chips = (side, sign) => wanted[side].map((id) => h("button", { type: "button", class: "chip", title: "Take away", onclick: () => drop(id) }, `${sign} ${id.split("/").pop()}`));
  showFound(h("h2", {}, "Near to these", h("small", {}, "press one to take it away")), found, h("p", { class: "acts" }, chips("plus", "+"), chips("minus", "−")));
}

function showFound(heading, found, ...before) {
  const cloud = main();
  selected = null;
  stages[0].setMarks({ selected: null, near: found.answers.map(({ row }) => row) });
  sheet(heading, "search", clear, ...before, unusualWords(found.unusual), h("h3", {}, "Nearest in the space"), list(found.answers, cloud, hooksFor(cloud)),
    h("p", { class: "acts" }, h("button", { type: "button", onclick: () => gather(found.answers.map(({ id }) => id)) }, "Make a set of these")));
  markPlaying(player);
}

// Search by a file or by microphone.

const searchFile = guarded(async (file) => {
  say(`Searching by ${file.name} …`);
  let found;
  const ask = (sent) => api.search({ file: sent, top: 2 * NEAREST, where: $("where").value.trim() });
  try {
    found = await ask(file);
  } catch (error) {
    if (!error.message.includes("cannot be read as sound")) throw error;
    const wave = await toWav(file, "sound.wav").catch(() => { throw error; });
    found = await ask(wave);
  }
  const own = URL.createObjectURL(file);
  showFound(h("h2", {}, file.name, h("small", {}, "your sound")), found,
    h("p", { class: "acts" }, h("button", { type: "button", onclick: () => player.toggle(`file:${file.name}`, 0, own) }, "Hear it")));
  say("");
});

const toggleRecording = guarded(async () => {
  if (stopRecording) {
    const stop = stopRecording;
    stopRecording = null;
    $("record").setAttribute("aria-pressed", "false");
    $("record").textContent = "Record";
    await searchFile(await stop());
    return;
  }
  player.stop();
  stopRecording = await record().catch(() => { throw new Error("No microphone: allow it for this page, or search by a file."); });
  $("record").setAttribute("aria-pressed", "true");
  $("record").textContent = "Stop and search";
});

// The set.

function gather(ids) {
  if (!ids.length) return say("No clip lies within.");
  chosen.clear();
  ids.forEach((id) => chosen.add(id));
  setLasso(false);
  restate();
  showSet();
}

function toggleChosen(id) {
  if (!chosen.delete(id)) chosen.add(id);
  restate();
  showSet();
}

function showSet() {
  const cloud = main(), rows = [...chosen].filter((id) => cloud.rows.has(id)).map((id) => ({ id }));
  if (!rows.length) return clear();
  const length = rows.reduce((sum, { id }) => sum + (cloud.columns.get("seconds")?.values[cloud.rows.get(id)] ?? 0), 0);
  sheet(h("h2", {}, `${rows.length.toLocaleString("en")} clips`, h("small", {}, seconds(length))), "set", () => { chosen.clear(); restate(); clear(); },
    h("p", { class: "acts" },
      h("button", { type: "button", id: "listen", onclick: listenThrough, title: "One after the other (X)" }, "Listen through"),
      h("button", { type: "button", id: "export", onclick: exportSet, title: "As CSV (E)" }, "Export")),
    list(rows, cloud, hooksFor(cloud)));
  markPlaying(player);
}

function listenThrough() {
  if (player.now && (player.queue.length || chosen.has(player.now.id))) player.stop();
  else player.playAll([...chosen]);
}

function exportSet() {
  if (!chosen.size) return say("The set is empty: draw round some clips first (L), or take all that is shown (G).");
  const cloud = main(), names = [...cloud.columns.keys()];
  const cell = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [...chosen].filter((id) => cloud.rows.has(id)).map((id) => [id, ...names.map((name) => value(cloud, name, cloud.rows.get(id)))]);
  download(`${cloud.name}.csv`, [["id", ...names], ...lines].map((line) => line.map(cell).join(",")).join("\n") + "\n", "text/csv");
}

/** As tables have it: tags with bars between, figures in full. */
function value(cloud, name, row) {
  const own = cloud.columns.get(name);
  if (own.kind === "set") return cloud.tags(row).map((number) => own.names[number]).join("|");
  return own.kind === "number" && Number.isFinite(own.values[row]) ? String(own.values[row]) : cloud.text(name, row);
}

function setLasso(on) {
  stages.forEach((stage) => { stage.lassoing = on; });
  document.body.classList.toggle("lassoing", on);
  $("lasso").setAttribute("aria-pressed", String(on));
}

// Pointers, keys, files that are dropped.

function bind(turnTheme) {
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  $("where").addEventListener("search", filter);
  $("colour").addEventListener("change", () => setColour($("colour").value));
  $("layout").addEventListener("change", guarded(() => setLayout($("layout").value)));
  $("lasso").addEventListener("click", () => setLasso(!stages[0].lassoing));
  $("upload").addEventListener("click", () => $("file").click());
  $("file").addEventListener("change", () => { const [file] = $("file").files; $("file").value = ""; if (file) searchFile(file); });
  $("record").addEventListener("click", toggleRecording);
  $("mend").addEventListener("click", guarded(() => suspects.open()));
  $("theme").addEventListener("click", turnTheme);
  $("help").addEventListener("click", () => $("keys").showModal());
  player.addEventListener("change", () => { markPlaying(player); followQueue(); });
  bindDrops();
  const walk = (right, down) => () => {
    const stage = stages[0], row = stage.toward(selected === null ? null : stage.cloud.rows.get(selected), right, down);
    if (row !== null) choose(stage.cloud.ids[row]);
  };
  const push = (dx, dy) => () => stages.forEach((stage) => { stage.camera.drag(dx, dy); stage.redraw(); });
  const zoom = (factor) => () => stages.forEach((stage) => { stage.camera.zoomBy(factor); stage.redraw(); });
  listenToKeys({
    ArrowLeft: walk(-1, 0), ArrowRight: walk(1, 0), ArrowUp: walk(0, -1), ArrowDown: walk(0, 1),
    ShiftArrowLeft: push(60, 0), ShiftArrowRight: push(-60, 0), ShiftArrowUp: push(0, 60), ShiftArrowDown: push(0, -60),
    "+": zoom(1.25), "=": zoom(1.25), "-": zoom(0.8), "−": zoom(0.8), 0: () => stages.forEach((stage) => stage.fit()),
    " ": () => (player.now ? player.stop() : selected !== null && player.play(selected)),
    "/": () => $("where").focus(), c: () => $("colour").focus(), m: () => $("layout").focus(),
    j: () => step(1), k: () => step(-1), Enter: () => document.querySelector("li.here .open")?.click(),
    l: () => setLasso(!stages[0].lassoing), a: () => selected !== null && toggleChosen(selected),
    g: () => gather(main().ids.filter((_, row) => stages[0].states[row] >= PLAIN)), x: listenThrough, e: exportSet,
    p: () => selected !== null && want("plus", selected), n: () => selected !== null && want("minus", selected),
    u: () => $("upload").click(), r: toggleRecording, w: () => !$("watch").hidden && $("watch").click(),
    s: () => !$("mend").hidden && $("mend").click(), y: () => suspects.decide("accepted"), d: () => suspects.decide("rejected"), z: () => suspects.undo(),
    t: turnTheme, "?": () => $("keys").showModal(), Escape: escape,
  });
}

function escape(event) {
  if (event.target.matches("input, select")) return event.target.blur();
  if (stages[0].lassoing) return setLasso(false);
  if (!$("panel").hidden) return $("panel").querySelector(".close").click();
  $("where").value = "";
  kept.clear();
  recolour();
  filter();
}

/** Marks the next clip of a list, and plays it. */
function step(by) {
  const items = [...document.querySelectorAll("#panel ol.clips li")];
  if (!items.length) return;
  const before = items.findIndex((item) => item.classList.contains("here"));
  const here = items[Math.max(0, Math.min(items.length - 1, before + by))];
  items.forEach((item) => item.classList.toggle("here", item === here));
  here.scrollIntoView({ block: "nearest" });
  player.play(here.dataset.id);
}

/** While a list is played through, the map and the list show where it is. */
function followQueue() {
  const id = player.now?.id;
  if ($("panel").dataset.sheet !== "set") return;
  stages[0].setMarks({ selected: id ? main().rows.get(id) ?? null : null, near: [] });
  for (const item of document.querySelectorAll("#panel ol.clips li")) {
    item.classList.toggle("here", item.dataset.id === id);
    if (item.dataset.id === id) item.scrollIntoView({ block: "nearest" });
  }
}

function bindDrops() {
  let depth = 0;
  const show = () => { $("drop").hidden = depth <= 0; };
  addEventListener("dragenter", (event) => { event.preventDefault(); depth++; show(); });
  addEventListener("dragleave", () => { depth--; show(); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    show();
    const [file] = event.dataTransfer.files;
    if (file) searchFile(file);
  });
}

export { choose, clouds, player, stages }; // for tests, and for whoever opens the console

start().catch((error) => say(error.message, true));
