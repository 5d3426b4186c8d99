"""Relations against slow, obvious versions, scikit-learn, and the laws that hold for every one of them."""

from dataclasses import replace
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
from nearfield.core.types import Draw, Facts, Pairs
from nearfield.learning.relations import RelationSettings, relation
from nearfield.learning.relations.labels import Tags, rarity
from nearfield.learning.relations.time import false_opposite_rate

TAGS = ("voice", "vocal", "beat", "drum", "slow")


def facts_of(count: int, seed: int = 0, seconds: float = 12.0) -> Facts:
    """Some clips with everything known of most: a fifth have no label, some no tags, some no recording."""
    chance = np.random.default_rng(seed)
    return Facts(
        labels=chance.integers(-1, 4, size=count),
        label_names=("a", "b", "c", "d"),
        tags=chance.random((count, len(TAGS))) < 0.35,
        tag_names=TAGS,
        recordings=chance.integers(-1, 3, size=count),
        groups=chance.integers(-1, 2, size=count),
        moments=chance.integers(0, 30, size=count).astype(np.float64) / 2,
        seconds=np.full(count, seconds),
    )


def draw_of(facts: Facts, size: int, seed: int = 0) -> Draw:
    """A batch in which rows come several times, at starts on a grid of a tenth of a second."""
    chance = np.random.default_rng(seed)
    return Draw(chance.integers(len(facts), size=size), chance.integers(0, 70, size=size) / 10)


EVERY: list[dict[str, Any]] = [
    {"kind": "labels"},
    {"kind": "tags"},
    {"kind": "tags", "at_least": 2, "unlike": "not_alike", "strength": "jaccard", "weights": "idf"},
    {"kind": "tags", "jaccard": 0.4, "strength": "jaccard", "synonyms": [["voice", "vocal"]]},
    {"kind": "time", "range_seconds": 2.0},
    {"kind": "time", "range_seconds": 2.0, "far_is_unlike": True, "gap_seconds": 1.0, "other_group": True},
    {"kind": "time", "range_seconds": 1.5, "not_synchronous": 3.0},
    {"kind": "views"},
]


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_laws_of_every_relation(given_settings: dict[str, Any]) -> None:
    facts = facts_of(20)
    built = make(RelationSettings, "relation", given_settings).build(facts)
    assert built.kind == given_settings["kind"]
    for seed in range(5):
        draw = draw_of(facts, 24, seed)
        pairs = built(draw)
        assert pairs.alike.shape == pairs.unlike.shape == (24, 24)
        assert pairs.alike.dtype == pairs.unlike.dtype == torch.bool
        assert not pairs.alike.diagonal().any()
        assert not pairs.unlike.diagonal().any()
        assert not (pairs.alike & pairs.unlike).any()
        assert torch.equal(pairs.alike, pairs.alike.T)
        assert torch.equal(pairs.unlike, pairs.unlike.T)
        assert pairs.alike.any()
        assert pairs.unlike.any()
        if pairs.strength is not None:
            assert ((pairs.strength >= 0) & (pairs.strength <= 1)).all()
            assert not pairs.strength[~pairs.alike].any()
        order = torch.from_numpy(np.random.default_rng(seed).permutation(24))
        moved = built(Draw(draw.rows[order.numpy()], draw.starts[order.numpy()]))
        assert torch.equal(moved.alike, pairs.alike[order][:, order])
        assert torch.equal(moved.unlike, pairs.unlike[order][:, order])


def test_labels_fill_by_equality_and_leave_out_the_unknown() -> None:
    facts = replace(facts_of(5), labels=np.array([1, 1, 0, -1, 0]))
    pairs = relation("labels").build(facts)(Draw(np.array([0, 1, 2, 3, 4]), np.zeros(5)))
    assert pairs.alike.nonzero().tolist() == [[0, 1], [1, 0], [2, 4], [4, 2]]
    assert pairs.unlike.int().sum(1).tolist() == [2, 2, 2, 0, 2]
    assert pairs.labels is None  # one of them has none
    known = relation("labels").build(facts)(Draw(np.array([4, 0]), np.zeros(2)))
    assert known.labels is not None
    assert known.labels.tolist() == [0, 1]


def test_labels_take_a_clip_drawn_twice_for_company_as_other_libraries_do() -> None:
    pairs = relation("labels").build(replace(facts_of(2), labels=np.array([0, 1])))(
        Draw(np.array([0, 0, 1, 1]), np.zeros(4))
    )
    assert pairs.alike.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]


def sets_of(facts: Facts, draw: Draw, groups: list[list[str]]) -> list[set[str]]:
    """Each item's tags as a set of names, synonyms replaced by the first of their group."""
    first = {name: group[0] for group in groups for name in group}
    return [
        {first.get(n, n) for n, has in zip(facts.tag_names, facts.tags[row], strict=True) if has}
        for row in draw.rows
    ]


