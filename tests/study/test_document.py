"""One content in four forms: the same words everywhere, nothing from outside, nothing beyond the records."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from nearfield.core.errors import RequestError
from nearfield.study.claims import Claim, called, sentence
from nearfield.study.document import facts_from_json, write_documents
from nearfield.study.document.answer import against_baselines, answer, closing
from nearfield.study.document.content import Content, Figure, Items, Paragraph, Table, said
from nearfield.study.document.figures import judge_figure
from nearfield.study.document.next_steps import next_steps
from nearfield.study.document.sections import bibtex, document
from nearfield.study.document.tables import (
    arm_rows,
    class_tables,
    results_tables,
    settings_table,
    verdict_table,
)
from nearfield.study.document.writers import html, markdown, pdf, tex
from nearfield.study.records import Arm, ArmFacts, ClassFacts, Estimate, RunFacts, StudyFacts
from tests.study.overclaims import check_overclaims
from tests.study.sample import PLAIN, sample_conclusion, sample_facts

FACTS = sample_facts()
INTRODUCTIONS = {"loss.margin": "Too small a margin is met at once. Too large a margin is worse: never met."}
FILES = ("facts.json", "study.html", "study.md", "study.pdf")
PICTURES = (
    "active", "centroids", "differences", "judge", "loss", "pca-test", "umap-test", "val-recall_at_1"
)  # fmt: skip


class Reader(HTMLParser):
    """The text of a page, its claims, and whatever it would load from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.claims, self.loads, self.open = "", [], [], 0  # type: ignore[var-annotated]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.loads += [value for key, value in given.items() if key in ("src", "href", "srcset")]
        if given.get("class") == "claim":
            self.claims.append((given["data-one"], given["data-other"]))

    def handle_data(self, data: str) -> None:
        self.text += data


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@cache
def whole() -> Content:
    return document(FACTS, INTRODUCTIONS)


def answer_text(facts: StudyFacts) -> str:
    """The paragraphs before the first table."""
    return "\n".join(said(parts) for parts in answer(facts))


def all_claims() -> list[Claim]:
    rows: list[Any] = []
    for block in whole().blocks():
        rows += (
            block.items if isinstance(block, Items) else [block.parts] if isinstance(block, Paragraph) else []
        )
    return [part for parts in rows for part in parts if isinstance(part, Claim)]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_documents(FACTS, folder, INTRODUCTIONS)
    return folder


def test_equal_facts_give_equal_bytes(written: Path, tmp_path: Path) -> None:
    shuffled = dict(reversed(FACTS.recipe.items()))
    write_documents(sample_facts(recipe=shuffled), tmp_path, INTRODUCTIONS)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (written / name).read_bytes(), name
    assert sorted(path.name for path in written.iterdir() if path.is_file()) == sorted(FILES)


def test_a_document_again_from_its_own_facts_is_the_same(written: Path, tmp_path: Path) -> None:
    facts = facts_from_json(json.loads((written / "facts.json").read_text()))
    assert facts == FACTS
    write_documents(facts, tmp_path, INTRODUCTIONS)
    assert (tmp_path / "study.html").read_bytes() == (written / "study.html").read_bytes()


def test_facts_that_do_not_fit_are_named() -> None:
    with pytest.raises(RequestError, match="judge"):
        facts_from_json({**asdict(FACTS), "judge": None})


def test_the_page_needs_no_network_and_names_no_folder(written: Path) -> None:
    page = (written / "study.html").read_text()
    assert all(load.startswith("#") for load in Reader(page).loads)
    assert "@import" not in page
    assert "url(http" not in page
    assert "<script" not in page
    assert str(written) not in page
    assert "/work/" not in page


def test_the_paper_carries_no_date(written: Path) -> None:
    information = PdfReader(written / "study.pdf").metadata
    assert information is not None
    assert information.title == "Study doc: Margin of the triplet loss"
    assert "/CreationDate" not in information
    assert "/ModDate" not in information


