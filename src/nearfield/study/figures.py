"""Figures of a study as SVG, drawn from its facts.

Text stays text, and colours that must follow the page (ink, muted) are drawn in two marked colours which
`for_page` turns into CSS and `for_print` into fixed ones. Colours of arms are those of Okabe and Ito that
stand on white and on black alike. The same facts give the same bytes.
"""

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from nearfield.study.records import ArmFacts, Curve, Estimate, MapFacts, StudyFacts
from nearfield.study.wording import factor, label, number, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED = "#010203", "#040506"
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)))
MARKERS = ("o", "s", "^", "D")
WIDTH = 6.4
"""Inches; all figures are as wide as the text."""
NUMBERED = 40
"""Classes up to which a map numbers them; more would hide it."""
TITLE = 32
"""Letters that fit over one panel of three."""
MANY_POINTS = 6000
"""Beyond so many, a map's points are drawn as a picture, not one by one."""


def for_page(svg: str) -> str:
    """Colours that follow the theme of the page; fonts that follow its text."""
    return svg.replace(INK, "currentColor").replace(MUTED, "var(--muted)")


def for_print(svg: str) -> str:
    """Fixed colours, and the font of the printed document."""
    return (
        re.sub('<text style="', "<text style=\"font-family: 'Libertinus Serif'; ", svg)
        .replace(INK, "#1a1a1a")
        .replace(MUTED, "#767676")
    )


def judge_figure(facts: StudyFacts) -> str:
    """The judge of every arm: mean, 95 % interval and every seed; baselines as lines."""

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        arms = [each for each in facts.arms if each.arm.id in facts.conclusion.estimates]
        places = _places(axes, facts, arms)
        outside = {v.arm for v in facts.conclusion.verdicts if v.word == "not_comparable"}
        for each, place in zip(arms, places, strict=True):
            _one_arm(axes, facts.conclusion.estimates[each.arm.id], place, each.arm.id in outside)
        axes.set_ylabel(facts.judge)
        _baseline_lines(axes, facts)

    return _svg(draw, "judge", 3.3)


def curve_figure(facts: StudyFacts, name: str, apart: bool) -> str:
    """A training curve of all arms, raw (thin) and as a moving mean. `apart`: a panel an arm, own scales."""

    def draw(figure: "Figure") -> None:
        arms = [each for each in facts.arms if _mean_curve(each, name)]
        if not apart:
            axes = figure.subplots()
            ends = [(_curve(axes, each, name, _colour(facts, each)), each) for each in arms]
            _end_labels(axes, [(end, label(facts, each.arm.id), _colour(facts, each)) for end, each in ends])
            axes.set_xlabel("update")
            axes.set_ylabel(UNITS.get(name, name))
            return
        for axes, each in zip(_panels(figure, len(arms)), arms, strict=True):
            for run in each.runs:
                if name in run.curves:
                    _line(axes, run.curves[name], _colour(facts, each), 0.4, 0.35)
            _curve(axes, each, name, _colour(facts, each), raw=False)
            axes.set_title(label(facts, each.arm.id))
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        figure.supxlabel("update", fontsize=8, color=INK)
        figure.supylabel(UNITS.get(name, name), fontsize=8, color=INK)

    rows = math.ceil(len([each for each in facts.arms if _mean_curve(each, name)]) / 3)
    return _svg(draw, name, 0.4 + 1.4 * rows if apart else 2.1)


UNITS = {
    "train/loss": "training loss",
    "train/active_fraction": "active share of triplets or pairs (0 to 1)",
}
"""What stands at the axis of a curve, where its name says too little."""


