"""Sentences that compare rest on records, and text that says more than the records is found."""

from dataclasses import replace

import pytest

from nearfield.study.claims import (
    between,
    claim,
    digits,
    evidence,
    left_out,
    most_gained,
    plain,
    source_verdict,
    turned,
    verdict_claim,
)
from nearfield.study.document.answer import answer
from nearfield.study.document.content import said
from nearfield.study.records import Comparison, StudyFacts
from tests.study.overclaims import check_overclaims
from tests.study.sample import sample_conclusion, sample_facts

FACTS = sample_facts()


def record(one: str, other: str, facts: StudyFacts = FACTS) -> Comparison:
    found = between(facts, f"margin-{one}", f"margin-{other}")
    assert found is not None
    return found


def proof(one: str, other: str) -> str:
    return evidence(FACTS, record(one, other))


def test_a_record_turned_twice_is_itself() -> None:
    one = record("0.3", "0.5")
    assert turned(turned(one)) == one
    assert turned(one).difference == -one.difference
    assert (one.claim, turned(one).claim) == ("worse", "better")
    assert turned(one).low == -one.high


def test_a_claim_carries_all_its_evidence() -> None:
    said = claim(FACTS, record("0.5", "2"))
    assert said.text == (
        "Margin 0.5 is better than margin 2 on macro F1 of the probe (difference +0.059, simultaneous 95 % "
        "interval +0.040 to +0.078)."
    )
    assert (said.comparison.one, said.comparison.other) == ("margin-0.5", "margin-2")


def test_verdicts_use_the_fixed_words() -> None:
    said = {}
    for verdict in FACTS.conclusion.verdicts:
        made = verdict_claim(FACTS, verdict)
        said[verdict.arm] = made if isinstance(made, str) else made.text
    assert "is as good as the best within the meaningful difference of 0.01" in said["margin-0.7"]
    assert "is not decided against margin 0.5" in said["margin-1"]
    assert "about 9 more seeds would be needed" in said["margin-1"]
    assert said["margin-2"].startswith("Margin 2 is worse than margin 0.5")
    assert said["margin-10"] == (
        "Margin 10 is not comparable, because 1 of its 5 trainings failed: the loss became NaN."
    )
    decided = sample_facts(conclusion=sample_conclusion(decided=True))
    best = verdict_claim(decided, decided.conclusion.verdicts[1])
    assert not isinstance(best, str)
    assert best.text.startswith(
        "Margin 0.5 is best of the 5 arms that finished; it is better than margin 0.7, the next"
    )
    whole = replace(decided, arms=decided.arms[:5])
    best = verdict_claim(whole, decided.conclusion.verdicts[1])
    assert not isinstance(best, str)
    assert best.text.startswith("Margin 0.5 is best; it is better than margin 0.7, the next")
    assert list(left_out(whole)) == []
    assert list(left_out(decided)) == [
        ("Margin 10 (4 of 5 seeds, mean 0.512) could not be compared: ", "The loss became NaN at update 118")
    ]


@pytest.mark.parametrize("decided", [False, True])
def test_every_sentence_made_from_a_record_passes_the_check(decided: bool) -> None:
    facts = sample_facts(conclusion=sample_conclusion(decided))
    for comparison in facts.conclusion.comparisons:
        for each in (comparison, turned(comparison)):
            assert check_overclaims(claim(facts, each).text, facts) == []
    for verdict in facts.conclusion.verdicts:
        made = verdict_claim(facts, verdict)
        assert check_overclaims(made if isinstance(made, str) else made.text, facts) == []


@pytest.mark.parametrize(
    ("prefers", "over", "expected"),
    [
        ("margin-0.5", ("margin-2", "margin-0.3"), "supported"),
        ("margin-0.5", ("margin-2", "margin-1"), "not decided"),
        ("margin-1", ("margin-0.3", "margin-2"), "supported"),
        ("margin-0.3", (), "not supported"),
        ("margin-0.5", ("margin-0.7",), "not supported"),
        ("", ("margin-0.5", "margin-0.7"), "supported"),
        ("", ("margin-0.5", "margin-2"), "not supported"),
        ("", ("margin-0.5", "margin-1"), "not decided"),
        ("margin-10", ("margin-0.5",), "not decided"),
        ("", (), "not decided"),
    ],
)
def test_the_source_is_judged_by_the_comparisons_alone(
    prefers: str, over: tuple[str, ...], expected: str
) -> None:
    assert FACTS.source is not None
    facts = sample_facts(source=replace(FACTS.source, prefers=prefers, over=over))
    silent = replace(facts, conclusion=replace(facts.conclusion, verdicts=(), recommended=None))
    assert source_verdict(facts) == source_verdict(silent) == expected


