"""Similarity of two sound files by dynamic time warping of their MFCC frames."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from scipy.spatial.distance import cdist

from nearfield.core.errors import RequestError
from nearfield.core.types import Floats, Ints
from nearfield.data.audio import decode, mix, resample
from nearfield.models.features.mfcc import MFCCSettings

# Dynamic time warping, which compares sequences of different speed.
#
# Conventions: a sequence is (D, T), T frames of D values (for example MFCCs). A path goes from the first
# frames to the last in steps (1, 1), (1, 0), (0, 1); each step adds the distance of the frames that it
# reaches (Sakoe and Chiba 1978, symmetric, unweighted).

FrameDistance = Literal["l1", "l2", "cosine"]

_METRICS: dict[FrameDistance, Literal["cityblock", "euclidean", "cosine"]] = {
    "l1": "cityblock",
    "l2": "euclidean",
    "cosine": "cosine",
}


@dataclass(frozen=True)
class Warp:
    """The path of lowest cost through two sequences."""

    cost: float
    """Sum of the frame distances along the path."""
    path: Ints
    """(P, 2) aligned frames of the first and of the second sequence, from the beginning."""

    @property
    def per_step(self) -> float:
        """Mean frame distance along the path, comparable between sounds of different length."""
        return self.cost / len(self.path)


def warp(first: Floats, second: Floats, distance: FrameDistance = "l1") -> Warp:
    """Computes the path of lowest cost between sequences (D, T) and (D, U).

    Takes O(T (T + U)) memory, with vectorized operations for each anti-diagonal. Raises RequestError if a
    sequence is empty or not finite, shapes do not fit, or the distance is unknown."""
    costs = frame_distances(first, second, distance)
    totals = accumulate(costs)
    return Warp(float(totals[-1, -1]), _backwards(totals))


def similarity(first: Floats, second: Floats, distance: FrameDistance = "l1") -> float:
    """Computes 1 / (1 + mean frame distance along the path): 1 for equal sounds, near 0 for different
    ones."""
    return 1 / (1 + warp(first, second, distance).per_step)


def frame_distances(first: Floats, second: Floats, distance: FrameDistance = "l1") -> Floats:
    """Computes (T, U) distances between all frames of sequences (D, T) and (D, U).

    The cosine distance of a frame of zeros is 1 from every other frame and 0 from frames of zeros. Raises
    RequestError like `warp`.
    """
    if distance not in _METRICS:
        raise RequestError(f"dtw: unknown frame distance {distance!r}. Known: {', '.join(_METRICS)}.")
    shapes = first.shape, second.shape
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or not all(map(all, shapes)):
        raise RequestError(
            f"dtw: both sequences must be (values, frames) with the same number of values. Given: {shapes}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise RequestError("dtw: some values of the sequences are NaN or infinite. Leave out those frames.")
    found = np.asarray(cdist(first.T, second.T, _METRICS[distance]))
    if distance == "cosine":
        silent, other = (np.flatnonzero((frames == 0).all(axis=0)) for frames in (first, second))
        found[silent], found[:, other] = 1.0, 1.0
        found[np.ix_(silent, other)] = 0.0
    return found


def accumulate(costs: Floats) -> Floats:
    """Computes (T, U) the lowest cost of a path from the first cell to each cell, for `costs` (T, U)."""
    rows, columns = costs.shape
    # Row s of the skewed array is the anti-diagonal i + j = s - 2 by i, so each row depends on earlier rows
    # only; cells
    # outside are inf.
    skew = np.full((rows + columns + 1, rows + 1), np.inf)
    skew[0, 0] = 0.0
    for s in range(2, rows + columns + 1):
        low, high = max(0, s - 1 - columns), min(rows, s - 1)
        i = np.arange(low, high)
        before = np.minimum(np.minimum(skew[s - 1, i], skew[s - 1, i + 1]), skew[s - 2, i])
        skew[s, i + 1] = costs[i, s - 2 - i] + before
    row, column = np.indices(costs.shape)
    return np.asarray(skew[row + column + 2, row + 1])


def _backwards(totals: Floats) -> Ints:
    """Returns the path to the last cell; among equal costs, the diagonal step is preferred."""
    i, j = totals.shape[0] - 1, totals.shape[1] - 1
    path = [(i, j)]
    while i or j:
        ways = [(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        i, j = min(ways, key=lambda way: totals[way])
        path.append((i, j))
    return np.array(path[::-1], dtype=np.int64)


# Similarity of two sound files by their MFCC frames.

MOST_CELLS = 4e7
"""Largest number of cells, about a gigabyte."""


@dataclass(frozen=True)
class Similarity:
    """The alignment of two files."""

    first: str
    second: str
    seconds: tuple[float, float]
    """Aligned length of each file."""
    frames: tuple[int, int]
    """Number of frames of each file."""
    steps: int
    """Number of steps of the path."""
    cost: float
    """Sum of the frame distances along the path."""
    per_step: float
    """Mean frame distance along the path, comparable between files of different length."""
    similarity: float
    """1 / (1 + per_step): 1 for equal sounds, near 0 for different ones."""
    diagonal: float
    """Fraction of steps that advance in both files; 1 if their speed is equal."""

    def plain(self) -> dict[str, Any]:
        """Returns the fields as JSON-serializable values."""
        return asdict(self)


def similar(
    first: str | Path,
    second: str | Path,
    seconds: float | None = None,
    sample_rate: int = 16000,
    distance: FrameDistance = "l2",
    settings: MFCCSettings | None = None,
) -> Similarity:
    """Aligns the MFCC frames of two sound files, mixed to one channel.

    Parameters
    ----------
    first, second
        Paths of the files.
    seconds
        Length to read from the beginning of each file; None: all.
    sample_rate
        Sample rate to which both are resampled, in Hz.
    distance
        Distance of two frames: `l1`, `l2` or `cosine`.
    settings
        Settings of the MFCCs; None: `usual_mfcc`.

    Returns
    -------
    Similarity
        The alignment and its similarity in 0..1.

    Raises
    ------
    DataError
        If a file cannot be read or is shorter than a frame.
    RequestError
        If the files are too long.
    """
    for path in (first, second):
        if not isinstance(path, str | os.PathLike):
            raise RequestError(
                f"similar expects the paths of two sound files. Given: a {type(path).__name__}."
            )
    waves = [_wave(Path(path).expanduser(), seconds, sample_rate) for path in (first, second)]
    feature = (settings or usual_mfcc(sample_rate)).build(sample_rate, 1)
    frames = [feature.frames(wave.shape[1]) for wave in waves]
    if frames[0] * (frames[0] + frames[1]) > MOST_CELLS:
        lengths = " and ".join(f"{wave.shape[1] / sample_rate:.0f} s" for wave in waves)
        raise RequestError(
            f"{lengths} are too long to be aligned. Shorten them, for example with --seconds 30."
        )
    images: list[Floats] = []
    with torch.no_grad():
        for wave in waves:
            images.append(feature(torch.from_numpy(wave[None]))[0, 0].double().numpy())
    found = warp(images[0], images[1], distance)
    steps = np.diff(found.path, axis=0)
    return Similarity(
        first=str(first),
        second=str(second),
        seconds=(waves[0].shape[1] / sample_rate, waves[1].shape[1] / sample_rate),
        frames=(frames[0], frames[1]),
        steps=len(found.path),
        cost=found.cost,
        per_step=found.per_step,
        similarity=1 / (1 + found.per_step),
        diagonal=float((steps.sum(axis=1) == 2).mean()) if len(steps) else 1.0,
    )


def usual_mfcc(sample_rate: int) -> MFCCSettings:
    """Returns the default settings: 13 MFCCs from 26 bands, frames of 25 ms every 10 ms."""
    fft = 256 if sample_rate <= 8000 else 1 << (round(0.025 * sample_rate) - 1).bit_length()
    return MFCCSettings(window_ms=25.0, hop_ms=10.0, fft=fft, bands=26, low=0, coefficients=13)


def _wave(path: Path, seconds: float | None, sample_rate: int) -> Any:
    waves, rate = decode(path, 0.0, seconds)
    return resample(mix(waves, "mean"), rate, sample_rate)
