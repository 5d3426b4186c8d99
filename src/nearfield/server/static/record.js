// Converts recordings, and formats that only the browser decodes, to WAV for the server.

const MOST_SECONDS = 30;

/** Starts recording; returns a function that stops and returns a WAV file. Throws if there is no microphone. */
export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const recorder = new MediaRecorder(stream), pieces = [];
  recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
  const stopped = new Promise((done) => recorder.addEventListener("stop", done));
  const limit = setTimeout(() => recorder.state === "recording" && recorder.stop(), MOST_SECONDS * 1000);
  recorder.start();
  return async () => {
    clearTimeout(limit);
    if (recorder.state === "recording") recorder.stop();
    await stopped;
    stream.getTracks().forEach((track) => track.stop());
    return toWav(new Blob(pieces), "recording.wav");
  };
}

/** Decodes in the browser and returns 16-bit WAV, mixed to one channel. */
export async function toWav(blob, name) {
  const context = new OfflineAudioContext(1, 1, 44100);
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  const view = new DataView(new ArrayBuffer(44 + sound.length * 2));
  const text = (at, word) => [...word].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + sound.length * 2, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, sound.sampleRate * 2, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, sound.length * 2, true);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, number) => sound.getChannelData(number));
  for (let at = 0; at < sound.length; at++) {
    let value = 0;
    for (const channel of channels) value += channel[at] / channels.length;
    view.setInt16(44 + at * 2, Math.max(-1, Math.min(1, value)) * 32767, true);
  }
  return new File([view.buffer], name, { type: "audio/wav" });
}
