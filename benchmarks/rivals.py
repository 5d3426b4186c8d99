"""Other packages that compare arms, on the same simulated studies: false claims, power and false equality.

    pip install "pandas<3" rliable autorank baycomp anytimemonitor deepsig    # in an environment of its own
    python benchmarks/rivals.py [--studies 500] [--only autorank baycomp]

A package that is not installed is left out, and named. Scores are drawn by arm, seed and test group
(`calibration.scores`); the arms share the ease of each group, whose standard deviation is twice that of the
groups' part. Standard deviations (seed, group, rest) are those of a difference between two arms. Every
package is given what its documentation asks for and claims by its own rule at its usual level (`TOOLS`).
Each study is judged twice: with equal arms, and with a first arm that is better by three true standard
errors, which is also the meaningful difference. The first shows false claims and true equality, the second
power and, at its limit, false equality. Slow packages judge some of the studies only.

`seqbench` is an R package on CRAN and is not run here.
"""

import argparse
import contextlib
import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from itertools import combinations

import numpy as np
from scipy import stats

from calibration import scores
from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.two_way import Array

PIP = 'pip install "pandas<3" rliable autorank baycomp anytimemonitor deepsig'
LEVEL = 0.05
SEEDS, GROUPS = (3, 5), (20, 57, 300)
WORLDS = {
    "parts as on esc10": (0.035, 0.15, 0.32),
    "parts as of tags": (0.005, 0.045, 0.06),
    "seeds dominate": (0.035, 0.05, 0.07),
}
ERRORS = 3.0
"""The true difference, and the meaningful one, in true standard errors."""

Finding = tuple[int, bool]
"""1 if the first arm of a pair is said to be better, -1 the second, 0 neither; and whether both are equal."""
Judge = Callable[[Array, float], list[Finding]]


def sign(value: float, claimed: bool) -> int:
    """The direction of a claim; 0 without one."""
    return int(np.sign(value)) if claimed else 0


def over_pairs(pair: Callable[[Array, Array, float, float], Finding]) -> Judge:
    """Judges each pair by a rule for two (S, G) tables; Bonferroni corrects the level over pairs."""

    def judge(table: Array, meaningful: float) -> list[Finding]:
        both = list(combinations(range(len(table)), 2))
        return [pair(table[one], table[other], meaningful, LEVEL / len(both)) for one, other in both]

    return judge


def ours(table: Array, meaningful: float) -> list[Finding]:
    """The whole table; the verdict of the study."""
    arms = {str(arm): each for arm, each in enumerate(table)}
    found = conclude(PlannedTest("score", meaningful, dict.fromkeys(arms, 1.0)), arms).comparisons
    signs = {"better": 1, "worse": -1}
    return [(signs.get(each.claim, 0), each.claim == "equal") for each in found]


def paired_t(axis: int) -> Judge:
    """Paired t of the means over the other axis: `axis` 1 leaves seeds, 0 leaves groups."""

    def pair(one: Array, other: Array, _: float, level: float) -> Finding:
        t, p = stats.ttest_1samp((one - other).mean(axis), 0)
        return sign(float(t), float(p) < level), False

    return over_pairs(pair)


def bootstrap(one: Array, other: Array, _: float, level: float) -> Finding:
    """Percentile interval of the mean over groups, from 2,000 draws of groups."""
    gaps = (one - other).mean(0)
    drawn = gaps[np.random.default_rng(0).integers(0, len(gaps), (2000, len(gaps)))].mean(1)
    low, high = np.quantile(drawn, [level / 2, 1 - level / 2])
    return int(low > 0) - int(high < 0), False


def rliable_iqm(one: Array, other: Array, _: float, __: float) -> Finding:
    """Runs x tasks, a test group as a task; the 95 % intervals of the interquartile means do not overlap."""
    from rliable import library, metrics

    def iqm(table: Array) -> Array:
        return np.array([metrics.aggregate_iqm(table)])

    _, ends = library.get_interval_estimates({"one": one, "other": other}, iqm, reps=200)
    (low, high), (least, most) = ends["one"][:, 0], ends["other"][:, 0]
    return int(low > most) - int(high < least), False


def rliable_improvement(one: Array, other: Array, _: float, __: float) -> Finding:
    """Runs x tasks, a test group as a task; the 95 % interval of P(one > other) leaves one half out."""
    from rliable import library

    def improvement(mine: Array, yours: Array) -> Array:
        # the value of rliable.metrics.probability_of_improvement, which calls scipy for every task
        gaps = mine[:, None] - yours[None]
        return np.array([(gaps > 0).mean() + (gaps == 0).mean() / 2])

    _, ends = library.get_interval_estimates({"pair": [one, other]}, improvement, reps=200)
    low, high = ends["pair"][:, 0]
    return int(low > 0.5) - int(high < 0.5), False