def test_page_paper_and_short_form_say_the_same(written: Path) -> None:
    content = whole()
    page = squeezed(Reader((written / "study.html").read_text()).text)
    paper = squeezed("".join(each.extract_text() for each in PdfReader(written / "study.pdf").pages))
    paper = paper.replace("ﬀ", "ff").replace("ﬁ", "fi")
    for claim in all_claims():
        assert squeezed(claim.text) in page
    for block in content.blocks():
        if isinstance(block, Table | Figure):
            assert squeezed(block.caption) in page
        if isinstance(block, Table):
            for row in block.rows:
                for cell in row.cells:
                    assert squeezed(cell) in page
                    words = cell.replace("/", " ").replace("_", " ").split()
                    assert squeezed(cell) in paper or all(word in paper for word in words), cell
    for section in content.sections:
        assert squeezed(section.title) in page
        assert squeezed(section.title) in paper
    short = (written / "study.md").read_text()
    assert "**Take margin 0.5**" in short
    assert "](figures/differences.svg)" in short
    assert "| **margin 0.5** |" in short
    assert "[0.757, 0.805]** |" in short


def test_claims_in_the_page_name_the_records_they_rest_on(written: Path) -> None:
    found = Reader((written / "study.html").read_text()).claims
    records = {(each.one, each.other) for each in FACTS.conclusion.comparisons}
    assert len(found) == len(all_claims()) > 10
    assert all(pair in records or pair[::-1] in records for pair in found)


def test_the_form_is_that_of_the_source_documents() -> None:
    content = whole()
    assert content.title.startswith("Study doc: ")
    assert [section.title for section in content.sections if section.numbered] == [
        "Introduction",
        "Results",
        "Conclusion",
        "Next steps",
    ]
    pictures = [block.name for block in content.blocks() if isinstance(block, Figure)]
    assert pictures == [
        "differences", "judge", "loss", "active", "val-recall_at_1", "centroids", "pca-test", "umap-test",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("updates", "long", "told"),
    [
        (50, slice(None), "50 updates"),
        (None, slice(None), "1/15 of the run"),
        (5000, slice(0), "1/15 of the run"),
        (50, slice(2), "50 updates, or 1/15 of a run that is too short for them"),
    ],
)
def test_the_caption_of_a_curve_says_what_its_average_goes_over(
    updates: int | None, long: slice, told: str
) -> None:
    """The plan counts updates; a validation curve has a point every so many of them."""
    facts = sample_facts(smoothing=updates)
    smoothed = {each.arm.id for each in facts.arms[long]}

    def of(each: ArmFacts, run: RunFacts) -> RunFacts:
        averages = {
            name: curve.values if each.arm.id in smoothed else (None,) * len(curve.values)
            for name, curve in run.curves.items()
        }
        curves = {name: replace(curve, smooth=averages[name]) for name, curve in run.curves.items()}
        return replace(run, curves=curves)

    arms = (replace(each, runs=tuple(of(each, run) for run in each.runs)) for each in facts.arms)
    facts = replace(facts, arms=tuple(arms))
    blocks = document(facts, INTRODUCTIONS).blocks()
    captions = {block.name: block.caption for block in blocks if isinstance(block, Figure)}
    assert f"moving average over {told}." in captions["loss"]
    assert "moving average" not in captions["val-recall_at_1"]  # said once


def test_the_table_of_settings_is_whole_and_marks_what_varies() -> None:
    rows = settings_table(FACTS).rows
    assert [row.cells[0] for row in rows if row.style == "block"] == [
        "general",
        "data",
        "feature",
        "network",
        "learning",
    ]
    assert [row.cells for row in rows if row.style == "marked"] == [
        ("loss.margin", "[0.3, 0.5, 0.7, 1, 2, 10]")
    ]
    named = {row.cells[0] for row in rows}
    assert {"optimizer.lr", "sampler.per_class", "feature.window_ms", "augment.1", "embedding.size"} <= named


def test_baselines_stand_in_every_table_of_results() -> None:
    for table in results_tables(FACTS):
        assert [row.cells[0] for row in table.rows if row.style == "baseline"] == [
            "chance",
            "MFCC statistics",
            "log-mel statistics",
            "an untrained encoder",
        ]
        assert len(table.rows) == 6 + len(PLAIN)


def test_a_class_that_some_arms_alone_predict_has_its_row_everywhere() -> None:
    ghost = ClassFacts("ghost", 0, 0.0, (0.0, 0.0))
    later = [replace(each, classes=(*each.classes, ghost)) for each in LIGHT[3:]]
    tables = list(class_tables(sample_facts(arms=(*LIGHT[:3], *later))))
    assert len(tables) == 2
    for table, shown in zip(tables, ("—", "0.00 (0.00–0.00)"), strict=True):
        row = next(row for row in table.rows if row.cells[0] == "ghost")
        assert row.cells[1] == "0"
        assert set(row.cells[2:]) == {shown}
    dog = next(row for row in tables[0].rows if row.cells[0] == "dog")
    assert dog.cells[1] == "40"


