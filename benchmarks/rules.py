"""False claims and power of rules for comparing arms, in twelve worlds that no rule was made for.

    python benchmarks/rules.py [--studies 2000]

Scores of equal arms are drawn by seed and test group; a study makes a false claim if any pair is said to
differ. Power is the share of studies that claim the first pair if the first arm is better by 3.5 true
standard errors. Standard deviations (seed, group, rest) are those of a difference between two arms. Ranges
are over `CELLS`. The last table compares six equal arms with a baseline, and shows half the width of an
interval in standard deviations of the true difference.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy import stats

from calibration import scores
from nearfield.study.statistics.family import FOR_ARMS, FOR_BASELINES, Bound, against_baseline, all_pairs
from nearfield.study.statistics.two_way import Array, MeanSquares, differences

Shape = tuple[int, int, int, int]
World = Callable[[np.random.Generator, Shape], Array]

CELLS = tuple((arms, seeds, groups) for arms in (2, 4, 8) for seeds in (3, 5, 8) for groups in (10, 20, 80))
ESC10, TAGS, BALANCED = (0.035, 0.15, 0.32), (0.005, 0.045, 0.06), (0.7, 1.0, 1.4)


def one_arm(part: int, times: float, rng: np.random.Generator, shape: Shape) -> Array:
    """The seeds (`part` 0) or groups (1) of the first arm vary `times` as much."""
    table = scores(rng, shape, ESC10)
    size = ESC10[part] / 2**0.5 * (times**2 - 1) ** 0.5
    more = (len(table), shape[2], 1) if part == 0 else (len(table), 1, shape[3])
    table[:, 0] += size * rng.standard_normal(more)
    return table


def collapses(arms: int | None, rng: np.random.Generator, shape: Shape) -> Array:
    """Every fourth training of the first arm (or of all arms: None) falls by 0.2; the means stay equal."""
    hit = (rng.random((*shape[:3], 1)) < 0.25) * 0.2 - 0.05
    if arms is not None:
        hit[:, arms:] = 0
    return np.asarray(scores(rng, shape, ESC10) - hit)


def clusters(rng: np.random.Generator, shape: Shape) -> Array:
    """Arms of two kinds; those of one kind share the effects of the groups."""
    studies, arms, _, groups = shape
    kinds = 0.15 * rng.standard_normal((studies, 2, 1, groups))
    return np.asarray(scores(rng, shape, (0.035, 0.05, 0.32)) + kinds[:, np.arange(arms) % 2])


def whole_groups(rng: np.random.Generator, shape: Shape) -> Array:
    """An arm fails on 4 % of the groups in all of its trainings."""
    failed = rng.random((shape[0], shape[1], 1, shape[3])) < 0.04
    return np.asarray(scores(rng, shape, (0.035, 0.05, 0.2)) - 0.8 * failed)


def right_or_wrong(mean: float, rng: np.random.Generator, shape: Shape) -> Array:
    """One clip a group, right (1) or wrong (0)."""
    spread = (0.3, 0.7, 0.7)
    ease = rng.standard_normal((shape[0], 1, 1, shape[3]))
    size = np.sqrt(2 + sum(part**2 for part in spread) / 2)
    latent = ease + scores(rng, shape, spread) + rng.standard_normal(shape) + stats.norm.ppf(mean) * size
    return np.asarray((latent > 0).astype(np.float64))


def sizes(rng: np.random.Generator, shape: Shape) -> Array:
    """Pseudo-values of groups whose sizes are log-normal (1.5)."""
    table = scores(rng, shape, ESC10)
    weight = np.exp(1.5 * rng.standard_normal((shape[0], 1, 1, shape[3])))
    weight /= weight.mean(-1, keepdims=True)
    mean = (table * weight).mean(-1, keepdims=True)
    return np.asarray(mean + weight * (table - mean))


def students(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Student's t with 3 degrees of freedom, of variance 1."""
    return np.asarray(rng.standard_t(3, shape) / 3**0.5)


WORLDS: Mapping[str, World] = {
    "parts as on esc10": partial(scores, parts=ESC10),
    "parts as of tags": partial(scores, parts=TAGS),
    "trainings of Student's t": partial(scores, parts=(0.12, 0.15, 0.32), draw=students),
    "one arm's trainings vary 4 times as much": partial(one_arm, 0, 4.0),
    "one arm's groups vary 3 times as much": partial(one_arm, 1, 3.0),
    "one arm collapses, 1 of 4": partial(collapses, 1),
    "all arms collapse, 1 of 4": partial(collapses, None),
    "two kinds of arms": clusters,
    "4 % of the groups fail whole": whole_groups,
    "right or wrong, mean 0.75": partial(right_or_wrong, 0.75),
    "right or wrong, mean 0.97": partial(right_or_wrong, 0.97),
    "sizes of groups log-normal": sizes,
}


def ours(tables: Array) -> tuple[Array, Array]:
    """Differences and limits (studies, pairs) of the rule."""
    own, errors, share, bound = all_pairs(tables)
    return own.mean, bound.limit(share, FOR_ARMS) * errors


def before(tables: Array) -> tuple[Array, Array]:
    """Those of version 0.1.0: the variance of all pairs, or a pair's own where that is larger."""
    own = MeanSquares.of(differences(tables))
    pooled = own.pooled(tables.shape[1] - 1)
    errors = np.sqrt(np.maximum(own.variance, pooled.variance))
    return own.mean, Bound(tables.shape[1], *pooled.dof).limit(pooled.share, FOR_ARMS) * errors


