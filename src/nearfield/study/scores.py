"""Scores of finished runs by seed, test group and tag: the input of the statistics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nearfield.analysis.compare import tag_names
from nearfield.core.types import Bools, Floats, Ints
from nearfield.metrics.intervals import LEAST_GROUPS, NOTHING, held
from nearfield.metrics.registry import searches_within
from nearfield.metrics.tag_metrics import AREAS, areas_without
from nearfield.metrics.tagging import FEW, macro, tag_areas
from nearfield.study.records import Interval, TagArea, TagFacts
from nearfield.study.statistics.family import Bound
from nearfield.study.statistics.two_way import Array, MeanSquares
from nearfield.training.evaluate_run import without
from nearfield.training.run_folder import RunFolder

# Scores of test groups from scores of single clips. Their mean is the metric itself.
#
# A metric that is not a mean over clips (macro F1) has no score for one group, but it has a jackknife
# pseudo-value: with G groups, metric m over all and m[-g] without group g, it is G m - (G - 1) m[-g]
# (Quenouille 1949; Tukey 1958; for the metrics of multi-reader studies Dorfman, Berbaum & Metz 1992).
# Pseudo-values behave like independent scores of the groups. Their mean is the metric minus the jackknife
# estimate of its bias; here they are shifted so that their mean is the metric itself and the document has one
# number for one thing. Means over clips are treated in the same way, so that groups weigh by their size. A
# metric that searches the test set within itself uses a clip twice, as query and in the gallery; the clip is
# left out of both (`metrics/retrieval.py`).


def mean_by_group(scores: Floats, groups: Ints) -> Floats:
    """Pseudo-values (G,) of a mean over clips, from (n,) scores (NaN: none) and (n,) groups.

    Groups are in ascending order.
    """
    known = np.isfinite(scores)
    names, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, np.where(known, scores, 0.0), len(names))
    counts = np.bincount(place, known, len(names))
    return _pseudo(sums.sum() / counts.sum(), (sums.sum() - sums) / np.maximum(1, counts.sum() - counts))


def left_out_by_block(whole: float, without: Floats, blocks: Ints) -> Floats:
    """Pseudo-values (B,) of a metric that is `whole` over all clips.

    `without` (n,) is the metric without the block of each clip, as query and in the gallery; `blocks` (n,)
    are the blocks.
    """
    first = np.unique(blocks, return_index=True)[1]
    return _pseudo(whole, without[first])


def macro_f1_by_group(reference: Ints, predicted: Ints, groups: Ints) -> Floats:
    """Pseudo-values (G,) of macro F1 over classes that occur or are predicted, from (n,) class numbers."""
    classes = np.union1d(reference, predicted)
    names, place = np.unique(groups, return_inverse=True)
    is_real = reference[:, None] == classes
    is_predicted = predicted[:, None] == classes

    def by_group(cells: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
        found = np.zeros((len(names), len(classes)))
        np.add.at(found, place, cells)
        return found

    hits, reals, claims = by_group(is_real & is_predicted), by_group(is_real), by_group(is_predicted)
    whole = _f1(hits.sum(0), reals.sum(0), claims.sum(0)).mean()
    without = _f1(hits.sum(0) - hits, reals.sum(0) - reals, claims.sum(0) - claims)
    # A class that occurs in one group only is missing without that group: average over the others.
    left = (reals.sum(0) - reals + claims.sum(0) - claims) > 0
    return _pseudo(float(whole), (without * left).sum(1) / np.maximum(1, left.sum(1)))


def area_by_group(tags: Bools, scores: Floats, groups: Ints, area: str) -> Floats:
    """Pseudo-values (G,) of the mean over tags of `roc_auc` or `pr_auc`, from (n, K) tags and scores.

    The mean without a group skips tags that all or none of the remaining clips have.
    """
    means = macro(_areas(tags, scores, groups, area))
    return _pseudo(float(means[0]), np.where(np.isfinite(means[1:]), means[1:], means[0]))


def areas_by_group(tags: Bools, scores: Floats, groups: Ints, area: str) -> tuple[Floats, Floats]:
    """Areas (K,) and pseudo-values (G, K) of each tag.

    An area is NaN if all clips or none have the tag. The pseudo-values are NaN also if this happens without
    one of the groups.
    """
    areas = _areas(tags, scores, groups, area)
    return areas[0], np.stack([_pseudo(float(each[0]), each[1:]) for each in areas.T], axis=1)


def _areas(tags: Bools, scores: Floats, groups: Ints, area: str) -> Floats:
    """Areas (1 + G, K): over all clips, then without each group."""
    return np.vstack([tag_areas(tags, scores)[area], areas_without(tags, scores, groups)[area]])


def _f1(hits: Floats, reals: Floats, claims: Floats) -> Floats:
    return np.asarray(2 * hits / np.maximum(1e-12, reals + claims))


def _pseudo(whole: float, without: Floats) -> Floats:
    count = len(without)
    if count == 1:
        return np.asarray([whole])
    return np.asarray(whole + (count - 1) * (without.mean() - without))


# Score tables of finished runs: one row per seed, one column per test group.


def by_group(clips: pd.DataFrame, measure: str) -> Array | None:
    """Scores (G,) of the test groups, whose mean is the metric; None if single clips have no such score.

    `clips` is a table that `evaluate_run.write_clips` wrote, or a round of folds (see `round_of`): the
    groups of one fold after the other. A metric is then the mean over all groups of the folds.
    """
    if FOLD in clips and measure == "probe/macro_f1":
        # Over the predictions of all folds: the mean of F1 over folds is biased (Forman & Scholz 2010).
        groups = groups_of(clips) + clips[FOLD].to_numpy() * (1 + groups_of(clips).max())
        return by_group(clips.drop(columns=FOLD).assign(group=groups), measure)
    if FOLD in clips:
        found = [by_group(part, measure) for part in folds_of(clips)]
        whole = [each for each in found if each is not None]
        return np.concatenate(whole) if len(whole) == len(found) else None
    groups = groups_of(clips)
    if measure in clips:
        scores = clips[measure].to_numpy(np.float64)
        if not np.isfinite(scores).any():
            return None
        if searches_within(measure) and len(np.unique(groups)) > 1:
            return left_out_by_block(float(np.nanmean(scores)), *without(clips, measure))
        return mean_by_group(scores, groups)
    if measure == "probe/macro_f1":
        known = ((clips["label"] != "") & (clips["predicted"] != "")).to_numpy()
        names = sorted({*clips["label"], *clips["predicted"]})
        number = {name: place for place, name in enumerate(names)}
        labels, predicted = (
            np.array([number[name] for name in clips[column]]) for column in ("label", "predicted")
        )
        return macro_f1_by_group(labels[known], predicted[known], groups[known]) if known.any() else None
    who, _, area = measure.partition("/")
    if area in AREAS and f"{who}/scores" in clips:
        known = clips[f"{who}/scores"].notna().to_numpy()
        scores, tags = (np.stack(list(clips[f"{who}/{column}"][known])) for column in ("scores", "tags"))
        return area_by_group(tags.astype(np.bool_), scores.astype(np.float64), groups[known], area)
    return None


FOLD = "fold"
"""The column of a round of folds: the number of the fold, from 0."""


def round_of(folds: Sequence[pd.DataFrame | None]) -> pd.DataFrame | None:
    """The clips of a training, or of a round of trainings, one per fold; None if one of them failed."""
    found = [each for each in folds if each is not None]
    if len(found) < len(folds):
        return None
    if len(found) == 1:
        return found[0]
    return pd.concat([each.assign(**{FOLD: number}) for number, each in enumerate(found)], ignore_index=True)


def folds_of(clips: pd.DataFrame) -> list[pd.DataFrame]:
    """The clips of each fold of a round; all clips, without folds."""
    if FOLD not in clips:
        return [clips]
    return [part.drop(columns=FOLD) for _, part in clips.groupby(FOLD, sort=True)]


def fold_of_groups(clips: Sequence[pd.DataFrame | None], measure: str) -> Ints | None:
    """The fold (G,) of each column of `table`; None without folds, or if the groups have no scores."""
    first = next((each for each in clips if each is not None and FOLD in each), None)
    if first is None:
        return None
    found = [by_group(part, measure) for part in folds_of(first)]
    sizes = [len(each) for each in found if each is not None]
    return np.repeat(np.arange(len(sizes)), sizes) if len(sizes) == len(found) else None


def groups_of(clips: pd.DataFrame) -> Ints:
    """The group (n,) of each clip; a clip without a known group is a group of its own."""
    groups = clips["group"].to_numpy(np.int64)
    return np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)


def table(
    clips: Sequence[pd.DataFrame | None], metrics: Sequence[Mapping[str, float]], measure: str
) -> Array | None:
    """Scores (S, G) of one arm, one row per seed; NaN if that training failed or lacks the metric.

    `clips` is as for `by_group`; `metrics` holds the metrics of each result, averaged over a round of folds.
    If single clips have no score of the metric, G is 1, and only the variation between seeds is known. None
    if no run has the metric.
    """
    rows = [None if each is None else by_group(each, measure) for each in clips]
    found = [row for row in rows if row is not None]
    if found:
        blank = np.full_like(found[0], np.nan)
        return np.stack([blank if row is None else row for row in rows])
    single = np.array([[each.get(measure, np.nan)] for each in metrics])
    return single if np.isfinite(single).any() else None


# Areas under the curve of each tag for each arm: which tags does an arm predict better than the reference?
#
# Areas are defined as in `metrics.tagging`. As for the judge, S seeds are crossed with G test groups. The
# degrees of freedom of the groups count the groups that have the tag, or those that lack it if they are
# fewer. Differences are paired by seed and group, and p values are corrected over all tags and arms
# (Holm 1979). The table is descriptive; only the judge decides.


@dataclass(frozen=True)
class _Scored:
    """The areas (S, K) and pseudo-values (S, G, K) of one arm; all NaN for a failed training."""

    areas: Floats
    pseudo: Floats


def told_by(judge: str) -> str | None:
    """The source of the judge's tag scores, "tagger" or "tagging"; None if the judge is no area over tags."""
    who, _, area = judge.partition("/")
    return who if area in AREAS else None


