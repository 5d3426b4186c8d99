"""Plain baselines on the same clips: band statistics, MFCC, untrained encoders."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.rng import stream
from nearfield.core.types import Ints, Vectors
from nearfield.data.settings import DataSettings
from nearfield.data.signals import ArraySignals, Loader, Signals
from nearfield.data.store import Store
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.probes import Scaling
from nearfield.metrics.result import EvaluationSettings, Result
from nearfield.models.embedder import EmbeddingModel
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.features.mfcc import MFCCSettings
from nearfield.models.normalization import settle
from nearfield.training.device import Precision
from nearfield.training.encode import draws, vectors_of
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.run import without_weights
from nearfield.training.setup import TrainingSetup, build_embedder

# The plain baseline: mean and deviation over time of every band of a feature picture, nothing learnt.
#
# Conventions: a picture is (bands, frames), or (channels, bands, frames), of MFCC or log-mel; statistics are
# (N, 2 * bands * channels) float32, the means first. Before retrieval they are standardised by the mean and
# deviation that each dimension has on train.


def band_statistics(pictures: Iterable[npt.NDArray[Any]]) -> Vectors:
    """One row a picture: the mean over frames of every band, then the population deviation.

    Pictures may differ in frames. Raises RequestError for a picture without frames.
    """
    rows = [_clip_statistics(image, number) for number, image in enumerate(pictures)]
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)


def standardised(vectors: Vectors, train: Ints) -> Vectors:
    """Every dimension at mean 0 and deviation 1 on the rows `train`; a constant one is only centred."""
    if not len(train):
        raise RequestError("standardised: the split has no training rows to take mean and deviation from.")
    return Scaling.of(vectors[train])(vectors).astype(np.float32)


def _clip_statistics(image: npt.NDArray[Any], number: int) -> npt.NDArray[np.float64]:
    if image.ndim < 2 or image.shape[-1] == 0:
        given = f"shape {image.shape}"
        raise RequestError(
            f"picture {number}: (bands, frames) with at least one frame is wanted; given: {given}."
        )
    wide = image.astype(np.float64)
    return np.concatenate([wide.mean(axis=-1).ravel(), wide.std(axis=-1).ravel()])


# The plain baselines of a space, on the same clips: a space must beat them to be worth its training.
#
# Mean and deviation of MFCC and of log-mel bands (pixels for pictures), and an encoder of the same shape that
# has learnt nothing but the statistics of its norms. Chance comes with every evaluation.


def baselines(
    setup: TrainingSetup,
    splits: dict[str, Ints],
    settings: EvaluationSettings,
    callback: Callback = ignore,
) -> Iterator[tuple[str, Result]]:
    """Plain spaces and an untrained encoder on the same clips, scored alike: (name, result)."""
    yield from plain_spaces(setup, splits, settings, callback)
    yield "random_encoder", random_encoder(setup, splits, settings)


def plain_spaces(
    setup: TrainingSetup, splits: dict[str, Ints], settings: EvaluationSettings, callback: Callback = ignore
) -> Iterator[tuple[str, Result]]:
    """What can be had without any network: (name, result). No chance is in them but that of the split."""
    plain = settings.model_copy(update={"distance": "euclidean"})
    for name, vectors in statistics_vectors(setup, callback):
        scaled = standardised(vectors, splits["train"]) if len(splits["train"]) else vectors
        yield name, evaluate(scaled, setup.metadata, splits, plain)


def statistics_vectors(setup: TrainingSetup, callback: Callback = ignore) -> Iterator[tuple[str, Vectors]]:
    """mfcc_stats and logmel_stats, or pixels for pictures; (N, D) each."""
    data = setup.recipe.data
    if setup.collection.kind == "picture":
        small = Store().open(setup.collection, data.model_copy(update={"image_size": 24}))
        yield "pixels", np.stack([_whole(small, row).ravel() for row in range(len(small))])
    else:
        yield from _statistics(setup, data, callback)


def _statistics(
    setup: TrainingSetup, data: DataSettings, callback: Callback
) -> Iterator[tuple[str, Vectors]]:
    signals = Store().open(setup.collection, data)
    assert isinstance(signals, ArraySignals)
    window = round(0.03 * data.sample_rate)  # the features' usual one
    fft = 512 if data.sample_rate <= 8000 else max(1024, 1 << (window - 1).bit_length())
    features: dict[str, LogMelSettings | MFCCSettings] = {
        "mfcc_stats": MFCCSettings(bands=128, low=0, coefficients=20, fft=fft, power=2, log="db"),
        "logmel_stats": LogMelSettings(bands=64, low=0, fft=fft, power=2),
    }
    for name, settings in features.items():
        feature = settings.build(data.sample_rate, signals.channels)
        least = feature.samples(2)

        def pictures(feature: Any = feature, least: int = least, name: str = name) -> Iterator[Any]:
            for row in range(len(signals)):
                wave = np.zeros((1, *signals.shape(max(least, signals.length(row)))), np.float32)
                signals.cut(row, 0, wave.shape[-1], wave[0])
                callback(Stage(name, row + 1, len(signals)))
                with torch.no_grad():
                    image = feature(torch.from_numpy(wave))[0].numpy()
                yield image

        yield name, band_statistics(pictures())


def _whole(signals: Signals, row: int) -> Vectors:
    out = np.empty(signals.shape(1), np.float32)
    signals.cut(row, 0, 1, out)
    return out


def random_encoder(
    setup: TrainingSetup, splits: dict[str, Ints], settings: EvaluationSettings, precision: Precision = "fp32"
) -> Result:
    """The space of an encoder that was never trained, its weights drawn from the bench's seed."""
    vectors = vectors_of(untrained(setup), setup, precision=precision)
    return evaluate(vectors, setup.metadata, splits, settings)


def untrained(setup: TrainingSetup) -> EmbeddingModel:
    """An encoder of the same shape with fresh weights; its norms have seen up to 256 training clips."""
    fresh = build_embedder(without_weights(setup.recipe), setup.channels, setup.seed + 1_000_003)
    fresh.normalization.load_state_dict(setup.embedder.normalization.state_dict())
    rows = setup.collection.rows("train")
    chosen = stream(setup.seed, "untrained").permutation(rows)[:256]
    settle(fresh, _pictures(setup, chosen))
    return fresh


def _pictures(setup: TrainingSetup, rows: Ints) -> Iterator[Tensor]:
    """The first window of each of some clips, as the network sees it."""
    network_input = setup.network_input
    for batch in Loader(
        network_input.signals, draws(rows, np.zeros(len(rows))), network_input.length, workers=0
    ):
        feature = None if setup.recipe.modality == "image" else network_input.feature  # the network's own
        yield batch.signal if feature is None else feature(batch.signal)
