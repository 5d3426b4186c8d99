"""Relations against slow, obvious versions, scikit-learn, and the laws that hold for every one of them."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import jaccard_score

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import make
from nearfield.core.types import BatchIndices, ClipMetadata, Pairs
from nearfield.learning.build import relation
from nearfield.learning.relations import RelationSettings
from nearfield.learning.relations.labels import Tags, rarity
from nearfield.learning.relations.time import false_negative_rate

TAGS = ("voice", "vocal", "beat", "drum", "slow")


def facts_of(count: int, seed: int = 0, seconds: float = 12.0) -> ClipMetadata:
    """Some clips with everything known of most: a fifth have no label, some no tags, some no recording."""
    rng = np.random.default_rng(seed)
    return ClipMetadata(
        labels=rng.integers(-1, 4, size=count),
        label_names=("a", "b", "c", "d"),
        tags=rng.random((count, len(TAGS))) < 0.35,
        tag_names=TAGS,
        recordings=rng.integers(-1, 3, size=count),
        groups=rng.integers(-1, 2, size=count),
        start_times=rng.integers(0, 30, size=count).astype(np.float64) / 2,
        seconds=np.full(count, seconds),
    )


def draw_of(metadata: ClipMetadata, size: int, seed: int = 0) -> BatchIndices:
    """A batch in which rows come several times, at starts on a grid of a tenth of a second."""
    rng = np.random.default_rng(seed)
    return BatchIndices(rng.integers(len(metadata), size=size), rng.integers(0, 70, size=size) / 10)


EVERY: list[dict[str, Any]] = [
    {"kind": "labels"},
    {"kind": "tags"},
    {"kind": "tags", "at_least": 2, "negatives": "not_alike", "pair_weight": "jaccard", "weights": "idf"},
    {"kind": "tags", "jaccard": 0.4, "pair_weight": "jaccard", "synonyms": [["voice", "vocal"]]},
    {"kind": "time", "range_seconds": 2.0},
    {"kind": "time", "range_seconds": 2.0, "far_is_unlike": True, "gap_seconds": 1.0, "other_group": True},
    {"kind": "time", "range_seconds": 1.5, "not_synchronous": 3.0},
    {"kind": "views"},
]


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_laws_of_every_relation(given_settings: dict[str, Any]) -> None:
    metadata = facts_of(20)
    built = make(RelationSettings, "relation", given_settings).build(metadata)
    assert built.kind == given_settings["kind"]
    for seed in range(5):
        indices = draw_of(metadata, 24, seed)
        pairs = built(indices)
        assert pairs.positive.shape == pairs.negative.shape == (24, 24)
        assert pairs.positive.dtype == pairs.negative.dtype == torch.bool
        assert not pairs.positive.diagonal().any()
        assert not pairs.negative.diagonal().any()
        assert not (pairs.positive & pairs.negative).any()
        assert torch.equal(pairs.positive, pairs.positive.T)
        assert torch.equal(pairs.negative, pairs.negative.T)
        assert pairs.positive.any()
        assert pairs.negative.any()
        if pairs.weight is not None:
            assert ((pairs.weight >= 0) & (pairs.weight <= 1)).all()
            assert not pairs.weight[~pairs.positive].any()
        order = torch.from_numpy(np.random.default_rng(seed).permutation(24))
        moved = built(BatchIndices(indices.rows[order.numpy()], indices.starts[order.numpy()]))
        assert torch.equal(moved.positive, pairs.positive[order][:, order])
        assert torch.equal(moved.negative, pairs.negative[order][:, order])


def test_labels_fill_by_equality_and_leave_out_the_unknown() -> None:
    metadata = replace(facts_of(5), labels=np.array([1, 1, 0, -1, 0]))
    pairs = relation("labels")(metadata, BatchIndices(np.array([0, 1, 2, 3, 4]), np.zeros(5)))
    assert pairs.positive.nonzero().tolist() == [[0, 1], [1, 0], [2, 4], [4, 2]]
    assert pairs.negative.int().sum(1).tolist() == [2, 2, 2, 0, 2]
    assert pairs.labels is None  # one of them has none
    known = relation("labels")(metadata, BatchIndices(np.array([4, 0]), np.zeros(2)))
    assert known.labels is not None
    assert known.labels.tolist() == [0, 1]


def test_labels_take_a_clip_drawn_twice_for_company_as_other_libraries_do() -> None:
    pairs = relation("labels")(
        replace(facts_of(2), labels=np.array([0, 1])), BatchIndices(np.array([0, 0, 1, 1]), np.zeros(4))
    )
    assert pairs.positive.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


def sets_of(metadata: ClipMetadata, indices: BatchIndices, groups: list[list[str]]) -> list[set[str]]:
    """Each item's tags as a set of names, synonyms replaced by the first of their group."""
    first = {name: group[0] for group in groups for name in group}
    return [
        {first.get(n, n) for n, has in zip(metadata.tag_names, metadata.tags[row], strict=True) if has}
        for row in indices.rows
    ]


