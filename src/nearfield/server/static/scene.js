// State of the maps: layout, colors, and which points are plain, dim or chosen; the space that panels cover.

import * as api from "./api.js";
import { coloured, drawnAs, namedColours, numbersOf, paint } from "./colours.js";
import { $, h, say } from "./dom.js";
import { drawLegend } from "./legend.js";
import { acts, arePictures, chosen, clouds, guarded, main, stages } from "./page.js";
import { CHOSEN, DIM, PLAIN } from "./renderer.js";
import { theme } from "./theme.js";

const WORDS = { umap_2d: "UMAP, 2D", umap_3d: "UMAP, 3D", pca_2d: "PCA, 2D", pca_3d: "PCA, 3D" };
const LEAST_COLOURED = 0.4; // least share of clips with their own color; otherwise another column is chosen
const WIDE = 760; // width in pixels from which the panel is beside the map and not below it
const LEAST = 120; // least height of a map in pixels

const kept = new Set(); // names of the legend that are shown alone
let passing = null, named = null, column = null;
let inForce = "", asked = 0; // the map's filter, and the number of requested filters
let laid = ""; // the map's layout

/** Shifts the maps so that panels do not cover them, if there is room. */
export function makeRoom() {
  const wide = innerWidth > WIDE, alone = stages.length === 1, open = !$("panel").hidden, isBelow = open && !(wide && alone);
  for (const [place, stage] of stages.entries()) {
    const { bottom, height } = stage.root.getBoundingClientRect();
    const covered = bottom - $("panel").getBoundingClientRect().top + 10; // the part of each map that the panel covers
    stage.makeRoom({
      left: wide && place === 0 && !isBelow ? 190 : 0,
      right: wide && alone && open ? $("panel").offsetWidth + 20 : 0,
      bottom: isBelow ? Math.max(0, Math.min(covered, height - LEAST)) : wide ? 20 : 64,
    });
  }
}

export function fillChoices() {
  $("layout").replaceChildren(...main().layouts.map(({ name }) => h("option", { value: name }, WORDS[name] ?? name)));
  $("colour").replaceChildren(h("option", { value: "" }, "nothing"), ...[...main().columns.keys()].map((name) => h("option", { value: name }, name)));
  const usual = ["label", "tags", "cluster"].map((name) => main().columns.get(name)).filter((column) => column?.names.length);
  $("colour").value = (usual.find((column) => coloured(column) > LEAST_COLOURED) ?? usual[0])?.name ?? "";
  const label = main().columns.get("label")?.names[0]?.replaceAll("'", "''");
  const words = [label && `label = '${label}'`, main().columns.has("seconds") && "seconds > 1"].filter(Boolean);
  $("where").placeholder = words.length ? `Filter: ${words.join(" and ")}` : "Filter";
}

export async function setLayout(name) {
  const own = (cloud) => (cloud.layouts.some((each) => each.name === name) ? name : cloud.layouts[0].name);
  try {
    await Promise.all(clouds.map((cloud) => cloud.layout(own(cloud)))); // all are there before one map changes
    await Promise.all(stages.map((stage) => stage.setLayout(own(stage.cloud))));
    laid = name;
  } finally {
    $("layout").value = laid;
  }
  const trust = main().trust(name);
  $("note").textContent = `${WORDS[name] ?? name}${trust === null ? "" : ` · trustworthiness ${trust.toFixed(2)}`}`;
  $("note").title = "Trustworthiness: how far the neighbors on the map are neighbors in the space, by rank; 1 is perfect. Similarities in lists are those of the space.";
}

export function setColour(name) {
  $("colour").value = name;
  column = main().columns.get(name) ?? null;
  kept.clear();
  recolour();
  restate();
}

export function recolour() {
  if (!stages.length) return;
  named = column && column.kind !== "number" ? namedColours(main(), column, theme(), kept) : null;
  const drawn = new Map();
  for (const stage of stages) {
    const { cloud } = stage;
    const own = column ? cloud.columns.get(column.name) : null, looks = own?.names && named ? fill(own, named) : null;
    const numbers = looks && drawnAs(cloud, own, looks, kept);
    stage.setColours(paint(cloud, own, looks, numbers, theme()), numbers && { column: own, named: looks, numbers });
    if (cloud === main()) numbers?.forEach((number) => drawn.set(own.names[number], (drawn.get(own.names[number]) ?? 0) + 1));
  }
  drawLegend(column, named, drawn, kept, (name) => {
    if (!kept.delete(name)) kept.add(name);
    recolour();
    restate();
  });
}

/** Colors for names that the first space does not have. */
function fill(own, colours) {
  return new Map(own.names.map((name) => [name, colours.get(name) ?? { colour: "inherit", count: 0, own: false }]));
}

/** Updates which points are plain, dim or chosen. */
export function restate() {
  for (const [number, stage] of stages.entries()) {
    const { cloud } = stage, own = column ? cloud.columns.get(column.name) : null;
    const numbers = own?.names ? new Set([...kept].map((name) => own.names.indexOf(name))) : new Set();
    const isKept = (row) => !numbers.size || numbersOf(cloud, own, row).some((number) => numbers.has(number));
    const pass = passing?.[number], rows = new Set([...chosen].map((id) => cloud.rows.get(id)));
    stage.setStates((row) => ((pass && !pass.has(row)) || !isKept(row) ? DIM : rows.has(row) ? CHOSEN : PLAIN));
  }
  const shown = (stages[0]?.states ?? []).reduce((sum, state) => sum + (state >= PLAIN), 0);
  const all = `${main().count.toLocaleString("en")} ${arePictures() ? "images" : "clips"}`;
  $("count").textContent = shown === main().count ? all : `${shown.toLocaleString("en")} of ${all}`;
  document.body.dataset.shown = shown;
}

/** The filter of searches: that of the map, not text that is still being typed. */
export const condition = () => inForce;

export const filter = guarded(async () => {
  const where = $("where").value.trim(), turn = ++asked;
  try {
    const found = where ? await Promise.all(clouds.map(async ({ number }) => new Set(await api.rowsWhere(where, number)))) : null;
    if (turn !== asked) return; // another was asked for meanwhile
    [passing, inForce] = [found, where];
  } catch (error) {
    if (turn !== asked) return;
    if (error.status < 500) $("where").setAttribute("aria-invalid", "true"); // else the filter may well be right
    throw error;
  }
  $("where").removeAttribute("aria-invalid");
  say(passing?.every((rows) => !rows.size) ? "No clip meets this filter: change it, or empty the field." : "");
  restate();
});

/** Removes the filter. */
export function unfilter() {
  $("where").value = "";
  kept.clear();
  recolour();
  filter();
}

/** Marks the clip under the pointer on every map and prefetches its sound. */
export function hoverAll(id, from) {
  for (const stage of stages) if (stage.cloud !== from) stage.setMarks({ hovered: id === null ? null : stage.cloud.rows.get(id) ?? null });
  if (id !== null) acts.ahead(id, from.number);
}
