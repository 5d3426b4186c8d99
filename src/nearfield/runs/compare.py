"""Two runs on the same clips, compared clip by clip: which labels and tags did the change help or hurt?

Conventions: a difference is the second run's figure less the first's. Groups of clips are resampled whole,
the same draws for both runs, so that differences are paired; a measure that searches the clips among
themselves is worked out without each group instead (`evaluation/left_out.py`). The interval is the difference
plus and minus its deviation times the quantile of Student's t, within -1..1; p is of the same t, two-sided,
with one degree of freedom less than groups that can tell, of which three are needed; `p_holm` is held over
all rows of a table (Holm 1979).

These intervals are for the finite test set. Another seed of the same recipe gives another run: whether a
setting is better is for a study of several seeds to say.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Ints
from nearfield.evaluation.intervals import Resamples, jackknife_deviation, weighted_mean
from nearfield.evaluation.paired import by_t, held, spread
from nearfield.evaluation.result import searches_within
from nearfield.evaluation.tag_comparison import TagComparison, compare_taggers
from nearfield.evaluation.tagging import FEW
from nearfield.runs.clips import read_clips, without
from nearfield.runs.folder import Folder
from nearfield.runs.judge import HEADLINES
from nearfield.runs.settings_of_runs import differing, flat

DRAWS = 1000


@dataclass(frozen=True)
class Difference:
    """One figure of both runs."""

    name: str
    """A metric, or a label."""
    clips: int
    """Clips that it is of; for a label those that carry it."""
    few: bool
    """Fewer than 20: its own figures say little."""
    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    """95 %; None where fewer than three groups can tell, or where both runs do the same in every draw."""
    p: float | None
    p_holm: float | None
    groups: int
    """That can tell; of a label those that carry it, or that do not, if those are fewer."""


@dataclass(frozen=True)
class Comparison:
    """What two runs differ in, and by how much."""

    first: str
    second: str
    split: str
    clips: int
    groups: int
    """Groups that were resampled."""
    settings: dict[str, tuple[Any, ...]]
    """Keys of the recipes that differ, and `seed`, with both values."""
    metrics: tuple[Difference, ...]
    """Headline metrics that are means over clips."""
    classes: tuple[Difference, ...]
    """F1 of the linear probe, label by label."""
    tags: dict[str, TagComparison]
    """By who told the tags of both runs: `tagging` the probe, `tagger` the head."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def compare(first: str, second: str) -> Comparison:
    """Compares the runs in two folders.

    Raises RequestError, naming both, where they were not measured on the same clips with the same labels and
    the same split, or one was not measured.
    """
    folders = Folder.existing(first), Folder.existing(second)
    tables = read_clips(folders[0].clips), read_clips(folders[1].clips)
    split = _same_clips(folders, tables)
    groups = tables[0]["group"].to_numpy(np.int64)
    resamples = Resamples.of(groups, DRAWS)
    recipes = [flat(folder.recipe().plain()) | {"seed": folder.environment()["seed"]} for folder in folders]
    return Comparison(
        first=first,
        second=second,
        split=split,
        clips=len(tables[0]),
        groups=resamples.groups,
        settings=differing(recipes),
        metrics=_metrics(tables, resamples),
        classes=_classes(tables, resamples),
        tags=_tags(folders, tables, groups),
    )


def _same_clips(folders: tuple[Folder, Folder], tables: tuple[pd.DataFrame, pd.DataFrame]) -> str:
    """The split that both were judged on. Raises RequestError where they are not of the same clips."""
    names = f"{folders[0].path} and {folders[1].path}"
    splits = [str(folder.result()["split"]) for folder in folders]
    cure = "Compare runs that were measured on the same clips: nearfield evaluate RUN."
    if splits[0] != splits[1]:
        raise RequestError(f"{names} were measured on {splits[0]} and on {splits[1]}. {cure}")
    ids = [set(table["id"]) for table in tables]
    if ids[0] != ids[1]:
        alone = len(ids[0] - ids[1]), len(ids[1] - ids[0])
        raise RequestError(
            f"{names} were measured on other clips: {len(ids[0] & ids[1])} are in both, {alone[0]} in the "
            f"first alone and {alone[1]} in the second alone. {cure}"
        )
    data = [folder.environment()["data"] for folder in folders]
    if data[0]["split_hash"] != data[1]["split_hash"]:
        raise RequestError(f"{names} learnt from other sides of the split. {cure}")
    unlike = [name for name in ("id", "label", "group") if list(tables[0][name]) != list(tables[1][name])]
    if unlike:
        raise RequestError(f"{names}: the {unlike[0]}s of their clips differ. {cure}")
    return splits[0]


