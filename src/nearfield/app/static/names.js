// The names of classes on a map, where their points lie.

import { h } from "./dom.js";

const MOST = 40;

export class Names {
  constructor() {
    this.root = h("div", { class: "names", "aria-hidden": "true" });
  }

  /** Places or colours have changed. */
  forget() {
    this.middles = null;
  }

  /** Those first that have the most; none lies over another. */
  place({ classes, camera, places, size, top }) {
    const { column, named } = classes ?? {};
    if (!column || column.kind !== "class" || column.names.length > MOST || camera.solid || column.names.length < 2) {
      this.root.replaceChildren();
      return;
    }
    this.middles ??= middles(places, column);
    if (this.root.childElementCount !== this.middles.length || this.named !== named) this.write(named);
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
    this.named = named;
    this.root.replaceChildren(...this.middles.map(({ name }) => {
      const label = h("span", {}, name.replaceAll("_", " "));
      label.style.color = `color-mix(in srgb, ${named.get(name).colour} 62%, var(--ink))`;
      return label;
    }));
  }
}

/** For each class a place above the middle of its points, the largest class first. */
function middles(places, column) {
  const rows = column.names.map(() => []);
  column.values.forEach((number, row) => number >= 0 && rows[number].push(row));
  const at = (some, axis, share) => Float32Array.from(some, (row) => places[row * 3 + axis]).sort()[Math.floor(some.length * share)];
  return column.names.map((name, number) => ({ name, some: rows[number] })).filter(({ some }) => some.length)
    .sort((a, b) => b.some.length - a.some.length)
    .map(({ name, some }) => ({ name, x: at(some, 0, 0.5), y: at(some, 1, 0.9) }));
}