def autorank_default(table: Array, _: float) -> list[Finding]:
    """A row for each test group, averaged over seeds; the frequentist test that autorank chooses."""
    import pandas as pd
    from autorank import autorank
    from autorank._util import get_sorted_rank_groups

    arms = [str(arm) for arm in range(len(table))]
    means = table.mean(1)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a table in spite of verbose=False
        found = autorank(pd.DataFrame(means.T, columns=arms), alpha=LEVEL, verbose=False)
    alike = set[tuple[str, str]]()
    if len(arms) > 2:
        _, names, runs = get_sorted_rank_groups(found, False)
        alike = {pair for first, last in runs for pair in combinations(sorted(names[first : last + 1]), 2)}
    claims = []
    for one, other in combinations(arms, 2):
        gap = means[int(one)].mean() - means[int(other)].mean()
        claims.append((sign(gap, found.pvalue < LEVEL and (one, other) not in alike), False))
    return claims


def baycomp_single(one: Array, other: Array, meaningful: float, _: float) -> Finding:
    """A score for each training; correlated t of `two_on_single`, with trainings in place of folds."""
    from baycomp import two_on_single

    mine, yours = one.mean(1), other.mean(1)
    first, second = two_on_single(mine, yours)
    return _posterior(first, second), two_on_single(mine, yours, rope=meaningful)[1] > 1 - LEVEL


def baycomp_multiple(one: Array, other: Array, meaningful: float, _: float) -> Finding:
    """A score for each test group, averaged over seeds; signed ranks, a group as a data set."""
    from baycomp import two_on_multiple

    mine, yours = one.mean(0), other.mean(0)
    first, _, second = two_on_multiple(mine, yours, nsamples=500, random_state=0)
    within = two_on_multiple(mine, yours, rope=meaningful, nsamples=500, random_state=0)[1]
    return _posterior(first, second), within > 1 - LEVEL


def _posterior(first: float, second: float) -> int:
    return int(first > 1 - LEVEL) - int(second > 1 - LEVEL)


def anytime_monitor(prior: float | None) -> Judge:
    """Every score as a rating: training = listener, group = item, arm = system; one look.

    `prior` is the share of the variance that listeners are assumed to have at least; None is its default.
    """

    def judge(table: Array, meaningful: float) -> list[Finding]:
        import pandas as pd
        from anytimemonitor import AnytimeMonitor

        arm, seed, group = (each.ravel() for each in np.indices(table.shape))
        monitor = AnytimeMonitor(
            mde_threshold=meaningful, avci_n_planned=table.shape[2], avci_lissys_floor_r0=prior
        )
        ratings = {"listener_id": seed, "item": group, "system": arm.astype(str), "rating": table.ravel()}
        monitor.add_ratings(pd.DataFrame(ratings))
        pairs = combinations(range(len(table)), 2)
        found = [monitor.decision(str(one), str(other)) for one, other in pairs]
        return [
            (sign(each.diff_mean, each.verdict == "STOP"), each.verdict == "STOP_EQUIV") for each in found
        ]

    return judge


@cache
def _violations(means: tuple[tuple[float, ...], ...]) -> Array:
    """(A, A) eps_min of `multi_aso`: the arm of the row above that of the column."""
    from deepsig import multi_aso

    # with two arms its correction for a single comparison makes the level 0, and nothing is ever claimed
    corrected = len(means) > 2
    few = {"num_bootstrap_iterations": 100, "dt": 0.02}  # of 1,000 and 0.005, which take seconds a study
    return np.asarray(multi_aso(means, use_bonferroni=corrected, show_progress=False, seed=0, **few))


def almost_stochastic_order(threshold: float) -> Judge:
    """A score for each training; eps_min below `threshold`."""

    def judge(table: Array, _: float) -> list[Finding]:
        below = _violations(tuple(map(tuple, table.mean(2).tolist()))) < threshold
        pairs = combinations(range(len(table)), 2)
        return [(int(below[one, other]) - int(below[other, one]), False) for one, other in pairs]

    return judge


@dataclass(frozen=True)
class Tool:
    """A way to judge a study."""

    name: str
    judge: Judge
    package: str = "nearfield"
    part: float = 1.0
    """Part of the studies that it judges: less for slow ones."""
    knows_equality: bool = False
    many: bool = True
    """Whether it compares more than two arms."""


