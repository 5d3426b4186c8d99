"""Time and memory of losses beside pytorch-metric-learning's: forward and backward, in one sitting.

    python benchmarks/losses.py [--sizes 128 512 4096] [--repeat 7] [--objectives triplet circle]

Prints a Markdown table. The two take turns in one process, which keeps freed memory, and the median is
given; slow peers are run fewer times. Memory is the peak that a fresh process adds for one forward and
backward, beyond the vectors and the pairs. 8 items a class and 128 dimensions, where nothing else is said.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.machine import disable_malloc_trim, limit_threads, usable_cores
from nearfield.core.types import Pairs
from nearfield.learning.build import loss, miner

OBJECTIVES = ("triplet", "semihard", "batch_hard", "circle", "multi_similarity", "supcon")
WHO = ("nearfield", "peer")
DIMENSIONS = 128
PATIENCE = 8.0
"""Seconds after which a cell is not repeated further."""

Objective = Callable[[Tensor, Tensor, Pairs], Tensor]


def ours(objective: str) -> Objective:
    """The objective as Nearfield has it, over (vectors, labels, pairs)."""
    if objective in ("semihard", "batch_hard"):
        mine, pull = miner(objective), loss("triplet", margin=0.2)
        return lambda vectors, labels, pairs: pull(vectors, mine(vectors, pairs))
    plain = loss(objective)
    return lambda vectors, labels, pairs: plain(vectors, pairs)


def theirs(objective: str) -> Objective:
    """The same from pytorch-metric-learning."""
    from pytorch_metric_learning import distances, losses, miners

    plainly = distances.LpDistance(normalize_embeddings=False)  # the vectors have unit length already

    plain: dict[str, Any] = {
        "circle": losses.CircleLoss(),
        "multi_similarity": losses.MultiSimilarityLoss(),
        "supcon": losses.SupConLoss(),
    }
    pull = plain.get(objective, losses.TripletMarginLoss(margin=0.2, distance=plainly))
    mined: dict[str, Any] = {
        "semihard": miners.TripletMarginMiner(0.2, "semihard", distance=plainly),
        "batch_hard": miners.BatchHardMiner(distance=plainly),
    }
    if objective not in mined:
        return lambda vectors, labels, pairs: pull(vectors, labels)
    mine = mined[objective]
    return lambda vectors, labels, pairs: pull(vectors, labels, mine(vectors, labels))


def batch(size: int, a_class: int) -> tuple[Tensor, Tensor, Pairs]:
    """Vectors of unit length, labels, pairs."""
    vectors = normalize(torch.randn(size, DIMENSIONS, generator=torch.Generator().manual_seed(0)))
    labels = torch.arange(size) // a_class
    return vectors.requires_grad_(), labels, Pairs.from_labels(labels)


def step(objective: Objective, given: tuple[Tensor, Tensor, Pairs]) -> float:
    """Seconds of one forward and backward."""
    given[0].grad = None
    start = time.perf_counter()
    objective(*given).backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - start


def differ(objective: str, given: tuple[Tensor, Tensor, Pairs]) -> float:
    """Largest difference of the two gradients, over the largest entry."""
    found: list[Tensor] = []
    for of in (ours(objective), theirs(objective)):
        step(of, given)
        assert given[0].grad is not None
        found.append(given[0].grad.clone())
    return float((found[0] - found[1]).abs().max() / found[1].abs().max())


def timed(objective: str, given: tuple[Tensor, Tensor, Pairs], repeat: int) -> dict[str, float]:
    """Median seconds of both, taken in turns."""
    both = dict(zip(WHO, (ours(objective), theirs(objective)), strict=True))
    taken: dict[str, list[float]] = {who: [] for who in WHO}
    for _ in range(repeat):
        for who, of in both.items():
            if sum(taken[who]) < PATIENCE:
                taken[who].append(step(of, given))
    return {who: statistics.median(found) for who, found in taken.items()}


def added_memory(objective: str, size: int, a_class: int, who: str) -> int:
    """Megabytes that a fresh process adds at its peak."""
    wanted = [objective, str(size), str(a_class), who]
    done = subprocess.run(
        [sys.executable, __file__, "--measure", *wanted], check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def measure(objective: str, size: int, a_class: int, who: str) -> int:
    """The same, inside that process. Linux: it resets and reads the kernel's own peak."""
    of = ours(objective) if who == "nearfield" else theirs(objective)
    step(of, batch(64, 8))
    given = batch(size, a_class)
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    step(of, given)
    return round((_status("VmHWM") - before) / 1024)


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def machine() -> str:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {usable_cores()} cores, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"
    )


def row(objective: str, size: int, a_class: int, repeat: int) -> str:
    """One line of the table."""
    given = batch(size, a_class)
    difference = differ(objective, given)  # warms up, too
    seconds = timed(objective, given, repeat)
    memory = {who: added_memory(objective, size, a_class, who) for who in WHO}
    mine, other = (1000 * seconds[who] for who in WHO)
    return (
        f"| {objective} | {size} | {a_class} | {mine:.3g} | {other:.3g} | {other / mine:.1f}x "
        f"| {memory['nearfield']} | {memory['peer']} | {difference:.0e} |"
    )


def main() -> None:
    """Measures and prints, row by row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if "GOMP_SPINCOUNT" not in os.environ:  # as the command line sets it; torch is loaded by now
        limit_threads()
        os.execve(sys.executable, [sys.executable, *sys.argv], {"GOMP_SPINCOUNT": "", **os.environ})
    torch.set_num_threads(asked.threads)
    if asked.measure:  # freed memory is handed back here, so that what is added shows
        objective, size, a_class, who = asked.measure
        print(measure(objective, int(size), int(a_class), who))
        return
    disable_malloc_trim()
    print(f"{machine()}\n")
    print("| objective | batch | a class | ms | peer ms | ratio | MB added | peer MB | gradients differ by |")
    print("|---|---|---|---|---|---|---|---|---|")
    for objective in asked.objectives:
        shapes = [(size, 8) for size in asked.sizes]
        if objective == "triplet":
            shapes.append((512, 16))
        for size, a_class in shapes:
            print(row(objective, size, a_class, asked.repeat), flush=True)


if __name__ == "__main__":
    main()
