"""Everything that a recipe and a collection make together, built and laid out: what a run works with."""

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

_SHOWN = 10  # problems of one sort that a training names
KEPT_SHARE = 0.25
"""Largest share of the machine's memory that kept feature pictures may take before they are made anew."""


@dataclass(frozen=True)
class NetworkInput:
    """How the network sees clips: signals to cut, the length of a window in them, and the feature if it
    is still to be made (None where spectrograms are kept)."""

    signals: Signals
    length: int
    feature: Feature | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one window."""
        return self.signals.shape(self.length)


@dataclass
class TrainingSetup:
    """A recipe, a collection, and what they become together."""

    recipe: Recipe
    collection: Collection
    metadata: ClipMetadata
    network_input: NetworkInput
    embedder: EmbeddingModel
    channels: int
    """Channels of the clips, before any feature."""
    seed: int

    @classmethod
    def build(
        cls,
        recipe: Recipe,
        collection: Collection,
        seed: int,
        callback: Callback = ignore,
        embedder: EmbeddingModel | None = None,
    ) -> "TrainingSetup":
        """Decodes what is not decoded yet, leaves out (and tells) clips that cannot be, keeps features where
        that is right, and builds the network (or takes the `embedder` given).

        Raises RequestError where the feature does not fit the kind of clips, DataError for unusable files.
        """
        collection = decodable(recipe, collection, callback)
        signals, metadata = decoded(recipe, collection)
        if isinstance(signals, ArraySignals) and signals.trimmed:
            callback(Note(f"{signals.trimmed:.1f} s of silence were cut away"))
        feature = recipe.feature.build(recipe.data.sample_rate, signals.channels)
        network_input = prepare_input(recipe, collection, signals, feature, callback)
        embedder = embedder or build_embedder(recipe, signals.channels, seed)
        return cls(recipe, collection, metadata, network_input, embedder, signals.channels, seed)

    def sampler(self) -> Sampler:
        """The schedule of batches over the training rows. Raises RequestError where it cannot be kept."""
        rows = self.collection.rows("train")
        if not len(rows):
            raise RequestError(
                f"{self.collection.name}: no clip stands on the train side. "
                "Give a split column with train in it, or none: then a split is made."
            )
        return training_sampler(self.recipe, self.metadata, rows, self.seed)

    def sampler_over(self, rows: Ints) -> Sampler:
        """The same schedule over other rows, without copies."""
        return self.recipe.sampler.build(self.metadata, rows, self.recipe.data.clip_seconds, self.seed)

    def relation(self) -> Relation:
        """Who is alike among these clips; what it counts, such as how rare a tag is, is counted in train."""
        return build_relation(self.recipe, self.collection, self.metadata)

    def loss(self) -> PairLoss:
        """The loss of the recipe for these clips, its weights, if it has some, drawn from the run's seed.

        A tagger's knows how usual each tag is in train.
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
        """The whole draw and this process's share of it, cut; from update `first` on, without end."""
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
        """Gives a normalization that has statistics those of the first batches, 50 at most."""
        normalization = self.embedder.normalization
        if isinstance(normalization, FittedNormalization):
            normalization.fit(self.pictures(sampler, device))

    def pictures(self, sampler: Sampler, device: torch.device) -> Iterator[Tensor]:
        """The first batches of an epoch, 50 at most, as the network sees them and not bent."""
        rounds = max(1, min(50, sampler.clips_per_epoch // sampler.batch_size))
        feature = self.network_input.feature
        for _, (_, batch) in zip(range(rounds), self.batches(sampler, 0), strict=False):
            signal = batch.signal.to(device)
            yield signal if feature is None else feature(signal)

    def encoder(self, device: torch.device) -> "TrainForward":
        """The training-time road from a batch to vectors."""
        rate = self.recipe.data.sample_rate
        augmentations = [settings.build(rate, self.embedder.hop) for settings in self.recipe.augment]
        is_labelled = "labels" in self.recipe.relation.gives  # no other relation may know them
        labels = torch.from_numpy(self.metadata.labels) if is_labelled else None
        return TrainForward(
            self.embedder, self.network_input.feature, augmentations, self.seed, device, labels
        )


@dataclass
class TrainForward:
    """Bends a batch, makes its picture where that is still to do, and embeds it."""

    embedder: EmbeddingModel
    feature: Feature | None
    augmentations: Sequence[Augmentation]
    seed: int
    device: torch.device
    labels: Tensor | None = None
    """(N,) class numbers of the collection's clips, where training may know them."""

    def __call__(self, batch: Batch, update: int, applied: bool = True) -> Tensor:
        """(b, C, ...) signals of this process -> (b, D), as the loss sees them; `applied` as in training."""
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
        rank = world()[0] if update >= 0 else 0  # a validation's are the same in every process
        for place, augment in enumerate(self.augmentations):
            if augment.domain == domain:
                generator = torch_stream(self.seed, "augment", place, update, rank)
                signal = augment.apply(signal, augment.draw(signal.shape, generator, labels))
        return signal

    def _copied(self, signal: Tensor, domain: str, rows: Ints, copies: Ints) -> Tensor:
        """Each window bent by what is drawn once for its clip and its copy; those of copy 0 as they are."""
        items = list(torch.split(signal, 1))
        for place, augment in enumerate(self.augmentations):
            for at in np.flatnonzero(copies) if augment.domain == domain else ():
                generator = torch_stream(self.seed, "copies", place, rows[at], copies[at])
                items[at] = augment.apply(items[at], augment.draw(items[at].shape, generator))
        return torch.cat(items)


def training_sampler(recipe: Recipe, metadata: ClipMetadata, rows: Ints, seed: int) -> Sampler:
    """The schedule of batches that a training by `recipe` takes from `rows`."""
    copies = recipe.train.augmented_copies
    return build_sampler(recipe.sampler, metadata, rows, recipe.data.clip_seconds, seed, copies)


def decoded(recipe: Recipe, collection: Collection) -> tuple[Signals, ClipMetadata]:
    """The clips, decoded, and what is known of them as they are kept: without silence, where it is cut."""
    signals, metadata = Store().open(collection, recipe.data), collection.metadata()
    return signals, signals.corrected(metadata) if isinstance(signals, ArraySignals) else metadata


def build_relation(recipe: Recipe, collection: Collection, metadata: ClipMetadata) -> Relation:
    """Who is alike among clips; what it counts, such as how rare a tag is, is counted in train."""
    rows = collection.rows("train")
    return recipe.relation.build(metadata, rows if len(rows) else None)


def prepare_input(
    recipe: Recipe, collection: Collection, signals: Signals, feature: Feature, callback: Callback = ignore
) -> NetworkInput:
    """Kept pictures where the feature can be cut, nothing bends the wave and memory allows; else waves."""
    if recipe.modality == "image":
        return NetworkInput(signals, 1, feature)
    samples = round(recipe.data.clip_seconds * recipe.data.sample_rate)
    rate = recipe.data.sample_rate
    needs_wave = any(settings.build(rate, feature.hop).domain == "wave" for settings in recipe.augment)
    needs_wave |= recipe.sampler.mixes  # logarithms do not add up
    total = sum(max(signals.length(row), samples) for row in range(len(signals)))
    bytes_kept = total / feature.hop * feature.bands * signals.channels * 4
    if needs_wave or not feature.cuttable or bytes_kept > KEPT_SHARE * total_memory():
        return NetworkInput(signals, samples, feature)
    kept = cache_features(signals, feature, samples, progress=lambda d, n: callback(Stage("features", d, n)))
    return NetworkInput(kept, feature.frames(samples), None)


def build_embedder(recipe: Recipe, channels: int, seed: int) -> EmbeddingModel:
    """The network of a recipe for signals of so many channels, its weights drawn from the run's seed."""
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
                f"backbone.kind: {recipe.backbone.kind!r} cannot read pictures of {channels} x {bands} x "
                f"{frames} (channels, bands, frames). Make data.clip_seconds longer, take more bands, or a "
                f"smaller backbone. The network says: {str(error).splitlines()[0]}"
            ) from None


def decodable(recipe: Recipe, collection: Collection, callback: Callback = ignore) -> Collection:
    """The clips that can be decoded, which is done here; those that cannot are left out and told.

    Raises RequestError where the feature does not fit the kind of clips, DataError where no clip is left.
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
            f"feature.kind: {recipe.feature.kind!r} reads sound, and {collection.name} holds pictures. "
            "Set feature.kind=pixels, or take the recipe images."
        )
    if collection.kind == "sound" and recipe.modality == "image":
        raise RequestError(
            f"feature.kind: {recipe.feature.kind!r} reads pictures, and {collection.name} holds sounds. "
            "Set feature.kind=log_mel, or take the recipe labels."
        )


def windows(seconds: float, clip_seconds: float) -> list[float]:
    """Starts of the windows that cover a clip: end to end, the last one flush with the clip's end."""
    if seconds <= clip_seconds:
        return [0.0]
    whole = int(seconds / clip_seconds + 1e-9)
    starts = [number * clip_seconds for number in range(whole)]
    if seconds - whole * clip_seconds > 1e-3:
        starts.append(seconds - clip_seconds)
    return starts


def note_data(collection: Collection, callback: Callback) -> None:
    """Says what was left out of a collection, what is odd about it, and whether its split leaks."""
    note_left_out(collection.problems, callback)
    odd = [problem for problem in collection.problems if problem.severity == "warning"]
    for problem in odd[:_SHOWN]:
        callback(Note(str(problem), is_warning=True))
    if len(odd) > _SHOWN:
        callback(Note(f"and {len(odd) - _SHOWN} more: see `nearfield check`", is_warning=True))
    if collection.leaks:
        callback(Note(f"{groups_in_two_splits(collection.leaks)} in two splits; results are marked.", True))


def note_left_out(problems: Sequence[Problem], callback: Callback) -> None:
    """Says what was left out of a collection."""
    left_out = [problem for problem in problems if problem.severity == "left out"]
    for problem in left_out[:_SHOWN]:
        callback(Note(f"left out: {problem.path}: {problem.reason}", is_warning=True))
    if len(left_out) > _SHOWN:
        callback(Note(f"and {len(left_out) - _SHOWN} more: see `nearfield check`", is_warning=True))
