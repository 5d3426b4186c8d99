"""Finds sentences that say more than the records of a study allow.

Each rule stands for a fault of hand-made study documents: comparisons of single runs, of training losses, by
the eye on a map, against the test. Clever wording can fool the check; it is there for the usual slips.
"""

import re
from dataclasses import dataclass
from itertools import permutations

from nearfield.core.text import count
from nearfield.study.claims import (
    PLAIN_SPACES,
    between,
    chance,
    digits,
    label,
    measure,
    number,
    plain,
    signed,
    source_pairs,
)
from nearfield.study.records import Comparison, StudyFacts

_UP = (
    r"better|best|higher|highest|superior|outperform\w*|beats?|beaten|exceeds?|surpass\w*|improve\w*|wins?|"
    r"greater|stronger|faster|preferable|optimal|more (?:stable|robust|accurate|reliable)|"
    r"(?:scores?|lies|is) above|helps?|gains?|favou?rs?|winners?|dominat\w+|peaks?|came out on top|on top|"
    r"outdo\w*|ahead|leads?|advantages?|prefer(?:s|red)|the (?:one|value|setting) to (?:use|take)|tops|"
    r"excels?|shines?|pays? off|edges? out|(?:comes?|came) (?:out )?first|sweet spot|optimum|boosts?|thrives?"
)
_DOWN = (
    r"worse|worst|lower|lowest|inferior|weaker|slower|loses?|(?:scores?|lies|is) below|more sensitive|"
    r"less (?:stable|robust|accurate|reliable)|hurts?|harms?|too (?:hard|easy|large|small)|degrad\w+|"
    r"suffers?|deteriorat\w+|lags?|behind|falls? short|underperform\w*|disadvantages?|trails?|weakens?|"
    r"hampers?|impairs?|drops? off"
)
_EQUAL = (
    r"as good|no (?:\w+ )?difference|equally|equivalent|the same as|equals?|do(?:es)? not (?:differ|matter)|"
    r"indistinguishable|no effect"
)
_OPEN = "not told apart|not decided|nothing is decided|undecided|not significant|more seeds will not help"
_SIGNIFICANT = r"(?:in)?significan\w+"
_COMPARES = f"{_UP}|{_DOWN}|{_EQUAL}|{_SIGNIFICANT}"
_MEASURES = r"f1|auc|recall|precision|accuracy|map_at_r|nmi|score|fraction|probe/\w+|retrieval\w*/\w+"
_NUMBER = r"[+−-]?\d+(?:\.\d+)?"
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")

_ITEMS = {
    "the difference": rf"difference ({_NUMBER})",
    "the simultaneous interval": rf"interval (?:of |from )?\[?({_NUMBER} ?(?:to|,) ?{_NUMBER})\]?",
}
"""What a comparative sentence carries, and how each is written."""

_FURTHER = {
    "the corrected p": r"corrected p ([=<] ?[\d.]+\d)",
    "the number of seeds": r"(?<!about )(?<!more than )\b(\d+ seeds?)\b",
    "the number of test groups": r"(\d+ test groups?)",
}
"""What it may carry; tables have it for every comparison."""

_NEVER = (
    (
        (
            r"(?:training |train/|final |validation )?loss(?:es)?",
            rf"{_COMPARES}|smaller|smallest|larger|less|falls?|converge\w*",
        ),
        "Compares losses, which lie on different scales for different settings and judge nothing.",
    ),
    (
        (
            r"(?:(?:chosen|chose|select(?:ed)?|picked|tuned|stopped|kept|best (?:epoch|update|version))\b"
            r".{0,60}\btest(?! group)|best test)",
        ),
        "Reports what was chosen on the test clips: choose on val, then judge fresh runs on test.",
    ),
    (
        (
            r"(?-i:[Mm]aps?)|umap|pca|projector|projection|t-?sne|figure|plot",
            rf"clear\w*|separat\w*|tight\w*|clean\w*|distinct\w*|compact|visib\w*|looks?|{_COMPARES}",
        ),
        "Judges by the eye on a map or figure, which explains and measures nothing.",
    ),
    ((r"p ?= ?0(?:\.0+)?(?!\.?\d)",), "Writes a p of zero; it is never zero: write p < 0.001."),
    (
        (r"(?:a|one|the|its|single) (?:single )?(?:run|training|seed)|best seed|luckiest", _COMPARES),
        "Compares single runs: one training of each says nothing of the settings.",
    ),
    (
        (r"challenge|winners?|published|literature|leader ?board|prior work|paper|competitors?", _COMPARES),
        "Compares with a number from elsewhere: only what ran side by side on the same clips compares.",
    ),
    (
        (r"centroids?|distances", r"equally|evenly|uniform\w*|fairly equal|balanced"),
        "Calls distances even by the eye: give their coefficient of variation, and call it a description.",
    ),
    (
        (
            r"always|never fails|in general|generally|any data\w*|all data ?sets|proves?|proven|guarantee\w*|"
            r"state of the art|clearly|obviously",
        ),
        "Says more than one data set and one recipe can show.",
    ),
    (
        (
            r"(?:increases?|rises?|grows?|falls?|drops?|decreases?|improves?) (?:with|as)|"
            r"the (?:larger|smaller|higher|lower)\b.*\bthe \w+er|tends?|trends?|approach\w* significance|"
            r"(?:nearly|almost|marginally|borderline) significant|promising",
        ),
        "Reads a trend: only differences that the records decide may be claimed.",
    ),
    (
        (r"correlat\w*|directly related|predicts?|causes?|leads to|explains|depends on",),
        "States a relation that no comparison of this study tests.",
    ),
)
"""Patterns that must not all stand in one sentence, and why."""


