"""Pairs: what labels and triplets set, and the laws that hold for any of them."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nearfield.core.errors import RequestError
from nearfield.core.types import Pairs


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12))
def test_labels_set_every_cell_as_a_plain_reading_does(labels: list[int]) -> None:
    pairs = Pairs.from_labels(np.array(labels))
    for a, one in enumerate(labels):
        for b, other in enumerate(labels):
            known = one >= 0 and other >= 0
            assert bool(pairs.positive[a, b]) == (known and one == other and a != b)
            assert bool(pairs.negative[a, b]) == (known and one != other)
    assert (pairs.labels is None) == (-1 in labels)


def test_a_triplet_list_sets_few_cells() -> None:
    pairs = Pairs.from_triplets(torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 5]), 6)
    assert pairs.positive.nonzero().tolist() == [[0, 2], [1, 3]]
    assert pairs.negative.nonzero().tolist() == [[0, 4], [1, 5]]


def test_keeping_never_sets_a_cell() -> None:
    pairs = Pairs.from_labels(torch.tensor([0, 0, 1]))
    kept = pairs.keep(torch.ones(3, 3, dtype=torch.bool), torch.zeros(3, 3, dtype=torch.bool))
    assert torch.equal(kept.positive, pairs.positive)
    assert not kept.negative.any()


def test_labels_come_as_class_numbers_of_every_kind_and_as_nothing_else() -> None:
    wanted = Pairs.from_labels(torch.tensor([0, 1, 0, -1]))
    series = pd.Series([0, 1, 0, -1])
    kinds: list[Any] = [
        [0, 1, 0, -1],
        np.array([0.0, 1.0, 0.0, np.nan]),
        series,
        torch.tensor([0, 1, 0, -1], dtype=torch.int8),
        torch.tensor([0.0, 1.0, 0.0, torch.nan]),
    ]
    for given_labels in kinds:
        found = Pairs.from_labels(given_labels)
        assert torch.equal(found.positive, wanted.positive)
        assert torch.equal(found.negative, wanted.negative)
    refused: list[tuple[Any, str]] = [
        (["dog", "cat"], r"Labels are class numbers, one per item\. Given: <U3\..*np\.unique\(names"),
        (np.array([[0], [1]]), r"Given: \(2, 1\)\. Take its one column: labels\[:, 0\]"),
        (torch.eye(3), r"Given: \(3, 3\)\.$"),
        (0, r"Given: \(\)\.$"),
        ([0.5, 1.0], "fractions"),
    ]
    for given_labels, said in refused:
        with pytest.raises(RequestError, match=said):
            Pairs.from_labels(given_labels)
