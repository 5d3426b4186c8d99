// Requests to the server of this page; there are no others.

/** Throws an Error with the server's message and `status` if the server refuses. */
async function ask(path, options) {
  const reply = await fetch(path, options).catch(() => {
    throw new Error("The server does not answer: is `nearfield explore` still running?");
  });
  if (reply.ok) return reply;
  const said = await reply.json().catch(() => null);
  const detail = said && said.detail;
  const error = new Error(typeof detail === "string" ? detail : `${reply.status} ${reply.statusText}`);
  throw Object.assign(error, { status: reply.status });
}

const json = async (path, options) => (await ask(path, options)).json();

export const spaces = () => json("/spaces");
export const clipOf = (id, space = 0) => json(`${clipPath(id)}?space=${space}`);
export const suspects = () => json("/suspects");
export const decisions = () => json("/decisions");
export const undo = () => json("/decisions/undo", { method: "POST" });
export const runs = () => json("/runs");
export const metrics = (name, after) => json(`/runs/${encodeURIComponent(name)}/metrics?after=${after}`);

export const decide = (decision) => json("/decisions", {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(decision),
});

const clipPath = (id) => `/clips/${encodeURIComponent(id)}`;
export const soundOf = (id, space = 0) => `${clipPath(id)}/audio?space=${space}`;
export const logMelOf = (id, space, theme, around) => `${clipPath(id)}/spectrogram?space=${space}&theme=${theme}&around=${around}`;
export const axesOf = (id, space, around) => json(`${clipPath(id)}/axes?space=${space}&around=${around}`);
export const pictureOf = (id, space = 0, side = 768) => `${clipPath(id)}/picture?space=${space}&side=${side}`;

/** One layout of a space; `columns` adds the columns and the ids. */
export async function mapOf(space, layout, columns) {
  const reply = await ask(`/map?space=${space}&layout=${layout}&columns=${columns}`);
  return unpack(await reply.arrayBuffer());
}

/** Numbers of the rows that match a filter. */
export async function rowsWhere(where, space) {
  const reply = await ask(`/rows?space=${space}&where=${encodeURIComponent(where)}`);
  return new Uint32Array(await reply.arrayBuffer());
}

/** Nearest clips. `query`: clip, file, plus, minus, where, diverse, top, space. */
export function search(query) {
  const form = new FormData();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === "") continue;
    for (const each of Array.isArray(value) ? value : [value]) form.append(name, each);
  }
  return json("/search", { method: "POST", body: form });
}

const TYPES = {
  float32: Float32Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, int32: Int32Array,
};

function unpack(body) {
  const length = new DataView(body).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(body, 4, length)));
  const arrays = new Map();
  for (const { name, type, offset, length: count } of header.arrays) {
    arrays.set(name, new TYPES[type](body, 4 + length + offset, count));
  }
  return { header, arrays };
}
