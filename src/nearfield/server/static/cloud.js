// The points of one space: ids, columns, and the layouts fetched so far.

import { mapOf } from "./api.js";
import { clock } from "./dom.js";

const LEAST = 0.1; // of a cluster has the name that it is called by

export class Cloud {
  static async open(number, layout = "") {
    const cloud = new Cloud();
    const { header, arrays } = await mapOf(number, layout, true);
    cloud.number = number;
    cloud.header = header;
    cloud.name = header.name;
    cloud.count = header.count;
    cloud.layouts = header.layouts;
    cloud.ids = header.count ? new TextDecoder().decode(arrays.get("ids")).split("\0") : [];
    cloud.rows = new Map(cloud.ids.map((id, row) => [id, row]));
    cloud.columns = new Map(header.columns.map((column) => [column.name, {
      ...column, values: arrays.get(column.name), offsets: arrays.get(`${column.name}/offsets`),
    }]));
    cloud.nameClusters();
    cloud.places = new Map([[header.layout, solid(arrays.get("points"), cloud.dimensions(header.layout))]]);
    return cloud;
  }

  /**
   * Names each cluster after its most over-represented label or tag, among those of at least a tenth of its clips.
   * A name that is used again gets a number.
   */
  nameClusters() {
    const clusters = this.columns.get("cluster"), sizes = clusters?.names.map(() => 0), seen = new Map();
    clusters?.values.forEach((cluster) => sizes[cluster]++);
    const words = ["label", "tags"].map((name) => this.columns.get(name)).filter((column) => column?.names).flatMap((column) => this.shares(column, clusters));
    if (!words.length) return;
    clusters.names = clusters.names.map((name, cluster) => {
      const beyond = ({ own, all }) => own[cluster] - (all * sizes[cluster]) / this.count;
      const most = words.reduce((best, word) => (beyond(word) > beyond(best) ? word : best));
      const word = most.own[cluster] < LEAST * sizes[cluster] ? name : most.word;
      seen.set(word, (seen.get(word) ?? 0) + 1);
      return seen.get(word) > 1 ? `${word} ${seen.get(word)}` : word;
    });
  }

  /** Number of clips with each name of a column, in total and in each cluster. */
  shares(column, clusters) {
    const words = column.names.map((word) => ({ word, all: 0, own: clusters.names.map(() => 0) }));
    for (let row = 0; row < this.count; row++) {
      for (const number of column.kind === "set" ? this.tags(row) : [column.values[row]]) {
        if (number < 0) continue;
        words[number].all++;
        words[number].own[clusters.values[row]]++;
      }
    }
    return words;
  }

  dimensions(layout) {
    return this.layouts.find(({ name }) => name === layout).dimensions;
  }

  trust(layout) {
    return this.layouts.find(({ name }) => name === layout).trust;
  }

  /** (N * 3) coordinates from -1 to 1; fetched once. */
  async layout(name) {
    if (!this.places.has(name)) {
      const { arrays } = await mapOf(this.number, name, false);
      this.places.set(name, solid(arrays.get("points"), this.dimensions(name)));
    }
    return this.places.get(name);
  }

  /** The value of a column in a row, as text. */
  text(name, row) {
    const column = this.columns.get(name);
    if (!column) return "";
    if (column.kind === "number") return Number.isFinite(column.values[row]) ? String(+column.values[row].toPrecision(4)) : "";
    if (column.kind === "class") return column.names[column.values[row]] ?? "";
    return this.tags(row).map((number) => column.names[number]).join(" · ");
  }

  /** Numbers of a row's tags. */
  tags(row) {
    const { values, offsets } = this.columns.get("tags");
    return [...values.subarray(offsets[row], offsets[row + 1])];
  }
}

/** Points of two or three dimensions as three, centered; the widest side is from -1 to 1. */
function solid(points, dimensions) {
  const count = points.length / dimensions;
  const low = Array(dimensions).fill(Infinity), high = Array(dimensions).fill(-Infinity);
  for (let at = 0; at < points.length; at++) {
    const axis = at % dimensions;
    if (points[at] < low[axis]) low[axis] = points[at];
    if (points[at] > high[axis]) high[axis] = points[at];
  }
  const half = Math.max(...low.map((value, axis) => high[axis] - value)) / 2 || 1;
  const out = new Float32Array(count * 3);
  for (let row = 0; row < count; row++) {
    for (let axis = 0; axis < dimensions; axis++) {
      out[row * 3 + axis] = (points[row * dimensions + axis] - (low[axis] + high[axis]) / 2) / half;
    }
  }
  return out;
}

const PIECE = /(?:#([\d.]+)-[\d.]+)?(?:@([\d.]+))?$/;

/** The last part of an id, with a time if the clip is a part of a recording ("a.wav@3.000" is "a.wav 0:03"), and the part before it. */
export function nameOf(id) {
  const place = id.lastIndexOf("/"), written = id.slice(place + 1), [piece, start, offset] = written.match(PIECE);
  const time = piece && clock(Number(start ?? 0) + Number(offset ?? 0));
  return { file: [written.slice(0, written.length - piece.length), time].filter(Boolean).join(" "), time, folder: id.slice(0, place + 1) };
}