def test_one_training_alone_has_no_interval() -> None:
    point = Estimate(0.78, 0.78, 0.78, (0.78,))
    arm = replace(LIGHT[0], measures={"clusters/nmi": point})
    estimates = {**FACTS.conclusion.estimates, arm.arm.id: point}
    facts = sample_facts(arms=(arm,), conclusion=replace(FACTS.conclusion, estimates=estimates))
    assert next(iter(results_tables(facts))).rows[0].cells[2:] == ("0.780", "0.780")


def test_the_answer_says_which_baselines_are_not_beaten() -> None:
    facts = sample_facts(arms=LIGHT, conclusion=replace(FACTS.conclusion, recommended="margin-2"))
    open_ = (
        "Whether margin 2 beats MFCC statistics, log-mel statistics and an untrained encoder is not decided."
    )
    assert open_ in answer_text(facts)
    assert open_ in closing(facts)
    assert "beats" not in answer_text(FACTS)


def test_without_a_recommendation_it_names_the_baselines_that_no_arm_beats() -> None:
    rows = tuple(
        replace(each, claim="undecided") if each.other == "baseline/mfcc_stats" else each
        for each in FACTS.conclusion.comparisons
    )
    open_ = sample_facts(conclusion=replace(FACTS.conclusion, recommended=None, comparisons=rows))
    assert "Whether any arm beats MFCC statistics is not decided. " in answer_text(open_)
    (named,) = against_baselines(open_)
    assert (named.one, named.other) == ("margin-0.5", "baseline/mfcc_stats")  # the nearest arm


def test_the_failed_run_is_shown() -> None:
    text = html(whole())
    assert "4 (1 failed)" in text
    assert "1 of 30 trainings failed. The same command trains them again, unless they diverged." in text
    assert "Failed: The loss became NaN at update 118." in text
    assert "Failed: The loss became NaN at update 118." in markdown(whole())


def test_verdicts_stand_with_their_evidence() -> None:
    rows = {row.cells[0]: row for row in verdict_table(FACTS).rows}
    assert rows["margin 0.5"].style == "marked"
    assert rows["margin 2"].cells[2:] == ("worse", "−0.059 [−0.078, −0.040]")
    assert rows["margin 0.5"].cells[2:] == ("as good as the best", "—")
    assert rows["margin 10"].cells[2:] == ("not comparable", "—")


LIGHT = tuple(
    replace(each, maps=(), centroid_distances=(), runs=tuple(replace(run, curves={}) for run in each.runs))
    for each in FACTS.arms
)
VARIANTS: dict[str, StudyFacts] = {
    "open": FACTS,
    "decided": sample_facts(arms=LIGHT, conclusion=sample_conclusion(decided=True)),
    "no source": sample_facts(arms=LIGHT, source=None, reduced="", deviations=()),
    "source without a preference": sample_facts(
        arms=LIGHT, source=replace(FACTS.source, prefers="", over=()) if FACTS.source else None
    ),
    "nothing compared": sample_facts(
        arms=LIGHT,
        conclusion=replace(
            FACTS.conclusion, comparisons=(), verdicts=(), recommended=None, recommended_because=""
        ),
        seeds=(0, 1),
    ),
    "nothing finished": sample_facts(
        arms=tuple(
            replace(
                each,
                runs=tuple(replace(run, state="failed", curves={}) for run in each.runs),
                measures={},
                classes=(),
                centroid_distances=(),
                maps=(),
            )
            for each in FACTS.arms
        ),
        conclusion=replace(FACTS.conclusion, estimates={}, comparisons=(), verdicts=(), recommended=None),
        baselines={},
    ),
    "open beyond any number of seeds": sample_facts(
        arms=LIGHT,
        conclusion=replace(
            FACTS.conclusion,
            comparisons=tuple(
                replace(each, more_seeds=None, by_seeds=0.0) for each in FACTS.conclusion.comparisons
            ),
        ),
    ),
    "one arm": sample_facts(
        arms=FACTS.arms[:1],
        conclusion=replace(FACTS.conclusion, comparisons=(), verdicts=FACTS.conclusion.verdicts[:1]),
    ),
    "named arms": sample_facts(
        varied=("loss.kind", "loss.scale"),
        arms=tuple(
            replace(each, arm=replace(each.arm, name=f"better_{i} <b>*", changes={"loss.scale": i}))
            for i, each in enumerate(LIGHT)
        ),
    ),
    "words that compare as names": sample_facts(
        title="Which gain is better?",
        varied=("augment.gain",),
        held="the same best effort",
        arms=tuple(
            replace(each, maps=tuple(replace(m, labels=("always best",) * len(m.labels)) for m in each.maps))
            for each in FACTS.arms
        ),
    ),
    "a search": sample_facts(
        arms=LIGHT,
        search={"method": "tpe", "trials": [{"margin": 0.1, "val": 0.7}, {"margin": 0.2, "val": 0.72}]},
    ),
}


