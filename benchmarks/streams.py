"""Streams of candidates: how many of those that are kept are no better than what they replace.

    python benchmarks/streams.py [--streams 1000] [--candidates 200]

Somebody tries one change after another on one test set and keeps what a rule says is better; a kept candidate
is compared with the next. One candidate of ten is better, by a gain that the table names; the others are
equal or worse. All candidates are scored on the same groups, and the incumbent's scores stay the same until
it is replaced, so that the comparisons of a stream depend on each other. Standard deviations are those of
esc10 (see docs/statistics.md).
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np

from nearfield.study.ledger import level
from nearfield.study.statistics.family import Bound
from nearfield.study.statistics.two_way import Array, MeanSquares

SEED, GROUP, REST = (part / 2**0.5 for part in (0.035, 0.15, 0.32))
GROUPS = 57
GAINS = (0.0, 0.1, 0.2)
"""What the better ones are better by; 0: no candidate is better."""
BETTER = 0.1
"""Share of candidates that are better."""

Tests = Sequence[tuple[float, bool]]
Rule = Callable[[float, float, Tests], bool]

RULES: dict[str, Rule] = {
    "keep if higher": lambda gap, p, tests: gap > 0,
    "keep if p < 0.05": lambda gap, p, tests: p < 0.05,
    "ledger": lambda gap, p, tests: p <= level(tests),
}


def table(rng: np.random.Generator, mean: float, ease: Array, seeds: int) -> Array:
    """(S, G) scores of one candidate."""
    own = ease + GROUP * rng.standard_normal(GROUPS)
    return np.asarray(
        mean + own + SEED * rng.standard_normal((seeds, 1)) + REST * rng.standard_normal((seeds, GROUPS))
    )


def stream(
    rng: np.random.Generator, candidates: int, seeds: int, gain: float, rule: Rule
) -> tuple[int, int, float]:
    """Kept candidates, false ones among them, and the true gain at the end."""
    ease, mean = rng.normal(0, 0.2, GROUPS), 0.0
    incumbent, tests, false = table(rng, 0.0, ease, seeds), list[tuple[float, bool]](), 0
    for _ in range(candidates):
        effect = gain if rng.random() < BETTER else -0.03 * abs(rng.standard_normal()) * (rng.random() < 0.5)
        candidate = table(rng, mean + effect, ease, seeds)
        squares = MeanSquares.of(candidate - incumbent)
        gap = float(squares.mean)
        both = Bound(2, *squares.dof).p_value(abs(gap) / float(squares.variance) ** 0.5, float(squares.share))
        p = both / 2 if gap > 0 else 1 - both / 2
        is_kept = rule(gap, p, tests)
        tests.append((p, is_kept))
        if is_kept:
            false += effect <= 0
            incumbent, mean = candidate, mean + effect
    return sum(is_kept for _, is_kept in tests), false, mean


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=200)
    given = parser.parse_args()
    print(f"{given.streams} streams of {given.candidates} candidates, {GROUPS} groups.\n")
    heads = (
        "gain",
        "rule",
        "seeds",
        "kept",
        "false among kept, %",
        "streams with a false keep, %",
        "true gain",
    )
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}", flush=True)
    for gain in GAINS:
        for name, rule in RULES.items():
            for seeds in (3, 5):
                rng = np.random.default_rng(seeds)
                found = [stream(rng, given.candidates, seeds, gain, rule) for _ in range(given.streams)]
                kept, false, end = np.array(found).T
                share = 100 * np.mean(false / np.maximum(kept, 1))
                print(
                    f"| {gain:g} | {name} | {seeds} | {kept.mean():.1f} | {share:.1f} "
                    f"| {100 * np.mean(false > 0):.1f} | {end.mean():+.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
