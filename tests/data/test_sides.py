"""Folds of a cross-validation: laws, and scikit-learn's grouped folds as a second opinion."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from nearfield.core.errors import DataError
from nearfield.core.types import Ints
from nearfield.data.collection import fold_sides
from nearfield.data.settings import Fold
from nearfield.data.splits import make_folds


def clips(groups: Ints, rng: np.random.Generator) -> pd.DataFrame:
    """Clips of these groups, each group on one side by chance, and two clips that test holds."""
    names = [f"group {number}" for number in groups]
    side = {name: str(rng.choice(["train", "val"])) for name in sorted(set(names))}
    rows = [(name, str(rng.choice(["a", "b", "c"])), (), side[name]) for name in names]
    rows += [("judged", "a", (), "test"), ("apart", "b", (), "")]
    return pd.DataFrame(rows, columns=["group", "label", "tags", "split"])


@given(st.integers(2, 6), st.booleans(), st.integers(0, 10_000))
@settings(deadline=None, max_examples=60)
def test_each_clip_judges_once_and_chooses_once_and_groups_stay_whole(
    folds: int, validates: bool, seed: int
) -> None:
    rng, folds = np.random.default_rng(seed), folds + validates
    groups = np.arange(folds + rng.integers(0, 20))
    table = clips(np.concatenate([groups, rng.choice(groups, 30)]), rng)
    dealt = [fold_sides(table, Fold(of=folds, number=number + 1), validates) for number in range(folds)]
    share = ["test", *["val"] * validates]
    once = sorted(share + ["train"] * (folds - len(share)))
    for row, split in enumerate(table["split"]):
        held = sorted(splits[row] for splits in dealt)
        assert held == (once if split in ("train", "val") else [""] * folds)
    for splits in dealt:
        assert set(splits) == {"", *once}
        assert (table.assign(side=splits).groupby("group")["side"].nunique() == 1).all()


def test_labels_are_shared_out_as_evenly_as_scikit_learn_does() -> None:
    ours, theirs = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        label_of = rng.choice(3, 40, p=[0.6, 0.3, 0.1])
        groups = rng.integers(0, 40, 300)
        labels = label_of[groups]
        mine = np.array(make_folds([str(g) for g in groups], [(str(label),) for label in labels], 5))
        other = StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(groups, labels, groups)
        ours.append(spread([labels[mine == fold] for fold in range(1, 6)]))
        theirs.append(spread([labels[judged] for _, judged in other]))
    assert np.mean(ours) <= np.mean(theirs)


def spread(folds: list[Ints]) -> float:
    """How far the folds' counts of each label are from one another."""
    return float(np.std([np.bincount(fold, minlength=3) for fold in folds], axis=0).sum())


def test_folds_that_cannot_be_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(
        DataError, match=r"folds: 3 groups cannot fill 4 folds, because groups are not divided\."
    ):
        fold_sides(clips(np.array([0, 1, 1, 2]), rng), Fold(of=4), validates=False)
    with pytest.raises(DataError, match="there are no train or val clips"):
        fold_sides(clips(np.array([], np.int64), rng), Fold(of=3), validates=False)
    with pytest.raises(
        DataError, match=r"with 2 folds, one is test and one is val, so none is left for train\. Use 3"
    ):
        fold_sides(clips(np.arange(9), rng), Fold(of=2), validates=True)
    with pytest.raises(ValueError, match="there are 3 folds, the first is 1: number cannot be 4"):
        Fold(of=3, number=4)