@pytest.mark.parametrize(
    ("gain", "expected"), [(0.5, "not of that size"), (0.0001, "not decided"), (None, "not decided")]
)
def test_a_gain_of_the_sources_size_may_be_excluded_where_nothing_is_decided(
    gain: float | None, expected: str
) -> None:
    assert FACTS.source is not None
    source = replace(FACTS.source, prefers="margin-0.5", over=("margin-1",), gain=gain)
    facts = sample_facts(source=source)
    assert source_verdict(facts) == expected
    pair = between(facts, "margin-0.5", "margin-1")
    assert pair is not None
    assert pair.claim == "undecided"
    left = most_gained(facts)
    assert (left is None) == (expected == "not decided")
    if left is not None:
        assert left == pair.high
        left_over = f"An advantage of 0.5 is excluded; at most {plain(left, digits(facts))} is left."
        assert left_over in "".join(said(parts) for parts in answer(facts))
    supported = sample_facts(source=replace(source, over=("margin-2",)))
    assert source_verdict(supported) == "supported"


def test_without_a_source_nothing_is_supported() -> None:
    assert source_verdict(sample_facts(source=None)) == "not decided"


OVERCLAIMS = {
    **{
        text: (text, "")
        for text in (
            "Results favour margin 0.5.",
            "Margin 0.5 is the winner.",
            "Margin 0.5 dominates.",
            "Performance peaks at 0.5.",
            "Larger margins degrade retrieval.",
            "Margin 0.5 came out on top.",
            "Margin 0.5 leads the field.",
            "Margin 2 lags behind margin 0.5.",
            "Margin 0.5 has an advantage over margin 2.",
            "The recall of margin 2 suffers.",
            "Margin 0.5 is the value to use.",
            "Margin 2 falls short of margin 0.5.",
            "Margin 0.5 tops the table.",
            "Margin 0.5 edges out the others.",
            "A margin of 0.5 pays off.",
            "The sweet spot lies near 0.5.",
            "Margin 2 trails margin 0.5.",
            "Margin 0.5 came out first.",
            "A margin of 2 hampers retrieval.",
        )
    },
    "no evidence (B57)": ("Margin 0.5 is better than margin 2.", "without evidence"),
    "one arm only": ("Margin 0.5 performs best.", "without naming the two arms"),
    "single run (B18)": ("A single run of margin 0.5 beats margin 2.", "single runs"),
    "losses of margins compared (B19, B48)": (
        "The training loss of margin 0.3 is lower than that of margin 2.",
        "losses",
    ),
    "loss as convergence (B51)": ("With margin 0.5 the loss converges faster.", "losses"),
    "turned round": (f"Margin 2 is better than margin 0.5 ({proof('2', '0.5')}).", "Contradicts the record"),
    "undecided sold as a gain (B57)": (
        f"Margin 0.5 outperforms margin 1 ({proof('0.5', '1')}).",
        "Contradicts the record",
    ),
    "undecided sold as no difference (U18)": (
        f"There is no difference between margin 0.5 and margin 1 ({proof('0.5', '1')}).",
        "Contradicts the record",
    ),
    "not significant, so the same": (
        "Margin 0.5 and margin 1 are equally good, p > 0.05.",
        "without evidence",
    ),
    "not the best called best (B22)": (f"Margin 1 is best, before margin 2 ({proof('1', '2')}).", "best"),
    "another p": (
        f"Margin 1 is better than margin 2 ({proof('1', '2')}, corrected p = 0.004).",
        "the corrected p as",
    ),
    "another difference (B43)": (
        f"Margin 0.5 is better than margin 2 ({proof('1', '2')}).",
        "Gives the difference as",
    ),
    "another interval": (
        f"Margin 1 is better than margin 2 ({proof('1', '2').replace('+0.023', '+0.039')}).",
        "Gives the simultaneous interval as",
    ),
    "another number of groups": (
        f"Margin 1 is better than margin 2 ({proof('1', '2')}, 400 test groups).",
        "Gives the number of test groups",
    ),
    "another number of seeds": ("Over 10 seeds the margin was varied.", "Says 10 seeds"),
    "miscounted arms (B20)": ("Five models were trained.", "Says Five models"),
    "percent on a fraction (B59)": ("Margin 0.5 has a macro F1 of 78.1 %.", "percent sign"),
    "chosen on test (B30, B69)": (
        "The checkpoint was selected by its score on the test set.",
        "chosen on the test clips",
    ),
    "best test score": ("We report the best test score of each run.", "chosen on the test clips"),
    "by eye on a map (B42, B46)": (
        "The UMAP of margin 0.5 shows clearly separated classes.",
        "by the eye",
    ),
    "even distances (B21)": ("With margin 1 the centroids are fairly equally spaced.", "even by the eye"),
    "a relation from few points (B29)": (
        "The triplet loss is directly related to the score.",
        "relation",
    ),
    "a trend": ("The score rises with the margin up to 0.5.", "trend"),
    "nearly significant": ("Margin 1 is marginally significant.", "trend"),
    "too general": ("A margin of 0.5 is always a good choice.", "more than one data set"),
    "numbers from elsewhere (B31)": (
        "Margin 0.5 beats the winner of the challenge.",
        "from elsewhere",
    ),
    "not comparable (B20, B22 to B27)": (
        f"Margin 10 is worse than margin 0.5 ({proof('2', '0.5')}).",
        "not comparable",
    ),
    "baselines in one sweep (B45, B55)": (
        "Margin 0.3 beats MFCC statistics and log-mel statistics.",
        "without evidence",
    ),
    "the best seed for the mean": ("Margin 0.5 reaches 0.795 on probe/macro_f1.", "the mean over seeds"),
    "failures hidden": ("All runs finished.", "1 run failed"),
    "p of zero": ("Margin 0.5 against margin 2: p = 0.000.", "never zero"),
    "another recommendation (B22)": ("We recommend margin 1.", "do not recommend"),
    "a bound that is too small": (
        "Take margin 0.5: no other arm is better by more than 0.001.",
        "Gives the bound as 0.001; the records say 0.002",
    ),
    "worse by more than the interval shows": ("Margin 2 is worse by at least 0.06.", "the records say 0.040"),
    "a bound for an arm that is not worse": ("Margin 1 is worse by at least 0.010.", "Gives the bound as"),
    "a bound without a record": ("Margin 10 is worse by at least 0.1.", "a bound that no record has"),
    "more than is left of the source's gain": (
        "It is not decided here: at most 0.001 of an advantage of margin 1 over margin 0.5 is left.",
        "Gives the bound as 0.001",
    ),
    "the highest mean of another": (
        "Take margin 2: it has the highest mean.",
        "Gives another arm the highest mean",
    ),
    "bare significance": ("Margin 0.5 against margin 1 is significant.", "without evidence"),
}


