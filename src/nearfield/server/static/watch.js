// Curves of a run or a study during training, updated every two seconds.

import * as api from "./api.js";
import { draw as drawCurves, nearest, short, thin } from "./curves.js";
import { $, h, say } from "./dom.js";
import { followTheme, theme } from "./theme.js";

const EVERY = 2000;
const FIRST = ["train/loss", "val/loss", "val/recall_at_1", "val/tag_overlap_at_1", "val/triplet_accuracy", "val/probe_macro_f1", "train/active_fraction", "train/effective_rank"];
const OF_LOSS = /^(train|val)\/loss/; // what two kinds of loss have in different units
const PER_PAIR = /^val\/centroids\//; // one curve for each pair of labels
const SCORE = "val/score"; // of each run the measure that decides, which has a chart of its own
const COLOURS = {
  light: ["#3b6fb6", "#d1603d", "#1f8a70", "#c2a028", "#8a4f9e", "#5bb5d5", "#c4517f", "#6f7d1f"],
  dark: ["#77aadd", "#ee8866", "#44bb99", "#eedd88", "#c79ae0", "#99ddff", "#ffaabb", "#bbcc33"],
};

const known = new Map(); // by name of the run: { next, series: metric -> update -> value }
const off = new Set();
const charts = new Map();
let runs = [];

async function look() {
  const found = await api.runs();
  runs = found.runs;
  $("name").textContent = found.folder;
  const open = runs.filter(({ state }) => state === "training").length;
  $("count").textContent = `${runs.length} ${runs.length === 1 ? "run" : "runs"}${open ? `, ${open} training` : ""}`;
  document.title = `Training of ${found.folder} · Nearfield`;
  for (const { name } of runs) await follow(name);
  draw();
}

async function follow(name) {
  if (!known.has(name)) known.set(name, { next: 0, series: new Map() });
  const mine = known.get(name);
  for (;;) {
    const { lines, next } = await api.metrics(name, mine.next);
    for (const { update, ...numbers } of lines) {
      for (const [metric, value] of Object.entries(numbers)) {
        if (typeof value !== "number") continue;
        if (!mine.series.has(metric)) mine.series.set(metric, new Map());
        mine.series.get(metric).set(update, value); // a line that comes again takes the place of the first
      }
    }
    const done = next === mine.next;
    mine.next = next;
    if (done || !lines.length) return;
  }
}

/** Runs that differ by their seed only share a color and a row, and are shown or hidden together. */
const armOf = (name) => name.replace(/^runs\//, "").replace(/\/seed-[^/]*$/, "");
const arms = () => [...new Set(runs.map(({ name }) => armOf(name)))];

function colourOf(name) {
  const colours = COLOURS[theme()];
  return colours[arms().indexOf(armOf(name)) % colours.length];
}

function draw() {
  $("runs").tBodies[0].replaceChildren(...arms().map(row));
  const { drawn, left } = choice();
  const shown = drawn.flatMap((metric) => kindsOf(metric).map((kind) => {
    const key = [metric, kind].join("\0");
    if (!charts.has(key)) charts.set(key, chart(metric, kind));
    paint(charts.get(key));
    return charts.get(key).root;
  }));
  if (shown.some((root, place) => $("curves").children[place] !== root) || shown.length !== $("curves").childElementCount) $("curves").replaceChildren(...shown);
  $("left").textContent = left.length ? `Not drawn: ${left.join("; ")}.` : "";
  document.body.dataset.ready = "yes";
}

/** Metrics to draw, most important first, and a sentence on those that are left out: curves that are constant, equal another, or are one of many pairs. */
function choice() {
  const metrics = [...new Set([...known.values()].flatMap(({ series }) => [...series.keys()]))];
  metrics.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const drawn = [], left = [], pairs = metrics.filter((metric) => PER_PAIR.test(metric));
  for (const metric of metrics) {
    if (PER_PAIR.test(metric) || metric === SCORE) continue;
    const same = drawn.find((other) => isSame(other, metric)), flat = constant(metric);
    if (same) left.push(`${titleOf(metric)} (the same as ${titleOf(same)})`);
    else if (flat !== null) left.push(`${titleOf(metric)} (always ${short(flat)})`);
    else if (metric !== "val/loss" || !drawn.includes("train/loss")) drawn.push(metric); // else it has a line in the chart of the training loss
  }
  if (metrics.includes(SCORE)) left.push(`${titleOf(SCORE)} (for each run one of the other measures)`);
  if (pairs.length) left.push(`distances between ${pairs.length} pairs of labels (TensorBoard has them)`);
  return { drawn, left };
}

const seriesOf = (metric) => [...known.values()].map(({ series }) => series.get(metric)).filter(Boolean);

/** Whether every run has the same values of both. */
function isSame(a, b) {
  return [...known.values()].every(({ series }) => {
    const [one, other] = [series.get(a), series.get(b)];
    if (!one || !other) return one === other;
    return one.size === other.size && [...one].every(([update, value]) => other.get(update) === value);
  });
}

/** The constant value of a metric in all runs, if it has three or more points; else null. */
function constant(metric) {
  const values = seriesOf(metric).flatMap((series) => [...series.values()]);
  return values.length > 2 && values.every((value) => Math.abs(value - values[0]) <= 1e-6 * Math.abs(values[0])) ? values[0] : null;
}

const rank = (metric) => { const place = FIRST.indexOf(metric); return place < 0 ? FIRST.length + !metric.startsWith("val/") : place; };

/** The readable name of a metric such as "val/recall_at_1". */
function titleOf(metric) {
  const [where, ...rest] = metric.split("/"), name = rest.join(" ").replaceAll("_", " ");
  return { train: name, val: `validation ${name}` }[where] ?? metric;
}

/** The kinds of loss among the runs with a metric, if its meaning depends on the loss; else one for all. */
function kindsOf(metric) {
  const kinds = [...new Set(runs.filter(({ name }) => known.get(name).series.has(metric)).map(({ loss }) => loss ?? ""))];
  return OF_LOSS.test(metric) && kinds.length > 1 ? kinds : [null];
}

function row(name) {
  const some = runs.filter((run) => armOf(run.name) === name), sum = (read) => some.reduce((total, run) => total + (read(run) ?? 0), 0);
  const dot = h("i"), now = sum(({ last }) => last?.update), updates = sum((run) => run.updates);
  const loss = sum(({ last }) => last?.["train/loss"]) / some.length;
  const states = [...new Set(some.map(({ state }) => state))];
  const state = states.map((word) => (some.length > 1 ? `${some.filter((run) => run.state === word).length} ${word}` : word)).join(", ");
  dot.style.background = colourOf(some[0].name);
  const turn = () => { if (!off.delete(name)) off.add(name); draw(); };
  return h("tr", { class: off.has(name) ? "off" : "", title: "Show or hide", onclick: turn },
    h("td", {}, dot, h("button", { type: "button", class: "quiet", }, name, some.length > 1 ? h("small", {}, `  ${some.length} seeds`) : null), triplets(some[0])), h("td", {}, state),
    h("td", {}, updates ? h("progress", { max: updates, value: now }) : null, updates ? `${now} of ${updates}` : String(now)),
    h("td", {}, Number.isFinite(loss) ? loss.toPrecision(4) : "–"));
}

/** A link to the training examples of a run, once it has a recipe; for an arm, those of its first seed. */
function triplets({ name, updates }) {
  const stay = (event) => event.stopPropagation();
  return updates ? h("a", { href: `/runs/${encodeURIComponent(name)}/triplets`, target: "_blank", onclick: stay }, "Triplets") : null;
}

function chart(metric, kind) {
  const value = h("small"), tip = h("div", { class: "tip", hidden: true });
  const title = titleOf(metric) + (kind ? `, ${kind.replaceAll("_", " ")}` : ""), canvas = h("canvas", { role: "img", "aria-label": `Curve of ${title}` });
  const root = h("figure", { "data-metric": metric, "data-kind": kind ?? undefined }, h("figcaption", {}, title, value), canvas, tip);
  const made = { metric, kind, root, canvas, value, tip, pointer: null };
  const point = (at) => { made.pointer = at; paint(made); };
  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => point([offsetX, offsetY]));
  canvas.addEventListener("pointerleave", () => point(null));
  return made;
}

