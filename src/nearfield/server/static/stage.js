// One map: points, marks, names of classes, and pointer input.

import { pictureOf } from "./api.js";
import { Camera } from "./camera.js";
import { nameOf } from "./cloud.js";
import { h } from "./dom.js";
import { drawMarks } from "./marks.js";
import { Names } from "./names.js";
import { PLAIN, rendererOf } from "./renderer.js";

const NEAR = 14; // pixels within which a point is meant
const SLOW = 34, QUICK = 20; // milliseconds from frame to frame while the map moves
const REST = 160; // milliseconds after which it has come to rest
const FEW = 10_000; // points that are never thinned out

export class Stage {
  /** `hooks`: select(row), hover(row), lasso(rows). */
  constructor(place, cloud, hooks, titled) {
    Object.assign(this, { cloud, hooks, top: titled ? 28 : 0, camera: new Camera(), marks: {}, every: 1, lassoing: false, path: null, pointers: new Map() });
    this.points = h("canvas", { class: "points", "aria-hidden": "true" });
    this.overlay = h("canvas", { class: "marks" });
    this.names = new Names();
    this.tip = h("div", { class: "tip", hidden: true });
    this.root = h("div", { class: "stage", tabIndex: 0, role: "application", "aria-label": `Map of ${cloud.name}: ${cloud.count} clips. Arrow keys go from clip to clip.` },
      this.points, this.names.root, this.overlay, this.tip, titled && h("h2", {}, cloud.name));
    place.append(this.root);
    this.renderer = rendererOf(this.points);
    this.states = new Uint8Array(cloud.count).fill(PLAIN);
    this.renderer.setStates(this.states);
    new ResizeObserver(() => this.resize()).observe(this.root);
    this.listen();
  }

  async setLayout(name) {
    const places = await this.cloud.layout(name);
    this.places = places;
    this.camera.is3d = this.cloud.dimensions(name) === 3;
    this.camera.hold(places);
    this.camera.fit();
    this.renderer.setPlaces(places);
    this.names.forget();
    this.resize();
  }

  setColours(colours, classes) {
    this.renderer.setColours(colours);
    this.classes = classes;
    this.names.forget();
    this.redraw();
  }

  /** `shown(row)` returns HIDDEN, DIM, PLAIN or CHOSEN. */
  setStates(shown) {
    for (let row = 0; row < this.cloud.count; row++) this.states[row] = shown(row);
    this.renderer.setStates(this.states);
    this.redraw();
  }

  /** selected: row or null; near: rows, the nearest first. */
  setMarks(marks) {
    this.marks = { ...this.marks, ...marks };
    this.redraw(false);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.root;
    this.camera.resize(width || 1, height || 1);
    const ratio = Math.min(2, devicePixelRatio || 1);
    Object.assign(this.overlay, { width: width * ratio, height: height * ratio });
    this.redraw();
  }

  /** Schedules a redraw for the next frame: everything, or the marks only. */
  redraw(all = true) {
    this.stale ||= all;
    if (this.waiting || !this.places || !this.renderer.colours) return;
    this.waiting = requestAnimationFrame((time) => {
      const { stale } = this;
      Object.assign(this, { waiting: null, stale: false });
      if (stale) this.thin(time);
      if (stale) this.draw();
      else this.drawMarks();
    });
  }

  /** While the map moves and frames are slow, only every n-th point is drawn; all of them when it stops. */
  thin(time) {
    const passed = time - (this.drawnAt ?? -Infinity);
    this.drawnAt = time;
    clearTimeout(this.resting);
    if (passed > REST) this.every = 1;
    else if (passed > SLOW && this.cloud.count / this.every > FEW) this.every *= 2;
    else if (passed < QUICK) this.every = Math.max(1, this.every / 2);
    if (this.every > 1) this.resting = setTimeout(() => { this.drawnAt = -Infinity; this.redraw(); }, REST);
  }

  /** Leaves room for what covers the map; moves there within 0.25 s. */
  makeRoom(inset) {
    const { camera } = this, from = { ...camera.inset }, begun = performance.now();
    const time = matchMedia("(prefers-reduced-motion: reduce)").matches || !this.seen ? 1 : 240;
    const move = () => {
      const share = Math.min(1, (performance.now() - begun) / time), eased = 1 - (1 - share) ** 3;
      for (const side of Object.keys(inset)) camera.inset[side] = from[side] + (inset[side] - from[side]) * eased;
      this.redraw();
      if (this.moving !== move) return;
      if (share < 1) return requestAnimationFrame(move);
      this.moving = null;
      if (this.pointer) requestAnimationFrame(() => this.pointer && this.hoverAt(...this.pointer)); // another point may be there now
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
    this.root.dataset.drawn = this.renderer.draw(this.camera, this.seen, this.size, this.every);
    this.drawMarks();
    this.placeTip();
    this.names.place(this);
    this.root.dataset.milliseconds = (performance.now() - begun).toFixed(1);
  }

  at(row) {
    return [this.seen[row * 2], this.seen[row * 2 + 1]];
  }

  drawMarks() {
    drawMarks(this.overlay, this.root, this.marks, { at: (row) => this.at(row), radius: this.size / 2 + 3, path: this.path });
  }

  /** The visible row under a pixel, or null. */
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

  /** Whether nothing moves and everything has been drawn. */
  get rests() {
    return !this.moving && !this.waiting && this.every === 1;
  }

  /** Brings a row into view. */
  reveal(row) {
    if (!this.seen) return;
    if (this.camera.show(...this.at(row), this.places, row)) this.redraw();
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
      if (event.pointerType === "mouse") this.pointer = now;
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
    root.addEventListener("pointerleave", () => { this.pointer = null; this.hover(null); });
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
      const { file } = nameOf(this.cloud.ids[row]);
      const words = ["label", "tags"].map((name) => this.cloud.text(name, row)).filter(Boolean);
      const seen = this.cloud.header?.kind === "picture" ? [h("img", { src: pictureOf(this.cloud.ids[row], this.cloud.number, 160), alt: "" })] : [];
      this.tip.dataset.id = this.cloud.ids[row];
      this.tip.replaceChildren(...seen, h("b", {}, file), ...words.map((word) => h("span", {}, word)));
    }
    this.setMarks({ hovered: row });
    this.placeTip();
    this.hooks.hover(row);
  }

  /** Keeps the tooltip over its point when the map moves. */
  placeTip() {
    const { hovered } = this.marks;
    if (this.tip.hidden || hovered === null || hovered === undefined) return;
    const [x, y] = this.at(hovered), { width } = this.camera;
    this.tip.style.transform = `translate(${Math.round(x)}px, ${Math.round(y - 14)}px) translate(${x > width * 0.7 ? -100 : x < width * 0.3 ? 0 : -50}%, -100%)`;
  }

  /** Visible rows inside a path of pixels. */
  inside(path) {
    const found = [];
    for (let row = 0; row < this.cloud.count; row++) {
      if (this.states[row] >= PLAIN && within(path, ...this.at(row))) found.push(row);
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
