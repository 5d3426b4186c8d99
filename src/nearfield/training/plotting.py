"""Figures: colours, style, matrices, spectrograms, names shown as written."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nearfield.core.extras import require
from nearfield.core.files import replacing
from nearfield.core.text import visible
from nearfield.core.types import Floats, Vectors
from nearfield.metrics.geometry import Apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure


# Names in figures, shown as they are written.


def as_written(figure: "Figure") -> None:
    """Reads no text of a figure as a formula, and escapes control characters: names come from files."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            named = isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter)
            if named and isinstance(axis.get_major_locator(), FixedLocator):
                axis.set_ticklabels([visible(label.get_text()) for label in axis.get_ticklabels()])
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_text(visible(text.get_text()))


# What all figures of a run share: colours, the quiet style, matrices and spectrograms.

INK, MUTED, RULE = "#22262b", "#6b737c", "#d5d9dd"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Okabe and Ito's, which most eyes can tell apart."""

MOST_NAMES = 40
"""Labels or tags that a figure names one by one."""

_DOTS = 150  # to the inch
_RANGE = 80.0  # decibels from the loudest to what is shown as nothing


def apart_figure(apart: Apart) -> "Figure":
    """The same, not yet written."""
    names = apart.centroids.names
    split = 2.2 + 0.24 * min(len(names), MOST_NAMES)
    figure = new_figure(split + 0.8, split)
    axes = figure.subplots()
    drawn = draw_matrix(axes, apart.centroids.distances, names)
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.03)
    bar.outline.set_visible(False)
    chance = "" if apart.spread_by_chance is None else f" (shuffled labels {apart.spread_by_chance:.2f})"
    axes.set_title(
        f"distance between centroids\nvariation {apart.spread or 0:.2f}{chance}", loc="left", fontsize=8.5
    )
    return figure


def draw_matrix(axes: "Axes", cells: Floats, names: Sequence[str], most: float | None = None) -> "QuadMesh":
    """Square cells from 0 up, with names on both sides where they can be read."""
    drawn = axes.pcolormesh(cells, vmin=0, vmax=most, cmap="Blues")
    axes.set_aspect("equal")
    axes.invert_yaxis()
    named = names if len(names) <= MOST_NAMES else ()
    places = np.arange(len(named)) + 0.5
    axes.set_xticks(places, [short_name(name, 20) for name in named], rotation=90, fontsize=7)
    axes.set_yticks(places, [short_name(name, 20) for name in named], fontsize=7)
    return drawn


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, so many inches wide and high."""
    require("figures", "A figure")
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save(figure: "Figure", path: Path) -> None:
    """Writes the figure as PNG, whole or not at all."""
    quieten(figure)
    with replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # names may be of any script
        figure.savefig(temporary, format="png", dpi=_DOTS, facecolor="white")


def quieten(figure: "Figure") -> None:
    """The quiet style of all figures here, and their names as they are written."""
    as_written(figure)
    for axes in figure.axes:
        axes.tick_params(color=MUTED, labelcolor=INK, labelsize=7.5, length=2)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(8)
            text.set_color(INK)
        for edge in axes.spines.values():
            edge.set_color(RULE)


def draw_picture(
    axes: "Axes",
    image: Vectors,
    extent: tuple[float, float, float, float],
    limits: tuple[float, float],
    colours: str = "magma",
) -> None:
    """A picture with its first row at the bottom, between two values."""
    low, high = limits
    axes.imshow(image, origin="lower", aspect="auto", extent=extent, vmin=low, vmax=high, cmap=colours)


def loudness(image: Vectors) -> tuple[float, float]:
    """Between what a log-mel picture is drawn: from the loudest cell down to nothing."""
    loudest = float(image.max())
    return loudest - _RANGE, loudest


def short_name(text: str, most: int) -> str:
    """The text, its end left out where it is longer than `most`."""
    return text if len(text) <= most else text[: most - 1] + "…"
