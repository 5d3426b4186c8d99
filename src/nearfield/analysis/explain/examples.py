"""Example clips as wave, log-mel and MFCC, and their neighbors before and after training."""

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
from nearfield.metrics.result import EmbeddedClips
from nearfield.models.features.feature import Feature
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.features.mfcc import MFCCSettings
from nearfield.training.baselines import standardized, statistics_vectors
from nearfield.training.events import Callback, ignore

Image = npt.NDArray[np.float32]

NEIGHBORS = 5


@dataclass(frozen=True, eq=False)
class Tile:
    """A window of a clip with the length of the network input, usually the first."""

    id: str
    names: tuple[str, ...]
    """Label and tags of the clip."""
    seconds: float
    """Length of the window in seconds; 0 for images."""
    start: float
    """Start of the window in the clip, in seconds."""
    wave: Image
    """(T,) mean of the channels; empty for images."""
    log_mel: Image
    """(bands, frames) in decibels; for images, the image (H, W, 1 or 3) in 0..1."""
    mfcc: Image
    """(coefficients, frames) without the level; empty for images."""


@dataclass(frozen=True)
class Neighbor:
    """A clip near an anchor."""

    tile: Tile
    distance: float
    shared: tuple[str, ...]
    """Labels and tags that it shares with the anchor."""


@dataclass(frozen=True)
class Neighborhood:
    """An anchor and its nearest clips of other groups, before and after training."""

    anchor: Tile
    plain: str
    """Name of the baseline before training: `mfcc_stats`, or `pixels`."""
    before: tuple[Neighbor, ...]
    after: tuple[Neighbor, ...]


def drawn_clips(opened: OpenedRun, count: int = 3, seed: int = 0) -> Ints:
    """Returns the rows of random clips of the split; with labels or tags, if there are any."""
    metadata = opened.setup.metadata
    named = (metadata.labels[opened.rows] >= 0) | metadata.tags[opened.rows].any(axis=1)
    rows = opened.rows[named] if named.any() else opened.rows
    return stream(seed, "examples").permutation(rows)[:count]


def clip_row(opened: OpenedRun, clip: str) -> int:
    """Returns the row of a clip by its id. Raises RequestError if it is not in the split."""
    ids = list(opened.collection.table["id"].iloc[opened.rows])
    if clip not in ids:
        raise RequestError(
            f"--clip: there is no clip {clip!r} in {opened.split} of {opened.collection.name}. "
            f"{choose(clip, ids[:20])}"
        )
    return int(opened.rows[ids.index(clip)])


def tile(opened: OpenedRun, row: int, start: float = 0.0) -> Tile:
    """Returns the window of a clip from `start` (seconds). Raises RequestError if the clip is shorter."""
    setup, signals = opened.setup, opened.setup.network_input.signals
    names = _names(opened, row)
    clip = str(opened.collection.table["id"].iloc[row])
    rate, length = setup.recipe.data.sample_rate, signals.length(row)
    first = round(start * rate) if isinstance(signals, ArraySignals) else 0
    if first >= length:
        raise RequestError(
            f"--at: {clip} has a length of {length / rate:g} s. Given: {start:g}. Give a time before its end."
        )
    whole = np.zeros(signals.shape(min(length - first, setup.network_input.length)), np.float32)
    signals.cut(row, first, whole.shape[-1], whole)
    if not isinstance(signals, ArraySignals):
        nothing = np.zeros((0, 0), np.float32)
        return Tile(clip, names, 0.0, 0.0, nothing.ravel(), whole.transpose(1, 2, 0), nothing)
    wave = whole.mean(axis=0, dtype=np.float32)
    log_mel, mfcc = _features(rate)
    return Tile(
        clip, names, len(wave) / rate, first / rate, wave, _apply(log_mel, wave), _apply(mfcc, wave)[1:]
    )


def log_mel_of(wave: Image, rate: int) -> Image:
    """Computes (bands, frames) in decibels of a mono wave (T,), for figures of clips."""
    return _apply(_features(rate)[0], wave)


def neighborhoods(
    opened: OpenedRun, rows: Ints, count: int = NEIGHBORS, callback: Callback = ignore
) -> tuple[Neighborhood, ...]:
    """Finds the clips of the split nearest to each of `rows`, except those of its own group."""
    plain, statistics = next(statistics_vectors(opened.setup, callback))
    train = opened.splits["train"]
    scaled = standardized(statistics, train if len(train) else opened.rows)
    distance: Distance = "cosine" if opened.run.recipe.embedding.normalize else "euclidean"
    found = []
    for row in rows.tolist():
        before = _near(opened, scaled, row, count, "euclidean")
        after = _near(opened, opened.vectors, row, count, distance)
        found.append(Neighborhood(tile(opened, row), plain, before, after))
    return tuple(found)


def _near(
    opened: OpenedRun, vectors: Vectors, row: int, count: int, distance: Distance
) -> tuple[Neighbor, ...]:
    here = EmbeddedClips(vectors[opened.rows], opened.setup.metadata.take(opened.rows))
    own = np.flatnonzero(opened.rows == row)
    sources = here.sources[own], here.sources
    search = Search(vectors[[row]], here.vectors, distance, own, *sources)
    index, apart = nearest(search, count)
    anchor = set(_names(opened, row))
    near = []
    for place, value in zip(index[0].tolist(), apart[0].tolist(), strict=True):
        if place >= 0:
            shown = tile(opened, int(opened.rows[place]))
            near.append(Neighbor(shown, value, tuple(name for name in shown.names if name in anchor)))
    return tuple(near)


def _names(opened: OpenedRun, row: int) -> tuple[str, ...]:
    metadata = opened.setup.metadata
    label = (metadata.label_names[metadata.labels[row]],) if metadata.labels[row] >= 0 else ()
    return label + tuple(metadata.tag_names[at] for at in np.flatnonzero(metadata.tags[row]))


def _features(rate: int) -> tuple[Feature, Feature]:
    """Creates features for figures, with enough FFT bins for every band at any sample rate."""
    fft = 512 if rate <= 8000 else max(1024, 1 << (round(0.03 * rate) - 1).bit_length())
    shared: dict[str, Any] = {"low": 0, "fft": fft, "power": 2, "log": "db"}
    log_mel = LogMelSettings(bands=64, **shared).build(rate, 1)
    return log_mel, MFCCSettings(bands=128, coefficients=13, **shared).build(rate, 1)


def _apply(feature: Feature, wave: Image) -> Image:
    padded = np.pad(wave, (0, max(0, feature.samples(2) - len(wave))))
    with torch.no_grad():
        image: Image = feature(torch.from_numpy(padded[None, None]))[0, 0].numpy()
    return image
