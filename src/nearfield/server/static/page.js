// What the parts of the page share: the spaces and their maps, the player, what is chosen, what can be done.

import { say } from "./dom.js";
import { Player } from "./player.js";

export const clouds = [], stages = []; // one of each for every space; filled once they are there
export const player = new Player();
export const chosen = new Set(); // ids of the set, in order
export const now = { selected: null }; // the id of the clip that is open

/** What can be done with clips, by name; the lists and the keys call it, the parts of the page put it here. */
export const acts = {};

export const main = () => clouds[0];
export const arePictures = () => main().header.kind === "picture";

/** The same function; what it raises is said to whoever looks. */
export const guarded = (act) => async (...given) => {
  try {
    return await act(...given);
  } catch (error) {
    say(error.message, true);
  }
};
