"""Comparative sentences of a study, each created from the comparison that supports it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from typing import Literal

from nearfield.core.text import count, enumerated
from nearfield.metrics.registry import BASELINE_NAMES, families, metrics
from nearfield.study.records import ArmFacts, Comparison, Estimate, StudyFacts, Verdict
from nearfield.study.statistics.planning import cost

# Names of arms, settings and numbers, the same in all sentences, tables and figures of a study.

PLAIN_SPACES = BASELINE_NAMES | {"pixels": "plain pixels", "random_encoder": "an untrained encoder"}
"""Names of the baselines in sentences, in the order of tables."""

_VAGUE = {"size", "strength", "width", "blocks", "probability", "train", "low", "high", "scale", "of"}
"""Keys that need the name of their section: "embedding size", but "margin"."""

_SPELT = {"lr": "learning rate", "fft": "FFT size"}


@cache
def _words() -> tuple[dict[str, str], dict[str, str]]:
    """Metrics by name and families by prefix, to their names in a sentence."""
    return (
        {each.name: each.words for each in metrics() if each.words},
        {each.prefix: each.words for each in families() if each.words is not None},
    )


def measure(key: str) -> str:
    """Returns the name of a metric: "probe/macro_f1" -> "macro F1 of the probe", "retrieval/map_at_r" ->
    "MAP@R within test"."""
    family, _, name = key.rpartition("/")
    of_metrics, of_families = _words()
    words = of_metrics.get(name, name.replace("multilabel_", "tag_").replace("_at_", "@").replace("_", " "))
    where = of_families.get(family, family.replace("/", " ").replace("_", " "))
    return f"{words} {where}".strip()


def titled(key: str) -> str:
    """Returns the name of a metric with a capital letter."""
    words = measure(key)
    return words[:1].upper() + words[1:]


def factor(key: str) -> str:
    """Returns the name of a dotted recipe key: "loss.margin" -> "margin", "embedding.size" -> "embedding
    size"."""
    section, _, last = key.rpartition(".")
    section = section.rpartition(".")[2].replace("_", " ")
    if last == "kind" and section:
        return section
    words = _SPELT.get(last, last.replace("_", " "))
    return f"{section} {words}" if last in _VAGUE and section else words


def number(text: str) -> float | None:
    """Converts text to a finite number, or returns None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def label(facts: StudyFacts, name: str) -> str:
    """Returns the name of an arm (by id) or a baseline ("baseline/mfcc_stats") in sentences: "margin 0.3"."""
    if name.startswith("baseline/"):
        plain = name.removeprefix("baseline/")
        return PLAIN_SPACES.get(plain, plain)
    for each in facts.arms:
        if each.arm.id == name:
            return _arm_label(facts, each)
    return name


def _arm_label(facts: StudyFacts, each: ArmFacts) -> str:
    name = each.arm.name
    says_little = number(name) is not None or name.lower() in ("true", "false", "null", "none")
    return f"{factor(facts.varied[0])} {name}" if len(facts.varied) == 1 and says_little else name


def called(facts: StudyFacts, name: str) -> str:
    """Returns the name of an arm or a baseline within a sentence: as `label`, but quoted if the study file
    named the arm and the name is no word with a number: “tagger's, kept”, but margin 0.3 and triplet 0.1."""
    text = label(facts, name)
    own = next((each.arm.name for each in facts.arms if each.arm.id == name), "")
    words = own.split()
    plain_name = len(words) <= 2 and number(own.rpartition(" ")[2]) is not None
    return f"“{text}”" if text == own and not plain_name else text


def sentence(text: str) -> str:
    """Capitalizes text, unless it begins with a name such as "nt_xent"."""
    first = text.split(" ", 1)[0].rstrip(",;:")
    return text[:1].upper() + text[1:] if first.isalpha() else text


