"""Studies by folds: false claims and power with learners that are trained, on fresh data sets.

    python benchmarks/folds.py [--studies 300]

Every data set has groups of clips of some classes. A clip has a block of features for each arm; the blocks
differ in their noise and not in what they say of the classes, so that all arms are equal on average over data
sets, trainings and splits, and unequal on any single data set. An arm is a learner on its own block: ridge
regression on random features, the nearest training clip by some of the features, or the nearest class mean of
half of the training clips. The score of a clip is whether its class is found.

"One split" judges a fifth of the groups by as many trainings as the folds have. Power is that for a
difference of 2.8 true standard errors of the folds, which a study with known variance finds in 80 % (two
arms).
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from nearfield.study.statistics.family import FALSE_CLAIMS, all_pairs
from nearfield.study.statistics.two_way import Array, differences

Ints = npt.NDArray[np.int64]
Learner = Callable[[np.random.Generator, Array, Ints, Array, int], Array]
"""Random numbers, training clips (n, D), their classes (n,), clips (m, D), classes -> scores (m, K)."""


def ridge(rng: np.random.Generator, clips: Array, classes: Ints, asked: Array, number: int) -> Array:
    """Ridge regression on 48 random rectified features."""
    weights = rng.standard_normal((clips.shape[1], 48)) / clips.shape[1] ** 0.5
    shift = rng.standard_normal(48)

    def hidden(values: Array) -> Array:
        return np.column_stack([np.maximum(values @ weights + shift, 0), np.ones(len(values))])

    known = hidden(clips)
    solved = np.linalg.solve(known.T @ known + np.eye(49), known.T @ np.eye(number)[classes])
    return np.asarray(hidden(asked) @ solved, np.float64)


def nearest_clip(rng: np.random.Generator, clips: Array, classes: Ints, asked: Array, number: int) -> Array:
    """The nearest training clip by about 60 % of the features."""
    kept = np.less(rng.random(clips.shape[1]), 0.6)
    kept[0] = True
    one, other = asked[:, kept], clips[:, kept]
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return -np.stack([squares[:, classes == each].min(1) for each in range(number)], axis=1)


def nearest_mean(rng: np.random.Generator, clips: Array, classes: Ints, asked: Array, number: int) -> Array:
    """The nearest class mean of about half of the training clips."""
    kept = rng.random(len(clips)) < 0.5
    kept |= ~np.isin(classes, classes[kept])
    means = np.stack([clips[kept & (classes == each)].mean(0) for each in range(number)])
    return np.asarray(-((asked[:, None] - means) ** 2).sum(2), np.float64)


LEARNERS: dict[str, Learner] = {
    "ridge": ridge,
    "nearest clip": nearest_clip,
    "nearest mean": nearest_mean,
}


@dataclass(frozen=True)
class World:
    """Data sets of one sort."""

    classes: int
    features: int
    groups: int
    clips: int
    """Clips of a group."""
    distance: float
    """Standard deviation of the class means, in units of the noise of a clip."""
    own: float
    """Share of the noise that is each arm's own; the rest is common to all arms."""


WORLDS = (World(5, 8, 40, 4, 0.55, 0.5), World(10, 12, 100, 3, 0.7, 0.5), World(10, 12, 100, 3, 0.7, 1.0))
DESIGNS = ((5, 1), (5, 3), (5, 5), (10, 3))
"""Folds and seeds."""


def data_set(rng: np.random.Generator, world: World, arms: int) -> tuple[Array, Ints]:
    """Clips (A, G, c, D) and classes (G,)."""
    centers = np.random.default_rng(7).standard_normal((world.classes, world.features)) * world.distance
    classes = np.arange(world.groups) % world.classes
    shape = (world.groups, world.clips, world.features)

    def noise() -> Array:
        of_group = 0.6 * rng.standard_normal((world.groups, 1, world.features))
        return np.asarray(of_group + 0.8 * rng.standard_normal(shape))

    common = noise()
    blocks = [world.own**0.5 * noise() + (1 - world.own) ** 0.5 * common for _ in range(arms)]
    return np.stack(blocks) + centers[classes][:, None], classes