@pytest.mark.parametrize("kind", VARIANTS)
def test_no_document_says_more_than_its_records(kind: str, tmp_path: Path) -> None:
    facts = VARIANTS[kind]
    content = document(facts, INTRODUCTIONS)
    assert check_overclaims(content.own_text(), facts) == []
    write_documents(facts, tmp_path, INTRODUCTIONS)
    assert (tmp_path / "study.pdf").read_bytes().startswith(b"%PDF")


def test_words_of_others_are_shown_and_not_checked() -> None:
    content = whole()
    assert "is better than all others" in html(content)
    assert "is better than all others" not in content.own_text()
    assert "Too large a margin is worse" not in content.own_text()


def test_markup_in_names_stays_text() -> None:
    content = document(VARIANTS["named arms"], {})
    page = html(content)
    assert "<b>*" not in page
    assert "&lt;b&gt;*" in page
    assert "\\<b>\\*" in markdown(content)


def test_control_characters_in_names_are_shown_escaped_in_every_form(tmp_path: Path) -> None:
    text = json.dumps(asdict(VARIANTS["named arms"])).replace("<b>", "<b>\\u001b[31m\\u0000\\u000b")
    write_documents(facts_from_json(json.loads(text)), tmp_path, {})
    for name in ("study.html", "study.md"):
        written = (tmp_path / name).read_text()
        assert not set(written) & {"\x1b", "\0", "\x0b"}
        assert "x1b" in written
    assert (tmp_path / "study.pdf").stat().st_size > 10_000


def steps(facts: StudyFacts) -> str:
    return "\n".join("".join(p if isinstance(p, str) else p.text for p in step) for step in next_steps(facts))


def test_next_steps_follow_from_the_results() -> None:
    said = steps(FACTS)
    assert "margin 0.5 against margin 1" in said
    assert "about 9 more seeds for every arm, 54 further trainings" in said
    assert "is residual, which more of either reduces: add seeds first" in said
    assert "Margin 10: 1 of 5 trainings failed (seed 3)" in said


def test_what_an_open_pair_would_cost_is_said_alike_everywhere() -> None:
    facts = VARIANTS["open beyond any number of seeds"]
    needed = "ore seeds will not help; more test recordings would"
    assert f"margin 0.7 against margin 1: not decided; m{needed}" in steps(facts)
    assert f"M{needed}." in answer_text(facts)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [("margin-0.3", "smallest tried: go on to 0.18"), ("margin-10", "largest tried: go on to 50")],
)
def test_the_edge_of_the_range_asks_for_more(chosen: str, expected: str) -> None:
    assert expected in steps(sample_facts(conclusion=replace(FACTS.conclusion, recommended=chosen)))


def test_a_baseline_that_is_not_beaten_is_named() -> None:
    said = steps(sample_facts(conclusion=replace(FACTS.conclusion, recommended="margin-2")))
    assert "find a recipe that clears MFCC statistics, log-mel statistics and an untrained encoder." in said


def test_the_shares_of_variance_say_whether_seeds_or_groups_help() -> None:
    def advised(**parts: float) -> str:
        pairs = tuple(
            replace(each, parts=replace(each.parts, **parts)) for each in FACTS.conclusion.comparisons
        )
        return steps(sample_facts(conclusion=replace(FACTS.conclusion, comparisons=pairs)))

    assert "which more of either reduces: add test recordings first" in advised(group=0.2)
    assert "which more of either reduces: add seeds first" in advised(seed=0.2)
    assert "which more of either reduces." in advised(residual=0.9)


