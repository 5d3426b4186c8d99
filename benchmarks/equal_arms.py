"""Studies of equal arms on real trainings: what share of them claims a difference that is not there.

    python benchmarks/equal_arms.py [--data ../shared/data/esc10] [--studies 100] [--arms 3] [--seeds 3]
    python benchmarks/equal_arms.py --folds 5 --seeds 1 --arms 2 --studies 200

Trains studies x arms x seeds (x folds) tiny encoders that differ in nothing but the seed, each a real run
with its folder, measured on the test clips (of its fold), and deals them out to studies that are judged as
any study is.
"""

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from nearfield.core.machine import limit_threads

limit_threads()  # before torch is loaded, as the command line does

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from rich.progress import track  # noqa: E402
from scipy import stats  # noqa: E402

from nearfield.core.types import Ints  # noqa: E402
from nearfield.data.settings import Fold  # noqa: E402
from nearfield.study.file import SeedPlan  # noqa: E402
from nearfield.study.scores import fold_of_groups, round_of, table  # noqa: E402
from nearfield.study.statistics.conclude import PlannedTest, conclude  # noqa: E402
from nearfield.study.statistics.two_way import Array, MeanSquares, differences  # noqa: E402
from nearfield.training.evaluate_run import evaluate_run, read_clips  # noqa: E402
from nearfield.training.prepare import Request  # noqa: E402
from nearfield.training.recipe import Recipe  # noqa: E402
from nearfield.training.run_folder import RunFolder  # noqa: E402
from nearfield.training.trainer import launch  # noqa: E402

ROOT = Path(__file__).parents[1]
TINY = (
    "backbone={kind: small_convnet, width: 8, blocks: 3}",
    "embedding.size=32",
    "data.clip_seconds=2.0",
    "data.sample_rate=8000",
    "feature={kind: log_mel, bands: 32, fft: 512, window_ms: 30, hop_ms: 20}",
    "augment=[]",
    "train.updates=40",
    "loss={kind: triplet, margin: 0.2}",
    "optimizer.lr=3.0e-3",
)
MEASURES = ("probe/macro_f1", "retrieval_from_train/recall_at_1", "retrieval_from_train/map_at_r")


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default) / "esc10")
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--arms", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, default=1)
    given = parser.parse_args()
    recipe = Recipe.load("labels", TINY)
    rounds = given.studies * given.arms * given.seeds
    count = rounds * given.folds
    seeds = SeedPlan(rounds, rounds, until_decided=False, folds=given.folds)
    begun = time.monotonic()
    clips = [
        clips_of(recipe, given.data, seed, seeds.fold(seed))
        for seed in track(range(count), "training", transient=True)
    ]
    took = (time.monotonic() - begun) / count
    whole = [round_of(clips[first : first + given.folds]) for first in range(0, count, given.folds)]
    print(f"{count} trainings of {recipe.train.updates} updates on {given.data.name}, {took:.1f} s each;")
    design = f"{given.folds} folds of {given.seeds}" if given.folds > 1 else str(given.seeds)
    print(f"{given.studies} studies of {given.arms} equal arms and {design} seeds.\n")
    heads = ("measure", "test groups", "mean of all", "sd: seed, group, rest", "studies with a claim", "95 %")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for measure in MEASURES:
        found = table(whole, [{}] * rounds, measure)
        assert found is not None
        folds = fold_of_groups(whole, measure)
        dealt = found.reshape(given.studies, given.arms, given.seeds, -1)
        claims = sum(any_claim(measure, study, folds) for study in dealt)
        parts = [float(np.sqrt(part.mean())) for part in MeanSquares.of(differences(dealt), folds).parts()]
        interval = stats.binomtest(claims, given.studies).proportion_ci(method="exact")
        shown = ", ".join(f"{part:.3f}" for part in parts)
        print(
            f"| {measure} | {found.shape[1]} | {found.mean():.3f} | {shown} | {claims} of {given.studies} "
            f"| {100 * interval.low:.0f} to {100 * interval.high:.0f} % |"
        )


def clips_of(recipe: Recipe, data: Path, seed: int, fold: Fold | None) -> pd.DataFrame:
    """Scores of the test clips after one training."""
    folder = Path(tempfile.mkdtemp())
    changed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"fold": fold})})
    try:
        launch(Request(changed, str(data), folder / "run", seed, device="cpu"))
        evaluate_run(RunFolder(folder / "run"), with_baselines=False)
        return read_clips(folder / "run" / "clips.parquet")
    finally:
        shutil.rmtree(folder)


def any_claim(measure: str, tables: Array, folds: Ints | None) -> bool:
    """Whether a study of these (A, S, G) scores says that one arm is better than another."""
    arms = {str(place): scores for place, scores in enumerate(tables)}
    claimed = conclude(PlannedTest(measure, 0.01, {}, folds=folds), arms).comparisons
    return any(each.claim in ("better", "worse") for each in claimed)


if __name__ == "__main__":
    main()
