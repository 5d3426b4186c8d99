"""The shipped studies: each can be run as it stands, and says what it repeats and how it is smaller."""

import importlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from nearfield.cli.main import app
from nearfield.core.errors import RequestError
from nearfield.core.shipped import shipped, text_of
from nearfield.data.collection import Collection
from nearfield.study.document.sections import document
from nearfield.study.file import VERDICT
from nearfield.study.plan import Plan
from nearfield.training.recipe import Recipe
from nearfield.training.setup import build_embedder
from tests.scripts import script
from tests.study.former import former_hash
from tests.study.overclaims import check_overclaims

ROOT = Path(__file__).parents[2]
STUDIES = [path for name, path in shipped("studies").items() if "/" not in name]
QUESTIONS = [path for name, path in shipped("studies").items() if name.startswith("questions/")]
TABLE = (ROOT / "docs" / "questions.md").read_text(encoding="utf-8")
FORM = re.compile(r"# ([UQ]\d+), made for (.+)\.")
SETS = (
    "arabic-commands", "blood-cells", "esc10", "esc10-mix", "fsdd", "incompetech-tags", "long-recordings",
    "omniglot-small", "oneshots", "tag-formats",
)  # fmt: skip
KEPT = ("facts.json", "figures/differences.svg", "judge.svg", "study.md")
SCORES = "scores.parquet"
MADE = {"synthetic:scenes?clips=60&table=clips"}


def _header(path: Path) -> tuple[str, str]:
    """The id and the data that the first line names."""
    found = FORM.fullmatch(path.read_text(encoding="utf-8").split("\n")[0])
    assert found, f"{path.name}: its first line says no id and no data"
    return found[1], found[2]


@cache
def _plan(path: Path) -> Plan:
    return Plan.load(path)


def _check(path: Path) -> Plan:
    plan = _plan(path)
    assert plan.question.endswith("?")
    assert plan.reduced.endswith(".")
    assert plan.seeds.at_least * plan.seeds.folds >= VERDICT
    assert Plan.of(plan.plain()) == plan
    assert len(plan.arms) * plan.seeds.at_most * plan.seeds.folds <= 120  # half an hour, on two cores
    return plan


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_is_whole(path: Path) -> None:
    plan = _check(path)
    if path.stem == "demo":
        return
    ids = {arm.id for arm in plan.arms}
    assert plan.source is not None
    assert plan.source.prefers in {*ids, ""}
    assert set(plan.source.over) <= ids - {plan.source.prefers}
    name, data = _header(path)
    assert name == plan.source.study
    assert data in {*SETS, *MADE}


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_every_question_is_whole(path: Path) -> None:
    plan = _check(path)
    assert plan.source is None
    name, data = _header(path)
    assert int(name[1:]) == int(path.name[1:3])
    assert data in {*SETS, *MADE}


def test_each_source_study_has_one_file() -> None:
    sources = [plan.source.study for plan in map(_plan, STUDIES) if plan.source]
    assert sorted(sources, key=lambda name: int(name[1:])) == [f"U{number}" for number in range(1, 21)]


def test_data_that_are_named_are_there(real_data: Callable[[str], Path]) -> None:
    for data in {_header(path)[1] for path in (*STUDIES, *QUESTIONS) if path.stem != "demo"} - MADE:
        assert real_data(data).is_dir()


def test_a_study_has_the_columns_that_it_asks_its_data_for(real_data: Callable[[str], Path]) -> None:
    """A group, a label or a recording that is not there would be found out by the first training only."""
    for path in (*STUDIES, *QUESTIONS):
        if path.stem == "demo" or _header(path)[1] in {*MADE, "tag-formats"}:
            continue
        plan, folder = _plan(path), real_data(_header(path)[1])
        header = (folder / "labels.csv").read_text(encoding="utf-8").split("\n")[0].split(",")
        for arm in plan.arms:
            asked = plan.recipe_of(arm.id).data
            named = (asked.label, asked.tags, asked.split, asked.group, asked.recording)
            assert {name for name in named if name} <= set(header), path.name


def test_tracks_of_the_music_stay_on_one_side_and_are_never_each_others_answer(
    real_data: Callable[[str], Path],
) -> None:
    music = [path for path in (*STUDIES, *QUESTIONS) if "made for incompetech-tags" in path.read_text()]
    assert len(music) > 10
    for path in music:
        assert _plan(path).recipe.data.group == "track", path.name
    columns = Recipe.of({"data": {"group": "track"}}).data.columns
    assert not Collection.load(str(real_data("incompetech-tags")), columns).leaks


def test_documents_are_those_of_the_study_files() -> None:
    """The plan that a document prints is the plan of its study file, with what its command sets.

    Documents of version 0.1.0, which kept no scores, wait for their study to be run again.
    """
    stale = set()
    for place, facts in _documents().documents():
        if not facts.looks:
            continue
        words = shlex.split(facts.command)
        changes = [words[at + 1] for at, word in enumerate(words) if word == "--set"]
        plan = Plan.load(words[3], changes)
        if facts.plan_hash not in (plan.hash, former_hash(plan)):
            stale.add(place.name)
    assert stale == set()


