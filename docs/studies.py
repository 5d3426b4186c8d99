"""Takes finished studies into docs/studies, and writes what became of the conclusions of their sources.

    python docs/studies.py STUDY_FOLDER...

Each folder keeps its name; without folders only the overview is written again, and docs/study.png, the first
page of one of them (needs playwright and Chromium).
"""

import json
import shlex
import shutil
import sys
from pathlib import Path

from nearfield.study.claims import label, source_pairs, source_verdict
from nearfield.study.document import facts_from_json
from nearfield.study.records import StudyFacts

HERE = Path(__file__).parent / "studies"
KEPT = ("study.html", "study.pdf", "study.md", "facts.json")
HEAD = """# What became of the sources' conclusions

Every study below asks the question of one of the source documents again, on open data, with the seeds,
intervals and corrected comparisons that a claim needs. None of them is the source's own experiment: they
are *other studies on the same question*, with other sounds, smaller networks and fewer updates, and each
document says under *reduced* what differs. Those of household noise (U1 to U7) can be *repeated* as they
were asked: `nearfield list studies` names them as `sources/...`, with triplets from time alone, ResNet18 and
the settings of the sources' tables, for DCASE 2018 task 5 (`--data dcase2018_task5:FOLDER`); they have not
been run to their end.

The command under each makes it again. *Supported*: every comparison that the source's preference stands for
is claimed here too; *not supported*: one is claimed the other way round, or shown to be no more than the
meaningful difference; *not decided*: the evidence is not enough, and the document says what it would take.
*Recommended here* asks for less than that an arm be better:
it was shown not to be worse than any other by more than the meaningful difference, and may stand beside *not
decided*. What an arm is worth beside plain baselines, which some here do not reach, each document says.

| study | the source asked | the source concluded | here | recommended here | on | document |
|---|---|---|---|---|---|---|
"""


def main(folders: list[str]) -> None:
    """Copies and writes."""
    for folder in map(Path, folders):
        target = HERE / folder.name
        target.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            shutil.copyfile(folder / name, target / name)
    (HERE / "README.md").write_text(overview(documents()))
    _picture(HERE / "margin_sensitivity" / "study.html", HERE.parent / "study.png")


def documents() -> list[tuple[Path, StudyFacts]]:
    """The folders of the studies that are here, and what they found, by the number of their source."""
    found = [
        (path.parent, facts_from_json(json.loads(path.read_text()))) for path in HERE.glob("*/facts.json")
    ]
    return sorted(found, key=lambda each: (_number(each[1]), each[0].name))


def overview(found: list[tuple[Path, StudyFacts]]) -> str:
    """README.md: a row a source, and the command that makes each document again."""
    rows = [_row(place, metadata) for place, metadata in found if metadata.source]
    commands = [f"- {metadata.title}: `{_command(metadata)}`" for _, metadata in found]
    return HEAD + "\n".join(rows) + "\n\n" + "\n".join(commands) + "\n"


def _picture(page: Path, target: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        tab = browser.new_page(viewport={"width": 1000, "height": 1100})
        tab.goto(page.resolve().as_uri())
        tab.screenshot(path=target)
        browser.close()


def _command(metadata: StudyFacts) -> str:
    """With the study by its name, and the data by theirs: where they lay is no one else's place."""
    words = shlex.split(metadata.command)
    words[3] = Path(words[3]).with_suffix("").as_posix().removeprefix("studies/")
    place = words.index("--data") + 1
    if not words[place].startswith("synthetic:"):
        words[place] = f"PATH_OF_{metadata.data['name']}"
    return shlex.join(words)


def _number(metadata: StudyFacts) -> int:
    return int(metadata.source.study[1:]) if metadata.source else 0


def _row(place: Path, metadata: StudyFacts) -> str:
    assert metadata.source is not None
    chosen = metadata.conclusion.recommended
    cells = (
        metadata.source.study,
        metadata.source.question,
        metadata.source.concluded,
        f"**{source_verdict(metadata)}**" if source_pairs(metadata) else "no comparison of arms: see there",
        label(metadata, chosen) if chosen else "none: not decided",
        f"{metadata.data['name']}, {len(metadata.arms)} arms x {len(metadata.seeds)} seeds",
        f"[html]({place.name}/study.html), [pdf]({place.name}/study.pdf), [short]({place.name}/study.md)",
    )
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


if __name__ == "__main__":
    main(sys.argv[1:])
