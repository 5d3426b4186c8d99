"""Scores of single clips to scores of test groups whose mean is the measure itself.

A measure that is no mean over clips (macro F1) has no score for one recording, but a jackknife pseudo-value:
with G groups, measure m over all and m[-g] without group g, it is G m - (G - 1) m[-g] (Quenouille 1949; Tukey
1958; for the measures of multi-reader studies Dorfman, Berbaum & Metz 1992). Pseudo-values behave like
independent scores of the groups. Their mean is the measure less what the jackknife takes for its bias; here
they are moved so that it is the measure itself: a document should say one number for one thing. Means over
clips are treated alike, so that groups of unlike size weigh as they should. Of a measure that searches the
test set within itself a clip is a part twice, as query and in the gallery, and is left out of both
(`evaluation/left_out.py`).
"""

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.tag_table import areas_without
from nearfield.evaluation.tagging import macro, tag_areas


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
