"""How many temporal triplets a second reach the network: three 5 s tiles each, out of what the store keeps.

    python benchmarks/delivery.py [--rounds 15] [--recordings 300]

The set is noise: recordings of ten seconds as wav files, decoded once, their log-mels made once, both then
mapped from the cache, as training does. The rows take turns, so that whatever disturbs the machine disturbs
them alike; medians are given. The floor copies as many bytes in one piece per batch and does nothing else.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from nearfield.core.machine import disable_malloc_trim, usable_cores
from nearfield.core.rng import stream
from nearfield.core.types import BatchIndices, ClipMetadata, Vectors
from nearfield.data.collection import Collection
from nearfield.data.feature_cache import cache_features
from nearfield.data.settings import DataSettings
from nearfield.data.signals import ArraySignals, Loader
from nearfield.data.store import Store
from nearfield.learning.samplers.tiles import Tiles
from nearfield.models.features.log_mel import LogMelSettings

RATE, SECONDS, TILE, TRIPLETS = 16000, 10.0, 5.0, 64


def noise(folder: Path, recordings: int) -> Collection:
    """Recordings of noise, written as wav files."""
    paths = [folder / f"{number:04d}.wav" for number in range(recordings)]
    for number, path in enumerate(paths):
        wave = 0.1 * stream(0, "noise", number).standard_normal(int(SECONDS * RATE))
        soundfile.write(path, wave, RATE, subtype="PCM_16")
    return Collection(pd.DataFrame({"path": list(map(str, paths)), "start": 0.0, "seconds": SECONDS}))


def draws(recordings: int) -> list[BatchIndices]:
    """An epoch of temporal triplets."""
    numbers = np.arange(recordings)
    facts = ClipMetadata(
        labels=np.full(recordings, -1),
        label_names=(),
        tags=np.zeros((recordings, 0), np.bool_),
        tag_names=(),
        recordings=numbers,
        groups=numbers,
        start_times=np.zeros(recordings),
        seconds=np.full(recordings, SECONDS),
    )
    sampler = Tiles(mode="triplet", batch_size=TRIPLETS, range_seconds=TILE).build(
        facts, numbers, TILE, seed=0
    )
    return list(sampler.epoch(0))


def copies(flat: Vectors, sizes: list[int]) -> Iterator[object]:
    """The floor: as many numbers as each draw asks for, copied in one piece into fresh memory."""
    first = 0
    for size in sizes:
        first = first if first + size <= len(flat) else 0
        out = np.empty(size, np.float32)
        np.copyto(out, flat[first : first + size])
        first += size
        yield out


def seconds(batches: Iterable[object]) -> float:
    """Time to go through one epoch, nothing done with it."""
    began = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - began


def machine() -> str:
    """Processor, cores, system and how busy it was."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return (
        f"{names[0] if names else platform.processor()}, {usable_cores()} cores, {platform.system()}, "
        f"numpy {np.__version__}, load {os.getloadavg()[0]:.1f}"
    )


def measure(rows: dict[str, Callable[[], Iterable[object]]], rounds: int) -> dict[str, float]:
    """Median seconds of an epoch for each row; the first round only warms up."""
    times: dict[str, list[float]] = {name: [] for name in rows}
    for number in range(rounds + 1):
        for name, epoch in rows.items():
            taken = seconds(epoch())
            if number:
                times[name].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}


def rows_of(name: str, signals: ArraySignals, length: int, wanted: list[BatchIndices]) -> dict[str, Any]:
    """The floor and the loader with some numbers of threads."""
    flat = np.concatenate([array.ravel() for array in signals.arrays])
    sizes = [len(draw) * int(np.prod(signals.shape(length))) for draw in wanted]

    def loader(workers: int) -> Callable[[], Iterable[object]]:
        return lambda: Loader(signals, wanted, length, workers)

    rows: dict[str, Any] = {f"{name}: bare copy": lambda: copies(flat, sizes)}
    return rows | {f"{name}: loader, {workers} threads": loader(workers) for workers in (0, 1, 2)}


def table(title: str, rows: dict[str, Any], rounds: int, triplets: int, size: float) -> None:
    """Prints one table; `size` is bytes of an epoch."""
    taken = measure(rows, rounds)
    floor = next(iter(taken.values()))
    print(f"\n{title}: {size / triplets / 1e3:,.0f} kB a triplet\n")
    print("| way | triplets/s | GB/s | of the bare copy |\n|---|---|---|---|")
    for name, value in taken.items():
        print(f"| {name} | {triplets / value:,.0f} | {size / value / 1e9:.1f} | {floor / value:.0%} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="timed epochs of each row")
    parser.add_argument("--recordings", type=int, default=300)
    given = parser.parse_args()
    kept_memory = disable_malloc_trim()
    with tempfile.TemporaryDirectory() as place:
        os.environ["NEARFIELD_CACHE"] = place
        run(Path(place), given.recordings, given.rounds)
    print(f"\n{machine()}; freed memory kept: {'yes' if kept_memory else 'no'}; {given.rounds} rounds")


def run(place: Path, recordings: int, rounds: int) -> None:
    """Makes the set, prepares it, and prints both tables."""
    clips, wanted = noise(place, recordings), draws(recordings)
    feature = LogMelSettings(bands=64).build(RATE, 1)
    began = time.perf_counter()
    waves = Store(place).open(clips, DataSettings(sample_rate=RATE, clip_seconds=TILE))
    assert isinstance(waves, ArraySignals)
    decoded = time.perf_counter()
    kept = cache_features(waves, feature, int(TILE * RATE), "benchmark", place)
    made = time.perf_counter()
    print(
        f"{recordings} recordings of {SECONDS:g} s: decoded in {decoded - began:.1f} s, log-mels made in "
        f"{made - decoded:.1f} s; batches of {TRIPLETS} triplets of {TILE:g} s tiles."
    )
    triplets = sum(len(draw) for draw in wanted) // 3
    for title, signals, length in (
        ("Log-mels, 64 bands", kept, feature.frames(int(TILE * RATE))),
        ("Waves", waves, int(TILE * RATE)),
    ):
        size = 12 * triplets * float(np.prod(signals.shape(length)))
        table(title, rows_of(title.split(",")[0], signals, length, wanted), rounds, triplets, size)


if __name__ == "__main__":
    main()
