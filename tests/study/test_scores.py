"""Scores of test groups against the measures that they stand for, and maps against scikit-learn."""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from nearfield.core.errors import RequestError
from nearfield.metrics.neighbors import Search
from nearfield.metrics.retrieval import label_scores
from nearfield.study.measures import draw_map
from nearfield.study.scores import by_group, table
from nearfield.training.evaluate_run import read_clips

CHANCE = np.random.default_rng(2)


def clips(groups: list[int], **columns: list[float]) -> pd.DataFrame:
    """Clips of two classes; the probe takes the last of each for the other class."""
    label = ["a", "b"] * (len(groups) // 2)
    predicted = [*label[:-2], *reversed(label[-2:])]
    ids = [str(place) for place in range(len(groups))]
    return pd.DataFrame({"id": ids, "group": groups, "label": label, "predicted": predicted, **columns})


def test_groups_of_macro_f1_average_to_it() -> None:
    frame = clips([0, 0, 1, 1, 2, 2, 3, 3])
    found = by_group(frame, "probe/macro_f1")
    assert found is not None
    assert len(found) == 4
    assert found.mean() == pytest.approx(f1_score(frame["label"], frame["predicted"], average="macro"))


def test_runs_of_an_earlier_version_have_no_scores_of_later_metrics() -> None:
    frame = read_clips(Path(__file__).parents[1] / "golden" / "v0_1_0" / "run" / "clips.parquet")
    assert by_group(frame, "probe/accuracy") is not None
    for measure in ("probe/log_loss_skill", "probe/brier_skill", "retrieval_from_train/margin"):
        assert by_group(frame, measure) is None
        assert table([frame, frame], [{}, {}], measure) is None


def test_clips_without_a_group_stand_for_themselves() -> None:
    found = by_group(clips([5, 5, -1, -1], score=[1.0, 0.0, 1.0, 1.0]), "score")
    assert found is not None
    assert len(found) == 3
    assert found.mean() == pytest.approx(0.75)


def test_what_single_clips_do_not_score_has_no_groups(tmp_path: object) -> None:
    assert by_group(clips([0, 1]), "tagging/pr_auc") is None
    there = clips([0, 1])
    scores = table([there, there, None], [{"clusters/nmi": 0.4}, {}, {}], "clusters/nmi")
    assert scores is not None
    np.testing.assert_array_equal(scores, [[0.4], [np.nan], [np.nan]])  # no measure; no training


def test_a_run_whose_clips_lack_the_measure_has_no_row() -> None:
    scores = table([clips([0, 1], score=[1.0, 0.0]), clips([0, 1])], [{}, {}], "score")
    assert scores is not None
    np.testing.assert_array_equal(np.isfinite(scores), [[True, True], [False, False]])


def test_what_no_run_has_has_no_table() -> None:
    assert table([None], [{}], "clusters/nmi") is None


@pytest.mark.parametrize("area", ["pr_auc", "roc_auc"])
def test_areas_of_tags_have_scores_of_groups(area: str) -> None:
    tags = CHANCE.random((24, 3)) < 0.4
    said = tags + CHANCE.normal(size=tags.shape)
    groups = np.repeat(np.arange(8), 3)
    frame = pd.DataFrame({"group": groups, "tagging/tags": list(tags), "tagging/scores": list(said)})
    frame.loc[len(frame)] = {"group": 8, "tagging/tags": None, "tagging/scores": None}
    found = by_group(frame, f"tagging/{area}")
    assert found is not None

    def whole(rows: np.ndarray) -> float:
        oracle = average_precision_score if area == "pr_auc" else roc_auc_score
        return float(np.mean([oracle(tags[rows, at], said[rows, at]) for at in range(3)]))

    every = np.ones(24, dtype=bool)
    assert found.mean() == pytest.approx(whole(every))
    without = np.array([whole(groups != group) for group in range(8)])
    np.testing.assert_allclose(found - found.mean(), 7 * (without.mean() - without))


def test_a_search_within_the_test_set_is_known_without_each_group() -> None:
    groups, labels = np.repeat(np.arange(7), 2), np.repeat(np.arange(7), 2) % 3
    vectors = CHANCE.normal(size=(14, 3)).astype(np.float32)

    def of(kept: np.ndarray) -> float:
        search = Search.within(vectors[kept], sources=groups[kept])
        return float(np.nanmean(label_scores(search, labels[kept], labels[kept])["map_at_r"]))

    without = np.array([of(groups != group) for group in range(7)])
    scores = label_scores(Search.within(vectors, sources=groups), labels, labels)["map_at_r"]
    name = "retrieval/map_at_r"
    frame = pd.DataFrame({"group": groups, name: scores, "block": groups, f"without/{name}": without[groups]})
    found = by_group(frame, name)
    assert found is not None
    assert found.mean() == pytest.approx(np.nanmean(scores))
    np.testing.assert_allclose(found - found.mean(), 6 * (without.mean() - without))
    with pytest.raises(RequestError, match=r"evaluated by an earlier version.* nearfield evaluate"):
        by_group(frame.drop(columns=f"without/{name}"), name)


def test_the_plain_map_is_that_of_principal_components() -> None:
    vectors = CHANCE.normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    found = draw_map("pca", vectors, ["x"] * 40)
    wanted = PCA(2).fit_transform(vectors)
    np.testing.assert_allclose(np.abs(found.points), np.abs(wanted), atol=1e-4)
    assert 0.7 < found.trustworthiness <= 1


@pytest.mark.parametrize("method", ["umap", "tsne"])
def test_a_map_is_the_same_each_time_and_keeps_heaps_apart(method: Literal["umap", "tsne"]) -> None:
    vectors = np.concatenate([CHANCE.normal(size=(20, 6)), CHANCE.normal(size=(20, 6)) + 8])
    first, second = (draw_map(method, vectors, ["x"] * 40) for _ in range(2))
    assert first == second
    points = np.array(first.points)
    gap = np.linalg.norm(points[:20].mean(0) - points[20:].mean(0))
    assert gap > points[:20].std()
