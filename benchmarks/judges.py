"""Which metric judges best: the standard errors that each makes of a real difference, and its false claims.

    python benchmarks/judges.py [--data ../shared/data/esc10] [--equal 80] [--planted 20] [--out FILE]
    python benchmarks/judges.py STUDY ...        # of the runs of finished studies; trains nothing

Without studies, trains tiny encoders (those of `equal_arms.py`) that differ by the seed only, and others with
a planted difference: a quarter of the updates, an embedding of 4 dimensions, a margin of 1. Seeds are drawn
from them for studies of two arms, as often as `DEALS`. All metrics judge the same trainings.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from nearfield.core.machine import limit_threads

limit_threads()  # before torch is loaded, as the command line does

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from rich.progress import track  # noqa: E402

from equal_arms import TINY  # noqa: E402
from nearfield.core.types import Ints  # noqa: E402
from nearfield.metrics.registry import names, row_of  # noqa: E402
from nearfield.study.engines.engine import task_folder  # noqa: E402
from nearfield.study.records import Task  # noqa: E402
from nearfield.study.run import Study  # noqa: E402
from nearfield.study.scores import by_group, fold_of_groups, round_of  # noqa: E402
from nearfield.study.statistics.family import FALSE_CLAIMS, all_pairs  # noqa: E402
from nearfield.study.statistics.two_way import Array, pairs  # noqa: E402
from nearfield.training.evaluate_run import evaluate_run, read_clips  # noqa: E402
from nearfield.training.prepare import Request  # noqa: E402
from nearfield.training.recipe import Recipe  # noqa: E402
from nearfield.training.run_folder import RunFolder  # noqa: E402
from nearfield.training.trainer import launch  # noqa: E402

ROOT = Path(__file__).parents[1]
PLANTED = {
    "a quarter of the updates": ("train.updates=10",),
    "4 dimensions": ("embedding.size=4",),
    "margin 1": ("loss={kind: triplet, margin: 1.0}",),
}
"""The planted differences: changes of the recipe."""
SEEDS = 5
DEALS = 400

Scores = dict[str, Array]
"""Metrics to scores (S, G) of the trainings of one arm."""


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("studies", nargs="*", type=Path, metavar="STUDY", help="Folders of finished studies.")
    parser.add_argument("--data", type=Path, default=Path(default) / "esc10")
    parser.add_argument("--equal", type=int, default=80, help="Trainings that differ by the seed only.")
    parser.add_argument("--planted", type=int, default=20, help="Trainings of each planted difference.")
    parser.add_argument("--out", type=Path, help="File for the table; by default it is printed.")
    given = parser.parse_args()
    if given.studies:
        found = "\n\n".join(of_study(folder) for folder in given.studies)
    else:
        found = of_trainings(given.data, given.equal, given.planted)
    if given.out:
        given.out.write_text(found + "\n")
    else:
        print(found)


# Real trainings with planted differences, and equal ones.


def of_trainings(data: Path, equal: int, planted: int) -> str:
    """The table of new trainings."""
    begun = time.process_time()
    wanted = {"": equal, **dict.fromkeys(PLANTED, planted)}
    jobs = [(arm, seed) for arm, count in wanted.items() for seed in range(count)]
    clips: dict[str, list[pd.DataFrame]] = {arm: [] for arm in wanted}
    for arm, seed in track(jobs, "training", transient=True):
        # Seeds of different arms differ too, so that nothing but the test clips is common to them.
        number = seed + 1000 * list(wanted).index(arm)
        clips[arm].append(trained(Recipe.load("labels", (*TINY, *PLANTED.get(arm, ()))), data, number))
    took = (time.process_time() - begun) / 60
    arms = {arm: scores_of(tables) for arm, tables in clips.items()}
    chance = np.random.default_rng(0)
    rows = []
    for name, plain in arms[""].items():
        dealt_equal = [chance.permutation(equal)[: 2 * SEEDS].reshape(2, SEEDS) for _ in range(DEALS)]
        _, claims = judged(plain[np.stack(dealt_equal)])
        cells = []
        for arm in PLANTED:
            other = arms[arm][name]
            dealt = [
                [table[chance.permutation(len(table))[:SEEDS]] for table in (plain, other)]
                for _ in range(DEALS)
            ]
            ratios, claimed = judged(np.array(dealt))
            effect = plain.mean() - other.mean()
            cells.append(f"{effect:.3f}, **{ratios.mean():.1f}**, {100 * claimed.mean():.0f} %")
        rows.append((name, f"{plain.mean():.3f}", *cells, f"{100 * claims.mean():.1f} %"))
    groups = {scores.shape[1] for scores in arms[""].values()}
    head = (
        f"{len(jobs)} trainings on {data.name} ({took:.1f} minutes of one core), "
        f"{', '.join(map(str, sorted(groups)))} test groups;\n"
        f"{DEALS} studies of two arms and {SEEDS} seeds, drawn from them."
    )
    return head + "\n\n" + markdown(("judge", "mean", *PLANTED, "claims, equal arms"), rows)


def trained(recipe: Recipe, data: Path, seed: int) -> pd.DataFrame:
    """Scores of the test clips after one training."""
    folder = Path(tempfile.mkdtemp())
    try:
        launch(Request(recipe, str(data), folder / "run", seed, device="cpu"))
        evaluate_run(RunFolder(folder / "run"), with_baselines=False)
        return read_clips(folder / "run" / "clips.parquet")
    finally:
        shutil.rmtree(folder)


# Finished studies: their runs, judged by every metric.


def of_study(folder: Path) -> str:
    """The table of one study: all pairs of its arms, by every metric."""
    plan = Study.load(folder).plan
    seeds = plan.seeds.take(plan.seeds.at_most)
    clips: dict[str, list[pd.DataFrame]] = {arm.id: [] for arm in plan.arms}
    for first in range(0, len(seeds), plan.seeds.folds):
        part = seeds[first : first + plan.seeds.folds]
        places = [[task_folder(folder, Task(arm, seed)) / "clips.parquet" for seed in part] for arm in clips]
        if all(place.is_file() for each in places for place in each):
            for arm, each in zip(clips, places, strict=True):
                whole = round_of([read_clips(place) for place in each])
                assert whole is not None
                clips[arm].append(whole)
    arms = {arm: scores_of(tables) for arm, tables in clips.items()}
    rows = []
    for name in (name for name in names() if all(name in scores for scores in arms.values())):
        tables = np.stack([scores[name] for scores in arms.values()])
        folds = fold_of_groups(clips[plan.reference], name)
        ratios, claimed = judged(tables, folds)
        median, largest = np.median(np.abs(ratios)), np.abs(ratios).max()
        claims = f"{claimed.sum()} of {claimed.size}"
        rows.append((name, f"{tables.mean():.3f}", f"**{median:.1f}**", f"{largest:.1f}", claims))
    design = f"{len(arms)} arms, {len(clips[plan.reference])} seeds, {plan.seeds.folds} folds"
    heads = ("judge", "mean", "difference / standard error: median pair", "largest", "pairs claimed")
    return f"{folder.name}: {design}\n\n{markdown(heads, rows)}"


# Common to both.


def scores_of(clips: Sequence[pd.DataFrame]) -> Scores:
    """Scores (S, G) of every metric that may judge a study and that all these runs have by test group."""
    found = {}
    for name in names():
        row = row_of(name)
        if row is None or row.refused:
            continue
        tables = [by_group(each, name) for each in clips]
        whole = [each for each in tables if each is not None]
        if whole and len(whole) == len(tables):
            found[name] = np.stack(whole)
    return found


def judged(scores: Array, folds: Ints | None = None) -> tuple[Array, Array]:
    """Differences over standard errors, and claims, of the pairs of arms of (..., A, S, G) scores.

    `folds` (G,) is as for `all_pairs`.
    """
    _, errors, shares, bound = all_pairs(scores, folds)
    means = scores.mean((-2, -1))
    first, second = pairs(scores.shape[-3])
    ratios = np.asarray((means[..., first] - means[..., second]) / errors)
    return ratios, np.abs(ratios) > bound.limit(shares, FALSE_CLAIMS)


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


if __name__ == "__main__":
    main()
