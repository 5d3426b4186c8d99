"""The answer of a study in a few sentences: what to take, what it may cost, and what cannot be seen."""

from collections.abc import Iterator
from statistics import median

from nearfield.core.text import count
from nearfield.study.claims import (
    beside_choice,
    called,
    choice,
    claim,
    digits,
    left_out,
    listed,
    plain,
    rivals,
    sentence,
    source_answer,
    trend_words,
)
from nearfield.study.document.content import Part, Quoted, Strong, said
from nearfield.study.records import Comparison, StudyFacts
from nearfield.study.statistics.planning import cost, further_seeds


def answer(facts: StudyFacts) -> Iterator[tuple[Part, ...]]:
    """Yields the paragraphs that open the document: what to take, then what it is beside the baselines and
    the source."""
    yield (*_take(facts), *_left_out(facts), *_unseen(facts), *_change(facts))
    if beside := (*_beside_baselines(facts), *_source(facts)):
        yield beside


def closing(facts: StudyFacts) -> str:
    """Returns the answer for the command line in two lines, without costs and without the source."""
    first = said(tuple(_take(facts))).strip()
    second = said((*_unseen(facts), *_beside_baselines(facts))).strip()
    return "\n".join(line for line in (first, second) if line)


def _take(facts: StudyFacts) -> Iterator[Part]:
    chosen = facts.conclusion.recommended
    if chosen is None:
        yield Strong("No arm is recommended: ")
        yield Quoted(f"{facts.conclusion.recommended_because or 'nothing is decided'}. ")
        return
    yield Strong(f"Take {called(facts, chosen)}")
    yield choice(facts)
    yield " "
    for each in (beside_choice(facts), trend_words(facts)):
        if each:
            yield each
            yield " "


def _left_out(facts: StudyFacts) -> Iterator[Part]:
    for words, why in left_out(facts):
        yield words
        yield Quoted(f"{why.splitlines()[0].rstrip('.')}. ")


def _unseen(facts: StudyFacts) -> Iterator[Part]:
    """Yields the gap that this set and these seeds do not show."""
    found = rivals(facts, facts.conclusion.recommended or "")
    if not found:
        return
    gap = plain(median((each.high - each.low) / 2 for each in found), digits(facts))
    groups, folds = found[0].groups, found[0].folds
    seeds = count(found[0].seeds, "seed") + (f" in each of {folds} folds" if folds > 1 else "")
    of = f"{seeds} and {groups:,} test groups" if groups > 1 else seeds
    yield f"With {of}, a gap below about {gap} is invisible. "
    if groups == 1:
        yield (
            "This judge has no score of single recordings, or there is one alone: whether other recordings "
            "would show the same is not tested. "
        )


def _change(facts: StudyFacts) -> Iterator[Part]:
    """Yields what would decide the open comparisons with the recommended arm."""
    found = rivals(facts, facts.conclusion.recommended or "")
    open_ = [each for each in found if each.claim == "undecided"]
    if open_:
        yield f"{sentence(_cost(facts, open_))}. "


def _cost(facts: StudyFacts, pairs: list[Comparison]) -> str:
    """Returns what would decide open comparisons with the recommended arm."""
    by_seeds = [needed for each in pairs if (needed := further_seeds(each))]
    if not by_seeds:
        return cost(max(pairs, key=lambda each: each.by_seeds or 0.0))
    seeds = count(max(by_seeds), "more seed")
    trainings = count(max(by_seeds) * len(facts.arms) * facts.folds, "further training")
    some = "" if len(by_seeds) == len(pairs) else f" for {len(by_seeds)} of the {len(pairs)} open arms"
    return f"about {seeds} for every arm, {trainings}, would be needed to decide{some or ' it'}"


def _beside_baselines(facts: StudyFacts) -> Iterator[Part]:
    """Yields baselines that the recommended arm, or no arm, is shown to beat; nothing if it beats all."""
    rows = [each for each in against_baselines(facts) if each.claim != "better"]
    for each in rows:
        if each.claim != "undecided":
            yield claim(facts, each)
            yield " "
    open_ = [called(facts, each.other) for each in rows if each.claim == "undecided"]
    if open_:
        arm = called(facts, facts.conclusion.recommended) if facts.conclusion.recommended else "any arm"
        yield f"Whether {arm} beats {listed(open_)} is not decided. "


def against_baselines(facts: StudyFacts) -> list[Comparison]:
    """Returns the comparisons of the recommended arm with baselines; without one, of each baseline that no
    arm is shown to beat with the nearest arm."""
    arm = facts.conclusion.recommended
    rows = [each for each in facts.conclusion.comparisons if each.other.startswith("baseline/")]
    if arm is not None:
        return [each for each in rows if each.one == arm]
    beaten = {each.other for each in rows if each.claim == "better"}
    open_to_all = dict.fromkeys(each.other for each in rows if each.other not in beaten)
    return [
        max((each for each in rows if each.other == name), key=lambda each: each.difference)
        for name in open_to_all
    ]


def _source(facts: StudyFacts) -> Iterator[Part]:
    begin, verdict, rest = source_answer(facts)
    if begin:
        yield begin
    if verdict:
        yield Strong(verdict)
        yield rest
