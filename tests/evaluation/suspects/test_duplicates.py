"""Near-duplicates across splits, planted and by brute force."""

import numpy as np
from scipy.spatial.distance import cdist

from nearfield.evaluation.suspects.duplicates import DuplicateSettings, duplicate_suspects

SPLITS = {"train": np.arange(0, 100), "val": np.arange(100, 130), "test": np.arange(130, 180)}


def _space(seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).standard_normal((180, 12)).astype(np.float32)


def test_planted_copies_are_found_and_nothing_else() -> None:
    vectors = _space()
    for copy, original in ((140, 3), (110, 50), (150, 105)):
        vectors[copy] = vectors[original] * 1.01 + 0.01
    # Within one side a copy is nobody's concern here.
    vectors[20] = vectors[21]
    found = duplicate_suspects(vectors, SPLITS)
    assert {(each.row, each.other) for each in found} == {(140, 3), (110, 50), (105, 150)}
    assert all(each.kind == "duplicate" and 0.9 <= each.score <= 1 for each in found)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert found[0].reason.startswith("In ")


def test_the_list_equals_brute_force() -> None:
    vectors = _space(1)
    settings = DuplicateSettings(distance="euclidean", share=0.9)
    found = duplicate_suspects(vectors, {name: SPLITS[name] for name in ("train", "test")}, settings)
    apart = cdist(vectors[SPLITS["test"]].astype(float), vectors[SPLITS["train"]].astype(float))
    usual = np.median(apart.min(axis=1))
    expected = {
        (130 + int(place), int(apart[place].argmin()))
        for place in np.flatnonzero(apart.min(axis=1) <= 0.9 * usual)
    }
    assert expected
    assert {(each.row, each.other) for each in found} == expected
    assert len(duplicate_suspects(vectors, SPLITS, settings.model_copy(update={"most": 2}))) == 2


def test_collapsed_spaces_and_lone_splits_have_no_duplicates() -> None:
    assert duplicate_suspects(np.ones((180, 3), dtype=np.float32), SPLITS) == []
    assert duplicate_suspects(_space(), {"train": np.arange(180), "test": np.arange(0)}) == []