def digits(facts: StudyFacts) -> int:
    """Returns the number of decimals of the judge, 2 to 5: one more than the meaningful difference has."""
    return min(5, max(2, math.ceil(-math.log10(facts.meaningful)) + 1)) if facts.meaningful > 0 else 3


def plain(value: float, decimals: int = 3) -> str:
    """Formats a number with a minus sign (U+2212); large numbers have fewer decimals."""
    decimals = decimals if abs(value) < 10 else max(0, decimals - 2)
    text = f"{value:.{decimals}f}".replace("-", "−")
    return text if text.strip("−0.") else text.lstrip("−")


def mean_and_interval(estimate: Estimate, decimals: int = 3) -> str:
    """Formats an estimate as "0.781 [0.762, 0.800]", or without the interval if there is none."""
    mean = plain(estimate.mean, decimals)
    if estimate.low == estimate.high:
        return mean
    return f"{mean} [{plain(estimate.low, decimals)}, {plain(estimate.high, decimals)}]"


def signed(value: float, decimals: int = 3) -> str:
    """Formats a difference with its sign, as "+0.012"."""
    text = plain(value, decimals)
    return text if text.startswith("−") else f"+{text}"


def chance(p: float) -> str:
    """Formats a p value as "= 0.034" or "< 0.001"."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def listed(words: list[str]) -> str:
    """Joins words as "a", "a and b", "a, b and c"; "none" without words."""
    return enumerated(words) or "none"


# Every comparative sentence of a study, made from the comparison that it rests on.
#
# No other place writes that one arm is better than another: the tests look for sentences that compare without
# such a record, in documents of made and of real studies (`tests/study/overclaims.py`).

SourceVerdict = Literal["supported", "not supported", "not of that size", "not decided"]


@dataclass(frozen=True)
class Claim:
    """A comparative sentence and the record that supports it, in the order of the sentence."""

    text: str
    comparison: Comparison


def turned(comparison: Comparison) -> Comparison:
    """The same comparison with the two arms exchanged."""
    swap: dict[str, Literal["better", "worse"]] = {"better": "worse", "worse": "better"}
    return replace(
        comparison,
        one=comparison.other,
        other=comparison.one,
        difference=-comparison.difference,
        low=-comparison.high,
        high=-comparison.low,
        least=None if comparison.most is None else -comparison.most,
        most=None if comparison.least is None else -comparison.least,
        claim=swap.get(comparison.claim, comparison.claim),
    )


def between(facts: StudyFacts, one: str, other: str) -> Comparison | None:
    """The comparison of `one` with `other`, or None if they were not compared."""
    for comparison in facts.conclusion.comparisons:
        if (comparison.one, comparison.other) == (one, other):
            return comparison
        if (comparison.one, comparison.other) == (other, one):
            return turned(comparison)
    return None


def evidence(facts: StudyFacts, comparison: Comparison) -> str:
    """The evidence of a comparative sentence: the difference with its interval. The p value, the number of
    seeds and that of test groups are in the tables."""
    n = digits(facts)
    low, high = signed(comparison.low, n), signed(comparison.high, n)
    return f"difference {signed(comparison.difference, n)}, simultaneous 95 % interval {low} to {high}"


def claim(facts: StudyFacts, comparison: Comparison) -> Claim:
    """The sentence that a comparison supports, with its evidence."""
    one, other = called(facts, comparison.one), called(facts, comparison.other)
    judge, meaningful = measure(facts.judge), f"{facts.conclusion.meaningful:g}"
    said = {
        "better": f"{one} is better than {other} on {judge}",
        "worse": f"{one} is worse than {other} on {judge}",
        "equal": f"{one} is as good as {other} on {judge} within the meaningful difference of {meaningful}",
        "undecided": f"the difference between {one} and {other} on {judge} is not significant",
    }[comparison.claim]
    return Claim(f"{sentence(said)} ({evidence(facts, comparison)}).", comparison)


def verdict_claim(facts: StudyFacts, verdict: Verdict) -> Claim | str:
    """The verdict on one arm in the fixed words; plain text where it rests on no comparison."""
    arm = called(facts, verdict.arm)
    if verdict.word == "not_comparable":
        return sentence(f"{arm} is not comparable, because {_clause(verdict.reason)}.")
    comparison = between(facts, verdict.arm, verdict.against)
    if comparison is None:
        return sentence(f"{arm} has no other arm to stand against.")
    proof = evidence(facts, comparison)
    return Claim(f"{sentence(_verdict_words(facts, verdict, comparison))} ({proof}).", comparison)


def _verdict_words(facts: StudyFacts, verdict: Verdict, comparison: Comparison) -> str:
    arm, against = called(facts, verdict.arm), called(facts, verdict.against)
    meaningful = f"{facts.conclusion.meaningful:g}"
    if verdict.word == "best":
        among = f" of the {count(finished, 'arm')} that finished" if (finished := _finished(facts)) else ""
        return f"{arm} is best{among}; it is better than {against}, the next, on {measure(facts.judge)}"
    if verdict.word == "as_good":
        within = f"within the meaningful difference of {meaningful} on {measure(facts.judge)}"
        return (
            f"{arm} is as good as the best {within}, judged against {against}{_at_worst(facts, comparison)}"
        )
    if verdict.word == "worse":
        return f"{arm} is worse than {against} on {measure(facts.judge)}"
    if comparison.claim != "undecided":
        return f"{arm} is not decided, judged against {against}"
    return f"{arm} is not decided against {against} on {measure(facts.judge)}: {cost(comparison)}"


def _finished(facts: StudyFacts) -> int:
    """Number of arms with all their trainings; 0 if all arms have them."""
    whole = sum(all(run.state == "done" for run in each.runs) for each in facts.arms)
    return whole if whole < len(facts.arms) else 0


def left_out(facts: StudyFacts) -> Iterator[tuple[str, str]]:
    """Arms that a failed training excludes from the comparison, with their results and the error message."""
    for each in facts.arms:
        done = sum(run.state == "done" for run in each.runs)
        if done < len(each.runs):
            found = facts.conclusion.estimates.get(each.arm.id)
            mean = f", mean {plain(found.mean, digits(facts))}" if found else ""
            name = called(facts, each.arm.id)
            known = f"{done} of {count(len(each.runs), 'seed')}{mean}"
            why = next(run.cause for run in each.runs if run.state != "done")
            yield sentence(f"{name} ({known}) could not be compared: "), _clause(why)


def _at_worst(facts: StudyFacts, comparison: Comparison) -> str:
    """How far below the other arm the interval lets the first be, where it lies within what matters."""
    meaningful = facts.conclusion.meaningful
    if not -meaningful < comparison.low < 0:
        return ""
    below = next(
        (text for n in range(digits(facts), 9) if float(text := plain(-comparison.low, n)) < meaningful), ""
    )
    if not below:
        return ""
    return f": at worst {below} below it, less than the meaningful {meaningful:g}"


def rivals(facts: StudyFacts, arm: str) -> list[Comparison]:
    """The comparisons of all other arms with `arm`, in the order of the plan."""
    found = (between(facts, each.arm.id, arm) for each in facts.arms if each.arm.id != arm)
    return [each for each in found if each is not None]


def choice(facts: StudyFacts) -> Claim | str:
    """Why to take the recommended arm, and how much is lost by it at most; follows the words "Take margin 1".

    Rests on the comparison with the arm that may be furthest above it; with more than two arms, the loss is
    that of the comparisons with the best.
    """
    chosen = facts.conclusion.recommended or ""
    found = rivals(facts, chosen)
    if not found:
        return "."
    nearest = max(found, key=lambda each: each.high)
    n, within = digits(facts), f"within the meaningful difference of {facts.conclusion.meaningful:g}"
    if len(found) == 1 and nearest.claim in ("undecided", "equal"):
        other = called(facts, nearest.one)
        open_ = "the two are not told apart"
        same = f"the two are equal {within}" if nearest.claim == "equal" else open_
        ends = " and ".join(
            f"{word} by at most {plain(end, n)}"
            for word, end in (("better", nearest.high), ("worse", -nearest.low))
            if end > 0
        )
        return Claim(f", or {other}: {same}; {other} is {ends}.", nearest)
    word = next(each.word for each in facts.conclusion.verdicts if each.arm == chosen)
    if word == "best":
        others = f" that finished ({_finished(facts)})" if _finished(facts) else ""
        least = turned(nearest)
        first = called(facts, least.other)
        rest = f", the next, and than all other arms{others}" if len(found) > 1 else ""
        return Claim(f": it is better than {first}{rest} ({evidence(facts, least)}).", least)
    reason = (
        f"it is as good as the best {within}"
        if word == "as_good"
        else f"it has the highest mean ({mean_alone(facts, chosen)})"
    )
    lost = facts.conclusion.at_most_lost
    most = plain(nearest.high if lost is None else lost, n)
    return Claim(f": {reason}, and no other arm is better by more than {most}.", nearest)


def beside_choice(facts: StudyFacts) -> Claim | str:
    """Which arms are not told apart from the recommended one, and by how much the others are worse at least;
    "" if `choice` has said it."""
    found = rivals(facts, facts.conclusion.recommended or "")
    if len(found) < 2:
        return ""
    may_be_best = facts.conclusion.candidates
    worse = [each for each in found if each.claim == "worse"]
    open_ = [each for each in found if each.claim == "equal" or each.one in may_be_best]
    rest = [each for each in found if each not in worse and each not in open_]
    parts = []
    if open_:
        parts.append(f"{_several(facts, open_)} {_is(open_)} not told apart from it")
    if rest:
        parts.append(f"{_several(facts, rest)} {_is(rest)} not the best")
    if not parts:
        return ""
    if not worse:
        return f"{sentence('; '.join(parts))}."
    least = max(worse, key=lambda each: each.high)
    by = plain(-least.high, digits(facts))
    parts.append(f"{_several(facts, worse)} {_is(worse)} worse by at least {by}")
    return Claim(f"{sentence('; '.join(parts))}.", least)


def trend_words(facts: StudyFacts) -> str:
    """How the judge changes over an ordered factor, as far as it is shown; "" if nothing is."""
    found, n = facts.conclusion.trend, digits(facts)
    if found is None:
        return ""
    name, line, parts = factor(facts.varied[0]), found.line, []
    per = f"per {'e-fold' if found.scale == 'log' else 'unit'} of the {name}"
    if line.claimed:
        way, ends = ("falls", (-line.high, -line.low)) if line.value < 0 else ("rises", (line.low, line.high))
        interval = f"95 % interval {plain(ends[0], n)} to {plain(ends[1], n)}"
        parts.append(f"{way} by {plain(abs(line.value), n)} {per} ({interval})")
    if found.parabola.claimed:
        bend = "bends downwards" if found.parabola.value < 0 else "bends upwards"
        end = "top" if found.parabola.value < 0 else "bottom"
        where = "" if found.turn is None else f", with its {end} near {found.turn:.2g}"
        parts.append(f"{bend} over the {name}{where}")
    return f"{titled(facts.judge)} {' and '.join(parts)}." if parts else ""


def _is(rows: list[Comparison]) -> str:
    return "is" if len(rows) == 1 else "are"


def _several(facts: StudyFacts, rows: list[Comparison]) -> str:
    """The first arms of `rows`; the word before numbers is said once: "margin 0.5, 0.7 and 1"."""
    names = [called(facts, each.one) for each in rows]
    heads = {name.rpartition(" ")[0] for name in names if number(name.rpartition(" ")[2]) is not None}
    shared = heads.pop() if len(heads) == 1 else ""
    if not shared or not all(name.startswith(f"{shared} ") for name in names):
        return listed(names)
    return f"{shared} {listed([name.removeprefix(f'{shared} ') for name in names])}"


def source_pairs(facts: StudyFacts) -> tuple[tuple[str, str], ...]:
    """The pairs of arms, by id, that the source's conclusion speaks of; empty without a source."""
    if facts.source is None:
        return ()
    if not facts.source.prefers:
        return tuple(combinations(facts.source.over, 2))
    others = facts.source.over or tuple(each.arm.id for each in facts.arms)
    return tuple((facts.source.prefers, other) for other in others if other != facts.source.prefers)


