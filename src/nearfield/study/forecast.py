"""What a plan can decide, before anything is trained.

The variance of a difference between two arms comes from a finished study of the same judge: a given one, or
those in `parts.yaml`, which the package ships. Power and limits are those of the study's own rule
(`statistics.planning`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from nearfield.core.text import count, enumerated
from nearfield.models.features.feature import Modality
from nearfield.study.claims import measure, plain
from nearfield.study.plan import Plan
from nearfield.study.records import StudyFacts
from nearfield.study.statistics.family import FALSE_CLAIMS, FOR_ARMS
from nearfield.study.statistics.looks import planned
from nearfield.study.statistics.planning import MOST_SEEDS, WANTED_POWER, power
from nearfield.training.prepare import open_to_train
from nearfield.training.recipe import Recipe

UNLIKELY = 0.5
"""A plan with less power for the meaningful difference is likely not to answer its question."""
TRIED = ((1, 3), (1, 5), (5, 1), (1, 8), (5, 2), (1, 12), (5, 3), (5, 5), (5, 8), (5, 12), (5, 20))
"""Folds and seeds, by trainings, among which the cheapest sufficient design is searched."""


@dataclass(frozen=True)
class Parts:
    """The variance of a difference between two arms on one measure, as standard deviations."""

    judge: str
    modality: Modality
    studies: tuple[str, ...]
    """Titles of the studies that it was found in."""
    groups: int
    """Test groups of the first of them."""
    seed: float
    group: float
    rest: float

    def plain(self) -> dict[str, Any]:
        """The values as a row of `parts.yaml`."""
        rounded = {name: round(getattr(self, name), 4) for name in ("seed", "group", "rest")}
        return {**asdict(self), "studies": list(self.studies), **rounded}


def parts_of(facts: StudyFacts) -> Parts | None:
    """The variance that a finished study found, averaged over its pairs; None if it compared no arms."""
    pairs = facts.conclusion.among_arms
    if not pairs:
        return None
    folds = pairs[0].folds
    spread = [(folds * each.parts.seed**2, each.parts.group**2, each.parts.residual**2) for each in pairs]
    seed, group, rest = (fmean(part) ** 0.5 for part in zip(*spread, strict=True))
    modality = Recipe.of(facts.recipe, facts.title).modality
    return Parts(facts.judge, modality, (facts.title,), pairs[0].groups, seed, group, rest)


@cache
def shipped() -> tuple[Parts, ...]:
    """The rows of `parts.yaml`."""
    file = Path(__file__).with_name("parts.yaml")
    rows = yaml.safe_load(file.read_text(encoding="utf-8"))
    return tuple(Parts(**{**row, "studies": tuple(row["studies"])}) for row in rows)


def typical(judge: str, modality: Modality, known: Iterable[Parts] | None = None) -> Parts | None:
    """The average of the known rows of this judge, those of the same modality if there are any."""
    rows = [each for each in (shipped() if known is None else known) if each.judge == judge]
    rows = [each for each in rows if each.modality == modality] or rows
    if not rows:
        return None
    seed, group, rest = (
        fmean(getattr(each, name) ** 2 for each in rows) ** 0.5 for name in ("seed", "group", "rest")
    )
    studies = tuple(dict.fromkeys(title for each in rows for title in each.studies))
    return Parts(judge, rows[0].modality, studies, rows[0].groups, seed, group, rest)


@dataclass(frozen=True)
class Sizes:
    """Numbers of groups of clips in a collection."""

    test: int
    """In its own test split."""
    folded: int
    """In all splits that the folds divide."""

    @classmethod
    def of(cls, data: str, plan: Plan) -> "Sizes":
        """The numbers of groups in the data of a plan. Raises DataError if the data cannot be read."""
        table = open_to_train(data, plan.recipe, allow_leak=True).table
        divided = ["train", "val"] if plan.seeds.keep_test else ["train", "val", "test"]
        by_split = [table["group"][table["split"].isin(splits)] for splits in (["test"], divided)]
        return cls(*(int(groups.nunique()) for groups in by_split))


@dataclass(frozen=True)
class Option:
    """A design and what it can show."""

    name: str
    trainings: int
    smallest: float
    """The smallest true difference that is claimed with a probability of `WANTED_POWER`."""
    power: float
    """Probability that a true difference of `meaningful` is claimed."""


@dataclass(frozen=True)
class Forecast:
    """What a plan can decide on its judge."""

    judge: str
    meaningful: float
    parts: Parts
    options: tuple[Option, ...]
    """The plan's own design first."""
    floor: float
    """The smallest difference that the plan would show with `MOST_SEEDS` seeds."""
    enough: Option | None
    """The cheapest design that shows the meaningful difference; None if none of `TRIED` does."""

    @property
    def own(self) -> Option:
        """The plan's own design."""
        return self.options[0]

    @property
    def is_unlikely(self) -> bool:
        """Whether the plan is likely not to answer its question."""
        return self.own.power < UNLIKELY


