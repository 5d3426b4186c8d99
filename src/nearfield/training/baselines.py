"""Baselines of an evaluation on the same clips: statistics of spectrograms, pixels, an untrained encoder."""

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
from nearfield.training.encode import vectors_of
from nearfield.training.events import Callback, Stage, ignore
from nearfield.training.run import without_weights
from nearfield.training.setup import TrainingSetup, build_embedder
from nearfield.training.windows import index_batches

# Statistics of spectrograms: mean and standard deviation over time of each band.
#
# A spectrogram is (bands, frames) or (channels, bands, frames). Statistics are (N, 2 * channels * bands), the
# means first; before retrieval they are standardized on the training clips.


def band_statistics(spectrograms: Iterable[npt.NDArray[Any]]) -> Vectors:
    """Computes mean and population standard deviation over time of each band.

    Parameters
    ----------
    spectrograms
        N arrays (bands, frames) or (channels, bands, frames), with any numbers of frames.

    Returns
    -------
    ndarray
        (N, 2 * channels * bands) float32, the means first.

    Raises
    ------
    RequestError
        If a spectrogram has no frames.
    """
    rows = [_clip_statistics(each, number) for number, each in enumerate(spectrograms)]
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)


def standardized(vectors: Vectors, train: Ints) -> Vectors:
    """Scales each dimension to mean 0 and standard deviation 1 over the rows `train`.

    A constant dimension is only centered. Raises RequestError if there are no training rows.
    """
    if not len(train):
        raise RequestError("standardized: there are no training rows to compute mean and deviation from.")
    return Scaling.of(vectors[train])(vectors).astype(np.float32)


def _clip_statistics(spectrogram: npt.NDArray[Any], number: int) -> npt.NDArray[np.float64]:
    if spectrogram.ndim < 2 or spectrogram.shape[-1] == 0:
        raise RequestError(
            f"spectrogram {number}: (bands, frames) with at least one frame is expected. "
            f"Given: shape {spectrogram.shape}."
        )
    wide = spectrogram.astype(np.float64)
    return np.concatenate([wide.mean(axis=-1).ravel(), wide.std(axis=-1).ravel()])


# The baselines. A space must be better than them to be worth its training. The chance level is part of every
# evaluation.


def baselines(
    setup: TrainingSetup,
    splits: dict[str, Ints],
    settings: EvaluationSettings,
    callback: Callback = ignore,
) -> Iterator[tuple[str, Result]]:
    """Yields name and result of each baseline, evaluated like the space.

    Parameters
    ----------
    setup
        The clips, and the network that the untrained encoder has the shape of.
    splits
        Rows of train, val and test.
    settings
        Settings of the evaluation.
    callback
        Called with stages of the work.
    """
    yield from plain_spaces(setup, splits, settings, callback)
    yield "random_encoder", random_encoder(setup, splits, settings)


def plain_spaces(
    setup: TrainingSetup, splits: dict[str, Ints], settings: EvaluationSettings, callback: Callback = ignore
) -> Iterator[tuple[str, Result]]:
    """Yields name and result of the baselines without a network; only the split makes them random."""
    plain = settings.model_copy(update={"distance": "euclidean"})
    for name, vectors in statistics_vectors(setup, callback):
        scaled = standardized(vectors, splits["train"]) if len(splits["train"]) else vectors
        yield name, evaluate(scaled, setup.metadata, splits, plain)


def statistics_vectors(setup: TrainingSetup, callback: Callback = ignore) -> Iterator[tuple[str, Vectors]]:
    """Yields name and vectors (N, D) of mfcc_stats and logmel_stats, or of pixels for images."""
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

        def spectrograms(feature: Any = feature, least: int = least, name: str = name) -> Iterator[Any]:
            for row in range(len(signals)):
                wave = np.zeros((1, *signals.shape(max(least, signals.length(row)))), np.float32)
                signals.cut(row, 0, wave.shape[-1], wave[0])
                callback(Stage(name, row + 1, len(signals)))
                with torch.no_grad():
                    spectrogram = feature(torch.from_numpy(wave))[0].numpy()
                yield spectrogram

        yield name, band_statistics(spectrograms())


def _whole(signals: Signals, row: int) -> Vectors:
    out = np.empty(signals.shape(1), np.float32)
    signals.cut(row, 0, 1, out)
    return out


def random_encoder(
    setup: TrainingSetup, splits: dict[str, Ints], settings: EvaluationSettings, precision: Precision = "fp32"
) -> Result:
    """Evaluates an encoder that was not trained, with weights drawn from the seed of the setup."""
    vectors = vectors_of(untrained(setup), setup, precision=precision)
    return evaluate(vectors, setup.metadata, splits, settings)


def untrained(setup: TrainingSetup) -> EmbeddingModel:
    """Returns an encoder of the same shape with new weights, its norms fitted to up to 256 training clips."""
    fresh = build_embedder(without_weights(setup.recipe), setup.channels, setup.seed + 1_000_003)
    fresh.normalization.load_state_dict(setup.embedder.normalization.state_dict())
    rows = setup.collection.rows("train")
    chosen = stream(setup.seed, "untrained").permutation(rows)[:256]
    settle(fresh, _first_windows(setup, chosen))
    return fresh


def _first_windows(setup: TrainingSetup, rows: Ints) -> Iterator[Tensor]:
    """The network input of the first window of some clips, in batches."""
    network_input = setup.network_input
    indices = index_batches(rows, np.zeros(len(rows)))
    for batch in Loader(network_input.signals, indices, network_input.length, workers=0):
        feature = None if setup.recipe.modality == "image" else network_input.feature  # part of the network
        yield batch.signal if feature is None else feature(batch.signal)
