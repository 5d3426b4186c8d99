"""Figures of an explanation, each drawn from a record that says the same in numbers."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nearfield.analysis.explain.examples import (
    Neighbour,
    Neighbourhood,
    Tile,
    clip_row,
    drawn_clips,
    neighbourhoods,
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


# The figures of an explanation as PNG files, each drawn from a record that says the same in numbers.

NUMBERED = 25
"""Labels up to which a matrix has its numbers written into it."""


def draw_classes(path: Path, counts: dict[str, dict[str, int]]) -> None:
    """Clips of each class as bars, a part for each side of the split."""
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
    """One clip as wave, log-mel and MFCC, on one clock."""
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


def draw_neighbourhood(path: Path, found: Neighbourhood) -> None:
    """The anchor, and its neighbours before (above) and after (below), what each is called under it."""
    columns = 1 + max(len(found.before), len(found.after), 1)
    longest = max(len(each.names) for each in _tiles(found))
    figure = new_figure(1.62 * columns, 3.7 + 0.26 * min(longest, 6))
    rows = ((BASELINE_NAMES[found.plain], found.before), ("this space", found.after))
    panels = figure.subplots(2, columns, squeeze=False)
    for line, (name, neighbours) in zip(panels, rows, strict=True):
        _panel(line[0], found.anchor, "anchor", ())
        line[0].set_ylabel(f"near by\n{name}", fontsize=8, color=INK)
        for axes, each in zip(line[1:], neighbours, strict=False):
            _panel(axes, each.tile, f"{each.distance:.2f}", each.shared)
        for axes in line[1 + len(neighbours) :]:
            axes.set_axis_off()
    figure.suptitle(short_name(found.anchor.id, 80), x=0.02, ha="left", fontsize=8.5)
    save(figure, path)


def draw_clusters(path: Path, found: Explanation) -> None:
    """Inertia and silhouette for every number of clusters, and what each rule chose."""
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
    """Distances between the centroids of the labels."""
    save(apart_figure(apart), path)


def draw_confusion(path: Path, confusion: Confusion) -> None:
    """Who is taken for whom."""
    save(confusion_figure(confusion), path)


def confusion_figure(confusion: Confusion) -> "Figure":
    """Who is taken for whom: a row for what a clip is, a column for what was said; shaded by shares of a row,
    clips written into the cells where there is room."""
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
    axes.set_ylabel("what it is")
    right = np.trace(counts) / max(1, counts.sum())
    axes.set_title(
        f"confusion of the linear probe\n{right:.0%} of {counts.sum():,} clips right",
        loc="left",
        fontsize=8.5,
    )
    bar = figure.colorbar(drawn, ax=axes, shrink=0.7, pad=0.03)
    bar.outline.set_visible(False)
    bar.set_label("share of the row's clips")
    return figure


def draw_probe(path: Path, curve: ProbeCurve) -> None:
    """Macro F1 and cross-entropy of a linear probe by epoch of its training; dashed, the solved probe's."""
    figure = new_figure(6.4, 2.6)
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(curve.macro_f1) + 1)
    left.plot(epochs, curve.macro_f1, color=COLOURS[0])
    left.axhline(curve.solved_macro_f1, color=MUTED, linestyle="--")
    left.set_ylabel("macro F1", fontsize=8)
    right.plot(epochs, curve.train_cross_entropy, color=COLOURS[1], label="training clips")
    right.plot(epochs, curve.cross_entropy, color=COLOURS[0], label="judged clips")
    right.axhline(curve.solved_cross_entropy, color=MUTED, linestyle="--", label="solved, judged clips")
    right.set_ylabel("cross-entropy (nats)", fontsize=8)
    right.legend(frameon=False, fontsize=7)
    for axes in (left, right):
        axes.set_xlabel("epoch of the probe", fontsize=8)
        axes.set_ylim(bottom=0)
    figure.suptitle(
        "A linear probe while it is trained, as a diagnostic. Dashed: the solved probe, which counts.",
        x=0.02,
        ha="left",
        fontsize=8.5,
    )
    save(figure, path)


def draw_report(path: Path, confusion: Confusion) -> None:
    """Precision, recall and F1 of each class as a heat map, the class with the lowest F1 first."""
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
    told = f"; the {len(order)} with the lowest F1 of {len(values)}" if left_out else ""
    axes.set_title(f"linear probe by class{told}", loc="left", fontsize=8.5)
    save(figure, path)


def draw_focal(path: Path, gamma: float) -> None:
    """The cost of one tag over the probability that the tagger gives the truth, for several gammas, `gamma`
    (the run's own) among them."""
    figure = new_figure(5.2, 3.6)
    axes = figure.subplots()
    for colour, each in zip(COLOURS, sorted({0.0, 0.5, 1.0, 2.0, 5.0, gamma}), strict=False):
        probability, cost = focal_curve(each)
        told = (
            f"γ = {each:g}"
            + (" (cross-entropy)" if each == 0 else "")
            + (", this run" if each == gamma else "")
        )
        axes.plot(probability, cost, color=colour, linewidth=2.2 if each == gamma else 1, label=told)
    axes.set(
        xlim=(0, 1), ylim=(0, 5), xlabel="probability given to the truth", ylabel="focal loss, −(1−p)^γ ln p"
    )
    axes.legend(frameon=False, fontsize=7.5)
    save(figure, path)


def focal_curve(gamma: float) -> tuple[Floats, Floats]:
    """(n,) probabilities of the truth, and (n,) what the loss makes of each."""
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


def _tiles(found: Neighbourhood) -> list[Tile]:
    others: tuple[Neighbour, ...] = (*found.before, *found.after)
    return [found.anchor, *(each.tile for each in others)]


# Writes every figure of an explanation that applies into one folder.


def draw(
    found: Explanation,
    opened: OpenedRun,
    out: Path,
    clip: str | None = None,
    at: float = 0.0,
    callback: Callback = ignore,
) -> tuple[Path, ...]:
    """classes.png, clusters.png, centroids.png, confusion.png, report.png, probe.png, focal.png (of a run
    with that loss), clip-N.png, neighbours-N.png: those written.

    `clip`: the id of the one clip to show, from `at` seconds on; three drawn by chance where none is given.
    Raises RequestError for an id that the split does not hold, or a time beyond the clip's end.
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
        for number, each in enumerate(neighbourhoods(opened, rows, callback=callback), 1):
            paths.append(out / f"neighbours-{number}.png")
            draw_neighbourhood(paths[-1], each)
    return tuple(paths)
