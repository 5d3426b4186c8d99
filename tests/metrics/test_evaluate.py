"""The whole evaluation: what applies where, against the parts called alone, and what it says of odd data."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import t
from sklearn.metrics import brier_score_loss, f1_score, roc_auc_score

from nearfield.core.errors import DataError, RequestError, WorkError
from nearfield.core.types import Bools, ClipMetadata, Ints, Vectors
from nearfield.metrics.classification import classification_scores
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.intervals import Resamples, weighted_mean
from nearfield.metrics.neighbors import Search
from nearfield.metrics.probes import Labelled, fit_label_probe
from nearfield.metrics.registry import row_of, searches_within
from nearfield.metrics.result import EvaluationSettings, Findings, Result
from nearfield.metrics.retrieval import label_scores, margin_scores

QUICK = EvaluationSettings(draws=50, dense_probe=False)

SPLITS = {"train": np.arange(0, 90), "val": np.arange(90, 120), "test": np.arange(120, 180)}


def _facts(labels: Ints, tags: Bools | None = None, recordings: Ints | None = None) -> ClipMetadata:
    count = len(labels)
    known = np.zeros((count, 0), dtype=bool) if tags is None else tags
    sources = np.arange(count) // 2 if recordings is None else recordings
    return ClipMetadata(
        labels=labels,
        label_names=("rain", "wind", "bell"),
        tags=known,
        tag_names=tuple(f"tag {number}" for number in range(known.shape[1])),
        recordings=sources,
        groups=sources,
        start_times=np.zeros(count),
        seconds=np.ones(count),
    )


def _space(labels: Ints, apart: float = 1.0, seed: int = 0) -> Vectors:
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((3, 8)) * apart
    return (centres[labels] + chance.standard_normal((len(labels), 8))).astype(np.float32)


LABELS = np.arange(180) % 3


def test_figures_are_those_of_the_parts_called_alone() -> None:
    vectors, metadata = _space(LABELS), _facts(LABELS)
    result = evaluate(vectors, metadata, SPLITS, QUICK)
    train, val, test = (SPLITS[name] for name in ("train", "val", "test"))
    probe = fit_label_probe(Labelled(vectors[train], LABELS[train]), Labelled(vectors[val], LABELS[val]))
    predicted = probe.predict(vectors[test])
    expected = {
        "probe/macro_f1": f1_score(LABELS[test], predicted, average="macro"),
        "probe/accuracy": (predicted == LABELS[test]).mean(),
        "probe/strength": probe.strength,
        "probe/converged": 1.0,
    }
    groups = metadata.groups[test]
    for prefix, search, gallery in (
        ("retrieval", Search.within(vectors[test], sources=groups), test),
        ("retrieval_with_group", Search.within(vectors[test]), test),
        ("retrieval_from_train", Search(vectors[test], vectors[train]), train),
    ):
        for name, values in label_scores(search, LABELS[test], LABELS[gallery]).items():
            expected[f"{prefix}/{name}"] = np.nanmean(values)
    for name, values in margin_scores(search, LABELS[test], LABELS[gallery]).items():
        expected[f"retrieval_from_train/{name}"] = values.mean()
    # Train has as many clips of each class.
    probabilities = probe.probabilities(vectors[test])
    loss = -np.log(np.maximum(probabilities[np.arange(60), LABELS[test]], 0.01 / 3)).mean()
    expected["probe/log_loss_skill"] = 1 - loss / np.log(3)
    loss = brier_score_loss(LABELS[test], probabilities, labels=np.arange(3))
    expected["probe/brier_skill"] = 1 - loss / (2 / 3)
    for name, value in expected.items():
        assert result.metrics[name] == pytest.approx(float(value)), name
    np.testing.assert_array_equal(result.clips.rows, test)
    np.testing.assert_array_equal(result.clips.predicted, predicted)
    np.testing.assert_array_equal(result.clips.reference, LABELS[test])
    assert result.confusion is not None
    assert np.trace(result.confusion.counts) == (predicted == LABELS[test]).sum()
    assert [row.support for row in result.per_class] == [20, 20, 20]


def test_every_mean_over_clips_is_the_mean_of_its_scores() -> None:
    result = evaluate(_space(LABELS), _facts(LABELS), SPLITS, QUICK)
    assert "retrieval/map_at_r" in result.clips.scores
    for name, scores in result.clips.scores.items():
        assert result.metrics[name] == pytest.approx(np.nanmean(scores))
        low, high = result.intervals[name]
        row = row_of(name)
        assert row
        assert row.metric.range[0] <= low <= result.metrics[name] <= high <= row.metric.range[1]
    assert {"probe/macro_f1", "knn/macro_f1"} <= set(result.intervals)


def test_searches_within_the_split_are_known_without_each_group() -> None:
    """Against the whole evaluation again, of a split that lacks the group."""
    chance = np.random.default_rng(8)
    tags = chance.random((180, 4)) < 0.3
    metadata = replace(
        _facts(np.where(chance.random(180) < 0.1, -1, LABELS), tags, np.arange(180) // 5),
        start_times=chance.permutation(np.linspace(0.0, 179.0, 180)),
        columns={"song": np.arange(180) // 10},
    )
    vectors = _space(LABELS)
    result, test = evaluate(vectors, metadata, SPLITS, QUICK), SPLITS["test"]
    within = {name for name in result.clips.scores if searches_within(name)}
    assert {"retrieval/map_at_r", "retrieval/tag_map", "time/near_in_time_at_1"} <= within
    assert {"retrieval_without_song/tag_overlap_at_4", "retrieval_with_group/recall_at_2"} <= within
    assert set(result.clips.without) == within
    for group in np.unique(metadata.groups[test])[:4]:
        here = metadata.groups[test] == group
        left = evaluate(vectors, metadata, {**SPLITS, "test": test[~here]}, QUICK).metrics
        for name in within:
            np.testing.assert_allclose(result.clips.without[name][here], left[name], err_msg=name)


def test_intervals_of_searches_within_the_split_count_both_sides() -> None:
    result = evaluate(_space(LABELS), _facts(LABELS), SPLITS, QUICK)
    figure, without = result.metrics["retrieval/map_at_r"], result.clips.without["retrieval/map_at_r"][::2]
    reach = t.ppf(0.975, 29) * np.sqrt(29 * np.var(without)) / (figure * (1 - figure))
    ends = expit([logit(figure) - reach, logit(figure) + reach])
    np.testing.assert_allclose(result.intervals["retrieval/map_at_r"], ends)
    draws = Resamples.of(np.arange(60) // 2, 1000)
    spread = draws.apply(weighted_mean(result.clips.scores["retrieval/map_at_r"])).std()
    assert reach * figure * (1 - figure) > 1.2 * t.ppf(0.975, 29) * spread


def test_a_perfect_space_scores_one_everywhere() -> None:
    vectors = np.eye(3, dtype=np.float32)[LABELS]
    result = evaluate(
        vectors, _facts(LABELS, np.eye(3, dtype=bool)[LABELS]), SPLITS, EvaluationSettings(draws=20)
    )
    for name in (
        *("probe/macro_f1", "probe/accuracy", "knn/macro_f1", "dense_probe/macro_f1", "clusters/nmi"),
        *("retrieval/recall_at_1", "retrieval/map_at_r", "retrieval_from_train/r_precision"),
        *("tagging/roc_auc", "tagging/pr_auc", "retrieval/multilabel_recall_at_1", "retrieval/tag_ndcg"),
        *("clusters/silhouette", "retrieval/tag_map"),
        *("retrieval_from_train/margin", "retrieval_from_train/silhouette"),
    ):
        assert result.metrics[name] == pytest.approx(1), name
    assert result.metrics["geometry/centroid_spread"] == pytest.approx(0, abs=1e-6)
    assert result.metrics["geometry/overlap"] == 0


def test_the_order_of_clips_does_not_matter() -> None:
    tags = np.random.default_rng(5).random((180, 4)) < 0.3
    vectors, metadata = _space(LABELS), _facts(LABELS, tags)
    shuffled = np.random.default_rng(1).permutation(180)
    place = np.argsort(shuffled)
    splits = {name: place[rows] for name, rows in SPLITS.items()}
    plain = evaluate(vectors, metadata, SPLITS, QUICK).metrics
    moved = evaluate(vectors[shuffled], metadata.take(shuffled), splits, QUICK).metrics
    drawn = ("clusters", "geometry", "baseline/chance/clusters", "baseline/hub", "baseline/same_recording")
    for name, value in plain.items():
        if not name.startswith(drawn):
            assert moved[name] == pytest.approx(value, abs=1e-9), name


def test_a_space_of_recordings_is_caught() -> None:
    """Same recording first: high with the group left in, the share says why, and nothing is left without."""
    recordings = np.arange(180) // 6
    labels = recordings % 3
    chance = np.random.default_rng(2)
    vectors = chance.standard_normal((30, 16))[recordings] + 0.01 * chance.standard_normal((180, 16))
    metrics = evaluate(
        vectors.astype(np.float32), _facts(labels, recordings=recordings), SPLITS, QUICK
    ).metrics
    assert metrics["retrieval/same_recording_share"] == 1
    assert metrics["retrieval_with_group/recall_at_1"] == 1
    assert metrics["retrieval/recall_at_1"] < 0.7
    assert metrics["baseline/chance/retrieval/same_recording_share"] == pytest.approx(5 / 59)


def test_tags_are_scored_beside_their_cheats() -> None:
    chance = np.random.default_rng(3)
    vectors = chance.standard_normal((180, 8)).astype(np.float32)
    tags = vectors[:, :5] + 0.5 * chance.standard_normal((180, 5)) > 0.8
    tags[:, 4] = False
    tags[120:, 3] = True
    metadata = _facts(np.full(180, -1), tags)
    result = evaluate(vectors, metadata, SPLITS, QUICK)
    metrics, heard = result.metrics, tags[120:].any(axis=1)
    assert metrics["tagging/tags"] == 3
    assert metrics["tagging/tags_left_out"] == 2
    assert 0.7 < metrics["tagging/roc_auc"] <= 1
    assert metrics["baseline/chance/tagging/pr_auc"] == pytest.approx(tags[120:][heard][:, :3].mean())
    for row in ("baseline/chance/retrieval", "baseline/hub/retrieval", "retrieval"):
        assert f"{row}/multilabel_recall_at_8" in metrics
    assert "baseline/same_recording/retrieval_with_group/multilabel_recall_at_1" in metrics
    assert not any(name.startswith("probe/") for name in metrics)
    assert [row.name for row in result.per_tag] == list(metadata.tag_names)
    assert result.per_tag[4].roc_auc is None
    assert result.per_tag[0].roc_auc_interval is not None
    assert result.per_tag[4].few
    assert any("3 of 5 tags are scored" in note for note in result.notes)
    assert result.per_tag[0].roc_auc is not None
    assert np.mean([row.roc_auc for row in result.per_tag[:3]]) == pytest.approx(metrics["tagging/roc_auc"])


def test_tag_figures_equal_scikit_learns() -> None:
    chance = np.random.default_rng(4)
    vectors = chance.standard_normal((180, 6)).astype(np.float32)
    tags = np.hstack([vectors[:, :2] > 0, np.ones((180, 1), dtype=bool)])
    result = evaluate(vectors, _facts(np.full(180, -1), tags), {**SPLITS, "val": np.arange(0)}, QUICK)
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors[:90])
    for tag in range(2):
        theirs = LogisticRegression(C=1.0, tol=1e-8, max_iter=1000)
        theirs.fit(scaler.transform(vectors[:90]), tags[:90, tag])
        scores = theirs.decision_function(scaler.transform(vectors[120:]))
        assert result.per_tag[tag].roc_auc == pytest.approx(roc_auc_score(tags[120:, tag], scores), abs=1e-3)


def test_clips_without_labels_or_tags_are_judged_by_shape_and_time() -> None:
    recordings = np.arange(180) // 10
    angle = recordings * 0.35 + np.arange(180) % 10 / 100
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    metadata = replace(
        _facts(np.full(180, -1), recordings=recordings), start_times=np.tile(np.arange(10) * 5.0, 18)
    )
    result = evaluate(vectors, metadata, SPLITS, QUICK)
    assert result.metrics["time/same_recording_at_1"] == 1
    assert result.metrics["time/near_in_time_at_1"] == 1
    assert result.metrics["time/triplet_accuracy"] > 0.99
    assert result.metrics["geometry/overlap"] < 0.5
    families = {name.split("/")[0] for name in result.metrics}
    assert families == {"time", "geometry", "retrieval", "baseline"}
    whole_files = evaluate(vectors, replace(metadata, start_times=np.zeros(180)), SPLITS, QUICK)
    assert not any(name.startswith("time/") for name in whole_files.metrics)


def test_distances_in_time_and_the_spread_of_chance_stand_in_every_result() -> None:
    metadata = replace(
        _facts(LABELS, recordings=np.arange(180) // 10), start_times=np.tile(np.arange(10) * 5.0, 18)
    )
    metrics = evaluate(_space(LABELS), metadata, SPLITS, QUICK).metrics
    assert 0 < metrics["geometry/alike_distance"] < metrics["geometry/unlike_distance"]
    assert {"geometry/neighbour_distance", "geometry/opposite_distance"} <= set(metrics)
    assert 0 <= metrics["geometry/neighbour_overlap"] <= 1
    assert metrics["baseline/chance/geometry/centroid_spread"] > 0


def test_no_song_and_no_artist_finds_itself() -> None:
    chance = np.random.default_rng(6)
    tags = chance.random((180, 5)) < 0.4
    songs, artists = np.arange(180) // 3, np.arange(180) // 12
    # A space of artists: near in it means by the same hand.
    vectors = chance.standard_normal((15, 16))[artists] + 0.01 * chance.standard_normal((180, 16))
    metadata = _facts(np.full(180, -1), tags, np.arange(180))
    metadata = replace(metadata, columns={"song": songs, "artist": np.where(artists == 14, -1, artists)})
    result = evaluate(vectors.astype(np.float32), metadata, SPLITS, QUICK)
    rows = SPLITS["test"]
    heard = rows[tags[rows].any(axis=1)]
    space = vectors[heard] / np.linalg.norm(vectors[heard], axis=1, keepdims=True)
    likeness = space @ space.T
    for column, values in (("song", songs), ("artist", metadata.columns["artist"])):
        given = values[heard]
        barred = (given[:, None] == given) & (given[:, None] >= 0)
        np.fill_diagonal(barred, True)
        first = np.where(barred, -np.inf, likeness).argmax(axis=1)
        truth = tags[heard]
        recall = ((truth & truth[first]).sum(axis=1) / truth.sum(axis=1)).mean()
        prefix = f"retrieval_without_{column}"
        assert result.metrics[f"{prefix}/multilabel_recall_at_1"] == pytest.approx(recall)
        assert f"baseline/chance/{prefix}/multilabel_recall_at_8" in result.metrics
        assert f"{prefix}/multilabel_recall_at_1" in result.intervals
    alone = replace(metadata, columns={"song": np.zeros(180, dtype=np.int64)})
    found = evaluate(vectors.astype(np.float32), alone, SPLITS, QUICK)
    assert "retrieval_without_song: no clip has another song to find." in found.notes
    assert not any(name.startswith("retrieval_without_song") for name in found.metrics)


def test_what_is_missing_is_said() -> None:
    labels = LABELS.copy()
    labels[120:130] = -1
    labels[:120][labels[:120] == 2] = -1
    metadata = _facts(labels)
    result = evaluate(_space(LABELS), metadata, {**SPLITS, "val": np.arange(0)}, QUICK)
    notes = "\n".join(result.notes)
    assert "10 of 60 clips have no label; label metrics leave them out." in notes
    assert "17 of 50 clips have classes absent from train; they count as wrong." in notes
    assert "No labeled val split to choose the probe's regularization: C = 1." in notes
    assert "retrieval_from_train: 33 of 50 queries have another clip of their label" in notes
    assert result.metrics["probe/unseen_clips"] == 17
    assert result.metrics["retrieval_from_train/queries_left_out"] == 17
    assert (result.clips.predicted[:10] == -1).all()

    only_test = evaluate(_space(LABELS), metadata, {"test": SPLITS["test"]}, QUICK)
    assert any("Train has no labeled clips" in note for note in only_test.notes)
    assert "retrieval/recall_at_1" in only_test.metrics
    assert "probe/macro_f1" not in only_test.metrics


def test_one_group_has_no_intervals_and_few_are_called_rough() -> None:
    metadata = _facts(LABELS, recordings=np.zeros(180, dtype=np.int64))
    result = evaluate(_space(LABELS), metadata, SPLITS, QUICK)
    assert result.intervals == {}
    assert any("a single group: intervals" in note for note in result.notes)
    assert "retrieval/recall_at_1" not in result.metrics
    assert "retrieval_with_group/recall_at_1" in result.metrics
    few = evaluate(_space(LABELS), _facts(LABELS, recordings=np.arange(180) % 4), SPLITS, QUICK)
    assert any("only 4 groups: its intervals are rough" in note for note in few.notes)
    single = {"train": np.arange(0, 90), "test": np.arange(120, 124)}
    none = evaluate(_space(LABELS), _facts(np.full(180, -1), recordings=np.arange(180)), single, QUICK)
    assert none.intervals == {}
    assert not any("intervals are rough" in note for note in none.notes)
    assert evaluate(_space(LABELS), metadata, SPLITS, EvaluationSettings(draws=0)).intervals == {}


def test_choices_are_never_made_on_the_split_that_is_scored() -> None:
    result = evaluate(_space(LABELS), _facts(LABELS), SPLITS, QUICK.model_copy(update={"split": "val"}))
    assert result.metrics["probe/strength"] == 1.0
    assert any("No labeled val split to choose" in note for note in result.notes)
    on_train = evaluate(_space(LABELS), _facts(LABELS), SPLITS, QUICK.model_copy(update={"split": "train"}))
    assert any("were trained on these clips" in note for note in on_train.notes)


def test_groups_not_known_go_by_their_recording() -> None:
    metadata = _facts(LABELS)
    by_recording = evaluate(_space(LABELS), replace(metadata, groups=np.full(180, -1)), SPLITS, QUICK)
    by_group = evaluate(_space(LABELS), metadata, SPLITS, QUICK)
    assert by_recording.metrics == by_group.metrics


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_a_collapsed_space_is_scored_without_a_warning(value: float) -> None:
    vectors = np.full((180, 4), value, dtype=np.float32)
    tags = np.eye(3, dtype=bool)[LABELS]
    result = evaluate(vectors, _facts(LABELS, tags), SPLITS, QUICK)
    assert result.metrics["geometry/effective_rank"] == pytest.approx(1 if value else 0)
    assert result.metrics["clusters/nmi"] == 0
    assert result.metrics["tagging/roc_auc"] == pytest.approx(0.5)
    assert result.metrics["probe/macro_f1"] < 0.4
    assert all(np.isfinite(figure) for figure in result.metrics.values())


def test_the_same_evaluation_twice_gives_the_same_result_and_it_can_be_written() -> None:
    tags = np.random.default_rng(5).random((180, 4)) < 0.3
    arguments = _space(LABELS), _facts(LABELS, tags), SPLITS, EvaluationSettings(draws=30)
    first, second = evaluate(*arguments), evaluate(*arguments)
    assert first.metrics == second.metrics
    assert first.intervals == second.intervals
    assert "dense_probe/macro_f1" in first.metrics
    plain = json.loads(json.dumps(first.plain(), allow_nan=False))
    assert plain["metrics"] == first.metrics
    assert len(plain["per_tag"]) == 4
    assert len(plain["centroids"]["distances"]) == 3


def test_baselines_take_a_prefix_and_leave_their_own_baselines() -> None:
    result: Result = evaluate(_space(LABELS), _facts(LABELS), SPLITS, QUICK)
    named = result.prefixed("baseline/mfcc_stats")
    assert named["baseline/mfcc_stats/probe/macro_f1"] == result.metrics["probe/macro_f1"]
    assert not any("baseline/chance" in name for name in named)


def test_refuses_what_cannot_be_scored() -> None:
    vectors, metadata = _space(LABELS), _facts(LABELS)
    with pytest.raises(DataError, match=r"split 'tset' has no clips. Did you mean 'test'\?"):
        evaluate(vectors, metadata, SPLITS, QUICK.model_copy(update={"split": "tset"}))
    with pytest.raises(RequestError, match="metadata: 179 entries are expected, one per vector; given: 180"):
        evaluate(vectors[:-1], metadata, SPLITS, QUICK)
    vectors[7] = np.inf
    with pytest.raises(WorkError, match="1 of 180 vectors are not finite, the first in row 7"):
        evaluate(vectors, metadata, SPLITS, QUICK)


def test_no_clip_of_train_finds_itself_where_train_is_scored() -> None:
    chance = np.random.default_rng(0).standard_normal((180, 8)).astype(np.float32)  # knows no labels
    tags = np.random.default_rng(5).random((180, 4)) < 0.3
    metadata = _facts(LABELS, tags, recordings=np.full(180, -1))  # no group keeps a clip from itself
    found = evaluate(chance, metadata, SPLITS, QUICK.model_copy(update={"split": "train"})).metrics
    first = [name for name in found if name.startswith("retrieval") and name.endswith("recall_at_1")]
    assert len(first) >= 3
    assert all(found[name] < 0.8 for name in first), {name: found[name] for name in first}


def test_intervals_of_shares_lie_evenly_about_their_figures_on_the_scale_of_odds() -> None:
    result = evaluate(_space(LABELS, 0.5), _facts(LABELS), SPLITS, QUICK)
    for name in ("probe/macro_f1", "probe/accuracy", "probe/weighted_f1", "retrieval/map_at_r"):
        assert 0 < result.metrics[name] < 1
        low, middle, high = logit(
            [result.intervals[name][0], result.metrics[name], result.intervals[name][1]]
        )
        assert high - middle == pytest.approx(middle - low)


def test_degrees_of_freedom_are_of_the_groups_with_a_clip_that_is_scored() -> None:
    resamples = Resamples.of(np.arange(100), 300)
    found = Findings(100, resamples)
    values, at = np.array([0.2, 0.7, 0.9]), np.array([5, 20, 40])
    found.means("here", {"share": values, "of one": np.array([0.5, np.nan, np.nan])}, at)
    found.resample_means(lambda name: (0.0, 1.0))
    counts = resamples.counts[:, at].astype(float)
    counts = counts[counts.any(axis=1)]
    deviation = (counts @ values / counts.sum(axis=1)).std(ddof=1)
    figure = values.mean()
    reach = t.ppf(0.975, 2) * deviation / (figure * (1 - figure))
    assert found.intervals["here/share"] == pytest.approx(expit(logit(figure) + np.array([-reach, reach])))
    assert "here/of one" not in found.intervals


def test_few_labelled_groups_among_many_have_wide_intervals() -> None:
    labels = LABELS.copy()
    labels[126:] = -1
    metadata = _facts(labels)
    result = evaluate(_space(LABELS, 0.2), metadata, SPLITS, QUICK)
    resamples = Resamples.of(metadata.sources[SPLITS["test"]], QUICK.draws, QUICK.seed)
    assert resamples.groups == 30
    weights = np.concatenate(list(resamples.weights()))[:, :6]
    drawn = classification_scores(labels[120:126], result.clips.predicted[:6], weights)["macro_f1"]
    figure = result.metrics["probe/macro_f1"]
    reach = t.ppf(0.975, 2) * np.nanstd(drawn, ddof=1) / (figure * (1 - figure))
    assert result.intervals["probe/macro_f1"] == pytest.approx(
        expit(logit(figure) + np.array([-reach, reach]))
    )


def test_tags_or_a_column_of_one_group_have_no_intervals() -> None:
    tags = LABELS[:, None] == np.arange(3)
    tags[124:] = False
    groups = np.arange(180) // 4
    column = np.where(np.arange(180) < 124, np.arange(180) % 2, -1)
    metadata = replace(_facts(np.full(180, -1), tags, groups), columns={"node": column})
    result = evaluate(_space(LABELS), metadata, SPLITS, QUICK)
    for name in ("tagging/pr_auc", "nuisance/node/macro_f1"):
        assert name in result.metrics
        assert name not in result.intervals
    assert all(tag.pr_auc_interval is None for tag in result.per_tag)
