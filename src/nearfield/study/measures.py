"""Metrics that a study can be judged by, and results that it only describes: maps and training speed."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from nearfield.core.errors import RequestError, nearest
from nearfield.metrics.neighbors import Search
from nearfield.metrics.neighbors import nearest as nearest_rows
from nearfield.metrics.projection import principal, umap
from nearfield.metrics.registry import family_of, names, row_of
from nearfield.study.records import MapFacts, Speed
from nearfield.study.statistics.two_way import Array
from nearfield.training.recipe import Recipe
from nearfield.training.validation import SCORE, keeps_val, scores_by

# Which metrics can judge a study, and which a study can only describe. The metrics registry decides.


def span(name: str) -> tuple[float, float]:
    """The smallest and the largest value of a metric; both infinite unless both are bounded."""
    row = row_of(name)
    low, high = row.metric.range if row else (-math.inf, math.inf)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (-math.inf, math.inf)


def check_judge(name: str, where: str) -> None:
    """Raises RequestError if the metric `name` cannot judge a study."""
    row, family = row_of(name), family_of(name)
    refused = (family.refused if family else "") or (row.refused if row else "")
    if refused:
        raise RequestError(
            f"{where}: judge: {name!r} is refused: {refused}. Take a measure on held-out clips, such "
            "as probe/macro_f1, retrieval_from_train/recall_at_1 or tagging/pr_auc."
        )
    if row is None:
        raise RequestError(f"{where}: judge: unknown measure {name!r}. {_hint(name)}")


def check_measure(name: str, where: str) -> None:
    """Raises RequestError if a study cannot describe the metric `name`."""
    if name.startswith("train/"):
        raise RequestError(
            f"{where}: measures: {name!r} is a curve of training, which every document shows. Leave it out."
        )
    if name not in names():
        raise RequestError(f"{where}: measures: unknown measure {name!r}. {_hint(name)}")


def _hint(name: str) -> str:
    """The closest metric name and some common ones; a line cannot hold the full list."""
    guess = nearest(name, tuple(names()))
    usual = "probe/macro_f1, probe/accuracy, retrieval_from_train/recall_at_1, retrieval/map_at_r, "
    return (f"Did you mean {guess!r}? " if guess else "") + f"Usual: {usual}tagging/pr_auc, clusters/nmi."


# Two-dimensional maps of embeddings, and how far each map can be trusted.

Method = Literal["pca", "umap", "tsne"]


def draw_map(method: Method, vectors: Array, labels: Sequence[str]) -> MapFacts:
    """The map of the embeddings `vectors` (N, D), N > 10, with one label each. Deterministic."""
    from sklearn.manifold import trustworthiness

    points = {"pca": _pca, "umap": _umap, "tsne": _tsne}[method](vectors)
    trust = float(trustworthiness(vectors, points, n_neighbors=min(5, len(vectors) // 2 - 1)))
    rounded = tuple((round(float(x), 5), round(float(y), 5)) for x, y in points)
    return MapFacts(method, rounded, tuple(labels), round(trust, 4))


def _pca(vectors: Array) -> Array:
    return principal(vectors, 2)


def _tsne(vectors: Array) -> Array:
    """t-SNE (van der Maaten & Hinton 2008), initialized with the principal components."""
    from sklearn.manifold import TSNE

    near = min(30.0, (len(vectors) - 1) / 3)
    return np.asarray(TSNE(perplexity=near, init="pca", random_state=0).fit_transform(vectors), np.float64)


def _umap(vectors: Array) -> Array:
    single = vectors.astype(np.float32)
    rows, _ = nearest_rows(Search(single, single, "euclidean"), min(15, len(single) - 1))
    # Recomputed so that each point has distance exactly 0 from itself: umap takes the smallest positive
    # distance of a point for the distance of its nearest neighbor.
    distances = np.linalg.norm(single[rows] - single[:, None], axis=2)
    known = (rows.astype(np.int32), distances)
    return umap(single, known, principal(vectors, 2), seed=0).astype(np.float64)


# How fast the arms of a study learn: updates and seconds until a validation score is reached.
#
# A training reaches its target at the first validation that is at or above it. Its seconds are the updates up
# to that point times the median time of one update in that training, which excludes validations and times in
# which the machine was busy with something else. The median over seeds counts a training that never reached
# the target as the slowest, so an arm of which half never reached it has no median.

VALIDATION = SCORE
"""The curve that a target refers to."""
RATE = "train/examples_per_second"


def check_target(target: float | None, recipes: Mapping[str, Recipe], where: str) -> None:
    """Raises RequestError if there is a target and an arm never validates, or by another score."""
    if target is None:
        return
    scores = {scores_by(recipe) for recipe in recipes.values()}
    if len(scores) > 1 or "loss" in scores:
        raise RequestError(
            f"{where}: target: {target:g} must be a value of one validation score between 0 and 1, and the "
            f"arms are validated by: {', '.join(sorted(scores))}. Set train.validate_by to labels, tags or "
            "triplets for all arms, or leave the target out."
        )
    blind = [name for name, recipe in recipes.items() if not keeps_val(recipe)]
    if blind:
        raise RequestError(
            f"{where}: target: {target:g} is a score on the validation clips, but arm {blind[0]!r} never "
            "validates. Set train.validate_every, for example to 20, for all arms (with folds also "
            "train.keep=best), or leave the target out."
        )


def arm_speed(arm: str, logs: Sequence[Path | None], target: float, batch: int) -> Speed:
    """The speed of an arm from the `metrics.jsonl` of its trainings; None stands for a failed training.

    `target` is a value of the score that validates the arm (`train.validate_by`); `batch` is the number of
    items per update.
    """
    reached = [None if path is None else first_reach(_lines(path), target, batch) for path in logs]
    updates = tuple(None if each is None else each[0] for each in reached)
    seconds = tuple(None if each is None else each[1] for each in reached)
    return Speed(arm, updates, seconds, _median(updates), _median(seconds), reached.count(None))


def first_reach(
    lines: Sequence[Mapping[str, Any]], target: float, batch: int
) -> tuple[int, float | None] | None:
    """Update and seconds at which a training reached the target; None if it never did."""
    reached = (int(line["update"]) for line in lines if (line.get(VALIDATION) or 0.0) >= target)
    update = next(reached, None)
    if update is None:
        return None
    # The time of the line after a validation includes the validation.
    plain = (line for before, line in pairwise(lines) if VALIDATION not in before)
    steps = [batch / line[RATE] for line in plain if line.get(RATE)]
    return update, update * median(steps) if steps else None


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines() if line]


def _median(values: Sequence[float | None]) -> float | None:
    """The median, where None counts as infinite."""
    middle = median(math.inf if value is None else value for value in values) if values else math.inf
    return middle if math.isfinite(middle) else None