@dataclass(frozen=True)
class _Sentence:
    """One sentence, with the arms that it names taken out, so that a name is never read as a word."""

    text: str
    bare: str
    """Names replaced by "@"."""
    arms: tuple[str, ...]
    """Arms and baselines by id, in the order in which they are named."""

    def says(self, pattern: str) -> bool:
        """Whether the sentence, names aside, holds `pattern` as whole words."""
        return re.search(rf"\b(?:{pattern})(?!\w)", self.bare, re.I) is not None


def check_overclaims(text: str, facts: StudyFacts) -> list[str]:
    """What `text` claims beyond the records, one message a sentence; empty where nothing is."""
    found = []
    for each in re.split(r"(?<=[.!?…])\s+|\n+", text):
        bound, rest = _bounds(each.strip(), facts)
        said = _read(rest, facts)
        never = (why for patterns, why in _NEVER if all(said.says(pattern) for pattern in patterns))
        fault = bound or next(never, None)
        fault = fault or next(filter(None, (rule(said, facts) for rule in _RULES)), None)
        if fault:
            found.append(f"{fault} In: “{each.strip()}”")
    return found


_BY = rf"(no other arm is better|(?:is |are )?(?:better|worse)) by (at most|at least|more than) ({_NUMBER})"
_LEFT = rf"at most ({_NUMBER}) (?:of an advantage of .+ )?is left"
_EXCLUDED = rf"An advantage of ({_NUMBER}) is excluded"


def _bounds(text: str, facts: StudyFacts) -> tuple[str, str]:
    """A fault in the bounds that a sentence gives, and the sentence without its bounds.

    A bound rests on the intervals alone: "is better by at most 0.02", "no other arm is better by more than",
    "is worse by at least"; and of the source's gain, "at most 0.02 is left".
    """
    chosen = facts.conclusion.recommended or ""
    rivals = [found for each in facts.arms if (found := between(facts, each.arm.id, chosen))]
    fault = ""
    for clause in re.split(r"[;:] ", text):
        arms = [arm for arm in _read(clause, facts).arms if arm != chosen]
        records = [found for arm in arms if (found := between(facts, arm, chosen))]
        for words, kind, given in re.findall(_BY, clause):
            if words.startswith("no other arm") and kind == "more than":
                true = max((each.high for each in rivals), default=None)
                lost = facts.conclusion.at_most_lost  # the comparisons with the best bound it closer
                true = true if lost is None or true is None else min(true, lost)
            elif kind == "at most" and len(records) == 1 == len(rivals):
                true = records[0].high if "better" in words else -records[0].low
            elif kind == "at least" and "worse" in words and records:
                true = min(-each.high for each in records)
            else:
                true = None
            fault = fault or _bound_fault(given, true, facts)
        if re.search(r"(?:is|are) not the best", clause):
            may_be = set(arms) & set(facts.conclusion.candidates)
            fault = fault or (may_be and "Excludes as the best an arm that may be it.") or ""
    if trend := re.search(rf"(falls|rises) by ({_NUMBER}) per", text):
        fault = fault or _trend_fault(trend[1], trend[2], facts)
    left = re.search(_LEFT, text)
    if left:
        pairs = [each for one, other in source_pairs(facts) if (each := between(facts, one, other))]
        highs = [each.high for each in pairs if "of an advantage" not in left[0] or each.claim == "undecided"]
        fault = fault or _bound_fault(left[1], max(0.0, *highs, 0.0), facts)
    excluded = re.search(_EXCLUDED, text)
    if excluded and (not left or float(excluded[1]) <= float(left[1])):
        fault = fault or "Excludes an advantage that the intervals do not exclude."
    rest = re.sub(rf"(?:and )?{_BY}|{_LEFT}|{_EXCLUDED}|(?:is|are) not the best", "", text)
    if "it has the highest mean" in rest and fault == "":
        means = {each.arm: facts.conclusion.estimates[each.arm].mean for each in facts.conclusion.verdicts
                 if each.word != "not_comparable"}  # fmt: skip
        named = _read(text, facts).arms[:1]
        right = named == (chosen,) and means.get(chosen) == max(means.values())
        fault = "" if right else "Gives another arm the highest mean."
        rest = rest.replace("it has the highest mean", "")
    word = next((each.word for each in facts.conclusion.verdicts if each.arm == chosen), "")
    within = f" within the meaningful difference of {facts.conclusion.meaningful:g}"
    if word == "as_good":
        rest = rest.replace(f"it is as good as the best{within}", "")
    if [each.claim for each in rivals] == ["equal"]:
        rest = rest.replace(f"the two are equal{within}", "")
    return fault, rest


