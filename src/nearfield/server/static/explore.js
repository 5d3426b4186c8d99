// Entry point of the page: opens the maps and connects buttons and keys.

import * as api from "./api.js";
import { choose, clear, step, walk } from "./clip.js";
import { Cloud } from "./cloud.js";
import { $, say } from "./dom.js";
import { bindFiles, forget, searchFile, toggleRecording, want } from "./finding.js";
import { listenToKeys } from "./keys.js";
import { acts, arePictures, clouds, guarded, main, now, player, stages } from "./page.js";
import { markPlaying } from "./panel.js";
import { PLAIN } from "./renderer.js";
import { fillChoices, filter, hoverAll, makeRoom, recolour, setColour, setLayout, unfilter } from "./scene.js";
import { exportSet, followQueue, gather, listenThrough, setLasso, toggleChosen } from "./set.js";
import { repaint } from "./spectrogram.js";
import { Stage } from "./stage.js";
import { Suspects } from "./suspects.js";
import { followTheme } from "./theme.js";

async function start() {
  const turnTheme = followTheme(() => { recolour(); repaint(); });
  const facts = await api.spaces();
  $("watch").hidden = !facts.watches;
  $("mend").hidden = !facts.suspects;
  clouds.push(...await Promise.all(facts.spaces.map((_, number) => Cloud.open(number))));
  $("name").textContent = clouds.map(({ name }) => name).join(" and ");
  document.title = `${main().name} · Nearfield`;
  stages.push(...clouds.map(stageOf));
  $("stages").dataset.count = stages.length;
  document.body.dataset.two = clouds.length > 1 ? "yes" : "no";
  if (arePictures()) speakOfPictures();
  fillChoices();
  teach();
  bind(turnTheme, new Suspects());
  new ResizeObserver(makeRoom).observe($("panel"));
  addEventListener("resize", makeRoom);
  makeRoom();
  await setLayout(main().header.layout);
  setColour($("colour").value);
  document.body.dataset.ready = "yes";
  const asked = idOfAddress();
  if (main().rows.has(asked)) await choose(asked, 0, false);
  else if (asked) say(`The address asks for ${asked}, which is not in this space.`, true);
}

/** The id after the # of the address; not decoded if it cannot be. */
function idOfAddress() {
  const written = location.hash.slice(1);
  try {
    return decodeURIComponent(written);
  } catch {
    return written;
  }
}

function stageOf(cloud) {
  return new Stage($("stages"), cloud, {
    select: (row) => (row === null ? clear() : choose(cloud.ids[row], cloud.number)),
    lasso: (rows) => gather(rows.map((row) => cloud.ids[row])),
    hover: (row) => hoverAll(row === null ? null : cloud.ids[row], cloud),
  }, clouds.length > 1);
}

/** Reports a space that was updated since the server opened it. */
async function tellIfOld() {
  const old = (await api.spaces()).spaces.filter((space) => !space.is_current);
  if (old.length) say(`${old[0].name} has been updated since it was opened here. Restart \`nearfield explore\` to see the new state.`, true);
}

/** A space of images has no controls for sound. */
function speakOfPictures() {
  document.body.dataset.kind = "picture";
  $("record").hidden = true;
  $("file").accept = "image/*";
  $("upload").title = "Search by an image (U)";
  $("drop").firstElementChild.textContent = "Drop an image to search with it";
}

/** Actions of lists and keys on a clip. */
function teach() {
  Object.assign(acts, {
    choose, clear, want, forget, gather, toggleChosen,
    play: (id, space = 0) => (arePictures() ? choose(id, space) : player.toggle(id, space)),
    ahead: (id, space = 0) => !arePictures() && player.ahead(id, space),
    hover: (row, space) => stages[space].setMarks({ hovered: row }),
  });
}

function bind(turnTheme, suspects) {
  window.addEventListener("focus", guarded(tellIfOld));
  $("filter").addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  $("where").addEventListener("search", filter);
  $("where").addEventListener("input", () => !$("where").value && filter()); // emptied by hand too
  $("colour").addEventListener("change", () => setColour($("colour").value));
  $("layout").addEventListener("change", guarded(() => setLayout($("layout").value)));
  $("lasso").addEventListener("click", () => setLasso(!stages[0].lassoing));
  $("mend").addEventListener("click", guarded(() => suspects.open()));
  $("theme").addEventListener("click", turnTheme);
  $("help").addEventListener("click", () => $("keys").showModal());
  player.addEventListener("change", () => { markPlaying(); followQueue(); });
  bindFiles();
  const push = (dx, dy) => () => stages.forEach((stage) => { stage.camera.drag(dx, dy); stage.redraw(); });
  const zoom = (factor) => () => stages.forEach((stage) => { stage.camera.zoomBy(factor); stage.redraw(); });
  const withOpen = (act) => () => now.selected !== null && act(now.selected);
  listenToKeys({
    ArrowLeft: walk(-1, 0), ArrowRight: walk(1, 0), ArrowUp: walk(0, -1), ArrowDown: walk(0, 1),
    ShiftArrowLeft: push(60, 0), ShiftArrowRight: push(-60, 0), ShiftArrowUp: push(0, 60), ShiftArrowDown: push(0, -60),
    "+": zoom(1.25), "=": zoom(1.25), "-": zoom(0.8), "−": zoom(0.8), 0: () => stages.forEach((stage) => stage.fit()),
    " ": () => (player.now ? player.stop() : withOpen(acts.play)()),
    "/": () => $("where").focus(), c: () => $("colour").focus(), m: () => $("layout").focus(),
    j: () => step(1), k: () => step(-1), Enter: () => document.querySelector("li.here .open")?.click(),
    l: () => setLasso(!stages[0].lassoing), a: withOpen(toggleChosen),
    g: () => gather(main().ids.filter((_, row) => stages[0].states[row] >= PLAIN)), x: listenThrough, e: exportSet,
    p: withOpen((id) => want("plus", id)), n: withOpen((id) => want("minus", id)),
    u: () => $("upload").click(), r: toggleRecording, w: () => !$("watch").hidden && $("watch").click(),
    s: () => !$("mend").hidden && ($("mend").focus(), $("mend").click()), y: () => suspects.decide("accepted"), d: () => suspects.decide("rejected"), z: () => suspects.undo(),
    t: turnTheme, "?": () => $("keys").showModal(), Escape: escape,
  });
}

function escape(event) {
  if (event.target.matches("input, select")) return event.target.blur();
  if (stages[0].lassoing) return setLasso(false);
  if (!$("panel").hidden) return $("panel").querySelector(".back, .close").click();
  unfilter();
}

export { choose, clouds, player, searchFile, stages }; // for tests, and for whoever opens the console

start().catch((error) => say(error.message, true));