def paired(tables: Array) -> tuple[Array, Array]:
    """A t test over seeds, the test set taken as it is; Bonferroni over pairs."""
    by_seed = differences(tables).mean(-1)
    seeds = by_seed.shape[-1]
    limit = stats.t.isf(0.025 / by_seed.shape[-2], seeds - 1)
    return by_seed.mean(-1), limit * by_seed.std(-1, ddof=1) / seeds**0.5


RULES = {"this version": ours, "0.1.0": before, "paired t over seeds": paired}


def parts(draw: World, rng: np.random.Generator, studies: int, cell: tuple[int, int, int]) -> Iterator[Array]:
    """Tables of the studies of a cell, some at a time."""
    some = max(1, min(studies, 2_000_000 // int(np.prod(cell))))
    for _ in range(-(-studies // some)):
        yield draw(rng, (some, *cell))


def claims(draw: World, studies: int, cell: tuple[int, int, int], gap: float = 0.0) -> dict[str, float]:
    """Percentage of studies in which each rule claims a pair, or with a `gap` the first pair."""
    rng, found = np.random.default_rng(cell), {name: list[npt.NDArray[np.bool_]]() for name in RULES}
    for tables in parts(draw, rng, studies, cell):
        tables[:, 0] += gap
        for name, rule in RULES.items():
            difference, limit = rule(tables)
            found[name].append(
                np.asarray(difference[:, 0] > limit[:, 0] if gap else (abs(difference) > limit).any(1))
            )
    return {name: 100 * float(np.concatenate(hits).mean()) for name, hits in found.items()}


def row(name: str, cells: list[dict[str, float]]) -> None:
    """One line of a table: the range over cells and, in brackets, the mean of each rule."""
    shown = []
    for rule in RULES:
        values = [each[rule] for each in cells]
        shown.append(f"{min(values):.1f} to {max(values):.1f} ({np.mean(values):.1f})")
    print(f"| {name} | {' | '.join(shown)} |", flush=True)


def head(first: str) -> None:
    """The head of a table of rules."""
    print(f"\n| {first} | {' | '.join(RULES)} |\n|{'---|' * (len(RULES) + 1)}", flush=True)


def near(rng: np.random.Generator, shape: Shape) -> Array:
    """The first two arms fail on the same groups; all others on their own."""
    own = 0.15 * rng.standard_normal((shape[0], shape[1], 1, shape[3]))
    own[:, 1] = own[:, 0]
    return np.asarray(scores(rng, shape, (0.035, 0.03, 0.2)) + own)


def power_table(studies: int) -> None:
    """Power, where the true parts of the first pair are known."""
    head("power, %: the first pair")
    cases: dict[str, tuple[World, tuple[float, float, float]]] = {
        "parts as on esc10": (partial(scores, parts=ESC10), ESC10),
        "parts as of tags": (partial(scores, parts=TAGS), TAGS),
        "balanced parts": (partial(scores, parts=BALANCED), BALANCED),
        "two arms that fail on the same groups": (near, (0.035, 0.03, 0.2)),
    }
    for name, (draw, (seed, group, rest)) in cases.items():
        cells = []
        for cell in CELLS:
            true = (seed**2 / cell[1] + group**2 / cell[2] + rest**2 / (cell[1] * cell[2])) ** 0.5
            cells.append(claims(draw, studies, cell, 3.5 * true))
        row(name, cells)


def baseline_table(studies: int) -> None:
    """Six equal arms against a baseline that equals them and has no seeds."""
    print("\nSix arms and a baseline: false claims, % of 1 promised; half an interval.")
    print("| world | seeds | this version | 0.1.0 |\n|---|---|---|---|", flush=True)
    for name in ("parts as on esc10", "parts as of tags", "one arm's trainings vary 4 times as much"):
        for seeds in (3, 5):
            rng, figures = np.random.default_rng(seeds), list[list[float]]()
            for tables in parts(WORLDS[name], rng, studies, (6, seeds, 57)):
                plain = WORLDS["parts as of tags"](rng, (len(tables), 1, 200, 57)).mean(2, keepdims=True)
                own, errors, share, bound = against_baseline(tables, plain)
                old = own.pooled(1)
                limits = (
                    bound.limit(share, FOR_BASELINES) * errors,
                    Bound(2, *own.dof).limit(old.share, FOR_BASELINES / 6)
                    * np.sqrt(np.maximum(own.variance, old.variance)),
                )
                spread = own.mean.std()
                figures.append(
                    [
                        number
                        for limit in limits
                        for number in (
                            100 * float((abs(own.mean) > limit).any(1).mean()),
                            float(np.median(limit) / spread),
                        )
                    ]
                )
            new, width, old_claims, old_width = np.mean(figures, axis=0)
            print(
                f"| {name} | {seeds} | {new:.1f}, {width:.1f} | {old_claims:.1f}, {old_width:.1f} |",
                flush=True,
            )


def main() -> None:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    studies = parser.parse_args().studies
    print(f"{studies} studies a cell; {len(CELLS)} cells of arms, seeds and groups: range (mean).")
    head("false claims, %, of equal arms (4 promised)")
    for name, draw in WORLDS.items():
        row(name, [claims(draw, studies, cell) for cell in CELLS])
    power_table(studies)
    baseline_table(studies)


if __name__ == "__main__":
    main()
