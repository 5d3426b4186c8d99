"""Each tag under each arm of a study of taggers: which tags does an arm tell better than the reference?

Conventions: areas as in `evaluation.tagging`. A tag has S seeds crossed with G test groups, as the judge has;
the degrees of freedom of the groups are those of the groups that have the tag, or of those that lack it where
they are fewer. Differences are paired by seed and group, and p is held over all tags and arms (Holm 1979):
the table describes, and the judge alone decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.intervals import NOTHING
from nearfield.evaluation.paired import LEAST_GROUPS, held
from nearfield.evaluation.tag_table import AREAS
from nearfield.evaluation.tagging import FEW
from nearfield.runs.compare import tag_names
from nearfield.runs.folder import Folder
from nearfield.study.records import Interval, TagArea, TagFacts
from nearfield.study.scores import groups_of
from nearfield.study.statistics.crossed import Array, Squares
from nearfield.study.statistics.family import Bound
from nearfield.study.statistics.groups import areas_by_group


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
    clips: Mapping[str, Sequence[pd.DataFrame | None]], folder: Folder, who: str, reference: str
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
    squares = Squares.of(kept)
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
