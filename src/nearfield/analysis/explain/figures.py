"""Figures of an explanation, each drawn from a record with the same values."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nearfield.analysis.explain.examples import (
    Neighbor,
    Neighborhood,
    Tile,
    clip_row,
    drawn_clips,
    neighborhoods,
    tile,
)
from nearfield.analysis.explain.explain import Explanation
from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.core.types import Floats
from nearfield.learning.losses.tagging import FocalSettings
from nearfield.metrics.classification import Confusion, report
from nearfield.metrics.geometry import Apart
from nearfield.metrics.probes import ProbeCurve
from nearfield.metrics.registry import BASELINE_NAMES
from nearfield.training.events import Callback, ignore
from nearfield.training.plotting import (
    COLOURS,
    INK,
    MOST_NAMES,
    MUTED,
    apart_figure,
    draw_matrix,
    draw_picture,
    loudness,
    new_figure,
    save,
    short_name,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# The figures as PNG files.

NUMBERED = 25
"""Largest number of labels for which the cells of a matrix are labelled."""


def draw_classes(path: Path, counts: dict[str, dict[str, int]]) -> None:
    """Draws the number of clips of each class as bars, divided by split."""
    shown = list(counts.items())[:MOST_NAMES]
    figure = new_figure(6.4, 0.9 + 0.22 * len(shown))
    axes = figure.subplots()
    left = np.zeros(len(shown))
    for colour, split in zip(COLOURS, next(iter(counts.values())), strict=False):
        widths = np.array([row[split] for _, row in shown], np.float64)
        if widths.any():
            axes.barh(range(len(shown)), widths, left=left, height=0.72, color=colour, label=split)
        left += widths
    for place, total in enumerate(left.tolist()):
        axes.text(total + 0.01 * left.max(), place, f"{total:,.0f}", va="center", fontsize=7, color=MUTED)
    axes.set_yticks(range(len(shown)), [short_name(name, 28) for name, _ in shown], fontsize=7.5)
    axes.set_xlim(0, 1.1 * left.max())
    left_out = len(counts) - len(shown)
    axes.set_xlabel(f"clips; {left_out} more not shown" if left_out else "clips")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    figure.legend(frameon=False, fontsize=7.5, loc="outside upper right", ncols=3)
    save(figure, path)


def draw_tile(path: Path, tile: Tile) -> None:
    """Draws a clip as wave, log-mel and MFCC over one time axis."""
    figure = new_figure(6.4, 5.2)
    panels = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [1, 2, 1.3]})
    ends = tile.start, tile.start + tile.seconds
    clock = np.linspace(*ends, len(tile.wave), endpoint=False)
    panels[0].plot(clock, tile.wave, color=COLOURS[0], linewidth=0.4)
    panels[0].set_ylabel("wave")
    spread = float(np.abs(tile.mfcc).max()) or 1.0
    extent = ends
    draw_picture(panels[1], tile.log_mel, (*extent, 0.0, float(len(tile.log_mel))), loudness(tile.log_mel))
    panels[1].set_ylabel("log-mel band")
    mfcc = (*extent, 0.5, len(tile.mfcc) + 0.5)
    draw_picture(panels[2], tile.mfcc, mfcc, (-spread, spread), "RdBu_r")
    panels[2].set_ylabel("MFCC 1 to 12")
    panels[2].set_yticks([1, 4, 8, 12])
    panels[2].set_xlabel("seconds")
    panels[0].set_title(
        f"{short_name(tile.id, 60)}\n{short_name(', '.join(tile.names), 90)}", loc="left", fontsize=8.5
    )
    save(figure, path)


def draw_neighborhood(path: Path, found: Neighborhood) -> None:
    """Draws the anchor and its neighbors before (above) and after training (below), with labels and tags."""
    columns = 1 + max(len(found.before), len(found.after), 1)
    longest = max(len(each.names) for each in _tiles(found))
    figure = new_figure(1.62 * columns, 3.7 + 0.26 * min(longest, 6))
    rows = ((BASELINE_NAMES[found.plain], found.before), ("this run", found.after))
    panels = figure.subplots(2, columns, squeeze=False)
    for line, (name, neighbors) in zip(panels, rows, strict=True):
        _panel(line[0], found.anchor, "anchor", ())
        line[0].set_ylabel(f"nearest by\n{name}", fontsize=8, color=INK)
        for axes, each in zip(line[1:], neighbors, strict=False):
            _panel(axes, each.tile, f"{each.distance:.2f}", each.shared)
        for axes in line[1 + len(neighbors) :]:
            axes.set_axis_off()
    figure.suptitle(short_name(found.anchor.id, 80), x=0.02, ha="left", fontsize=8.5)
    save(figure, path)


def draw_clusters(path: Path, found: Explanation) -> None:
    """Draws inertia and silhouette by number of clusters, with the chosen numbers."""
    figure = new_figure(6.4, 4.2)
    panels = figure.subplots(2, len(found.clusters.spaces), sharex=True, squeeze=False)
    for (above, below), space in zip(panels.T, found.clusters.spaces, strict=True):
        name = "the whole space" if space.name == "whole" else space.name.replace("_", " ").upper()
        above.set_title(f"{name} · {space.variance:.0%} of variance", loc="left", fontsize=8.5)
        for axes, values in ((above, space.path.inertias), (below, space.path.silhouettes)):
            axes.plot(space.path.counts, values, marker="o", markersize=3, linewidth=1, color=COLOURS[0])
        chosen = ((above, space.path.elbow, "elbow"), (below, space.path.by_silhouette, "silhouette"))
        for axes, count, rule in chosen:
            if count is not None:
                axes.axvline(count, color=COLOURS[4], linewidth=0.8)
                axes.annotate(
                    f"{rule}: {count}", (count, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -9),
                    textcoords="offset points", fontsize=7.5, color=COLOURS[4],
                )  # fmt: skip
        below.set_xlabel("clusters")
    panels[0, 0].set_ylabel("inertia")
    panels[1, 0].set_ylabel("mean silhouette")
    save(figure, path)


def draw_apart(path: Path, apart: Apart) -> None:
    """Draws the distances between the centroids of the labels."""
    save(apart_figure(apart), path)


def draw_confusion(path: Path, confusion: Confusion) -> None:
    """Draws the confusion matrix."""
    save(confusion_figure(confusion), path)


def confusion_figure(confusion: Confusion) -> "Figure":
    """Draws the confusion matrix: rows are labels, columns predictions; shaded by fractions of a row, with
    numbers of
    clips if there are few labels."""
    names, counts = confusion.names, confusion.counts
    split = 2.2 + 0.3 * min(len(names), MOST_NAMES)
    figure = new_figure(split + 0.8, split)
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(1, keepdims=True))
    drawn = draw_matrix(axes, shares, names, most=1.0)
    for row, column in zip(*np.nonzero(counts), strict=True) if len(names) <= NUMBERED else ():
        dark = shares[row, column] > 0.5
        axes.text(
            column + 0.5, row + 0.5, f"{counts[row, column]}", ha="center", va="center", fontsize=7,
            color="white" if dark else INK,
        )  # fmt: skip
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    right = np.trace(counts) / max(1, counts.sum())
    axes.set_title(
        f"confusion of the linear probe\n{right:.0%} of {counts.sum():,} clips correct",
        loc="left",
        fontsize=8.5,
    )
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.03)
    bar.outline.set_visible(False)
    bar.set_label("fraction of the clips of the row")
    return figure


def draw_probe(path: Path, curve: ProbeCurve) -> None:
    """Draws macro F1 and cross-entropy of a linear probe by epoch; dashed lines are those of the exact
    probe."""
    figure = new_figure(6.4, 2.6)
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(curve.macro_f1) + 1)
    left.plot(epochs, curve.macro_f1, color=COLOURS[0])
    left.axhline(curve.solved_macro_f1, color=MUTED, linestyle="--")
    left.set_ylabel("macro F1", fontsize=8)
    right.plot(epochs, curve.train_cross_entropy, color=COLOURS[1], label="training clips")
    right.plot(epochs, curve.cross_entropy, color=COLOURS[0], label="evaluated clips")
    right.axhline(
        curve.solved_cross_entropy, color=MUTED, linestyle="--", label="exact probe, evaluated clips"
    )
    right.set_ylabel("cross-entropy (nats)", fontsize=8)
    right.legend(frameon=False, fontsize=7)
    for axes in (left, right):
        axes.set_xlabel("epoch of the probe", fontsize=8)
        axes.set_ylim(bottom=0)
    figure.suptitle(
        "Training of a linear probe, as a diagnostic. Dashed: the exact probe, used for metrics.",
        x=0.02,
        ha="left",
        fontsize=8.5,
    )
    save(figure, path)


def draw_report(path: Path, confusion: Confusion) -> None:
    """Draws precision, recall and F1 of each class as a heat map, sorted by F1."""
    values = report(confusion)
    order = np.argsort(values[:, 2], kind="stable")[:MOST_NAMES]
    figure = new_figure(4.4, 1.2 + 0.24 * len(order))
    axes = figure.subplots()
    axes.pcolormesh(values[order], vmin=0, vmax=1, cmap="Blues")
    axes.invert_yaxis()
    axes.set_xticks([0.5, 1.5, 2.5], ["precision", "recall", "F1"])
    support = confusion.counts.sum(1)
    named = [f"{short_name(confusion.names[row], 24)} ({support[row]:,})" for row in order]
    axes.set_yticks(np.arange(len(order)) + 0.5, named, fontsize=7)
    for place, row in enumerate(order.tolist()):
        for column, value in enumerate(values[row].tolist()):
            colour = "white" if value > 0.5 else INK
            axes.text(
                column + 0.5, place + 0.5, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour
            )  # fmt: skip
    left_out = len(values) - len(order)
    shown = f"; the {len(order)} with the lowest F1 of {len(values)}" if left_out else ""
    axes.set_title(f"linear probe by class{shown}", loc="left", fontsize=8.5)
    save(figure, path)


def draw_focal(path: Path, gamma: float) -> None:
    """Draws the cost of one tag by the probability of the correct answer, for several gammas and for `gamma`,
    that of
    the run."""
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    for colour, each in zip(COLOURS, sorted({0.0, 0.5, 1.0, 2.0, 5.0, gamma}), strict=False):
        probability, cost = focal_curve(each)
        label = (
            f"γ = {each:g}"
            + (" (cross-entropy)" if each == 0 else "")
            + (", this run" if each == gamma else "")
        )
        axes.plot(probability, cost, color=colour, linewidth=2.2 if each == gamma else 1, label=label)
    axes.set(
        xlim=(0, 1),
        ylim=(0, 5),
        xlabel="probability of the correct answer, p",
        ylabel="focal loss, −(1−p)^γ ln p",
    )
    axes.legend(frameon=False, fontsize=7.5)
    save(figure, path)


def focal_curve(gamma: float) -> tuple[Floats, Floats]:
    """Returns (n,) probabilities of the correct answer, and (n,) their focal loss."""
    probability = torch.linspace(0.005, 0.995, 199, dtype=torch.float64)
    loss = FocalSettings(gamma=gamma).build(size=1, classes=1)
    cost = loss.costs(torch.logit(probability)[:, None], torch.ones(199, 1, dtype=torch.bool))
    return probability.numpy(), cost[:, 0].numpy()


def _panel(axes: "Axes", tile: Tile, title: str, shared: Sequence[str]) -> None:
    if tile.mfcc.size:
        extent = (0.0, tile.seconds, 0.0, float(len(tile.log_mel)))
        draw_picture(axes, tile.log_mel, extent, loudness(tile.log_mel))
    else:
        axes.imshow(tile.log_mel.squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=8)
    ordered = sorted(tile.names, key=lambda name: name not in shared)
    listed = [short_name(name, 22) + (" ✓" if name in shared else "") for name in ordered[:6]]
    axes.set_xlabel("\n".join(listed) or " ")


def _tiles(found: Neighborhood) -> list[Tile]:
    others: tuple[Neighbor, ...] = (*found.before, *found.after)
    return [found.anchor, *(each.tile for each in others)]


# All figures of an explanation in one folder.


def draw(
    found: Explanation,
    opened: OpenedRun,
    out: Path,
    clip: str | None = None,
    at: float = 0.0,
    callback: Callback = ignore,
) -> tuple[Path, ...]:
    """Draws the figures of an explanation.

    Writes classes.png, clusters.png, centroids.png, confusion.png, report.png, probe.png, focal.png (of a run
    with that loss), clip-N.png and neighbours-N.png, as far as they apply.

    Parameters
    ----------
    found
        The explanation.
    opened
        The run and its clips.
    out
        Folder of the figures.
    clip
        Id of the clip to show; None: three random clips.
    at
        Start of the shown window, in seconds.
    callback
        Gets progress.

    Returns
    -------
    tuple of Path
        The written files.

    Raises
    ------
    RequestError
        If the clip is not in the split, or is shorter than `at`.
    """
    rows = drawn_clips(opened) if clip is None else np.array([clip_row(opened, clip)])
    paths = [out / "clusters.png"]
    draw_clusters(paths[0], found)
    if found.class_counts:
        paths.append(out / "classes.png")
        draw_classes(paths[-1], found.class_counts)
    if found.apart is not None:
        paths.append(out / "centroids.png")
        draw_apart(paths[-1], found.apart)
    if found.confusion is not None:
        paths.append(out / "confusion.png")
        draw_confusion(paths[-1], found.confusion)
        paths.append(out / "report.png")
        draw_report(paths[-1], found.confusion)
    if found.probe_curve is not None:
        paths.append(out / "probe.png")
        draw_probe(paths[-1], found.probe_curve)
    if isinstance(opened.run.recipe.loss, FocalSettings):
        paths.append(out / "focal.png")
        draw_focal(paths[-1], opened.run.recipe.loss.gamma)
    for number, row in enumerate(rows.tolist() if opened.is_sound else (), 1):
        paths.append(out / f"clip-{number}.png")
        draw_tile(paths[-1], tile(opened, row, at))
    if len(opened.rows) > 1:
        for number, each in enumerate(neighborhoods(opened, rows, callback=callback), 1):
            paths.append(out / f"neighbours-{number}.png")
            draw_neighborhood(paths[-1], each)
    return tuple(paths)
