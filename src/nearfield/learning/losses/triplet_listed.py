"""The triplet loss anchor by anchor, triplet by triplet: for the two options that counting cannot serve.

With `swap` the unlike distance depends on the alike item, with `smooth` the slope differs from triplet to
triplet, so O(B^3) steps are needed. Written to be obvious. Keeps two (B, B) matrices.
"""

import torch
from torch import Tensor

from nearfield.core.nouns import Pairs
from nearfield.learning.distances import Points
from nearfield.learning.losses.gaps import window
from nearfield.learning.losses.rows import Company, Tally


def listed(points: Points, pairs: Pairs, tally: Tally, margin: float, swap: bool, smooth: bool) -> None:
    """Adds sums to `tally` and slopes to `points` for every triplet of the pairs."""
    distances = torch.cat([points.distances(part) for part in points.parts()])
    slopes = torch.zeros_like(distances)
    tally.see(Company.of(pairs, slice(None), distances), distances)
    for anchor in range(len(distances)):
        positives, negatives = (cells[anchor].nonzero()[:, 0] for cells in (pairs.alike, pairs.unlike))
        near, far = distances[anchor, positives, None], distances[anchor, negatives][None, :]
        weights = torch.ones_like(near) if pairs.strength is None else pairs.strength[anchor, positives, None]
        weights = weights.to(near.dtype) * _inside(near, far, pairs, points)
        other = distances[positives[:, None], negatives] if swap else far
        nearer = torch.minimum(far, other)
        violation = near - nearer + margin
        slope = (violation.sigmoid() if smooth else (violation > 0).to(near.dtype)) * weights
        hinge = torch.nn.functional.softplus(violation) if smooth else violation.clamp_min(0)
        _count(tally, hinge, weights)
        tally.add("violating", (violation > 0) & (weights > 0))
        tally.add("hard", (nearer <= near) & (weights > 0))
        slopes[anchor, positives] += slope.sum(1)
        at_anchor = slope * ((far < other) + 0.5 * (far == other)) if swap else slope  # a tie is shared
        slopes[anchor, negatives] -= at_anchor.sum(0)
        if swap:
            slopes[positives[:, None], negatives] -= slope - at_anchor
    for part in points.parts():
        points.pull(part, slopes[part].clone(), distances[part].clone())


def _inside(near: Tensor, far: Tensor, pairs: Pairs, points: Points) -> Tensor:
    low, high = window(near, pairs.gap, points.distance)
    inside = torch.ones_like(near - far)
    if low is not None:
        inside = inside * (far >= low)
    return inside if high is None else inside * (far <= high)


def _count(tally: Tally, hinge: Tensor, weights: Tensor) -> None:
    violates = (hinge > 0).to(hinge.dtype)
    tally.add("hinges", hinge * weights)
    tally.add("active_strength", violates * weights)
    tally.add("strength", weights)
    tally.add("active", violates * (weights > 0))
    tally.add("triplets", (weights > 0).to(hinge.dtype))
