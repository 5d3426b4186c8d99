"""How often clips that are pushed apart are in truth the same: the price of learning without labels."""

from collections.abc import Callable, Iterable
from itertools import count, islice
from typing import Protocol

import numpy as np
import torch

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Draw, Facts, Ints, Pairs
from nearfield.learning.relations.time import clear, ticks

SYNCHRONOUS = 1.0
"""Windows that start less than so many seconds apart are called synchronous in `opposite_report`."""


class Epochs(Protocol):
    """What is asked of a sampler."""

    def epoch(self, number: int) -> Iterable[Draw]:
        """The draws of epoch `number`."""
        ...


def false_opposite_rate(
    draws: Iterable[Draw], labels: Ints, relation: Callable[[Draw], Pairs] | None = None
) -> float | None:
    """Share (0..1) of unlike cells whose two clips have the same label; None where no cell can be judged.

    `labels` (N,) are class numbers, -1 for unknown: cells of unknown clips are not counted. Pairs that the
    sampler set itself are taken as they are; for other draws `relation` says who is unlike (RequestError
    without it).
    """
    judged = wrong = 0
    for draw in draws:
        given = torch.from_numpy(labels[draw.rows])
        known = given >= 0
        cells = _pairs(draw, relation).unlike & known[:, None] & known[None, :]
        judged += int(cells.sum())
        wrong += int((cells & (given[:, None] == given[None, :])).sum())
    return wrong / judged if judged else None


def opposite_report(
    sampler: Epochs, relation: Callable[[Draw], Pairs] | None, facts: Facts, batches: int = 50
) -> dict[str, float]:
    """Shares (0..1) of the unlike cells in the first `batches` batches whose two windows have in common:

    `label`, `group`, `recording`, and each further column by its name: cells where one of the two is not
    known are not counted; `synchronous`: they start less than a second apart on the clock of their
    recordings, which means something where recordings share one clock. What cannot be judged is left out.
    Pairs are taken as in `false_opposite_rate`.
    """
    columns = {"label": facts.labels, "group": facts.groups, "recording": facts.recordings, **facts.columns}
    judged = dict.fromkeys((*columns, "synchronous"), 0)
    common = dict(judged)
    for draw in islice((draw for number in count() for draw in sampler.epoch(number)), batches):
        one, other = _pairs(draw, relation).unlike.numpy().nonzero()
        for name, numbers in columns.items():
            first, second = numbers[draw.rows[one]], numbers[draw.rows[other]]
            known = (first >= 0) & (second >= 0)
            judged[name] += int(known.sum())
            common[name] += int((known & (first == second)).sum())
        moments = ticks(facts.moments[draw.rows] + draw.starts)
        near = np.abs(moments[one] - moments[other]) < clear(SYNCHRONOUS)
        judged["synchronous"] += len(near) if facts.moments.any() else 0
        common["synchronous"] += int(near.sum())
    return {name: common[name] / times for name, times in judged.items() if times}


def _pairs(draw: Draw, relation: Callable[[Draw], Pairs] | None) -> Pairs:
    if draw.pairs is not None:
        return draw.pairs
    if relation is None:
        raise RequestError("These draws carry no pairs. Give the relation that fills them.")
    return relation(draw)