@given(
    seed=st.integers(0, 10_000),
    at_least=st.integers(1, 3),
    jaccard=st.sampled_from([None, 0.2, 1 / 3, 0.5, 1.0]),
    negative=st.sampled_from(["none_shared", "not_alike"]),
    groups=st.sampled_from([[], [["voice", "vocal"]], [["beat", "drum", "slow"], ["vocal", "voice"]]]),
)
@settings(max_examples=50, deadline=None)
def test_tags_as_sets_say(
    seed: int, at_least: int, jaccard: float | None, negative: str, groups: list[list[str]]
) -> None:
    metadata, size = facts_of(9, seed), 12
    indices = draw_of(metadata, size, seed)
    built = relation(
        "tags", at_least=at_least, jaccard=jaccard, negatives=negative, pair_weight="jaccard", synonyms=groups
    )
    pairs = built(metadata, indices)
    sets = sets_of(metadata, indices, groups)
    for i in range(size):
        for j in range(size):
            shared, union = len(sets[i] & sets[j]), len(sets[i] | sets[j])
            takes_part = i != j and bool(sets[i]) and bool(sets[j])
            enough = shared >= at_least and (jaccard is None or shared / union >= jaccard)
            positive = takes_part and enough
            apart = shared == 0 if negative == "none_shared" else not enough
            assert bool(pairs.positive[i, j]) == positive
            assert bool(pairs.negative[i, j]) == (takes_part and apart and indices.rows[i] != indices.rows[j])
            assert pairs.weight is not None
            assert float(pairs.weight[i, j]) == pytest.approx(shared / union if positive else 0)


def test_each_clip_hands_on_its_tags_and_those_that_mean_the_same() -> None:
    metadata = facts_of(30)
    indices = draw_of(metadata, 20)
    for groups in ([], [["voice", "vocal"], ["drum", "beat"]]):
        tagging = Tags.model_validate({"synonyms": groups}).build(metadata)
        given_tags = tagging(indices).tags
        assert given_tags is not None
        assert given_tags.shape == (20, 5)
        for row, found in zip(indices.rows, given_tags, strict=True):
            names = {name for name, has in zip(TAGS, metadata.tags[row], strict=True) if has}
            for group in groups:
                names |= set(group) if names & set(group) else set()
            wanted = [float(name in names) if names else float("nan") for name in TAGS]
            torch.testing.assert_close(found, torch.tensor(wanted), equal_nan=True)
        rows = np.arange(5, 25)
        each = tagging(BatchIndices(rows, np.zeros(20))).tags
        assert each is not None
        torch.testing.assert_close(tagging.shares(rows), each[~each[:, 0].isnan()].mean(0))
    assert relation("labels")(metadata, indices).tags is None


def test_strength_is_the_jaccard_score_of_scikit_learn() -> None:
    metadata = facts_of(30)
    indices = BatchIndices(np.arange(30), np.zeros(30))
    pairs = relation("tags", pair_weight="jaccard")(metadata, indices)
    assert pairs.weight is not None
    for i, j in pairs.positive.nonzero().tolist():
        expected = jaccard_score(metadata.tags[i], metadata.tags[j])
        assert float(pairs.weight[i, j]) == pytest.approx(expected)


