"""The whole road from files on disk against the bare step of the same network on tensors in memory.

    python benchmarks/training.py [--data ../shared/data] [--updates 300] [--rounds 3]

Each round takes, in turn, a training from an empty cache (headers, decoding, features, batches, relation,
loss, logs and all) and as many bare steps (forward in the same arithmetic, the same loss, backward, Adam) on
one batch in memory: of the very network, and of the same network by torch's layers alone, as anybody would
write it. The ratios of medians are what the road leaves of the bare speeds; 1 would be free.
"""

import argparse
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

from nearfield.core.machine import disable_malloc_trim, limit_threads, usable_cores

limit_threads()  # before torch is loaded, as the command line does

import torch  # noqa: E402

from nearfield.core.types import Pairs  # noqa: E402
from nearfield.models.backbones import convnets as small_convnet  # noqa: E402
from nearfield.training.device import arithmetic, best_precision  # noqa: E402
from nearfield.training.prepare import Request  # noqa: E402
from nearfield.training.recipe import Recipe  # noqa: E402
from nearfield.training.setup import build_embedder  # noqa: E402
from nearfield.training.trainer import launch  # noqa: E402

ROOT = Path(__file__).parents[1]
CASES = (
    ("esc10", "labels", "small_convnet", "[1,1]", 0.2),
    ("fsdd", "words", "small_convnet", "[1,1]", 1.0),
    ("esc10", "labels", "small_convnet", "[4,4]", 1.0),
    ("fsdd", "words", "small_convnet", "[4,4]", 2.67),
    ("esc10", "labels", "resnet18", "", 0.2),
    ("fsdd", "words", "resnet18", "", 0.5),
)
"""Set, recipe, backbone, steps of its first layer, and how many times --updates: the recipe's own length, or
what time allows. The small convnet with steps of 1 is the usual one of four blocks, with steps of 4 ours."""


def main() -> None:
    """Measures and prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--updates", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="part of a row's name: 'esc10 small', 'resnet18'")
    given = parser.parse_args()
    disable_malloc_trim()
    machine = f"{platform.processor() or platform.machine()}, {usable_cores()} cores"
    print(f"{machine}, {torch.get_num_threads()} threads, {best_precision('cpu')}, batch 64, ")
    print(f"medians of {given.rounds} rounds, in turn.\n")
    print("| set | backbone | updates | whole road, clips/s | bare step | ratio | torch's layers | ratio |")
    print("|---|---|---|---|---|---|---|---|")
    for name, recipe, backbone, steps, times in CASES:
        label = f"{backbone} {steps}".strip()
        if given.only not in f"{name} {label}":
            continue
        updates = max(10, round(given.updates * times))
        changes = [f"backbone.kind={backbone}", f"train.updates={updates}"]
        changes += [f"backbone.stem_stride={steps}"] if steps else []
        settled = Recipe.load(recipe, changes)
        rounds = [
            (whole(settled, given.data / name), bare(settled), bare(settled, layers=True))
            for _ in range(given.rounds)
        ]
        road, floor, layers = (statistics.median(each) for each in zip(*rounds, strict=True))
        clips = updates * 64
        cells = f"{clips / road:.0f} | {clips / floor:.0f} | {floor / road:.2f}"
        cells += f" | {clips / layers:.0f} | {layers / road:.2f}"
        print(f"| {name} | {label} | {updates} | {cells} |", flush=True)


def whole(recipe: Recipe, data: Path) -> float:
    """Seconds of a training from files, nothing decoded before."""
    folder = Path(tempfile.mkdtemp())
    before = os.environ.get("NEARFIELD_CACHE")
    os.environ["NEARFIELD_CACHE"] = str(folder / "cache")
    try:
        start = time.perf_counter()
        launch(Request(recipe, str(data), folder / "run", device="cpu"))
        return time.perf_counter() - start
    finally:
        shutil.rmtree(folder)
        if before is None:
            del os.environ["NEARFIELD_CACHE"]
        else:
            os.environ["NEARFIELD_CACHE"] = before


def bare(recipe: Recipe, layers: bool = False) -> float:
    """Seconds of as many steps on one batch that lies in memory; `layers`: nothing but torch's own layers."""
    large, small_convnet.LARGE = small_convnet.LARGE, sys.maxsize if layers else small_convnet.LARGE
    try:
        return _steps(recipe)
    finally:
        small_convnet.LARGE = large


def _steps(recipe: Recipe) -> float:
    embedder = build_embedder(recipe, 1, seed=0)
    picture = torch.randn(64, *embedder.shape)
    pairs = Pairs.from_labels(torch.arange(64) % 8)
    loss = recipe.loss.build(embedder.size, 8)
    optimizer = recipe.optimizer.build(embedder.named_parameters())
    precision = best_precision("cpu")
    start = time.perf_counter()
    for _ in range(recipe.train.updates):
        with arithmetic(torch.device("cpu"), precision):
            vectors = embedder.embed_spectrogram(picture)
        value = loss(vectors, pairs)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
