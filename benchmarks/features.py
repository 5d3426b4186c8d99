"""Log-mel and MFCC side by side with what one would use instead, and with the bare FFT below them.

    python benchmarks/features.py [--threads 2] [--rounds 9] [--clock wall|cpu]

64 clips of 5 s at 16 kHz, window 480, hop 160, 128 mel bands; every way in turn, round after round; medians,
as seconds of sound per second. Prints a Markdown table. On a machine that others use, take `--threads 1
--clock cpu`: processor time does not count the others.
"""

import argparse
import importlib.util
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import torch
from torch import Tensor

from nearfield.core.machine import disable_malloc_trim, usable_cores
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.features.mfcc import MFCCSettings

RATE, SECONDS, CLIPS, WINDOW, HOP, BANDS = 16000, 5, 64, 480, 160, 128
WalkSettings = Callable[[], Any]


def main() -> None:
    given = arguments()
    disable_malloc_trim()
    torch.set_num_threads(given.threads)
    waves = torch.randn(CLIPS, RATE * SECONDS, generator=torch.Generator().manual_seed(0)) * 0.1
    print(f"{machine()}; {given.threads} threads, {given.clock} clock, {given.rounds} rounds, memory kept.")
    print("\n| FFT | way | x real time | of the fastest peer | of the bare FFT | difference from librosa |")
    print("|---|---|---|---|---|---|")
    for fft in (1024, 512):
        table(ways(waves, fft), fft, given.rounds, given.clock)
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    print(f"\nLoad of the machine at the end, over 1, 5, 15 minutes: {load}.")


def ways(waves: Tensor, fft: int) -> dict[str, WalkSettings]:
    """What is measured; a name tells who does it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # at 512 one of the 128 bands is empty, for everybody
        ours = LogMelSettings(bands=BANDS, fft=fft).build(RATE, 1)
        mfcc = MFCCSettings(bands=BANDS, fft=fft).build(RATE, 1)
        mel = librosa.filters.mel(sr=RATE, n_fft=fft, n_mels=BANDS, fmin=50, htk=True, norm=None)
    batch, taper, weights = waves[:, None], torch.hann_window(WINDOW), torch.from_numpy(mel)
    edge = (fft - WINDOW) // 2
    padded = np.pad(waves.numpy(), ((0, 0), (edge, edge)))
    cut = torch.zeros(CLIPS * ours.frames(waves.shape[1]), fft)
    cut[:, :WINDOW] = (waves.unfold(-1, WINDOW, HOP) * taper).flatten(0, 1)

    def librosa_clip(wave: np.ndarray[Any, np.dtype[np.float32]]) -> Any:
        spectrum = librosa.stft(wave, n_fft=fft, hop_length=HOP, win_length=WINDOW, center=False)
        return np.log(mel @ np.abs(spectrum) + 1e-6)

    def torch_stft() -> Tensor:
        spectrum = torch.stft(waves, fft, HOP, WINDOW, taper, center=False, return_complex=True)
        return torch.log(weights @ spectrum.abs() + 1e-6)

    found: dict[str, WalkSettings] = {
        "nearfield log_mel": lambda: ours(batch)[:, 0],
        "nearfield mfcc": lambda: mfcc(batch),
        "peer: librosa, clip by clip": lambda: np.stack([librosa_clip(wave) for wave in padded]),
        "peer: librosa, whole batch": lambda: librosa_clip(padded),
        "peer: torch.stft": torch_stft,
        "floor: bare rfft": lambda: torch.fft.rfft(cut),
        "floor: bare rfft, in blocks": lambda: [torch.fft.rfft(part) for part in torch.split(cut, 512)],
    }
    if importlib.util.find_spec("nnAudio") is not None:
        found["peer: nnAudio"] = nn_audio(waves, fft)
    return found


def nn_audio(waves: Tensor, fft: int) -> WalkSettings:
    from nnAudio.features.mel import MelSpectrogram  # type: ignore[import-not-found,unused-ignore]

    layer = MelSpectrogram(
        sr=RATE,
        n_fft=fft,
        win_length=WINDOW,
        n_mels=BANDS,
        hop_length=HOP,
        center=False,
        power=1.0,
        htk=True,
        fmin=50,
        norm=None,
        verbose=False,
    )
    return lambda: torch.log(layer(waves) + 1e-6)


def table(ways: dict[str, WalkSettings], fft: int, rounds: int, clock: str) -> None:
    """Times every way `rounds` times, in turn, and prints a row for each, the fastest first."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    now = time.perf_counter if clock == "wall" else time.process_time
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = now()
            way()
            if number:  # the first round warms up
                taken[name].append(now() - began)
    speed = {name: CLIPS * SECONDS / statistics.median(seconds) for name, seconds in taken.items()}
    peer = max(value for name, value in speed.items() if name.startswith("peer"))
    floor = max(value for name, value in speed.items() if name.startswith("floor"))
    reference = ways["peer: librosa, clip by clip"]()
    for name, value in sorted(speed.items(), key=lambda item: -item[1]):
        print(
            f"| {fft} | {name} | {value:,.0f} | {value / peer:.2f} | {value / floor:.2f} "
            f"| {difference(ways[name](), reference)} |"
        )


def difference(result: Any, reference: Any) -> str:
    """The largest difference of two log-mels; nothing for what is none."""
    same = getattr(result, "shape", None) == reference.shape
    return f"{np.abs(np.asarray(result) - reference).max():.0e}" if same else ""


def machine() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor()
    return (
        f"{name}, {usable_cores()} cores, {torch.backends.cpu.get_cpu_capability()}, {platform.system()}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, librosa {version('librosa')}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of log-mel and MFCC beside their peers.")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    return parser.parse_args()


if __name__ == "__main__":
    main()
