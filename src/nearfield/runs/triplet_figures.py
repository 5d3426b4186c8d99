"""Triplets of training as figures and sounds: waves and log-mels side by side, what they share under them."""

import io
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from nearfield.core.files import replacing
from nearfield.core.words import clock
from nearfield.data.writing import write_sound
from nearfield.runs.plotting import COLOURS, draw_picture, loudness, new_figure, quieten, save, short_name
from nearfield.runs.triplets import ROLES, Shown, Triplet, Triplets, Window

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

_DATES = 10 * 365 * 86400.0
"""From so many seconds on, a moment is counted from 1970: a date."""
_LISTED = 16
"""Tags under a window; of more it is said how many are left out."""


def write_triplets(found: Triplets, folder: Path) -> tuple[Path, ...]:
    """triplet-N.png, and triplet-N-anchor.wav, -positive.wav and -negative.wav of each; those before a
    tagger's errors rearranged it as -before-positive.wav and so on, where they differ."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, shown in enumerate(found.shown, 1):
        paths.append(folder / f"triplet-{number}.png")
        draw_triplet(paths[-1], shown, found.rate)
        for name, window in named_windows(shown):
            paths.append(folder / f"triplet-{number}-{name}.wav")
            with replacing(paths[-1]) as temporary, temporary.open("wb") as file:
                write_sound(file, np.clip(window.wave, -1, 1), found.rate, ".wav")
    return tuple(paths)


def named_windows(shown: Shown) -> list[tuple[str, Window]]:
    """The windows of a triplet by role, then those of the one before it that are others."""
    named = list(zip(ROLES, shown.triplet.windows, strict=True))
    if shown.before is None:
        return named
    before = zip(ROLES, shown.before.windows, strict=True)
    return named + [(f"before-{role}", window) for role, window in before if not is_among(window, shown)]


def is_among(window: Window, shown: Shown) -> bool:
    """Whether the triplet, as it is now, holds this very window in some role."""
    return any((window.id, window.start) == (each.id, each.start) for each in shown.triplet.windows)


def draw_triplet(path: Path, shown: Shown, rate: int) -> None:
    """Anchor, positive and negative side by side; the triplet before the tagger's errors above."""
    rows = [shown.triplet] if shown.before is None else [shown.before, shown.triplet]
    names = ["before", "after"] if shown.before else [""]
    lines = [1 + max(len(_listed(window, ())) for window in each.windows) for each in rows]
    heights = [2.6 + 0.15 * count for count in lines]
    figure = new_figure(9.0, sum(heights))
    loudest = max(float(np.abs(window.wave).max()) for each in rows for window in each.windows) or 1.0
    parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, each, name in zip(parts, rows, names, strict=True):
        said = f"{name}: {each.said}" if name else each.said
        part.suptitle("\n".join(wrap(said, 125)), x=0.01, ha="left", fontsize=8.5)
        _draw(part, each, rate, loudest)
    save(figure, path)


def _draw(part: "SubFigure", triplet: Triplet, rate: int, loudest: float) -> None:
    panels = part.subplots(2, 3, squeeze=False, gridspec_kw={"height_ratios": [1, 1.8]})
    for role, window in enumerate(triplet.windows):
        above, below = panels[:, role]
        _draw_window(above, below, window, rate, loudest)
        above.set_title(
            f"{ROLES[role]} · {short_name(window.id, 40)}\n{when(window, rate)}", loc="left", fontsize=7.5
        )
        above.set_xticks([])
        below.locator_params("x", nbins=4)
        below.xaxis.set_major_formatter("{x:g} s")
        below.set_xlabel("\n".join(_listed(window, triplet.shared(role))) or " ")
        if role:
            above.set_yticks([])
            below.set_yticks([])
    panels[0, 0].set_ylabel("wave")
    panels[1, 0].set_ylabel("log-mel band")


def _draw_window(above: "Axes", below: "Axes", window: Window, rate: int, loudest: float) -> None:
    seconds = window.wave.shape[1] / rate
    above.plot(
        np.arange(window.wave.shape[1]) / rate, window.wave.mean(axis=0), color=COLOURS[0], linewidth=0.4
    )
    above.set_xlim(0, seconds)
    above.set_ylim(-loudest, loudest)
    extent = (0.0, seconds, 0.0, float(len(window.log_mel)))
    draw_picture(below, window.log_mel, extent, loudness(window.log_mel))


def when(window: Window, rate: int) -> str:
    """The seconds of the file that a window holds; on a second line, if that is another, the time on the
    recording's clock."""
    end = window.start + window.wave.shape[1] / rate
    said = f"{clock(window.start)} to {clock(end)}"
    if abs(window.moment - window.start) < 1e-3:
        return said
    of = "" if window.recording == window.id else f" of {short_name(window.recording, 34)}"
    if window.moment < _DATES:
        return f"{said}\nrecording: {clock(window.moment)}{of}"
    return f"{said}\nrecording: {datetime.fromtimestamp(window.moment, UTC):%Y-%m-%d %H:%M:%S}{of}"


def window_picture(window: Window, rate: int) -> bytes:
    """Wave above log-mel without any text, as PNG, over the whole width."""
    figure = new_figure(3.4, 1.7)
    figure.set_layout_engine("none")
    above, below = figure.add_axes((0, 0.67, 1, 0.33)), figure.add_axes((0, 0, 1, 0.65))
    _draw_window(above, below, window, rate, float(np.abs(window.wave).max()) or 1.0)
    for axes in (above, below):
        axes.set_axis_off()
    quieten(figure)
    held = io.BytesIO()
    figure.savefig(held, format="png", dpi=150, transparent=True)
    return held.getvalue()


def _listed(window: Window, shared: tuple[str, ...]) -> list[str]:
    """Label and tags, those that are shared first and ticked."""
    ordered = sorted(window.names, key=lambda name: name not in shared)
    listed = [short_name(name, 40) + (" ✓" if name in shared else "") for name in ordered[:_LISTED]]
    more = len(ordered) - len(listed)
    return listed + ([f"and {more} more"] if more else [])
