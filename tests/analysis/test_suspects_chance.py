"""Ranks among planted errors, and the chance made of them, against plain counts."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from nearfield.analysis.suspects.labels import LISTED, RIGHT, Tail, planted_ranks, probabilities
from nearfield.core.types import Bools, Floats


def test_a_rank_is_the_share_of_planted_errors_below() -> None:
    planted = np.array([0.1, 0.2, 0.2, 0.9])
    found = planted_ranks(np.array([0.0, 0.2, 0.5, 1.0]), planted)
    np.testing.assert_allclose(found, (np.array([0, 2, 3, 4]) + 0.5) / 5)


@hypothesis.given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.sampled_from(sorted(RIGHT)))
def test_a_chance_is_the_best_share_of_true_ones_of_all_lists_it_is_on(ranks: list[float], kind: str) -> None:
    right, given = RIGHT[kind], np.array(ranks)
    found = probabilities(given, right)
    right = Tail(max(right.share, (given >= 0.25).mean() / 0.75**right.fall), right.fall)

    def true(least: float) -> float:
        tail = float(right(np.array([least]))[0])
        return 1 - (1 + len(ranks) * tail) / sum(rank >= least for rank in ranks) if tail <= LISTED else 0.0

    for rank, chance in zip(ranks, found, strict=True):
        wanted = max(0.0, *(true(least) for least in ranks if least <= rank))
        assert abs(chance - wanted) < 1e-9


def test_of_those_of_a_chance_as_many_are_wrong() -> None:
    generator, right = np.random.default_rng(4), Tail(0.15, 4.5)

    def ranks(share: float, count: int = 2000) -> tuple[Floats, Bools]:
        planted = generator.random(count) < share
        # Right ones fall off exactly as the tail says, the rest of them below.
        above = generator.random(count) < right.share
        low = np.where(above, 1 - generator.random(count) ** (1 / right.fall), 0.0)
        return np.asarray(np.where(planted, generator.random(count), low), np.float64), planted

    for share in (0.0, 0.02, 0.1):
        told = [ranks(share) for _ in range(20)]
        found = np.concatenate([probabilities(rank, right) for rank, _ in told])
        wrong = np.concatenate([planted for _, planted in told])
        for least in (0.5, 0.9):
            if share == 0:
                assert (found >= least).mean() < 1e-3
            else:
                assert not (found >= least).any() or wrong[found >= least].mean() >= least - 0.02
        if share == 0.1:
            assert (found[wrong] >= 0.9).mean() > 0.3
