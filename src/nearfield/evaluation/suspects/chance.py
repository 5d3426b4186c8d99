"""The chance that a suspicion is right, from wrong labels planted in the collection itself.

No witness knows the label of the clip that it speaks of, so what it would say of a wrong one is known without
asking again: the same clip under every label that it does not have, the same tag on every clip that lacks it.
The `rank` of a suspicion is the share of those planted errors that are less suspicious. It takes the place
of a prior: of a rare tag almost every clip is unlikely to have it, and being unlikely says little.

Ranks of wrong ones are spread evenly over 0..1, those of right ones lie low. How many right ones reach a rank
cannot be told from a collection whose errors are not known; it was measured on four sets of labels and three
of tags (`benchmarks/suspects.py`), and `RIGHT` bounds it, or more where the collection itself has more from
rank `CHECKED` on. Where classes overlap more than in those sets, scores are too high. As in target-decoy
searches (Elias and Gygi 2007), of n suspicions of a rank or above at most 1 + (the right ones expected there)
are taken to be false, and the score of a suspicion is the best share of true ones among all lists from the
top that it is on.
"""

from dataclasses import dataclass

import numpy as np

from nearfield.core.nouns import Bools, Floats


@dataclass(frozen=True)
class Tail:
    """The share of right ones of a rank of u and above: `share` (1 - u)^`fall`, never above 1."""

    share: float
    fall: float

    def __call__(self, ranks: Floats) -> Floats:
        return np.asarray(np.minimum(1.0, self.share * (1 - ranks) ** self.fall))


RIGHT = {"label": Tail(0.15, 4.5), "tag": Tail(1.0, 2.0)}
"""No set had more right ones at any rank from where this falls below 0.05."""
CHECKED = 0.25
LISTED = 0.05
"""The tail of right ones up to which a suspicion says anything."""


def planted_ranks(scores: Floats, planted: Floats) -> Floats:
    """(n,) the share of `planted` (m,) that lies below each score, equals half."""
    order = np.sort(planted)
    below, up_to = np.searchsorted(order, scores, "left"), np.searchsorted(order, scores, "right")
    return np.asarray((below + up_to + 1) / (2 * len(order) + 2))


def chances(ranks: Floats, right: Tail) -> Floats:
    """(n,) the chance that each suspicion is right, from the ranks (n,) of all that could be wrong."""
    order = np.argsort(-ranks, kind="stable")
    falling = ranks[order]
    as_many = np.searchsorted(-falling, -falling, "right")
    seen = float((ranks >= CHECKED).mean()) / (1 - CHECKED) ** right.fall if len(ranks) else 0.0
    tail = Tail(max(right.share, seen), right.fall)(falling)
    true = np.where(tail <= LISTED, 1 - (1 + len(ranks) * tail) / np.maximum(as_many, 1), 0.0)
    found = np.zeros(len(ranks))
    found[order] = np.maximum(np.maximum.accumulate(true[::-1])[::-1], 0.0)
    return found


def listed(ranks: Floats, right: Tail, most: float) -> Bools:
    """(n,) the suspicions of ranks that at most a share `most` of right ones reaches."""
    return np.asarray(right(ranks) <= most)
