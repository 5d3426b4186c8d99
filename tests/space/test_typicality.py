"""How typical a query is: nearest of other groups, and ranks that are as likely as they should be."""

import numpy as np
import pytest

from nearfield.core.types import Vectors
from nearfield.space.generation import calibrate, typicality, unit_rows
from nearfield.space.nearest import Nearest


def directions(count: int, seed: int) -> Vectors:
    """Unit vectors of six numbers."""
    rows = np.random.default_rng(seed).standard_normal((count, 6))
    return unit_rows(rows.astype(np.float32))


@pytest.mark.parametrize("groups", [300, 3, 1])
def test_distances_are_those_to_the_nearest_of_another_group(groups: int) -> None:
    vectors = directions(300, 0)
    numbers = np.arange(300) % groups
    similar = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    own = np.arange(300) if groups == 1 else numbers
    similar[own[:, None] == own] = -np.inf
    found = calibrate(Nearest.of(vectors), numbers)
    np.testing.assert_allclose(found, np.sort(1 - similar.max(axis=1)), atol=1e-9)


def test_one_row_has_nothing_to_be_compared_with() -> None:
    assert len(calibrate(Nearest.of(directions(1, 0)), np.zeros(1, np.int64))) == 0
    assert typicality(0.5, np.empty(0)) == 1.0


def test_of_usual_sounds_a_share_p_is_as_typical_as_p() -> None:
    """Over many spaces: within one the share varies by 0.02, with the calibration that was drawn."""
    levels, found = np.array([0.05, 0.2, 0.5]), []
    for seed in range(12):
        nearest = Nearest.of(directions(1000, seed))
        calibration = calibrate(nearest, np.arange(1000))
        scores = nearest.search_many(directions(1000, 100 + seed), 1)[1][:, 0]
        shares = np.array([typicality(1 - score, calibration) for score in scores])
        found.append((shares[:, None] <= levels).mean(axis=0))
    np.testing.assert_allclose(np.mean(found, axis=0), levels, atol=0.02)
    assert typicality(1.99, calibration) == 1 / 1001
