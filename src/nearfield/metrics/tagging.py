"""Tag probes of frozen embeddings, and areas under curves of tag scores."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.probes import ROUGH, STRENGTHS, Logistic, Scaling, fit

# Conventions
# -----------
# N clips, K tags, scores of any scale (larger means that the tag is more likely). The area of a tag that all
# or no clips have is undefined: NaN in the tables, left out of the mean and counted. Areas are in 0..1.
# `weights` (draws, N) are the number of times that each clip counts, as needed for resampling.
#
# Metrics
# -------
# - `roc_auc`: probability that a clip with the tag scores above one without; ties count half. 0.5 by chance.
# - `pr_auc`: average precision, the sum of precision times the step in recall over distinct scores, as in
#   scikit-learn; by chance, the fraction of clips that have the tag.

FEW = 20
"""Number of positives below which the scores of a single tag are unreliable."""


@dataclass(frozen=True)
class Tagged:
    """Embeddings of clips with their tags."""

    vectors: Vectors
    """(N, D)"""
    tags: Bools
    """(N, K)"""

    def __post_init__(self) -> None:
        check_vectors("vectors", self.vectors)
        check_lengths(len(self.vectors), tags=self.tags)

    def __len__(self) -> int:
        return len(self.tags)


@dataclass(frozen=True)
class TagProbe:
    """A fitted linear probe of tags."""

    scaling: Scaling
    model: Logistic
    readable: Ints
    """Tag number of each output: tags that some train clips have and others do not."""
    strength: float
    """C, one for all tags."""
    chosen: bool
    """Whether C was chosen on val."""

    def probabilities(self, vectors: Vectors) -> Floats:
        """Returns probabilities (N, len(readable))."""
        return self.model.probabilities(self.scaling(vectors))


def fit_tag_probe(
    train: Tagged, val: Tagged | None = None, balanced: bool = False, strength: float | None = None
) -> TagProbe:
    """Fits one logistic regression per tag on standardized embeddings.

    Parameters
    ----------
    train
        Clips to fit.
    val
        Clips that choose C from `STRENGTHS` by macro PR-AUC; without them C is 1. Ties go to the stronger
        regularization.
    balanced
        Whether clips are weighted so that those with and those without a tag have equal total weight.
    strength
        A fixed C.

    Returns
    -------
    TagProbe
        The fitted probe.

    Raises
    ------
    RequestError
        If no tag separates the train clips.
    """
    count = train.tags.sum(axis=0)
    readable = np.flatnonzero((count > 0) & (count < len(train)))
    if not len(readable):
        raise RequestError(
            "tag probe: train must have a tag that some clips have and others do not; given: none. "
            "Add tagged clips."
        )
    scaling = Scaling.of(train.vectors)
    features, targets = scaling(train.vectors), train.tags[:, readable].astype(np.float64)
    weights = _balance(targets) if balanced else None
    if strength is not None or val is None or not len(val):
        model = fit(features, targets, "sigmoid", strength or 1.0, weights)
        return TagProbe(scaling, model, readable, strength or 1.0, chosen=False)

    held_out, best, best_score = scaling(val.vectors), 0, -1.0
    path: list[Logistic] = []
    for number, candidate in enumerate(STRENGTHS):
        start = path[-1] if path else None
        path.append(fit(features, targets, "sigmoid", candidate, weights, start, ROUGH))
        areas = tag_areas(val.tags[:, readable], path[-1].logits(held_out))["pr_auc"]
        score = float(macro(areas)[0])
        if score > best_score:
            best, best_score = number, score
    model = fit(features, targets, "sigmoid", STRENGTHS[best], weights, path[best])
    return TagProbe(scaling, model, readable, STRENGTHS[best], chosen=True)


def tag_areas(tags: Bools, scores: Floats, weights: Floats | None = None) -> dict[str, Floats]:
    """Computes ROC-AUC and average precision of each tag.

    Parameters
    ----------
    tags, scores
        (N, K) tags and scores.
    weights
        (draws, N) number of times that each clip counts in each resample.

    Returns
    -------
    dict
        `roc_auc` and `pr_auc`, each (draws, K), or (1, K) without weights; NaN if a resample has no clip with
        the tag or none without.
    """
    check_lengths(len(tags), scores=scores)
    given = np.ones((1, len(tags))) if weights is None else np.atleast_2d(weights)
    areas = [_areas(tags[:, tag], scores[:, tag], given) for tag in range(tags.shape[1])]
    if not areas:
        return {name: np.zeros((len(given), 0)) for name in ("roc_auc", "pr_auc")}
    return {"roc_auc": np.stack([roc for roc, _ in areas], 1), "pr_auc": np.stack([pr for _, pr in areas], 1)}


def macro(areas: Floats) -> Floats:
    """Averages areas (draws, K) over the tags with a defined area; NaN if there is none. Returns (draws,)."""
    defined = np.isfinite(areas)
    count = defined.sum(axis=1)
    total = np.where(defined, areas, 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _areas(has: Bools, scores: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """(draws,) ROC-AUC and (draws,) average precision of one tag."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else order
    if not len(starts):
        return np.full(len(weights), np.nan), np.full(len(weights), np.nan)
    # Clips with equal scores form one step of both curves.
    with_tag = np.add.reduceat(weights[:, order] * has[order], starts, axis=1)
    without = np.add.reduceat(weights[:, order] * ~has[order], starts, axis=1)
    hits, falls = np.cumsum(with_tag, axis=1), np.cumsum(without, axis=1)
    positives, negatives = hits[:, -1], falls[:, -1]
    defined = (positives > 0) & (negatives > 0)
    safe = np.where(positives > 0, positives, 1)
    above = (without * (hits - with_tag / 2)).sum(axis=1)
    precision = hits / np.where(hits + falls > 0, hits + falls, 1)
    roc = above / (safe * np.where(negatives > 0, negatives, 1))
    average = (precision * with_tag).sum(axis=1) / safe
    return np.where(defined, roc, np.nan), np.where(defined, average, np.nan)


def _balance(targets: Floats) -> Floats:
    """(n, K) weights with column mean one that give clips with and without a tag the same total."""
    share = targets.mean(axis=0)
    return np.asarray(np.where(targets > 0, 0.5 / share, 0.5 / (1 - share)))
