"""How well scores of tags rank clips: the areas of every tag, their means, and the table with intervals."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Bools, Floats, Ints
from nearfield.evaluation.findings import Findings
from nearfield.evaluation.intervals import mirrored_interval
from nearfield.evaluation.result import TagScore
from nearfield.evaluation.tagging import FEW, macro, tag_areas

AREAS = ("roc_auc", "pr_auc")


@dataclass(frozen=True)
class TagTable:
    """The areas of some tags, and what they were in every draw of the groups."""

    tags: Bools
    """(n, K)"""
    areas: dict[str, Floats]
    """`roc_auc` and `pr_auc`, (K,) each, NaN where a tag is on all clips or on none."""
    draws: dict[str, Floats]
    """The same, (draws, K); empty where nothing is resampled."""
    groups: int
    """Groups that have one of the clips."""

    @classmethod
    def of(cls, tags: Bools, scores: Floats, at: Ints, found: Findings) -> "TagTable":
        """Of `scores` (n, K) of the clips at the positions `at` of the split."""
        areas = {name: values[0] for name, values in tag_areas(tags, scores).items()}
        if found.resamples is None:
            return cls(tags, areas, {}, 0)
        blocks = [tag_areas(tags, scores, weights[:, at]) for weights in found.resamples.weights()]
        draws = {name: np.concatenate([block[name] for block in blocks]) for name in AREAS}
        return cls(tags, areas, draws, found.resamples.groups_with(at))

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
            found.metrics[f"{prefix}/{name}"] = float(macro(values[None])[0])
            if self.draws:
                found.drawn_area(f"{prefix}/{name}", macro(self.draws[name]), self.groups)
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
        if figure is None or place is None or not self.draws:
            return None
        return mirrored_interval(figure, self.draws[area][:, place], self.groups)
