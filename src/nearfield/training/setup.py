"""What a recipe and a collection determine together: decoded clips, network, sampler, relation, loss."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice, tee

import numpy as np
import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.machine import total_memory
from nearfield.core.rng import reseed, torch_stream
from nearfield.core.types import Batch, BatchIndices, ClipMetadata, Ints
from nearfield.data.collection import Collection
from nearfield.data.faults import Problem
from nearfield.data.feature_cache import cache_features
from nearfield.data.signals import ArraySignals, Loader, Signals
from nearfield.data.splits import groups_in_two_splits
from nearfield.data.store import Store
from nearfield.learning.distributed import own, world
from nearfield.learning.losses import PairLoss
from nearfield.learning.losses.tagging import TaggingLoss
from nearfield.learning.relations import Relation
from nearfield.learning.samplers import Sampler
from nearfield.learning.samplers.copies import build_sampler
from nearfield.models.augmentations.augmentation import Augmentation
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.features.feature import Feature
from nearfield.models.normalization import FittedNormalization
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.recipe import Recipe
from nearfield.training.windows import SignalWindows, window_samples

_SHOWN = 10  # problems of one severity that are listed
CACHED_SHARE = 0.25
"""Largest share of the machine's memory for cached spectrograms; beyond it they are made batch by batch."""


@dataclass(frozen=True)
class NetworkInput:
    """The form in which the network gets clips."""

    signals: Signals
    """Waves, images, or cached spectrograms."""
    length: int
    """Length of a window, in samples of waves or frames of spectrograms; 1 for images."""
    feature: Feature | None
    """What turns a window into a spectrogram; None for cached spectrograms."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one window: (C, T), (C, bands, frames) or (C, H, W)."""
        return self.signals.shape(self.length)