def test_rarity_is_the_smoothed_idf_of_scikit_learn() -> None:
    tags = facts_of(40).tags
    tags = tags[tags.any(axis=1)]
    expected = TfidfTransformer(smooth_idf=True).fit(tags.astype(float)).idf_
    assert rarity(np.concatenate([tags, np.zeros((5, 5), bool)])).numpy() == pytest.approx(expected)


def test_a_rare_shared_tag_makes_clips_more_alike_than_a_common_one() -> None:
    tags = np.zeros((20, 5), bool)
    tags[:, 0] = True
    tags[:2, 1] = True
    tags[1, 0] = False  # clip 0 shares the rare tag with clip 1, the common one with all others
    metadata = replace(facts_of(20), tags=tags)
    indices = BatchIndices(np.arange(20), np.zeros(20))
    plain = relation("tags", pair_weight="jaccard")(metadata, indices).weight
    weighted = relation("tags", pair_weight="jaccard", weights="idf")(metadata, indices).weight
    assert plain is not None
    assert weighted is not None
    assert float(plain[0, 1]) == float(plain[0, 5]) == 0.5
    common, rare = np.log(21 / 20) + 1, np.log(21 / 3) + 1
    assert float(weighted[0, 1]) == pytest.approx(rare / (common + rare))
    assert float(weighted[0, 5]) == pytest.approx(common / (common + rare))


def windows_near(
    metadata: ClipMetadata, indices: BatchIndices, range_seconds: float
) -> list[list[float | None]]:
    """Seconds between two windows of one known recording, else None."""
    moment = [
        float(metadata.start_times[r]) + float(s) for r, s in zip(indices.rows, indices.starts, strict=True)
    ]
    where = metadata.recordings[indices.rows]
    size = range(len(indices))
    return [[abs(moment[i] - moment[j]) if where[i] == where[j] >= 0 else None for j in size] for i in size]


@given(
    seed=st.integers(0, 10_000),
    range_seconds=st.sampled_from([0.5, 1.0, 2.3, 5.0]),
    other_group=st.booleans(),
    not_synchronous=st.sampled_from([None, 0.7, 4.0]),
    far=st.booleans(),
    triplet_range=st.sampled_from([0.0, 0.3, 2.0]),
)
@settings(max_examples=50, deadline=None)
def test_time_as_loops_say(
    seed: int,
    range_seconds: float,
    other_group: bool,
    not_synchronous: float | None,
    far: bool,
    triplet_range: float,
) -> None:
    metadata, size = facts_of(6, seed), 14
    metadata = replace(metadata, recordings=np.concatenate([[0], metadata.recordings[1:]]))
    indices = draw_of(metadata, size, seed)
    pairs = relation(
        "time",
        range_seconds=range_seconds,
        other_group=other_group,
        not_synchronous=not_synchronous,
        far_is_unlike=far,
        gap_seconds=triplet_range,
    )(metadata, indices)
    apart = windows_near(metadata, indices, range_seconds)
    for i in range(size):
        for j in range(size):
            a, b = indices.rows[i], indices.rows[j]
            between = apart[i][j]
            if between is not None:
                once = a == b and indices.starts[i] == indices.starts[j]
                positive = not once and between <= range_seconds + 1e-9
                negative = far and between > range_seconds + triplet_range + 1e-9
            else:
                positive = False
                negative = metadata.recordings[a] >= 0 and metadata.recordings[b] >= 0
                if other_group:
                    negative &= metadata.groups[a] >= 0 and metadata.groups[b] >= 0
                    negative &= metadata.groups[a] != metadata.groups[b]
                if not_synchronous is not None:
                    clock = (
                        metadata.start_times[a]
                        + indices.starts[i]
                        - metadata.start_times[b]
                        - indices.starts[j]
                    )
                    negative &= abs(clock) >= not_synchronous - 1e-9
            assert bool(pairs.positive[i, j]) == positive, (i, j)
            assert bool(pairs.negative[i, j]) == negative, (i, j)


