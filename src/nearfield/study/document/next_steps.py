"""Next steps, derived from the results of a study."""

from collections.abc import Callable, Iterator

from nearfield.core.text import count
from nearfield.study.claims import called, digits, factor, listed, number, plain, sentence
from nearfield.study.document.answer import against_baselines
from nearfield.study.document.content import Part, Quoted
from nearfield.study.records import Comparison, StudyFacts
from nearfield.study.statistics.planning import cost, further_seeds

Step = tuple[Part, ...]


def next_steps(facts: StudyFacts) -> tuple[Step, ...]:
    """Returns the suggested steps, the most decisive first; one sentence if there are none."""
    finders: tuple[Callable[[StudyFacts], Iterator[Step]], ...] = (
        _edge,
        _undecided,
        _variance_sources,
        _failed,
        _no_gain,
        _interaction,
    )
    found = tuple(step for finder in finders for step in finder(facts))
    return found or (
        ("Nothing in these results asks for a further study of this question on this data set.",),
    )


def _edge(facts: StudyFacts) -> Iterator[Step]:
    """Suggests values beyond the range, or between values, if the recommended value is at an end or far from
    others."""
    chosen = facts.conclusion.recommended
    values = {each.arm.id: number(each.arm.name) for each in facts.arms}
    own = values.get(chosen or "")
    known = sorted(value for value in values.values() if value is not None)
    if own is None or len(facts.varied) != 1 or len(known) != len(values) or len(known) < 2:
        return
    name = called(facts, chosen or "")
    if own == known[0]:
        beyond = f"{own**2 / known[1]:.2g}" if own > 0 else ""
        yield from _beyond(name, "smallest", beyond)
    elif own == known[-1]:
        yield from _beyond(name, "largest", f"{own**2 / known[-2]:.3g}" if known[-2] > 0 else "")
    else:
        below, above = known[known.index(own) - 1], known[known.index(own) + 1]
        if below > 0 and above / below > 4:
            yield (f"The values beside {name}, {below:g} and {above:g}, lie far apart: try some between.",)


def _beyond(name: str, end: str, value: str) -> Iterator[Step]:
    if value:
        tried = f"{sentence(name)}, the recommended one, is the {end} tried"
        yield (f"{tried}: go on to {value}, if the setting allows it.",)


def open_pairs(facts: StudyFacts) -> list[Comparison]:
    """Returns the undecided pairs of arms."""
    return [each for each in facts.conclusion.among_arms if each.claim == "undecided"]


def _undecided(facts: StudyFacts) -> Iterator[Step]:
    """Lists undecided pairs, with the number of trainings that would decide them."""
    pairs = open_pairs(facts)
    by_seeds = [each for each in pairs if further_seeds(each)]
    if by_seeds:
        most = max(further_seeds(each) or 0 for each in by_seeds)
        names = _names(facts, by_seeds)
        trainings = most * len(facts.arms) * facts.folds
        yield (
            f"{names}: about {count(most, 'more seed')} for every arm, "
            f"{count(trainings, 'further training')}, would decide, each with a chance of "
            "0.8 if the true difference is as found.",
        )
    rest = [each for each in pairs if not further_seeds(each)]
    for needed in dict.fromkeys(cost(each) for each in rest):
        positive = [each for each in rest if cost(each) == needed]
        yield (f"{_names(facts, positive)}: not decided; {needed}.",)


FEW = 3
"""Largest number of pairs of arms that are named; of more, the number is given."""


def _names(facts: StudyFacts, pairs: list[Comparison]) -> str:
    if len(pairs) > FEW:
        return count(len(pairs), "open pair")
    return sentence(
        listed([f"{called(facts, each.one)} against {called(facts, each.other)}" for each in pairs])
    )


def _variance_sources(facts: StudyFacts) -> Iterator[Step]:
    """States whether seeds or the finite test set cause most of the variance."""
    pairs = open_pairs(facts)
    if not pairs:
        return
    seed = sum(each.parts.seed**2 / each.seeds for each in pairs) / len(pairs)
    group = sum(each.parts.group**2 / max(1, each.groups) for each in pairs) / len(pairs)
    rest = sum(each.parts.residual**2 / (each.seeds * max(1, each.groups)) for each in pairs) / len(pairs)
    total = seed + group + rest
    if not total:
        return
    advice = "add test recordings" if group > seed + rest else "add seeds" if seed > group + rest else ""
    yield (
        f"Of the variance of the open differences, {seed / total:.0%} comes from the seed, "
        f"{group / total:.0%} from the choice of test recordings, and {rest / total:.0%} is residual, "
        f"which more of either reduces{f': {advice} first' if advice else ''}.",
    )


def _failed(facts: StudyFacts) -> Iterator[Step]:
    """Lists arms with failed trainings, which are not compared."""
    for each in facts.arms:
        failed = [run for run in each.runs if run.state == "failed"]
        if failed:
            seeds = listed([str(run.seed) for run in failed])
            yield (
                f"{sentence(called(facts, each.arm.id))}: {len(failed)} of {len(each.runs)} trainings "
                f"failed (seed {seeds}): ",
                Quoted(failed[0].cause),
            )


def _no_gain(facts: StudyFacts) -> Iterator[Step]:
    """Lists baselines that the recommended arm, or no arm, is shown to beat."""
    short = [called(facts, each.other) for each in against_baselines(facts) if each.claim != "better"]
    if short:
        yield (f"Before anything else, find a recipe that clears {listed(short)}.",)


def _interaction(facts: StudyFacts) -> Iterator[Step]:
    """Describes (without a test) whether the effects of several settings are additive."""
    import numpy as np

    estimates = facts.conclusion.estimates
    arms = [each.arm for each in facts.arms if each.arm.id in estimates]
    columns = [
        [repr(arm.changes.get(key)) == level for arm in arms]
        for key in facts.varied
        for level in sorted({repr(arm.changes.get(key)) for arm in arms})[1:]
    ]
    if len(facts.varied) < 2 or len(arms) <= len(columns) + 1:
        return
    design = np.column_stack([np.ones(len(arms)), *np.array(columns, dtype=float)])
    means = np.array([estimates[arm.id].mean for arm in arms])
    left = means - design @ np.linalg.lstsq(design, means, rcond=None)[0]
    largest = float(np.abs(left).max())
    if largest > facts.conclusion.meaningful:
        yield (
            "The means of ",
            Quoted(listed([factor(key) for key in facts.varied])),
            " do not add up from the single settings: up to "
            f"{plain(largest, digits(facts))} is left over. This describes and tests nothing; a study of the "
            "interaction would settle it.",
        )
