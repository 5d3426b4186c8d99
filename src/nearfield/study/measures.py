"""Metrics that may judge a study, and what is only described: maps and speed."""

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

# Which metrics a study may be judged by, and which it may only describe: what their rows say.


def span(name: str) -> tuple[float, float]:
    """The least and the largest value that a metric can have; infinite both, unless both are bounded."""
    row = row_of(name)
    low, high = row.metric.range if row else (-math.inf, math.inf)
    return (low, high) if math.isfinite(low) and math.isfinite(high) else (-math.inf, math.inf)


def check_judge(name: str, where: str) -> None:
    """Raises RequestError where arms cannot be judged by the measure `name`."""
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
    """Raises RequestError where a study cannot describe the measure `name`."""
    if name.startswith("train/"):
        raise RequestError(
            f"{where}: measures: {name!r} is a curve of training, which every document shows. Leave it out."
        )
    if name not in names():
        raise RequestError(f"{where}: measures: unknown measure {name!r}. {_hint(name)}")


def _hint(name: str) -> str:
    """The nearest measure, and some that are often wanted; all of them are too many for a line."""
    guess = nearest(name, tuple(names()))
    usual = "probe/macro_f1, probe/accuracy, retrieval_from_train/recall_at_1, retrieval/map_at_r, "
    return (f"Did you mean {guess!r}? " if guess else "") + f"Usual: {usual}tagging/pr_auc, clusters/nmi."


# A space of many dimensions laid out in two, and how far the picture can be trusted.

Method = Literal["pca", "umap", "tsne"]


def draw_map(method: Method, vectors: Array, labels: Sequence[str]) -> MapFacts:
    """`vectors` (N, D) with one of `labels` each, N above 10; the same bits each time."""
    from sklearn.manifold import trustworthiness

    points = {"pca": _pca, "umap": _umap, "tsne": _tsne}[method](vectors)
    kept = float(trustworthiness(vectors, points, n_neighbors=min(5, len(vectors) // 2 - 1)))
    rounded = tuple((round(float(x), 5), round(float(y), 5)) for x, y in points)
    return MapFacts(method, rounded, tuple(labels), round(kept, 4))


def _pca(vectors: Array) -> Array:
    return principal(vectors, 2)


def _tsne(vectors: Array) -> Array:
    """Van der Maaten & Hinton (2008), begun from the principal components."""
    from sklearn.manifold import TSNE

    near = min(30.0, (len(vectors) - 1) / 3)
    return np.asarray(TSNE(perplexity=near, init="pca", random_state=0).fit_transform(vectors), np.float64)


def _umap(vectors: Array) -> Array:
    single = vectors.astype(np.float32)
    rows, _ = nearest_rows(Search(single, single, "euclidean"), min(15, len(single) - 1))
    # Worked out anew, so that a point is exactly 0 from itself: umap takes the least that is more for a gap.
    away = np.linalg.norm(single[rows] - single[:, None], axis=2)
    known = (rows.astype(np.int32), away)
    return umap(single, known, principal(vectors, 2), seed=0).astype(np.float64)


# How fast the arms of a study learn: updates and seconds until a score on the validation clips is reached.
#
# A training reaches its target at the first validation that is at or above it. Its seconds are the updates up
# to there times the median time of one update of that training: validations, and moments in which the machine
# was busy with something else, are left out. The median over seeds counts a training that never got there as
# the slowest of all, so that an arm of which half never got there has none.

VALIDATION = SCORE
"""The curve that a target is on."""
RATE = "train/examples_per_second"


def check_target(target: float | None, recipes: Mapping[str, Recipe], where: str) -> None:
    """Raises RequestError where a target is asked for and an arm never validates, or by another score."""
    if target is None:
        return
    scores = {scores_by(recipe) for recipe in recipes.values()}
    if len(scores) > 1 or "loss" in scores:
        raise RequestError(
            f"{where}: target: {target:g} is one share that all arms are to reach, and they are validated "
            f"by: {', '.join(sorted(scores))}. Set train.validate_by to labels, tags or triplets for all "
            "arms, or leave the target out."
        )
    blind = [name for name, recipe in recipes.items() if not keeps_val(recipe)]
    if blind:
        raise RequestError(
            f"{where}: target: {target:g} is a score on the validation clips, and arm {blind[0]!r} never "
            "validates. Set train.validate_every, such as 20, for all arms (in folds train.keep=best as "
            "well), or leave the target out."
        )


def arm_speed(arm: str, logs: Sequence[Path | None], target: float, batch: int) -> Speed:
    """The speed of an arm from the `metrics.jsonl` of its trainings; None stands for one that failed.

    `target`: of the score that the arm is validated by (`train.validate_by`). `batch`: items an update.
    """
    reached = [None if path is None else first_reach(_lines(path), target, batch) for path in logs]
    updates = tuple(None if each is None else each[0] for each in reached)
    seconds = tuple(None if each is None else each[1] for each in reached)
    return Speed(arm, updates, seconds, _median(updates), _median(seconds), reached.count(None))


def first_reach(
    lines: Sequence[Mapping[str, Any]], target: float, batch: int
) -> tuple[int, float | None] | None:
    """Update and seconds at which a training reached the target; None where it never did."""
    there = (int(line["update"]) for line in lines if (line.get(VALIDATION) or 0.0) >= target)
    update = next(there, None)
    if update is None:
        return None
    plain = (line for before, line in pairwise(lines) if VALIDATION not in before)  # its clock ran meanwhile
    steps = [batch / line[RATE] for line in plain if line.get(RATE)]
    return update, update * median(steps) if steps else None


def _lines(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines() if line]


def _median(values: Sequence[float | None]) -> float | None:
    """With None as the largest of all."""
    middle = median(math.inf if value is None else value for value in values) if values else math.inf
    return middle if math.isfinite(middle) else None