@pytest.mark.parametrize("kind", OVERCLAIMS)
def test_a_planted_overclaim_is_found(kind: str) -> None:
    text, why = OVERCLAIMS[kind]
    found = check_overclaims(f"The margin was varied. {text} Nothing else was.", FACTS)
    assert len(found) == 1
    assert why in found[0]
    assert text.rstrip(".") in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "Losses of different margins are never set against each other.",
        "Margin 0.5 reaches 0.781 on probe/macro_f1.",
        "Recommended: margin 0.5.",
        "6 arms were trained with 5 seeds each.",
        "About 9 more seeds would be needed.",
        "Between margin 0.5 and margin 1 nothing is decided.",
        f"Margin 0.5 is not better than margin 1 ({proof('0.5', '1')}).",
        f"0.5 is better than 2 ({proof('0.5', '2')}).",
    ],
)
def test_what_the_records_allow_may_be_said(text: str) -> None:
    assert check_overclaims(text, FACTS) == []


def test_an_arm_named_like_a_claim_is_no_claim() -> None:
    arms = list(FACTS.arms)
    arms[0] = replace(arms[0], arm=replace(arms[0].arm, name="better miner"))
    facts = sample_facts(arms=tuple(arms))
    assert check_overclaims("The runs of better miner took 300 updates.", facts) == []


def test_as_good_says_how_far_below_the_interval_lets_it_be() -> None:
    low = record("0.7", "0.5").low
    assert -0.01 < low < 0
    said = verdict_claim(FACTS, next(each for each in FACTS.conclusion.verdicts if each.arm == "margin-0.7"))
    assert not isinstance(said, str)
    assert f": at worst {-low:.3f} below it, less than the meaningful 0.01 (" in said.text
    assert check_overclaims(said.text, FACTS) == []


def test_a_bound_is_never_rounded_up_to_what_matters() -> None:
    near = [
        replace(each, low=-0.00004, high=0.00996) if each == record("0.5", "0.7") else each
        for each in FACTS.conclusion.comparisons
    ]
    facts = sample_facts(conclusion=replace(FACTS.conclusion, comparisons=tuple(near)))
    said = verdict_claim(facts, next(each for each in facts.conclusion.verdicts if each.arm == "margin-0.7"))
    assert not isinstance(said, str)
    assert "at worst 0.00996 below it, less than the meaningful 0.01 (" in said.text
