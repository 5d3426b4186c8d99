"""A study's document in all its forms: facts.json, study.html, study.pdf, study.md and figures/."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nearfield.core.errors import RequestError
from nearfield.core.files import read_json, replacing, write_text
from nearfield.core.settings import explain
from nearfield.core.text import visible
from nearfield.study.document.sections import document
from nearfield.study.document.writers import html, markdown, pdf, write_figures
from nearfield.study.facts import introductions_of
from nearfield.study.records import StudyFacts
from nearfield.training.recipe import Recipe


def write_documents(facts: StudyFacts, folder: Path, introductions: Mapping[str, str] | None = None) -> None:
    """Writes the four files and the figures into `folder`, each whole or not at all; equal facts give equal
    bytes. `introductions`: by dotted recipe key, what the setting does."""
    text = json.dumps(asdict(facts), allow_nan=False, ensure_ascii=False, sort_keys=True)
    _write(json.loads(text), folder, introductions or {}, text + "\n")


def write_again(folder: Path) -> StudyFacts:
    """Writes the document anew from `folder`/facts.json alone: no plan, no runs. Gives the facts.

    Raises RequestError where the facts are missing or damaged.
    """
    plain = read_json(folder / "facts.json", "Run the study again.")
    facts = facts_from_json(plain)
    recipe = Recipe.of(facts.recipe, f"{folder / 'facts.json'}: recipe")
    arms = [recipe.changed(each.arm.changes, f"arm {each.arm.id!r}") for each in facts.arms]
    _write(plain, folder, introductions_of(facts.varied, arms or [recipe]))
    return facts


def _write(
    plain: Mapping[str, Any], folder: Path, introductions: Mapping[str, str], text: str | None = None
) -> None:
    """Writes what is made of plain facts, and `text` as facts.json; nothing where a part cannot be made."""
    content = document(facts_from_json(_visible(plain)), introductions)
    page, paper, short = html(content), pdf(content), markdown(content)
    if text is not None:
        write_text(folder / "facts.json", text)
    write_text(folder / "study.html", page)
    write_text(folder / "study.md", short)
    with replacing(folder / "study.pdf") as temporary:
        temporary.write_bytes(paper)
    write_figures(content, folder / "figures")


def _visible(plain: Any) -> Any:
    """Plain values with the control characters of all text escaped: SVG and Typst refuse them."""
    if isinstance(plain, dict):
        return {visible(key): _visible(value) for key, value in plain.items()}
    if isinstance(plain, list):
        return [_visible(value) for value in plain]
    return visible(plain) if isinstance(plain, str) else plain


def facts_from_json(plain: Mapping[str, Any]) -> StudyFacts:
    """The facts that `facts.json` holds. Raises RequestError naming what does not fit."""
    try:
        return TypeAdapter(StudyFacts).validate_python(dict(plain))
    except ValidationError as error:
        raise RequestError(explain(error, "facts.json")) from None
