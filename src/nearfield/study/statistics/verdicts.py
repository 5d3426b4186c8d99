"""The fixed words for each arm, and the arm that is recommended: read off the intervals, nothing else."""

from collections.abc import Mapping, Sequence

from nearfield.study.records import Comparison, Estimate, Verdict
from nearfield.study.statistics.planning import cost

_Bounds = Mapping[tuple[str, str], tuple[float, float, Comparison]]


def verdicts(
    arms: Sequence[str],
    failures: Mapping[str, str],
    estimates: Mapping[str, Estimate],
    comparisons: Sequence[Comparison],
    meaningful: float,
    silent: str = "",
) -> tuple[Verdict, ...]:
    """One verdict an arm, in the order of `arms`. `silent`: why nothing may be claimed, "" where it may."""
    compared = [arm for arm in arms if arm not in failures]
    if silent or not compared:
        return tuple(Verdict(arm, "not_comparable", "", failures.get(arm, silent)) for arm in arms)
    first = max(compared, key=lambda arm: estimates[arm].mean)
    between = _between(comparisons)
    found = []
    for arm in arms:
        if arm in failures:
            found.append(Verdict(arm, "not_comparable", "", failures[arm]))
        else:
            found.append(
                _verdict(arm, first, [other for other in compared if other != arm], between, meaningful)
            )
    return tuple(found)


def _verdict(arm: str, first: str, others: Sequence[str], between: _Bounds, meaningful: float) -> Verdict:
    if not others:
        return Verdict(arm, "not_comparable", "", "there is no other arm to compare it with")
    if all(between[arm, other][0] > 0 for other in others):
        return Verdict(arm, "best", _closest(arm, others, between), "")
    if all(between[arm, other][0] > -meaningful for other in others):
        return Verdict(arm, "as_good", first if arm != first else _closest(arm, others, between), "")
    above = [other for other in others if between[arm, other][1] < 0]
    if above:
        return Verdict(arm, "worse", first if first in above else above[0], "")
    is_open = arm != first and between[arm, first][2].claim == "undecided"
    against = first if is_open else _closest(arm, others, between)
    return Verdict(arm, "undecided", against, cost(between[arm, against][2]))


def _closest(arm: str, others: Sequence[str], between: _Bounds) -> str:
    """The arm that could most easily be as high as `arm`."""
    return min(others, key=lambda other: between[arm, other][0])


def _between(comparisons: Sequence[Comparison]) -> _Bounds:
    """(one, other) -> lower and upper bound of one minus other, both ways round."""
    found: dict[tuple[str, str], tuple[float, float, Comparison]] = {}
    for each in comparisons:
        found[each.one, each.other] = (each.low, each.high, each)
        found[each.other, each.one] = (-each.high, -each.low, each)
    return found


def recommend(
    found: Sequence[Verdict], estimates: Mapping[str, Estimate], costs: Mapping[str, float]
) -> tuple[str | None, str]:
    """The arm to take and why: the best, or the cheapest of those as good as the best; else none."""
    good = [verdict.arm for verdict in found if verdict.word in ("best", "as_good")]
    if not good:
        return None, "no arm is shown to be the best, or as good as the best within the meaningful difference"
    if len(good) == 1:
        word = next(verdict.word for verdict in found if verdict.arm == good[0])
        why = "it is the best" if word == "best" else "it alone is shown to be as good as the best"
        return good[0], why
    cheapest = min(costs.get(arm, 0.0) for arm in good)
    cheap = [arm for arm in good if costs.get(arm, 0.0) == cheapest]
    chosen = max(cheap, key=lambda arm: estimates[arm].mean)
    if len(cheap) == len(good):
        return chosen, "it has the highest mean of those that are as good as the best; they cost the same"
    return chosen, "it is the cheapest of those that are as good as the best"
