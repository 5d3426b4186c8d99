"""How long the map of a space takes, and how far each layout can be trusted.

    python benchmarks/maps.py [--clips 1000 20000 50000]

Vectors of 64 numbers and unit length around 30 centres. Columns: seconds of processor until the exact
neighbours are known, for UMAP in 2D and in 3D, and in total; wall-clock seconds in total;
trustworthiness. In the first row UMAP waits for its compiler, once in a process.
"""

import argparse
import time

import numpy as np

from nearfield.core.rng import stream
from nearfield.core.types import Vectors
from nearfield.space.map import SpaceMap
from nearfield.training.events import Event, Stage


def main() -> None:
    """Prints one row for each size."""
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--clips", type=int, nargs="+", default=[1_000, 20_000, 50_000])
    asked = given.parse_args()
    print("| clips | neighbours | UMAP, 2D | UMAP, 3D | all | all, wall clock | trustworthiness |")
    print("|---|---|---|---|---|---|---|")
    for count in asked.clips:
        print(f"| {count:,} | {' | '.join(measure(drawn(count)))} |", flush=True)


def drawn(count: int) -> Vectors:
    """(N, 64) of unit length."""
    rng = stream(0, "benchmark/maps")
    centres = rng.normal(size=(30, 64))
    vectors = centres[rng.integers(0, 30, count)] + 0.6 * rng.normal(size=(count, 64))
    unit: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def measure(vectors: Vectors) -> list[str]:
    """The cells of one row after the first."""
    ends: dict[str, float] = {}

    def callback(event: Event) -> None:
        if isinstance(event, Stage):
            ends[event.name] = time.process_time()

    clock, begun = time.perf_counter(), time.process_time()
    made = SpaceMap.of(vectors, callback=callback)
    known, flat, solid = (ends[f"map: {name}"] for name in ("neighbours", "UMAP, 2D", "UMAP, 3D"))
    spent = (known - begun, flat - known, solid - flat, time.process_time() - begun)
    trust = ", ".join(f"{name} {value:.3f}" for name, value in made.trust.items())
    return [*(f"{seconds:.1f}" for seconds in spent), f"{time.perf_counter() - clock:.1f}", trust]


if __name__ == "__main__":
    main()