def _trend_fault(way: str, given: str, facts: StudyFacts) -> str:
    """What a sentence on a slope says against the record of the trend."""
    found = facts.conclusion.trend
    if found is None or not found.line.claimed:
        return "Gives a slope that the records do not claim."
    right = plain(abs(found.line.value), digits(facts))
    if given != right or (way == "falls") != (found.line.value < 0):
        return f"Gives a slope that is not the record's, {signed(found.line.value, digits(facts))}."
    return ""


def _bound_fault(given: str, true: float | None, facts: StudyFacts) -> str:
    if true is None:
        return "Gives a bound that no record has."
    right = plain(true, digits(facts))
    return "" if given == right else f"Gives the bound as {given}; the records say {right}."


def _read(text: str, facts: StudyFacts) -> _Sentence:
    """Finds the arms: by label or id anywhere, by a bare number only outside the evidence."""
    names = [each.arm.id for each in facts.arms] + [f"baseline/{name}" for name in PLAIN_SPACES]
    called = {label(facts, name): name for name in names} | {name: name for name in names}
    bare, found = text, []
    for word in sorted(called, key=len, reverse=True):
        other = r"(?<!training )(?<!\ba )(?<!% )" if word == "chance" else ""
        pattern = re.compile(rf"{other}(?<![\w.@−-]){re.escape(word)}(?![\w@]|\.\d)", re.I)
        found += [(match.start(), called[word]) for match in pattern.finditer(bare)]
        bare = pattern.sub(lambda match: "@" * len(match.group()), bare)
    head = bare
    for item in (_ITEMS | _FURTHER).values():
        head = re.sub(item, lambda match: " " * len(match.group()), head)
    for each in facts.arms:
        if number(each.arm.name) is not None:
            alone = rf"(?<![\w.@+−-]){re.escape(each.arm.name)}(?!\.?\d|\w| ?%| \w*\s?(?:seed|run|arm))"
            found += [(match.start(), each.arm.id) for match in re.finditer(alone, head)]
    arms = tuple(dict.fromkeys(name for _, name in sorted(found)))
    return _Sentence(text, re.sub("@+", "@", bare), arms)


def _percent(said: _Sentence, facts: StudyFacts) -> str | None:
    text = re.sub(r"\d+ ?% (?:simultaneous |confidence )*(?:intervals?|chance|confidence)", "", said.bare)
    if re.search(r"\d ?(?:%|per ?cent)", text) and said.says(_MEASURES):
        return "Puts a percent sign on a measure: measures are fractions from 0 to 1."
    return None


def _counts(said: _Sentence, facts: StudyFacts) -> str | None:
    seeds = {len(facts.seeds)} | {comparison.seeds for comparison in facts.conclusion.comparisons}
    arms = {len(facts.arms)}
    finished = sum(all(run.state == "done" for run in each.runs) for each in facts.arms)
    text = said.bare.replace(f"{count(finished, 'arm')} that finished", "")
    true = {"arm": arms, "model": arms, "value": arms, "seed": seeds}
    pattern = rf"(?<!of )(?<!about )(?<!more than )\b(\d+|{'|'.join(_WORDS)}) (arm|model|value|seed)s?\b"
    for given, noun in re.findall(pattern, text, re.I):
        n = _WORDS.index(given.lower()) + 1 if given.lower() in _WORDS else int(given)
        if n not in true[noun.lower()]:
            right = " or ".join(map(str, sorted(true[noun.lower()])))
            return f"Says {given} {noun}s; the records have {right}."
    return None


def _hides_failures(said: _Sentence, facts: StudyFacts) -> str | None:
    failed = sum(run.state == "failed" for each in facts.arms for run in each.runs)
    whole = r"(?:all|every) (?:\w+ )?(?:runs?|seeds?|trainings?) (?:finished|succeeded|converged|went well)"
    return f"Hides that {count(failed, 'run')} failed." if failed and said.says(whole) else None


