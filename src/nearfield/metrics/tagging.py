"""Tags read out of a frozen space, and how well their scores rank clips."""

from dataclasses import dataclass

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.probes import ROUGH, STRENGTHS, Logistic, Scaling, fit

# Tags read out of a frozen space: one logistic regression a tag, and how well their scores rank the clips.
#
# Conventions
# -----------
# N clips, K tags, scores of any scale (larger: rather has the tag). A tag that every clip or no clip has is
# undefined: NaN in the tables, left out of the mean and counted. Areas are fractions in 0..1. `weights`
# (draws, N) count a clip several times or not at all, which is how resampling asks for a score.
#
# Metrics
# -------
# - `roc_auc`: the chance that a clip with the tag scores above one without, ties half; chance level 0.5.
# - `pr_auc`: average precision, sum of precision times the step in recall over distinct scores, as in
#   scikit-learn; chance level is the share of clips that have the tag.

FEW = 20
"""Positives below which a tag's own figures say little."""


@dataclass(frozen=True)
class Tagged:
    """Clips with their tags."""

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
    """A linear reader of tags."""

    scaling: Scaling
    model: Logistic
    readable: Ints
    """The tags that train holds with and without: each output's tag number."""
    strength: float
    """C, one for all tags."""
    chosen: bool
    """Whether C was chosen on val."""

    def probabilities(self, vectors: Vectors) -> Floats:
        """(N, len(readable)), each in 0..1."""
        return self.model.probabilities(self.scaling(vectors))


def fit_tag_probe(
    train: Tagged, val: Tagged | None = None, balanced: bool = False, strength: float | None = None
) -> TagProbe:
    """One-vs-rest logistic regressions on standardised vectors, fitted on train alone.

    C is chosen on val by macro PR-AUC, ties going to the stronger regularisation, or is `strength`, or 1.
    `balanced` weights clips so that those with a tag and those without weigh alike. Raises RequestError
    where no tag is on some clips of train and not on others.
    """
    count = train.tags.sum(axis=0)
    readable = np.flatnonzero((count > 0) & (count < len(train)))
    if not len(readable):
        raise RequestError(
            "tag probe: train must hold a tag that some clips have and others lack; given: none."
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
    """`roc_auc` and `pr_auc` of every tag: names to (draws, K); (1, K) without weights.

    `tags` and `scores` are (N, K). NaN where a draw holds no clip with the tag or none without.
    """
    check_lengths(len(tags), scores=scores)
    given = np.ones((1, len(tags))) if weights is None else np.atleast_2d(weights)
    areas = [_areas(tags[:, tag], scores[:, tag], given) for tag in range(tags.shape[1])]
    if not areas:
        return {name: np.zeros((len(given), 0)) for name in ("roc_auc", "pr_auc")}
    return {"roc_auc": np.stack([roc for roc, _ in areas], 1), "pr_auc": np.stack([pr for _, pr in areas], 1)}


def macro(areas: Floats) -> Floats:
    """(draws,) the mean over the tags that are defined; NaN where none is."""
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
    # Clips of equal score stand on one step of both curves.
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
    """(n, K) weights of mean one in every column that give both sides of a tag the same total."""
    share = targets.mean(axis=0)
    return np.asarray(np.where(targets > 0, 0.5 / share, 0.5 / (1 - share)))
