"""The plain baseline: mean and deviation over time of every band of a feature picture, nothing learnt.

Conventions: a picture is (bands, frames), or (channels, bands, frames), of MFCC or log-mel; statistics are
(N, 2 * bands * channels) float32, the means first. Before retrieval they are standardised by the mean and
deviation that each dimension has on train.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Ints, Vectors
from nearfield.evaluation.logistic import Scaling


def band_statistics(pictures: Iterable[npt.NDArray[Any]]) -> Vectors:
    """One row a picture: the mean over frames of every band, then the population deviation.

    Pictures may differ in frames. Raises RequestError for a picture without frames.
    """
    rows = [_statistics(picture, number) for number, picture in enumerate(pictures)]
    return np.stack(rows).astype(np.float32) if rows else np.zeros((0, 0), dtype=np.float32)


def standardised(vectors: Vectors, train: Ints) -> Vectors:
    """Every dimension at mean 0 and deviation 1 on the rows `train`; a constant one is only centred."""
    if not len(train):
        raise RequestError("standardised: the split has no training rows to take mean and deviation from.")
    return Scaling.of(vectors[train])(vectors).astype(np.float32)


def _statistics(picture: npt.NDArray[Any], number: int) -> npt.NDArray[np.float64]:
    if picture.ndim < 2 or picture.shape[-1] == 0:
        given = f"shape {picture.shape}"
        raise RequestError(
            f"picture {number}: (bands, frames) with at least one frame is wanted; given: {given}."
        )
    wide = picture.astype(np.float64)
    return np.concatenate([wide.mean(axis=-1).ravel(), wide.std(axis=-1).ravel()])
