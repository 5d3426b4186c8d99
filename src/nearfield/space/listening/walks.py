"""Walks between two clips, labels or tags, as sound, figure and list."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from nearfield.core.errors import RequestError
from nearfield.core.extras import require
from nearfield.core.files import replacing
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.data.audio import decode, mix, resample
from nearfield.metrics.checks import check_lengths, check_vectors
from nearfield.metrics.neighbors import Search, nearest, unit
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.space.listening.library import ClipLibrary, angles, great_circle, spherical_mean
from nearfield.space.listening.songs import (
    ClipSequence,
    Compilation,
    FileSpan,
    Transition,
    make_song,
    pieces_of,
)
from nearfield.training.plotting import as_written

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# A walk through a space: equidistant points on the great circle between two vectors, and the clips at the
# smallest angles to them. Two numbers describe it:
#
# - `monotone`: share of steps that do not increase the mean angle of a stop's clips to the target.
# - `smoothness`: the angle from the first stop to the last over the sum of the angles between consecutive
#   stops, by the mean directions of the stops; 1 for a straight walk, near 0 for an erratic one.


@dataclass(frozen=True)
class Walk:
    """The stops of a walk, first to last."""

    points: Floats
    """(S, D) unit vectors on the great circle."""
    rows: Ints
    """(S, n) the clips of each stop, nearest first; no clip occurs twice."""
    angles: Floats
    """(S, n) from the point to each of its clips, in radians."""
    to_target: Floats
    """(S,) mean angle from the clips of each stop to the target."""
    monotone: float
    smoothness: float


def walk(
    vectors: Vectors,
    start: npt.NDArray[np.floating],
    end: npt.NDArray[np.floating],
    stops: int = 10,
    clips: int = 1,
    allowed: Bools | None = None,
) -> Walk:
    """Walks from `start` (D,) to `end` (D,) among `vectors` (N, D), `clips` at each of `stops`.

    `allowed` (N,): which clips may be used. Ends may be clips, or centroids by `spherical_mean`. Raises
    RequestError if there are fewer clips than the walk needs, and the errors of `great_circle`.
    """
    check_vectors("vectors", vectors)
    check_lengths(len(vectors), allowed=allowed)
    free = np.ones(len(vectors), dtype=bool) if allowed is None else allowed.copy()
    if free.sum() < stops * clips:
        raise RequestError(
            f"walk: {stops} stops of {clips} clips need {stops * clips} clips. Given: {int(free.sum())}. "
            "Use fewer stops."
        )
    points, space = great_circle(start, end, stops), unit(vectors.astype(np.float64))
    rows = np.empty((stops, clips), dtype=np.int64)
    # Both ends first, so that the stops between do not take the clips of the ends.
    for stop in [0, stops - 1, *range(1, stops - 1)]:
        apart = np.where(free, -(space @ points[stop]), np.inf)
        rows[stop] = np.argsort(apart, kind="stable")[:clips]
        free[rows[stop]] = False
    found = np.stack([angles(space[rows[stop]], points[stop]) for stop in range(stops)])
    to_target = np.array([angles(space[each], end).mean() for each in rows])
    directions = np.stack([spherical_mean(space[each]) for each in rows])
    return Walk(points, rows, found, to_target, monotone_share(to_target), smoothness(directions))


def monotone_share(distances: Floats) -> float:
    """Share of steps in which `distances` (S,) do not grow; 1 for a single stop."""
    return float((np.diff(distances) <= 1e-12).mean()) if len(distances) > 1 else 1.0


def smoothness(directions: Floats) -> float:
    """The angle between the ends over the length of the path, for unit vectors (S, D); 1 for length zero."""
    walked = sum(float(angles(there[None], here)[0]) for here, there in pairwise(directions))
    return float(angles(directions[-1:], directions[0])[0]) / walked if walked > 0 else 1.0


# A walk as a sound, with its figure and its list.

_RATE = 16000  # sample rate of the spectrograms
_RANGE = 80.0  # dynamic range of the spectrograms in decibels


@dataclass(frozen=True, eq=False)
class Walked:
    """A walk with its sound and figure."""

    walk: Walk
    song: Compilation
    start: str
    end: str
    picture: Path

    def plain(self) -> dict[str, Any]:
        """The fields as values for JSON."""
        return {
            "from": self.start,
            "to": self.end,
            "monotone": self.walk.monotone,
            "smoothness": self.walk.smoothness,
            "to_target": self.walk.to_target.tolist(),
            "picture": str(self.picture),
            **self.song.plain(),
        }


@dataclass(frozen=True)
class WalkSettings:
    """Settings of a walk."""

    stops: int = 10
    clips: int = 1
    """Clips per stop."""
    pure: bool = True
    """Ends that are labels or tags are means of the clips whose neighbors share them; see `pure_clips`."""
    seconds: float = 3.0
    """Seconds of each clip that are played."""
    crossfade: float = 0.25
    """Overlap of consecutive clips in seconds."""


def take_walk(
    library: ClipLibrary, start: str, end: str, audio: Path, way: WalkSettings | None = None
) -> Walked:
    """Walks from `start` to `end`, each a clip (id or file), a label or a tag, and writes sound and figure.

    A PNG and a CSV with the name of `audio` are written next to it. The CSV has for each clip its stop, the
    angle to the point of the stop (`distance`) and to the target, and the mean angle of the stop to the
    target. Raises RequestError if an end is unknown, both are the same, or there are too few clips;
    DataError if a file cannot be read.
    """
    way = way or WalkSettings()
    if start == end:
        raise RequestError(f"walk: both ends are {start!r}. Choose two different ends.")
    places = _end(library, start, way.pure), _end(library, end, way.pure)
    found = walk(library.vectors, places[0], places[1], way.stops, way.clips)
    rows: Ints = found.rows.ravel()
    further = {
        "stop": np.repeat(np.arange(1, way.stops + 1), way.clips).tolist(),
        "to_target": angles(library.vectors[rows], places[1]).tolist(),
        "stop_to_target": np.repeat(found.to_target, way.clips).tolist(),
    }
    heard, seam = ClipSequence(rows, found.angles.ravel()), Transition(crossfade=way.crossfade)
    song = make_song(library, heard, audio, way.seconds, seam, further)
    picture = audio.with_suffix(".png")
    _draw(picture, found, song, (start, end))
    return Walked(found, song, start, end, picture)


def pure_clips(library: ClipLibrary, members: Bools, neighbors: int = 5) -> Bools:
    """(N,) the members whose nearest clips are all members; all members if there are none."""
    own = np.flatnonzero(members)
    index, _ = nearest(Search(library.vectors[own], library.vectors, "cosine", own), neighbors)
    pure = np.zeros(len(library), np.bool_)
    pure[own[members[index].all(axis=1)]] = True
    return pure if pure.any() else members


def _end(library: ClipLibrary, word: str, pure: bool) -> Floats:
    """The unit vector (D,) of an end of a walk."""
    if library.find(word) is not None or not pure:
        return library.place(word)
    return spherical_mean(library.vectors[pure_clips(library, library.members(word))])


def _draw(path: Path, found: Walk, song: Compilation, ends: tuple[str, str]) -> None:
    """Draws the log-mel spectrograms of all stops and their angles to the target."""
    require("figures", "The figure of a walk")
    from matplotlib.figure import Figure

    stops, clips = found.rows.shape
    figure = Figure(figsize=(max(4.0, 1.05 * stops), 1.6 + 0.85 * clips), layout="constrained")
    panels = figure.subplots(
        clips + 1, stops, squeeze=False, gridspec_kw={"height_ratios": [1.2] * clips + [1.0]}
    )
    spectrograms = [_log_mel(piece) for piece in pieces_of(song.clips, np.inf)]
    labels = [_title(row, ends) for row in song.records()]
    for place, (mel, name) in enumerate(zip(spectrograms, labels, strict=True)):
        axes = panels[place % clips][place // clips]
        loudest = float(mel.max())
        axes.imshow(mel, origin="lower", aspect="auto", cmap="magma", vmin=loudest - _RANGE, vmax=loudest)
        axes.set_title(name if len(name) < 16 else name[:15] + "…", fontsize=7)
        axes.set_axis_off()
    _draw_way(figure, panels[clips], found)
    figure.suptitle(
        f"{ends[0]} → {ends[1]} · smoothness {found.smoothness:.2f} · {found.monotone:.0%} of steps "
        "lead towards the target", x=0.01, ha="left", fontsize=9,
    )  # fmt: skip
    as_written(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, facecolor="white")


def _title(clip: dict[str, Any], ends: tuple[str, str]) -> str:
    """The label of a clip; without one, the ends that are among its tags."""
    return str(clip["label"] or " ".join(end for end in ends if end in clip["tags"]) or "·")


def _draw_way(figure: "Figure", panels: Any, found: Walk) -> None:
    grid = panels[0].get_gridspec()
    for axes in panels:
        axes.remove()
    axes = figure.add_subplot(grid[-1, :])
    stops = np.arange(1, len(found.to_target) + 1)
    axes.plot(stops, np.degrees(found.to_target), marker="o", markersize=4, linewidth=1.2, color="#0072B2")
    axes.set_xlim(0.5, len(stops) + 0.5)
    axes.set_ylim(0, 1.1 * float(np.degrees(found.to_target.max())) or 1.0)
    axes.set_xticks(stops)
    axes.set_xlabel("stop", fontsize=8)
    axes.set_ylabel("degrees\nto the target", fontsize=8)
    axes.tick_params(labelsize=7.5)
    axes.spines[["top", "right"]].set_visible(False)


def _log_mel(piece: FileSpan) -> Any:
    """The log-mel spectrogram (bands, frames) in decibels."""
    waves, rate = decode(piece.path, piece.start, piece.seconds)
    wave = resample(mix(waves, "mean"), rate, _RATE)
    feature = LogMelSettings(bands=64, low=0, fft=1024, power=2, log="db").build(_RATE, 1)
    padded = np.pad(wave, ((0, 0), (0, max(0, feature.samples(2) - wave.shape[1]))))
    with torch.no_grad():
        return feature(torch.from_numpy(padded[None]))[0, 0].numpy()
