"""Text: numbers in words, names that others wrote, file names that are not UTF-8."""

import os
import unicodedata

# Words about numbers, and words that others wrote.


def count(n: int, noun: str) -> str:
    """ "1 seed", "5 seeds"."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}{'es' if noun.endswith(('ss', 'ch')) else 's'}"


_TURNED = frozenset("\u200e\u200f\u061c\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows, or end the line."""


def visible(text: str) -> str:
    """The text with control characters escaped (by a backslash), so that a terminal only shows them.

    Line feeds and tabs stay. Characters that turn the direction of writing are escaped too, and the halves of
    broken characters, which could not be printed.
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
    """A time within a recording: 31:28, 1:02:03, 0:07.25; to the millisecond where it is no whole second."""
    whole, rest = divmod(round(1000 * seconds), 1000)
    minutes, last = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{rest:03d}".rstrip("0") if rest else ""
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{last:02d}{tail}"


def shortened(text: str, longest: int = 120) -> str:
    """A text for a message: its beginning, and how much was left out, where it is long."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]}... ({len(text):,} characters)"


# Names of files and labels that are no UTF-8 text: they come from other systems and can be neither stored
# nor printed.


def is_text(name: str) -> bool:
    """Whether a name is UTF-8 text. One read from a disk of another encoding holds lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(name: str) -> str:
    """The name as it can be printed: what is no UTF-8 text as `\\xe9`."""
    try:
        return os.fsencode(name).decode(errors="backslashreplace")
    except UnicodeEncodeError:  # no name of a file: half of a pair, out of JSON
        return name.encode(errors="backslashreplace").decode()
