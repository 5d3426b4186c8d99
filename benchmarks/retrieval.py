"""Exact MAP@R and recall over many vectors: seconds and peak memory, beside pytorch-metric-learning.

    python benchmarks/retrieval.py                              200,000 x 128, and both side by side at 10,000
    python benchmarks/retrieval.py --clips 50000 --classes 20   large classes: R in the thousands

Every row is a process of its own, so that peaks do not mix; the vectors and the libraries are taken off.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from nearfield.core.machine import peak_memory
from nearfield.core.types import Ints, Vectors

Measured = tuple[float, float, float, float, float]
"""Seconds, CPU seconds, megabytes, MAP@R, recall at 1."""


def draw(clips: int, size: int, classes: int) -> tuple[Vectors, Ints]:
    """Unit vectors about class centres, labels balanced up to chance."""
    chance = np.random.default_rng(0)
    labels = chance.integers(classes, size=clips)
    centres = chance.standard_normal((classes, size), dtype=np.float32)
    vectors = centres[labels] + 1.5 * chance.standard_normal((clips, size), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), labels


def nearfield(vectors: Vectors, labels: Ints) -> tuple[float, float]:
    """MAP@R and recall at 1 of the evaluation room."""
    from nearfield.metrics.neighbors import Search
    from nearfield.metrics.retrieval import label_scores

    scores = label_scores(Search.within(vectors), labels, labels)
    return float(np.nanmean(scores["map_at_r"])), float(np.nanmean(scores["recall_at_1"]))


def peer(vectors: Vectors, labels: Ints) -> tuple[float, float]:
    """The same by pytorch-metric-learning, its search in blocks of 1,000 queries."""
    import torch
    from pytorch_metric_learning.distances import LpDistance
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    calculator = AccuracyCalculator(
        include=("precision_at_1", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(LpDistance(), batch_size=1000),
    )
    found = calculator.get_accuracy(torch.from_numpy(vectors), torch.from_numpy(labels))
    return found["mean_average_precision_at_r"], found["precision_at_1"]


def measure(engine: Callable[[Vectors, Ints], tuple[float, float]], shape: tuple[int, int, int]) -> Measured:
    """One row; run in a fresh process."""
    # Libraries and their threads first, on a set too small to count.
    engine(*draw(200, 8, 10))
    vectors, labels = draw(*shape)
    before, start, worked = peak_memory(), time.perf_counter(), time.process_time()
    precision, recall = engine(vectors, labels)
    seconds, worked = time.perf_counter() - start, time.process_time() - worked
    return seconds, worked, (peak_memory() - before) / 1e6, precision, recall


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=200_000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--beside", type=int, default=10_000, help="clips of the rows side by side")
    chosen = parser.parse_args()
    rows = [(nearfield, chosen.beside), (peer, chosen.beside), (nearfield, chosen.clips)]
    print("| engine | clips | classes | seconds | CPU s | MB added | MAP@R | recall@1 |\n" + "|---" * 8 + "|")
    for engine, clips in rows:
        classes = max(2, chosen.classes * clips // chosen.clips)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            figures = pool.submit(measure, engine, (clips, chosen.size, classes)).result()
        seconds, worked, memory, precision, recall = figures
        name = "nearfield" if engine is nearfield else "pytorch-metric-learning"
        speed = f"{seconds:.1f} | {worked:.1f} | {memory:.0f}"
        print(f"| {name} | {clips:,} | {classes:,} | {speed} | {precision:.4f} | {recall:.4f} |", flush=True)


if __name__ == "__main__":
    main()
