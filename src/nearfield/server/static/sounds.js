// Cache of decoded sounds, with prefetching; the oldest are removed.

const MOST = 16 * 2 ** 20; // bytes of a sound that is fetched whole
const MOST_AHEAD = 2 ** 20; // bytes of one that nobody has asked for yet
const MOST_KEPT = 96 * 2 ** 20; // bytes of all that are kept, decoded
const REST = 60; // milliseconds that a pointer rests on a clip before it is fetched
const AT_ONCE = 2; // sounds fetched ahead at a time
const WISHES = 6; // the latest of them that still count

export class Sounds {
  /** `context()` returns the audio context that decodes. */
  constructor(context) {
    Object.assign(this, { context, kept: new Map(), wishes: [], ahead: 0 });
  }

  /** The decoded sound at an address; null if it is too long to fetch completely. */
  get(address) {
    const known = this.kept.get(address) ?? this.load(address, MOST);
    this.kept.delete(address); // the last to be used is the last to be forgotten
    this.kept.set(address, known);
    return known.sound;
  }

  /** Cancels requests in progress. */
  leave(address) {
    const known = this.kept.get(address);
    if (!known || known.bytes) return;
    known.stop.abort();
    this.kept.delete(address);
  }

  /** Prefetches a sound when no other request is in progress. */
  wish(address) {
    if (this.kept.has(address)) return;
    this.wishes = [...this.wishes.filter((other) => other !== address), address].slice(-WISHES);
    clearTimeout(this.later);
    this.later = setTimeout(() => this.grant(), REST);
  }

  grant() {
    while (this.ahead < AT_ONCE && this.wishes.length) {
      const address = this.wishes.pop();
      if (this.kept.has(address)) continue;
      this.ahead++;
      const known = this.load(address, MOST_AHEAD);
      this.kept.set(address, known);
      known.sound.catch(() => {}).finally(() => { this.ahead--; this.grant(); });
    }
  }

  load(address, most) {
    const known = { bytes: 0, stop: new AbortController() };
    known.sound = this.fetch(address, most, known.stop).then((buffer) => {
      if (buffer) known.bytes = buffer.length * buffer.numberOfChannels * 4;
      else if (this.kept.get(address) === known) this.kept.delete(address);
      this.forget();
      return buffer;
    }, (error) => {
      if (this.kept.get(address) === known) this.kept.delete(address);
      throw error;
    });
    return known;
  }

  async fetch(address, most, stop) {
    const reply = await fetch(address, { signal: stop.signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("The server does not answer: is `nearfield explore` still running?");
    });
    if (!reply.ok) throw new Error((await reply.json().catch(() => null))?.detail ?? reply.statusText);
    if (Number(reply.headers.get("content-length")) <= most) return this.context().decodeAudioData(await reply.arrayBuffer());
    stop.abort();
    return null;
  }

  /** Removes the oldest until the rest fits. */
  forget() {
    let bytes = 0;
    for (const known of this.kept.values()) bytes += known.bytes;
    for (const [address, known] of this.kept) {
      if (bytes <= MOST_KEPT) return;
      bytes -= known.bytes;
      if (known.bytes) this.kept.delete(address);
    }
  }
}
