"""Pairs for a blinded listening test: what the space says is alike, and controls that it says nothing of.

For every anchor, so that conditions can be compared within it:

- `neighbour`: its nearest clip of another group. `random`: a clip of another group drawn by chance.
- `label`: the clip at the heart of the anchor's own label. `shuffled label`: the same after the anchor was
  given another label by chance. Only where there are labels.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Bools, Ints
from nearfield.core.seeds import stream
from nearfield.evaluation.neighbours import Search, nearest
from nearfield.evaluation.sphere import angles, spherical_mean
from nearfield.space.listening.shelf import Shelf

Condition = Literal["neighbour", "random", "label", "shuffled label"]

CONTROLS: dict[Condition, Condition] = {"neighbour": "random", "label": "shuffled label"}
"""Each condition with its control."""


@dataclass(frozen=True)
class Pair:
    """Two clips to be rated."""

    condition: Condition
    anchor: int
    """Row of the shelf."""
    other: int
    anchor_first: bool
    """Whether the anchor is heard first; drawn by chance."""


def draw_pairs(shelf: Shelf, anchors: int, seed: int) -> list[Pair]:
    """The pairs of so many anchors in an order drawn by chance.

    Raises RequestError where clips of two groups are not there.
    """
    chance, groups = stream(seed, "listening test"), shelf.groups
    if len(np.unique(groups)) < 2:
        raise RequestError(f"{shelf.name}: a listening test needs clips of two groups at least.")
    labels = shelf.labels
    able = np.flatnonzero(labels >= 0) if len(shelf.label_names) > 1 else np.arange(len(shelf))
    rows = chance.permutation(able)[:anchors]
    pairs = []
    search = Search(shelf.vectors[rows], shelf.vectors, "cosine", rows, groups[rows], groups)
    first = nearest(search, 1)[0][:, 0]
    for row, near in zip(rows.tolist(), first.tolist(), strict=True):
        other = int(chance.choice(np.flatnonzero(groups != groups[row])))
        pairs += [_pair("neighbour", row, near, chance), _pair("random", row, other, chance)]
    if len(shelf.label_names) > 1:
        pairs += _label_pairs(shelf, rows, chance)
    return [pairs[at] for at in chance.permutation(len(pairs))]


def _label_pairs(shelf: Shelf, rows: Ints, chance: np.random.Generator) -> list[Pair]:
    labels, names, pairs = shelf.labels, shelf.label_names, []
    for row in rows.tolist():
        others = np.array([number for number in range(len(names)) if number != labels[row]])
        own = _heart(shelf, labels == labels[row], row)
        shuffled = _heart(shelf, labels == chance.choice(others), row)
        if own is not None and shuffled is not None:
            pairs += [_pair("label", row, own, chance), _pair("shuffled label", row, shuffled, chance)]
    return pairs


def _heart(shelf: Shelf, members: Bools, row: int) -> int | None:
    """The clip of a label nearest to its centroid that is not of the anchor's group."""
    own = np.flatnonzero(members & (shelf.groups != shelf.groups[row]))
    if not len(own):
        return None
    apart = angles(shelf.vectors[own], spherical_mean(shelf.vectors[members]))
    return int(own[int(np.argmin(apart))])


def _pair(condition: Condition, anchor: int, other: int, chance: np.random.Generator) -> Pair:
    return Pair(condition, anchor, other, bool(chance.integers(2)))