def folds_of(rng: np.random.Generator, classes: Ints, folds: int) -> Ints:
    """The fold of each group, stratified by class; sizes are the same for all data sets."""
    found = np.empty(len(classes), np.int64)
    for each in np.unique(classes):
        places = np.flatnonzero(classes == each)
        found[places] = rng.permutation((np.arange(len(places)) + 3 * each) % folds)
    return found


def scores(
    rng: np.random.Generator, learner: Learner, clips: Array, classes: Ints, tested: npt.NDArray[np.bool_]
) -> Array:
    """Scores (tested groups,) of a training on the other groups."""
    number, per_group, features = int(classes.max()) + 1, clips.shape[1], clips.shape[2]
    known = clips[~tested].reshape(-1, features)
    found = learner(
        rng,
        known,
        np.repeat(classes[~tested], per_group),
        clips[tested].reshape(-1, features),
        number,
    )
    right = found.argmax(1) == np.repeat(classes[tested], per_group)
    return np.asarray(right.reshape(-1, per_group).mean(1))


def study(
    rng: np.random.Generator, learner: Learner, world: World, arms: int, folds: int, seeds: int
) -> tuple[Array, Ints, Array]:
    """Scores by folds (A, S, G) with the fold of each group, and by one split (A, S x F, G / F)."""
    clips, classes = data_set(rng, world, arms)
    fold = folds_of(rng, classes, folds)
    order = np.argsort(fold, kind="stable")
    by_folds = np.empty((arms, seeds, world.groups))
    for arm in range(arms):
        for number in range(folds):
            for seed in range(seeds):
                by_folds[arm, seed, fold == number] = scores(
                    rng, learner, clips[arm], classes, fold == number
                )
    tested = folds_of(rng, classes, 5) == 0
    one_split = [
        [scores(rng, learner, clips[arm], classes, tested) for _ in range(seeds * folds)]
        for arm in range(arms)
    ]
    return by_folds[..., order], fold[order], np.asarray(one_split)


def claims(tables: Array, gap: float, folds: Ints | None = None) -> tuple[float, float]:
    """Share of studies (N, A, S, G) with a false claim, and with a claim where the first arm is better."""

    def any_claim(shifted: Array) -> float:
        own, errors, shares, bound = all_pairs(shifted, folds)
        return float((np.abs(own.mean) > bound.limit(shares, FALSE_CLAIMS) * errors).any(-1).mean())

    better = tables.copy()
    better[:, 0] += gap
    return any_claim(tables), any_claim(better)


def rows(studies: int) -> Iterator[tuple[str, ...]]:
    """Rows of the table."""
    for name, learner in LEARNERS.items():
        for world in WORLDS:
            for arms in (2, 4):
                for folds, seeds in DESIGNS:
                    rng = np.random.default_rng(1)
                    found = [study(rng, learner, world, arms, folds, seeds) for _ in range(studies)]
                    tables: Array = np.stack([each[0] for each in found])
                    splits: Array = np.stack([each[2] for each in found])
                    fold = found[0][1]
                    gap = 2.8 * float(differences(tables).mean((-2, -1)).std())
                    cells = [claims(splits, gap)] if seeds * folds > 2 else []
                    cells += [claims(tables, gap)] if seeds > 1 else [(np.nan, np.nan)]
                    cells += [claims(tables, gap, fold)]
                    limits = stats.binomtest(round(cells[-1][0] * studies), studies).proportion_ci()
                    yield (
                        f"{name}, {world.classes} classes, {world.groups} groups, own {world.own:g}",
                        str(arms),
                        f"{folds} x {seeds}",
                        *("—" if np.isnan(a) else f"{100 * a:.1f} / {100 * b:.0f}" for a, b in cells),
                        f"{100 * limits.low:.1f} to {100 * limits.high:.1f}",
                    )


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=300)
    given = parser.parse_args()
    heads = ("world", "arms", "folds x seeds", "one split", "folds as if one split", "folds", "95 %")
    print(f"{given.studies} studies a row; false claims / power in per cent.\n")
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for row in rows(given.studies):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
