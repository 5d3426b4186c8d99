"""Scenes that several recorders hear: who is alike across them, who may oppose whom, against plain loops."""

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import BatchIndices, ClipMetadata
from nearfield.learning.build import relation
from nearfield.learning.relations.time import Scenes, false_negative_report
from nearfield.learning.samplers import SamplerSettings
from nearfield.learning.samplers.tiles import TileSampler

TILE = 2.0
Tile = tuple[int, float]


def scenes(sessions: int = 3, nodes: int = 3, seconds: float = 8.0, late: float = 0.0) -> ClipMetadata:
    """Each session is heard by each node, in one file; node n starts n times `late` seconds after node 0."""
    session, node = (
        part.ravel() for part in np.meshgrid(np.arange(sessions), np.arange(nodes), indexing="ij")
    )
    count = sessions * nodes
    return ClipMetadata(
        labels=session % 2,
        label_names=("even", "odd"),
        tags=np.zeros((count, 0), dtype=bool),
        tag_names=(),
        recordings=np.arange(count),
        groups=session,
        start_times=1000.0 * session + late * node,
        seconds=np.full(count, seconds),
        columns={"session": session, "node": node},
    )


def built(metadata: ClipMetadata, seed: int = 3, **given_settings: Any) -> TileSampler:
    made = make(SamplerSettings, "sampler", {"kind": "tiles", "batch_size": 6, **given_settings})
    sampler: TileSampler = made.build(metadata, np.arange(len(metadata)), TILE, seed)
    return sampler