TOOLS = (
    Tool("nearfield", ours, knows_equality=True),
    Tool("paired t over seeds", paired_t(1)),
    Tool("paired t over groups", paired_t(0)),
    Tool("bootstrap over groups", over_pairs(bootstrap)),
    Tool("rliable: IQM", over_pairs(rliable_iqm), "rliable", 0.1, many=False),
    Tool("rliable: improvement", over_pairs(rliable_improvement), "rliable", 0.1, many=False),
    Tool("autorank", autorank_default, "autorank", 0.2),
    Tool("baycomp: trainings", over_pairs(baycomp_single), "baycomp", 1.0, knows_equality=True, many=False),
    Tool("baycomp: groups", over_pairs(baycomp_multiple), "baycomp", 0.1, knows_equality=True, many=False),
    Tool("AnytimeMonitor", anytime_monitor(None), "anytimemonitor", 0.1, knows_equality=True),
    Tool("AnytimeMonitor: no prior", anytime_monitor(0.0), "anytimemonitor", 0.1, knows_equality=True),
    Tool("deep-significance: 0.2", almost_stochastic_order(0.2), "deepsig", 0.1),
    Tool("deep-significance: 0.5", almost_stochastic_order(0.5), "deepsig", 0.1),
)


def rates(tool: Tool, world: str, design: tuple[int, int, int], studies: int) -> Array:
    """Percentages of studies: any false claim; the difference claimed; false equality; true equality."""
    _, seeds, groups = design
    chance = np.random.default_rng([list(WORLDS).index(world), *design])
    seed, group, rest = WORLDS[world]
    tables = scores(chance, (studies, *design), WORLDS[world])
    tables += 2 * group * chance.standard_normal((studies, 1, 1, groups))
    size = ERRORS * float((seed**2 / seeds + group**2 / groups + rest**2 / (seeds * groups)) ** 0.5)
    np.random.seed(0)  # rliable draws from it
    counts = np.zeros(4)
    tables = tables[: max(1, round(studies * tool.part))]
    for table in tables:
        equal = tool.judge(table, size)
        table[0] += size
        apart = tool.judge(table, size)
        counts += [any(claim for claim, _ in equal), apart[0][0] == 1, apart[0][1], equal[0][1]]
    return np.asarray(100 * counts / len(tables))


def head(names: Sequence[str]) -> None:
    """The head of a table."""
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}", flush=True)


def two_arms(tools: Sequence[Tool], studies: int) -> None:
    """False claims and power by world and number of groups, then equality."""
    print(f"\nFalse claims / power, %, with {', '.join(map(str, GROUPS))} groups; means of {SEEDS} seeds.")
    head(("two arms", *WORLDS))
    equality: dict[str, list[str]] = {}
    for tool in tools:
        shown = []
        for world in WORLDS:
            found = np.array(
                [
                    np.mean([rates(tool, world, (2, seeds, groups), studies) for seeds in SEEDS], axis=0)
                    for groups in GROUPS
                ]
            )
            shown.append(" / ".join(" ".join(f"{value:.0f}" for value in row) for row in found.T[:2]))
            equality.setdefault(tool.name, []).append(
                " / ".join(" ".join(f"{value:.0f}" for value in row) for row in found.T[2:])
            )
        print(f"| {tool.name} | {' | '.join(shown)} |", flush=True)
    print(f"| seqbench | not run here: CRAN is not reachable |{' |' * (len(WORLDS) - 1)}")
    print("\nFalse equality at the meaningful difference / true equality of equal arms, %.")
    head(("two arms", *WORLDS))
    for tool in tools:
        if tool.knows_equality:
            print(f"| {tool.name} | {' | '.join(equality[tool.name])} |", flush=True)


def four_arms(tools: Sequence[Tool], studies: int) -> None:
    """Any false claim between four equal arms, and the first pair found where the first arm is better."""
    print("\n5 seeds, 57 groups, half as many studies: any false claim / power for the first pair, %.")
    head(("four arms", *WORLDS))
    for tool in tools:
        if tool.many:
            shown = [rates(tool, world, (4, 5, 57), studies // 2)[:2] for world in WORLDS]
            print(f"| {tool.name} | {' | '.join(f'{a:.0f} / {b:.0f}' for a, b in shown)} |", flush=True)


def main() -> None:
    """Prints Markdown tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--only", nargs="+", default=[""], help="beginnings of the names of the rows to make")
    given = parser.parse_args()
    studies = given.studies
    missing = sorted({tool.package for tool in TOOLS if find_spec(tool.package) is None})
    if missing:
        print(f"Left out, because they are not installed: {', '.join(missing)}. {PIP}")
    wanted = [tool for tool in TOOLS if tool.name.startswith(tuple(given.only))]
    tools = [tool for tool in wanted if tool.package not in missing]
    judged = ", ".join(f"{tool.name} {max(1, round(studies * tool.part))}" for tool in tools if tool.part < 1)
    print(f"{studies} studies a design{judged and f'; slow ones fewer: {judged}'}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        two_arms(tools, studies)
        four_arms(tools, studies)


if __name__ == "__main__":
    main()
