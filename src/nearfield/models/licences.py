"""Under which licence data or weights stand, as far as the files beside them say it."""

import re
from pathlib import Path

from nearfield.core.errors import RequestError
from nearfield.core.plain_yaml import read_yaml

_LONGEST = 300
"""Characters that are quoted; what is longer is cut behind a sentence, or a word."""
_END = re.compile(r"(?<=[\w)`”][\w)`”][.!?])\s")
"""Between two sentences: a stop behind a word, not behind an initial or within a number."""


def stated_licence(folder: Path) -> tuple[str | None, str | None]:
    """The identifier in the front matter of the folder's README.md, and the sentence that states a licence.

    Either is None where nothing is found; nothing is guessed from other files' names or contents.
    """
    for name in ("README.md", "README.txt", "README"):
        if (folder / name).is_file():
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            return _identifier(text), _sentence(text)
    for name in ("LICENSE", "LICENCE", "LICENSE.md", "LICENSE.txt"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return None, next((_cut(line.strip()) for line in lines if line.strip()), None)
    return None, None


def _identifier(text: str) -> str | None:
    """`license` of YAML front matter, as data and model cards have it."""
    if not text.startswith("---\n"):
        return None
    try:
        matter = read_yaml(text[4:].partition("\n---")[0], "the card")
    except RequestError:
        return None
    if not isinstance(matter, dict):
        return None
    found = matter.get("license")
    if found == "other":
        found = matter.get("license_name") or found
    return found if isinstance(found, str) else None


def _sentence(text: str) -> str | None:
    """The first line below the front matter that begins with the word."""
    body = text[4:].partition("\n---")[2] if text.startswith("---\n") else text
    for line in body.splitlines():
        plain = line.strip(" -*#>_")
        if plain.lower().startswith(("licence", "license")) and ":" in plain:
            return _cut(plain.partition(":")[2].strip(" *_")) or None
    return None


def _cut(text: str) -> str:
    """The text up to `_LONGEST` characters, whole sentences where one fits, else whole words, and "…"."""
    if len(text) <= _LONGEST:
        return text
    ends = [found.start() for found in _END.finditer(text[: _LONGEST + 1])]
    kept = text[: ends[-1]] if ends else text[: _LONGEST + 1].rpartition(" ")[0] or text[:_LONGEST]
    return f"{kept.rstrip(' ,;:')} …"
