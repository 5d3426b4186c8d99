"""Vectors of whole clips: windows end to end, each embedded, the mean of their vectors, unit length again."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nearfield.core.types import Draw, Floats, Ints, Vectors
from nearfield.data.signals import Loader
from nearfield.models.embedder import Embedder, unit_length
from nearfield.training.device import Precision, arithmetic
from nearfield.training.events import Stage, Watcher, nobody
from nearfield.training.setup import Sight, Workbench, windows

BATCH = 64
"""Windows embedded at once."""


Windows = tuple[Tensor, Tensor]
"""(W, D) vectors of windows, and (W,) the clip that each is of."""


def embed(
    embedder: Embedder,
    sight: Sight,
    seconds: Floats,
    clip_seconds: float,
    precision: Precision = "fp32",
    watch: Watcher = nobody,
    only: Ints | None = None,
) -> Vectors:
    """(N, D) float32: one vector for each clip of `sight`, whose lengths are `seconds` (0 for pictures).

    `only`: the rows that are embedded, where not all are; the vectors of the others are NaN.
    """
    vectors, rows = embed_windows(embedder, sight, seconds, clip_seconds, precision, watch, only)
    return mean_by_clip(vectors, rows, len(seconds), embedder.settings.normalise)


def embed_windows(
    embedder: Embedder,
    sight: Sight,
    seconds: Floats,
    clip_seconds: float,
    precision: Precision = "fp32",
    watch: Watcher = nobody,
    only: Ints | None = None,
) -> Windows:
    """(W, D) float32 vectors of all windows, clip after clip, and (W,) the clip that each is of.

    `only`: the rows whose windows are embedded, where not those of all clips are.
    """
    plan = [windows(float(length), clip_seconds) for length in seconds]
    if only is not None:
        wanted = set(only.tolist())
        plan = [starts if row in wanted else [] for row, starts in enumerate(plan)]
    rows = np.repeat(np.arange(len(plan)), [len(starts) for starts in plan])
    starts = np.array([start for each in plan for start in each], np.float64)
    device = next(embedder.parameters()).device
    reader = embedder.reader()
    found: list[Tensor] = []
    loader = Loader(sight.signals, draws(rows, starts), sight.length)
    with torch.no_grad():
        for number, batch in enumerate(loader):
            signal = batch.signal.to(device)
            with arithmetic(device, precision):
                picture = sight.feature(signal) if sight.feature is not None else signal
                found.append(reader.embed_picture(picture).float().cpu())
            watch(Stage("embed", min(len(rows), (number + 1) * BATCH), len(rows)))
    return torch.cat(found), torch.from_numpy(rows)


def vectors_of(
    embedder: Embedder, bench: Workbench, watch: Watcher = nobody, precision: Precision = "fp32"
) -> Vectors:
    """(N, D): a vector for each clip of the bench's collection."""
    clip_seconds = bench.recipe.data.clip_seconds
    return embed(embedder, bench.sight, bench.facts.seconds, clip_seconds, precision, watch)


def mean_by_clip(vectors: Tensor, rows: Tensor, clips: int, normalise: bool) -> Vectors:
    """(W, D) window vectors to (N, D): the mean of each clip's windows, brought to unit length if asked."""
    total = torch.zeros(clips, vectors.shape[1], dtype=torch.float64)
    total.index_add_(0, rows, vectors.double())
    mean = (total / torch.bincount(rows, minlength=clips)[:, None]).float()
    return (unit_length(mean) if normalise else mean).numpy()


def draws(rows: Ints, starts: Floats) -> Iterator[Draw]:
    """Windows as draws of up to `BATCH`, in order."""
    for first in range(0, len(rows), BATCH):
        yield Draw(rows[first : first + BATCH], starts[first : first + BATCH])
