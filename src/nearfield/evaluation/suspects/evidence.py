"""The two witnesses on a label or tag: the clips around it, and a probe that never saw the clip.

Conventions
-----------
Vectors (N, D) as the space has them; statistics of bands and the like should be standardised before. Targets
(N, K) are zeros and ones: one column a class, or one a tag. Both witnesses give (N, K) shares in 0..1.

- The neighbourhood: the share of each class among the nearest clips, a clip weighing
  exp(-(d - d_first) / (width * median d)) by its squared distance d: near clips speak louder, by a scale
  that each neighbourhood sets itself.
- The probe: logistic regressions fitted on four fifths of the clips say what the others are, five times, so
  that no clip vouches for itself (out-of-fold).

Their mean is what suspicion is based on. On four sets with planted flips it found more than either alone and
more than confident learning on the same vectors: see benchmarks/suspects.py.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from nearfield.core.nouns import Bools, Distance, Floats, Ints, Vectors
from nearfield.core.seeds import stream
from nearfield.core.settings import Settings
from nearfield.evaluation.logistic import ROUGH, Link, Scaling, fit
from nearfield.evaluation.neighbours import Search, nearest, unit
from nearfield.evaluation.suspects.chance import LISTED


class SuspectSettings(Settings):
    """How labels and tags are doubted."""

    kind: Literal["suspects"] = "suspects"
    distance: Distance = "cosine"
    """By which distance clips are near; for vectors that are not normalised, `euclidean`."""
    neighbours: int = Field(30, ge=1, le=1000)
    """Clips around a clip that are asked."""
    width: float = Field(0.1, gt=0)
    """How far the nearest clips outweigh the others: smaller, the more."""
    strength: float = Field(0.1, gt=0)
    """C of the probe; smaller is stronger regularisation, which learns fewer wrong labels by heart."""
    folds: int = Field(5, ge=2, le=50)
    """Parts of the collection that take turns at being judged by a probe taught on the others."""
    apart: bool = False
    """Whether neither witness may know clips of the clip's own group: for sets where whole recordings may be
    labelled wrongly; finds less where single clips are."""
    right: float = Field(LISTED, ge=0, le=1)
    """A clip is listed where at most this share of right labels, or tags, looks as suspicious."""
    most: int = Field(500, ge=1)
    """Longest list of one kind of suspects."""
    seed: int = 0
    """Of the folds."""


@dataclass(frozen=True)
class Evidence:
    """What the two witnesses say."""

    neighbours: Floats
    """(N, K) weighted share of each class among the nearest clips."""
    probe: Floats
    """(N, K) out-of-fold probabilities."""

    @property
    def mean(self) -> Floats:
        """(N, K)"""
        return (self.neighbours + self.probe) / 2


def gather(
    vectors: Vectors, targets: Floats, link: Link, sources: Ints, settings: SuspectSettings
) -> Evidence:
    """Asks both witnesses of N clips with `targets` (N, K); `sources` (N,) are their groups, -1 not known."""
    barred = sources if settings.apart else None
    vectors = vectors.astype(np.float32, copy=False)  # squares of halves would overflow
    space = unit(vectors) if settings.distance == "cosine" else vectors
    return Evidence(
        neighbour_shares(space, targets, barred, settings),
        out_of_fold(vectors, targets, link, barred, settings),
    )


def neighbour_shares(
    space: Vectors, targets: Floats, barred: Ints | None, settings: SuspectSettings
) -> Floats:
    """(N, K) weighted shares among the nearest clips; the overall share where a clip may ask nobody."""
    search = Search.within(space, "squared_euclidean", barred)
    index, apart = nearest(search, settings.neighbours)
    there = index >= 0
    first, scale = np.where(there[:, :1], apart[:, :1], 0), _medians(apart, there)
    weights = np.where(there, np.exp(-(np.where(there, apart, 0) - first) / (settings.width * scale)), 0)
    shares = np.zeros(targets.shape)
    for rank in range(index.shape[1]):
        shares += weights[:, rank, None] * targets[index[:, rank]]
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, shares / np.where(total > 0, total, 1), targets.mean(axis=0)))


def out_of_fold(
    vectors: Vectors, targets: Floats, link: Link, barred: Ints | None, settings: SuspectSettings
) -> Floats:
    """(N, K) what probes say of the clips that they were not taught with."""
    said = np.zeros(targets.shape)
    fold_of = folds(targets, barred, settings)
    for fold in range(settings.folds):
        away = fold_of == fold
        if not away.any() or away.all():
            said[away] = targets.mean(axis=0)
            continue
        scaling = Scaling.of(vectors[~away])
        model = fit(scaling(vectors[~away]), targets[~away], link, settings.strength, tolerance=ROUGH)
        said[away] = model.probabilities(scaling(vectors[away]))
    return said


def folds(targets: Floats, barred: Ints | None, settings: SuspectSettings) -> Ints:
    """(N,) fold of each clip: classes spread evenly, or whole sources together where they are barred."""
    chance = stream(settings.seed, "suspect folds")
    if barred is not None:
        units = np.unique(np.where(barred >= 0, barred, -1 - np.arange(len(barred))), return_inverse=True)[1]
        return np.asarray(chance.permutation(units.max(initial=0) + 1)[units] % settings.folds)
    # In order of the combination of targets and shuffled within it, dealt out like cards.
    order = chance.permutation(len(targets))
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    dealt = order[np.argsort(kinds[order], kind="stable")]
    fold_of = np.empty(len(targets), dtype=np.int64)
    fold_of[dealt] = np.arange(len(targets)) % settings.folds
    return fold_of


def _medians(apart: Floats, there: Bools) -> Floats:
    """(N, 1) the median distance to the neighbours that there are; 1 where all are at no distance."""
    known = np.where(there, apart, np.nan)
    known[~there.any(axis=1)] = 1.0
    medians = np.nanmedian(known, axis=1, keepdims=True)
    return np.asarray(np.where(medians > 0, medians, 1.0))