@dataclass
class TrainingSetup:
    """A recipe and a collection, with everything that is built from both."""

    recipe: Recipe
    collection: Collection
    metadata: ClipMetadata
    """Labels, times and lengths of the clips; lengths are those after trimming."""
    network_input: NetworkInput
    embedder: EmbeddingModel
    channels: int
    """Number of channels of the clips, before any feature."""
    seed: int

    @classmethod
    def build(
        cls,
        recipe: Recipe,
        collection: Collection,
        seed: int,
        callback: Callback = ignore,
        embedder: EmbeddingModel | None = None,
        *,
        signals: Signals | None = None,
        caches: bool = True,
    ) -> "TrainingSetup":
        """Decodes a collection, and builds the input of the network and the network.

        Parameters
        ----------
        recipe
            The recipe.
        collection
            The clips. Those that cannot be decoded are left out, with a note.
        seed
            Seed of the weights, the sampler and the augmentations.
        callback
            Called with stages of the work, and with notes.
        embedder
            The network; None: a new one, with weights drawn from the seed.
        signals
            The signals of the collection, if they are decoded already; nothing is left out then.
        caches
            Whether spectrograms of whole clips are cached, if the recipe and the memory allow it. If not, the
            signals are always waves (or images).

        Returns
        -------
        TrainingSetup
            The setup; its collection is the decodable part of the one given.

        Raises
        ------
        RequestError
            If the feature does not fit the collection, or the backbone does not fit the spectrograms.
        DataError
            If files do not fit the settings, or no clip is left.
        """
        if signals is None:
            collection = decodable(recipe, collection, callback)
        signals, metadata = decoded(recipe, collection, signals)
        if isinstance(signals, ArraySignals) and signals.trimmed:
            callback(Note(f"{signals.trimmed:.1f} s of silence were cut away"))
        feature = recipe.feature.build(recipe.data.sample_rate, signals.channels)
        network_input = _network_input(recipe, signals, feature, caches, callback)
        embedder = embedder or build_embedder(recipe, signals.channels, seed)
        return cls(recipe, collection, metadata, network_input, embedder, signals.channels, seed)

    def windows(self, rows: Ints | None = None) -> SignalWindows:
        """Returns the windows that cover the clips (None: all), as `training.windows` cuts them."""
        own = self.network_input
        return SignalWindows(own.signals, own.length, self.metadata.seconds, self.recipe.data, rows)

    def sampler(self) -> Sampler:
        """Returns the sampler of batches over the training clips. Raises RequestError if there are none, or
        too few for the recipe."""
        rows = self.collection.rows("train")
        if not len(rows):
            raise RequestError(
                f"{self.collection.name}: no clip is in the train split. "
                "Give a split column with train in it, or none: then a split is made."
            )
        return training_sampler(self.recipe, self.metadata, rows, self.seed)

    def sampler_over(self, rows: Ints) -> Sampler:
        """Returns the same sampler over other rows, without augmented copies."""
        return self.recipe.sampler.build(self.metadata, rows, self.recipe.data.clip_seconds, self.seed)

    def relation(self) -> Relation:
        """Returns the relation that tells which clips are positives; see `build_relation`."""
        return build_relation(self.recipe, self.collection, self.metadata)

    def loss(self) -> PairLoss:
        """Returns the loss for these clips; its weights, if it has some, are drawn from the seed.

        The loss of a tagger gets the share of training clips that have each tag.
        """
        is_tagger = "tags" in self.recipe.loss.needs
        classes = len(self.metadata.tag_names if is_tagger else self.metadata.label_names)
        with torch.random.fork_rng(devices=[]):
            reseed(self.seed, "loss")
            loss: PairLoss = self.recipe.loss.build(self.embedder.train_dim, classes)
        if isinstance(loss, TaggingLoss):
            rows = self.collection.rows("train")
            loss.see_frequencies(self.recipe.relation.tag_shares(self.metadata, rows))
        return loss

    def batches(self, sampler: Sampler, first: int) -> Iterator[tuple[BatchIndices, Batch]]:
        """Yields batches without end, from update `first` on: the indices of the whole batch, and the windows
        of the part that this process computes."""
        draws = islice((indices for epoch in count() for indices in sampler.epoch(epoch)), first, None)
        whole, shared = tee(draws)
        train = self.recipe.train
        loader = Loader(
            self.network_input.signals,
            map(own, shared),
            self.network_input.length,
            train.threads,
            train.prefetch,
        )
        return zip(whole, loader, strict=False)

    def fit_normalization(self, sampler: Sampler, device: torch.device) -> None:
        """Fits a normalization with statistics to the first batches, at most 50."""
        normalization = self.embedder.normalization
        if isinstance(normalization, FittedNormalization):
            normalization.fit(self.spectrograms(sampler, device))

    def spectrograms(self, sampler: Sampler, device: torch.device) -> Iterator[Tensor]:
        """Yields the network input of the first batches of an epoch, at most 50, without augmentation."""
        rounds = max(1, min(50, sampler.clips_per_epoch // sampler.batch_size))
        feature = self.network_input.feature
        for _, (_, batch) in zip(range(rounds), self.batches(sampler, 0), strict=False):
            signal = batch.signal.to(device)
            yield signal if feature is None else feature(signal)

    def encoder(self, device: torch.device) -> "TrainForward":
        """Returns the forward pass of training, with augmentations."""
        rate = self.recipe.data.sample_rate
        augmentations = [settings.build(rate, self.embedder.hop) for settings in self.recipe.augment]
        is_labelled = "labels" in self.recipe.relation.gives  # other relations must not use labels
        labels = torch.from_numpy(self.metadata.labels) if is_labelled else None
        return TrainForward(
            self.embedder, self.network_input.feature, augmentations, self.seed, device, labels
        )


@dataclass
class TrainForward:
    """Augments a batch, applies the feature unless spectrograms are cached, and embeds it."""

    embedder: EmbeddingModel
    feature: Feature | None
    augmentations: Sequence[Augmentation]
    seed: int
    device: torch.device
    labels: Tensor | None = None
    """(N,) class numbers of the clips of the collection; None if training must not use them."""

    def __call__(self, batch: Batch, update: int, applied: bool = True) -> Tensor:
        """Embeds a batch of this process.

        Parameters
        ----------
        batch
            b windows.
        update
            Number of the update, which the augmentations are drawn for; negative in validation.
        applied
            Whether augmentations are applied.

        Returns
        -------
        Tensor
            (b, D) embeddings for the loss.
        """
        signal = batch.signal.to(self.device, non_blocking=True)
        if self.feature is not None:
            signal = self.feature(
                self._augmented(signal, "wave", update, batch.indices) if applied else signal
            )
        return self.embedder.teach(
            self._augmented(signal, "spectrogram", update, batch.indices) if applied else signal
        )

    def _augmented(self, signal: Tensor, domain: str, update: int, indices: BatchIndices) -> Tensor:
        if indices.copies is not None:
            return self._copied(signal, domain, indices.rows, indices.copies)
        labels = None if self.labels is None else self.labels[torch.from_numpy(indices.rows)]
        rank = world()[0] if update >= 0 else 0  # those of validation are equal in all processes
        for place, augment in enumerate(self.augmentations):
            if augment.domain == domain:
                generator = torch_stream(self.seed, "augment", place, update, rank)
                signal = augment.apply(signal, augment.draw(signal.shape, generator, labels))
        return signal

    def _copied(self, signal: Tensor, domain: str, rows: Ints, copies: Ints) -> Tensor:
        """Augments each window by what is drawn once for its clip and copy; copy 0 is the clip itself."""
        items = list(torch.split(signal, 1))
        for place, augment in enumerate(self.augmentations):
            for at in np.flatnonzero(copies) if augment.domain == domain else ():
                generator = torch_stream(self.seed, "copies", place, rows[at], copies[at])
                items[at] = augment.apply(items[at], augment.draw(items[at].shape, generator))
        return torch.cat(items)


def training_sampler(recipe: Recipe, metadata: ClipMetadata, rows: Ints, seed: int) -> Sampler:
    """Returns the sampler of a training by `recipe` over `rows`, with augmented copies if there are some."""
    copies = recipe.train.augmented_copies
    return build_sampler(recipe.sampler, metadata, rows, recipe.data.clip_seconds, seed, copies)


def decoded(
    recipe: Recipe, collection: Collection, signals: Signals | None = None
) -> tuple[Signals, ClipMetadata]:
    """Returns the signals of a collection, and its metadata with lengths and times after trimming.

    `signals`: those of the collection, if they are decoded already. Raises DataError like `Store.open`.
    """
    signals = Store().open(collection, recipe.data) if signals is None else signals
    metadata = collection.metadata()
    return signals, signals.corrected(metadata) if isinstance(signals, ArraySignals) else metadata


def build_relation(recipe: Recipe, collection: Collection, metadata: ClipMetadata) -> Relation:
    """Returns the relation of a recipe over the clips of a collection.

    What the relation counts, such as how rare a tag is, is counted in the train split.
    """
    rows = collection.rows("train")
    return recipe.relation.build(metadata, rows if len(rows) else None)


def _network_input(
    recipe: Recipe, signals: Signals, feature: Feature, caches: bool, callback: Callback
) -> NetworkInput:
    """Cached spectrograms, if they can be cut, nothing changes the wave, and they fit into memory."""
    if recipe.modality == "image":
        return NetworkInput(signals, 1, feature)
    rate, samples = recipe.data.sample_rate, window_samples(recipe.data)
    needs_wave = any(settings.build(rate, feature.hop).domain == "wave" for settings in recipe.augment)
    needs_wave |= recipe.sampler.mixes  # spectrograms in decibels cannot be added
    if not caches or needs_wave or not feature.cuttable:
        return NetworkInput(signals, samples, feature)
    total = sum(max(signals.length(row), samples) for row in range(len(signals)))
    size = total / feature.hop * feature.bands * signals.channels * 4
    if size > CACHED_SHARE * total_memory():
        return NetworkInput(signals, samples, feature)
    cached = cache_features(
        signals, feature, samples, progress=lambda done, total: callback(Stage("features", done, total))
    )
    return NetworkInput(cached, feature.frames(samples), None)


def build_embedder(recipe: Recipe, channels: int, seed: int) -> EmbeddingModel:
    """Builds the network of a recipe.

    Parameters
    ----------
    recipe
        The recipe.
    channels
        Number of channels of the signals.
    seed
        Seed of the weights.

    Returns
    -------
    EmbeddingModel
        The network, in training mode.

    Raises
    ------
    RequestError
        If the windows are too short for a frame of the feature, or the backbone cannot read the spectrograms.
    """
    feature = recipe.feature.build(recipe.data.sample_rate, channels)
    if recipe.modality == "image":
        given = (channels, recipe.data.image_size, recipe.data.image_size)
        channels, bands, frames = feature(torch.zeros(1, *given)).shape[1:]
    else:
        channels, bands = feature.channels or channels, feature.bands
        frames = feature.frames(round(recipe.data.clip_seconds * recipe.data.sample_rate))
        given = (channels, bands, frames)
    if frames < 1:
        raise RequestError(
            f"data.clip_seconds: {recipe.data.clip_seconds:g} s are shorter than one frame of the feature, "
            f"which takes {feature.samples(1) / recipe.data.sample_rate:g} s. Make it longer."
        )
    with torch.random.fork_rng(devices=[]):
        reseed(seed, "weights")
        normalization = recipe.normalize.build(channels, bands)
        backbone = recipe.backbone.build(channels, bands, frames)
        try:
            return EmbeddingModel(feature, normalization, backbone, recipe.embedding, given)
        except RuntimeError as error:
            raise RequestError(
                f"backbone.kind: {recipe.backbone.kind!r} cannot read spectrograms of {channels} x {bands} x "
                f"{frames} (channels, bands, frames). Make data.clip_seconds longer, take more bands, or a "
                f"smaller backbone. The network says: {str(error).splitlines()[0]}"
            ) from None


def decodable(recipe: Recipe, collection: Collection, callback: Callback = ignore) -> Collection:
    """Decodes a collection into the store, and returns it without the clips that cannot be decoded.

    Clips that are left out, and warnings of the store, are notes. Raises RequestError if the feature does not
    fit the collection, DataError if no clip is left.
    """
    _check_kind(recipe, collection)
    before = len(collection.problems)
    found = Store().usable(
        collection,
        recipe.data,
        lambda done, total: callback(Stage("decode", done, total)),
        lambda sentence: callback(Note(sentence, is_warning=True)),
    )
    note_left_out(found.problems[before:], callback)
    return found


def _check_kind(recipe: Recipe, collection: Collection) -> None:
    if collection.kind == "picture" and recipe.modality == "audio":
        raise RequestError(
            f"feature.kind: {recipe.feature.kind!r} reads sounds, and {collection.name} holds images. "
            "Set feature.kind=pixels, or take the recipe images."
        )
    if collection.kind == "sound" and recipe.modality == "image":
        raise RequestError(
            f"feature.kind: {recipe.feature.kind!r} reads images, and {collection.name} holds sounds. "
            "Set feature.kind=log_mel, or take the recipe labels."
        )


def note_data(collection: Collection, callback: Callback) -> None:
    """Notes what was left out of a collection, its warnings, and whether its split leaks."""
    note_left_out(collection.problems, callback)
    odd = [problem for problem in collection.problems if problem.severity == "warning"]
    for problem in odd[:_SHOWN]:
        callback(Note(str(problem), is_warning=True))
    if len(odd) > _SHOWN:
        callback(Note(f"and {len(odd) - _SHOWN} more: see `nearfield check`", is_warning=True))
    if collection.leaks:
        callback(Note(f"{groups_in_two_splits(collection.leaks)} in two splits; results are marked.", True))


def note_left_out(problems: Sequence[Problem], callback: Callback) -> None:
    """Notes what was left out of a collection; at most ten clips are named."""
    left_out = [problem for problem in problems if problem.severity == "left out"]
    for problem in left_out[:_SHOWN]:
        callback(Note(f"left out: {problem.path}: {problem.reason}", is_warning=True))
    if len(left_out) > _SHOWN:
        callback(Note(f"and {len(left_out) - _SHOWN} more: see `nearfield check`", is_warning=True))