@given(
    seed=st.integers(0, 10_000),
    at_least=st.integers(1, 3),
    jaccard=st.sampled_from([None, 0.2, 1 / 3, 0.5, 1.0]),
    unlike=st.sampled_from(["none_shared", "not_alike"]),
    groups=st.sampled_from([[], [["voice", "vocal"]], [["beat", "drum", "slow"], ["vocal", "voice"]]]),
)
@settings(max_examples=50, deadline=None)
def test_tags_as_sets_say(
    seed: int, at_least: int, jaccard: float | None, unlike: str, groups: list[list[str]]
) -> None:
    facts, size = facts_of(9, seed), 12
    draw = draw_of(facts, size, seed)
    built = relation(
        "tags", at_least=at_least, jaccard=jaccard, unlike=unlike, strength="jaccard", synonyms=groups
    ).build(facts)
    pairs = built(draw)
    sets = sets_of(facts, draw, groups)
    for i in range(size):
        for j in range(size):
            shared, union = len(sets[i] & sets[j]), len(sets[i] | sets[j])
            takes_part = i != j and bool(sets[i]) and bool(sets[j])
            enough = shared >= at_least and (jaccard is None or shared / union >= jaccard)
            alike = takes_part and enough
            apart = shared == 0 if unlike == "none_shared" else not enough
            assert bool(pairs.alike[i, j]) == alike
            assert bool(pairs.unlike[i, j]) == (takes_part and apart and draw.rows[i] != draw.rows[j])
            assert pairs.strength is not None
            assert float(pairs.strength[i, j]) == pytest.approx(shared / union if alike else 0)


def test_each_clip_hands_on_its_tags_and_those_that_mean_the_same() -> None:
    facts = facts_of(30)
    draw = draw_of(facts, 20)
    for groups in ([], [["voice", "vocal"], ["drum", "beat"]]):
        tagging = Tags.model_validate({"synonyms": groups}).build(facts)
        given_tags = tagging(draw).tags
        assert given_tags is not None
        assert given_tags.shape == (20, 5)
        for row, found in zip(draw.rows, given_tags, strict=True):
            names = {name for name, has in zip(TAGS, facts.tags[row], strict=True) if has}
            for group in groups:
                names |= set(group) if names & set(group) else set()
            wanted = [float(name in names) if names else float("nan") for name in TAGS]
            torch.testing.assert_close(found, torch.tensor(wanted), equal_nan=True)
        rows = np.arange(5, 25)
        each = tagging(Draw(rows, np.zeros(20))).tags
        assert each is not None
        torch.testing.assert_close(tagging.shares(rows), each[~each[:, 0].isnan()].mean(0))
    assert relation("labels").build(facts)(draw).tags is None


def test_strength_is_the_jaccard_score_of_scikit_learn() -> None:
    facts = facts_of(30)
    draw = Draw(np.arange(30), np.zeros(30))
    pairs = relation("tags", strength="jaccard").build(facts)(draw)
    assert pairs.strength is not None
    for i, j in pairs.alike.nonzero().tolist():
        expected = jaccard_score(facts.tags[i], facts.tags[j])
        assert float(pairs.strength[i, j]) == pytest.approx(expected)


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
    facts = replace(facts_of(20), tags=tags)
    draw = Draw(np.arange(20), np.zeros(20))
    plain = relation("tags", strength="jaccard").build(facts)(draw).strength
    weighted = relation("tags", strength="jaccard", weights="idf").build(facts)(draw).strength
    assert plain is not None
    assert weighted is not None
    assert float(plain[0, 1]) == float(plain[0, 5]) == 0.5
    common, rare = np.log(21 / 20) + 1, np.log(21 / 3) + 1
    assert float(weighted[0, 1]) == pytest.approx(rare / (common + rare))
    assert float(weighted[0, 5]) == pytest.approx(common / (common + rare))


def windows_near(facts: Facts, draw: Draw, range_seconds: float) -> list[list[float | None]]:
    """Seconds between two windows of one known recording, else None."""
    moment = [float(facts.moments[r]) + float(s) for r, s in zip(draw.rows, draw.starts, strict=True)]
    where = facts.recordings[draw.rows]
    size = range(len(draw))
    return [[abs(moment[i] - moment[j]) if where[i] == where[j] >= 0 else None for j in size] for i in size]


