"""Figures of the document of a study, as SVG."""

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nearfield.study.claims import called, factor, label, measure, number, plain, titled
from nearfield.study.records import (
    ArmFacts,
    Comparison,
    Curve,
    Estimate,
    MapFacts,
    StudyFacts,
    TagFacts,
    Trend,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Figures as SVG.
#
# Text remains text. Colors that depend on the theme of the page (ink, muted) are drawn in two reserved
# colors, which `for_page` replaces by CSS and `for_print` by fixed colors. The colors of arms are from Okabe
# and Ito, and readable on white and on black. Equal facts give equal bytes.

INK, MUTED = "#010203", "#040506"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
MARKERS = ("o", "s", "^", "D")
WIDTH = 6.4
"""Width of all figures in inches, that of the text."""
TITLE = 96
"""Number of letters that fit above a row of panels."""
MANY_POINTS = 6000
"""Number of points of a map above which they are drawn as a bitmap."""


def for_page(svg: str) -> str:
    """Replaces colors and fonts by those of the page."""
    return svg.replace(INK, "currentColor").replace(MUTED, "var(--muted)")


def for_print(svg: str) -> str:
    """Replaces colors and fonts by those of the printed document."""
    return (
        re.sub('<text style="', "<text style=\"font-family: 'Libertinus Serif'; ", svg)
        .replace(INK, "#1a1a1a")
        .replace(MUTED, "#767676")
    )


def alone(svg: str) -> str:
    """Converts the SVG to a separate file, in the drawn size, on white."""
    found = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert found
    size = f'<svg width="{found[1]}pt" height="{found[2]}pt" font-family="Libertinus Serif, serif"'
    begin, end = svg.replace("<svg", size, 1).split(">", 1)
    white = '<rect width="100%" height="100%" fill="white"/>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n{begin}>\n {white}{end}\n'


def judge_figure(facts: StudyFacts) -> str:
    """Draws the judge of every arm: mean, 95 % interval and every seed; baselines as lines.

    Arms named by words and a number ("triplet 0.1", "circle 0.1") share one axis, with one line per word.
    """

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        arms = [each for each in facts.arms if each.arm.id in facts.conclusion.estimates]
        outside = {v.arm for v in facts.conclusion.verdicts if v.word == "not_comparable"}
        if series := _series(arms):
            _lines_of_series(axes, facts, series, outside)
        else:
            places = _places(axes, facts, arms)
            for each, place in zip(arms, places, strict=True):
                _one_arm(axes, facts.conclusion.estimates[each.arm.id], place, each.arm.id in outside)
        axes.set_ylabel(titled(facts.judge))
        _baseline_lines(axes, facts)

    return to_svg(draw, "judge", 3.3)


def _series(arms: Sequence[ArmFacts]) -> dict[str, list[tuple[float, ArmFacts]]]:
    """Groups arms by the words before the number in their names, at least two per group; empty if there is
    only one
    group, or a name has another form."""
    found: dict[str, list[tuple[float, ArmFacts]]] = {}
    for each in arms:
        words, _, last = each.arm.name.rpartition(" ")
        value = number(last)
        if not words or value is None:
            return {}
        found.setdefault(words, []).append((value, each))
    is_drawn = len(found) > 1 and min(map(len, found.values())) > 1
    return {words: sorted(row, key=lambda pair: pair[0]) for words, row in found.items()} if is_drawn else {}


def _lines_of_series(
    axes: "Axes", facts: StudyFacts, series: dict[str, list[tuple[float, ArmFacts]]], outside: set[str]
) -> None:
    values = sorted({value for row in series.values() for value, _ in row})
    scale = _scale(values)
    at = dict(zip(values, values if scale != "names" else range(len(values)), strict=True))
    if scale == "log":
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(list(at.values()), [f"{value:g}" for value in values])
    for place, (words, row) in enumerate(series.items()):
        colour = COLOURS[place % len(COLOURS)]
        means = [facts.conclusion.estimates[each.arm.id].mean for _, each in row]
        axes.plot([at[value] for value, _ in row], means, color=colour, linewidth=1.0, label=words)
        for value, each in row:
            estimate = facts.conclusion.estimates[each.arm.id]
            _one_arm(axes, estimate, at[value], each.arm.id in outside, colour, 4 * place)
    keys = [key for key in facts.varied if any(number(str(each.arm.changes.get(key))) is not None
            for row in series.values() for _, each in row)]  # fmt: skip
    axes.set_xlabel(factor(keys[0]) if keys else "")
    axes.legend(frameon=False, fontsize=7.5)


def draw_differences(
    axes: "Axes", pairs: Sequence[Comparison], names: Sequence[str], meaningful: float, muted: str
) -> None:
    """Draws differences with their intervals, one below the other; `muted` is the color of undecided ones."""
    axes.axvspan(-meaningful, meaningful, color=muted, alpha=0.18, linewidth=0)
    axes.axvline(0, color=muted, linewidth=0.8)
    for row, each in enumerate(pairs):
        colour = COLOURS[0] if each.claim != "undecided" else muted
        axes.plot([each.low, each.high], [row, row], color=colour, linewidth=1.4, solid_capstyle="round")
        axes.plot([each.difference], [row], "o", color=colour, markersize=5)
    axes.set_yticks(range(len(pairs)), names)
    axes.set_ylim(len(pairs) - 0.5, -0.5)


def difference_figure(facts: StudyFacts, pairs: Sequence[Comparison]) -> str:
    """Draws the differences from one arm, with simultaneous intervals, 0, and the meaningful difference."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        names = [label(facts, each.one) for each in pairs]
        draw_differences(axes, pairs, names, facts.conclusion.meaningful, MUTED)
        axes.set_xlabel(f"difference from {called(facts, pairs[0].other)} in {measure(facts.judge)}")

    return to_svg(draw, "differences", 0.6 + 0.22 * len(pairs))


def trend_figure(facts: StudyFacts, found: Trend) -> str:
    """Draws the arms' means over the factor, the parabola through them, and its band."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        at, fit, low, high = (list(part) for part in zip(*found.curve, strict=True))
        axes.fill_between(at, low, high, color=MUTED, alpha=0.2, linewidth=0)
        axes.plot(at, fit, color=INK, linewidth=1)
        means = [facts.conclusion.estimates[each.arm.id].mean for each in facts.arms]
        axes.plot(found.values, means, "o", color=INK, markersize=3.5)
        if found.scale == "log":
            axes.set_xscale("log")
            axes.minorticks_off()
        axes.set_xticks(found.values, [f"{value:g}" for value in found.values])
        axes.set_xlabel(factor(facts.varied[0]))
        axes.set_ylabel(measure(facts.judge))

    return to_svg(draw, "trend", 2.2)


def curve_figure(facts: StudyFacts, name: str, apart: bool, beside: str = "") -> str:
    """Draws a training curve of all arms, raw (thin) and as a moving mean.

    `apart`: one panel per arm with its own scale. `beside`: another curve in the same panels, dashed; it
    shares the
    scale unless `apart` is set.
    """

    def draw(figure: "Figure") -> None:
        arms = [each for each in facts.arms if _mean_curve(each, name)]
        if not apart and not beside:
            axes = figure.subplots()
            ends = [(_curve(axes, each, name, arm_colour(facts, each)), each) for each in arms]
            _end_labels(
                axes, [(end, label(facts, each.arm.id), arm_colour(facts, each)) for end, each in ends]
            )
            axes.set_xlabel("update")
            axes.set_ylabel(_unit(name))
            return
        panels = _panels(figure, len(arms), shared=not apart)
        for place, (axes, each) in enumerate(zip(panels, arms, strict=True)):
            for run in each.runs:
                if name in run.curves:
                    _line(axes, run.curves[name], arm_colour(facts, each), 0.4, 0.35)
            _curve(axes, each, name, arm_colour(facts, each), raw=False)
            if beside and _mean_curve(each, beside):
                _curve(axes, each, beside, (INK, "--"), raw=False)
            axes.set_title(label(facts, each.arm.id))
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
            if place % columns(len(arms)) == 0:
                axes.set_ylabel("loss" if beside else _unit(name))
        figure.supxlabel("update", fontsize=8, color=INK)

    shown = len([each for each in facts.arms if _mean_curve(each, name)])
    return to_svg(draw, name, 0.4 + 1.4 * rows(shown) if apart or beside else 2.3)


def _unit(name: str) -> str:
    return UNITS.get(name, titled(name))


def columns(panels: int) -> int:
    """Returns the number of panels per row, such that no row has a single panel."""
    return panels if panels <= 4 else 4 if panels % 4 == 0 or panels % 3 == 1 else 3


def rows(panels: int) -> int:
    """Returns the number of rows of panels."""
    return math.ceil(panels / columns(panels))


UNITS = {
    "train/loss": "Training loss",
    "train/active_fraction": "Active share",
    "val/loss": "Validation loss",
}
"""Labels of the axes of curves whose names are unclear."""


def centroid_figure(facts: StudyFacts) -> str:
    """Draws the distances between centroids of classes: one matrix per arm, all on one scale."""
    arms = [each for each in facts.arms if each.centroid_distances]
    top = max(max(map(max, each.centroid_distances)) for each in arms)
    names = arms[0].centroid_names
    wide = columns(len(arms))

    def draw(figure: "Figure") -> None:
        panels = _panels(figure, len(arms))
        for position, (axes, each) in enumerate(zip(panels, arms, strict=True)):
            drawn = axes.pcolormesh(
                list(map(list, each.centroid_distances)), vmin=0, vmax=top, cmap="Blues",
                rasterized=len(names) > 20, linewidth=0,
            )  # fmt: skip
            axes.set_aspect("equal")
            axes.invert_yaxis()
            variation = f"CV {plain(spread(each) or 0, 2)}"
            axes.set_title(_two_lines(label(facts, each.arm.id), variation, wide))
            _class_ticks(axes, names, left=position % wide == 0, below=position + wide >= len(arms))
        bar = figure.colorbar(drawn, ax=panels, shrink=0.7, aspect=30, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label("distance between centroids", fontsize=8, color=INK)

    return to_svg(draw, "centroids", 0.7 + 1.75 * rows(len(arms)))


def map_figure(facts: StudyFacts, method: str, side: str = "test") -> str:
    """Draws two-dimensional maps of the clips of a split, one per arm, with one legend."""
    shown = [
        (each, found)
        for each in facts.arms
        for found in each.maps
        if (found.method, found.side) == (method, side)
    ]
    names = map_classes(facts)
    heavy = sum(len(found.points) for _, found in shown) > MANY_POINTS
    wide = columns(len(shown))

    def draw(figure: "Figure") -> None:
        for axes, (each, found) in zip(_panels(figure, len(shown)), shown, strict=True):
            _one_map(axes, found, names, heavy)
            trust = f"trustworthiness {plain(found.trustworthiness, 2)}"
            axes.set_title(_two_lines(label(facts, each.arm.id), trust, wide))
        _legend(figure, names)

    key = 0.18 * math.ceil(len(names) / 4)
    return to_svg(
        draw, f"{method}-{side}", 0.1 + key + (6.2 / wide) * rows(len(shown)) * (0.95 if wide > 1 else 0.55)
    )


def _legend(figure: "Figure", names: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    marks = [Line2D([], [], linestyle="", marker=_look(at)[1], color=_look(at)[0], markersize=4, label=name)
             for at, name in enumerate(names)]  # fmt: skip
    if marks:
        figure.legend(handles=marks, loc="outside lower center", ncols=4, frameon=False, fontsize=7)


def _look(position: int) -> tuple[str, str]:
    """Returns color and marker of a class by its position in `map_classes`."""
    return COLOURS[position % len(COLOURS)], MARKERS[position // len(COLOURS) % len(MARKERS)]


def map_classes(facts: StudyFacts) -> tuple[str, ...]:
    """Returns the classes of the maps."""
    return tuple(sorted({name for each in facts.arms for found in each.maps for name in found.labels}))


def spread(each: ArmFacts) -> float | None:
    """Computes the coefficient of variation of the distances between centroids; 0 if all are equal."""
    rows = each.centroid_distances
    values = [rows[i][j] for i in range(len(rows)) for j in range(i)]
    if not values or not sum(values):
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """Computes the means of `window` successive values, len - window + 1 of them."""
    return [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Computes positions as near to `wanted` as possible with at least `gap` between any two, in the same
    order."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    blocks: list[tuple[float, list[int]]] = []
    for i in order:
        blocks.append((wanted[i], [i]))
        while (
            len(blocks) > 1
            and blocks[-1][0] - blocks[-2][0] < gap * (len(blocks[-1][1]) + len(blocks[-2][1])) / 2
        ):
            (one, left), (two, right) = blocks[-2:]
            middle = (one * len(left) + two * len(right)) / (len(left) + len(right))
            blocks[-2:] = [(middle, left + right)]
    places = [0.0] * len(wanted)
    for middle, members in blocks:
        for position, i in enumerate(members):
            places[i] = middle + gap * (position - (len(members) - 1) / 2)
    return places


def to_svg(draw: Callable[["Figure"], None], name: str, height: float) -> str:
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = {
        "svg.fonttype": "none", "svg.hashsalt": name, "text.parse_math": False,
        "font.family": "DejaVu Sans", "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8,
        "xtick.labelsize": 7.5, "ytick.labelsize": 7.5, "text.color": INK, "axes.labelcolor": INK,
        "axes.titlecolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED, "ytick.color": MUTED,
        "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.spines.top": False, "axes.linewidth": 0.6,
        "axes.spines.right": False, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
        "axes.formatter.useoffset": False, "savefig.dpi": 200, "axes.unicode_minus": True,
    }  # fmt: skip
    page = io.StringIO()
    with matplotlib.rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        figure.savefig(page, format="svg", transparent=True)
    return _slim(page.getvalue())


def _slim(svg: str) -> str:
    """Removes header, date, fonts and unused ids, because several figures are in one page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r" id=\"([^\"]*)\"", lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\" height=\"[^\"]*\"", r"\1", svg, count=1)
    return re.sub(r"(?<=\d)\n(?=[LMC] )", " ", svg)


def arm_colour(facts: StudyFacts, each: ArmFacts) -> tuple[str, Any]:
    position = [arm.arm.id for arm in facts.arms].index(each.arm.id)
    return COLOURS[position % len(COLOURS)], DASHES[position // len(COLOURS) % len(DASHES)]


def _mean_curve(each: ArmFacts, name: str, smooth: bool = False) -> Curve | None:
    """Computes the mean over finished runs at each update, or over failed ones if none finished. `smooth`: of
    the
    stored moving averages, if any."""
    runs = [run for run in each.runs if name in run.curves]
    runs = [run for run in runs if run.state == "done"] or runs
    found: dict[int, list[float]] = {}
    for run in runs:
        curve = run.curves[name]
        for update, value in zip(curve.updates, curve.smooth if smooth else curve.values, strict=False):
            if value is not None:
                found.setdefault(update, []).append(value)
    updates = tuple(sorted(found))
    return Curve(updates, tuple(sum(found[u]) / len(found[u]) for u in updates)) if updates else None


def averaged_over(facts: StudyFacts, name: str) -> str:
    """Describes the window of the moving averages of a curve."""
    asked = f"{facts.smoothing} updates"
    drawn = [each for each in facts.arms if _mean_curve(each, name)]
    long = [_mean_curve(each, name, smooth=True) is not None for each in drawn]
    if not facts.smoothing or not any(long):
        return "1/15 of the run"
    return asked if all(long) else f"{asked}, or 1/15 of a run that is too short for them"


def _line(axes: "Axes", curve: Curve, colour: tuple[str, Any], width: float, alpha: float) -> None:
    values = [math.nan if value is None else value for value in curve.values]
    axes.plot(curve.updates, values, color=colour[0], linewidth=width, alpha=alpha)


def _curve(
    axes: "Axes", each: ArmFacts, name: str, colour: tuple[str, Any], raw: bool = True
) -> tuple[float, float]:
    """Draws the mean over seeds and its moving mean; returns the end of the latter."""
    mean = _mean_curve(each, name) or Curve((0,), (0.0,))
    smooth = _mean_curve(each, name, smooth=True) or _fifteenth(mean)
    if raw and len(mean.updates) > 1:
        _line(axes, mean, colour, 0.5, 0.45)
    values = [value or 0.0 for value in smooth.values]
    axes.plot(smooth.updates, values, color=colour[0], linestyle=colour[1], linewidth=1.5)
    return float(smooth.updates[-1]), values[-1]


def _fifteenth(curve: Curve) -> Curve:
    """Computes the moving mean over a fifteenth of a curve, for whole windows."""
    values = [value or 0.0 for value in curve.values]
    window = min(len(values), 2 * (len(values) // 30) + 1)
    smooth = moving_mean(values, window)
    return Curve(curve.updates[window // 2 : window // 2 + len(smooth)], tuple(smooth))


def _end_labels(
    axes: "Axes", ends: Sequence[tuple[tuple[float, float], str, tuple[str, Any]]], size: float = 7.5
) -> None:
    """Draws names at the ends of lines, moved apart, each connected to its end by a thin line."""
    low, high = axes.get_ylim()
    right = axes.get_xlim()[1]
    gap = (high - low) * (size + 2) / _points_high(axes)
    places = apart([end[1] for end, _, _ in ends], gap)
    for place, (end, words, colour) in zip(places, ends, strict=True):
        axes.annotate(
            words, end, textcoords="data", va="center", fontsize=size, annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour[0], "linewidth": 0.6, "shrinkA": 2, "shrinkB": 0},
            xytext=(right + (right - axes.get_xlim()[0]) * 0.03, place),
        )  # fmt: skip
    axes.set_ylim(low, high)


def _points_high(axes: "Axes") -> float:
    """Returns the approximate height of single axes, in points."""
    return float(axes.figure.bbox.height / axes.figure.dpi * 72 * 0.8)


def _places(axes: "Axes", facts: StudyFacts, arms: Sequence[ArmFacts]) -> list[float]:
    """Returns the position of each arm and sets up the axis: by value if names are numbers, else evenly
    spaced."""
    names = [each.arm.name for each in arms]
    values = [value for name in names if (value := number(name)) is not None]
    scale = _scale(values) if len(facts.varied) == 1 and len(values) == len(names) else "names"
    axes.set_xlabel(factor(facts.varied[0]) if len(facts.varied) == 1 else "")
    if scale == "names":
        values = [float(i) for i in range(len(names))]
        axes.set_xlim(-0.6, len(names) - 0.4)
    if scale == "log":
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, names)
    if scale == "names" and sum(map(len, names)) > 70:
        axes.set_xticks(values, names, rotation=25, ha="right", rotation_mode="anchor")
    return values


def _scale(values: Sequence[float]) -> str:
    """Returns the scale: linear if neighbors are far enough apart, else logarithmic, else evenly spaced."""
    ordered = sorted(values)
    gaps = [after - before for before, after in pairwise(ordered)]
    if not gaps or min(gaps) == 0:
        return "names"
    if min(gaps) / sum(gaps) > 0.04 and not 0 < ordered[0] * 20 < ordered[-1]:
        return "linear"
    return "log" if ordered[0] > 0 else "names"


def _one_arm(
    axes: "Axes", estimate: Estimate, place: float, hollow: bool, blue: str = COLOURS[0], shift: float = 0.0
) -> None:
    """Draws one arm; `shift`: points to the right, so that arms at one position do not overlap."""
    from matplotlib.transforms import ScaledTranslation

    axes.update_datalim([(place, estimate.low), (place, estimate.high)])
    moved = axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans)
    axes.plot(
        [place, place], [estimate.low, estimate.high], color=blue, linewidth=1.4, solid_capstyle="round",
        transform=moved,
    )  # fmt: skip
    face = "none" if hollow else blue
    axes.plot(
        [place], [estimate.mean], "o", color=blue, markerfacecolor=face, markersize=5.5, transform=moved
    )
    beside = ScaledTranslation((shift + 7) / 72, 0, axes.figure.dpi_scale_trans)
    seeds = [value for value in estimate.per_seed if value is not None]
    axes.plot(
        [place] * len(seeds), seeds, "o", color=INK, markersize=2.6, alpha=0.45, markeredgewidth=0,
        transform=axes.transData + beside,
    )  # fmt: skip
    axes.update_datalim([(place, value) for value in seeds])
    axes.autoscale_view()


def _baseline_lines(axes: "Axes", facts: StudyFacts) -> None:
    """Draws baselines as dashed lines with names; those far from the arms are only named above the axes."""
    values = {name: row[facts.judge] for name, row in facts.baselines.items() if facts.judge in row}
    estimates = facts.conclusion.estimates
    values |= {n: found.mean for n in values if (found := estimates.get(f"baseline/{n}"))}  # as in tables
    low, high = axes.get_ylim()
    reach = high - low
    near = {n: value for n, value in values.items() if low - reach / 2 <= value <= high + reach / 2}
    far = [name for name in values if name not in near]
    left, right = axes.get_xlim()
    for value in near.values():
        axes.axhline(value, color=MUTED, linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlim(left, right)
    axes.set_ylim(min([low, *near.values()]) - reach * 0.03, max([high, *near.values()]) + reach * 0.03)
    at = {name: f"{label(facts, 'baseline/' + name)} {plain(value)}" for name, value in near.items()}
    _outside_labels(axes, [(near[name], at[name]) for name in at])
    if far:
        said = "; ".join(f"{label(facts, 'baseline/' + name)} {plain(values[name])}" for name in far)
        axes.annotate(
            f"not shown: {said}", (1, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
            fontsize=7, color=INK, ha="right", va="bottom", annotation_clip=False,
        )  # fmt: skip


def _outside_labels(axes: "Axes", lines: Sequence[tuple[float, str]]) -> None:
    """Draws names to the right of the axes at their heights, moved apart."""
    low, high = axes.get_ylim()
    gap = (high - low) * 10 / _points_high(axes)
    for place, (height, words) in zip(apart([height for height, _ in lines], gap), lines, strict=True):
        axes.annotate(
            words, (1, height), xytext=(1.025, (place - low) / (high - low)),
            xycoords=axes.get_yaxis_transform(), textcoords="axes fraction", va="center", fontsize=7.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip


def _panels(figure: "Figure", count: int, shared: bool = False) -> list["Axes"]:
    """Creates `count` axes in rows; `shared`: on one scale."""
    grid = figure.subplots(rows(count), columns(count), squeeze=False, sharey=shared)
    axes = list(grid.ravel())
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def _two_lines(name: str, figure: str, columns: int = 3) -> str:
    """Returns the title of a panel, on one line if it fits."""
    joined = f"{name} · {figure}"
    return joined if len(joined) <= TITLE // columns else f"{name}\n{figure}"


def _class_ticks(axes: "Axes", names: Sequence[str], left: bool, below: bool) -> None:
    places = [i + 0.5 for i in range(len(names))] if len(names) <= 20 else []
    words = list(names) if places else []
    axes.tick_params(length=0, labelsize=6)
    axes.set_yticks(places, words if left else [""] * len(words))
    axes.set_xticks(places, words if below else [""] * len(words), rotation=90)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _one_map(axes: "Axes", found: MapFacts, names: Sequence[str], heavy: bool) -> None:
    for position, name in enumerate(names):
        points = [point for point, own in zip(found.points, found.labels, strict=True) if own == name]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        colour, marker = _look(position)
        look: Any = {"markerfacecolor": "none", "markeredgewidth": 0.6} if name in found.unseen else {}
        look = look or {"markeredgewidth": 0}
        axes.plot(x, y, marker, color=colour, markersize=3.2, alpha=0.75, rasterized=heavy, **look)
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_alpha(0.4)


# The ROC-AUC of every tag as bars, one row per arm.

MOST = 60
"""Largest number of drawn tags; those with most clips are drawn."""
CHANCE = 0.5
LETTER = 0.055
"""Height in inches per letter of the names of tags below the bars."""


def tag_figure(facts: StudyFacts) -> str:
    """Draws bars from chance, 0.5, with 95 % intervals; pale if fewer than 20 clips have the tag.

    Tags stand by falling area under the first arm. As SVG; needs `facts.tags`.
    """
    arms = [each for each in facts.arms if any(each.arm.id in tag.areas["roc_auc"] for tag in facts.tags)]
    tags = shown_tags(facts)

    def draw(figure: "Figure") -> None:
        rows = figure.subplots(len(arms), 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        low = CHANCE
        for axes, each in zip(rows, arms, strict=True):
            low = min(low, _bars(axes, tags, each, arm_colour(facts, each)[0]))
            axes.set_title(label(facts, each.arm.id), loc="left")
            axes.set_ylabel("ROC-AUC")
        rows[0].set_ylim(max(0.0, low - 0.02), 1.0)
        rows[-1].set_xticks(range(len(tags)), [tag.name for tag in tags], rotation=90, fontsize=6)
        rows[-1].set_xlim(-0.7, len(tags) - 0.3)

    names = LETTER * max(len(tag.name) for tag in tags)
    return to_svg(draw, "tags", 0.3 + names + 1.3 * len(arms))


def shown_tags(facts: StudyFacts) -> list[TagFacts]:
    """Returns the drawn tags in order, ties by number of clips."""
    kept = sorted(facts.tags, key=lambda tag: -tag.positives)[:MOST]
    first = facts.arms[0].arm.id

    def height(tag: TagFacts) -> float:
        area = tag.areas["roc_auc"].get(first)
        return 0.0 if area is None else area.mean

    return sorted(kept, key=height, reverse=True)


def _bars(axes: "Axes", tags: list[TagFacts], each: ArmFacts, colour: str) -> float:
    """Draws one arm; returns the lowest end of its intervals."""
    lowest = CHANCE
    for place, tag in enumerate(tags):
        area = tag.areas["roc_auc"].get(each.arm.id)
        if area is None:
            continue
        pale = 0.35 if tag.few else 0.85
        axes.bar(place, area.mean - CHANCE, bottom=CHANCE, width=0.75, color=colour, alpha=pale)
        if area.interval is not None:
            axes.plot((place, place), area.interval, color=MUTED, linewidth=0.8, solid_capstyle="butt")
        lowest = min(lowest, area.mean, *(area.interval or ()))
    axes.axhline(CHANCE, color=MUTED, linewidth=0.7)
    axes.tick_params(axis="x", length=0)
    return lowest