def _value(said: _Sentence, facts: StudyFacts) -> str | None:
    """A value given for one arm on the judge must be its mean, not its best seed."""
    words = facts.judge.rpartition("/")[2].replace("_", "[ _]")
    found = re.search(r"(?:scores?|reach(?:es|ed)|mean(?: of)?|has|gets|achieves?|=|of) (0?\.\d+)", said.bare)
    judge = f"{re.escape(facts.judge)}|{re.escape(measure(facts.judge))}|{words}"
    if len(said.arms) != 1 or not found or not said.says(judge):
        return None
    estimate = facts.conclusion.estimates.get(said.arms[0])
    given = found[1].lstrip("0")
    if estimate and plain(estimate.mean, len(given) - 1).lstrip("0") != given:
        return f"Gives {found[1]}; the mean over seeds is {plain(estimate.mean, digits(facts))}."
    return None


def _recommends(said: _Sentence, facts: StudyFacts) -> str | None:
    words = r"recommend\w*|should be (?:used|chosen)|becomes? the default|we (?:choose|chose|use)"
    if said.arms and said.says(words) and said.arms[0] != facts.conclusion.recommended:
        return "Recommends an arm that the records do not recommend."
    return None


def _comparison(said: _Sentence, facts: StudyFacts) -> str | None:
    """A comparative sentence names two arms, carries its evidence and says what the record says."""
    if not said.says(_COMPARES):
        return None
    if said.says(_OPEN):
        found = between(facts, *said.arms) if len(said.arms) == 2 else None
        if found is not None and found.claim != "undecided" and said.says("not significant"):
            return f"Contradicts the record, which is {found.claim}."
        return None
    if len(said.arms) < 2:
        return "Compares without naming the two arms that a record compares."
    outside = {verdict.arm for verdict in facts.conclusion.verdicts if verdict.word == "not_comparable"}
    if barred := [arm for arm in said.arms if arm in outside]:
        return f"Compares {label(facts, barred[0])}, which is not comparable."
    records = [found for one, other in permutations(said.arms, 2) if (found := between(facts, one, other))]
    if not records:
        return "Compares two arms that no record compares."
    faults = [_evidence_fault(said, facts, record) for record in records]
    return faults[0] if all(faults) else _direction_fault(said, facts)


def _evidence_fault(said: _Sentence, facts: StudyFacts, record: Comparison) -> str | None:
    n = digits(facts)
    wanted = {
        "the difference": signed(record.difference, n),
        "the simultaneous interval": f"{signed(record.low, n)} to {signed(record.high, n)}",
        "the corrected p": chance(record.p),
        "the number of seeds": count(record.seeds, "seed"),
        "the number of test groups": count(record.groups, "test group"),
    }
    found = {item: re.search(pattern, said.text) for item, pattern in (_ITEMS | _FURTHER).items()}
    missing = [item for item in _ITEMS if not found[item]]
    if missing:
        return f"Compares without evidence; lacking: {', '.join(missing)}."
    for item, match in found.items():
        if match and match[1] != wanted[item]:
            return f"Gives {item} as {match[1]}; the record says {wanted[item]}."
    return None


def _direction_fault(said: _Sentence, facts: StudyFacts) -> str | None:
    """Whether the words for the first arm against the second are the record's."""
    record = between(facts, *said.arms[:2])
    if record is None:
        return "Compares two arms that no record compares."
    one, other = label(facts, record.one), label(facts, record.other)
    words = {verdict.arm: verdict.word for verdict in facts.conclusion.verdicts}
    if said.says("as good as the best") and words.get(record.one) == "as_good":
        return None
    rest = said.bare.replace("as good as the best", "as good")
    if re.search(r"\bbest\b", rest) and words.get(record.one) != "best":
        return f"Calls {one} best; the records do not."
    if record.claim not in _allowed(re.sub(r"\bbest\b", "", rest)):
        return f"Contradicts the record, in which {one} against {other} is {record.claim}."
    return None


def _allowed(words: str) -> set[str]:
    """The claims of a record that `words` for it do not contradict."""
    every = {"better", "worse", "equal", "undecided"}
    denied = re.search(r"\b(?:not|never|neither|nor|fails to)\b", words) is not None
    for pattern, claims in ((_EQUAL, {"equal"}), (_UP, {"better"}), (_DOWN, {"worse"})):
        if re.search(rf"\b(?:{pattern})\b", words, re.I):
            return every - claims if denied and pattern != _EQUAL else claims
    return {"better", "worse"} if re.search(rf"\b{_SIGNIFICANT}", words, re.I) else every


_RULES = (_percent, _counts, _hides_failures, _value, _recommends, _comparison)
"""Asked in this order after the patterns; the first that finds a fault names it."""
