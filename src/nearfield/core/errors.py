"""The error family: one root, and a subclass only where a caller would do something different.

    NearfieldError
    ├── RequestError     the request was wrong: a recipe key, a path, a combination   (exit code 2)
    │   └── DataError    the data cannot serve the request: nothing trainable, a leak (exit code 2)
    └── WorkError        the request was right and the work failed: a full disk      (exit code 1)
        └── DivergedError  a training whose loss is no longer a number             (exit code 1)

A message has up to three sentences: what is wrong and where, what was given, what to do next.
"""

import difflib
from collections.abc import Iterable
from itertools import islice

_COMPARED = 20_000  # choices that a word is compared with


class NearfieldError(Exception):
    """Root of every error that Nearfield raises on purpose."""

    exit_code = 1


class RequestError(NearfieldError):
    """What was asked for cannot be done as asked."""

    exit_code = 2


class DataError(RequestError):
    """The data cannot serve the request."""


class WorkError(NearfieldError):
    """The request was sound; the work failed."""


class DivergedError(WorkError):
    """A training whose loss is no longer a number: to train it again would end alike."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` was most likely meant to be, or None where none is close.

    Of very many the first are looked at: all would take seconds.
    """
    known = {choice.lower(): choice for choice in islice(choices, _COMPARED)}
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def choose(word: str, choices: Iterable[str]) -> str:
    """A sentence that lists `choices`, with the nearest one to `word` first where one is close."""
    listed = list(choices)
    guess = nearest(word, listed)
    hint = f"Did you mean {guess!r}? " if guess else ""
    return f"{hint}Known: {', '.join(listed) or 'none'}."
