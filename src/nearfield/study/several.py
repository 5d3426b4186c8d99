"""A study on several data sets: what holds for such sets in general, and on each of them.

Every set has a study of its own, in a folder of its own. Their scores are judged together: the sets are then
a sample of many, whose means are the repetitions (`judge`, column `dataset`).
"""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from nearfield.core.errors import RequestError
from nearfield.core.files import read_json, write_json, write_text
from nearfield.core.text import count, enumerated
from nearfield.study.claims import label, measure
from nearfield.study.document import facts_from_json
from nearfield.study.judge import Judgement, judge, means_text
from nearfield.study.records import StudyFacts
from nearfield.study.score_table import read_rows
from nearfield.training.plotting import new_figure, quieten

LEAST_SETS = 3
"""Fewer data sets do not show how much sets vary."""


def folders_of(data: Sequence[str], out: Path) -> dict[str, Path]:
    """The folder of the study of each data set, by the data as given.

    Raises RequestError if there are fewer than `LEAST_SETS`, or if one is given twice.
    """
    if len(data) < LEAST_SETS:
        raise RequestError(
            f"--data: {count(len(data), 'data set')}. Give one, or {LEAST_SETS} at least: two do not show "
            "how much sets vary."
        )
    found: dict[str, Path] = {}
    for each in data:
        if each in found:
            raise RequestError(f"--data: {each} is given twice.")
        name = each.partition("?")[0].rstrip("/").rpartition("/")[2].replace(":", "-") or "data"
        taken = {folder.name for folder in found.values()}
        names = (name, *(f"{name}-{number}" for number in range(2, 2 + len(data))))
        found[each] = out / next(one for one in names if one not in taken)
    return found


def judged_together(folders: Sequence[Path]) -> Judgement:
    """The judgement on the arms of finished studies of the same plan, in general and on each data set.

    Raises RequestError if fewer than two arms are whole on every set.
    """
    studies = {
        folder.name: facts_from_json(read_json(folder / "facts.json", "Run the study again."))
        for folder in folders
    }
    first = next(iter(studies.values()))
    arms = [
        each.arm.id for each in first.arms if all(_is_whole(facts, each.arm.id) for facts in studies.values())
    ]
    if len(arms) < 2:
        raise RequestError(
            f"{enumerated(list(studies))}: {count(len(arms), 'arm')} with all trainings on every data set. "
            "Run the same command again to train what failed."
        )
    names = {arm: label(first, arm) for arm in arms}
    frames = []
    for folder in folders:
        table = read_rows(folder)
        own = table[(table["measure"] == first.judge) & table["arm"].isin(arms)]
        frames.append(own.drop(columns="measure").assign(dataset=folder.name, arm=own["arm"].map(names)))
    return judge(pd.concat(frames, ignore_index=True), meaningful=first.meaningful)


def _is_whole(facts: StudyFacts, arm: str) -> bool:
    runs = next((each.runs for each in facts.arms if each.arm.id == arm), ())
    return bool(runs) and all(run.state == "done" for run in runs)


def write_together(found: Judgement, folders: Sequence[Path], out: Path) -> None:
    """Writes sets.md, sets.json and arms.svg to the folder of all sets."""
    facts = facts_from_json(read_json(folders[0] / "facts.json", "Run the study again."))
    write_json(out / "sets.json", found.as_json())
    write_text(out / "arms.svg", arms_svg(found, measure(facts.judge)))
    write_text(out / "sets.md", "\n".join(_document(found, facts, folders)))


def _document(found: Judgement, facts: StudyFacts, folders: Sequence[Path]) -> Iterator[str]:
    yield from (f"# {facts.question}", "", f"In general: {found.answer}", "")
    heads = ("arm", f"{measure(facts.judge)} over {count(len(folders), 'data set')}")
    yield from ("| " + " | ".join((*heads, *(folder.name for folder in folders))) + " |",)
    yield "|---" * (2 + len(folders)) + "|"
    for arm in sorted(found.means, key=lambda arm: -found.means[arm]):
        cells = (arm, means_text(found, arm), *(means_text(each, arm) for each in found.others))
        yield "| " + " | ".join(cells) + " |"
    yield from ("", "![Means over the data sets; a bar joins arms that are not told apart](arms.svg)", "")
    for each, folder in zip(found.others, folders, strict=True):
        yield f"- {each.of.removeprefix('on ')}: {each.answer} [Its document]({folder.name}/study.md)."
    yield (
        "\nEach data set is a repetition of the comparison in general; half of the error rate of 5 % is for "
        "it, and half for the sets one by one."
    )
    yield ""


def arms_svg(found: Judgement, unit: str) -> str:
    """The arms on the scale of the measure; a bar joins those that are not told apart (as Demsar 2006 draws
    critical differences)."""
    ranked = sorted(found.means, key=lambda arm: found.means[arm])
    bars = not_told_apart(found, ranked)
    figure = new_figure(6.4, 0.9 + 0.24 * len(ranked) + 0.12 * len(bars))
    axes = figure.subplots()
    for row, arm in enumerate(ranked):
        mean = found.means[arm]
        axes.plot([mean], [-row], "o", color="#0072B2", markersize=5)
        axes.annotate(arm, (mean, -row), (6, 0), textcoords="offset points", va="center", fontsize=8)
    for place, (low, high) in enumerate(bars):
        ends, at = [found.means[ranked[low]], found.means[ranked[high]]], 0.6 + 0.35 * place
        axes.plot(ends, [at, at], color="#555555", linewidth=3)
    axes.set_yticks([])
    axes.set_xlabel(unit)
    axes.margins(x=0.2, y=0.25)
    for side in ("left", "top", "right"):
        axes.spines[side].set_visible(False)
    quieten(figure)
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def not_told_apart(found: Judgement, ranked: Sequence[str]) -> list[tuple[int, int]]:
    """The longest runs of arms, as first and last place in `ranked`, of which no two are told apart."""
    apart = {
        frozenset((each.one, each.other))
        for each in found.conclusion.comparisons
        if each.claim in ("better", "worse")
    }
    runs: list[tuple[int, int]] = []
    for low in range(len(ranked)):
        high = low
        while high + 1 < len(ranked) and not any(
            frozenset((ranked[high + 1], ranked[place])) in apart for place in range(low, high + 1)
        ):
            high += 1
        if high > low and not any(high <= last for _, last in runs):
            runs.append((low, high))
    return runs
