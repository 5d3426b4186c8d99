"""The ROC-AUC of every tag as bars, a row an arm, from a study's facts."""

from typing import TYPE_CHECKING

from nearfield.study.figures import MUTED, arm_colour, to_svg
from nearfield.study.records import ArmFacts, StudyFacts, TagFacts
from nearfield.study.wording import label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 60
"""Tags that are drawn: those of most clips."""
CHANCE = 0.5
LETTER = 0.055
"""Inches that a letter of a tag's name takes, below the bars."""


def tag_figure(facts: StudyFacts) -> str:
    """Bars that begin at chance, 0.5, with 95 % intervals; pale where fewer than 20 clips have the tag.

    Tags stand by falling area under the first arm. As SVG; needs `facts.tags`.
    """
    arms = [each for each in facts.arms if any(each.arm.id in tag.areas["roc_auc"] for tag in facts.tags)]
    tags = shown_tags(facts)

    def draw(figure: "Figure") -> None:
        rows = figure.subplots(len(arms), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        low = CHANCE
        for axes, each in zip(rows, arms, strict=True):
            low = min(low, _bars(axes, tags, each, arm_colour(facts, each)[0]))
            axes.set_title(label(facts, each.arm.id), loc="left")
            axes.set_ylabel("ROC-AUC")
        rows[0].set_ylim(max(0.0, low - 0.02), 1.0)
        rows[-1].set_xticks(range(len(tags)), [tag.name for tag in tags], rotation=90, fontsize=6)
        rows[-1].set_xlim(-0.7, len(tags) - 0.3)

    names = LETTER * max(len(tag.name) for tag in tags)
    return to_svg(draw, "tags", 0.3 + names + 1.3 * len(arms))


def shown_tags(facts: StudyFacts) -> list[TagFacts]:
    """The tags that the figure draws, in its order; of equal ones those of more clips first."""
    kept = sorted(facts.tags, key=lambda tag: -tag.positives)[:MOST]
    first = facts.arms[0].arm.id

    def height(tag: TagFacts) -> float:
        area = tag.areas["roc_auc"].get(first)
        return 0.0 if area is None else area.mean

    return sorted(kept, key=height, reverse=True)


def _bars(axes: "Axes", tags: list[TagFacts], each: ArmFacts, colour: str) -> float:
    """Draws one arm; gives the lowest end of its intervals."""
    lowest = CHANCE
    for place, tag in enumerate(tags):
        area = tag.areas["roc_auc"].get(each.arm.id)
        if area is None:
            continue
        pale = 0.35 if tag.few else 0.85
        axes.bar(place, area.mean - CHANCE, bottom=CHANCE, width=0.75, color=colour, alpha=pale)
        if area.interval is not None:
            axes.plot((place, place), area.interval, color=MUTED, linewidth=0.8, solid_capstyle="butt")
        lowest = min(lowest, area.mean, *(area.interval or ()))
    axes.axhline(CHANCE, color=MUTED, linewidth=0.7)
    axes.tick_params(axis="x", length=0)
    return lowest