def source_verdict(facts: StudyFacts) -> SourceVerdict:
    """Whether the source's conclusion holds here, from the comparisons only.

    A preference is supported where the preferred arm is better than every arm it was preferred to, and not
    supported where it is worse than one of them, or as good as one. A source that preferred none of the arms
    in `over` is supported where they are equal, and not where one is better than another; one that names no
    arms concluded something that comparisons of arms cannot decide. A preference that is not decided is "not
    of that size" where every interval excludes the gain that the source found.
    """
    found = [between(facts, one, other) for one, other in source_pairs(facts)]
    words = {comparison.claim if comparison else "undecided" for comparison in found}
    preferred = facts.source is not None and bool(facts.source.prefers)
    wanted, refuting = ({"better"}, {"worse", "equal"}) if preferred else ({"equal"}, {"better", "worse"})
    if words & refuting:
        return "not supported"
    if words and words <= wanted:
        return "supported"
    return "not of that size" if most_gained(facts) is not None else "not decided"


def most_gained(facts: StudyFacts) -> float | None:
    """The largest gain of the source's preferred arm that is left, if the gain that it found is excluded."""
    gain = facts.source.gain if facts.source else None
    found = [between(facts, one, other) for one, other in source_pairs(facts)]
    if gain is None or not found or any(each is None or each.high >= gain for each in found):
        return None
    return max(each.high for each in found if each is not None)