/** The curves of a chart: the metric of each visible run; the training loss together with the validation loss. */
function curvesOf({ metric, kind }) {
  const metrics = metric === "train/loss" ? [metric, "val/loss"] : [metric];
  return runs.filter(({ name, loss }) => !off.has(armOf(name)) && (kind === null || kind === (loss ?? ""))).flatMap(({ name }) => metrics.map((one) => ({
    name, colour: colourOf(name), isDashed: one !== metric, points: thin([...(known.get(name).series.get(one) ?? [])]),
  }))).filter(({ points }) => points.length);
}

function paint(made) {
  const curves = curvesOf(made), { root, canvas, value, tip, pointer } = made;
  root.dataset.points = curves.filter(({ isDashed }) => !isDashed).reduce((sum, { points }) => sum + points.length, 0);
  const view = drawCurves(canvas, curves, pointer ? pointer[0] : null);
  const two = curves.some(({ isDashed }) => isDashed);
  value.replaceChildren(...(two ? [h("span", { class: "lines" }, h("i"), "training", h("i", { class: "dashed" }), "validation")] : curves.length === 1 ? [short(curves[0].points.at(-1)[1])] : []));
  tip.hidden = !pointer || !view;
  if (!tip.hidden) readOut(tip, curves, view, pointer);
}

/** Values of the curves at the update under the pointer. */
function readOut(tip, curves, { update, left, width }, [, y]) {
  const rows = curves.map((curve) => [curve, nearest(curve.points, update)]).filter(([, point]) => point);
  tip.replaceChildren(h("b", {}, `update ${update}`), ...rows.slice(0, 12).map(([{ name, colour, isDashed }, [at, reading]]) => {
    const dot = h("i");
    dot.style.background = colour;
    return h("span", {}, dot, `${runs.length > 1 ? `${name.replace(/^runs\//, "")}: ` : ""}${short(reading)}${isDashed ? " validation" : ""}${at === update ? "" : ` (at ${at})`}`);
  }));
  tip.style.transform = `translate(${left}px, ${y + 34}px) translate(${left > width / 2 ? "calc(-100% - 10px)" : "10px"}, 0)`;
}

async function again() {
  try {
    await look();
  } catch (error) {
    say(error.message, true);
  }
  setTimeout(again, document.hidden ? 5 * EVERY : EVERY);
}

$("theme").addEventListener("click", followTheme(() => runs.length && draw()));
addEventListener("resize", () => runs.length && draw());
api.spaces().then(({ spaces }) => { $("map").hidden = !spaces.length; }).catch(() => {});
again();
