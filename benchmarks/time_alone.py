"""Is a space learnt from time alone ahead of its baselines, by how much, and how much of what labels bring?

    python benchmarks/time_alone.py [RUNS] [--data ../shared/data]

RUNS is the folder that `benchmarks/quality.py --out RUNS` filled, with its rows long-recordings (also as
triplets), esc10, arabic-commands, oneshots and fsdd. Recall@1 of test clips from train; differences with the
standard error of seeds crossed with clips, and with groups: speakers, recordings or notes.
The share is what is gained over an untrained encoder, of what labels gain on the same set.
"""

import argparse
import json
import math
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from nearfield.core.machine import disable_malloc_trim, limit_threads
from nearfield.core.types import Vectors
from nearfield.metrics.neighbors import Search, nearest
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.normalization import settle
from nearfield.study.statistics.two_way import Array, MeanSquares
from nearfield.training.baselines import standardized, statistics_vectors, untrained
from nearfield.training.encode import vectors_of
from nearfield.training.events import ignore
from nearfield.training.prepare import open_collection
from nearfield.training.run import Run, without_weights
from nearfield.training.setup import TrainingSetup, build_embedder

ROOT = Path(__file__).parents[1]
SETS = ("esc10", "arabic-commands", "oneshots", "fsdd")
NAMES = {"mfcc_stats": "MFCC statistics", "logmel_stats": "log-mel statistics"}


def main() -> None:
    """Prints a Markdown table for each set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("runs", type=Path, nargs="?", default=ROOT / "runs-out")
    parser.add_argument("--data", type=Path, default=Path(default))
    given = parser.parse_args()
    limit_threads()
    disable_malloc_trim()
    ours = [Run.load(path) for path in sorted(given.runs.glob("long-recordings-[0-9]"))]
    theirs = [Run.load(path) for path in sorted(given.runs.glob("long-recordings-triplets-[0-9]"))]
    schooled = _settled_on(given.data / "long-recordings", ours)
    for name in SETS:
        hits, groups = _hits(given.data / name, ours, theirs, schooled)
        labels = _supervised(given.runs, name)
        print(f"\n{name}: by labels {labels:.3f}\n")
        print("| space | R@1 from train | time alone is ahead by | errors of it: clips, groups | share |")
        print("|---|---|---|---|---|")
        for space, table in hits.items():
            print(
                "| " + " | ".join(_row(space, table, hits["time alone"], groups, labels)) + " |", flush=True
            )


def _row(space: str, table: Array, best: Array, groups: Array, labels: float) -> Iterator[str]:
    found = table.mean(1)
    spread = f" ({found.min():.3f}–{found.max():.3f})" if len(table) > 1 else ""
    yield space
    yield f"{statistics.median(found):.3f}{spread}"
    if table is best:
        yield from ("", "", "")
        return
    apart = best - (table if len(table) == len(best) else table[:1])
    by_group = np.stack([apart[:, groups == each].sum(1) for each in np.unique(groups)], 1)
    by_group *= by_group.shape[1] / apart.shape[1]
    errors = [math.sqrt(float(MeanSquares.of(each).variance)) for each in (apart, by_group)]
    yield f"{apart.mean():+.3f}"
    yield ", ".join(f"{each:.3f}" for each in errors)
    gained = (best.mean() - table.mean()) / (labels - table.mean())
    yield f"{gained:.2f}" if space.startswith("untrained") else ""


def _hits(
    data: Path, ours: list[Run], theirs: list[Run], schooled: list[EmbeddingModel]
) -> tuple[dict[str, Array], Array]:
    """(seeds, clips) 1 where the nearest training clip has the test clip's label, by space; clips' groups."""
    found: dict[str, list[Array]] = {}
    for seed, run in enumerate(ours):
        setup = _bench(run, data, seed)
        train, test = setup.collection.rows("train"), setup.collection.rows("test")

        def note(
            space: str, vectors: Vectors, distance: str = "cosine", setup: TrainingSetup = setup
        ) -> None:
            train, test = setup.collection.rows("train"), setup.collection.rows("test")
            near = nearest(Search(vectors[test], vectors[train], distance), 1)[0][:, 0]  # type: ignore[arg-type]
            labels = setup.metadata.labels
            found.setdefault(space, []).append((labels[train][near] == labels[test]).astype(np.float64))

        note("time alone", vectors_of(run.embedder, setup))
        note("untrained encoder", vectors_of(untrained(setup), setup))
        note("untrained, norms and whitening of the long recordings", vectors_of(schooled[seed], setup))
        for name, vectors in statistics_vectors(setup) if seed == 0 else ():
            note(NAMES[name], standardized(vectors, train), "euclidean")
        if seed < len(theirs):
            other = _bench(theirs[seed], data, seed)
            note("the source's rule", vectors_of(theirs[seed].embedder, other), setup=other)
    groups = (
        setup.metadata.groups if (setup.metadata.groups >= 0).any() else np.arange(len(setup.metadata.labels))
    )
    return {name: np.stack(each) for name, each in found.items()}, np.asarray(groups[test], np.float64)


def _bench(run: Run, data: Path, seed: int) -> TrainingSetup:
    collection = open_collection(str(data), run.recipe, True, ignore)
    return TrainingSetup.build(run.recipe, collection, seed, embedder=run.embedder)


def _settled_on(data: Path, runs: list[Run]) -> list[EmbeddingModel]:
    """Untrained encoders whose norms and whitening have seen what the trained ones were trained on."""
    found = []
    for seed, run in enumerate(runs):
        setup = _bench(run, data, seed)
        seen = setup.spectrograms(setup.sampler(), torch.device("cpu"))
        pictures = [each for _, each in zip(range(16), seen, strict=False)]
        fresh = build_embedder(without_weights(run.recipe), setup.channels, seed + 1_000_003)
        settle(fresh, pictures)
        fresh.fit_whitening(pictures)
        found.append(fresh.eval())
    return found


def _supervised(runs: Path, name: str) -> float:
    scores = [json.loads(path.read_text())["result"]["metrics"] for path in runs.glob(f"{name}-[0-9].json")]
    return statistics.median(float(each["retrieval_from_train/recall_at_1"]) for each in scores)


if __name__ == "__main__":
    main()
