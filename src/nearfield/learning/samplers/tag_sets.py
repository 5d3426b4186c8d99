"""Who shares a tag with whom, and who shares none: clips' tags as bits, and draws among strangers."""

from typing import NamedTuple

import numpy as np

from nearfield.core.nouns import Bools, Ints
from nearfield.learning.samplers.refusal import draw_allowed


class Triplets(NamedTuple):
    """One epoch's triplets, each array (triplets,)."""

    tags: Ints
    """Number of the tag by which the positive was drawn, counted with synonyms merged."""
    anchors: Ints
    """Row numbers (from a rule: positions among the tagged clips), as the next two."""
    positives: Ints
    negatives: Ints


def packed(tags: Bools) -> Ints:
    """(N, words) the tags of each clip as bits, 64 a word: two clips share one where `&` leaves any."""
    bits = np.packbits(tags, axis=1)
    padding = -bits.shape[1] % 8
    return np.ascontiguousarray(np.pad(bits, ((0, 0), (0, padding)))).view(np.int64)


def apart(some: Ints, others: Ints) -> Bools:
    """(B,) whether two clips share no tag, from their packed tags (B, words)."""
    found: Bools = (some & others == 0).all(axis=1)
    return found


def strangers(askers: Ints, words: Ints, chance: np.random.Generator) -> Ints:
    """For each asker's packed tags one clip that shares none with it, uniformly; -1 where all share."""
    count = len(words)
    if np.bitwise_and.reduce(words, axis=0).any():  # a tag that every clip has: nobody need be asked
        return np.full(len(askers), -1, dtype=np.int64)

    def draw(some: Ints) -> Ints:
        return chance.integers(count, size=len(some))

    def allowed(some: Ints, drawn: Ints) -> Bools:
        return apart(askers[some], words[drawn])

    return draw_allowed(len(askers), draw, allowed, count, chance)
