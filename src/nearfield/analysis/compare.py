"""Compares two runs clip by clip, by label and by tag, and draws a figure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, Floats, Ints
from nearfield.metrics.checks import check_lengths
from nearfield.metrics.intervals import Resamples, by_t, held, jackknife_deviation, spread, weighted_mean
from nearfield.metrics.registry import HEADLINES, searches_within
from nearfield.metrics.tagging import FEW, macro, tag_areas
from nearfield.training.evaluate_run import read_clips, without
from nearfield.training.plotting import COLOURS, INK, MUTED, RULE, new_figure, save
from nearfield.training.recipe import differing, flat
from nearfield.training.run_folder import RunFolder

# Compares the tag scores of two models on the same clips, tag by tag: which tags improve or get worse?
#
# Scores (N, K) have any scale; a larger score means that the tag is more likely. A difference is the second
# model's area minus the first's. Whole groups are resampled, with the same samples for both models, so that
# differences are paired. The interval is the difference plus and minus its bootstrap standard deviation times
# the quantile of the t distribution, limited to -1..1. The degrees of freedom are the groups that have the
# tag (or those that lack it, if fewer) minus one; with fewer than three groups there is no interval. p is of
# the same t distribution, two-sided; `p_holm` is corrected over all tags of an area (Holm 1979).


@dataclass(frozen=True)
class AreaDifference:
    """ROC AUC or PR AUC of one tag for both models."""

    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    """95 %; None with fewer than three informative groups, or if the models are equal in every sample."""
    p: float | None
    p_holm: float | None
    groups: int
    """Informative groups: those that have the tag, or those that lack it if they are fewer."""


@dataclass(frozen=True)
class TagDifference:
    """One tag, or the mean of all."""

    name: str
    positives: int
    few: bool
    """Whether the tag has fewer than 20 positives, so that its values are uncertain."""
    roc_auc: AreaDifference | None
    """None if all clips or none have the tag."""
    pr_auc: AreaDifference | None


@dataclass(frozen=True)
class TagComparison:
    """The comparison of all tags."""

    tags: tuple[TagDifference, ...]
    macro: TagDifference
    """The difference of the means over all tags with an area; its p is not corrected with theirs."""
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

    Whole `groups` (N,) are resampled; a clip with -1 is a group of its own. Raises RequestError if lengths
    differ.
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
    group_counts = _tag_groups(tags, resamples)
    table: dict[str, list[AreaDifference | None]] = {}
    means: dict[str, AreaDifference | None] = {}
    for name in ("roc_auc", "pr_auc"):
        drawn = np.concatenate([block[name] for block in blocks])
        a, b = areas[0][name], areas[1][name]
        rows = [_area_difference(a[k], b[k], drawn[:, k], group_counts[k]) for k in range(tags.shape[1])]
        table[name] = _corrected(rows)
        whole = _area_difference(macro(a[None])[0], macro(b[None])[0], macro(drawn), resamples.groups)
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


def _tag_groups(tags: Bools, resamples: Resamples) -> list[int]:
    """Number of groups that have each tag, or that lack it if they are fewer."""
    return [min(resamples.groups_with(tag), resamples.groups_with(~tag)) for tag in tags.T]


def _area_difference(first: float, second: float, drawn: Floats, groups: int) -> AreaDifference | None:
    """The difference of one area; `drawn` (draws,) holds the bootstrap differences, NaN if undefined."""
    if not np.isfinite(first) or not np.isfinite(second):
        return None
    difference = float(second - first)
    interval, p = by_t(difference, spread(drawn), groups)
    return AreaDifference(float(first), float(second), difference, interval, p, None, groups)


def _corrected(rows: list[AreaDifference | None]) -> list[AreaDifference | None]:
    """The rows with `p_holm`, corrected over all rows that have a p."""
    corrected = held([None if row is None else row.p for row in rows])
    return [row and replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True)]


# Compares two runs on the same clips: which labels and tags improve or get worse?
#
# A difference is the second run's value minus the first's. Whole groups of clips are resampled, with the same
# samples for both runs, so that differences are paired. A metric that searches the clips among themselves is
# computed without each group instead (jackknife; `metrics/retrieval.py`). The interval is the difference plus
# and minus its standard error times the quantile of Student's t, limited to -1..1; p is of the same t
# distribution, two-sided. The degrees of freedom are the number of informative groups (at least three) minus
# one. `p_holm` is corrected over all rows of a table (Holm 1979).
#
# The intervals cover the finite test set only. Another seed of the same recipe gives another run; only a
# study of several seeds can show that a setting is better.

DRAWS = 1000


@dataclass(frozen=True)
class Difference:
    """One value of both runs and its difference."""

    name: str
    """A metric, or a label."""
    clips: int
    """Number of clips with a value; for a label the clips that have it."""
    few: bool
    """Whether there are fewer than 20 clips, so that the values are uncertain."""
    first: float
    second: float
    difference: float
    interval: tuple[float, float] | None
    """95 %; None with fewer than three informative groups, or if the runs are equal in every sample."""
    p: float | None
    p_holm: float | None
    groups: int
    """Informative groups; for a label those that have it, or those that lack it if they are fewer."""


@dataclass(frozen=True)
class RunComparison:
    """The differences between two runs in settings and results."""

    first: str
    second: str
    split: str
    clips: int
    groups: int
    """Groups that were resampled."""
    settings: dict[str, tuple[Any, ...]]
    """Recipe keys (and `seed`) that differ, with both values."""
    metrics: tuple[Difference, ...]
    """Headline metrics that are means over clips."""
    classes: tuple[Difference, ...]
    """F1 of the linear probe for each label."""
    tags: dict[str, TagComparison]
    """By the source of the tag scores: `tagging` for the probe, `tagger` for the network's head."""

    def plain(self) -> dict[str, Any]:
        """The comparison as JSON-serializable values."""
        return asdict(self)