def _metrics(tables: tuple[pd.DataFrame, pd.DataFrame], resamples: Resamples) -> tuple[Difference, ...]:
    rows = []
    for name in HEADLINES:
        if not all(name in table for table in tables):
            continue
        first, second = (table[name].to_numpy(np.float64) for table in tables)
        both = np.isfinite(first) & np.isfinite(second)
        if not both.any():
            continue
        groups, gap = _groups(resamples.group_of, both), np.where(both, second - first, np.nan)
        deviation = spread(resamples.apply(weighted_mean(gap[:, None]))[:, 0])
        if searches_within(name) and resamples.groups > 1:
            deviation = _left_out(tables, name)
        means = float(first[both].mean()), float(second[both].mean())
        rows.append(_difference(name, int(both.sum()), means, deviation, groups))
    return _held(rows)


def _left_out(tables: tuple[pd.DataFrame, pd.DataFrame], name: str) -> float:
    """The standard error of a difference whose clips are searched among themselves: with each block left out
    as query and in the gallery."""
    (first, blocks), (second, _) = (without(table, name) for table in tables)
    return jackknife_deviation((second - first)[np.unique(blocks, return_index=True)[1]])


def _classes(tables: tuple[pd.DataFrame, pd.DataFrame], resamples: Resamples) -> tuple[Difference, ...]:
    """F1 of every label that the reference has, where both runs have a probe."""
    kept = np.all([(table["label"] != "") & (table["predicted"] != "") for table in tables], axis=0)
    names = sorted(set(tables[0]["label"][kept]))
    reference = tables[0]["label"].to_numpy(object)
    told = [table["predicted"].to_numpy(object) for table in tables]
    rows = []
    for name in names:
        own = kept & (reference == name)
        values = [_f1(own, kept & (predicted == name)) for predicted in told]
        whole = [float(value(np.ones((1, len(kept))))[0]) for value in values]
        drawn = resamples.apply(values[1]) - resamples.apply(values[0])
        groups = min(_groups(resamples.group_of, own), _groups(resamples.group_of, kept & ~own))
        rows.append(_difference(name, int(own.sum()), (whole[0], whole[1]), spread(drawn), groups))
    return _held(rows)


def _f1(own: Any, claimed: Any) -> Callable[[Floats], Floats]:
    """F1 of a class from its clips and those claimed for it, (N,) each; NaN where a draw has none of it."""
    right = (own & claimed).astype(np.float64)
    both = own.astype(np.float64) + claimed

    def statistic(weights: Floats) -> Floats:
        there = weights @ own.astype(np.float64) > 0
        return np.asarray(np.where(there, 2 * (weights @ right) / np.maximum(weights @ both, 1e-12), np.nan))

    return statistic


def _groups(group_of: Ints, mask: Any) -> int:
    return len(np.unique(group_of[mask]))


def _tags(
    folders: tuple[Folder, Folder], tables: tuple[pd.DataFrame, pd.DataFrame], groups: Ints
) -> dict[str, TagComparison]:
    """One comparison for each who told tags in both runs."""
    found = {}
    for who in ("tagging", "tagger"):
        if not all(f"{who}/tags" in table for table in tables):
            continue
        there = np.logical_and.reduce([table[f"{who}/tags"].notna() for table in tables])
        if not there.any():
            continue
        has, others = (_cells(table, f"{who}/tags", there).astype(np.bool_) for table in tables)
        names = tag_names(folders[0], who, has.shape[1])
        if has.shape != others.shape or (has != others).any() or names is None:
            raise RequestError(
                f"{folders[0].path} and {folders[1].path} were measured with other tags. Measure both again "
                "on the same data: nearfield evaluate RUN."
            )
        scores = [_cells(table, f"{who}/scores", there).astype(np.float64) for table in tables]
        found[who] = compare_taggers(has, scores[0], scores[1], names, groups[there], DRAWS)
    return found


def _cells(table: pd.DataFrame, column: str, rows: Any) -> Any:
    return np.stack(list(table[column][rows]))


def tag_names(folder: Folder, who: str, count: int) -> tuple[str, ...] | None:
    """The tags of the lists that `who`, "tagger" or "tagging", has in clips.parquet.

    A probe has only those that train can teach. None where they cannot be told.
    """
    rows = folder.result()["per_tag_of_tagger" if who == "tagger" else "per_tag"]
    names = tuple(row["name"] for row in rows)
    if len(names) != count and folder.vectors.is_file():
        known = folder.table(folder.vectors, ["tags", "split"]).to_pandas()
        taught = [set(tags) for tags in known["tags"][known["split"] == "train"] if len(tags)]
        names = tuple(name for name in names if 0 < sum(name in tags for tags in taught) < len(taught))
    return names if len(names) == count else None


def _difference(
    name: str, clips: int, figures: tuple[float, float], deviation: float | None, groups: int
) -> Difference:
    """`deviation`: the standard error of the difference; p is not yet held."""
    first, second = figures
    interval, p = by_t(second - first, deviation, groups)
    return Difference(name, clips, clips < FEW, first, second, second - first, interval, p, None, groups)


def _held(rows: list[Difference]) -> tuple[Difference, ...]:
    """The same with `p_holm` over all that have a p."""
    corrected = held([row.p for row in rows])
    return tuple(replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True))
