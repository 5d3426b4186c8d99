"""Scores of finished runs by seed, test group and tag, as the statistics read them."""

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

# Scores of single clips to scores of test groups whose mean is the measure itself.
#
# A measure that is no mean over clips (macro F1) has no score for one recording, but a jackknife
# pseudo-value: with G groups, measure m over all and m[-g] without group g, it is G m - (G - 1) m[-g]
# (Quenouille 1949; Tukey 1958; for the measures of multi-reader studies Dorfman, Berbaum & Metz 1992).
# Pseudo-values behave like independent scores of the groups. Their mean is the measure less what the
# jackknife takes for its bias; here they are moved so that it is the measure itself: a document should say
# one number for one thing. Means over clips are treated alike, so that groups of unlike size weigh as they
# should. Of a measure that searches the test set within itself a clip is a part twice, as query and in the
# gallery, and is left out of both (`metrics/retrieval.py`).


def mean_by_group(scores: Floats, groups: Ints) -> Floats:
    """(n,) scores, NaN where a clip has none, and (n,) groups -> (G,) pseudo-values, groups ascending."""
    known = np.isfinite(scores)
    names, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, np.where(known, scores, 0.0), len(names))
    counts = np.bincount(place, known, len(names))
    return _pseudo(sums.sum() / counts.sum(), (sums.sum() - sums) / np.maximum(1, counts.sum() - counts))


def left_out_by_block(whole: float, without: Floats, blocks: Ints) -> Floats:
    """Pseudo-values (B,) of a measure that is `whole` over all clips, from its value (n,) without the block
    of each clip, as query and in the gallery, and the (n,) blocks."""
    first = np.unique(blocks, return_index=True)[1]
    return _pseudo(whole, without[first])


