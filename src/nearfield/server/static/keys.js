// Keyboard: every key, its action, and its text in the list of keys.

import { $, h } from "./dom.js";
import { arePictures } from "./page.js";

const WORDS = [ // keys, what they do, what they do where there are pictures and no sounds
  ["← ↑ → ↓", "from clip to clip on the map"],
  ["Space", "play or stop", null],
  ["J  K", "down and up in a list"],
  ["Enter", "open the marked clip of a list"],
  ["/", "filter"],
  ["C  M", "choose colors, choose the map"],
  ["+  −  0", "nearer, farther, all"],
  ["Shift ← ↑ → ↓", "move the map; turn it in three dimensions"],
  ["L", "lasso; Shift and drag does the same"],
  ["A", "put the clip into the set, or take it out"],
  ["G", "make a set of all visible clips"],
  ["X", "play the set, or stop", null],
  ["E", "export the set as CSV"],
  ["P  N", "more like the clip, less like it"],
  ["U", "search with a sound file", "search with an image"],
  ["R", "record to search; again to stop", null],
  ["S", "suspects; then Y accepts, D dismisses, Z undoes"],
  ["W", "training curves"],
  ["T", "light or dark"],
  ["Esc", "back, close, clear"],
  ["?", "this list"],
];

/** `acts`: the action of each key by name. Keys in text fields are ignored. */
export function listenToKeys(acts) {
  const words = WORDS.map(([keys, what, pictured = what.replaceAll(/\ba clip\b/g, "an image").replaceAll("clip", "image")]) => [keys, arePictures() ? pictured : what]);
  $("keys").querySelector("dl").replaceChildren(...words.filter(([, what]) => what).flatMap(([keys, what]) => [h("dt", {}, keys.split("  ").map((key) => h("kbd", {}, key))), h("dd", {}, what)]));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if ($("keys").open) return;
    const typing = event.target.matches("input, select, textarea");
    if (typing && event.key !== "Escape") return;
    if (event.target.matches("button, a, summary") && ["Enter", " "].includes(event.key)) return;
    // arrow keys scroll the focused element; the closed list of keys keeps the focus for a moment
    if (event.key.startsWith("Arrow") && !event.target.matches("body, .stage, #keys *")) return;
    if (event.repeat && "yd".includes(event.key)) return; // a key that is held decides on one suspect
    const name = (event.shiftKey && event.key.startsWith("Arrow") ? "Shift" : "") + (event.key.length === 1 ? event.key.toLowerCase() : event.key);
    const act = acts[name];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
}
