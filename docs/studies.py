"""Takes finished studies into docs/studies, and writes what became of the sources' conclusions and questions.

    python docs/studies.py STUDY_FOLDER...

Each folder keeps its name. Without folders the overview and the pictures are written again. Git holds
facts.json, study.md and two figures of each; `make documents` makes study.html and study.pdf of the facts.
docs/study.png, the first page of one of them, is taken anew where that page is there (needs playwright and
Chromium).
"""

import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import yaml

from nearfield.study.claims import digits, label, plain, source_pairs, source_verdict
from nearfield.study.document import facts_from_json
from nearfield.study.document.answer import closing
from nearfield.study.document.figures import alone, for_print, judge_figure
from nearfield.study.forecast import parts_of
from nearfield.study.records import StudyFacts

HERE = Path(__file__).parent / "studies"
PARTS = HERE.parents[1] / "src" / "nearfield" / "study" / "parts.yaml"
KEPT = ("study.md", "facts.json", "scores.parquet", "figures/differences.svg")
HEAD = """# What became of the sources' conclusions

Every study below asks the question of one of the source documents again, on open data, with the seeds,
intervals and corrected comparisons that a claim needs. None of them is the source's own experiment: they
are *other studies on the same question*, with other sounds, smaller networks and fewer updates, and each
document says under *reduced* what differs. Those of household noise (U1 to U7) can be *repeated* as they
were asked: `nearfield list studies` names them as `sources/...`, with triplets from time alone, ResNet18 and
the settings of the sources' tables, for DCASE 2018 task 5 (`--data dcase2018_task5:FOLDER`); they have not
been run to their end.

*Supported*: every comparison that the source's preference stands for is claimed here too; *not supported*:
one is claimed the other way round, or shown to be no more than the meaningful difference; *not of that size*:
not decided, but a gain as large as the source found is excluded; *not decided*: the
evidence is not enough, and the document says what it would take. *Recommended here* is the arm to take after
this study, and in brackets how much better another arm may be at most: the best arm, or the cheapest of those
that are as good as the best, or, where this is not decided, the highest mean of the arms that are not shown
to be worse than another. What an arm is worth beside plain baselines, which some here do not reach, each
document says.

Below the table, each study has its picture (every arm with its 95 % interval and its seeds) and the command
that makes it again. `make documents` makes the whole documents, study.html and study.pdf, beside each
study.md.

| study | the source asked | the source concluded | here | recommended here | on | document |
|---|---|---|---|---|---|---|
"""


WHAT_HOLDS = """# What holds

One paragraph for each conclusion of the source documents, and for each question that they left open: what to
do, with intervals that hold together in 95 of 100 studies, and where the numbers are. The studies are smaller
than the sources' own, on other sounds ([what became of the conclusions](studies/README.md) says how);
conclusions are about these. Written by `python docs/studies.py` from the facts of each study.
"""
QUESTION = re.compile(r"\| (?P<id>Q\d+) \| (?P<question>[^|]+) \|")


def main(folders: list[str]) -> None:
    """Copies and writes."""
    for folder in map(Path, folders):
        target = HERE / folder.name
        (target / "figures").mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copyfile(folder / name, target / name)
    found = documents()
    for place, facts in found:
        (place / "judge.svg").write_text(picture(facts), encoding="utf-8")
    (HERE / "README.md").write_text(overview(found), encoding="utf-8")
    (HERE.parent / "what_holds.md").write_text(what_holds(found), encoding="utf-8")
    PARTS.write_text(parts(found), encoding="utf-8")
    page = HERE / "margin_sensitivity" / "study.html"
    if page.is_file():
        _screenshot(page, HERE.parent / "study.png")


def documents() -> list[tuple[Path, StudyFacts]]:
    """The folders of the studies that are here, and what they found, by the number of their source."""
    found = [
        (path.parent, facts_from_json(json.loads(path.read_text()))) for path in HERE.glob("*/facts.json")
    ]
    return sorted(found, key=lambda each: (_number(each[1]), each[0].name))


def overview(found: list[tuple[Path, StudyFacts]]) -> str:
    """README.md: a row a source, and of each study its picture and the command that makes it again."""
    rows = [_row(place, facts) for place, facts in found if facts.source]
    return "\n".join([HEAD + "\n".join(rows), *(_shown(*each) for each in found)]) + "\n"


