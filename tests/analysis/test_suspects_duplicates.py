"""Near-duplicates across splits, planted at known distances."""

import numpy as np
import pytest

from nearfield.analysis.suspects.duplicates import DuplicateSettings, duplicate_suspects

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


def test_the_list_is_what_lies_within_the_share_of_the_usual_distance() -> None:
    # Clips of train stand at whole numbers, so one of test that is as far as can be lies 0.5 away.
    train, beside = np.arange(40.0), np.array([0.02, 0.04, 0.09, 0.2, 0.4, 0.45, 0.49])
    places = np.concatenate([train, np.arange(3, 10) * 3 + beside])
    vectors = np.stack([places, np.zeros_like(places)], axis=1).astype(np.float32)
    splits = {"train": np.arange(40), "test": np.arange(40, 47)}
    # Usual is 1, from train to train; from test to train it is 0.2.
    for share, listed in ((0.05, 2), (0.1, 3), (0.3, 4), (0.48, 6)):
        settings = DuplicateSettings(distance="euclidean", share=share)
        found = duplicate_suspects(vectors, splits, settings)
        assert [(each.row, each.other) for each in found] == [(40 + n, 9 + 3 * n) for n in range(listed)]
        assert [each.score for each in found] == pytest.approx((1 - beside[:listed]).tolist(), abs=1e-5)
    assert len(duplicate_suspects(vectors, splits, settings.model_copy(update={"most": 2}))) == 2


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("copies", [11, 19, 20])
def test_a_test_side_of_copies_is_listed_copy_by_copy(copies: int, exact: bool) -> None:
    vectors = _space(2)
    test = np.arange(130, 150)
    vectors[test[:copies]] = vectors[:copies]
    if not exact:
        vectors[test[:copies]] += 1e-3 * _space(3)[:copies]
    found = duplicate_suspects(vectors, {"train": SPLITS["train"], "test": test})
    assert sorted((each.row, each.other) for each in found) == [(130 + n, n) for n in range(copies)]


def test_collapsed_spaces_and_lone_splits_have_no_duplicates() -> None:
    assert duplicate_suspects(np.ones((180, 3), dtype=np.float32), SPLITS) == []
    assert duplicate_suspects(_space(), {"train": np.arange(180), "test": np.arange(0)}) == []
