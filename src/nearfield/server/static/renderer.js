// Draws points with WebGL 2; draws their density instead if more than 100,000 are in view.
// A browser without WebGL 2 draws on a 2D canvas, which is slower.

import { bytes } from "./dom.js";

const MOST = 100_000;
const CELL = 3; // pixels of a cell of the density

/** State of a point. */
export const HIDDEN = 0, DIM = 1, PLAIN = 2, CHOSEN = 3;

/** The last byte of a point's color: almost opaque; one value means disc, the other ring. */
export const DISC = 235, RING = 234;

const POINTS = [`#version 300 es
in vec3 place; in vec4 colour; in float state;
uniform mat4 matrix; uniform float size; uniform float solid;
out vec4 tint; out float across; out float ring; out float chosen;
void main() {
  gl_Position = matrix * vec4(place, 1.0);
  float near = 1.0 / gl_Position.w;
  float grown = size * (solid > 0.5 ? near * near : 1.0) * (state > 2.5 ? 1.6 : state < 1.5 ? 0.8 : 1.0);
  ring = abs(colour.a * 255.0 - 234.0) < 0.5 ? 1.0 : 0.0;
  chosen = state > 2.5 ? 1.0 : 0.0;
  across = state < 0.5 ? 0.0 : max(grown, 1.5);
  gl_PointSize = across;
  float fog = solid > 0.5 ? clamp(near * 1.15 - 0.35, 0.25, 1.0) : 1.0;
  tint = vec4(colour.rgb, colour.a * fog * (state < 1.5 ? 0.13 : 1.0));
}`, `#version 300 es
precision mediump float;
in vec4 tint; in float across; in float ring; in float chosen; uniform vec3 ink; out vec4 colour;
void main() {
  float away = length(gl_PointCoord * 2.0 - 1.0);
  float pixel = 2.0 / max(across, 3.0);
  float edge = 1.0 - smoothstep(1.0 - (chosen > 0.5 ? 0.8 : 1.5) * pixel, 1.0, away);
  if (ring > 0.5 && chosen < 0.5) edge *= smoothstep(0.5 - pixel, 0.5, away);
  if (across < 1.0 || edge <= 0.0) discard;
  vec3 shown = mix(tint.rgb, ink, chosen * smoothstep(1.0 - 2.4 * pixel, 1.0 - 1.6 * pixel, away));
  colour = vec4(shown * tint.a, tint.a) * edge;
}`];

const PICTURE = [`#version 300 es
const vec2 corners[4] = vec2[](vec2(0, 0), vec2(1, 0), vec2(0, 1), vec2(1, 1));
out vec2 at;
void main() { at = corners[gl_VertexID]; gl_Position = vec4(at.x * 2.0 - 1.0, 1.0 - at.y * 2.0, 0.0, 1.0); }`,
`#version 300 es
precision mediump float;
uniform sampler2D picture; in vec2 at; out vec4 colour;
void main() { vec4 found = texture(picture, at); colour = vec4(found.rgb * found.a, found.a); }`];

/** Returns the renderer that the browser supports. */
export function rendererOf(canvas) {
  const gl = canvas.getContext("webgl2", { antialias: false, premultipliedAlpha: true, alpha: true });
  return gl ? new Renderer(canvas, gl) : new Flat(canvas);
}

class Flat {
  constructor(canvas) {
    Object.assign(this, { canvas, pen: canvas.getContext("2d") });
  }

  setPlaces() {} // it draws where they are projected to

  setColours(colours) {
    this.colours = colours;
  }

  setStates(states) {
    this.states = states;
  }

  draw(camera, projected, size, every = 1) {
    const { canvas, pen, colours, states } = this, ratio = fitted(canvas, camera);
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, camera.width, camera.height);
    for (let row = 0; row < states.length; row += every) {
      if (states[row] === HIDDEN) continue;
      const [red, green, blue, alpha] = colours.subarray(row * 4, row * 4 + 4);
      const isChosen = states[row] === CHOSEN, isRing = alpha === RING && !isChosen;
      pen.fillStyle = pen.strokeStyle = `rgb(${red} ${green} ${blue} / ${(alpha / 255) * (states[row] === DIM ? 0.13 : 1)})`;
      pen.lineWidth = isRing ? size / 4 : 1.2;
      pen.beginPath();
      pen.arc(projected[row * 2], projected[row * 2 + 1], (size / 2) * (isRing ? 0.75 : 1), 0, 7);
      if (!isRing) pen.fill();
      if (isChosen) pen.strokeStyle = inkOf(canvas);
      if (isChosen || isRing) pen.stroke();
    }
    return "points";
  }
}

class Renderer {
  constructor(canvas, gl) {
    Object.assign(this, { canvas, gl });
    this.points = program(gl, ...POINTS);
    this.picture = program(gl, ...PICTURE);
    this.buffers = { place: gl.createBuffer(), colour: gl.createBuffer(), state: gl.createBuffer() };
    this.read = {}; // how each buffer is read
    this.array = gl.createVertexArray();
    this.bare = gl.createVertexArray();
    this.texture = gl.createTexture();
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
  }

  setPlaces(places) {
    this.count = places.length / 3;
    this.fill("place", places, 3, this.gl.FLOAT);
  }

