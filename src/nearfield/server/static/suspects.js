// Review of suspects: listen, decide, undo. The collection does not change.

import * as api from "./api.js";
import { mark } from "./clip.js";
import { nameOf } from "./cloud.js";
import { $, figure, h, say } from "./dom.js";
import { acts, arePictures, guarded, main, player } from "./page.js";
import { hearing, markPlaying, sheet } from "./panel.js";

const KINDS = {
  label: "label", tag_wrong: "wrong tag", tag_missing: "missing tag", duplicate: "duplicate",
  silent: "silent", clipped: "clipped", offset: "constant offset", channel: "broken channel", swapped: "swapped channels",
};

const isOpen = () => $("panel").dataset.sheet === "suspects";
const items = () => [...$("panel").querySelectorAll("li")]; // in the order of those that are listed
const marked = () => items().findIndex((item) => item.classList.contains("here"));

export class Suspects {
  constructor() {
    Object.assign(this, { kind: "", decided: new Map() });
  }

  async open() {
    if (await this.load()) this.draw();
  }

  /** Whether an answer is still current: a later request replaces it. */
  async load() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const [{ suspects, kinds }, { decisions }] = await Promise.all([api.suspects(), api.decisions()]);
    if (turn !== this.turn) return false;
    this.all = suspects;
    this.kinds = kinds;
    this.decided = new Map(decisions.map((each) => [key(each.id, each.kind, each.before, each.after), each.decision]));
    return true;
  }

  get listed() {
    return this.all.filter(({ kind }) => !this.kind || kind === this.kind);
  }

  draw() {
    const pick = h("select", { "aria-label": "Kind", onchange: () => { this.kind = pick.value; this.draw(); } },
      h("option", { value: "" }, "all kinds"), this.kinds.map((kind) => h("option", { value: kind, selected: kind === this.kind }, KINDS[kind] ?? kind)));
    const left = this.listed.filter((each) => !this.decisionOn(each)).length;
    sheet(h("h2", {}, "Suspects", h("small", {}, `${left} of ${this.listed.length} to be decided`)), "suspects", acts.clear,
      h("p", { class: "acts" }, pick, h("button", { type: "button", onclick: () => this.undo(), title: "Take back (Z)" }, "Take back"), h("a", { href: "/decisions.csv", download: "decisions.csv" }, "Decisions")),
      h("ol", { class: "clips suspects" }, this.listed.slice(0, 300).map((each) => this.item(each))));
    markPlaying();
  }

  item(each) {
    const { file } = nameOf(each.id), decision = this.decisionOn(each);
    const choose = (word) => () => this.decideOn(each, word);
    return h("li", { "data-id": each.id, "data-kind": each.kind, "data-proposed": each.proposed ?? "", "data-decision": decision ?? "" },
      hearing(each.id, 0),
      h("button", { type: "button", class: "quiet open", title: each.id, onclick: () => acts.choose(each.id) }, h("b", {}, file), h("span", {}, KINDS[each.kind] ?? each.kind)),
      h("span", { class: "score" }, figure(each.score, 2)),
      h("p", {}, each.reason, " ", h("em", {}, each.suggestion)),
      h("p", { class: "acts" },
        h("button", { type: "button", "aria-pressed": String(decision === "accepted"), onclick: choose("accepted") }, each.proposed ? `Yes: ${each.proposed}` : "Yes"),
        h("button", { type: "button", "aria-pressed": String(decision === "rejected"), onclick: choose("rejected") }, "No, it is right"),
        main().rows.has(each.other) && h("button", { type: "button", class: "other", title: each.other, onclick: () => acts.play(each.other) }, "The other")));
  }

  decisionOn(each) {
    const { id, kind, before, after } = this.change(each);
    return this.decided.get(key(id, kind, before, after)) ?? (each.decision || undefined);
  }

  /** The change that a suspect proposes. */
  change({ id, kind, proposed, reason, column, before, after }) {
    if (column) return { id, kind, column, before: before ?? "", after: after ?? "", reason };
    const word = proposed ?? "";
    const parts = {
      label: { column: "label", before: main().text("label", main().rows.get(id)), after: word },
      tag_wrong: { column: "tags", before: word, after: "" },
      tag_missing: { column: "tags", before: "", after: word },
    }[kind] ?? { column: "use", before: "yes", after: "no" };
    return { id, kind, ...parts, reason };
  }

  /** Decides on the selected clip and moves on; if none is selected, selects and plays the first undecided clip. */
  async decide(word) {
    if (!isOpen() || this.isDeciding) return; // one after the other: the next is to be heard first
    const here = marked();
    if (here < 0) return this.goOn(here);
    this.isDeciding = true;
    const isDone = await this.decideOn(this.listed[here], word);
    this.isDeciding = false;
    if (isDone && isOpen()) this.goOn(here);
  }

  /** Selects and plays the next undecided clip. */
  goOn(from) {
    const all = items(), left = [...all.keys()].filter((place) => !this.decisionOn(this.listed[place]));
    const place = left.find((each) => each > from) ?? left[0];
    if (place === undefined) return say("All of these are decided.");
    mark(all[place]);
    if (!arePictures()) player.play(all[place].dataset.id);
  }

  /** Writes a decision; returns whether it was written. */
  async decideOn(each, word) {
    const change = this.change(each);
    try {
      if (this.decisionOn(each) !== word) await api.decide({ ...change, decision: word });
    } catch (error) {
      say(error.message, true);
      return false;
    }
    this.decided.set(key(change.id, change.kind, change.before, change.after), word);
    this.redraw();
    return true;
  }

  undo = guarded(async () => {
    if (!isOpen()) return $("mend").hidden || say("Z undoes a decision while the suspects are open. Press S first.");
    const { undone } = await api.undo();
    if (!undone) return say("There is no decision yet.");
    say(`Taken back: ${undone.id}`);
    if (!await this.load()) return;
    this.redraw();
    const place = this.listed.findIndex((each) => isOf(this.change(each), undone));
    if (isOpen() && items()[place]) mark(items()[place]);
  });

  /** Keeps the position in the list after a decision. */
  redraw() {
    if (!isOpen()) return;
    const scrolled = $("panel").scrollTop, here = marked();
    this.draw();
    $("panel").scrollTop = scrolled;
    items()[here]?.classList.add("here");
  }
}

const isOf = (change, decision) => ["id", "kind", "before", "after"].every((name) => change[name] === decision[name]);
const key = (...parts) => parts.join("\0");
