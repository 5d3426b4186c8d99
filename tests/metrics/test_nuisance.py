"""Whether a space gives away a column: spaces that do, spaces that do not, halves that keep sources whole."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from nearfield.core.types import ClipMetadata, Ints, Vectors
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.nuisance import MOST, _half, column_probe
from nearfield.metrics.result import EvaluationSettings

TRAIN, TEST = np.arange(0, 200), np.arange(200, 400)


def _space(column: Ints, apart: float, seed: int = 0) -> Vectors:
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((column.max() + 1, 8)) * apart
    return (centres[column] + chance.standard_normal((len(column), 8))).astype(np.float32)


def test_the_score_is_that_of_scikit_learns_regression() -> None:
    nodes = np.arange(400) % 4
    vectors = _space(nodes, 0.7)
    score = column_probe(vectors, nodes, TRAIN, TEST, draws=0)
    assert score is not None
    scaler = StandardScaler().fit(vectors[TRAIN])
    theirs = LogisticRegression(tol=1e-8, max_iter=1000).fit(scaler.transform(vectors[TRAIN]), nodes[TRAIN])
    said = theirs.predict(scaler.transform(vectors[TEST]))
    assert score.macro_f1 == pytest.approx(f1_score(nodes[TEST], said, average="macro"), abs=0.01)
    assert score.interval is None
    assert (score.values, score.halved) == (4, False)


def test_a_space_that_holds_the_node_is_told_from_one_that_does_not() -> None:
    nodes = np.arange(400) % 4
    sources = np.arange(400) // 4
    tells = column_probe(_space(nodes, 3), nodes, TRAIN, TEST, sources=sources, draws=200)
    keeps = column_probe(_space(nodes, 0), nodes, TRAIN, TEST, sources=sources, draws=200)
    assert tells is not None
    assert keeps is not None
    assert tells.interval is not None
    assert keeps.interval is not None
    assert tells.chance == keeps.chance == pytest.approx(0.25)
    assert tells.interval[0] > 0.8 > 0.35 > keeps.interval[0]
    assert keeps.interval[0] < keeps.chance < keeps.interval[1]


def test_columns_kept_apart_by_the_split_are_halved_with_their_recordings_whole() -> None:
    speakers = np.concatenate([np.arange(200) % 5, 5 + np.arange(200) % 5])
    recordings = speakers * 10 + np.arange(400) // 10 % 4
    score = column_probe(_space(speakers, 3), speakers, TRAIN, TEST, sources=recordings, draws=0)
    assert score is not None
    assert score.halved
    assert score.macro_f1 > 0.9
    assert np.isin(score.at, TEST).all()
    judged = np.isin(TEST, score.at)
    assert not set(recordings[TEST][judged]) & set(recordings[TEST][~judged])
    assert 60 < len(score.at) < 140


def test_halves_take_half_of_every_value() -> None:
    values, sources = np.repeat([0, 1, 2], 8), np.full(24, -1)
    first = _half(values, sources, 0)
    assert [int(first[values == value].sum()) for value in range(3)] == [4, 4, 4]


def test_columns_that_cannot_be_asked_about_have_no_score() -> None:
    vectors = _space(np.zeros(400, dtype=np.int64), 0)
    every = np.arange(400)
    for column in (np.zeros(400, dtype=np.int64), np.full(400, -1), every, every % (MOST + 1)):
        assert column_probe(vectors, column, TRAIN, TEST) is None


def test_every_evaluation_asks_about_the_columns_that_are_there() -> None:
    nodes, groups = np.arange(400) % 4, np.arange(400) // 4
    metadata = ClipMetadata(
        labels=np.arange(400) % 2,
        label_names=("a", "b"),
        tags=np.zeros((400, 0), dtype=bool),
        tag_names=(),
        recordings=groups,
        groups=groups,
        start_times=np.zeros(400),
        seconds=np.ones(400),
        columns={
            "node": nodes,
            "colour": nodes,
            "speaker": np.arange(400) // 100,
            "device": np.arange(400) // 2,
        },
    )
    splits = {"train": TRAIN, "test": TEST}
    settings = EvaluationSettings(draws=50, dense_probe=False)
    result = evaluate(_space(nodes, 3), metadata, splits, settings)
    assert result.metrics["nuisance/node/macro_f1"] > 0.9
    assert result.metrics["nuisance/node/chance"] == pytest.approx(0.25)
    assert "nuisance/node/macro_f1" in result.intervals
    assert not any(name.startswith(("nuisance/colour", "nuisance/device")) for name in result.metrics)
    assert result.metrics["nuisance/speaker/macro_f1"] < 0.8
    notes = "\n".join(result.notes)
    assert "the splits share too few values of 'speaker'" in notes
    assert "no probe of 'device'" in notes
    other = evaluate(_space(nodes, 3), metadata, splits, settings.model_copy(update={"columns": ("colour",)}))
    named = {name for name in other.metrics if name.startswith("nuisance/")}
    assert named == {f"nuisance/colour/{name}" for name in ("macro_f1", "accuracy", "chance")}
    without = evaluate(_space(nodes, 3), replace(metadata, columns={}), splits, settings)
    assert not any(name.startswith("nuisance/") for name in without.metrics)
