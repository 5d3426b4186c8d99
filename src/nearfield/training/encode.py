"""Embeddings of clips: the one loop from windows to vectors, for files, waves and decoded signals.

A window is turned into a spectrogram by the feature of the network, and embedded. The embedding of a clip is
the mean of those of its windows, of unit length if the recipe says so. `training.windows` cuts the windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nearfield.core.types import Floats, Ints, Vectors
from nearfield.models.embedder import EmbeddingModel, unit_length
from nearfield.training.device import Precision, arithmetic
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.setup import TrainingSetup
from nearfield.training.windows import WindowSource


@dataclass(frozen=True, eq=False)
class WindowEmbeddings:
    """The embeddings of the windows of some clips."""

    vectors: Tensor
    """(W, D) float32, on the CPU."""
    rows: Ints
    """(W,) row of the clip of each window."""
    starts: Floats
    """(W,) start of each window in its clip, in seconds."""
    seconds: Floats
    """(W,) length of each window in seconds; 0 for images."""

    def without(self, rows: Sequence[int] | Ints) -> "WindowEmbeddings":
        """Returns the windows of all clips but those of `rows`."""
        kept = ~np.isin(self.rows, rows)
        vectors = self.vectors[torch.from_numpy(kept)]
        return WindowEmbeddings(vectors, self.rows[kept], self.starts[kept], self.seconds[kept])

    def by_clip(self, clips: int, normalize: bool) -> Vectors:
        """Averages the windows of each clip.

        Parameters
        ----------
        clips
            Number of clips N; rows are smaller.
        normalize
            Whether the means are brought to unit length.

        Returns
        -------
        ndarray
            (N, D) float32; NaN for a clip without windows.
        """
        mean = mean_of_windows(self.vectors, self.rows, clips).float()
        return (unit_length(mean) if normalize else mean).numpy()


def mean_of_windows(values: Tensor, rows: Ints, clips: int) -> Tensor:
    """Averages (W, K) values of windows to (N, K) float64 of N clips; `rows` (W,) is the clip of each window.

    A clip without windows has NaN.
    """
    of = torch.from_numpy(rows)
    total = torch.zeros(clips, values.shape[1], dtype=torch.float64).index_add_(0, of, values.double())
    return total / torch.bincount(of, minlength=clips)[:, None]


def embed_windows(
    model: EmbeddingModel,
    feature: nn.Module | None,
    windows: WindowSource,
    precision: Precision = "fp32",
    callback: Callback = ignore,
) -> WindowEmbeddings:
    """Embeds the windows of some clips, batch by batch.

    Parameters
    ----------
    model
        A network for inference, as `EmbeddingModel.reader` returns it; it is used on its device.
    feature
        The feature that turns a batch into spectrograms (or images); None: it is made already.
    windows
        The windows in batches. A source that decodes files works while the network does.
    precision
        Arithmetic of feature and network.
    callback
        Called with `Stage("embed", done, windows)` after each batch.

    Returns
    -------
    WindowEmbeddings
        The windows in the order of the source.

    Raises
    ------
    DataError
        If the source raises it, for a file that cannot be used.
    """
    device = next(model.parameters()).device
    total = 0 if callback is ignore else windows.count()
    vectors, parts, done = [torch.empty(0, model.size)], [], 0
    with torch.no_grad():
        for batch in windows:
            signal = batch.signal.to(device)
            with arithmetic(device, precision):
                spectrogram = signal if feature is None else feature(signal)
                vectors.append(model.embed_spectrogram(spectrogram).float().cpu())
            parts.append((batch.rows, batch.starts, batch.seconds))
            done += len(batch.rows)
            callback(Stage("embed", done, max(done, total)))
    if done < total:  # the headers of files announced more than there was
        callback(Stage("embed", done, done))
    none = np.empty(0, np.int64), np.empty(0), np.empty(0)
    rows, starts, seconds = (np.concatenate(each) for each in zip(none, *parts, strict=True))
    return WindowEmbeddings(torch.cat(vectors), rows, starts, seconds)


def embed_setup(
    model: EmbeddingModel,
    setup: TrainingSetup,
    callback: Callback = ignore,
    precision: Precision = "fp32",
    rows: Ints | None = None,
) -> WindowEmbeddings:
    """Embeds the windows of the clips of a training setup, or of the given rows of its collection.

    `model` may be in training; a copy for inference is made. See `embed_windows`.
    """
    feature = setup.network_input.feature
    return embed_windows(model.reader(), feature, setup.windows(rows), precision, callback)


def vectors_of(
    model: EmbeddingModel,
    setup: TrainingSetup,
    callback: Callback = ignore,
    precision: Precision = "fp32",
    rows: Ints | None = None,
) -> Vectors:
    """Returns (N, D) float32: an embedding for each clip of a training setup.

    `rows`: the clips that are embedded, if not all are; the vectors of the others are NaN.
    """
    embedded = embed_setup(model, setup, callback, precision, rows)
    return embedded.by_clip(len(setup.metadata), model.settings.normalize)