@pytest.mark.parametrize(("extra", "suspected"), [(0.0, False), (0.1, True)])
def test_an_interaction_is_suspected_where_means_do_not_add_up(extra: float, suspected: bool) -> None:
    means = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4 + extra}
    keys = [(0, 0), (0, 1), (1, 0), (1, 1)]
    arms = tuple(
        replace(FACTS.arms[0], arm=Arm(name, name, {"loss.margin": x, "embedding.size": y}))
        for name, (x, y) in zip(means, keys, strict=True)
    )
    some = FACTS.conclusion.estimates["margin-0.5"]
    estimates = {name: replace(some, mean=mean) for name, mean in means.items()}
    conclusion = replace(FACTS.conclusion, estimates=estimates, comparisons=(), recommended=None)
    facts = sample_facts(varied=("loss.margin", "embedding.size"), arms=arms, conclusion=conclusion)
    assert ("do not add up" in steps(facts)) == suspected


def test_figures_lie_beside_the_document_for_a_paper(written: Path) -> None:
    """SVG that stands alone, PDF with its text as text, and a table that LaTeX reads."""
    folder = written / "figures"
    assert {path.stem for path in folder.glob("*.svg")} == set(PICTURES)
    for name in PICTURES:
        drawn = ET.parse(folder / f"{name}.svg").getroot()
        assert float((drawn.get("width") or "").removesuffix("pt")) > 400
        assert "currentColor" not in (folder / f"{name}.svg").read_text()
        assert len(PdfReader(folder / f"{name}.pdf").pages) == 1
    assert "update" in PdfReader(folder / "loss.pdf").pages[0].extract_text()


def test_tables_lie_beside_the_document_for_a_paper(written: Path) -> None:
    """A table that LaTeX reads, and one that programs read."""
    folder = written / "tables"
    tables = {block.name: block for block in whole().blocks() if isinstance(block, Table)}
    assert {path.name for path in folder.iterdir()} == {
        f"{n}{end}" for n in tables for end in (".csv", ".tex")
    }
    read = list(csv.reader((folder / "verdicts.csv").read_text().splitlines()))
    assert read[0] == ["arm", "macro F1 of the probe", "verdict", "difference from margin 0.5"]
    assert read[1] == ["margin 0.3", "0.741 [0.717, 0.765]", "worse", "-0.040 [-0.059, -0.021]"]
    assert read[2][3] == ""
    assert len(read) == 1 + len(tables["verdicts"].rows)
    table = (folder / "verdicts.tex").read_text()
    rows = [line for line in table.splitlines() if line.endswith("\\\\")]
    assert len(rows) == 1 + 6
    assert {line.count(" & ") for line in rows} == {3}
    assert "\\textbf{margin 0.5} & \\textbf{0.781 [0.757, 0.805]}" in table
    assert "95 \\%" in table


