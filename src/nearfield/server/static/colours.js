// Colors of points: palettes for color-blind readers (after Paul Tol), one for each theme.

import { bytes } from "./dom.js";
import { DISC, RING } from "./renderer.js";

const CLASSES = {
  light: ["#3b6fb6", "#d1603d", "#1f8a70", "#c2a028", "#8a4f9e", "#5bb5d5", "#c4517f", "#6f7d1f"],
  dark: ["#77aadd", "#ee8866", "#44bb99", "#eedd88", "#c79ae0", "#99ddff", "#ffaabb", "#bbcc33"],
};
const REST = { light: "#aaa59c", dark: "#6b6f76" };
const SCALE = { // from cividis, cut where it would vanish into the paper
  light: ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#e3c734"],
  dark: ["#38507f", "#5d6b84", "#868588", "#aea57f", "#d5c265", "#fee838"],
};

const COLOURS = CLASSES.light.length;
const MOST = 2 * COLOURS; // names that are told apart: each colour as a disc, then as a ring

/** The key of clips without a name, that is, without a label or without tags. */
export const NONE = "";

/** Numbers of a row's names in a column of classes or tags; -1 if it has none. */
export function numbersOf(cloud, column, row) {
  if (column.kind !== "set") return [column.values[row]];
  const tags = cloud.tags(row);
  return tags.length ? tags : [-1];
}

/**
 * Look of each name of a column: the most frequent names have their own color or ring, the others share one.
 * Names in `kept` have their own, too. NONE stands for clips without a name.
 */
export function namedColours(cloud, column, theme, kept) {
  const counts = new Map(column.names.map((name) => [name, 0]));
  let without = 0;
  for (let row = 0; row < cloud.count; row++) {
    for (const number of numbersOf(cloud, column, row)) {
      if (number < 0) without++;
      else counts.set(column.names[number], counts.get(column.names[number]) + 1);
    }
  }
  const order = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const natural = order.length <= MOST ? [...order].sort((a, b) => (a[0] < b[0] ? -1 : 1)) : order;
  const places = new Map(natural.slice(0, MOST).map(([name], place) => [name, place]));
  const free = [...Array(MOST).keys()].filter((place) => !kept.has(natural[place]?.[0]));
  for (const name of kept) if (counts.has(name) && !places.has(name) && free.length) places.set(name, free.shift());
  const looks = natural.map(([name, count]) => [name, { count, ...look(places.get(name), theme) }]);
  if (without) looks.push([NONE, { count: without, colour: REST[theme], ring: true, own: false }]);
  return new Map(looks);
}

const look = (place, theme) => (place === undefined
  ? { colour: REST[theme], ring: false, own: false }
  : { colour: CLASSES[theme][place % COLOURS], ring: place >= COLOURS, own: true });

/** Share of the clips whose names have their own look. */
export function coloured(column) {
  const counts = column.names.map(() => 0);
  for (const number of column.values) if (number >= 0) counts[number]++;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return counts.sort((a, b) => b - a).slice(0, MOST).reduce((sum, count) => sum + count, 0) / (all || 1);
}

/** For each row the number of the name that gives its color, -1 for none: of several tags one in `kept`, else the rarest with its own look. */
export function drawnAs(cloud, column, named, kept) {
  if (column.kind !== "set") return column.values;
  const out = new Int32Array(cloud.count);
  for (let row = 0; row < cloud.count; row++) {
    const numbers = numbersOf(cloud, column, row), wanted = numbers.filter((number) => kept.has(column.names[number]));
    const own = (wanted.length ? wanted : numbers).filter((number) => named.get(column.names[number])?.own);
    out[row] = own.length ? own.reduce((a, b) => (named.get(column.names[b]).count < named.get(column.names[a]).count ? b : a)) : numbers[0];
  }
  return out;
}

/** (N * 4) bytes; `numbers` is the result of `drawnAs` for a column of classes or tags. */
export function paint(cloud, column, named, numbers, theme) {
  const out = new Uint32Array(cloud.count), rest = word(bytes(REST[theme])), none = word(bytes(REST[theme]), RING);
  if (!column || column.kind === "number") {
    const [low, high] = column ? range(column.values) : [0, 1];
    for (let row = 0; row < cloud.count; row++) {
      const value = column ? column.values[row] : NaN;
      out[row] = Number.isFinite(value) ? word(onScale((value - low) / (high - low || 1), theme)) : rest;
    }
    return new Uint8Array(out.buffer);
  }
  const colours = column.names.map((name) => {
    const { colour, ring, own } = named.get(name) ?? {};
    return own ? word(bytes(colour), ring ? RING : DISC) : rest;
  });
  for (let row = 0; row < cloud.count; row++) out[row] = numbers[row] >= 0 ? colours[numbers[row]] : none;
  return new Uint8Array(out.buffer);
}

/** The ends of a scale: the first and 99th percentile. */
export function range(values) {
  const known = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
  if (!known.length) return [0, 1];
  return [known[Math.floor(known.length * 0.01)], known[Math.ceil(known.length * 0.99) - 1]];
}

export const scaleColours = (theme) => SCALE[theme];

function onScale(share, theme) {
  const stops = SCALE[theme], place = Math.max(0, Math.min(1, share)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(place));
  const [a, b] = [bytes(stops[low]), bytes(stops[low + 1])];
  return a.map((part, at) => Math.round(part + (b[at] - part) * (place - low)));
}

/** Red, green, blue, and DISC or RING, as four bytes in order. */
const word = ([red, green, blue], form = DISC) => ((form << 24) | (blue << 16) | (green << 8) | red) >>> 0;
