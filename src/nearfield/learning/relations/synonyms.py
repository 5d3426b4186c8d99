"""Tags that mean the same are made one tag before any two clips are compared."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from nearfield.core.errors import RequestError, choose
from nearfield.core.nouns import Bools, Floats

Synonyms = tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...]
"""Groups of tag names that mean the same, as in `[[vocal, vocals, voice], [beat, beats]]`."""


def merge_synonyms(
    tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str
) -> tuple[Bools, tuple[str, ...]]:
    """Tags (N, K) and their K names with each group made one column, under the group's first name.

    A clip has the merged tag where it has any of the group. Raises RequestError, with `where` in front,
    for a name that is not among the tags and for a name that stands in two groups.
    """
    filled = fill_synonyms(tags, names, synonyms, where)
    kept = _kept(names, synonyms)
    return np.ascontiguousarray(filled[:, kept]), tuple(names[position] for position in kept)


def fill_synonyms(tags: Bools, names: Sequence[str], synonyms: Synonyms, where: str) -> Bools:
    """(N, K) tags with every tag of a group set where any of the group is; errors as in `merge_synonyms`."""
    _check(names, synonyms, where)
    filled = tags.copy()
    for group in synonyms:
        columns = [names.index(name) for name in group]
        filled[:, columns] = tags[:, columns].any(axis=1, keepdims=True)
    return filled


def merge_scores(scores: Floats, names: Sequence[str], synonyms: Synonyms) -> Floats:
    """Scores (N, K) in the columns that `merge_synonyms` leaves: each group has its highest score."""
    merged = scores.copy()
    for group in synonyms:
        columns = [names.index(name) for name in group]
        merged[:, columns[0]] = scores[:, columns].max(axis=1)
    return merged[:, _kept(names, synonyms)]


def _kept(names: Sequence[str], synonyms: Synonyms) -> list[int]:
    """Positions of the tags that stand for themselves or for their group."""
    gone = {name for _, *others in synonyms for name in others}
    return [position for position, name in enumerate(names) if name not in gone]


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
