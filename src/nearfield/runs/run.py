"""A trained run, opened: its recipe, its results, and vectors of anything that sounds (or of pictures)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Floats, Vectors
from nearfield.data.audio import decode, mix, resample
from nearfield.data.decoding import square
from nearfield.data.settings import DataSettings
from nearfield.data.signals import ArraySignals, PhotographSignals
from nearfield.models.embedder import Embedder
from nearfield.models.features.feature import Feature
from nearfield.models.pretrained import bare
from nearfield.runs.embedding import embed
from nearfield.runs.folder import Folder, load_tensors
from nearfield.runs.recipe import Recipe
from nearfield.runs.workbench import Sight, build_embedder

Input = str | Path | npt.NDArray[np.float32]

_Kept = tuple[list[tuple[int, int, int]], list[Tensor], Embedder]


@dataclass(frozen=True)
class Run:
    """A run's folder and its embedder, ready to use."""

    folder: Folder
    recipe: Recipe
    embedder: Embedder
    _kept: list[_Kept] = field(default_factory=list, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """Opens a finished run. Raises RequestError where there is none, or it has no weights yet."""
        folder = Folder.existing(path)
        if not folder.is_trained:
            raise RequestError(f"{path} has no weights yet: finish it by `nearfield train ... --resume`.")
        recipe = folder.recipe()
        weights, _ = load_tensors(folder.weights)
        embedder = build_embedder(without_weights(recipe), folder.environment()["data"]["channels"], seed=0)
        embedder.load_state_dict(weights)
        return cls(folder, recipe, embedder.eval())

    def reader(self) -> Embedder:
        """The embedder for reading alone, in evaluation, its norms folded; kept until a weight changes.

        A change to a tensor's `data` in place, which torch does not count, is not seen.
        """
        tensors = [*self.embedder.parameters(), *self.embedder.buffers()]
        stamp = [(id(each), each.data_ptr(), _version(each)) for each in tensors]
        if self._kept and self._kept[0][0] == stamp:
            reader = self._kept[0][2]
        else:
            reader = self.embedder.reader()
            self._kept[:] = [
                (stamp, tensors, reader)
            ]  # with the tensors, so that none takes the place of another
        self.embedder.eval()
        return reader.eval()

    @property
    def result(self) -> dict[str, Any]:
        """What the evaluation found, as result.json has it."""
        return self.folder.result()

    @property
    def metrics(self) -> dict[str, float]:
        """The flat metrics of the evaluation."""
        found: dict[str, float] = self.result["metrics"]
        return found

    def vectors(self) -> tuple[list[str], Vectors]:
        """Ids of the collection's clips, and their vectors (N, D)."""
        table = pq.read_table(self.folder.vectors, columns=["id", "vector"])
        return table["id"].to_pylist(), np.stack(table["vector"].to_numpy()).astype(np.float32)

    def encode(self, inputs: str | Path | Sequence[Input]) -> Vectors:
        """(N, D) float32 vectors of files, or of waves (T,) or (C, T) at the recipe's sample rate.

        One file may be given by its path alone, and gives (1, D). Longer sounds are cut into windows whose
        vectors are averaged. Raises DataError for files that cannot be read.
        """
        if isinstance(inputs, str | Path):
            inputs = [inputs]
        if not len(inputs):
            return np.zeros((0, self.embedder.size), np.float32)
        sight, seconds = self.sight(inputs)
        return embed(self.embedder, sight, seconds, self.recipe.data.clip_seconds)

    def sight(self, inputs: Sequence[Input]) -> tuple[Sight, Floats]:
        """How the network sees files or waves (see `encode`), and their lengths in seconds, (N,)."""
        if self.recipe.feature.kind == "pixels":
            photographs = PhotographSignals(*_photographs(inputs, self.recipe.data))
            return Sight(photographs, 1, None), np.zeros(len(inputs))
        waves = [_wave(given, self.recipe.data) for given in inputs]
        signals = ArraySignals.of(waves, self.recipe.data.sample_rate)
        samples = round(self.recipe.data.clip_seconds * self.recipe.data.sample_rate)
        feature: Feature = self.embedder.feature  # type: ignore[assignment]
        return Sight(signals, samples, feature), signals.seconds


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to, as far as torch counts it."""
    return -1 if tensor.is_inference() else tensor._version


def without_weights(recipe: Recipe) -> Recipe:
    """The same recipe without published weights to begin from: a trained run holds its own."""
    bared = {"backbone": bare(recipe.backbone), "normalise": bare(recipe.normalise)}
    return recipe.model_copy(update=bared)


def _wave(given: Input, settings: DataSettings) -> npt.NDArray[np.float32]:
    if isinstance(given, str | Path):
        waves, rate = decode(Path(given))
        return resample(mix(waves, settings.channels), rate, settings.sample_rate)
    wave = np.atleast_2d(np.asarray(given, np.float32))
    if wave.ndim != 2 or not np.isfinite(wave).all():
        raise RequestError(
            f"A sound is (samples,) or (channels, samples), all finite. Given: shape {np.shape(given)}."
        )
    return mix(wave, settings.channels)


def _photographs(
    inputs: Sequence[Input], settings: DataSettings
) -> tuple[list[npt.NDArray[np.uint8]], tuple[int, int, int]]:
    size, channels = settings.image_size, settings.image_channels
    arrays = []
    for given in inputs:
        if not isinstance(given, str | Path):
            raise RequestError("encode takes pictures as files. Given: an array.")
        arrays.append(square(Path(given), size, channels))
    return arrays, (channels, size, size)
