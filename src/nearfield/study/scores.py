"""From the folders of finished runs to what the statistics read: a row a seed, a column a test group."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from nearfield.core.nouns import Ints
from nearfield.evaluation.result import searches_within
from nearfield.evaluation.tag_table import AREAS
from nearfield.runs.clips import without
from nearfield.study.statistics.crossed import Array
from nearfield.study.statistics.groups import (
    area_by_group,
    left_out_by_block,
    macro_f1_by_group,
    mean_by_group,
)


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