def test_figures_of_an_earlier_document_are_removed(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    for name in ("old.svg", "old.pdf", "mine.png"):
        (tmp_path / "figures" / name).touch()
    write_documents(VARIANTS["one arm"], tmp_path)
    assert {path.name for path in (tmp_path / "figures").glob("*.*")} >= {"mine.png", "judge.svg"}
    assert not list((tmp_path / "figures").glob("old.*"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % & more_#$", "50 \\% \\& more\\_\\#\\$"),
        ("a\\b{c}", "a\\textbackslash{}b\\{c\\}"),
        ("−0.1", "$-$0.1"),
    ],
)
def test_text_for_latex_is_text(text: str, expected: str) -> None:
    assert tex(text) == expected


def test_the_entry_to_cite_has_title_plan_and_version() -> None:
    entry = bibtex(FACTS)
    assert entry.startswith(f"@misc{{nearfield-study-{FACTS.plan_hash[:12]},")
    assert "title = {{Margin of the triplet loss: How does the margin affect the embedding space?}}" in entry
    assert entry.count("{") == entry.count("}")
    assert entry in html(whole()).replace("&#39;", "'")


def test_the_template_survives_text_that_looks_like_typst() -> None:
    odd = replace(whole(), title="#panic() $x$ [*] \\ @ref", question="`raw` _it_ <label>")
    made = pdf(odd)
    assert "#panic()" in PdfReader(io.BytesIO(made)).pages[0].extract_text()


def told(facts: StudyFacts) -> str:
    return markdown(document(facts, {}))


def test_the_untrained_encoder_has_one_number_in_figure_and_table() -> None:
    """Where a row of a single seed (0.704) stands in the facts, the mean over seeds is shown in both."""
    alone = {**FACTS.baselines, "random_encoder": {FACTS.judge: 0.704}}
    facts = sample_facts(arms=LIGHT, baselines=alone)
    rows = next(iter(results_tables(facts)))
    shown = next(row for row in rows.rows if row.cells[0] == "an untrained encoder").cells[2]
    assert shown.startswith("0.731 ")
    figure = judge_figure(facts)
    assert "an untrained encoder 0.731" in figure
    assert "0.704" not in figure
    assert "is drawn anew with each seed and stands with its mean over seeds" in rows.caption
    without = sample_facts(arms=LIGHT, baselines={"chance": {FACTS.judge: 0.1}})
    assert next(iter(results_tables(without))).caption.endswith("Baselines have no seeds.")


def test_the_short_form_lists_deviations_where_there_are_any() -> None:
    said = told(
        sample_facts(arms=LIGHT, deviations=("meaningful: 0.2, planned 0.05.", "seeds: 5, planned 9."))
    )
    listed = "- meaningful: 0.2, planned 0.05.\n- seeds: 5, planned 9.\n"
    assert f"## Deviations from the plan\n\n{listed}" in said
    assert "Deviations" not in told(sample_facts(arms=LIGHT, deviations=()))


def test_the_answer_says_what_cannot_be_seen_and_what_deciding_would_cost() -> None:
    """One arm is open against the recommended one; it asks for 14 seeds where there are 5."""
    for text in (told(sample_facts(arms=LIGHT)), answer_text(FACTS)):
        assert "With 5 seeds and 40 test groups, a gap below about 0.019 is invisible." in text
        assert "About 9 more seeds for every arm, 54 further trainings, would be needed to decide it." in text
    beyond = VARIANTS["open beyond any number of seeds"]
    assert "More seeds will not help; more test recordings would." in told(beyond)
    mixed = [
        replace(each, claim="undecided", more_seeds=None)
        if (each.one, each.other) == ("margin-0.5", "margin-0.7")
        else each
        for each in FACTS.conclusion.comparisons
    ]
    text = answer_text(sample_facts(conclusion=replace(FACTS.conclusion, comparisons=tuple(mixed))))
    assert "would be needed to decide for 1 of the 2 open arms." in text
    decided = sample_facts(conclusion=sample_conclusion(decided=True))
    assert "would be needed" not in answer_text(decided)
    assert (
        "Take margin 0.5: it is better than margin 0.7, the next, and than all other arms that finished (5)"
        in (answer_text(decided))
    )


def test_two_arms_that_are_not_told_apart_are_bounded_both_ways() -> None:
    arms = tuple(
        replace(LIGHT[at], arm=replace(LIGHT[at].arm, name=name)) for at, name in ((1, "a"), (3, "b"))
    )
    pair = next(each for each in FACTS.conclusion.comparisons
                if (each.one, each.other) == ("margin-0.5", "margin-1"))  # fmt: skip
    verdicts = tuple(each for each in FACTS.conclusion.verdicts if each.arm in (pair.one, pair.other))
    conclusion = replace(FACTS.conclusion, comparisons=(pair,), verdicts=verdicts)
    facts = sample_facts(arms=arms, conclusion=conclusion, source=None)
    ends = f"better by at most {-pair.low:.3f} and worse by at most {pair.high:.3f}"
    assert answer_text(facts).startswith(f"Take “a”, or “b”: the two are not told apart; “b” is {ends}. ")
    assert check_overclaims(document(facts, {}).own_text(), facts) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tagger's, kept", "“tagger's, kept”"),
        ("triplet 0.1", "triplet 0.1"),
        ("none at all", "“none at all”"),
    ],
)
def test_a_name_that_would_read_as_words_is_quoted(name: str, expected: str) -> None:
    arms = (replace(LIGHT[0], arm=replace(LIGHT[0].arm, name=name)), *LIGHT[1:])
    facts = sample_facts(arms=arms, varied=("loss.kind", "loss.margin"))
    assert called(facts, "margin-0.3") == expected
    assert called(FACTS, "margin-0.3") == "margin 0.3"
    assert called(facts, "baseline/mfcc_stats") == "MFCC statistics"


