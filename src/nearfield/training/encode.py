"""Vectors of whole clips: windows end to end, each embedded, the mean of their vectors, unit length again."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from nearfield.core.types import BatchIndices, Floats, Ints, Vectors
from nearfield.data.signals import Loader
from nearfield.models.embedder import EmbeddingModel, unit_length
from nearfield.training.device import Precision, arithmetic
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.setup import NetworkInput, TrainingSetup, windows

BATCH = 64
"""Windows embedded at once."""


Windows = tuple[Tensor, Tensor]
"""(W, D) vectors of windows, and (W,) the clip that each is of."""


def embed(
    embedder: EmbeddingModel,
    network_input: NetworkInput,
    seconds: Floats,
    clip_seconds: float,
    precision: Precision = "fp32",
    callback: Callback = ignore,
    only: Ints | None = None,
) -> Vectors:
    """(N, D) float32: one embedding for each clip of `network_input`; `seconds`: their lengths, 0 for images.

    `only`: the rows that are embedded, where not all are; the vectors of the others are NaN.
    """
    vectors, rows = embed_windows(embedder, network_input, seconds, clip_seconds, precision, callback, only)
    return mean_by_clip(vectors, rows, len(seconds), embedder.settings.normalize)


def embed_windows(
    embedder: EmbeddingModel,
    network_input: NetworkInput,
    seconds: Floats,
    clip_seconds: float,
    precision: Precision = "fp32",
    callback: Callback = ignore,
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
    loader = Loader(network_input.signals, draws(rows, starts), network_input.length)
    with torch.no_grad():
        for number, batch in enumerate(loader):
            signal = batch.signal.to(device)
            with arithmetic(device, precision):
                image = network_input.feature(signal) if network_input.feature is not None else signal
                found.append(reader.embed_picture(image).float().cpu())
            callback(Stage("embed", min(len(rows), (number + 1) * BATCH), len(rows)))
    return torch.cat(found), torch.from_numpy(rows)


def vectors_of(
    embedder: EmbeddingModel, setup: TrainingSetup, callback: Callback = ignore, precision: Precision = "fp32"
) -> Vectors:
    """(N, D): a vector for each clip of the bench's collection."""
    clip_seconds = setup.recipe.data.clip_seconds
    return embed(embedder, setup.network_input, setup.metadata.seconds, clip_seconds, precision, callback)


def mean_by_clip(vectors: Tensor, rows: Tensor, clips: int, normalize: bool) -> Vectors:
    """(W, D) window vectors to (N, D): the mean of each clip's windows, brought to unit length if asked."""
    total = torch.zeros(clips, vectors.shape[1], dtype=torch.float64)
    total.index_add_(0, rows, vectors.double())
    mean = (total / torch.bincount(rows, minlength=clips)[:, None]).float()
    return (unit_length(mean) if normalize else mean).numpy()


def draws(rows: Ints, starts: Floats) -> Iterator[BatchIndices]:
    """Windows as draws of up to `BATCH`, in order."""
    for first in range(0, len(rows), BATCH):
        yield BatchIndices(rows[first : first + BATCH], starts[first : first + BATCH])
