// Plays one sound at a time, or a list of sounds in order.
//
// Web Audio plays short sounds, which are fetched completely: it starts much faster than an audio element. The audio
// element plays long sounds and the user's own files, because it streams them.

import { soundOf } from "./api.js";
import { say } from "./dom.js";
import { Sounds } from "./sounds.js";

export class Player extends EventTarget {
  constructor() {
    super();
    this.now = null; // { id, space, sound }
    this.queue = [];
    this.begun = 0; // sounds since the last wish
    this.missed = []; // why some of them could not be had
    this.latency = null; // milliseconds from the wish to the sound
    this.sounds = new Sounds(() => this.wake());
    this.audio = new Audio();
    this.audio.addEventListener("playing", () => this.started());
    this.audio.addEventListener("ended", () => this.next());
    this.audio.addEventListener("error", () => this.now?.sound === this.audio.getAttribute("src") && this.miss(this.now, this.audio.error));
    for (const sign of ["pointermove", "pointerdown", "keydown"]) addEventListener(sign, () => this.wake(), { once: true, capture: true });
  }

  /** The audio context; it is created in advance because that takes 50 ms. */
  wake() {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    return this.context;
  }

  /** Plays the window of a clip from its beginning; resolves when it starts. `sound` may be another address. */
  play(id, space = 0, sound = soundOf(id, space)) {
    this.reset();
    return this.begin({ id, space, sound });
  }

  /** Plays clips in order. */
  playAll(ids, space = 0) {
    this.reset();
    this.queue = ids.map((id) => ({ id, space, sound: soundOf(id, space) }));
    this.next();
  }

  toggle(id, space, sound) {
    if (this.isPlaying(id)) this.stop();
    else this.play(id, space, sound);
  }

  /** Prefetches a clip that may be played next. */
  ahead(id, space = 0) {
    this.sounds.wish(soundOf(id, space));
  }

  stop() {
    this.reset();
    this.now = null;
    this.silence();
    this.tell();
  }

  reset() {
    Object.assign(this, { queue: [], missed: [], begun: 0 });
  }

  isPlaying(id) {
    return this.now?.id === id;
  }

  /** Duration in seconds; NaN until it is known. */
  get length() {
    return this.voice ? this.voice.buffer.duration : this.audio.duration;
  }

  /** Progress, 0 to 1. */
  get place() {
    const passed = this.voice ? this.context.currentTime - this.voice.begun : this.audio.currentTime;
    return Math.min(1, passed / this.length || 0);
  }

  next() {
    const following = this.queue.shift();
    if (following) return this.begin(following);
    const { missed: [first], missed, begun } = this;
    if (first) say(begun > 1 ? `${missed.length} of ${begun} could not be played. ${first}` : first, true);
    this.stop();
  }

  /** A sound that cannot be loaded does not stop a list; it is reported at the end. */
  miss(what, error) {
    if (this.now !== what) return;
    this.missed.push(error instanceof Error && !(error instanceof DOMException) ? error.message : `${what.id}: the browser cannot play it.`);
    this.next();
  }

  async begin(what) {
    if (this.now && this.now.sound !== what.sound) this.sounds.leave(this.now.sound);
    this.silence();
    this.now = what;
    this.begun++;
    this.latency = null;
    this.asked = performance.now();
    this.tell();
    try {
      const buffer = what.sound.startsWith("blob:") ? null : await this.sounds.get(what.sound);
      if (this.now !== what) return;
      if (buffer) return await this.voiceOf(buffer, what);
      this.audio.src = what.sound;
      await this.audio.play();
    } catch (error) {
      this.miss(what, error);
    }
  }

  async voiceOf(buffer, what) {
    const context = this.wake();
    if (context.state !== "running") await context.resume();
    if (this.now !== what) return;
    const voice = Object.assign(context.createBufferSource(), { buffer, begun: context.currentTime });
    voice.addEventListener("ended", () => this.voice === voice && this.next());
    voice.connect(context.destination);
    voice.start();
    this.voice = voice;
    this.started(1000 * context.baseLatency);
  }

  started(later = 0) {
    this.latency ??= performance.now() - this.asked + later;
    this.tell();
  }

  silence() {
    const { voice } = this;
    this.voice = null;
    voice?.stop();
    this.audio.pause();
  }

  tell() {
    const { dataset } = document.body;
    dataset.playing = this.now?.id ?? "";
    dataset.latency = this.latency === null ? "" : this.latency.toFixed(1);
    this.dispatchEvent(new Event("change"));
  }
}
