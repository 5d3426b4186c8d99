// Marks over the points: the open clip, its neighbors, the clip under the pointer, the lasso.

/** Redraws a canvas in the colors of `root`. `view`: at(row) in pixels, radius of a ring, path of the lasso. */
export function drawMarks(canvas, root, { selected, near = [], hovered }, { at, radius, path }) {
  const pen = canvas.getContext("2d"), ratio = Math.min(2, devicePixelRatio || 1), style = getComputedStyle(root);
  const [accent, ink] = ["--accent", "--ink"].map((name) => style.getPropertyValue(name));
  canvas.width = canvas.width; // empties it; Chromium does not show a frame in which clearRect is all there is
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const ring = (row, wide, colour, width) => {
    pen.beginPath();
    pen.arc(...at(row), wide, 0, 7);
    Object.assign(pen, { strokeStyle: colour, lineWidth: width });
    pen.stroke();
  };
  const isThere = (row) => row !== null && row !== undefined;
  canvas.hidden = !(isThere(selected) || near.length || isThere(hovered) || path); // Chromium goes on showing what an emptied canvas had
  if (isThere(selected)) {
    pen.globalAlpha = 0.25;
    for (const row of near) {
      pen.beginPath();
      pen.moveTo(...at(selected));
      pen.lineTo(...at(row));
      Object.assign(pen, { strokeStyle: accent, lineWidth: 1 });
      pen.stroke();
    }
    pen.globalAlpha = 1;
    ring(selected, radius + 3, accent, 2);
  }
  pen.globalAlpha = 0.7;
  for (const row of near) ring(row, radius - 1.5, accent, 1);
  pen.globalAlpha = 1;
  if (isThere(hovered)) ring(hovered, radius, ink, 1.5);
  if (path) drawPath(pen, path, accent);
}

function drawPath(pen, path, colour) {
  pen.beginPath();
  path.forEach(([x, y], step) => (step ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
  Object.assign(pen, { strokeStyle: colour, fillStyle: colour, lineWidth: 1.5 });
  pen.stroke();
  pen.globalAlpha = 0.08;
  pen.fill();
  pen.globalAlpha = 1;
}
