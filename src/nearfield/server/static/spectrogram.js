// The log-mel spectrogram of a clip with axes, the parts of the recording before and after it, and a line at the time that plays.

import { axesOf, logMelOf } from "./api.js";
import { clock, h, seconds } from "./dom.js";
import { acts, player } from "./page.js";
import { theme } from "./theme.js";

const SHORT = 5; // seconds; of clips that are shorter the picture shows what lies around them
const AROUND = 2; // seconds before and after
const HERTZ = [50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000];
const APART = 0.11; // of the height, between two frequencies that are written

/** The spectrogram, which plays on click. `sign` is drawn on it; `instead` replaces it if it cannot be loaded. */
export function logMel(id, cloud, sign, instead) {
  const value = (name) => cloud.columns.get(name)?.values[cloud.rows.get(id)] ?? 0, [start, length] = [value("start"), value("seconds")];
  const around = length < SHORT ? AROUND : 0, line = h("i", { class: "line" }), hertz = h("div", { class: "hertz" }), times = h("figcaption");
  const image = h("img", { src: logMelOf(id, cloud.number, theme(), around), alt: `Log-mel spectrogram of ${id}`, "data-id": id, "data-space": String(cloud.number), "data-around": String(around), onerror: instead });
  const button = h("button", { type: "button", class: "melbutton", title: "Play or stop (Space)", "aria-label": "Play or stop", onclick: () => acts.play(id, cloud.number) }, image, line, sign);
  const made = h("figure", { class: "mel" }, hertz, button, times);
  let share = (place) => place; // of the picture's width, for a share of the clip
  axesOf(id, cloud.number, around).then(({ begin, end, hertz: rows }) => {
    const across = (time) => (time - begin) / (end - begin || 1);
    share = (place) => across(start + place * length);
    hertz.append(...writtenHertz(rows).map(({ name, up }) => at(h("span", {}, name), "bottom", up)));
    times.append(...writtenTimes(begin, end, start, length).map(({ name, time }) => at(h("span", { class: time === begin ? "begin" : time === end ? "end" : "within" }, name), "left", across(time))));
    image.after(...[[0, across(start)], [across(start + length), 1]].filter(([from, to]) => to - from > 0.005).map(([from, to]) => {
      const beyond = at(h("i", { class: "beyond" }), "left", from);
      beyond.style.width = `${100 * (to - from)}%`;
      return beyond;
    }));
  }).catch(() => {}); // the picture says that the file cannot be read
  const follow = () => {
    if (!made.isConnected) return;
    line.style.left = `${100 * share(player.place)}%`;
    line.hidden = !player.isPlaying(id);
    requestAnimationFrame(follow);
  };
  requestAnimationFrame(follow);
  return made;
}

function at(element, side, share) {
  element.style[side] = `${100 * share}%`;
  return element;
}

/** Round frequencies and their heights in the image; `rows` are the frequencies of its rows. */
function writtenHertz(rows) {
  const found = [];
  for (const wanted of HERTZ) {
    const above = rows.findIndex((each) => each >= wanted);
    if (above < 1) continue;
    const up = (above - 0.5 + (wanted - rows[above - 1]) / (rows[above] - rows[above - 1])) / rows.length;
    if (up - (found.at(-1)?.up ?? -1) > APART) found.push({ up, name: wanted < 1000 ? `${wanted} Hz` : `${wanted / 1000} kHz` });
  }
  return found;
}

/** Times of the ends of the image and of the clip within it, without overlaps. */
function writtenTimes(begin, end, start, length) {
  const isPiece = begin > 0 || start > 0, name = (time) => (isPiece ? clock(+time.toFixed(2)) : seconds(time)), span = end - begin || 1;
  const found = [begin, end, start, start + length].reduce((some, time) => (some.every((other) => Math.abs(other - time) / span > 0.15) ? [...some, time] : some), []);
  return found.map((time) => ({ time, name: name(time) }));
}

/** Reloads the images for the current theme. */
export function repaint() {
  for (const image of document.querySelectorAll("img[data-id]")) image.src = logMelOf(image.dataset.id, image.dataset.space, theme(), image.dataset.around);
}