def macro_f1_by_group(reference: Ints, predicted: Ints, groups: Ints) -> Floats:
    """Pseudo-values (G,) of macro F1 over the classes that occur or are predicted, (n,) class numbers."""
    classes = np.union1d(reference, predicted)
    names, place = np.unique(groups, return_inverse=True)
    here = reference[:, None] == classes
    said = predicted[:, None] == classes

    def by_group(cells: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
        found = np.zeros((len(names), len(classes)))
        np.add.at(found, place, cells)
        return found

    hits, reals, claims = by_group(here & said), by_group(here), by_group(said)
    whole = _f1(hits.sum(0), reals.sum(0), claims.sum(0)).mean()
    without = _f1(hits.sum(0) - hits, reals.sum(0) - reals, claims.sum(0) - claims)
    # A class that lives in one group alone is not there without it: the mean is over those that are.
    left = (reals.sum(0) - reals + claims.sum(0) - claims) > 0
    return _pseudo(float(whole), (without * left).sum(1) / np.maximum(1, left.sum(1)))


def area_by_group(tags: Bools, scores: Floats, groups: Ints, area: str) -> Floats:
    """Pseudo-values (G,) of the mean over tags of `roc_auc` or `pr_auc`, from (n, K) tags and scores.

    A tag that all clips or none have without a group does not count there.
    """
    means = macro(_areas(tags, scores, groups, area))
    return _pseudo(float(means[0]), np.where(np.isfinite(means[1:]), means[1:], means[0]))


def areas_by_group(tags: Bools, scores: Floats, groups: Ints, area: str) -> tuple[Floats, Floats]:
    """Each tag by itself: (K,) areas, NaN where all clips or none have it, and (G, K) pseudo-values, NaN also
    where the tag is in all clips or none without one of the groups."""
    areas = _areas(tags, scores, groups, area)
    return areas[0], np.stack([_pseudo(float(each[0]), each[1:]) for each in areas.T], axis=1)


def _areas(tags: Bools, scores: Floats, groups: Ints, area: str) -> Floats:
    """(1 + G, K): over all clips, then without each group."""
    return np.vstack([tag_areas(tags, scores)[area], areas_without(tags, scores, groups)[area]])


def _f1(hits: Floats, reals: Floats, claims: Floats) -> Floats:
    return np.asarray(2 * hits / np.maximum(1e-12, reals + claims))


def _pseudo(whole: float, without: Floats) -> Floats:
    count = len(without)
    if count == 1:
        return np.asarray([whole])
    return np.asarray(whole + (count - 1) * (without.mean() - without))


# From the folders of finished runs to what the statistics read: a row a seed, a column a test group.


def by_group(clips: pd.DataFrame, measure: str) -> Array | None:
    """(G,) scores of the test groups, whose mean is the measure; None where single clips have no such score.

    `clips` as `runs.clips` writes them.
    """
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
        told = clips[f"{who}/scores"].notna().to_numpy()
        scores, tags = (np.stack(list(clips[f"{who}/{column}"][told])) for column in ("scores", "tags"))
        return area_by_group(tags.astype(np.bool_), scores.astype(np.float64), groups[told], area)
    return None


def groups_of(clips: pd.DataFrame) -> Ints:
    """(n,) the group of each clip; clips of no known group stand for themselves."""
    groups = clips["group"].to_numpy(np.int64)
    return np.where(groups < 0, groups.max(initial=0) + 1 + np.arange(len(groups)), groups)


def table(
    clips: Sequence[pd.DataFrame | None], metrics: Sequence[Mapping[str, float]], measure: str
) -> Array | None:
    """(S, G) scores of one arm, one row a seed, NaN where that training failed or has no such measure.

    `clips` as for `by_group`, `metrics` are those of each result. Where single clips have no score of the
    measure G is 1: then only the seeds' chance is known. None where no run has the measure.
    """
    rows = [None if each is None else by_group(each, measure) for each in clips]
    kept = [row for row in rows if row is not None]
    if kept:
        blank = np.full_like(kept[0], np.nan)
        return np.stack([blank if row is None else row for row in rows])
    single = np.array([[found.get(measure, np.nan)] for found in metrics])
    return single if np.isfinite(single).any() else None


# Each tag under each arm of a study of taggers: which tags does an arm tell better than the reference?
#
# Conventions: areas as in `evaluation.tagging`. A tag has S seeds crossed with G test groups, as the judge
# has; the degrees of freedom of the groups are those of the groups that have the tag, or of those that lack
# it where they are fewer. Differences are paired by seed and group, and p is held over all tags and arms
# (Holm 1979): the table describes, and the judge alone decides.


@dataclass(frozen=True)
class _Scored:
    """One arm: (S, K) areas and (S, G, K) pseudo-values; NaN throughout where a training failed."""

    areas: Floats
    pseudo: Floats


def told_by(judge: str) -> str | None:
    """Whose scores of tags the judge is of, "tagger" or "tagging"; None where it is no area over tags."""
    who, _, area = judge.partition("/")
    return who if area in AREAS else None


def tag_facts(
    clips: Mapping[str, Sequence[pd.DataFrame | None]], folder: RunFolder, who: str, reference: str
) -> tuple[TagFacts, ...]:
    """A row a tag from the clips of every arm's runs (None where a training failed), as `runs.clips` writes
    them; none where no run has tags told by `who`.

    `folder` of any run that ended, for the names of the tags; `reference`: the arm that gaps are taken from.
    """
    there = [each for runs in clips.values() for each in runs if each is not None and f"{who}/scores" in each]
    if not there:
        return ()
    tags, _, groups = _told(there[0], who)
    names = tag_names(folder, who, tags.shape[1])
    if names is None:
        return ()
    freedom = _freedom(tags, groups)
    found = {
        area: _of_area({arm: _scored(runs, who, area) for arm, runs in clips.items()}, freedom, reference)
        for area in AREAS
    }
    positives = tags.sum(axis=0)
    return tuple(
        TagFacts(
            name,
            int(positives[place]),
            bool(positives[place] < FEW),
            {area: rows[place] for area, rows in found.items()},
        )
        for place, name in enumerate(names)
    )


def _told(clips: pd.DataFrame, who: str) -> tuple[Bools, Floats, Ints]:
    """(n, K) tags and scores and (n,) groups of the clips that have any."""
    there = clips[f"{who}/scores"].notna()
    tags, scores = (np.stack(list(clips[f"{who}/{column}"][there])) for column in ("tags", "scores"))
    return tags.astype(np.bool_), scores.astype(np.float64), groups_of(clips)[there]


def _scored(runs: Sequence[pd.DataFrame | None], who: str, area: str) -> _Scored | None:
    """None where no run has scores."""
    found = [
        areas_by_group(*_told(each, who), area) if each is not None and f"{who}/scores" in each else None
        for each in runs
    ]
    there = next((each for each in found if each is not None), None)
    if there is None:
        return None
    blank = tuple(np.full_like(part, np.nan) for part in there)
    areas, pseudo = (np.stack(parts) for parts in zip(*(each or blank for each in found), strict=True))
    return _Scored(areas, pseudo)


def _freedom(tags: Bools, groups: Ints) -> Ints:
    """(K,) one less than the groups that have each tag, or than those that lack it, if they are fewer."""
    return np.array(
        [min(len(np.unique(groups[tag])), len(np.unique(groups[~tag]))) - 1 for tag in tags.T], dtype=np.int64
    )


def _of_area(arms: Mapping[str, _Scored | None], freedom: Ints, reference: str) -> list[dict[str, TagArea]]:
    """One area of each tag, by arm."""
    against = arms.get(reference)
    rows: list[dict[str, TagArea]] = []
    for tag, free in enumerate(freedom.tolist()):
        row = {}
        for arm, scored in arms.items():
            if scored is None or not np.isfinite(scored.areas[:, tag]).any():
                continue
            own, table = scored.areas[:, tag], scored.pseudo[:, :, tag]
            mean, interval, _ = _interval(own, table, free, 0.0)
            row[arm] = TagArea(mean, interval)
            if against is not None and arm != reference:
                gaps = own - against.areas[:, tag]
                if np.isfinite(gaps).any():
                    gap, ends, p = _interval(gaps, table - against.pseudo[:, :, tag], free, -1.0)
                    row[arm] = TagArea(mean, interval, gap, ends, p)
        rows.append(row)
    return _corrected(rows)


def _interval(
    areas: Floats, table: Array, freedom: int, least: float
) -> tuple[float, Interval | None, float | None]:
    """Of (S,) areas and their (S, G) pseudo-values: the mean, its 95 % interval, which ends at `least` and at
    1, and the p of a mean of 0. Where nothing varies there is no interval, and p is 1 of 0, else None."""
    kept = table[np.isfinite(table).all(1)]
    mean = float(np.nanmean(areas))
    if len(kept) < 2 or freedom < LEAST_GROUPS - 1:
        return mean, None, None
    squares = MeanSquares.of(kept)
    bound, error = Bound(2, squares.seeds - 1, freedom), float(np.sqrt(squares.variance))
    if error < NOTHING:
        return mean, None, 1.0 if abs(mean) < NOTHING else None
    half = float(bound.limit(squares.share, 0.05)) * error
    p = bound.chance(abs(mean) / error, float(squares.share))
    return mean, (max(least, mean - half), min(1.0, mean + half)), min(1.0, p)


def _corrected(rows: list[dict[str, TagArea]]) -> list[dict[str, TagArea]]:
    """p values held over all that there are."""
    places = [(tag, arm) for tag, row in enumerate(rows) for arm in row]
    for (tag, arm), p in zip(places, held([rows[tag][arm].p_holm for tag, arm in places]), strict=True):
        rows[tag][arm] = replace(rows[tag][arm], p_holm=p)
    return rows
