"""The gap that triplet miners set on `Pairs`: read in the loss's distance, or turned into cells or triplets.

A triplet (a, p, n) is inside when low < d(a, n) - d(a, p) <= high, in the gap's own distance.
"""

from dataclasses import replace

import torch
from torch import Tensor

from nearfield.core.nouns import Distance, Gap, Pairs
from nearfield.learning.distances import FAR, Points, check_convertible, convert
from nearfield.learning.losses.counting import count
from nearfield.learning.losses.rows import Company


def window(near: Tensor, gap: Gap | None, distance: Distance) -> tuple[Tensor | None, Tensor | None]:
    """For alike distances (R, K) the least and the greatest unlike distance inside the gap.

    All in `distance`; None is no bound.
    """
    if gap is None:
        return None, None
    own = convert(near, distance, gap.distance)
    low, high = (
        None if bound is None else convert(own + bound, gap.distance, distance).clamp(-FAR, FAR / 2)
        for bound in (gap.low, gap.high)
    )
    return None if low is None else low.nextafter(torch.full_like(low, torch.inf)), high


def check_gap(vectors: Tensor, gap: Gap | None, distance: Distance) -> None:
    """Raises RequestError where the gap's distance cannot be read in `distance` for these vectors."""
    if gap is not None:
        check_convertible(vectors, gap.distance, distance)


def settle(vectors: Tensor, pairs: Pairs) -> Pairs:
    """The same pairs without a gap: only cells that stand in a triplet inside it, for losses over pairs."""
    if pairs.gap is None:
        return pairs
    points = Points(vectors.detach(), pairs.gap.distance)
    alike, unlike = torch.zeros_like(pairs.alike), torch.zeros_like(pairs.unlike)
    for part in points.parts():
        distances = points.distances(part)
        company = Company.of(pairs, part, distances)
        near = company.alike.read(distances, -FAR)
        low, high = window(near, pairs.gap, points.distance)
        limit = near.where(company.here == 0, FAR / 2) if high is None else high
        holders, held = count(company.hide(distances, 1.0), low, limit)
        unlike[part] = holders > 0
        found = torch.zeros_like(distances)
        company.alike.add(found, held)
        alike[part] = found > 0
    return replace(pairs.keep(alike, unlike), gap=None)


def triplets(vectors: Tensor, pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Every triplet of the pairs that is inside the gap, as positions (anchors, positives, negatives)."""
    points = Points(vectors.detach(), "euclidean" if pairs.gap is None else pairs.gap.distance)
    found: list[Tensor] = []
    for anchor in range(len(pairs)):
        part = slice(anchor, anchor + 1)
        positives = pairs.alike[anchor].nonzero()
        inside = pairs.unlike[part].expand(len(positives), -1)
        if pairs.gap is not None and len(positives):
            distances = points.distances(part)
            low, high = window(distances[0, positives], pairs.gap, points.distance)
            inside = inside if low is None else inside & (distances >= low)
            inside = inside if high is None else inside & (distances <= high)
        which, negatives = inside.nonzero(as_tuple=True)
        found.append(torch.stack([torch.full_like(which, anchor), positives[which, 0], negatives]))
    anchors, alike, unlike = torch.cat(found, dim=1) if found else pairs.alike.new_zeros(3, 0).long()
    return anchors, alike, unlike
