"""TensorBoard event files: curves, and figures of the validation clips."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearfield.core.extras import has
from nearfield.core.types import Ints, Vectors
from nearfield.metrics.geometry import Apart, centroid_scores, centroids
from nearfield.metrics.projection import principal
from nearfield.training.plotting import COLOURS, MUTED, apart_figure, new_figure, quieten
from nearfield.training.setup import TrainingSetup

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Curves and pictures of a run for TensorBoard; nothing leaves the machine.

CURVE_EVERY = 5
"""Updates from one point of a curve to the next; metrics.jsonl has them all."""


class Board:
    """Event files in a folder; on resumption, points after the checkpoint are hidden.

    Without the extra `tensorboard` nothing is written: metrics.jsonl has the numbers too.
    """

    def __init__(self, folder: Path, after: int) -> None:
        if not has("tensorboard"):
            self._writer = None
            return
        from torch.utils.tensorboard.writer import SummaryWriter

        self._writer = SummaryWriter(str(folder), purge_step=after + 1 if after else None)

    def add(self, update: int, numbers: dict[str, float]) -> None:
        """Points of curves. Numbers that not every update has, such as validations, are all written.

        The distances of every pair of labels are not: they would bury the rest, and are a picture there.
        """
        if self._writer is None:
            return
        thin = update > 1 and update % CURVE_EVERY
        for name, value in numbers.items():
            if name == "val/score" or name.startswith("val/centroids/"):
                continue
            if not thin or name.startswith("val/"):
                self._writer.add_scalar(name, value, update)

    def draw(self, update: int, name: str, figure: "Figure") -> None:
        """A picture, in a row with those of the same name."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        assert self._writer is not None  # a training with figures is refused without the extra
        canvas = FigureCanvasAgg(figure)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Glyph")  # names may be of any script
            canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
        self._writer.add_image(name, pixels, update, dataformats="HWC")

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()


# Pictures of a space in the making: where the val clips lie, and how far apart their labels are.

MARKS = "os^Dv"
MOST_POINTS = 2000
"""Clips on a map; of more, as many evenly chosen."""


def validation_figures(vectors: Vectors, setup: TrainingSetup) -> Iterator[tuple[str, "Figure"]]:
    """`val/map` and, of two labels or more, `val/centroids`, by (N, D) vectors of all clips."""
    metadata, rows = setup.metadata, setup.collection.rows("val")
    shown = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS)).round().astype(int))]
    found = centroids(
        vectors[rows], metadata.labels[rows], metadata.label_names, setup.recipe.embedding.normalize
    )
    figures = {"val/map": map_figure(vectors[shown], metadata.labels[shown], metadata.label_names)}
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