def test_no_published_document_says_more_than_its_records() -> None:
    for place, facts in _documents().documents():
        assert check_overclaims(document(facts, {}).own_text(), facts) == [], place.name


def test_the_overview_and_the_pictures_show_what_the_documents_say() -> None:
    module = _documents()
    found = module.documents()
    written = (ROOT / "docs/studies/README.md").read_text(encoding="utf-8")
    assert written == module.overview(found)
    assert (ROOT / "docs/what_holds.md").read_text(encoding="utf-8") == module.what_holds(found)
    for place, facts in found:
        assert (place / "judge.svg").read_text(encoding="utf-8") == module.picture(facts), place.name


def test_git_holds_of_a_document_what_cannot_be_made_of_its_facts() -> None:
    """facts.json, the scores, the short form and two figures; `make documents` makes the rest."""
    listed = subprocess.run(
        ["git", "ls-files", "docs/studies"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git repository here")
    places = [place.name for place, _ in _documents().documents()]
    kept = {f"docs/studies/{place}/{name}" for place in places for name in KEPT}
    scores = {
        f"docs/studies/{place.name}/{SCORES}" for place, facts in _documents().documents() if facts.looks
    }
    assert set(listed.stdout.split()) == kept | scores | {"docs/studies/README.md"}


def test_a_document_is_made_of_its_facts_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place = ROOT / "docs/studies/distance"
    shutil.copyfile(place / "facts.json", tmp_path / "facts.json")
    app(["study", "report", str(tmp_path)], standalone_mode=False)
    assert (tmp_path / "study.md").read_bytes() == (place / "study.md").read_bytes()
    assert (tmp_path / "facts.json").read_bytes() == (place / "facts.json").read_bytes()
    assert (tmp_path / "study.pdf").read_bytes().startswith(b"%PDF")
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert "Euclidean" in page
    assert "For vectors of unit length" in page  # the text on the margin's distance
    assert str(tmp_path / "study.html") in capfd.readouterr().out


def _documents() -> ModuleType:
    """docs/studies.py, which is a script."""
    return script("studies")


def test_the_margin_beyond_the_sphere_needs_leave() -> None:
    margin = next(path for path in STUDIES if path.stem == "margin")
    with pytest.raises(RequestError, match=r"arm '10': loss\.margin: no vectors can satisfy 10"):
        Plan.load(margin, ["allow_impossible=false"])


def test_the_two_taggers_are_as_large_as_each_other() -> None:
    """Else the larger one could be better by its size, which is not the question."""
    plan = _plan(next(path for path in STUDIES if path.stem == "two_taggers"))
    first, final = (
        build_embedder(plan.recipe_of(arm), 1, 0).describe().weights for arm in ("first", "final")
    )
    assert abs(final / first - 1) < 0.01
    assert f"{final:,} weights; the first one's {first:,}" in text_of("two_taggers", "studies")


@pytest.mark.parametrize("method", ["random", "grid"])
def test_the_study_of_searches_is_one_of_each_method(method: str) -> None:
    path = next(path for path in QUESTIONS if path.stem == "Q40_search")
    number = ["search.trials=null"] if method == "grid" else []
    both = Plan.load(path), Plan.load(path, [f"search.method={method}", *number])
    assert [plan.search.trials for plan in both if plan.search] == [12, 12]


def _rows() -> dict[str, list[str]]:
    """The cells of the table of questions, by id."""
    rows = [line.strip("| ").split(" | ") for line in TABLE.split("\n") if line.startswith("| Q")]
    assert all(len(row) == 5 for row in rows)
    assert len({row[0] for row in rows}) == len(rows)
    return {row[0]: row for row in rows}


def test_the_table_lists_each_question_once() -> None:
    assert list(_rows()) == [f"Q{number}" for number in range(1, 49)]


def test_the_table_and_the_files_say_the_same() -> None:
    rows = _rows()
    for path in QUESTIONS:
        name, data = _header(path)
        _, question, answer, said, _ = rows[name]
        assert question == _plan(path).question
        assert f"`questions/{path.stem}`" in answer
        assert data == said.strip("`")
    named = set(re.findall(r"`(questions/\w+|benchmarks/\w+\.py)`", TABLE))
    assert len(named) >= len(QUESTIONS)
    there = shipped("studies")
    assert [name for name in named if name not in there and not (ROOT / name).is_file()] == []


def test_what_the_table_says_was_run_is_there() -> None:
    for name, row in _rows().items():
        linked = re.findall(r"\]\((.+?)\)", row[4])
        assert (row[4] == "no") == (not linked), name
        assert all((ROOT / "docs" / link).is_file() for link in linked)


def test_functions_that_the_table_names_exist() -> None:
    named = set(re.findall(r"`(nearfield(?:\.\w+)+)`", TABLE))
    assert named
    for name in named:
        module, _, function = name.rpartition(".")
        assert callable(getattr(importlib.import_module(module), function))


def test_commands_that_the_table_names_exist() -> None:
    from typer.main import get_command

    from nearfield.cli.main import app

    used = set(re.findall(r"nearfield (\w+)", TABLE))
    assert used <= set(get_command(app).commands)  # type: ignore[attr-defined]
