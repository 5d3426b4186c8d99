// One map on the page: points, marks upon them, names of classes, and what pointers do to it.

import { Camera } from "./camera.js";
import { nameOf } from "./cloud.js";
import { h } from "./dom.js";
import { CHOSEN, DIM, HIDDEN, PLAIN, Renderer } from "./renderer.js";

const NEAR = 14; // pixels within which a point is meant
const MOST_NAMES = 40;

export class Stage {
  /** `hooks`: select(row), hover(row), lasso(rows). */
  constructor(place, cloud, hooks, titled) {
    Object.assign(this, { cloud, hooks, top: titled ? 28 : 0, camera: new Camera(), marks: {}, lassoing: false, path: null, pointers: new Map() });
    this.points = h("canvas", { class: "points", "aria-hidden": "true" });
    this.overlay = h("canvas", { class: "marks" });
    this.names = h("div", { class: "names", "aria-hidden": "true" });
    this.tip = h("div", { class: "tip", hidden: true });
    this.root = h("div", { class: "stage", tabIndex: 0, role: "application", "aria-label": `Map of ${cloud.name}: ${cloud.count} clips. Arrow keys go from clip to clip.` },
      this.points, this.names, this.overlay, this.tip, titled && h("h2", {}, cloud.name));
    place.append(this.root);
    this.renderer = new Renderer(this.points);
    this.states = new Uint8Array(cloud.count).fill(PLAIN);
    this.renderer.setStates(this.states);
    new ResizeObserver(() => this.resize()).observe(this.root);
    this.listen();
  }

  async setLayout(name) {
    const places = await this.cloud.layout(name);
    this.places = places;
    this.camera.solid = this.cloud.dimensions(name) === 3;
    this.camera.hold(places);
    this.camera.fit();
    this.renderer.setPlaces(places);
    this.middles = null;
    this.resize();
  }

  setColours(colours, classes) {
    this.renderer.setColours(colours);
    this.classes = classes;
    this.middles = null;
    this.redraw();
  }

  /** `shown(row)` gives HIDDEN, DIM, PLAIN or CHOSEN. */
  setStates(shown) {
    for (let row = 0; row < this.cloud.count; row++) this.states[row] = shown(row);
    this.renderer.setStates(this.states);
    this.redraw();
  }

  /** selected: row or null; near: rows, the nearest first. */
  setMarks(marks) {
    this.marks = { ...this.marks, ...marks };
    this.redraw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.root;
    this.camera.resize(width || 1, height || 1);
    const ratio = Math.min(2, devicePixelRatio || 1);
    Object.assign(this.overlay, { width: width * ratio, height: height * ratio });
    this.redraw();
  }

  redraw() {
    if (this.waiting || !this.places || !this.renderer.colours) return;
    this.waiting = requestAnimationFrame(() => {
      this.waiting = null;
      this.draw();
    });
  }

  /** Leaves room for what lies upon the map; it moves there in a quarter of a second. */
  makeRoom(inset) {
    const { camera } = this, from = { ...camera.inset }, begun = performance.now();
    const time = matchMedia("(prefers-reduced-motion: reduce)").matches || !this.seen ? 1 : 240;
    const move = () => {
      const share = Math.min(1, (performance.now() - begun) / time), eased = 1 - (1 - share) ** 3;
      for (const side of Object.keys(inset)) camera.inset[side] = from[side] + (inset[side] - from[side]) * eased;
      this.redraw();
      if (share < 1 && this.moving === move) requestAnimationFrame(move);
    };
    this.moving = move;
    move();
  }

  get size() {
    const usual = Math.max(2.4, 12 - 2 * Math.log10(Math.max(10, this.cloud.count)));
    const small = Math.max(0.65, Math.min(1, Math.min(this.camera.width, this.camera.height) / 700));
    return usual * small * Math.min(2.5, this.camera.zoom ** 0.3);
  }

