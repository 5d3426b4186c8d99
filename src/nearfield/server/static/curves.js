// Curves on a canvas: axes with limits and a title, lines, and the update under the pointer.

const POINTS = 600;
const EDGE = { left: 44, right: 8, top: 10, bottom: 32 };

/** Draws `curves` ({ colour, isDashed, points }); `pointer`: pixels from the left, or null. Returns the update under the pointer. */
export function draw(canvas, curves, pointer) {
  const ratio = Math.min(2, devicePixelRatio || 1), width = canvas.clientWidth || 330, height = canvas.clientHeight || 182;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  pen.scale(ratio, ratio);
  const all = curves.flatMap(({ points }) => points);
  if (!all.length) return null;
  const ends = (axis) => all.reduce(([low, high], point) => [Math.min(low, point[axis]), Math.max(high, point[axis])], [Infinity, -Infinity]);
  const [x0, x1] = ends(0), [y0, y1] = ends(1);
  const px = (x) => EDGE.left + ((x - x0) / (x1 - x0 || 1)) * (width - EDGE.left - EDGE.right);
  const py = (y) => height - EDGE.bottom - ((y - y0) / (y1 - y0 || 1)) * (height - EDGE.top - EDGE.bottom);
  Object.assign(pen, { font: "11px system-ui, sans-serif", fillStyle: style.getPropertyValue("--soft"), strokeStyle: style.getPropertyValue("--line") });
  const line = (...points) => { pen.beginPath(); points.forEach(([x, y], step) => (step ? pen.lineTo(x, y) : pen.moveTo(x, y))); pen.stroke(); };
  for (const y of y0 === y1 ? [y0] : [y0, y1]) {
    line([EDGE.left, py(y)], [width - EDGE.right, py(y)]);
    Object.assign(pen, { textAlign: "right" }).fillText(short(y), EDGE.left - 6, py(y) + 4);
  }
  const below = height - EDGE.bottom + 15;
  Object.assign(pen, { textAlign: "left" }).fillText(String(x0), EDGE.left, below);
  if (x1 > x0) Object.assign(pen, { textAlign: "right" }).fillText(String(x1), width - EDGE.right, below);
  Object.assign(pen, { textAlign: "center" }).fillText("update", (EDGE.left + width - EDGE.right) / 2, below);
  const update = pointer === null ? null : nearest(all, x0 + ((pointer - EDGE.left) / (width - EDGE.left - EDGE.right)) * (x1 - x0))[0];
  if (update !== null) line([px(update), EDGE.top], [px(update), height - EDGE.bottom]);
  for (const { colour, isDashed, points } of curves) {
    Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.5, lineJoin: "round" });
    pen.setLineDash(isDashed ? [5, 4] : []);
    line(...points.map(([x, y]) => [px(x), py(y)]));
    if (points.length < 30) for (const [x, y] of points) { pen.beginPath(); pen.arc(px(x), py(y), 2.2, 0, 7); pen.fill(); }
  }
  return { update, left: update === null ? 0 : px(update), width };
}

/** The point with the nearest update. */
export const nearest = (points, update) => points.reduce((best, point) => (best && Math.abs(best[0] - update) <= Math.abs(point[0] - update) ? best : point), null);

/** At most `POINTS` points in order, each the mean of an interval. */
export function thin(points) {
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

export const short = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3 ? value.toExponential(1) : String(+value.toPrecision(3)));
