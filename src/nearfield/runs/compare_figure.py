"""The paired differences of two runs as a figure: a row a label or tag, what is certain in colour."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfield.core.errors import RequestError
from nearfield.evaluation.tag_comparison import TagComparison
from nearfield.runs.compare import Comparison, Difference
from nearfield.runs.plotting import COLOURS, INK, MUTED, RULE, new_figure, save

MOST = 60
"""Rows that are drawn; beyond, those with the largest differences."""

CERTAIN = 0.05


@dataclass(frozen=True)
class Bar:
    """One row of the figure."""

    name: str
    clips: int
    few: bool
    difference: float
    interval: tuple[float, float] | None
    p_holm: float | None


def draw_comparison(path: Path, found: Comparison) -> None:
    """Writes the PNG. Raises RequestError where the runs share neither labels nor tags."""
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
    """By falling difference; where there are many, the largest of either sign."""
    kept = sorted(bars, key=lambda bar: -abs(bar.difference))[:MOST]
    return sorted(kept, key=lambda bar: -bar.difference)
