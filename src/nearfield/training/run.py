"""A trained run, opened: its recipe, its results, and vectors of anything that sounds (or of pictures)."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nearfield.core.errors import DataError, RequestError
from nearfield.core.types import Floats, Vectors
from nearfield.data.arrays import Input, as_sounds
from nearfield.data.audio import Waves, mix
from nearfield.data.settings import DataSettings
from nearfield.data.signals import ArraySignals, PhotographSignals
from nearfield.data.store import read_sound, square
from nearfield.metrics.neighbors import unit
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.features.feature import Feature
from nearfield.models.pretrained import bare
from nearfield.training.canary import Canary, said_of
from nearfield.training.device import Precision, open_device
from nearfield.training.encode import embed
from nearfield.training.events import Callback, ignore
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder, load_tensors
from nearfield.training.setup import NetworkInput, build_embedder
from nearfield.training.vector_checks import VectorWarning, check_vectors

_Kept = tuple[list[tuple[int, int, int]], list[Tensor], EmbeddingModel]


@dataclass(frozen=True)
class Run:
    """A run's folder and its embedder, ready to use."""

    folder: RunFolder
    recipe: Recipe
    embedder: EmbeddingModel
    _kept: list[_Kept] = field(default_factory=list, init=False, repr=False, compare=False)
    _doubts: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Run":
        """Opens a finished run on a device: cpu, cuda, cuda:N, mps, or auto for the best that is here.

        Raises RequestError where there is no run, it has no weights yet, or the device is not here.
        """
        folder = RunFolder.existing(path)
        if not folder.is_trained:
            raise RequestError(
                f"{path} has no weights yet ({folder.weights.name}): finish it by "
                "`nearfield train ... --resume`."
            )
        recipe = folder.recipe()
        weights, _ = load_tensors(folder.weights)
        embedder = build_embedder(without_weights(recipe), folder.environment()["data"]["channels"], seed=0)
        try:
            embedder.load_state_dict(weights)
        except RuntimeError as error:
            raise RequestError(
                f"{folder.weights}: these are not the weights of the network that recipe.yaml describes. "
                f"Bring both back from one copy, or train the run again. {str(error).splitlines()[-1]}"
            ) from None
        return cls(folder, recipe, embedder.eval().to(open_device(device, "fp32")))

    def __repr__(self) -> str:
        weights = sum(weight.numel() for weight in self.embedder.parameters())
        return (
            f"Run({str(self.folder.path)!r}: {self.recipe.feature.kind}, {self.recipe.backbone.kind}, "
            f"vectors of {self.embedder.size}, {weights:,} weights)"
        )

    def reader(self) -> EmbeddingModel:
        """A copy of the embedder for reading, in evaluation and float32, its norms folded; kept until a
        weight changes.

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
        return reader

    def doubts(self, precision: Precision = "fp32") -> tuple[str, ...]:
        """What is wrong with the vectors that this run gives here, in sentences.

        The sounds that are kept with it are heard once for each device and precision. Empty where their
        vectors are those of training, and for runs that were trained before sounds were kept.
        """
        weights = next(self.embedder.parameters())
        key = f"{weights.device} {weights.dtype} {precision}"
        if key not in self._doubts:
            canary = Canary.read(self.folder)
            differences = (
                None if canary is None else canary.differences(self.reader(), self.recipe, precision)
            )
            said = None if differences is None else said_of(differences, precision)
            self._doubts[key] = () if said is None else (said,)
        return self._doubts[key]

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
        table = self.folder.table(self.folder.vectors, ["id", "vector"])
        return table["id"].to_pylist(), np.stack(table["vector"].to_numpy()).astype(np.float32)

    def encode(self, inputs: Iterable[Input] | str | PathLike[str], callback: Callback = ignore) -> Vectors:
        """(N, D) float32 vectors of files, or of waves at the recipe's sample rate, always in float32.

        Longer sounds are cut into windows whose vectors are averaged. The mode of `embedder` (training or
        not) stays what it is. Raises DataError for files that cannot be read and arrays that are no sound.

        Parameters
        ----------
        inputs : sequence of files by their paths, or of waves (samples,) or (channels, samples)
            Waves are of floating point within -1 and 1, or int16, int32, int8 or uint8 as a file has them,
            which are divided by their full scale. One file may be given by its path alone: (1, D).
        callback : callable
            Called with `Stage("embed", done, windows)` after each batch, to show progress.
        """
        sounds = as_sounds(inputs)
        if not sounds:
            return np.zeros((0, self.embedder.size), np.float32)
        network_input, seconds = self.network_input(sounds)
        vectors = embed(
            self.embedder, network_input, seconds, self.recipe.data.clip_seconds, callback=callback
        )
        for said in self.doubts_of(vectors, sounds, network_input):
            warnings.warn(said, VectorWarning, stacklevel=2)
        return vectors

    def similarity(self, a: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Vectors:
        """Cosine similarity of embeddings, as `encode` gives them.

        Parameters
        ----------
        a, b : arrays of shape (N, D) and (M, D), or (D,) for one embedding
            Without `b`, `a` is compared with itself.

        Returns
        -------
        array of shape (N, M)
            From -1 (opposite) to 1 (same direction); float32.

        Raises
        ------
        RequestError
            Where the numbers of an embedding are not those of this run.
        """
        rows = self._directions(a)
        columns = rows if b is None else self._directions(b)
        found: Vectors = (rows @ columns.T).clip(-1, 1).astype(np.float32)
        return found

    def _directions(self, given: npt.ArrayLike) -> Floats:
        """(N, D) float64, each of unit length; zeros stay."""
        rows = np.atleast_2d(np.asarray(given, np.float64))
        if rows.ndim != 2 or rows.shape[1] != self.embedder.size:
            raise RequestError(
                f"similarity compares embeddings of {self.embedder.size} numbers. Given: shape {rows.shape}. "
                "Encode files first: run.similarity(run.encode(paths))."
            )
        return unit(rows)

    def doubts_of(
        self, vectors: Vectors, sounds: Sequence[Path | Waves], network_input: NetworkInput
    ) -> list[str]:
        """What is wrong with the vectors (N, D) of these sounds as this run sees them, in sentences.

        Raises as `check_vectors`.
        """
        names = [str(sound) if isinstance(sound, Path) else f"sound {n}" for n, sound in enumerate(sounds)]
        arrays: Sequence[npt.NDArray[Any]] = network_input.signals.arrays  # type: ignore[attr-defined]
        return [*self.doubts(), *check_vectors(vectors, names, lambda row: arrays[row])]

    def network_input(self, inputs: Iterable[Input]) -> tuple[NetworkInput, Floats]:
        """How the network sees files or waves (see `encode`), and their lengths in seconds, (N,)."""
        sounds, feature = as_sounds(inputs), cast(Feature, self.reader().feature)
        if self.recipe.modality == "image":
            photographs = PhotographSignals(*_photographs(sounds, self.recipe.data))
            return NetworkInput(photographs, 1, feature), np.zeros(len(sounds))
        waves = [_wave(given, self.recipe.data) for given in sounds]
        for number, wave in enumerate(waves):
            self._check_channels(len(wave), number)
        signals = ArraySignals.of(waves, self.recipe.data.sample_rate)
        samples = round(self.recipe.data.clip_seconds * self.recipe.data.sample_rate)
        return NetworkInput(signals, samples, feature), signals.seconds

    def _check_channels(self, channels: int, number: int) -> None:
        """Raises DataError where a sound, with all its channels, is not what the network was built for."""
        if self.recipe.data.channels != "all":
            return
        wanted = cast(Feature, self.embedder.feature).wave_channels
        if channels == wanted:
            return
        raise DataError(
            f"sound {number} has {channels} channels, and this run reads sounds of {wanted} "
            "(data.channels: all). Give sounds of as many channels as it was trained on."
        )


def _version(tensor: Tensor) -> int:
    """How often a tensor was written to, as far as torch counts it."""
    return -1 if tensor.is_inference() else tensor._version


def without_weights(recipe: Recipe) -> Recipe:
    """The same recipe without published weights to begin from: a trained run holds its own."""
    bared = {"backbone": bare(recipe.backbone), "normalize": bare(recipe.normalize)}
    return recipe.model_copy(update=bared)


def _wave(given: Path | Waves, settings: DataSettings) -> Waves:
    if isinstance(given, Path):
        return read_sound(given, settings)
    return mix(given, settings.channels)


def _photographs(
    inputs: Sequence[Path | Waves], settings: DataSettings
) -> tuple[list[npt.NDArray[np.uint8]], tuple[int, int, int]]:
    size, channels = settings.image_size, settings.image_channels
    arrays = []
    for given in inputs:
        if not isinstance(given, Path):
            raise DataError("encode takes pictures as files. Given: an array.")
        arrays.append(square(given, size, channels))
    return arrays, (channels, size, size)
