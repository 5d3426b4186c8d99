"""Trends over an ordered factor and comparisons with the best: what they add to comparisons of all pairs.

    python benchmarks/trends.py [--studies 1000]

Six values of a factor, 5 seeds and 57 groups, with the variances of the margin study on esc10. The first
table has the share of studies with any true claim (for equal arms: any false one), by all pairs alone, and by
the trend with the pairs. The second has how often an arm is left out of those that may be the best, by all
pairs and by comparisons with the best.
"""

import argparse

import numpy as np

from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.two_way import Array

NAMES = "abcdefgh"
CURVES = {
    "equal (false claims)": np.zeros(6),
    "straight fall of .08": np.linspace(0, -0.08, 6),
    "plateau, then a fall of .08": np.array([0, 0, 0, -0.027, -0.053, -0.08]),
    "step of .08": np.array([0, 0, 0, -0.08, -0.08, -0.08]),
    "hump of .08": -0.08 * (np.linspace(-1, 1, 6) ** 2),
}


def scores(rng: np.random.Generator, means: Array, parts: tuple[float, float, float]) -> dict[str, Array]:
    """Scores of arms; `parts` are standard deviations of a difference: seed, group, rest."""
    arms, seeds, groups = len(means), 5, 57
    seed, group, rest = (part / 2**0.5 for part in parts)
    tables = (
        means[:, None, None]
        + rng.normal(0, 0.2, groups)
        + rng.normal(0, seed, (arms, seeds, 1))
        + rng.normal(0, group, (arms, 1, groups))
        + rng.normal(0, rest, (arms, seeds, groups))
    )
    return dict(zip(NAMES, tables, strict=False))


def claimed(means: Array, given: dict[str, Array], ordered: bool) -> bool:
    """Whether a study claims that arms of unequal means differ, or has a trend (of equal means: anything)."""
    values = dict(zip(given, range(1, 1 + len(given)), strict=True)) if ordered else None
    found = conclude(PlannedTest("probe/macro_f1", 0.02, {}, values=values), given)
    true = dict(zip(given, means, strict=True))
    pair = any(
        each.claim in ("better", "worse") and (true[each.one] != true[each.other] or not means.any())
        for each in found.comparisons
    )
    shape = found.trend
    return pair or bool(shape and (shape.line.claimed or shape.parabola.claimed))


def main() -> None:
    """Prints two Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    studies = parser.parse_args().studies
    esc10 = (0.035, 0.15, 0.32)
    print(f"{studies} studies a row, per cent.\n")
    print("| curve | all pairs | trend and pairs |\n|---|---|---|")
    for name, means in CURVES.items():
        rng = np.random.default_rng(0)
        tables = [scores(rng, means, esc10) for _ in range(studies)]
        pairs, both = (
            100 * np.mean([claimed(means, each, ordered) for each in tables]) for ordered in (False, True)
        )
        print(f"| {name} | {pairs:.1f} | {both:.1f} |", flush=True)
    print(print("\n| arms | the best is left out: pairs, best | one .08 below: pairs, best |\n|---|---|---|"))
    for arms in (4, 6, 8):
        rng = np.random.default_rng(0)
        means = np.array([0.0, -0.08, *[-0.04] * (arms - 2)])
        out = np.zeros((2, 2))
        for _ in range(studies):
            found = conclude(PlannedTest("probe/macro_f1", 0.02, {}), scores(rng, means, esc10))
            worse = {each.one for each in found.comparisons if each.claim == "worse"} | {
                each.other for each in found.comparisons if each.claim == "better"
            }
            out += [
                ["a" in worse, "a" not in found.candidates],
                ["b" in worse, "b" not in found.candidates],
            ]
        (best, best_with), (below, below_with) = 100 * out / studies
        print(f"| {arms} | {best:.1f}, {best_with:.1f} | {below:.0f}, {below_with:.0f} |", flush=True)


if __name__ == "__main__":
    main()
