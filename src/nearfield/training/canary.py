"""A few sounds and their vectors that stay with a run, to be heard again wherever the run is used.

The vectors are made by the network as training leaves it. Other code, another device or another arithmetic
that gives others gives others of every sound: no score of the run would hold.

canary.safetensors: `signals` (N, C, T) int16 or (N, C, H, W) uint8, `vectors` (N, D) float32
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from nearfield.core.errors import DataError
from nearfield.core.rng import stream
from nearfield.core.types import Floats, Vectors
from nearfield.data.audio import Waves
from nearfield.data.collection import Collection
from nearfield.data.settings import DataSettings
from nearfield.data.signals import ArraySignals, PhotographSignals
from nearfield.data.store import read_sound, square
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.features.feature import Feature
from nearfield.models.layers import evaluating
from nearfield.training.device import Precision
from nearfield.training.encode import embed
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder, load_tensors, save_tensors
from nearfield.training.setup import NetworkInput

COUNT = 4
"""Sounds kept."""
MOST = 100_000
"""Numbers kept of all their signals: 200 kB of sound."""
TOLERANCE: dict[Precision, float] = {"fp32": 0.01, "bf16": 0.1}
"""Length of the difference of two vectors of one sound, over the vector's, up to which it is rounding."""

_FULL_SCALE = 2**15


@dataclass(frozen=True, eq=False)
class Canary:
    """Signals, and the vectors that training gave of them."""

    signals: Tensor
    """(N, C, T) int16, at most a window long; or (N, C, H, W) uint8."""
    vectors: Tensor
    """(N, D) float32."""

    @classmethod
    def read(cls, folder: RunFolder) -> "Canary | None":
        """That of a run; None where it has none. Raises RequestError where its file is damaged."""
        if not folder.canary.is_file():
            return None
        tensors, _ = load_tensors(folder.canary)
        return cls(tensors["signals"], tensors["vectors"])

    def write(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        save_tensors(path, {"signals": self.signals, "vectors": self.vectors})

    def differences(self, embedder: EmbeddingModel, recipe: Recipe, precision: Precision) -> Vectors:
        """(N,) how far the vectors of now are from those kept, over the length of those kept."""
        now = torch.from_numpy(embed(embedder, *_sight(self.signals, embedder, recipe), precision))
        if now.shape != self.vectors.shape:
            return np.full(len(self.vectors), np.inf, np.float32)
        apart = torch.linalg.vector_norm(now - self.vectors, dim=1)
        length = torch.linalg.vector_norm(self.vectors, dim=1)
        found: Vectors = (apart / length.clamp_min(1e-6)).numpy()
        return found


def keep_canary(folder: RunFolder, collection: Collection, recipe: Recipe, embedder: EmbeddingModel) -> None:
    """Writes the canary of a network that has finished training; nothing where no clip can be read."""
    rows = collection.rows("train")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, COUNT).astype(np.int64))]
    found = [signal for row in chosen if (signal := _signal(collection, int(row), recipe)) is not None]
    if found:
        same_shape = [each for each in found if each.shape == found[0].shape]
        signals = torch.stack(same_shape[: max(1, MOST // found[0].numel())])
        Canary(signals, _as_trained(embedder, signals, recipe)).write(folder.canary)


def made_up(canary: Canary, embedder: EmbeddingModel, recipe: Recipe) -> Canary:
    """The same of made-up sounds or pictures, which nobody has rights to."""
    chance = stream(0, "canary")
    noise = chance.standard_normal(tuple(canary.signals.shape))
    if canary.signals.dtype == torch.uint8:
        signals = torch.from_numpy((255 / (1 + np.exp(-noise))).astype(np.uint8))
    else:
        steps = np.arange(noise.shape[-1])
        tones = np.sin(steps * np.linspace(0.02, 1.0, len(noise))[:, None])[:, None]
        signals = torch.from_numpy((3000 * (tones + 0.1 * noise)).astype(np.int16))
    return Canary(signals, _as_trained(embedder, signals, recipe))


def said_of(differences: Vectors, precision: Precision) -> str | None:
    """A sentence where the differences are more than rounding."""
    worst, most = float(np.max(differences)), TOLERANCE[precision]
    if worst <= most:  # NaN is said
        return None
    return (
        f"This run gives other vectors here than when it was trained: {len(differences)} sounds that are "
        f"kept with it come out up to {worst:.2g} of a vector's length away (rounding of {precision}: up to "
        f"{most:g}), with torch {torch.__version__}. Its scores and spaces do not hold for these vectors. "
        "Compare environment.json of the run with what is installed, and whether a part of the network was "
        "replaced or left out; else train again."
    )


def _signal(collection: Collection, row: int, recipe: Recipe) -> Tensor | None:
    """The beginning of a clip as it is kept; None where it cannot be read or there is nothing to hear."""
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
    """(C, T) int16, zeros at its end where it is shorter; quiet sounds are raised: 16 bits then hold them."""
    length = min(_window(data), MOST // (COUNT * len(wave)))
    kept = np.zeros((len(wave), length), np.float32)
    kept[:, : wave.shape[1]] = wave[:, :length]
    peak = float(np.abs(kept).max(initial=0.0))
    if not peak:
        return None
    gain = max(1.0, 0.1 / peak)
    return torch.from_numpy((np.clip(gain * kept, -1, 1) * (_FULL_SCALE - 1)).astype(np.int16))


def _window(data: DataSettings) -> int:
    return round(data.clip_seconds * data.sample_rate)


def _floats(signals: Tensor) -> Vectors:
    """The signals as the network hears them."""
    scale = 255 if signals.dtype == torch.uint8 else _FULL_SCALE
    floats: Vectors = signals.numpy().astype(np.float32) / np.float32(scale)
    return floats


def _as_trained(embedder: EmbeddingModel, signals: Tensor, recipe: Recipe) -> Tensor:
    """(N, D) vectors as training makes them, by the network itself and by no reader of it."""
    heard = torch.from_numpy(_floats(signals))
    if heard.ndim == 3:
        heard = torch.nn.functional.pad(heard, (0, _window(recipe.data) - heard.shape[2]))
    device = next(embedder.parameters()).device
    with torch.no_grad(), evaluating(embedder):
        vectors: Tensor = embedder(heard.to(device)).float().cpu()
    return vectors


def _sight(signals: Tensor, embedder: EmbeddingModel, recipe: Recipe) -> tuple[NetworkInput, Floats, float]:
    """The signals as `Run.encode` has clips seen, their lengths, and that of a window, in seconds."""
    data, feature = recipe.data, cast(Feature, embedder.feature)
    if signals.ndim == 4:
        shape = (signals.shape[1], signals.shape[2], signals.shape[3])
        photographs = PhotographSignals(list(signals.numpy()), shape)
        return NetworkInput(photographs, 1, feature), np.zeros(len(signals)), data.clip_seconds
    waves = ArraySignals.of(list(_floats(signals)), data.sample_rate)
    return NetworkInput(waves, _window(data), feature), waves.seconds, data.clip_seconds