@given(
    seed=st.integers(0, 10_000),
    range_seconds=st.sampled_from([0.5, 1.0, 2.3, 5.0]),
    other_group=st.booleans(),
    not_synchronous=st.sampled_from([None, 0.7, 4.0]),
    far=st.booleans(),
    gap=st.sampled_from([0.0, 0.3, 2.0]),
)
@settings(max_examples=50, deadline=None)
def test_time_as_loops_say(
    seed: int,
    range_seconds: float,
    other_group: bool,
    not_synchronous: float | None,
    far: bool,
    gap: float,
) -> None:
    facts, size = facts_of(6, seed), 14
    facts = replace(facts, recordings=np.concatenate([[0], facts.recordings[1:]]))
    draw = draw_of(facts, size, seed)
    pairs = relation(
        "time",
        range_seconds=range_seconds,
        other_group=other_group,
        not_synchronous=not_synchronous,
        far_is_unlike=far,
        gap_seconds=gap,
    ).build(facts)(draw)
    apart = windows_near(facts, draw, range_seconds)
    for i in range(size):
        for j in range(size):
            a, b = draw.rows[i], draw.rows[j]
            between = apart[i][j]
            if between is not None:
                once = a == b and draw.starts[i] == draw.starts[j]
                alike = not once and between <= range_seconds + 1e-9
                unlike = far and between > range_seconds + gap + 1e-9
            else:
                alike = False
                unlike = facts.recordings[a] >= 0 and facts.recordings[b] >= 0
                if other_group:
                    unlike &= facts.groups[a] >= 0 and facts.groups[b] >= 0
                    unlike &= facts.groups[a] != facts.groups[b]
                if not_synchronous is not None:
                    clock = facts.moments[a] + draw.starts[i] - facts.moments[b] - draw.starts[j]
                    unlike &= abs(clock) >= not_synchronous - 1e-9
            assert bool(pairs.alike[i, j]) == alike, (i, j)
            assert bool(pairs.unlike[i, j]) == unlike, (i, j)


def test_time_reaches_over_the_files_of_one_recording() -> None:
    facts = replace(
        facts_of(4, seconds=10.0),
        recordings=np.array([0, 0, 0, 1]),
        moments=np.array([1.7e9, 1.7e9 + 10, 1.7e9 + 60, 1.7e9]),
    )
    pairs = relation("time", range_seconds=10).build(facts)(Draw(np.arange(4), np.zeros(4)))
    assert pairs.alike.nonzero().tolist() == [[0, 1], [1, 0]]
    assert pairs.unlike.nonzero().tolist() == [[0, 3], [1, 3], [2, 3], [3, 0], [3, 1], [3, 2]]


def test_views_are_rows() -> None:
    draw = Draw(np.array([4, 2, 4, 2, 7]), np.array([0.0, 1.0, 0.5, 1.0, 0.0]))
    pairs = relation("views").build(facts_of(8))(draw)
    assert pairs.alike.nonzero().tolist() == [[0, 2], [1, 3], [2, 0], [3, 1]]
    assert torch.equal(pairs.unlike, ~(pairs.alike | torch.eye(5, dtype=torch.bool)))


def test_false_opposites_are_counted_over_the_cells_that_can_be_judged() -> None:
    facts = facts_of(20)
    time = relation("time").build(facts)
    draws = [draw_of(facts, 10, seed) for seed in range(4)]
    wrong = judged = 0
    for draw in draws:
        labels = facts.labels[draw.rows]
        for i, j in time(draw).unlike.nonzero().tolist():
            judged += labels[i] >= 0 and labels[j] >= 0
            wrong += labels[i] == labels[j] >= 0
    assert false_opposite_rate(draws, facts.labels, time) == wrong / judged
    set_by_sampler = [replace(draw, pairs=time(draw)) for draw in draws]
    assert false_opposite_rate(set_by_sampler, facts.labels) == wrong / judged
    assert false_opposite_rate(draws, np.full(20, -1), time) is None
    with pytest.raises(RequestError, match="Give the relation"):
        false_opposite_rate(draws, facts.labels)
    nobody = torch.zeros(10, 10, dtype=torch.bool)
    assert false_opposite_rate([replace(draws[0], pairs=Pairs(nobody, nobody))], facts.labels) is None


@pytest.mark.parametrize(
    ("settings_given", "facts", "sentence"),
    [
        ({"kind": "labels"}, replace(facts_of(3), labels=np.full(3, -1)), "none of the clips has a label"),
        ({"kind": "tags"}, replace(facts_of(3), tags=np.zeros((3, 5), bool)), "none of the clips has a tag"),
        ({"kind": "time"}, facts_of(3, seconds=0.0), "no length in time"),
        ({"kind": "time"}, replace(facts_of(3), recordings=np.full(3, -1)), "no clip's recording is known"),
    ],
)
def test_data_that_cannot_serve_is_refused(settings_given: Any, facts: Facts, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        relation(**settings_given).build(facts)


def test_a_synonym_that_is_no_tag_is_refused_with_the_nearest() -> None:
    with pytest.raises(RequestError) as refused:
        relation("tags", synonyms=[["voice", "vocall"]]).build(facts_of(9))
    assert str(refused.value) == (
        "relation: synonyms: no tag is called 'vocall'. Did you mean 'vocal'? "
        "Known: voice, vocal, beat, drum, slow."
    )
    with pytest.raises(RequestError, match="'voice' is listed 2 times"):
        relation("tags", synonyms=[["voice", "vocal"], ["voice", "beat"]]).build(facts_of(9))


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
