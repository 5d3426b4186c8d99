// Maps coordinates from -1 to 1 to pixels: with pan and zoom in two dimensions, with rotation in three.

const FAR = 3.2;

export class Camera {
  constructor() {
    this.fit();
    this.is3d = false;
    this.inset = { left: 0, right: 0, bottom: 0 }; // pixels that other things lie upon
  }

  /** Shows the whole map. */
  fit() {
    Object.assign(this, { x: 0, y: 0, zoom: 1, yaw: 0.6, pitch: 0.35 });
  }

  /** Half width and half height of the view when the whole map is visible. */
  hold(places) {
    this.reach = [0, 1].map((axis) => {
      let most = 1e-3;
      for (let at = axis; at < places.length; at += 3) most = Math.max(most, Math.abs(places[at]));
      return this.is3d ? 1 : most;
    });
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
  }

  get unit() {
    const [right, up] = this.reach ?? [1, 1];
    const { left, right: taken, bottom } = this.inset;
    const across = Math.max(120, this.width - left - taken), down = Math.max(120, this.height - bottom);
    return Math.min(across / 2 / right, down / 2 / up) * 0.9 * this.zoom;
  }

  /** Pixel coordinates of the center. */
  get middle() {
    const { left, right, bottom } = this.inset;
    return [(this.width + left - right) / 2, (this.height - bottom) / 2];
  }

  /** Pans by a number of pixels; rotates in three dimensions. */
  drag(dx, dy) {
    if (this.is3d) {
      this.yaw += dx * 0.008;
      this.pitch = Math.max(-1.5, Math.min(1.5, this.pitch + dy * 0.008));
    } else {
      this.x -= dx / this.unit;
      this.y += dy / this.unit;
    }
  }

  /** Zooms; the point under the given pixel stays in place. */
  zoomBy(factor, px = this.middle[0], py = this.middle[1]) {
    const before = this.unit;
    this.zoom = Math.max(0.5, Math.min(this.is3d ? 12 : 4000, this.zoom * factor));
    if (this.is3d) return;
    this.x += (px - this.middle[0]) * (1 / before - 1 / this.unit);
    this.y -= (py - this.middle[1]) * (1 / before - 1 / this.unit);
  }

  /** Moves the view if a point is outside; returns whether it moved. */
  show(px, py, places, row) {
    const margin = 40, { left, right, bottom } = this.inset;
    if (this.is3d || (px > left + margin && py > margin && px < this.width - right - margin && py < this.height - bottom - margin)) return false;
    this.x = places[row * 3];
    this.y = places[row * 3 + 1];
    return true;
  }

  /** Column-major, for WebGL. */
  matrix() {
    const across = (2 * this.unit) / this.width, up = (2 * this.unit) / this.height;
    const [mx, my] = this.middle, aside = (2 * mx) / this.width - 1, lift = 1 - (2 * my) / this.height;
    if (!this.is3d) {
      return new Float32Array([across, 0, 0, 0, 0, up, 0, 0, 0, 0, 0, 0, aside - this.x * across, lift - this.y * up, 0, 1]);
    }
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    // Rows of the rotation matrix: right, up, towards the eye. The component w makes nearer points larger.
    const right = [cy, 0, sy], above = [sy * sp, cp, -cy * sp], front = [-sy * cp, sp, cy * cp];
    const columns = [];
    for (let axis = 0; axis < 3; axis++) {
      const nearer = -front[axis] / FAR; // of w; what is moved aside is multiplied by it again
      columns.push(right[axis] * across + aside * nearer, above[axis] * up + lift * nearer, -front[axis] * 0.4, nearer);
    }
    return new Float32Array([...columns, aside, lift, 0, 1]);
  }

  /** Pixel coordinates (N * 2) and depths of all points, in one pass. */
  project(places) {
    const count = places.length / 3, m = this.matrix();
    const out = this.projected?.length === count * 2 ? this.projected : (this.projected = new Float32Array(count * 2));
    for (let row = 0, at = 0; row < count; row++, at += 3) {
      const x = places[at], y = places[at + 1], z = places[at + 2];
      const w = m[3] * x + m[7] * y + m[11] * z + m[15];
      out[row * 2] = (((m[0] * x + m[4] * y + m[8] * z + m[12]) / w) * 0.5 + 0.5) * this.width;
      out[row * 2 + 1] = (0.5 - ((m[1] * x + m[5] * y + m[9] * z + m[13]) / w) * 0.5) * this.height;
    }
    return out;
  }
}