def tag_facts(
    clips: Mapping[str, Sequence[pd.DataFrame | None]], folder: RunFolder, who: str, reference: str
) -> tuple[TagFacts, ...]:
    """One row per tag; empty if no run has tag scores of `who`.

    `clips` holds the clips of every arm's runs (None if a training failed), as `evaluate_run.write_clips`
    wrote them. `folder` is any finished run and gives the names of the tags. `reference` is the arm that the
    gaps refer to.
    """
    found = [each for runs in clips.values() for each in runs if each is not None and f"{who}/scores" in each]
    if not found:
        return ()
    tags, _, groups = _tag_scores(found[0], who)
    names = tag_names(folder, who, tags.shape[1])
    if names is None:
        return ()
    dof = _group_dof(tags, groups)
    rows_of = {
        area: _of_area({arm: _scored(runs, who, area) for arm, runs in clips.items()}, dof, reference)
        for area in AREAS
    }
    positives = tags.sum(axis=0)
    return tuple(
        TagFacts(
            name,
            int(positives[place]),
            bool(positives[place] < FEW),
            {area: rows[place] for area, rows in rows_of.items()},
        )
        for place, name in enumerate(names)
    )


def _tag_scores(clips: pd.DataFrame, who: str) -> tuple[Bools, Floats, Ints]:
    """Tags (n, K), scores (n, K) and groups (n,) of the clips that have scores."""
    known = clips[f"{who}/scores"].notna()
    tags, scores = (np.stack(list(clips[f"{who}/{column}"][known])) for column in ("tags", "scores"))
    return tags.astype(np.bool_), scores.astype(np.float64), groups_of(clips)[known]


