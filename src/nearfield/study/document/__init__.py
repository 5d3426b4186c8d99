"""Writes the document of a study in all formats: facts.json, study.html, study.pdf, study.md, figures/ and
tables/."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nearfield.core.errors import RequestError
from nearfield.core.files import read_json, replacing, write_text
from nearfield.core.settings import explain
from nearfield.core.text import visible
from nearfield.study.claims import rivals
from nearfield.study.document.sections import document
from nearfield.study.document.writers import html, markdown, pdf, write_figures, write_tables
from nearfield.study.facts import introductions_of
from nearfield.study.records import StudyFacts
from nearfield.study.score_table import concluded_again, read_scores
from nearfield.study.statistics.conclude import recommend
from nearfield.training.recipe import Recipe


def write_documents(facts: StudyFacts, folder: Path, introductions: Mapping[str, str] | None = None) -> None:
    """Writes the four files, the figures and the tables, each atomically; equal facts give equal bytes.

    Parameters
    ----------
    facts
        The results of the study.
    folder
        Folder of the document.
    introductions
        Descriptions of settings by dotted recipe key.
    """
    text = json.dumps(asdict(facts), allow_nan=False, ensure_ascii=False, sort_keys=True)
    _write(json.loads(text), folder, introductions or {}, text + "\n")


def write_again(folder: Path) -> StudyFacts:
    """Writes the document again from `folder`/facts.json, without plan and runs; returns the facts.

    With scores.parquet beside it, the study is concluded again, by the present statistics. Raises
    RequestError if facts.json is missing or damaged, and DataError if scores.parquet is.
    """
    plain = read_json(folder / "facts.json", "Run the study again.")
    scores, facts = read_scores(folder), facts_from_json(plain)
    if scores:
        facts = concluded_again(facts, scores)
    recipe = Recipe.of(facts.recipe, f"{folder / 'facts.json'}: recipe")
    arms = [recipe.changed(each.arm.changes, f"arm {each.arm.id!r}") for each in facts.arms]
    introductions = introductions_of(facts.varied, arms or [recipe])
    if scores:
        write_documents(facts, folder, introductions)
    else:
        _write(plain, folder, introductions)
    return facts


def _write(
    plain: Mapping[str, Any], folder: Path, introductions: Mapping[str, str], text: str | None = None
) -> None:
    """Writes the document of plain facts, and `text` as facts.json; nothing if a part fails."""
    content = document(facts_from_json(_visible(plain)), introductions)
    page, paper, short = html(content), pdf(content), markdown(content)
    if text is not None:
        write_text(folder / "facts.json", text)
    write_text(folder / "study.html", page)
    write_text(folder / "study.md", short)
    with replacing(folder / "study.pdf") as temporary:
        temporary.write_bytes(paper)
    write_figures(content, folder / "figures")
    write_tables(content, folder / "tables")


def _visible(plain: Any) -> Any:
    """Escapes control characters in plain values, because SVG and Typst do not accept them."""
    if isinstance(plain, dict):
        return {visible(key): _visible(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_visible(value) for value in plain]
    return visible(plain) if isinstance(plain, str) else plain


def facts_from_json(plain: Mapping[str, Any]) -> StudyFacts:
    """Converts the values of `facts.json` to facts. Raises RequestError if a value does not fit."""
    try:
        facts = TypeAdapter(StudyFacts).validate_python(dict(plain))
    except ValidationError as error:
        raise RequestError(explain(error, "facts.json")) from None
    return _with_choice(facts)


def _with_choice(facts: StudyFacts) -> StudyFacts:
    """Adds the candidates, the loss at most and, where none is decided, the recommended arm, which facts of
    former versions lack; they follow from the comparisons."""
    before = facts.conclusion
    if before.candidates or not before.comparisons:
        return facts
    compared = [each.arm for each in before.verdicts if each.word != "not_comparable"]
    against = {arm: rivals(facts, arm) for arm in compared}
    candidates = tuple(arm for arm, found in against.items() if all(each.low <= 0 for each in found))
    may_lose = {arm: max([0.0, *(each.high for each in found)]) for arm, found in against.items()}
    costs = {arm: float(arm != before.recommended) for arm in compared}
    found = recommend(before.verdicts, before.estimates, costs, may_lose, candidates)
    conclusion = replace(
        before,
        recommended=found.arm,
        recommended_because=before.recommended_because if before.recommended else found.because,
        candidates=found.candidates,
        at_most_lost=found.at_most_lost,
    )
    return replace(facts, conclusion=conclusion)
