"""Two models that score tags, compared on the same clips tag by tag: which tags did the change help or hurt?

Conventions: scores (N, K) of any scale, larger means rather has the tag; a difference is the second model's
area less the first's. Whole groups are resampled, the same for both, so that differences are paired; the
interval is the difference plus and minus its deviation over the draws times the quantile of the t
distribution, within -1..1, with one degree of freedom less than groups that have the tag (or that lack it,
where those are fewer); fewer than three groups give none. p is of the same t, two-sided; `p_holm` is held
over all tags of an area (Holm 1979).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.checks import check_lengths
from nearfield.evaluation.intervals import Resamples
from nearfield.evaluation.paired import by_t, held, spread
from nearfield.evaluation.tagging import FEW, macro, tag_areas


@dataclass(frozen=True)
class AreaDifference:
    """One area of one tag, by both models."""

    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    """95 %; None where fewer than three groups can tell, or where both models do the same in every draw."""
    p: float | None
    p_holm: float | None
    groups: int
    """That can tell: that have the tag, or that lack it, if those are fewer."""


@dataclass(frozen=True)
class TagDifference:
    """One tag, or the mean of all."""

    name: str
    positives: int
    few: bool
    """Fewer than 20 positives: its own figures say little."""
    roc_auc: AreaDifference | None
    """None where all clips have the tag, or none."""
    pr_auc: AreaDifference | None


@dataclass(frozen=True)
class TagComparison:
    """The table."""

    tags: tuple[TagDifference, ...]
    macro: TagDifference
    """Of the means over the tags that have areas; its p stands alone."""
    groups: int


def compare_taggers(
    tags: Bools,
    first: Floats,
    second: Floats,
    names: tuple[str, ...],
    groups: Ints,
    draws: int = 1000,
) -> TagComparison:
    """Compares the scores `first` and `second` (N, K) of clips with `tags` (N, K).

    `groups` (N,) are resampled whole, -1 is a group of its own. Raises RequestError where lengths differ.
    """
    check_lengths(len(tags), first=first, second=second, groups=groups)
    check_lengths(tags.shape[1], names=np.array(names, dtype=object), first=first.T, second=second.T)
    resamples = Resamples.of(groups, draws)
    areas = [
        {name: values[0] for name, values in tag_areas(tags, scores).items()} for scores in (first, second)
    ]
    blocks = [
        {name: second_areas[name] - first_areas[name] for name in first_areas}
        for first_areas, second_areas in _pairs(tags, first, second, resamples)
    ]
    told = _groups(tags, resamples)
    table: dict[str, list[AreaDifference | None]] = {}
    means: dict[str, AreaDifference | None] = {}
    for name in ("roc_auc", "pr_auc"):
        drawn = np.concatenate([block[name] for block in blocks])
        a, b = areas[0][name], areas[1][name]
        rows = [_difference(a[k], b[k], drawn[:, k], told[k]) for k in range(tags.shape[1])]
        table[name] = _corrected(rows)
        whole = _difference(macro(a[None])[0], macro(b[None])[0], macro(drawn), resamples.groups)
        means[name] = _corrected([whole])[0]
    positives = tags.sum(axis=0)
    rows_of_tags = tuple(
        TagDifference(
            name, int(positives[k]), bool(positives[k] < FEW), table["roc_auc"][k], table["pr_auc"][k]
        )
        for k, name in enumerate(names)
    )
    total = TagDifference("mean", int(positives.sum()), False, means["roc_auc"], means["pr_auc"])
    return TagComparison(rows_of_tags, total, resamples.groups)


def _pairs(
    tags: Bools, first: Floats, second: Floats, resamples: Resamples
) -> Iterator[tuple[dict[str, Floats], dict[str, Floats]]]:
    for weights in resamples.weights():
        yield tag_areas(tags, first, weights), tag_areas(tags, second, weights)


def _groups(tags: Bools, resamples: Resamples) -> list[int]:
    """Groups that have each tag, or that lack it, if those are fewer."""
    return [min(resamples.groups_with(tag), resamples.groups_with(~tag)) for tag in tags.T]


def _difference(first: float, second: float, drawn: Floats, groups: int) -> AreaDifference | None:
    """`drawn` (draws,) are the differences in every draw, NaN where there is none."""
    if not np.isfinite(first) or not np.isfinite(second):
        return None
    difference = float(second - first)
    interval, p = by_t(difference, spread(drawn), groups)
    return AreaDifference(float(first), float(second), difference, interval, p, None, groups)


def _corrected(rows: list[AreaDifference | None]) -> list[AreaDifference | None]:
    """The same with `p_holm` over all that have a p."""
    corrected = held([None if row is None else row.p for row in rows])
    return [row and replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]