def test_facts_of_a_former_version_get_the_arm_to_take_from_their_comparisons() -> None:
    """They have no candidates and no loss, and recommend none where nothing is decided."""
    former = asdict(sample_facts())
    for key in ("candidates", "at_most_lost"):
        del former["conclusion"][key]
    read = facts_from_json(former)
    assert replace(read, conclusion=replace(read.conclusion, at_most_lost=0.0024)) == FACTS
    former["conclusion"] |= {"recommended": None, "recommended_because": "no arm is shown to be the best"}
    for verdict in former["conclusion"]["verdicts"]:
        verdict["word"] = "undecided" if verdict["word"] == "as_good" else verdict["word"]
    found = facts_from_json(former).conclusion
    assert (found.recommended, found.candidates) == ("margin-0.5", FACTS.conclusion.candidates)
    assert found.at_most_lost == pytest.approx(0.0025)


@pytest.mark.parametrize("kind", VARIANTS)
def test_no_sentence_stands_twice_and_prose_has_no_p_and_no_keys(kind: str) -> None:
    text = document(VARIANTS[kind], INTRODUCTIONS).own_text()
    sentences = [each for line in text.split("\n") for each in re.split(r"(?<=[.!?]) ", line) if each]
    assert {each for each in sentences if len(each) > 20 and sentences.count(each) > 1} == set()
    assert all(block.caption for block in document(VARIANTS[kind], {}).blocks() if hasattr(block, "caption"))
    assert not re.search(r"\bp [=<]|\b(?:probe|retrieval\w*|geometry|clusters)/", text)


def test_what_so_few_seeds_cannot_exclude_is_said() -> None:
    """0 of 5 trainings failed: one less the fifth root of 0.05 is 45 %."""
    said = squeezed(html(document(sample_facts(arms=LIGHT), {})))
    assert squeezed("none of 5 trainings failed, up to 45 % of all trainings may fail (95 % bound)") in said


def test_an_arm_that_was_left_out_stands_in_the_abstract_with_its_mean() -> None:
    assert "Margin 10 (4 of 5 seeds, mean 0.512) could not be compared: The loss" in answer_text(FACTS)
    alone = tuple(replace(each, groups=1) for each in FACTS.conclusion.comparisons)
    single = sample_facts(conclusion=replace(FACTS.conclusion, comparisons=alone))
    assert "whether other recordings would show the same is not tested" in answer_text(single)
    assert "is not tested" not in answer_text(FACTS)


def test_what_a_command_line_says_at_the_end_is_a_table_of_arms_and_few_sentences() -> None:
    rows = [row.cells for row in arm_rows(FACTS)]
    assert rows[1] == ("margin 0.5", "0.781 [0.757, 0.805]", "as good as the best")
    assert rows[5] == ("margin 10", "0.512 [0.488, 0.536]", "not comparable")
    words = closing(FACTS).split()
    assert len(words) < 65
    assert closing(FACTS).startswith("Take margin 0.5: ")
    assert closing(FACTS).count("\n") == 1


def test_a_warning_that_arms_share_is_listed_once_with_the_arms() -> None:
    """Arms carry the notes of their runs again as warnings."""

    def warned(each: ArmFacts, *notes: str) -> ArmFacts:
        runs = tuple(replace(run, state="done", cause="", notes=notes) for run in each.runs)
        return replace(each, runs=runs, warnings=notes)

    one, other = warned(LIGHT[0], "left out: a.wav"), warned(LIGHT[1], "left out: a.wav", "hubs")
    fewer = replace(other, runs=other.runs[1:])
    said = squeezed(html(document(sample_facts(arms=(one, other)), {})))
    assert said.count(squeezed("left out: a.wav")) == 1
    assert squeezed("<strong>Margin 0.3 and margin 0.5</strong>, seeds 0, 1, 2, 3 and 4: left out") in said
    assert squeezed("<strong>Margin 0.5</strong>, seeds 0, 1, 2, 3 and 4: hubs") in said
    said = squeezed(html(document(sample_facts(arms=(one, fewer)), {})))
    assert (
        squeezed("Margin 0.3 (seeds 0, 1, 2, 3 and 4) and margin 0.5 (seeds 1, 2, 3 and 4)</strong>:") in said
    )


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        ("margin on esc10", "Margin on"),
        ("rule, tagger and guard", "Rule, tagger"),
        ("nt_xent is worse", "nt_xent is"),
        ("64 is best", "64 is"),
    ],
)
def test_sentences_begin_with_a_capital_but_for_names_in_code(given: str, begins: str) -> None:
    assert sentence(given).startswith(begins)