  draw() {
    const begun = performance.now();
    this.seen = this.camera.project(this.places);
    this.root.dataset.drawn = this.renderer.draw(this.camera, this.seen, this.size);
    this.drawMarks();
    this.placeNames();
    this.root.dataset.milliseconds = (performance.now() - begun).toFixed(1);
  }

  at(row) {
    return [this.seen[row * 2], this.seen[row * 2 + 1]];
  }

  drawMarks() {
    const pen = this.overlay.getContext("2d"), ratio = Math.min(2, devicePixelRatio || 1);
    const style = getComputedStyle(this.root);
    const [accent, ink] = [style.getPropertyValue("--accent"), style.getPropertyValue("--ink")];
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, this.overlay.width, this.overlay.height);
    const ring = (row, radius, colour, width) => {
      const [x, y] = this.at(row);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      Object.assign(pen, { strokeStyle: colour, lineWidth: width });
      pen.stroke();
    };
    const { selected, near = [], hovered } = this.marks, radius = this.size / 2 + 3;
    if (selected !== null && selected !== undefined) {
      pen.globalAlpha = 0.45;
      for (const row of near) {
        pen.beginPath();
        pen.moveTo(...this.at(selected));
        pen.lineTo(...this.at(row));
        Object.assign(pen, { strokeStyle: accent, lineWidth: 1 });
        pen.stroke();
      }
      pen.globalAlpha = 1;
      ring(selected, radius + 3, accent, 2.5);
    }
    pen.globalAlpha = 0.8;
    for (const row of near) ring(row, radius, accent, 1);
    pen.globalAlpha = 1;
    if (hovered !== null && hovered !== undefined) ring(hovered, radius, ink, 1.5);
    if (this.path) {
      pen.beginPath();
      this.path.forEach(([x, y], step) => (step ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      Object.assign(pen, { strokeStyle: accent, fillStyle: accent, lineWidth: 1.5 });
      pen.stroke();
      pen.globalAlpha = 0.08;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  /** Class names where their points lie, those first that have the most; none lies over another. */
  placeNames() {
    const { column, named } = this.classes ?? {};
    if (!column || column.kind !== "class" || column.names.length > MOST_NAMES || this.camera.solid || column.names.length < 2) {
      this.names.replaceChildren();
      return;
    }
    this.middles ??= middles(this.places, column);
    if (this.names.childElementCount !== this.middles.length || this.named !== named) {
      this.names.replaceChildren(...this.middles.map(({ name }) => h("span", {}, name.replaceAll("_", " "))));
      [...this.names.children].forEach((each, place) => { each.style.color = `color-mix(in srgb, ${named.get(this.middles[place].name).colour} 62%, var(--ink))`; });
      this.named = named;
    }
    const taken = [], matrix = this.camera.matrix(), { width, height } = this.camera;
    this.middles.forEach(({ name, x, y }, place) => {
      const label = this.names.children[place];
      const px = (x * matrix[0] + matrix[12] + 1) * 0.5 * width, py = (1 - (y * matrix[5] + matrix[13])) * 0.5 * height - this.size - 7;
      const half = name.length * 3.9 + 6, box = [px - half, py - 11, px + half, py + 11];
      const free = box[0] > 0 && box[2] < width && box[1] > this.top && box[3] < height
        && !taken.some((other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]);
      label.hidden = !free;
      if (!free) return;
      taken.push(box);
      label.style.transform = `translate(${px}px, ${py}px) translate(-50%, -50%)`;
    });
  }

  /** The row under a pixel that can be seen, or null. */
  pick(x, y, reach = NEAR) {
    let found = null, least = reach * reach;
    for (let row = 0; row < this.cloud.count; row++) {
      if (this.states[row] < PLAIN) continue;
      const dx = this.seen[row * 2] - x, dy = this.seen[row * 2 + 1] - y, away = dx * dx + dy * dy;
      if (away < least) [found, least] = [row, away];
    }
    return found;
  }

  /** The next clip from a row in a direction on the screen, or null. */
  toward(row, right, down) {
    if (row === null || row === undefined) return this.pick(this.camera.width / 2, this.camera.height / 2, Infinity);
    const [x, y] = this.at(row);
    let found = null, least = Infinity;
    for (let other = 0; other < this.cloud.count; other++) {
      if (other === row || this.states[other] < PLAIN) continue;
      const dx = this.seen[other * 2] - x, dy = this.seen[other * 2 + 1] - y;
      const along = dx * right + dy * down, aside = Math.abs(dx * down) + Math.abs(dy * right);
      if (along < 1 || aside > along) continue;
      const cost = along + 2 * aside;
      if (cost < least) [found, least] = [other, cost];
    }
    return found;
  }

  /** Brings a row into view. */
  reveal(row) {
    if (!this.seen) return;
    this.camera.show(...this.at(row), this.places, row);
    this.redraw();
  }

  listen() {
    const { root } = this;
    const place = (event) => {
      const box = root.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    root.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      root.setPointerCapture(event.pointerId);
      this.pointers.set(event.pointerId, place(event));
      this.moved = 0;
      if ((this.lassoing || event.shiftKey) && this.pointers.size === 1) this.path = [place(event)];
    });
    root.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId), now = place(event);
      if (!before) return event.pointerType === "mouse" && this.hoverAt(...now);
      const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
      this.moved += Math.hypot(dx, dy);
      if (this.path) this.path.push(now);
      else if (this.pointers.size === 2) this.pinch(event.pointerId, now);
      else if (this.moved > 4) this.camera.drag(dx, dy);
      this.pointers.set(event.pointerId, now);
      this.redraw();
    });
    const up = (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      const { path } = this;
      this.path = null;
      if (path && this.moved > 8) this.hooks.lasso(this.inside(path));
      else if (event.type === "pointerup" && this.moved <= 4) this.hooks.select(this.pick(...place(event), event.pointerType === "touch" ? 24 : NEAR));
      this.redraw();
    };
    root.addEventListener("pointerup", up);
    root.addEventListener("pointercancel", up);
    root.addEventListener("pointerleave", () => this.hover(null));
    root.addEventListener("dblclick", () => this.fit());
    root.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.camera.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), ...place(event));
      this.redraw();
    }, { passive: false });
  }

  fit() {
    this.camera.fit();
    this.redraw();
  }

  pinch(moving, now) {
    const [other] = [...this.pointers].filter(([id]) => id !== moving).map(([, at]) => at);
    const before = this.pointers.get(moving), apart = (at) => Math.hypot(at[0] - other[0], at[1] - other[1]) || 1;
    this.camera.zoomBy(apart(now) / apart(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
  }

  hoverAt(x, y) {
    if (!this.seen) return;
    const row = this.pick(x, y);
    if (row === this.marks.hovered) return;
    this.hover(row);
  }

  hover(row) {
    this.tip.hidden = row === null;
    if (row !== null) {
      const { file } = nameOf(this.cloud.ids[row]), [x, y] = this.at(row);
      const words = ["label", "tags"].map((name) => this.cloud.text(name, row)).filter(Boolean);
      this.tip.replaceChildren(h("b", {}, file), ...words.map((word) => h("span", {}, word)));
      this.tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(y - 14)}px) translate(${x > this.camera.width * 0.7 ? -100 : x < this.camera.width * 0.3 ? 0 : -50}%, -100%)`;
    }
    this.setMarks({ hovered: row });
    this.hooks.hover(row);
  }

  /** Rows that can be seen and lie within a path of pixels. */
  inside(path) {
    const found = [];
    for (let row = 0; row < this.cloud.count; row++) {
      if (this.states[row] !== HIDDEN && this.states[row] !== DIM && within(path, ...this.at(row))) found.push(row);
    }
    return found;
  }
}

function within(path, x, y) {
  let is = false;
  for (let a = 0, b = path.length - 1; a < path.length; b = a++) {
    const [ax, ay] = path[a], [bx, by] = path[b];
    if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) is = !is;
  }
  return is;
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

export { CHOSEN, DIM, HIDDEN, PLAIN };