def _scored(runs: Sequence[pd.DataFrame | None], who: str, area: str) -> _Scored | None:
    """Areas and pseudo-values of one arm; None if no run has scores."""
    found = [
        _areas_of_round(each, who, area) if each is not None and f"{who}/scores" in each else None
        for each in runs
    ]
    first = next((each for each in found if each is not None), None)
    if first is None:
        return None
    blank = tuple(np.full_like(part, np.nan) for part in first)
    areas, pseudo = (np.stack(parts) for parts in zip(*(each or blank for each in found), strict=True))
    return _Scored(areas, pseudo)


def _areas_of_round(clips: pd.DataFrame, who: str, area: str) -> tuple[Floats, Floats]:
    """Areas (K,), the mean over folds weighted by their groups, and pseudo-values (G, K) of each tag."""
    each = [areas_by_group(*_tag_scores(part, who), area) for part in folds_of(clips)]
    sizes = [len(pseudo) for _, pseudo in each]
    areas = np.average([areas for areas, _ in each], axis=0, weights=sizes)
    return areas, np.concatenate([pseudo for _, pseudo in each])


def _group_dof(tags: Bools, groups: Ints) -> Ints:
    """Degrees of freedom (K,): the groups that have each tag, or those that lack it if fewer, minus one."""
    return np.array(
        [min(len(np.unique(groups[tag])), len(np.unique(groups[~tag]))) - 1 for tag in tags.T], dtype=np.int64
    )