def centroid_figure(facts: StudyFacts) -> str:
    """Distances between the centroids of classes: a matrix an arm, one scale for all."""
    arms = [each for each in facts.arms if each.centroid_distances]
    top = max(max(map(max, each.centroid_distances)) for each in arms)
    names = arms[0].centroid_names
    rows = math.ceil(len(arms) / 3)

    def draw(figure: "Figure") -> None:
        panels = _panels(figure, len(arms))
        for position, (axes, each) in enumerate(zip(panels, arms, strict=True)):
            drawn = axes.pcolormesh(
                list(map(list, each.centroid_distances)), vmin=0, vmax=top, cmap="Blues",
                rasterized=len(names) > 20, linewidth=0,
            )  # fmt: skip
            axes.set_aspect("equal")
            axes.invert_yaxis()
            axes.set_title(_two_lines(label(facts, each.arm.id), f"CV {plain(spread(each) or 0, 2)}"))
            _class_ticks(axes, names, left=position % 3 == 0, below=position + 3 >= len(arms))
        bar = figure.colorbar(drawn, ax=panels, shrink=0.7, aspect=30, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label("distance between centroids", fontsize=8, color=INK)

    return _svg(draw, "centroids", 0.7 + 1.75 * rows)


def map_figure(facts: StudyFacts, method: str) -> str:
    """Where the clips lie in two dimensions: a map an arm; numbers stand at the middle of each class."""
    shown = [(each, found) for each in facts.arms for found in each.maps if found.method == method]
    names = map_classes(facts)
    heavy = sum(len(found.points) for _, found in shown) > MANY_POINTS

    def draw(figure: "Figure") -> None:
        for axes, (each, found) in zip(_panels(figure, len(shown)), shown, strict=True):
            _one_map(axes, found, names, heavy)
            trust = plain(found.trustworthiness, 2)
            axes.set_title(_two_lines(label(facts, each.arm.id), f"trustworthiness {trust}"))

    return _svg(draw, method, 0.1 + 1.95 * math.ceil(len(shown) / 3))


def map_classes(facts: StudyFacts) -> tuple[str, ...]:
    """The classes on the maps; the first carries the number 1."""
    return tuple(sorted({name for each in facts.arms for found in each.maps for name in found.labels}))


def spread(each: ArmFacts) -> float | None:
    """Coefficient of variation of the distances between centroids: 0 where all lie equally far apart."""
    rows = each.centroid_distances
    values = [rows[i][j] for i in range(len(rows)) for j in range(i)]
    if not values or not sum(values):
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)) / mean


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """Means of `window` neighbours, only where the whole window has values: len - window + 1 of them."""
    return [sum(values[i : i + window]) / window for i in range(len(values) - window + 1)]


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Places as near to `wanted` as they can be with `gap` between any two, in the same order."""
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


def _svg(draw: Callable[["Figure"], None], name: str, height: float) -> str:
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
    """Without header, date, fonts and names that nothing refers to: several figures stand in one page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.S)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r" id=\"([^\"]*)\"", lambda match: match[0] if match[1] in used else "", svg)
    svg = re.sub(r"(<svg[^>]*?) width=\"[^\"]*\" height=\"[^\"]*\"", r"\1", svg, count=1)
    return re.sub(r"(?<=\d)\n(?=[LMC] )", " ", svg)