def forecast(plan: Plan, sizes: Sizes, parts: Parts) -> Forecast:
    """What the plan can decide, if its arms vary like those of `parts`."""
    arms = max(2, len(plan.arms) or (plan.search.final if plan.search else 2))
    last = planned(plan.seeds.looks(), arms=arms)[-1]
    level = last.share * (FALSE_CLAIMS if len(plan.arms) < 2 else FOR_ARMS)

    def shown(difference: float, folds: int, seeds: int, more: float = 1.0) -> float:
        groups = round(more * (sizes.folded if folds > 1 else sizes.test))
        variance = (parts.seed**2 / folds, parts.group**2, parts.rest**2)
        return power(difference, variance, seeds, max(groups, folds + 1), arms, level, folds=folds)

    def smallest(folds: int, seeds: int, more: float = 1.0) -> float:
        low, high = 0.0, 1.0
        while shown(high, folds, seeds, more) < WANTED_POWER:
            low, high = high, 2 * high
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (low, middle) if shown(middle, folds, seeds, more) >= WANTED_POWER else (middle, high)
        return high

    def option(folds: int, seeds: int, more: float = 1.0) -> Option:
        name = f"{folds} folds of {count(seeds, 'seed')}" if folds > 1 else count(seeds, "seed")
        if more != 1:
            name = "twice the groups"
        trainings = folds * seeds * len(plan.arms)
        return Option(
            name, trainings, smallest(folds, seeds, more), shown(plan.meaningful, folds, seeds, more)
        )

    folds, seeds = plan.seeds.folds, max(plan.seeds.at_most, 1 if plan.seeds.folds > 1 else 3)
    others = [(folds, 2 * seeds)] + ([(5, max(1, round(seeds / 5))), (5, 3)] if folds == 1 else [])
    options = [option(folds, seeds), *(option(*each) for each in others), option(folds, seeds, 2.0)]
    enough = next(
        (
            option(*each)
            for each in sorted({*TRIED, (folds, seeds)}, key=lambda each: each[0] * each[1])
            if shown(plan.meaningful, *each) >= WANTED_POWER
        ),
        None,
    )
    return Forecast(plan.judge, plan.meaningful, parts, tuple(options), smallest(folds, MOST_SEEDS), enough)


def sentences(found: Forecast) -> Iterator[str]:
    """The forecast in two or three sentences."""
    judge, own = measure(found.judge), found.own
    yield (
        f"This plan ({own.name}) shows a difference of {plain(own.smallest)} in {judge} with a chance of "
        f"{WANTED_POWER:g}, and with {MOST_SEEDS} seeds {plain(found.floor)}; its chance for the meaningful "
        f"{found.meaningful:g} is {own.power:.2f}. (Variance as in {_sources(found.parts.studies)}.)"
    )
    if not found.is_unlikely:
        return
    if found.enough is not None:
        trainings = f" ({count(found.enough.trainings, 'training')})" if found.enough.trainings else ""
        yield f"The cheapest design that would do: {found.enough.name}{trainings}."
        return
    others = [f"{each.name} {plain(each.smallest)}" for each in found.options[1:]]
    yield (
        f"No design of up to 5 folds of 20 seeds shows {found.meaningful:g} on this collection. The smallest "
        f"difference of others: {enumerated(others)}. Set meaningful to what you would act on, or take a "
        "judge that sees more (docs/statistics.md)."
    )


def _sources(studies: Sequence[str]) -> str:
    quoted = [f"“{title}”" for title in studies[:2]]
    return enumerated(quoted + ([f"{len(studies) - 2} more"] if len(studies) > 2 else []))
