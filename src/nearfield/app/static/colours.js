// Which colour a point has: scales that colour-blind eyes can tell apart (after Paul Tol), one for each theme.

const CLASSES = {
  light: ["#3b6fb6", "#d1603d", "#1f8a70", "#c2a028", "#8a4f9e", "#5bb5d5", "#c4517f", "#6f7d1f"],
  dark: ["#77aadd", "#ee8866", "#44bb99", "#eedd88", "#c79ae0", "#99ddff", "#ffaabb", "#bbcc33"],
};
const REST = { light: "#aaa59c", dark: "#6b6f76" };
const SCALE = { // from cividis, cut where it would vanish into the paper
  light: ["#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#e3c734"],
  dark: ["#38507f", "#5d6b84", "#868588", "#aea57f", "#d5c265", "#fee838"],
};

const ALPHA = 235;

export const most = CLASSES.light.length;

/** For each name of a class its colour: the commonest have their own, the others share one. */
export function namedColours(column, theme) {
  const counts = new Map(column.names.map((name) => [name, 0]));
  for (const number of column.values) if (number >= 0) counts.set(column.names[number], counts.get(column.names[number]) + 1);
  const order = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const natural = order.length <= most ? [...order].sort((a, b) => (a[0] < b[0] ? -1 : 1)) : order;
  return new Map(natural.map(([name, count], place) => [name, {
    colour: place < most ? CLASSES[theme][place] : REST[theme], count, own: place < most,
  }]));
}

/** The share of clips that the commonest names, which have colours of their own, make up. */
export function coloured(column) {
  const counts = column.names.map(() => 0);
  for (const number of column.values) if (number >= 0) counts[number]++;
  const all = counts.reduce((sum, count) => sum + count, 0);
  return counts.sort((a, b) => b - a).slice(0, most).reduce((sum, count) => sum + count, 0) / (all || 1);
}

/** (N * 4) bytes; `named` is what `namedColours` gave for a class column or for tags. */
export function paint(cloud, column, named, theme) {
  const out = new Uint32Array(cloud.count), rest = word(bytes(REST[theme]));
  if (!column || column.kind === "number") {
    const [low, high] = column ? range(column.values) : [0, 1];
    for (let row = 0; row < cloud.count; row++) {
      const value = column ? column.values[row] : NaN;
      out[row] = Number.isFinite(value) ? word(onScale((value - low) / (high - low || 1), theme)) : rest;
    }
    return new Uint8Array(out.buffer);
  }
  const colours = column.names.map((name) => word(bytes(named.get(name)?.own ? named.get(name).colour : REST[theme])));
  for (let row = 0; row < cloud.count; row++) {
    const number = column.kind === "set" ? rarest(cloud.tags(row), column, named) : column.values[row];
    out[row] = number >= 0 ? colours[number] : rest;
  }
  return new Uint8Array(out.buffer);
}

/** The ends of a scale, leaving out the outermost hundredth on both sides. */
export function range(values) {
  const known = Array.from(values).filter(Number.isFinite).sort((a, b) => a - b);
  if (!known.length) return [0, 1];
  return [known[Math.floor(known.length * 0.01)], known[Math.ceil(known.length * 0.99) - 1]];
}

export const scaleColours = (theme) => SCALE[theme];

/** A clip's tag that tells most: the rarest of those that have a colour of their own. */
function rarest(tags, column, named) {
  let found = -1, least = Infinity;
  for (const number of tags) {
    const { count, own } = named.get(column.names[number]) ?? {};
    if (own && count < least) [found, least] = [number, count];
  }
  return found;
}

function onScale(share, theme) {
  const stops = SCALE[theme], place = Math.max(0, Math.min(1, share)) * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(place));
  const [a, b] = [bytes(stops[low]), bytes(stops[low + 1])];
  return a.map((part, at) => Math.round(part + (b[at] - part) * (place - low)));
}

/** Red, green, blue and a little less than opaque, as four bytes in order. */
const word = ([red, green, blue]) => ((ALPHA << 24) | (blue << 16) | (green << 8) | red) >>> 0;

function bytes(code) {
  return [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));
}
