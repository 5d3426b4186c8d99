"""Pictures of a space in the making: where the val clips lie, and how far apart their labels are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from nearfield.core.nouns import Ints, Vectors
from nearfield.evaluation.geometry import Apart, centroid_scores, centroids
from nearfield.evaluation.projection import principal
from nearfield.runs.plotting import COLOURS, MUTED, apart_figure, new_figure, quieten
from nearfield.runs.workbench import Workbench

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = "os^Dv"
MOST_POINTS = 2000
"""Clips on a map; of more, as many evenly chosen."""


def validation_figures(vectors: Vectors, bench: Workbench) -> Iterator[tuple[str, "Figure"]]:
    """`val/map` and, of two labels or more, `val/centroids`, by (N, D) vectors of all clips."""

    facts, rows = bench.facts, bench.collection.rows("val")
    shown = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS)).round().astype(int))]
    found = centroids(vectors[rows], facts.labels[rows], facts.label_names, bench.recipe.embedding.normalise)
    figures = {"val/map": map_figure(vectors[shown], facts.labels[shown], facts.label_names)}
    if len(found.names) > 1:
        spread = centroid_scores(found).get("centroid_spread")
        figures["val/centroids"] = apart_figure(Apart(found, spread, None))
    for name, figure in figures.items():
        quieten(figure)
        yield name, figure


def map_figure(vectors: Vectors, labels: Ints, names: tuple[str, ...]) -> "Figure":
    """(n, D) vectors along the two directions in which they vary most, coloured by label."""

    centred = vectors - vectors.mean(0)
    x, y = principal(vectors, 2).T
    figure = new_figure(6.0, 4.2)
    axes = figure.subplots()
    for number in np.unique(labels).tolist():
        own = labels == number
        colour = COLOURS[number % len(COLOURS)] if number >= 0 else MUTED
        mark = MARKS[number // len(COLOURS) % len(MARKS)]
        axes.plot(
            x[own], y[own], mark, color=colour, markersize=5, alpha=0.75, markeredgewidth=0,
            label=names[number] if number >= 0 else "no label",
        )  # fmt: skip
    kept = float((x**2 + y**2).sum() / max(1e-12, float((centred**2).sum())))
    axes.set_title(f"{len(vectors):,} val clips, {kept:.0%} of variance", loc="left", fontsize=8.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    if len(np.unique(labels)) <= 20:
        figure.legend(frameon=False, fontsize=7, loc="outside right upper")
    return figure
