// State that the modules of the page share: spaces, maps, player, selection, actions.

import { say } from "./dom.js";
import { Player } from "./player.js";

export const clouds = [], stages = []; // one of each for every space; filled once they are there
export const player = new Player();
export const chosen = new Set(); // ids of the set, in order
export const now = { selected: null }; // the id of the clip that is open

/** Actions on clips by name: modules register them here; lists and keys call them. */
export const acts = {};

export const main = () => clouds[0];
export const arePictures = () => main().header.kind === "picture";

/** Wraps a function so that its errors are shown on the page. */
export const guarded = (act) => async (...given) => {
  try {
    return await act(...given);
  } catch (error) {
    say(error.message, true);
  }
};