def source_answer(facts: StudyFacts) -> tuple[str, SourceVerdict | None, str]:
    """What became of the source's conclusion: words before the verdict, the verdict, and what is left of the
    gain; the verdict is None if no comparison can test the conclusion. Empty words without a source."""
    if facts.source is None:
        return "", None, ""
    if not source_pairs(facts):
        return f"Study {facts.source.study} made no claim that this comparison can test.", None, ""
    verdict, begin = source_verdict(facts), f"The conclusion of the source study {facts.source.study} is "
    n, excluded = digits(facts), most_gained(facts)
    if verdict == "not of that size" and excluded is not None:
        most = plain(max(excluded, 0.0), n)
        gain = f"An advantage of {facts.source.gain:g} is excluded"
        return begin, verdict, f" here. {gain}; at most {most} is left."
    pairs = (between(facts, one, other) for one, other in source_pairs(facts))
    open_ = [turned(each) for each in pairs if each and each.claim == "undecided"]
    if verdict != "not decided" or not facts.source.prefers or not open_:
        return begin, verdict, " here."
    most = plain(max(-each.low for each in open_), n)
    arm = called(facts, facts.source.prefers)
    over = _several(facts, open_)
    return begin, verdict, f" here: at most {most} of an advantage of {arm} over {over} is left."


def mean_alone(facts: StudyFacts, name: str) -> str:
    """The mean of the judge of one arm or baseline; a dash if it has none."""
    estimate = facts.conclusion.estimates.get(name)
    return "—" if estimate is None else plain(estimate.mean, digits(facts))


def mean_text(facts: StudyFacts, name: str) -> str:
    """The judge of one arm or baseline as "0.781 [0.762, 0.800]"; a dash if it has none."""
    estimate = facts.conclusion.estimates.get(name)
    return "—" if estimate is None else mean_and_interval(estimate, digits(facts))


def _clause(text: str) -> str:
    return text.strip().rstrip(".") or "no run of it could be judged"
