"""A tagger's own scores against scikit-learn, through the whole evaluation."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from nearfield.core.errors import RequestError
from nearfield.core.types import ClipMetadata, Floats
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.result import EvaluationSettings
from nearfield.metrics.tagging import tag_areas

QUICK = EvaluationSettings(draws=50, dense_probe=False)
SPLITS = {"train": np.arange(0, 90), "val": np.arange(90, 120), "test": np.arange(120, 200)}


def _facts(seed: int = 0) -> tuple[ClipMetadata, Floats]:
    chance = np.random.default_rng(seed)
    scores = chance.random((200, 4))
    tags = scores + 0.4 * chance.standard_normal((200, 4)) > 0.6
    tags[150:155] = False
    groups = np.arange(200) // 2
    metadata = ClipMetadata(
        labels=np.full(200, -1),
        label_names=(),
        tags=tags,
        tag_names=("a", "b", "c", "d"),
        recordings=groups,
        groups=groups,
        start_times=np.zeros(200),
        seconds=np.ones(200),
    )
    return metadata, scores


def _vectors() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(9).standard_normal((200, 6)).astype(np.float32)


def test_figures_equal_scikit_learns_on_the_clips_that_were_asked_about() -> None:
    metadata, scores = _facts()
    scores[160] = np.nan
    result = evaluate(_vectors(), replace(metadata, predictions=scores), SPLITS, QUICK)
    rows = SPLITS["test"]
    kept = rows[metadata.tags[rows].any(axis=1) & (rows != 160)]
    tags, said = metadata.tags[kept], scores[kept]
    assert result.metrics["tagger/roc_auc"] == pytest.approx(roc_auc_score(tags, said, average="macro"))
    expected = average_precision_score(tags, said, average="macro")
    assert result.metrics["tagger/pr_auc"] == pytest.approx(expected)
    low, high = result.intervals["tagger/pr_auc"]
    assert 0 <= low <= expected <= high <= 1
    assert result.metrics["baseline/chance/tagger/pr_auc"] == pytest.approx(tags.mean())
    assert [row.name for row in result.per_tag_of_tagger] == ["a", "b", "c", "d"]
    assert result.per_tag_of_tagger[1].positives == tags[:, 1].sum()
    assert any(f"tagger: {len(kept)} of 80 clips have tags" in note for note in result.notes)
    json.dumps(result.plain(), allow_nan=False)


def test_scores_of_every_clip_are_kept_so_that_groups_can_be_left_out() -> None:
    metadata, scores = _facts()
    result = evaluate(_vectors(), metadata, SPLITS, QUICK, predictions=scores)
    for name, prefix in (("tagger", "tagger"), ("tagging", "tagging")):
        kept = result.tag_scores[name]
        assert kept.scores.shape == kept.tags.shape == (len(kept.at), len(kept.names))
        areas = tag_areas(kept.tags, kept.scores)["pr_auc"][0]
        assert result.metrics[f"{prefix}/pr_auc"] == pytest.approx(np.nanmean(areas))
        np.testing.assert_array_equal(
            kept.tags, metadata.tags[result.clips.rows[kept.at]][:, : len(kept.names)]
        )
    np.testing.assert_array_equal(
        result.tag_scores["tagger"].scores, scores[result.clips.rows[result.tag_scores["tagger"].at]]
    )


def test_predictions_given_come_before_those_of_the_facts() -> None:
    metadata, scores = _facts()
    perfect = metadata.tags.astype(np.float64)
    result = evaluate(_vectors(), replace(metadata, predictions=scores), SPLITS, QUICK, perfect)
    assert result.metrics["tagger/roc_auc"] == 1


def test_a_tagger_that_was_not_asked_about_the_split_is_not_judged() -> None:
    metadata, scores = _facts()
    scores[SPLITS["test"]] = np.nan
    result = evaluate(_vectors(), replace(metadata, predictions=scores), SPLITS, QUICK)
    assert not any(name.startswith("tagger/") for name in result.metrics)
    assert result.per_tag_of_tagger == ()


def test_other_columns_than_the_tags_are_refused() -> None:
    metadata, scores = _facts()
    with pytest.raises(
        RequestError, match=r"one column for each of the 4 tags is expected; given: shape \(80, 3"
    ):
        evaluate(_vectors(), metadata, SPLITS, QUICK, scores[:, :3])
    with pytest.raises(RequestError, match="predictions: 200 entries are expected"):
        evaluate(_vectors(), metadata, SPLITS, QUICK, scores[:50])