  /** (N * 4) bytes. */
  setColours(colours) {
    this.colours = colours;
    this.fill("colour", colours, 4, this.gl.UNSIGNED_BYTE, true);
  }

  /** (N) of HIDDEN, DIM, PLAIN, CHOSEN. */
  setStates(states) {
    this.states = states;
    this.fill("state", states, 1, this.gl.UNSIGNED_BYTE);
  }

  fill(name, numbers, size, type, whole = false) {
    const { gl } = this;
    this.read[name] = { place: gl.getAttribLocation(this.points, name), size, type, whole, bytes: size * numbers.BYTES_PER_ELEMENT };
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
    gl.bufferData(gl.ARRAY_BUFFER, numbers, gl.STATIC_DRAW);
    gl.enableVertexAttribArray(this.read[name].place);
    this.every = 0;
  }

  /** Reads only every n-th point from the buffers. */
  skip(every) {
    if (every === this.every) return;
    const { gl } = this;
    this.every = every;
    for (const [name, { place, size, type, whole, bytes }] of Object.entries(this.read)) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[name]);
      gl.vertexAttribPointer(place, size, type, whole, bytes * every, 0);
    }
  }

  /** Draws the view of the camera, one point of `every`; returns "points" or "density". */
  draw(camera, projected, size, every = 1) {
    const { gl, canvas } = this, ratio = fitted(canvas, camera);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    const dense = this.count > MOST && inView(projected, camera) > MOST;
    if (dense) this.drawDensity(camera, projected, every);
    else this.drawPoints(camera, size * ratio, every);
    return dense ? "density" : "points";
  }

  drawPoints(camera, size, every) {
    const { gl, points } = this;
    gl.useProgram(points);
    gl.bindVertexArray(this.array);
    this.skip(every);
    gl.uniformMatrix4fv(gl.getUniformLocation(points, "matrix"), false, camera.matrix());
    gl.uniform1f(gl.getUniformLocation(points, "size"), size);
    gl.uniform1f(gl.getUniformLocation(points, "solid"), camera.solid ? 1 : 0);
    gl.uniform3fv(gl.getUniformLocation(points, "ink"), bytes(inkOf(this.canvas)).map((part) => part / 255));
    (camera.solid ? gl.enable : gl.disable).call(gl, gl.DEPTH_TEST);
    gl.drawArrays(gl.POINTS, 0, Math.ceil(this.count / every));
    gl.disable(gl.DEPTH_TEST);
  }

  /** The mean color of each cell; its opacity grows with the logarithm of the number of points. */
  drawDensity(camera, projected, every) {
    const { gl } = this;
    const across = Math.ceil(camera.width / CELL), down = Math.ceil(camera.height / CELL);
    const sums = new Float32Array(across * down * 4);
    let most = 1;
    for (let row = 0; row < this.count; row += every) {
      const x = Math.floor(projected[row * 2] / CELL), y = Math.floor(projected[row * 2 + 1] / CELL);
      if (x < 0 || y < 0 || x >= across || y >= down || this.states[row] < PLAIN) continue;
      const cell = (y * across + x) * 4;
      for (let part = 0; part < 3; part++) sums[cell + part] += this.colours[row * 4 + part];
      if (++sums[cell + 3] > most) most = sums[cell + 3];
    }
    const shown = new Uint8Array(sums.length), scale = 1 / Math.log1p(most);
    for (let cell = 0; cell < sums.length; cell += 4) {
      const count = sums[cell + 3];
      if (!count) continue;
      for (let part = 0; part < 3; part++) shown[cell + part] = sums[cell + part] / count;
      shown[cell + 3] = 40 + 215 * Math.log1p(count) * scale;
    }
    gl.useProgram(this.picture);
    gl.bindVertexArray(this.bare);
    gl.bindTexture(gl.TEXTURE_2D, this.texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, across, down, 0, gl.RGBA, gl.UNSIGNED_BYTE, shown);
    for (const [name, value] of [["MIN_FILTER", "NEAREST"], ["MAG_FILTER", "NEAREST"],
      ["WRAP_S", "CLAMP_TO_EDGE"], ["WRAP_T", "CLAMP_TO_EDGE"]]) {
      gl.texParameteri(gl.TEXTURE_2D, gl[`TEXTURE_${name}`], gl[value]);
    }
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}

const inkOf = (canvas) => getComputedStyle(canvas).getPropertyValue("--ink").trim();

/** Sets the canvas to the screen's resolution; returns device pixels per page pixel. */
function fitted(canvas, camera) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  const [width, height] = [Math.round(camera.width * ratio), Math.round(camera.height * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  return ratio;
}

function inView(projected, { width, height }) {
  let count = 0;
  for (let at = 0; at < projected.length; at += 2) {
    const x = projected[at], y = projected[at + 1];
    if (x >= 0 && y >= 0 && x < width && y < height) count++;
  }
  return count;
}

function program(gl, ...sources) {
  const made = gl.createProgram();
  for (const [place, source] of sources.entries()) {
    const shader = gl.createShader(place ? gl.FRAGMENT_SHADER : gl.VERTEX_SHADER);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return made;
}