def test_time_reaches_over_the_files_of_one_recording() -> None:
    metadata = replace(
        facts_of(4, seconds=10.0),
        recordings=np.array([0, 0, 0, 1]),
        start_times=np.array([1.7e9, 1.7e9 + 10, 1.7e9 + 60, 1.7e9]),
    )
    pairs = relation("time", range_seconds=10)(metadata, BatchIndices(np.arange(4), np.zeros(4)))
    assert pairs.positive.nonzero().tolist() == [[0, 1], [1, 0]]
    assert pairs.negative.nonzero().tolist() == [[0, 3], [1, 3], [2, 3], [3, 0], [3, 1], [3, 2]]


def test_views_are_rows() -> None:
    indices = BatchIndices(np.array([4, 2, 4, 2, 7]), np.array([0.0, 1.0, 0.5, 1.0, 0.0]))
    pairs = relation("views")(facts_of(8), indices)
    assert pairs.positive.nonzero().tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]
    assert torch.equal(pairs.negative, ~(pairs.positive | torch.eye(5, dtype=torch.bool)))


def test_false_opposites_are_counted_over_the_cells_that_can_be_judged() -> None:
    metadata = facts_of(20)
    time = partial(relation("time"), metadata)
    draws = [draw_of(metadata, 10, seed) for seed in range(4)]
    wrong = judged = 0
    for indices in draws:
        labels = metadata.labels[indices.rows]
        for i, j in time(indices).negative.nonzero().tolist():
            judged += labels[i] >= 0 and labels[j] >= 0
            wrong += labels[i] == labels[j] >= 0
    assert false_negative_rate(draws, metadata.labels, time) == wrong / judged
    set_by_sampler = [replace(indices, pairs=time(indices)) for indices in draws]
    assert false_negative_rate(set_by_sampler, metadata.labels) == wrong / judged
    assert false_negative_rate(draws, np.full(20, -1), time) is None
    with pytest.raises(RequestError, match="Pass the relation"):
        false_negative_rate(draws, metadata.labels)
    ignore = torch.zeros(10, 10, dtype=torch.bool)
    assert false_negative_rate([replace(draws[0], pairs=Pairs(ignore, ignore))], metadata.labels) is None


@pytest.mark.parametrize(
    ("settings_given", "metadata", "sentence"),
    [
        ({"kind": "labels"}, replace(facts_of(3), labels=np.full(3, -1)), "none of the clips has a label"),
        ({"kind": "tags"}, replace(facts_of(3), tags=np.zeros((3, 5), bool)), "none of the clips has a tag"),
        ({"kind": "time"}, facts_of(3, seconds=0.0), "have no duration"),
        (
            {"kind": "time"},
            replace(facts_of(3), recordings=np.full(3, -1)),
            "the recording of no clip is known",
        ),
    ],
)
def test_data_that_cannot_serve_is_refused(
    settings_given: Any, metadata: ClipMetadata, sentence: str
) -> None:
    with pytest.raises(DataError, match=sentence):
        relation(**settings_given)(metadata)


def test_a_synonym_that_is_no_tag_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError) as refused:
        relation("tags", synonyms=[["voice", "vocall"]])(facts_of(9))
    assert str(refused.value) == (
        "relation: synonyms: no tag has the name 'vocall'. Did you mean 'vocal'? "
        "Known: voice, vocal, beat, drum, slow."
    )
    with pytest.raises(RequestError, match="'voice' is listed 2 times"):
        relation("tags", synonyms=[["voice", "vocal"], ["voice", "beat"]])(facts_of(9))


@pytest.mark.parametrize(
    ("kind", "settings_given", "sentence"),
    [
        ("label", {}, "relation: unknown kind 'label'. Did you mean 'labels'?"),
        ("time", {"range_second": 3}, "relation: unknown key 'range_second'. Did you mean 'range_seconds'?"),
        ("tags", {"jaccard": 1.5}, "relation: jaccard: "),
        ("tags", {"synonyms": [["voice"]]}, "relation: synonyms"),
    ],
)
def test_wrong_settings_are_explained(kind: str, settings_given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestError) as refused:
        relation(kind, **settings_given)
    assert sentence in str(refused.value)
