"""How often clips that a relation pushes apart carry the same label: the price of learning without labels."""

from collections.abc import Callable, Iterable

import torch

from nearfield.core.nouns import Draw, Ints, Pairs


def false_opposite_rate(
    draws: Iterable[Draw], labels: Ints, relation: Callable[[Draw], Pairs] | None = None
) -> float | None:
    """Share (0..1) of unlike cells whose two clips have the same label; None where no cell can be judged.

    `labels` (N,) are class numbers, -1 for unknown: cells of unknown clips are not counted. Pairs that the
    sampler set itself are taken as they are; for other draws `relation` says who is unlike (ValueError
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


def _pairs(draw: Draw, relation: Callable[[Draw], Pairs] | None) -> Pairs:
    if draw.pairs is not None:
        return draw.pairs
    if relation is None:
        raise ValueError("These draws carry no pairs: give the relation that fills them.")
    return relation(draw)
