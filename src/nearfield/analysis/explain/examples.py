"""Clips to look at: what one is like as wave, log-mel and MFCC, and who its neighbours are in two spaces."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.core.errors import RequestError, choose
from nearfield.core.rng import stream
from nearfield.core.types import Distance, Ints, Vectors
from nearfield.data.signals import ArraySignals
from nearfield.metrics.neighbors import Search, nearest
from nearfield.metrics.result import Side
from nearfield.models.features.feature import Feature
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.features.mfcc import MFCCSettings
from nearfield.training.baselines import standardised, statistics_vectors
from nearfield.training.events import Callback, ignore

Image = npt.NDArray[np.float32]

NEIGHBOURS = 5


@dataclass(frozen=True, eq=False)
class Tile:
    """A window of a clip, as long as the network sees one; usually the first."""

    id: str
    names: tuple[str, ...]
    """Its label and its tags."""
    seconds: float
    """How much of it is shown; 0 for photographs."""
    start: float
    """Where in the clip the window begins, in seconds."""
    wave: Image
    """(T,) the mean of its channels; empty for photographs."""
    log_mel: Image
    """(bands, frames) in decibels; a photograph itself, (H, W, 1 or 3) in 0..1."""
    mfcc: Image
    """(coefficients, frames) without the level; empty for photographs."""


@dataclass(frozen=True)
class Neighbour:
    """A clip near an anchor."""

    tile: Tile
    distance: float
    shared: tuple[str, ...]
    """Labels and tags that the anchor has too."""


@dataclass(frozen=True)
class Neighbourhood:
    """An anchor and its nearest clips of other groups before and after learning."""

    anchor: Tile
    plain: str
    """The space before: `mfcc_stats`, or `pixels`."""
    before: tuple[Neighbour, ...]
    after: tuple[Neighbour, ...]


def drawn_clips(opened: OpenedRun, count: int = 3, seed: int = 0) -> Ints:
    """Rows of some clips of the split, those with labels or tags first, drawn by chance and not by looks."""
    metadata = opened.setup.metadata
    named = (metadata.labels[opened.rows] >= 0) | metadata.tags[opened.rows].any(axis=1)
    rows = opened.rows[named] if named.any() else opened.rows
    return stream(seed, "examples").permutation(rows)[:count]


def clip_row(opened: OpenedRun, clip: str) -> int:
    """The row of a clip by its id. Raises RequestError where the split has none of that id."""
    ids = list(opened.collection.table["id"].iloc[opened.rows])
    if clip not in ids:
        raise RequestError(
            f"--clip: the {opened.split} clips of {opened.collection.name} have no {clip!r}. "
            f"{choose(clip, ids[:20])}"
        )
    return int(opened.rows[ids.index(clip)])


def tile(opened: OpenedRun, row: int, start: float = 0.0) -> Tile:
    """What one clip is like from `start` (seconds) on. Raises RequestError where it ends before that."""
    setup, signals = opened.setup, opened.setup.network_input.signals
    names = _names(opened, row)
    clip = str(opened.collection.table["id"].iloc[row])
    rate, length = setup.recipe.data.sample_rate, signals.length(row)
    first = round(start * rate) if isinstance(signals, ArraySignals) else 0
    if first >= length:
        raise RequestError(
            f"--at: {clip} is {length / rate:g} s long. Given: {start:g}. Give a time before its end."
        )
    whole = np.zeros(signals.shape(min(length - first, setup.network_input.length)), np.float32)
    signals.cut(row, first, whole.shape[-1], whole)
    if not isinstance(signals, ArraySignals):
        nothing = np.zeros((0, 0), np.float32)
        return Tile(clip, names, 0.0, 0.0, nothing.ravel(), whole.transpose(1, 2, 0), nothing)
    wave = whole.mean(axis=0, dtype=np.float32)
    log_mel, mfcc = _features(rate)
    return Tile(
        clip, names, len(wave) / rate, first / rate, wave, _picture(log_mel, wave), _picture(mfcc, wave)[1:]
    )


def log_mel_of(wave: Image, rate: int) -> Image:
    """(bands, frames) of a mono wave (T,) in decibels, as it is drawn of every clip."""
    return _picture(_features(rate)[0], wave)


def neighbourhoods(
    opened: OpenedRun, rows: Ints, count: int = NEIGHBOURS, callback: Callback = ignore
) -> tuple[Neighbourhood, ...]:
    """The clips of the split nearest to each of `rows`, without the anchor's own group."""
    plain, statistics = next(statistics_vectors(opened.setup, callback))
    train = opened.splits["train"]
    scaled = standardised(statistics, train if len(train) else opened.rows)
    learnt: Distance = "cosine" if opened.run.recipe.embedding.normalize else "euclidean"
    found = []
    for row in rows.tolist():
        before = _near(opened, scaled, row, count, "euclidean")
        after = _near(opened, opened.vectors, row, count, learnt)
        found.append(Neighbourhood(tile(opened, row), plain, before, after))
    return tuple(found)


def _near(
    opened: OpenedRun, vectors: Vectors, row: int, count: int, distance: Distance
) -> tuple[Neighbour, ...]:
    here = Side(vectors[opened.rows], opened.setup.metadata.take(opened.rows))
    own = np.flatnonzero(opened.rows == row)
    sources = here.sources[own], here.sources
    search = Search(vectors[[row]], here.vectors, distance, own, *sources)
    index, apart = nearest(search, count)
    anchor = set(_names(opened, row))
    near = []
    for place, value in zip(index[0].tolist(), apart[0].tolist(), strict=True):
        if place >= 0:
            shown = tile(opened, int(opened.rows[place]))
            near.append(Neighbour(shown, value, tuple(name for name in shown.names if name in anchor)))
    return tuple(near)


def _names(opened: OpenedRun, row: int) -> tuple[str, ...]:
    metadata = opened.setup.metadata
    label = (metadata.label_names[metadata.labels[row]],) if metadata.labels[row] >= 0 else ()
    return label + tuple(metadata.tag_names[at] for at in np.flatnonzero(metadata.tags[row]))


def _features(rate: int) -> tuple[Feature, Feature]:
    """Pictures for the eye: enough bins for every band at any rate."""
    fft = 512 if rate <= 8000 else max(1024, 1 << (round(0.03 * rate) - 1).bit_length())
    shared: dict[str, Any] = {"low": 0, "fft": fft, "power": 2, "log": "db"}
    log_mel = LogMelSettings(bands=64, **shared).build(rate, 1)
    return log_mel, MFCCSettings(bands=128, coefficients=13, **shared).build(rate, 1)


def _picture(feature: Feature, wave: Image) -> Image:
    padded = np.pad(wave, (0, max(0, feature.samples(2) - len(wave))))
    with torch.no_grad():
        image: Image = feature(torch.from_numpy(padded[None, None]))[0, 0].numpy()
    return image
