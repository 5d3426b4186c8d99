"""Text for messages: numbers, untrusted names, file names that are not UTF-8."""

import os
import unicodedata
from collections.abc import Sequence


def count(n: int, noun: str) -> str:
    """Formats a number with its noun: "1 seed", "5 seeds"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith(('ss', 'ch')) else 's'}"


def enumerated(words: Sequence[str], last: str = "and") -> str:
    """Joins words: "a", "a and b", "a, b and c"; empty words are left out, none at all give ""."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def first_paragraph(doc: str | None) -> str:
    """Returns the first paragraph of a docstring on one line."""
    return " ".join((doc or "").split("\n\n")[0].split())


_TURNED = frozenset("\u200e\u200f\u061c\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that change the direction of the text after them, or end the line."""


def visible(text: str) -> str:
    """Escapes control characters, so that a terminal shows them instead of executing them.

    Line feeds and tabs are kept. Characters that change the direction of writing and lone surrogates, which
    cannot be printed, are escaped, too.
    """
    if text.isprintable():
        return text
    return "".join(
        _escaped(sign) if unicodedata.category(sign) in ("Cc", "Cs") or sign in _TURNED else sign
        for sign in text
    )


def _escaped(sign: str) -> str:
    return sign if sign in "\n\t" else sign.encode("unicode_escape").decode()


def clock(seconds: float) -> str:
    """Formats a time in a recording as 31:28, 1:02:03 or 0:07.25, with milliseconds if needed."""
    whole, rest = divmod(round(1000 * seconds), 1000)
    minutes, last = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{rest:03d}".rstrip("0") if rest else ""
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{last:02d}{tail}"


def shortened(text: str, longest: int = 120) -> str:
    """Shortens a long text to its beginning and its number of characters."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}... ({len(text):,} characters)"


# Names of files and labels that are not UTF-8 text cannot be stored or printed.


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 text. File names in other encodings contain lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """Makes a name printable: bytes that are not UTF-8 become `\\xe9`."""
    try:
        return os.fsencode(name).decode(errors="backslashreplace")
    except UnicodeEncodeError:  # not a file name: a lone surrogate from JSON
        return name.encode(errors="backslashreplace").decode()
