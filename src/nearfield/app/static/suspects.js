// Clips that look wrong, one after the other: listen, decide, take back. The collection stays as it is.

import * as api from "./api.js";
import { nameOf } from "./cloud.js";
import { figure, h, say } from "./dom.js";
import { acts, main } from "./page.js";
import { hearing, markPlaying, sheet } from "./panel.js";

const KINDS = {
  label: "label", tag_wrong: "tag that does not belong", tag_missing: "tag that is missing", duplicate: "duplicate",
  silent: "silent", clipped: "clipped", offset: "constant offset", channel: "broken channel", swapped: "swapped channels",
};

export class Suspects {
  constructor() {
    Object.assign(this, { kind: "", decided: new Map() });
  }

  async open() {
    const turn = this.turn = (this.turn ?? 0) + 1;
    const [{ suspects, kinds }, { decisions }] = await Promise.all([api.suspects(), api.decisions()]);
    if (turn !== this.turn) return; // asked again meanwhile: the later answer counts
    this.all = suspects;
    this.kinds = kinds;
    this.decided = new Map(decisions.map((each) => [key(each.id, each.kind, each.before, each.after), each.decision]));
    this.draw();
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
      h("span", { class: "distance" }, figure(each.score, 2)),
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

  /** The change that a suspect stands for. */
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

  /** Decides on the clip that is marked, or on the first that nobody decided on. */
  decide(word) {
    const panel = document.querySelector("#panel[data-sheet=suspects]");
    if (!panel) return;
    const here = panel.querySelector("li.here");
    const found = here
      ? this.listed.find((each) => each.id === here.dataset.id && each.kind === here.dataset.kind && (each.proposed ?? "") === here.dataset.proposed)
      : this.listed.find((each) => !this.decisionOn(each));
    if (found) this.decideOn(found, word);
  }

  async decideOn(each, word) {
    const change = this.change(each);
    try {
      await api.decide({ ...change, decision: word });
    } catch (error) {
      return say(error.message, true);
    }
    this.decided.set(key(change.id, change.kind, change.before, change.after), word);
    this.redraw();
  }

  async undo() {
    if (!this.all) return;
    const { undone } = await api.undo();
    if (!undone) return say("Nothing was decided yet.");
    say(`Taken back: ${undone.id}`);
    await this.open();
  }

  /** The same place in the list after a decision. */
  redraw() {
    const panel = document.querySelector("#panel"), scrolled = panel.scrollTop, here = panel.querySelector("li.here")?.dataset.id;
    this.draw();
    panel.scrollTop = scrolled;
    if (here) [...panel.querySelectorAll("li")].find((item) => item.dataset.id === here)?.classList.add("here");
  }
}

const key = (...parts) => parts.join("\0");
