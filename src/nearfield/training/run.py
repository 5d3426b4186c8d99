"""A trained run: its recipe, its results, and embeddings of sounds or images."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.types import Floats, Vectors
from nearfield.data.arrays import Input
from nearfield.data.collection import Collection
from nearfield.metrics.neighbors import unit
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.pretrained import bare
from nearfield.training.canary import Canary, warning_of
from nearfield.training.device import Precision, open_device
from nearfield.training.encode import WindowEmbeddings, embed_windows
from nearfield.training.events import Callback, ignore
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder, load_tensors
from nearfield.training.setup import build_embedder
from nearfield.training.vector_checks import VectorWarning, check_vectors, signals_of
from nearfield.training.windows import Clip, FileClip, InputWindows, Unusable, as_clips

_Cached = tuple[list[tuple[int, int, int]], list[Tensor], EmbeddingModel]


@dataclass(frozen=True)
class Run:
    """The folder of a run, and its network, ready to use."""

    folder: RunFolder
    recipe: Recipe
    embedder: EmbeddingModel
    _cached: list[_Cached] = field(default_factory=list, init=False, repr=False, compare=False)
    _warnings: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "Run":
        """Opens a trained run.

        Parameters
        ----------
        path : str or Path
            The folder of the run.
        device : str
            cpu, cuda, cuda:N, mps, or auto for the fastest that is available.

        Returns
        -------
        Run
            The run, its network in evaluation mode on the device.

        Raises
        ------
        RequestError
            If there is no run in the folder, it has no weights yet, or the device is not available.

        Examples
        --------
        >>> run = Run.load("my-run")  # doctest: +SKIP
        >>> run.encode(["dog.wav", "rain.wav"]).shape  # doctest: +SKIP
        (2, 64)
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
        """Returns a copy of the network for inference.

        It is in evaluation mode and float32, with batch norms folded into convolutions. It is cached until a
        weight changes; a change of a tensor's `data`, which torch does not count, is not noticed.
        """
        tensors = [*self.embedder.parameters(), *self.embedder.buffers()]
        stamp = [(id(each), each.data_ptr(), _version(each)) for each in tensors]
        if self._cached and self._cached[0][0] == stamp:
            return self._cached[0][2]
        reader = self.embedder.reader()
        self._cached[:] = [(stamp, tensors, reader)]  # tensors too, so that no other gets their address
        return reader

    def doubts(self, precision: Precision = "fp32") -> tuple[str, ...]:
        """Compares the embeddings that the run gives on this machine with those of its training.

        The sounds that are stored with the run (`canary.safetensors`) are embedded once for each device and
        precision.

        Returns
        -------
        tuple of str
            A warning if the embeddings differ by more than rounding; empty if they do not, or if the run has
            no stored sounds.
        """
        weights = next(self.embedder.parameters())
        key = f"{weights.device} {weights.dtype} {precision}"
        if key not in self._warnings:
            canary = Canary.read(self.folder)
            found = None
            if canary is not None:
                found = warning_of(canary.differences(self.reader(), self.recipe, precision), precision)
            self._warnings[key] = () if found is None else (found,)
        return self._warnings[key]

    @property
    def result(self) -> dict[str, Any]:
        """The result of the evaluation, as result.json has it."""
        return self.folder.result()

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the evaluation by name."""
        found: dict[str, float] = self.result["metrics"]
        return found

    def vectors(self) -> tuple[list[str], Vectors]:
        """Returns the ids of the clips that the evaluation embedded, and their vectors (N, D) float32.

        Raises RequestError if the run has not been evaluated.
        """
        clips, vectors = self.folder.stored_vectors(["id"])
        return list(clips["id"]), vectors

    def vectors_for(self, collection: Collection) -> Vectors | None:
        """Returns the stored vectors of the clips of a collection, in its order.

        Parameters
        ----------
        collection
            The clips. A stored vector belongs to a clip if id, start and length are equal.

        Returns
        -------
        ndarray or None
            (N, D) float32; None if the run has not been evaluated, or has no vector for one of the clips.

        Raises
        ------
        RequestError
            If vectors.parquet is damaged.
        """
        if not self.folder.vectors.is_file():
            return None
        keys = ["id", "start", "seconds"]
        clips, vectors = self.folder.stored_vectors(keys)
        place = {key: at for at, key in enumerate(clips[keys].itertuples(index=False, name=None))}
        rows = [place.get(key) for key in collection.table[keys].itertuples(index=False, name=None)]
        found = [row for row in rows if row is not None]
        return vectors[found] if len(found) == len(rows) else None

    def encode(self, inputs: Iterable[Input] | str | PathLike[str], callback: Callback = ignore) -> Vectors:
        """Computes embeddings of sounds or images, always in float32.

        A sound that is longer than `data.clip_seconds` is cut into windows, whose embeddings are averaged.
        Files are decoded while the network works, so memory does not grow with their length. The mode of
        `embedder` (training or evaluation) does not change.

        Parameters
        ----------
        inputs : sequence of paths, or of waves (samples,) or (channels, samples)
            Waves have the sample rate of the recipe. They are floating-point numbers from -1 to 1, or int16,
            int32, int8 or uint8 as in a file, which are divided by full scale. A single path is allowed.
        callback : callable
            Called with `Stage("embed", done, windows)` after each batch, to show progress.

        Returns
        -------
        ndarray
            (N, D) float32, in the order of `inputs`; (1, D) for a single path.

        Raises
        ------
        DataError
            If a file cannot be read, or an array is not a sound.
        WorkError
            If different sounds all get the same embedding, or no embedding is finite.

        Warns
        -----
        VectorWarning
            If the embeddings should be looked at before they are used.
        """
        clips = as_clips(inputs)
        if not clips:
            return np.zeros((0, self.embedder.size), np.float32)
        vectors = self.embed(clips, callback).by_clip(len(clips), self.embedder.settings.normalize)
        for sentence in self.check(vectors, clips):
            warnings.warn(sentence, VectorWarning, stacklevel=2)
        return vectors

    def embed(
        self, clips: Sequence[Clip], callback: Callback = ignore, unusable: list[Unusable] | None = None
    ) -> WindowEmbeddings:
        """Embeds every window of files, parts of files and waves.

        Parameters
        ----------
        clips
            The clips; waves (C, T) have the sample rate of the recipe.
        callback
            Called with `Stage("embed", done, windows)` after each batch.
        unusable
            Clips that cannot be used are added to this list, and their windows left out. None: the first one
            raises its error.

        Returns
        -------
        WindowEmbeddings
            The windows; `by_clip` averages them.

        Raises
        ------
        DataError
            If a clip cannot be used and `unusable` is None.
        """
        reader, windows = self.reader(), self.windows(clips, unusable)
        found = embed_windows(reader, reader.feature, windows, callback=callback)
        failed = [row for each in unusable or () for row in each.rows]
        return found.without(failed) if failed else found

    def windows(self, clips: Sequence[Clip], unusable: list[Unusable] | None = None) -> InputWindows:
        """Returns the windows of files, parts of files and waves, as the network takes them; see `embed`."""
        data = self.recipe.data
        if self.recipe.modality == "image":
            return InputWindows(clips, data, data.image_channels, True, unusable)
        channels = self.embedder.wave_channels if data.channels == "all" else 1
        return InputWindows(clips, data, channels, False, unusable)

    def check(
        self,
        vectors: Vectors,
        clips: Sequence[Clip],
        names: Sequence[str] | None = None,
        precision: Precision = "fp32",
    ) -> list[str]:
        """Checks embeddings, and with `doubts` the run itself.

        Parameters
        ----------
        vectors
            (N, D) embeddings of the clips.
        clips
            N clips; some of them are decoded if their embeddings are equal.
        names
            N names for messages; None: paths.
        precision
            Arithmetic that the embeddings were computed in.

        Returns
        -------
        list of str
            Warnings; empty if nothing is wrong.

        Raises
        ------
        DataError, WorkError
            As for `check_vectors`.
        """
        if names is None:
            paths = [clip.path if isinstance(clip, FileClip) else None for clip in clips]
            names = [f"sound {row}" if path is None else str(path) for row, path in enumerate(paths)]
        signals = signals_of(clips, self.recipe.data, self.recipe.modality == "image")
        return [*self.doubts(precision), *check_vectors(vectors, names, signals)]

    def similarity(self, a: npt.ArrayLike, b: npt.ArrayLike | None = None) -> Vectors:
        """Computes the cosine similarity of embeddings.

        Parameters
        ----------
        a, b : arrays of shape (N, D) and (M, D), or (D,) for one embedding
            Embeddings of this run, as `encode` returns them. Without `b`, `a` is compared with itself.

        Returns
        -------
        array of shape (N, M)
            From -1 (opposite) to 1 (same direction); float32.

        Raises
        ------
        RequestError
            If embeddings have another size than those of this run.
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


def _version(tensor: Tensor) -> int:
    """The number of changes to a tensor, as torch counts them."""
    return -1 if tensor.is_inference() else tensor._version


def without_weights(recipe: Recipe) -> Recipe:
    """Returns the recipe without pretrained weights: a trained run has its own."""
    bared = {"backbone": bare(recipe.backbone), "normalize": bare(recipe.normalize)}
    return recipe.model_copy(update=bared)
