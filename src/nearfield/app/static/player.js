// One sound at a time; a list is played through, one after the other.
//
// Short sounds are fetched whole and started by Web Audio, which takes a fraction of the time that an audio element
// takes to start; long ones, and files of the reader's own, are left to the element, which streams them.

import { soundOf } from "./api.js";

const MOST = 16 * 2 ** 20; // bytes of a sound that is fetched whole

export class Player extends EventTarget {
  constructor() {
    super();
    this.now = null; // { id, space, sound }
    this.queue = [];
    this.latency = null; // milliseconds from the wish to the sound
    this.audio = new Audio();
    this.audio.addEventListener("playing", () => this.started());
    this.audio.addEventListener("ended", () => this.next());
    this.audio.addEventListener("error", () => this.now && this.audio.src && this.next());
  }

  /** Plays the window of a clip from its beginning. `sound` may be an address of its own. */
  play(id, space = 0, sound = soundOf(id, space)) {
    this.queue = [];
    this.begin({ id, space, sound });
  }

  /** Plays clips one after the other. */
  playAll(ids, space = 0) {
    this.queue = ids.map((id) => ({ id, space, sound: soundOf(id, space) }));
    this.next();
  }

  toggle(id, space, sound) {
    if (this.isPlaying(id)) this.stop();
    else this.play(id, space, sound);
  }

  stop() {
    this.queue = [];
    this.now = null;
    this.silence();
    this.tell();
  }

  isPlaying(id) {
    return this.now?.id === id;
  }

  /** Seconds of the sound; NaN until it is known. */
  get length() {
    return this.voice ? this.voice.buffer.duration : this.audio.duration;
  }

  /** How far it is, 0 to 1. */
  get place() {
    const passed = this.voice ? this.context.currentTime - this.voice.begun : this.audio.currentTime;
    return Math.min(1, passed / this.length || 0);
  }

  next() {
    const following = this.queue.shift();
    if (following) this.begin(following);
    else this.stop();
  }

  async begin(what) {
    this.silence();
    this.now = what;
    this.latency = null;
    this.asked = performance.now();
    this.tell();
    try {
      const whole = what.sound.startsWith("blob:") ? null : await this.fetch(what.sound);
      if (this.now !== what) return;
      if (whole) return await this.voiceOf(whole, what);
      this.audio.src = what.sound;
      await this.audio.play();
    } catch {
      if (this.now === what) this.next(); // a file that is gone stops no list
    }
  }

  /** The bytes of a sound, or null where they are many. */
  async fetch(sound) {
    this.fetching = new AbortController();
    const reply = await fetch(sound, { signal: this.fetching.signal });
    if (!reply.ok) throw new Error(reply.statusText);
    if (Number(reply.headers.get("content-length")) <= MOST) return reply.arrayBuffer();
    this.fetching.abort();
    return null;
  }

  async voiceOf(bytes, what) {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    const buffer = await this.context.decodeAudioData(bytes);
    if (this.context.state !== "running") await this.context.resume();
    if (this.now !== what) return;
    const voice = Object.assign(this.context.createBufferSource(), { buffer, begun: this.context.currentTime });
    voice.addEventListener("ended", () => this.voice === voice && this.next());
    voice.connect(this.context.destination);
    voice.start();
    this.voice = voice;
    this.started(1000 * this.context.baseLatency);
  }

  started(later = 0) {
    this.latency ??= performance.now() - this.asked + later;
    this.tell();
  }

  silence() {
    this.fetching?.abort();
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
