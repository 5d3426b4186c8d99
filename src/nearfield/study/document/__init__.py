"""A study's document in all its forms: facts.json, study.html, study.pdf, study.md and figures/."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing, write_text
from nearfield.core.settings import explain
from nearfield.core.text import visible
from nearfield.study.document.sections import document
from nearfield.study.document.writers import html, markdown, pdf, write_figures
from nearfield.study.records import StudyFacts


def write_documents(facts: StudyFacts, folder: Path, introductions: Mapping[str, str] | None = None) -> None:
    """Writes the four files and the figures into `folder`, each whole or not at all; equal facts give equal
    bytes. `introductions`: by dotted recipe key, what the setting does."""
    text = json.dumps(asdict(facts), allow_nan=False, ensure_ascii=False, sort_keys=True)
    facts = facts_from_json(_visible(json.loads(text)))
    content = document(facts, introductions or {})
    page, paper, short = html(content), pdf(content), markdown(content)
    write_text(folder / "facts.json", text + "\n")
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