def tiles_of(metadata: ClipMetadata) -> list[Tile]:
    return [
        (row, place * TILE)
        for row in range(len(metadata))
        for place in range(int(metadata.seconds[row] // TILE))
    ]


def moment(metadata: ClipMetadata, tile: Tile) -> float:
    return float(metadata.start_times[tile[0]]) + tile[1]


def differs(metadata: ClipMetadata, name: str, one: Tile, other: Tile) -> bool:
    first, second = metadata.columns[name][one[0]], metadata.columns[name][other[0]]
    return bool(first >= 0 and second >= 0 and first != second)


def one_scene(metadata: ClipMetadata, one: Tile, other: Tile) -> bool:
    return bool(metadata.columns["session"][one[0]] == metadata.columns["session"][other[0]] >= 0)


def neighbours(metadata: ClipMetadata, anchor: Tile, range_seconds: float, within: float) -> list[Tile]:
    """In range in the own file, or the same moment of the scene from another node."""
    found = []
    for tile in tiles_of(metadata):
        apart = abs(moment(metadata, tile) - moment(metadata, anchor))
        if tile[0] == anchor[0]:
            if tile != anchor and apart <= range_seconds + 1e-6:
                found.append(tile)
        elif (
            one_scene(metadata, anchor, tile)
            and differs(metadata, "node", anchor, tile)
            and apart <= within + 1e-6
        ):
            found.append(tile)
    return found


def opposites(metadata: ClipMetadata, anchor: Tile, rule: dict[str, Any]) -> list[Tile]:
    found = []
    for tile in tiles_of(metadata):
        good = tile[0] != anchor[0] and all(
            differs(metadata, name, anchor, tile) for name in rule.get("other", ())
        )
        apart = abs(moment(metadata, tile) - moment(metadata, anchor))
        if "across" in rule and one_scene(metadata, anchor, tile):
            good &= apart > max(rule.get("range_seconds", 5.0), rule["across"].get("within_seconds", 0.5))
        if good:
            found.append(tile)
    return found


def holes(metadata: ClipMetadata) -> ClipMetadata:
    """The same with a file of no known node and two of no known session."""
    node, session = metadata.columns["node"].copy(), metadata.columns["session"].copy()
    node[1], session[4:6] = -1, -1
    return replace(metadata, columns={"session": session, "node": node})


@given(
    late=st.sampled_from([0.0, 0.3, 0.5, 1.7]),
    within=st.sampled_from([0.0, 0.5, 2.0, 4.0]),
    range_seconds=st.sampled_from([1.0, 2.0, 5.0]),
    other=st.sampled_from([(), ("session",), ("node",), ("session", "node")]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_relation_is_that_of_loops(
    late: float, within: float, range_seconds: float, other: tuple[str, ...], seed: int
) -> None:
    metadata = holes(scenes(late=late))
    rng = np.random.default_rng(seed)
    tiles = tiles_of(metadata)
    chosen = [tiles[number] for number in rng.integers(len(tiles), size=20)]
    indices = BatchIndices(np.array([row for row, _ in chosen]), np.array([start for _, start in chosen]))
    pairs = relation("time", range_seconds=range_seconds, other=other, across={"within_seconds": within})(
        metadata, indices
    )
    for i, one in enumerate(chosen):
        positive = neighbours(metadata, one, range_seconds, within)
        rule = {"other": other, "range_seconds": range_seconds, "across": {"within_seconds": within}}
        negative = opposites(metadata, one, rule)
        for j, two in enumerate(chosen):
            assert bool(pairs.positive[i, j]) == (two in positive), (one, two)
            assert bool(pairs.negative[i, j]) == (two in negative), (one, two)


@pytest.mark.parametrize("count", [1, 3])
def test_neighbours_across_recorders_come_as_often_as_those_nearby(count: int) -> None:
    metadata = holes(scenes(late=0.3))
    across = {"column": "node", "clock": "session", "within_seconds": 0.4}
    sampler = built(metadata, neighbors=count, range_seconds=2.0, across=across)
    met: dict[Tile, Counter[Tile]] = {tile: Counter() for tile in tiles_of(metadata)}
    for number in range(500):
        for indices in sampler.epoch(number):
            size = len(indices) // (1 + count)
            windows = list(zip(indices.rows.tolist(), indices.starts.tolist(), strict=True))
            for a in range(size):
                row_pairs = [windows[a + size * (n + 1)] for n in range(count)]
                assert len(set(row_pairs)) == min(count, len(neighbours(metadata, windows[a], 2.0, 0.4)))
                met[windows[a]].update(row_pairs)
    heard = 0
    for tile, found in met.items():
        expected = neighbours(metadata, tile, 2.0, 0.4)
        heard += any(other[0] != tile[0] for other in expected)
        assert set(found) == set(expected)
        if len(expected) > count:  # with fewer they come round again, the first of them more often
            assert chisquare([found[other] for other in expected]).pvalue > 1e-4
    assert 0 < heard < len(met)
    assert f"{heard} anchors have a tile of another recorder at the same time" in sampler.describe()


def test_a_tile_alone_in_its_file_is_an_anchor_by_its_other_recorders() -> None:
    metadata = scenes(seconds=TILE)
    assert built(metadata, across={}).alone == 0
    sampler = built(metadata, across={}, jitter=True)
    for indices in sampler.epoch(0):
        one, two = np.split(indices.rows, 2)
        assert (metadata.columns["session"][one] == metadata.columns["session"][two]).all()
        assert (metadata.columns["node"][one] != metadata.columns["node"][two]).all()


@given(
    seed=st.integers(0, 10_000), count=st.integers(0, 60), span=st.integers(0, 30), clocks=st.integers(1, 6)
)
@settings(max_examples=60, deadline=None)
def test_pairs_across_recorders_are_those_of_loops(seed: int, count: int, span: int, clocks: int) -> None:
    rng = np.random.default_rng(seed)
    known = Scenes(rng.integers(-1, 4, size=count), rng.integers(-1, clocks, size=count))
    start_times = rng.integers(-50, 50, size=count)
    first, second = known.runs(start_times, span)
    wanted = [
        (i, j)
        for i in range(count)
        for j in range(count)
        if known.clocks[i] == known.clocks[j] >= 0
        and known.recorders[i] >= 0
        and known.recorders[j] >= 0
        and known.recorders[i] != known.recorders[j]
        and abs(start_times[i] - start_times[j]) <= span
    ]
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == wanted
    assert list(zip(*known.across().nonzero(), strict=True)) == [
        (i, j)
        for i in range(count)
        for j in range(count)
        if known.clocks[i] == known.clocks[j] >= 0
        and min(known.recorders[i], known.recorders[j]) >= 0
        and known.recorders[i] != known.recorders[j]
    ]


RULES: list[dict[str, Any]] = [
    {"other": ["session"]},
    {"other": ["node"]},
    {"other": ["session", "node"]},
    {"across": {}, "range_seconds": 2.0},
    {"across": {"within_seconds": 3.0}, "other": ["node"], "range_seconds": 2.0},
    {"negatives_from": 1},
    {"negatives_from": 2, "other": ["session"]},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_opposites_are_uniform_over_what_the_columns_allow(rule: dict[str, Any]) -> None:
    """One draw an epoch for each anchor: also those from a few files come from all in the long run."""
    metadata = holes(scenes(late=0.3))
    metadata = replace(metadata, seconds=np.where(np.arange(9) % 2 == 0, 8.0, 4.0))
    sampler = built(metadata, mode="triplet", **rule)
    met: dict[Tile, Counter[Tile]] = {}
    for number in range(700):
        for indices in sampler.epoch(number):
            size = len(indices) // 3
            windows = list(zip(indices.rows.tolist(), indices.starts.tolist(), strict=True))
            for a in range(size):
                met.setdefault(windows[a], Counter())[windows[a + 2 * size]] += 1
    unopposed = 0
    for tile in tiles_of(metadata):
        allowed = opposites(metadata, tile, rule)
        if not allowed:
            unopposed += 1
            assert tile not in met
            continue
        assert set(met[tile]) == set(allowed)
        assert chisquare([met[tile][other] for other in allowed]).pvalue > 1e-4
    assert sampler.unopposed == unopposed


@pytest.mark.parametrize("files", [1, 2, 3])
def test_a_buffer_opens_so_many_files_for_a_clip_and_no_more(files: int) -> None:
    metadata = scenes(sessions=6, seconds=40.0)
    sampler = built(metadata, mode="triplet", neighbors=2, negatives_from=files)
    for number in range(3):
        opened: dict[int, set[int]] = {}
        for indices in sampler.epoch(number):
            size = len(indices) // 5
            anchors = np.tile(indices.rows[:size], 2)
            for anchor, far in zip(anchors.tolist(), indices.rows[3 * size :].tolist(), strict=True):
                opened.setdefault(anchor, set()).add(far)
        sizes = [len(found) for found in opened.values()]
        assert max(sizes) == files  # forty draws a clip: all its files come
        assert np.mean(sizes) > 0.8 * files
    free = built(metadata, mode="triplet", neighbors=2)
    assert len(
        {row for indices in free.epoch(0) for row in indices.rows[: -len(indices) // 5].tolist()}
    ) == len(metadata)


@pytest.mark.parametrize(
    ("kind", "chosen", "sentence"),
    [
        (
            "tiles",
            {"other": ["sesion"]},
            "sampler.other: the collection has no column 'sesion'. Did you mean 'session'? "
            "Known: recording, group, session, node.",
        ),
        (
            "time",
            {"other": ["artist"]},
            "relation.other: the collection has no column 'artist'. Known: recording",
        ),
        (
            "time",
            {"across": {"column": "nodes"}},
            "relation.across.column: the collection has no column 'nodes'.",
        ),
        (
            "tiles",
            {"across": {"clock": "clock"}},
            "sampler.across.clock: the collection has no column 'clock'.",
        ),
        (
            "tiles",
            {"across": {"colum": "node"}},
            "sampler: across: unknown key 'colum'. Did you mean 'column'?",
        ),
        (
            "tiles",
            {"negatives_from": 2, "not_synchronous": 3.0},
            "sampler: negatives_from draws whole files, but not_synchronous and across depend on times",
        ),
        ("tiles", {"mode": "triplet", "other": ["all"]}, "no tile has a negative"),
    ],
)
def test_what_cannot_be_is_refused(kind: str, chosen: dict[str, Any], sentence: str) -> None:
    metadata = scenes()
    if chosen.get("other") == ["all"]:
        metadata = replace(metadata, columns={**metadata.columns, "all": np.zeros(9, dtype=np.int64)})
    with pytest.raises(RequestError) as refused:
        relation("time", **chosen)(metadata) if kind == "time" else built(metadata, **chosen)
    assert sentence in str(refused.value)


def test_columns_may_also_be_recording_and_group() -> None:
    metadata = scenes()
    one = built(metadata, mode="triplet", other=["group"])
    other = built(metadata, mode="triplet", other_group=True)
    for indices, same in zip(one.epoch(0), other.epoch(0), strict=True):
        assert np.array_equal(indices.rows, same.rows)


@pytest.mark.parametrize("mode", ["batch", "triplet"])
def test_the_report_counts_what_opposites_have_in_common(mode: str) -> None:
    metadata = holes(scenes(late=0.4))
    metadata = replace(metadata, labels=np.where(np.arange(9) == 3, -1, metadata.labels))
    near = partial(relation("time", range_seconds=2.0), metadata)
    sampler = built(metadata, mode=mode, range_seconds=2.0)
    found = false_negative_report(sampler, near, metadata, batches=7)
    draws = [indices for number in range(2) for indices in sampler.epoch(number)][:7]
    numbers = {
        "label": metadata.labels,
        "group": metadata.groups,
        "recording": metadata.recordings,
        **metadata.columns,
    }
    judged: Counter[str] = Counter()
    common: Counter[str] = Counter()
    for indices in draws:
        cells = (indices.pairs or near(indices)).negative
        for i, j in cells.nonzero().tolist():
            a, b = indices.rows[i], indices.rows[j]
            for name, of in numbers.items():
                judged[name] += of[a] >= 0 and of[b] >= 0
                common[name] += of[a] == of[b] >= 0
            judged["synchronous"] += 1
            between = (
                metadata.start_times[a] + indices.starts[i] - metadata.start_times[b] - indices.starts[j]
            )
            common["synchronous"] += abs(between) < 1 - 1e-9
    assert found == {name: common[name] / judged[name] for name in judged}
    assert found["recording"] == 0
    assert found["group"] > 0
    assert found["synchronous"] > 0


def test_rules_bring_the_rates_of_the_report_to_nothing() -> None:
    metadata = scenes(sessions=2, nodes=4, seconds=12.0)
    plain = false_negative_report(built(metadata, mode="triplet"), None, metadata)
    assert min(plain["session"], plain["node"], plain["synchronous"]) > 0.01
    for rule, name in (
        ({"other": ["session"]}, "session"),
        ({"other": ["node"]}, "node"),
        ({"not_synchronous": 4.0}, "synchronous"),
        ({"across": {}}, "synchronous"),
    ):
        assert false_negative_report(built(metadata, mode="triplet", **rule), None, metadata)[name] == 0
    unknown = replace(metadata, labels=np.full(8, -1), start_times=np.zeros(8))
    found = false_negative_report(built(unknown, mode="triplet"), None, unknown)
    assert set(found) == {"group", "recording", "session", "node"}
