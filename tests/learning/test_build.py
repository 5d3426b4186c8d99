"""Relations and samplers of the front door, called on arrays: as loops over the items say."""

import doctest
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from nearfield.core import types
from nearfield.core.errors import DataError, RequestError
from nearfield.core.types import BatchIndices, ClipMetadata, Pairs
from nearfield.learning import build
from nearfield.learning.build import loss, relation, sampler

RNG = np.random.default_rng(0)
LABELS = RNG.integers(-1, 3, size=20)
TAGS = RNG.random((20, 5)) < 0.4
CLIPS = RNG.integers(90, 97, size=20)


def cells(pairs: Pairs) -> tuple[list[list[bool]], list[list[bool]]]:
    """Positive and negative pairs as lists."""
    return pairs.positive.tolist(), pairs.negative.tolist()


def table(rule: Any) -> list[list[bool]]:
    """Whether a rule holds for two different items of the 20."""
    return [[i != j and bool(rule(i, j)) for j in range(20)] for i in range(20)]


def shared(i: int, j: int) -> int:
    """Number of tags that two items share; -1 if one has none."""
    return int((TAGS[i] & TAGS[j]).sum()) if TAGS[i].any() and TAGS[j].any() else -1


@pytest.mark.parametrize("given", [LABELS, LABELS.tolist(), torch.from_numpy(LABELS)], ids=type)
def test_labels_are_compared(given: Any) -> None:
    known = LABELS >= 0
    assert cells(relation("labels")(given)) == (
        table(lambda i, j: known[i] and LABELS[i] == LABELS[j]),
        table(lambda i, j: known[i] and known[j] and LABELS[i] != LABELS[j]),
    )


@pytest.mark.parametrize("given", [TAGS, TAGS.astype(int).tolist(), torch.from_numpy(TAGS)], ids=type)
def test_tags_are_compared_and_given_to_losses(given: Any) -> None:
    pairs = relation("tags", at_least=2)(given)
    assert cells(pairs) == (table(lambda i, j: shared(i, j) >= 2), table(lambda i, j: shared(i, j) == 0))
    assert pairs.tags is not None
    known = TAGS.any(axis=1)
    assert torch.equal(pairs.tags[torch.from_numpy(known)], torch.from_numpy(TAGS[known]).float())
    vectors = torch.randn(20, 4, requires_grad=True)
    loss("triplet")(vectors, pairs).backward()
    assert vectors.grad is not None


def test_views_of_one_clip_are_positive() -> None:
    assert cells(relation("views")(CLIPS)) == (
        table(lambda i, j: CLIPS[i] == CLIPS[j]),
        table(lambda i, j: CLIPS[i] != CLIPS[j]),
    )


def test_times_are_compared() -> None:
    starts = np.arange(20) % 7 * 2.0
    clips = ClipMetadata.of(recordings=CLIPS, start_times=starts, seconds=2)
    assert cells(relation("time", range_seconds=3)(clips)) == (
        table(lambda i, j: CLIPS[i] == CLIPS[j] and abs(starts[i] - starts[j]) <= 3),
        table(lambda i, j: CLIPS[i] != CLIPS[j]),
    )
    with pytest.raises(RequestError, match=r"relation: time: an array .* Give ClipMetadata, for example"):
        relation("time")(CLIPS)


def test_windows_of_a_sampler_are_compared_by_their_clips() -> None:
    batches = sampler("balanced", LABELS, classes=2, per_class=3)
    for batch in batches.epoch(0):
        by_window = relation("labels")(ClipMetadata.of(LABELS), batch)
        assert cells(by_window) == cells(Pairs.from_labels(LABELS[batch.rows]))
    again = relation("labels")(LABELS, BatchIndices(np.array([0, 0]), np.zeros(2)))
    assert cells(again) == cells(Pairs.from_labels([LABELS[0]] * 2))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(RequestError, match=r"Tags are 0 or 1, one row per item.* shape \(20,\)"):
        relation("tags")(LABELS)
    with pytest.raises(RequestError, match="Labels are class numbers"):
        relation("labels")(TAGS)
    with pytest.raises(DataError, match="none of the clips has a label"):
        relation("labels")([-1, -1])
    with pytest.raises(RequestError, match=r"relation: unknown kind 'label'\. Did you mean 'labels'"):
        relation("label")
    with pytest.raises(RequestError, match=r"Lengths given: labels: 20, start_times: 3\."):
        ClipMetadata.of(LABELS, start_times=np.zeros(3))
    with pytest.raises(RequestError, match="Lengths given: none"):
        ClipMetadata.of()
    with pytest.raises(RequestError, match="1 names for 5 tags"):
        ClipMetadata.of(tags=TAGS, tag_names=["a"])


def test_a_sampler_draws_from_labels_tags_and_rows() -> None:
    for batch in sampler("balanced", LABELS, classes=2, per_class=4, seed=1).epoch(0):
        drawn = LABELS[batch.rows]
        assert sorted(np.unique(drawn, return_counts=True)[1].tolist()) == [4, 4]
        assert (drawn >= 0).all()
    rows = np.arange(4, 14)
    found = np.concatenate([batch.rows for batch in sampler("shuffle", LABELS, rows=rows).epoch(0)])
    assert sorted(found.tolist()) == rows.tolist()
    for batch in sampler("balanced_tags", torch.from_numpy(TAGS), batch_size=6).epoch(0):
        assert TAGS[batch.rows].any(axis=1).all()
    one, other = (sampler("shuffle", LABELS, batch_size=20, seed=seed) for seed in (1, 2))
    assert [b.rows.tolist() for b in one.epoch(0)] != [b.rows.tolist() for b in other.epoch(0)]


def test_a_label_without_a_name_is_named_by_its_number() -> None:
    labels = [0, 0, 7, 7, 3]
    assert sampler("balanced", labels, classes=2, per_class=2, small="drop").dropped == ("3",)
    named = ClipMetadata.of(labels, label_names=["rain", "", "", "wind"])
    assert sampler("balanced", named, classes=2, per_class=2, small="drop").dropped == ("wind",)


@pytest.mark.parametrize("module", [build, types], ids=lambda module: module.__name__)
def test_the_examples_of_docstrings_hold(module: ModuleType) -> None:
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
