// A run or a study while it trains: its curves, looked up again every two seconds.

import * as api from "./api.js";
import { $, h, say } from "./dom.js";
import { followTheme, theme } from "./theme.js";

const EVERY = 2000;
const FIRST = ["train/loss", "val/probe_macro_f1", "train/active_fraction", "train/effective_rank"];
const POINTS = 600;
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

/** Runs that differ by their seed alone have one colour, one row, and are shown or hidden together. */
const armOf = (name) => name.replace(/^runs\//, "").replace(/\/seed-[^/]*$/, "");
const arms = () => [...new Set(runs.map(({ name }) => armOf(name)))];

function colourOf(name) {
  const colours = COLOURS[theme()];
  return colours[arms().indexOf(armOf(name)) % colours.length];
}

function draw() {
  $("runs").tBodies[0].replaceChildren(...arms().map(row));
  const metrics = [...new Set([...known.values()].flatMap(({ series }) => [...series.keys()]))];
  metrics.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  for (const metric of metrics) {
    if (!charts.has(metric)) charts.set(metric, chart(metric));
    paint(metric, charts.get(metric));
  }
  $("curves").replaceChildren(...metrics.map((metric) => charts.get(metric).root));
  document.body.dataset.ready = "yes";
}

const rank = (metric) => { const place = FIRST.indexOf(metric); return place < 0 ? FIRST.length : place; };

function row(name) {
  const some = runs.filter((run) => armOf(run.name) === name), sum = (read) => some.reduce((total, run) => total + (read(run) ?? 0), 0);
  const dot = h("i"), now = sum(({ last }) => last?.update), updates = sum((run) => run.updates);
  const loss = sum(({ last }) => last?.["train/loss"]) / some.length;
  const states = [...new Set(some.map(({ state }) => state))];
  const state = states.map((word) => (some.length > 1 ? `${some.filter((run) => run.state === word).length} ${word}` : word)).join(", ");
  dot.style.background = colourOf(some[0].name);
  const turn = () => { if (!off.delete(name)) off.add(name); draw(); };
  return h("tr", { class: off.has(name) ? "off" : "", title: "Show or hide", onclick: turn },
    h("td", {}, dot, h("button", { type: "button", class: "quiet", }, name, some.length > 1 ? h("small", {}, `  ${some.length} seeds`) : null)), h("td", {}, state),
    h("td", {}, updates ? h("progress", { max: updates, value: now }) : null, updates ? `${now} of ${updates}` : String(now)),
    h("td", {}, Number.isFinite(loss) ? loss.toPrecision(4) : "–"));
}

function chart(metric) {
  const value = h("small"), canvas = h("canvas", { role: "img", "aria-label": `Curve of ${metric}` });
  return { root: h("figure", { "data-metric": metric }, h("figcaption", {}, metric.replaceAll("_", " "), value), canvas), canvas, value };
}

function paint(metric, { root, canvas, value }) {
  const curves = runs.filter(({ name }) => !off.has(armOf(name))).map(({ name }) => [name, thin([...(known.get(name).series.get(metric) ?? [])])]).filter(([, points]) => points.length);
  root.dataset.points = curves.reduce((sum, [, points]) => sum + points.length, 0);
  const ratio = Math.min(2, devicePixelRatio || 1), width = canvas.clientWidth || 330, height = canvas.clientHeight || 170;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  pen.scale(ratio, ratio);
  const all = curves.flatMap(([, points]) => points);
  if (!all.length) return;
  const ends = (axis) => all.reduce(([low, high], point) => [Math.min(low, point[axis]), Math.max(high, point[axis])], [Infinity, -Infinity]);
  const [x0, x1] = ends(0), [y0, y1] = ends(1);
  const px = (x) => 44 + ((x - x0) / (x1 - x0 || 1)) * (width - 50), py = (y) => height - 20 - ((y - y0) / (y1 - y0 || 1)) * (height - 30);
  Object.assign(pen, { font: "11px system-ui, sans-serif", fillStyle: style.getPropertyValue("--soft"), strokeStyle: style.getPropertyValue("--line") });
  for (const y of [y0, y1]) {
    pen.beginPath(); pen.moveTo(44, py(y)); pen.lineTo(width - 6, py(y)); pen.stroke();
    pen.textAlign = "right"; pen.fillText(short(y), 38, py(y) + 4);
  }
  pen.textAlign = "left"; pen.fillText(String(x0), 44, height - 4);
  pen.textAlign = "right"; pen.fillText(String(x1), width - 6, height - 4);
  for (const [name, points] of curves) {
    Object.assign(pen, { strokeStyle: colourOf(name), fillStyle: colourOf(name), lineWidth: 1.5, lineJoin: "round" });
    pen.beginPath();
    points.forEach(([x, y], step) => (step ? pen.lineTo(px(x), py(y)) : pen.moveTo(px(x), py(y))));
    pen.stroke();
    if (points.length < 30) for (const [x, y] of points) { pen.beginPath(); pen.arc(px(x), py(y), 2.2, 0, 7); pen.fill(); }
  }
  value.textContent = curves.length === 1 ? short(curves[0][1].at(-1)[1]) : "";
}

/** At most `POINTS` points in order: the mean of each stretch. */
function thin(points) {
  points.sort((a, b) => a[0] - b[0]);
  const together = Math.ceil(points.length / POINTS);
  if (together < 2) return points;
  const out = [];
  for (let at = 0; at < points.length; at += together) {
    const some = points.slice(at, at + together);
    out.push([some.at(-1)[0], some.reduce((sum, [, y]) => sum + y, 0) / some.length]);
  }
  return out;
}

const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(1) : String(+value.toPrecision(3)));

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
