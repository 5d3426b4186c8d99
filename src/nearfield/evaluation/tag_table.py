"""How well scores of tags rank clips: the areas of every tag, their means, and the table with intervals."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.findings import Findings
from nearfield.evaluation.intervals import CELLS, area_interval
from nearfield.evaluation.result import TagScore
from nearfield.evaluation.tagging import FEW, macro, tag_areas

AREAS = ("roc_auc", "pr_auc")


@dataclass(frozen=True)
class TagTable:
    """The areas of some tags, and what they are without each block of clips."""

    tags: Bools
    """(n, K)"""
    areas: dict[str, Floats]
    """`roc_auc` and `pr_auc`, (K,) each, NaN where a tag is on all clips or on none."""
    without: dict[str, Floats]
    """The same without each block, (B, K); empty where no intervals are wanted."""
    telling: Ints
    """(K,) blocks that have each tag, or that lack it, if those are fewer."""

    @classmethod
    def of(cls, tags: Bools, scores: Floats, at: Ints, found: Findings) -> "TagTable":
        """Of `scores` (n, K) of the clips at the positions `at` of the split."""
        areas = {name: values[0] for name, values in tag_areas(tags, scores).items()}
        if found.blocks is None:
            return cls(tags, areas, {}, np.zeros(tags.shape[1], dtype=np.int64))
        blocks = found.blocks.of[at]
        telling = [min(len(np.unique(blocks[tag])), len(np.unique(blocks[~tag]))) for tag in tags.T]
        return cls(tags, areas, areas_without(tags, scores, blocks), np.array(telling, dtype=np.int64))

    @property
    def scored(self) -> int:
        """How many tags have areas."""
        return int(np.isfinite(self.areas["roc_auc"]).sum())

    @property
    def chance(self) -> float:
        """The mean PR-AUC of scores that know nothing: the mean share of clips that have a tag."""
        return float(self.tags.mean(axis=0)[np.isfinite(self.areas["roc_auc"])].mean())

    def add_means(self, prefix: str, found: Findings) -> None:
        """The means over tags as metrics with intervals, and beside them chance."""
        if not self.scored:
            return
        for name, values in self.areas.items():
            figure = found.metrics[f"{prefix}/{name}"] = float(macro(values[None])[0])
            if self.without:
                # A mean that is gone with a block shows nothing of how far it may be off.
                means = macro(self.without[name])
                kept = np.where(np.isfinite(means), means, figure)
                found.area(f"{prefix}/{name}", kept, min(len(kept), int(self.telling.sum())))
        found.metrics[f"baseline/chance/{prefix}/roc_auc"] = 0.5
        found.metrics[f"baseline/chance/{prefix}/pr_auc"] = self.chance

    def rows(self, names: tuple[str, ...], positives: Ints, columns: Ints) -> tuple[TagScore, ...]:
        """One row for each of `names`, of which `columns` (K,) have a column here; `positives` of each."""
        column = {int(tag): place for place, tag in enumerate(columns)}
        return tuple(self._row(name, int(positives[tag]), column.get(tag)) for tag, name in enumerate(names))

    def _row(self, name: str, positives: int, place: int | None) -> TagScore:
        figures = {area: self._figure(area, place) for area in AREAS}
        ends = {area: self._interval(area, place, figures[area]) for area in AREAS}
        return TagScore(
            name=name,
            positives=positives,
            few=positives < FEW,
            roc_auc=figures["roc_auc"],
            pr_auc=figures["pr_auc"],
            roc_auc_interval=ends["roc_auc"],
            pr_auc_interval=ends["pr_auc"],
        )

    def _figure(self, area: str, place: int | None) -> float | None:
        value = np.nan if place is None else self.areas[area][place]
        return float(value) if np.isfinite(value) else None

    def _interval(self, area: str, place: int | None, figure: float | None) -> tuple[float, float] | None:
        if figure is None or place is None or not self.without:
            return None
        return area_interval(figure, self.without[area][:, place], int(self.telling[place]))


def areas_without(tags: Bools, scores: Floats, groups: Ints) -> dict[str, Floats]:
    """`roc_auc` and `pr_auc` of every tag without each of the `groups` (N,), ascending: names to (G, K)."""
    names, place = np.unique(groups, return_inverse=True)
    step = max(1, CELLS // max(1, len(groups)))
    parts = [
        tag_areas(tags, scores, (place != left[:, None]).astype(np.float64))
        for left in np.split(np.arange(len(names)), range(step, len(names), step))
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
