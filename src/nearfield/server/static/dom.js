// Builds elements; formats numbers and times.

/** An element with properties (`class`, `data-*` and `aria-*` as attributes, `on*` as listeners) and children. */
export function h(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class" || name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export const $ = (id) => document.getElementById(id);

/** Shows a message, for screen readers too; it disappears by itself. */
export function say(text, isWrong = false) {
  const place = $("said");
  place.textContent = text;
  place.classList.toggle("wrong", isWrong);
  clearTimeout(say.later);
  say.later = setTimeout(() => { place.textContent = ""; }, isWrong ? 9000 : 4000);
}

export const figure = (value, digits = 3) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

export const seconds = (value) => (value < 60 ? `${+value.toFixed(2)} s` : `${Math.floor(value / 60)}:${String(Math.round(value % 60)).padStart(2, "0")} min`);

/** A time within a recording: 31:28, 1:02:03, 0:07.25. */
export function clock(value) {
  const all = Math.round(1000 * value), two = (number) => String(number).padStart(2, "0"), rest = String((all % 1000) / 1000).slice(1);
  const [hours, minutes, last] = [Math.floor(all / 3600000), Math.floor(all / 60000) % 60, Math.floor(all / 1000) % 60];
  return `${hours ? `${hours}:${two(minutes)}` : minutes}:${two(last)}${rest}`;
}

/** Red, green and blue of "#rrggbb". */
export const bytes = (code) => [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));

/** Downloads a file. */
export function download(name, text, type) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