def _colour(facts: StudyFacts, each: ArmFacts) -> tuple[str, Any]:
    position = [arm.arm.id for arm in facts.arms].index(each.arm.id)
    return COLOURS[position % len(COLOURS)], DASHES[position // len(COLOURS) % len(DASHES)]


def _mean_curve(each: ArmFacts, name: str) -> Curve | None:
    """Mean over the finished runs at each update; over the failed ones where none finished."""
    runs = [run for run in each.runs if name in run.curves]
    runs = [run for run in runs if run.state == "done"] or runs
    found: dict[int, list[float]] = {}
    for run in runs:
        for update, value in zip(run.curves[name].updates, run.curves[name].values, strict=True):
            if value is not None:
                found.setdefault(update, []).append(value)
    updates = tuple(sorted(found))
    return Curve(updates, tuple(sum(found[u]) / len(found[u]) for u in updates)) if updates else None


def _line(axes: "Axes", curve: Curve, colour: tuple[str, Any], width: float, alpha: float) -> None:
    values = [math.nan if value is None else value for value in curve.values]
    axes.plot(curve.updates, values, color=colour[0], linewidth=width, alpha=alpha)


def _curve(
    axes: "Axes", each: ArmFacts, name: str, colour: tuple[str, Any], raw: bool = True
) -> tuple[float, float]:
    """Draws the mean over seeds and its moving mean, which ends where its window ends; gives that end."""
    mean = _mean_curve(each, name) or Curve((0,), (0.0,))
    values = [value or 0.0 for value in mean.values]
    window = min(len(values), 2 * (len(values) // 30) + 1)
    smooth = moving_mean(values, window)
    updates = mean.updates[window // 2 : window // 2 + len(smooth)]
    if raw and window > 1:
        _line(axes, mean, colour, 0.5, 0.45)
    axes.plot(updates, smooth, color=colour[0], linestyle=colour[1], linewidth=1.5)
    return float(updates[-1]), smooth[-1]


def _end_labels(
    axes: "Axes", ends: Sequence[tuple[tuple[float, float], str, tuple[str, Any]]], size: float = 7.5
) -> None:
    """Names at the ends of lines, moved apart, each tied to its end by a thin stroke of its colour."""
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
    """About the height of axes that have the figure for themselves, in points."""
    return float(axes.figure.bbox.height / axes.figure.dpi * 72 * 0.8)


def _places(axes: "Axes", facts: StudyFacts, arms: Sequence[ArmFacts]) -> list[float]:
    """Where each arm stands; sets the axis up: by value where the names are numbers, else evenly spaced."""
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
    """Linear where neighbours keep apart on it, else logarithmic, else evenly spaced by name."""
    ordered = sorted(values)
    gaps = [after - before for before, after in pairwise(ordered)]
    if not gaps or min(gaps) == 0:
        return "names"
    if min(gaps) / sum(gaps) > 0.04 and not 0 < ordered[0] * 20 < ordered[-1]:
        return "linear"
    return "log" if ordered[0] > 0 else "names"


def _one_arm(axes: "Axes", estimate: Estimate, place: float, hollow: bool) -> None:
    from matplotlib.transforms import ScaledTranslation

    blue = COLOURS[0]
    axes.plot(
        [place, place], [estimate.low, estimate.high], color=blue, linewidth=1.4, solid_capstyle="round"
    )
    face = "none" if hollow else blue
    axes.plot([place], [estimate.mean], "o", color=blue, markerfacecolor=face, markersize=5.5)
    beside = ScaledTranslation(7 / 72, 0, axes.figure.dpi_scale_trans)
    seeds = [value for value in estimate.per_seed if value is not None]
    axes.plot(
        [place] * len(seeds), seeds, "o", color=INK, markersize=2.6, alpha=0.45, markeredgewidth=0,
        transform=axes.transData + beside,
    )  # fmt: skip


def _baseline_lines(axes: "Axes", facts: StudyFacts) -> None:
    """Dashed lines with their names; those far off the arms are only named at the foot of the axis."""
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
            f"not shown: {said}", (0, 0), xytext=(4, 3), xycoords="axes fraction", textcoords="offset points",
            fontsize=7, color=MUTED,
        )  # fmt: skip


def _outside_labels(axes: "Axes", lines: Sequence[tuple[float, str]]) -> None:
    """Names to the right of the axes, beside the heights they name, moved apart."""
    low, high = axes.get_ylim()
    gap = (high - low) * 10 / _points_high(axes)
    for place, (height, words) in zip(apart([height for height, _ in lines], gap), lines, strict=True):
        axes.annotate(
            words, (1, height), xytext=(1.025, (place - low) / (high - low)),
            xycoords=axes.get_yaxis_transform(), textcoords="axes fraction", va="center", fontsize=7.5,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0},
        )  # fmt: skip


def _panels(figure: "Figure", count: int) -> list["Axes"]:
    """`count` axes in rows of three."""
    columns = min(3, count)
    grid = figure.subplots(math.ceil(count / columns), columns, squeeze=False)
    axes = list(grid.ravel())
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def _two_lines(name: str, figure: str) -> str:
    """A title over one panel of three: on one line where there is room."""
    joined = f"{name} · {figure}"
    return joined if len(joined) <= TITLE else f"{name}\n{figure}"


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
        colour = COLOURS[position % len(COLOURS)]
        marker = MARKERS[position // len(COLOURS) % len(MARKERS)]
        look: Any = {"markerfacecolor": "none", "markeredgewidth": 0.6} if name in found.unseen else {}
        look = look or {"markeredgewidth": 0}
        axes.plot(x, y, marker, color=colour, markersize=2.2, alpha=0.7, rasterized=heavy, **look)
        if len(names) <= NUMBERED:
            middle = sorted(x)[len(x) // 2], sorted(y)[len(y) // 2]
            axes.annotate(str(position + 1), middle, ha="center", va="center", fontsize=7.5, weight="bold")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(True)
        side.set_alpha(0.4)
