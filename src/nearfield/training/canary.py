"""A few sounds that are stored with a run, with their embeddings, to check the run wherever it is used.

The embeddings are those of the network at the end of training. If other code, another device or another
precision changes them, it changes those of all sounds, and the scores of the run no longer hold.

canary.safetensors: `signals` (N, C, T) int16 or (N, C, H, W) uint8, `vectors` (N, D) float32
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nearfield.core.errors import DataError
from nearfield.core.rng import stream
from nearfield.core.types import Vectors
from nearfield.data.audio import Waves
from nearfield.data.collection import Collection
from nearfield.data.settings import DataSettings
from nearfield.data.signals import ArraySignals, PhotographSignals
from nearfield.data.store import read_sound, square
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.layers import evaluating
from nearfield.training.device import Precision
from nearfield.training.encode import embed_windows
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder, load_tensors, save_tensors
from nearfield.training.windows import SignalWindows, window_samples

COUNT = 4
"""Number of sounds that are stored."""
MOST = 100_000
"""Largest number of samples of all sounds together: 200 kB."""
TOLERANCE: dict[Precision, float] = {"fp32": 0.01, "bf16": 0.1}
"""Length of the difference of two embeddings of a sound, relative to their length, that rounding explains."""

_FULL_SCALE = 2**15


@dataclass(frozen=True, eq=False)
class Canary:
    """Signals, and their embeddings at the end of training."""

    signals: Tensor
    """(N, C, T) int16, at most a window long; or (N, C, H, W) uint8."""
    vectors: Tensor
    """(N, D) float32."""

    @classmethod
    def read(cls, folder: RunFolder) -> "Canary | None":
        """Reads the canary of a run; None if it has none. Raises RequestError if the file is damaged."""
        if not folder.canary.is_file():
            return None
        tensors, _ = load_tensors(folder.canary)
        return cls(tensors["signals"], tensors["vectors"])

    def write(self, path: Path) -> None:
        """Writes the file atomically."""
        save_tensors(path, {"signals": self.signals, "vectors": self.vectors})

    def differences(self, model: EmbeddingModel, recipe: Recipe, precision: Precision) -> Vectors:
        """Embeds the signals and compares the embeddings with the stored ones.

        Parameters
        ----------
        model
            The network for inference, as `EmbeddingModel.reader` returns it.
        recipe
            The recipe of the run.
        precision
            Arithmetic of the network.

        Returns
        -------
        ndarray
            (N,) length of the difference, relative to the length of the stored embedding.
        """
        embedded = embed_windows(model, model.feature, _windows(self.signals, recipe), precision)
        now = torch.from_numpy(embedded.by_clip(len(self.signals), model.settings.normalize))
        if now.shape != self.vectors.shape:
            return np.full(len(self.vectors), np.inf, np.float32)
        apart = torch.linalg.vector_norm(now - self.vectors, dim=1)
        length = torch.linalg.vector_norm(self.vectors, dim=1)
        found: Vectors = (apart / length.clamp_min(1e-6)).numpy()
        return found


def keep_canary(folder: RunFolder, collection: Collection, recipe: Recipe, embedder: EmbeddingModel) -> None:
    """Writes the canary of a trained network, of training clips; no file if no clip can be read."""
    rows = collection.rows("train")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, COUNT).astype(np.int64))]
    found = [signal for row in chosen if (signal := _signal(collection, int(row), recipe)) is not None]
    if found:
        same_shape = [each for each in found if each.shape == found[0].shape]
        signals = torch.stack(same_shape[: max(1, MOST // found[0].numel())])
        Canary(signals, _as_trained(embedder, signals, recipe)).write(folder.canary)


def made_up(canary: Canary, embedder: EmbeddingModel, recipe: Recipe) -> Canary:
    """Returns a canary of synthetic sounds or images, which may be published."""
    rng = stream(0, "canary")
    noise = rng.standard_normal(tuple(canary.signals.shape))
    if canary.signals.dtype == torch.uint8:
        signals = torch.from_numpy((255 / (1 + np.exp(-noise))).astype(np.uint8))
    else:
        steps = np.arange(noise.shape[-1])
        tones = np.sin(steps * np.linspace(0.02, 1.0, len(noise))[:, None])[:, None]
        signals = torch.from_numpy((3000 * (tones + 0.1 * noise)).astype(np.int16))
    return Canary(signals, _as_trained(embedder, signals, recipe))


def warning_of(differences: Vectors, precision: Precision) -> str | None:
    """Returns a warning if differences, as of `Canary.differences`, are larger than those of rounding."""
    worst, most = float(np.max(differences)), TOLERANCE[precision]
    if worst <= most:  # False for NaN
        return None
    return (
        f"This run gives other vectors here than when it was trained: those of the {len(differences)} sounds "
        f"stored with it differ by up to {worst:.2g} of their length (rounding of {precision}: up to "
        f"{most:g}), with torch {torch.__version__}. Its scores and spaces do not hold for these vectors. "
        "Compare environment.json of the run with the installed versions, and check whether a part of the "
        "network was replaced or left out. Otherwise train again."
    )


def _signal(collection: Collection, row: int, recipe: Recipe) -> Tensor | None:
    """The beginning of a clip as it is stored; None if it cannot be read or is silent."""
    clip, data = collection.table.iloc[row], recipe.data
    path, seconds = Path(str(clip["path"])), float(clip["seconds"])
    try:
        if recipe.modality == "image":
            return torch.from_numpy(square(path, data.image_size, data.image_channels).copy())  # read-only
        most = min(seconds, data.clip_seconds) if seconds else data.clip_seconds
        return _whole_numbers(read_sound(path, data, float(clip["start"]), most), data)
    except DataError:
        return None


def _whole_numbers(wave: Waves, data: DataSettings) -> Tensor | None:
    """(C, T) int16, with zeros at the end; quiet sounds are amplified, so that 16 bits are precise enough."""
    length = min(window_samples(data), MOST // (COUNT * len(wave)))
    kept = np.zeros((len(wave), length), np.float32)
    kept[:, : wave.shape[1]] = wave[:, :length]
    peak = float(np.abs(kept).max(initial=0.0))
    if not peak:
        return None
    gain = max(1.0, 0.1 / peak)
    return torch.from_numpy((np.clip(gain * kept, -1, 1) * (_FULL_SCALE - 1)).astype(np.int16))


def _floats(signals: Tensor) -> Vectors:
    """The signals as the network takes them."""
    scale = 255 if signals.dtype == torch.uint8 else _FULL_SCALE
    floats: Vectors = signals.numpy().astype(np.float32) / np.float32(scale)
    return floats


def _as_trained(embedder: EmbeddingModel, signals: Tensor, recipe: Recipe) -> Tensor:
    """(N, D) embeddings by the network as it was trained, not by its copy for inference."""
    windows = torch.from_numpy(_floats(signals))
    if windows.ndim == 3:
        windows = torch.nn.functional.pad(windows, (0, window_samples(recipe.data) - windows.shape[2]))
    device = next(embedder.parameters()).device
    with torch.no_grad(), evaluating(embedder):
        vectors: Tensor = embedder(windows.to(device)).float().cpu()
    return vectors


def _windows(signals: Tensor, recipe: Recipe) -> SignalWindows:
    """A window for each signal; signals are not trimmed, since they are stored as the network got them."""
    data = recipe.data
    if signals.ndim == 4:
        shape = (signals.shape[1], signals.shape[2], signals.shape[3])
        photographs = PhotographSignals(list(signals.numpy()), shape)
        return SignalWindows(photographs, 1, np.zeros(len(signals)), data)
    waves = ArraySignals.of(list(_floats(signals)), data.sample_rate)
    return SignalWindows(waves, window_samples(data), waves.seconds, data)