def compare(first: str, second: str) -> RunComparison:
    """Compares the runs in two folders.

    Raises RequestError, with both names, if a run is not evaluated, or if the clips, labels or splits of the
    two evaluations differ.
    """
    folders = RunFolder.existing(first), RunFolder.existing(second)
    tables = read_clips(folders[0].clips), read_clips(folders[1].clips)
    split = _same_clips(folders, tables)
    groups = tables[0]["group"].to_numpy(np.int64)
    resamples = Resamples.of(groups, DRAWS)
    recipes = [flat(folder.recipe().plain()) | {"seed": folder.environment()["seed"]} for folder in folders]
    return RunComparison(
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


def _same_clips(folders: tuple[RunFolder, RunFolder], tables: tuple[pd.DataFrame, pd.DataFrame]) -> str:
    """The split that both runs were evaluated on. Raises RequestError if their clips differ."""
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
    unequal = [name for name in ("id", "label", "group") if list(tables[0][name]) != list(tables[1][name])]
    if unequal:
        raise RequestError(f"{names}: the {unequal[0]}s of their clips differ. {cure}")
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
    """The jackknife standard error of a difference, for metrics that search the clips among themselves.

    Each block is left out both as query and in the gallery.
    """
    (first, blocks), (second, _) = (without(table, name) for table in tables)
    return jackknife_deviation((second - first)[np.unique(blocks, return_index=True)[1]])


def _classes(tables: tuple[pd.DataFrame, pd.DataFrame], resamples: Resamples) -> tuple[Difference, ...]:
    """F1 of every label, for clips with a label and predictions of both runs."""
    known = np.all([(table["label"] != "") & (table["predicted"] != "") for table in tables], axis=0)
    names = sorted(set(tables[0]["label"][known]))
    reference = tables[0]["label"].to_numpy(object)
    predictions = [table["predicted"].to_numpy(object) for table in tables]
    rows = []
    for name in names:
        own = known & (reference == name)
        values = [_f1(own, known & (predicted == name)) for predicted in predictions]
        whole = [float(value(np.ones((1, len(known))))[0]) for value in values]
        drawn = resamples.apply(values[1]) - resamples.apply(values[0])
        groups = min(_groups(resamples.group_of, own), _groups(resamples.group_of, known & ~own))
        rows.append(_difference(name, int(own.sum()), (whole[0], whole[1]), spread(drawn), groups))
    return _held(rows)


def _f1(own: Any, claimed: Any) -> Callable[[Floats], Floats]:
    """F1 of a class from its clips and its predicted clips, (N,) each; NaN if a sample has no such clip."""
    right = (own & claimed).astype(np.float64)
    both = own.astype(np.float64) + claimed

    def statistic(weights: Floats) -> Floats:
        there = weights @ own.astype(np.float64) > 0
        return np.asarray(np.where(there, 2 * (weights @ right) / np.maximum(weights @ both, 1e-12), np.nan))

    return statistic


def _groups(group_of: Ints, mask: Any) -> int:
    return len(np.unique(group_of[mask]))


def _tags(
    folders: tuple[RunFolder, RunFolder], tables: tuple[pd.DataFrame, pd.DataFrame], groups: Ints
) -> dict[str, TagComparison]:
    """One comparison for each source of tag scores that both runs have."""
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


def tag_names(folder: RunFolder, who: str, count: int) -> tuple[str, ...] | None:
    """The names of the tags in the columns of `who` ("tagger" or "tagging") in clips.parquet.

    A probe only has the tags that some but not all training clips have. None if the names are not known.
    """
    rows = folder.result()["per_tag_of_tagger" if who == "tagger" else "per_tag"]
    names = tuple(row["name"] for row in rows)
    if len(names) != count and folder.vectors.is_file():
        known = folder.table(folder.vectors, ["tags", "split"]).to_pandas()
        trained = [set(tags) for tags in known["tags"][known["split"] == "train"] if len(tags)]
        names = tuple(name for name in names if 0 < sum(name in tags for tags in trained) < len(trained))
    return names if len(names) == count else None


def _difference(
    name: str, clips: int, figures: tuple[float, float], deviation: float | None, groups: int
) -> Difference:
    """One row; `deviation` is the standard error of the difference. p is not corrected yet."""
    first, second = figures
    interval, p = by_t(second - first, deviation, groups)
    return Difference(name, clips, clips < FEW, first, second, second - first, interval, p, None, groups)


def _held(rows: list[Difference]) -> tuple[Difference, ...]:
    """The rows with `p_holm`, corrected over all rows that have a p."""
    corrected = held([row.p for row in rows])
    return tuple(replace(row, p_holm=p) for row, p in zip(rows, corrected, strict=True))


# A figure of the paired differences of two runs: one row per label or tag, significant differences in color.

MOST = 60
"""Largest number of rows; if there are more, those with the largest differences."""

CERTAIN = 0.05
"""Rows with a corrected p below this are in color."""


@dataclass(frozen=True)
class Bar:
    """One row of the figure."""

    name: str
    clips: int
    few: bool
    difference: float
    interval: tuple[float, float] | None
    p_holm: float | None


def draw_comparison(path: Path, found: RunComparison) -> None:
    """Writes the figure as PNG. Raises RequestError if the runs share neither labels nor tags."""
    panels = [("F1 of the probe, by label", [_of(row) for row in found.classes])] if found.classes else []
    panels += [(f"PR-AUC by tag ({who})", _of_tags(each)) for who, each in found.tags.items()]
    panels = [(title, _shown(bars)) for title, bars in panels if bars]
    if not panels:
        raise RequestError(f"{found.first} and {found.second} have no labels and no tags to draw.")
    heights = [len(bars) + 3 for _, bars in panels]
    figure = new_figure(6.4, 0.7 + 0.19 * sum(heights))
    rows = figure.subplots(len(panels), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, (title, bars) in zip(rows, panels, strict=True):
        axes.axvline(0, color=MUTED, linewidth=0.8)
        for place, bar in enumerate(bars):
            certain = bar.p_holm is not None and bar.p_holm < CERTAIN
            colour = (COLOURS[0] if bar.difference > 0 else COLOURS[4]) if certain else MUTED
            if bar.interval is not None:
                axes.plot(bar.interval, (place, place), color=colour, linewidth=1.2, solid_capstyle="butt")
            face = "white" if bar.few else colour
            axes.plot(bar.difference, place, "o", markersize=4, color=colour, markerfacecolor=face)
        reach = 1.05 * max(max(map(abs, (*(bar.interval or ()), bar.difference))) for bar in bars)
        axes.set_xlim(-min(1.0, max(reach, 0.02)), min(1.0, max(reach, 0.02)))  # areas and F1 end there
        axes.set_yticks(range(len(bars)), [f"{bar.name} ({bar.clips})" for bar in bars])
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.grid(axis="x", color=RULE, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_title(title, loc="left", fontsize=8.5, color=INK)
    rows[-1].set_xlabel(
        f"{Path(found.second).name} less {Path(found.first).name}, with 95 % intervals\n"
        f"colour: Holm-corrected p < {CERTAIN:g}; hollow: few clips",
    )
    save(figure, path)


def _of(row: Difference) -> Bar:
    return Bar(row.name, row.clips, row.few, row.difference, row.interval, row.p_holm)


def _of_tags(found: TagComparison) -> list[Bar]:
    return [
        Bar(
            tag.name,
            tag.positives,
            tag.few,
            tag.pr_auc.difference,
            tag.pr_auc.interval,
            tag.pr_auc.p_holm,
        )
        for tag in found.tags
        if tag.pr_auc is not None
    ]


def _shown(bars: Sequence[Bar]) -> list[Bar]:
    """The bars in descending order; if there are too many, those with the largest absolute differences."""
    largest = sorted(bars, key=lambda bar: -abs(bar.difference))[:MOST]
    return sorted(largest, key=lambda bar: -bar.difference)