def what_holds(found: list[tuple[Path, StudyFacts]]) -> str:
    """what_holds.md: a paragraph for each conclusion of a source and for each open question."""
    sources = [(place, facts) for place, facts in found if facts.source]
    verdicts = [source_verdict(facts) if source_pairs(facts) else "no comparison" for _, facts in sources]
    settled = [word for word in verdicts if word in ("supported", "not supported", "not of that size")]
    answered = {place.name[:3]: (place, facts) for place, facts in found if not facts.source}
    rows = [QUESTION.match(line) for line in (HERE.parent / "questions.md").read_text("utf-8").splitlines()]
    questions = {row["id"]: row["question"] for row in rows if row}
    lines = [
        WHAT_HOLDS,
        f"Of {len(sources)} conclusions of the sources, {len(settled)} are decided or bounded below the size "
        f"that the source found; {verdicts.count('not decided')} are open, and "
        f"{verdicts.count('no comparison')} do not compare arms. Of {len(questions)} open questions, "
        f"{len(answered)} have been studied.",
        "",
        "## The sources' conclusions",
    ]
    for (place, facts), verdict in zip(sources, verdicts, strict=True):
        assert facts.source is not None
        told = f"*{facts.source.question}* The source: {facts.source.concluded} **Here: {verdict}.**"
        lines += ["", f"**{facts.source.study}.** {told} {_sentences(place, facts)}"]
    lines += ["", "## The questions that the sources left open"]
    for name, question in questions.items():
        place_and_facts = answered.get(f"Q{int(name[1:]):02}")
        if place_and_facts:
            place, facts = place_and_facts
            told = _sentences(place, facts)
        else:
            told = "Not studied yet: [how to](questions.md)."
        lines += ["", f"**{name}.** *{question}* {told}"]
    return "\n".join(lines) + "\n"


def _sentences(place: Path, facts: StudyFacts) -> str:
    """The answer of a study on one line, with a link to its numbers."""
    return f"{' '.join(closing(facts).split())} [Numbers](studies/{place.name}/study.md)."


def parts(found: list[tuple[Path, StudyFacts]]) -> str:
    """study/parts.yaml: the variance of differences between arms, which forecasts rest on."""
    rows = [parts_of(facts) for _, facts in sorted(found, key=lambda each: each[0].name)]
    head = "# The variance of differences between arms, as standard deviations, in the published studies\n"
    head += "# (written by docs/studies.py).\n"
    plain = [row.plain() for row in rows if row]
    return head + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def picture(facts: StudyFacts) -> str:
    """The judge of every arm as an SVG file, on white."""
    return alone(for_print(judge_figure(facts)))


def _shown(place: Path, facts: StudyFacts) -> str:
    """The lines of one study below the table."""
    head = f"### {facts.title}\n\n[{place.name}/study.md]({place.name}/study.md): `{_command(facts)}`"
    return f"\n{head}\n\n![{facts.question}]({place.name}/judge.svg)"


def _screenshot(page: Path, target: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        tab = browser.new_page(viewport={"width": 1000, "height": 1100})
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=target)
        browser.close()


def _command(facts: StudyFacts) -> str:
    """With the study by its name, and the data by theirs: where they lay is no one else's place."""
    words = shlex.split(facts.command)
    words[3] = Path(words[3]).with_suffix("").as_posix().removeprefix("studies/")
    place = words.index("--data") + 1
    if not words[place].startswith("synthetic:"):
        words[place] = f"PATH_OF_{facts.data['name']}"
    return shlex.join(words)


def _number(facts: StudyFacts) -> int:
    return int(facts.source.study[1:]) if facts.source else 0


def _row(place: Path, facts: StudyFacts) -> str:
    assert facts.source is not None
    chosen, lost = facts.conclusion.recommended, facts.conclusion.at_most_lost or 0.0
    cells = (
        facts.source.study,
        facts.source.question,
        facts.source.concluded,
        f"**{source_verdict(facts)}**" if source_pairs(facts) else "no comparison of arms: see there",
        f"{label(facts, chosen)} ({plain(lost, digits(facts))})" if chosen else "none: nothing is compared",
        f"{facts.data['name']}, {len(facts.arms)} arms x {facts.planned_seeds} seeds",
        f"[{place.name}]({place.name}/study.md)",
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
