// Names of classes and tags on a map, at their points.

import { h } from "./dom.js";

const MOST = 40; // names; where there are more, only those with a colour of their own are written
const CELLS = 24; // of the map across, within which points are together

export class Names {
  constructor() {
    this.root = h("div", { class: "names", "aria-hidden": "true" });
  }

  /** Call after coordinates or colors have changed. */
  forget() {
    this.middles = null;
  }

  /** Places the most frequent names first, without overlaps. */
  place({ classes, camera, places, size, top }) {
    const { column, named, numbers } = classes ?? {};
    if (!numbers || camera.is3d || column.names.length < 2) {
      this.root.replaceChildren();
      return;
    }
    const isWritten = (name) => named.get(name)?.own || (column.kind === "class" && column.names.length <= MOST);
    if (!this.middles) {
      this.middles = middles(places, column.names, numbers).filter(({ name }) => isWritten(name));
      this.write(named);
    }
    const taken = [], matrix = camera.matrix(), { width, height } = camera;
    this.middles.forEach(({ name, x, y }, place) => {
      const label = this.root.children[place];
      const px = (x * matrix[0] + matrix[12] + 1) * 0.5 * width, py = (1 - (y * matrix[5] + matrix[13])) * 0.5 * height - size - 7;
      const half = name.length * 3.9 + 6, box = [px - half, py - 11, px + half, py + 11];
      const free = box[0] > 0 && box[2] < width && box[1] > top && box[3] < height
        && !taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
      label.hidden = !free;
      if (!free) return;
      taken.push(box);
      label.style.transform = `translate(${px}px, ${py}px) translate(-50%, -50%)`;
    });
  }

  write(named) {
    this.root.replaceChildren(...this.middles.map(({ name }) => {
      const label = h("span", {}, name.replaceAll("_", " "));
      label.style.color = `color-mix(in srgb, ${named.get(name).colour} 62%, var(--ink))`;
      return label;
    }));
  }
}

/** A point for each name, in the densest part of its points; the most frequent name first. */
function middles(places, names, numbers) {
  const rows = names.map(() => []);
  numbers.forEach((number, row) => number >= 0 && rows[number].push(row));
  return names.map((name, number) => ({ name, some: rows[number] })).filter(({ some }) => some.length)
    .sort((a, b) => b.some.length - a.some.length)
    .map(({ name, some }) => {
      const row = densest(places, some);
      return { name, x: places[row * 3], y: places[row * 3 + 1] };
    });
}

/** The uppermost row in the fullest cell of a grid; a cell's count includes its neighboring cells. */
function densest(places, rows) {
  const cellOf = (row) => [0, 1].map((axis) => Math.floor((places[row * 3 + axis] + 1) * 0.5 * CELLS)), counts = new Map();
  for (const row of rows) {
    const [x, y] = cellOf(row);
    for (const dx of [-1, 0, 1]) for (const dy of [-1, 0, 1]) {
      const key = (x + dx) * 1000 + y + dy;
      counts.set(key, (counts.get(key) ?? 0) + (dx || dy ? 1 : 1.5));
    }
  }
  const weight = (row) => { const [x, y] = cellOf(row); return counts.get(x * 1000 + y); };
  return rows.reduce((best, row) => {
    const more = weight(row) - weight(best);
    return more > 0 || (more === 0 && places[row * 3 + 1] > places[best * 3 + 1]) ? row : best;
  });
}
