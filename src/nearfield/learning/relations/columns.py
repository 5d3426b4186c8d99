"""Columns of a collection by name, for rules over them: another session, another node."""

from nearfield.core.errors import RequestError, choose
from nearfield.core.nouns import Bools, Facts, Ints


def column(facts: Facts, name: str, where: str) -> Ints:
    """(N,) class numbers of the column `name`, -1 where it is empty.

    Besides the collection's further columns there are `recording` and `group`. Raises RequestError, with the
    key `where` in front, for any other name.
    """
    known = {"recording": facts.recordings, "group": facts.groups, **facts.columns}
    if name not in known:
        raise RequestError(f"{where}: the collection has no column {name!r}. {choose(name, known)}")
    return known[name]


def same(numbers: Ints) -> Bools:
    """(B, B) whether two items have the same known number."""
    equal: Bools = (numbers[:, None] == numbers[None, :]) & (numbers >= 0)[:, None]
    return equal


def other(numbers: Ints) -> Bools:
    """(B, B) whether two items have known numbers that differ."""
    known = numbers >= 0
    differ: Bools = (numbers[:, None] != numbers[None, :]) & known[:, None] & known[None, :]
    return differ
