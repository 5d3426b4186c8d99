"""Tags that mean the same are made one tag before any two clips are compared."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from nearfield.core.errors import RequestError, choose
from nearfield.core.nouns import Bools

Synonyms = tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]
"""Groups of tag names that mean the same, as in `[[vocal, vocals, voice], [beat, beats]]`."""


def merge_synonyms(
    tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str
) -> tuple[Bools, tuple[str, ...]]:
    """Tags (N, K) and their K names with each group made one column, under the group's first name.

    A clip has the merged tag where it has any of the group. Raises RequestError, with `where` in front,
    for a name that is not among the tags and for a name that stands in two groups.
    """
    _check(names, synonyms, where)
    number = {name: position for position, name in enumerate(names)}
    merged = tags.copy()
    gone: set[str] = set()
    for first, *others in synonyms:
        merged[:, number[first]] = tags[:, [number[name] for name in (first, *others)]].any(axis=1)
        gone.update(others)
    kept = [position for position, name in enumerate(names) if name not in gone]
    return np.ascontiguousarray(merged[:, kept]), tuple(names[position] for position in kept)


def _check(names: Sequence[str], synonyms: Synonyms, where: str) -> None:
    known = set(names)
    for name, times in Counter(name for group in synonyms for name in group).items():
        if name not in known:
            raise RequestError(f"{where}: synonyms: no tag is called {name!r}. {choose(name, names)}")
        if times > 1:
            raise RequestError(
                f"{where}: synonyms: the tag {name!r} is listed {times} times. "
                "Name it once; groups that share a tag are one group."
            )
