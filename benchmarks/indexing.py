"""Speed of indexing files, compared with the forward pass of the same network on windows in memory.

    python benchmarks/indexing.py                  600 sounds of 5 s, 16 kHz, small convnet
    python benchmarks/indexing.py --files 200 --seconds 30

Prints hours of sound per second for both (the best of several alternating rounds) and their ratio.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

from nearfield.core.machine import disable_malloc_trim
from nearfield.space.space import Space
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, save_tensors
from nearfield.training.setup import build_embedder


def sounds(folder: Path, files: int, seconds: float) -> None:
    """Wav files of noise at 16 kHz."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(files):
        wave = rng.uniform(-0.5, 0.5, round(seconds * 16000))
        soundfile.write(folder / f"{number:05d}.wav", wave, 16000)


def untrained(folder: Path) -> Run:
    """A run with random weights: the time does not depend on them."""
    recipe = Recipe()
    data = {"channels": 1, "given": "none", "path": "none", "name": "none", "clips": 0, "leaks": []}
    RunFolder(folder).begin(recipe, {"seed": 0, "data": data})
    save_tensors(RunFolder(folder).weights, dict(build_embedder(recipe, 1, 0).state_dict()))
    return Run.load(folder)


def bare(run: Run, seconds: float) -> Callable[[], float]:
    """The forward pass in batches of 64 on waves in memory; returns seconds of sound."""
    embedder, length = run.embedder.reader(), round(5.0 * 16000)
    waves = torch.rand(64, 1, length) - 0.5

    def run_once() -> float:
        batches = max(1, round(seconds / (64 * 5.0)))
        with torch.no_grad():
            for _ in range(batches):
                embedder.embed_spectrogram(embedder.feature(waves))
        return batches * 64 * 5.0

    return run_once


def main() -> None:
    """Prints both rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=600)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args()
    disable_malloc_trim()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    total = asked.files * asked.seconds
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        os.environ["NEARFIELD_CACHE"] = str(work / "cache")
        sounds(work / "data", asked.files, asked.seconds)
        run = untrained(work / "run")
        forward = bare(run, total)
        Space.create(run, str(work / "data"), work / "space")  # libraries loaded, searches compiled
        rates: dict[str, list[float]] = {"bare": [], "index": []}
        for _ in range(asked.rounds):
            began = time.perf_counter()
            seconds = forward()
            rates["bare"].append(seconds / (time.perf_counter() - began))
            shutil.rmtree(work / "space")
            began = time.perf_counter()
            Space.create(run, str(work / "data"), work / "space")
            rates["index"].append(total / (time.perf_counter() - began))
    best = {name: max(found) for name, found in rates.items()}
    print("| | times real time | hours of sound a second |")
    print("|---|---|---|")
    for name, rate in best.items():
        print(f"| {name} | {rate:,.0f} | {rate / 3600:.3f} |")
    print(f"\nThe index is made at {best['index'] / best['bare']:.0%} of the bare forward pass.")


if __name__ == "__main__":
    main()
