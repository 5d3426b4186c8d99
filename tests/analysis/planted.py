"""Spaces with faults planted in them, so that it is known who should be found."""

import numpy as np

from nearfield.core.types import Bools, ClipMetadata, Ints, Vectors


def facts_of(
    labels: Ints | None = None, tags: Bools | None = None, groups: Ints | None = None
) -> ClipMetadata:
    """Facts of clips with labels, or with tags, or with both."""
    count = len(labels) if labels is not None else len(tags) if tags is not None else 0
    known = np.zeros((count, 0), dtype=bool) if tags is None else tags
    sources = np.arange(count) if groups is None else groups
    return ClipMetadata(
        labels=np.full(count, -1) if labels is None else labels,
        label_names=("rain", "wind", "bell", "dog"),
        tags=known,
        tag_names=tuple(f"tag {number}" for number in range(known.shape[1])),
        recordings=sources,
        groups=sources,
        start_times=np.zeros(count),
        seconds=np.ones(count),
    )


def classes(count: int = 400, apart: float = 3.0, seed: int = 0) -> tuple[Vectors, Ints]:
    """Four classes, as far apart as is said in deviations."""
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    centres = chance.standard_normal((4, 10))
    centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
    return (centres[labels] + chance.standard_normal((count, 10))).astype(np.float32), labels


def flipped(labels: Ints, share: float, seed: int = 0) -> tuple[Ints, Bools]:
    """Labels with a share drawn anew among the others, and which those are."""
    chance = np.random.default_rng(seed)
    rows = chance.choice(len(labels), round(share * len(labels)), replace=False)
    wrong, planted = labels.copy(), np.zeros(len(labels), dtype=bool)
    wrong[rows] = (labels[rows] + chance.integers(1, 4, len(rows))) % 4
    planted[rows] = True
    return wrong, planted