def _of_area(arms: Mapping[str, _Scored | None], dof: Ints, reference: str) -> list[dict[str, TagArea]]:
    """One area (`roc_auc` or `pr_auc`) of each tag, by arm."""
    against = arms.get(reference)
    rows: list[dict[str, TagArea]] = []
    for tag, group_dof in enumerate(dof.tolist()):
        row = {}
        for arm, scored in arms.items():
            if scored is None or not np.isfinite(scored.areas[:, tag]).any():
                continue
            own, table = scored.areas[:, tag], scored.pseudo[:, :, tag]
            mean, interval, _ = _interval(own, table, group_dof, 0.0)
            row[arm] = TagArea(mean, interval)
            if against is not None and arm != reference:
                gaps = own - against.areas[:, tag]
                if np.isfinite(gaps).any():
                    gap, ends, p = _interval(gaps, table - against.pseudo[:, :, tag], group_dof, -1.0)
                    row[arm] = TagArea(mean, interval, gap, ends, p)
        rows.append(row)
    return _corrected(rows)


def _interval(
    areas: Floats, table: Array, dof: int, least: float
) -> tuple[float, Interval | None, float | None]:
    """The mean of areas (S,), its 95 % interval within [`least`, 1], and the p value of a mean of 0.

    `table` (S, G) holds the pseudo-values, `dof` is that of the groups. If nothing varies, there is no
    interval, and p is 1 if the mean is 0, otherwise None.
    """
    whole = table[np.isfinite(table).all(1)]
    mean = float(np.nanmean(areas))
    if len(whole) < 2 or dof < LEAST_GROUPS - 1:
        return mean, None, None
    squares = MeanSquares.of(whole)
    bound, error = Bound(2, squares.seeds - 1, dof), float(np.sqrt(squares.variance))
    if error < NOTHING:
        return mean, None, 1.0 if abs(mean) < NOTHING else None
    half = float(bound.limit(squares.share, 0.05)) * error
    p = bound.p_value(abs(mean) / error, float(squares.share))
    return mean, (max(least, mean - half), min(1.0, mean + half)), min(1.0, p)


def _corrected(rows: list[dict[str, TagArea]]) -> list[dict[str, TagArea]]:
    """The rows with p values corrected over all tags and arms."""
    places = [(tag, arm) for tag, row in enumerate(rows) for arm in row]
    for (tag, arm), p in zip(places, held([rows[tag][arm].p_holm for tag, arm in places]), strict=True):
        rows[tag][arm] = replace(rows[tag][arm], p_holm=p)
    return rows
