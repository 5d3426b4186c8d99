"""How alike two sound files are: dynamic time warping of their MFCC frames."""

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

# How alike two sounds are when one may go faster than the other: dynamic time warping of their frames.
#
# Conventions: a sequence is (D, T), D numbers a frame (MFCC, say), T frames, as features give them. A path
# goes from the first frames to the last in steps (1, 1), (1, 0), (0, 1), each of which adds the distance of
# the frames that it reaches (Sakoe and Chiba 1978, symmetric, unweighted).

FrameDistance = Literal["l1", "l2", "cosine"]

_METRICS: dict[FrameDistance, Literal["cityblock", "euclidean", "cosine"]] = {
    "l1": "cityblock",
    "l2": "euclidean",
    "cosine": "cosine",
}


@dataclass(frozen=True)
class Warp:
    """The cheapest way through two sequences."""

    cost: float
    """Sum of the frame distances along the path."""
    path: Ints
    """(P, 2) frames of the first and of the second that meet, from the beginning on."""

    @property
    def per_step(self) -> float:
        """Mean frame distance along the path: comparable between sounds of unlike length."""
        return self.cost / len(self.path)


def warp(first: Floats, second: Floats, distance: FrameDistance = "l1") -> Warp:
    """The cheapest path between sequences (D, T) and (D, U).

    Memory O(T (T + U)), one pass of array arithmetic for each anti-diagonal. Raises RequestError where a
    sequence is empty or not finite, shapes do not fit, or the distance is not known.
    """
    costs = frame_distances(first, second, distance)
    totals = accumulate(costs)
    return Warp(float(totals[-1, -1]), _backwards(totals))


def similarity(first: Floats, second: Floats, distance: FrameDistance = "l1") -> float:
    """1 / (1 + mean frame distance along the cheapest path): 1 for the same sound, towards 0 for others."""
    return 1 / (1 + warp(first, second, distance).per_step)


def frame_distances(first: Floats, second: Floats, distance: FrameDistance = "l1") -> Floats:
    """(T, U) distances between all frames of sequences (D, T) and (D, U).

    A frame of zeros has no direction: by cosine it is 1 from every other frame, and 0 from its like. Raises
    RequestError as `warp`.
    """
    if distance not in _METRICS:
        raise RequestError(f"dtw: unknown frame distance {distance!r}. Known: {', '.join(_METRICS)}.")
    shapes = first.shape, second.shape
    if first.ndim != 2 or second.ndim != 2 or len(first) != len(second) or not all(map(all, shapes)):
        raise RequestError(
            f"dtw: two sequences (numbers, frames) with as many numbers are wanted; given: {shapes}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise RequestError("dtw: some numbers of the sequences are NaN or infinite. Leave those frames out.")
    found = np.asarray(cdist(first.T, second.T, _METRICS[distance]))
    if distance == "cosine":
        silent, other = (np.flatnonzero((frames == 0).all(axis=0)) for frames in (first, second))
        found[silent], found[:, other] = 1.0, 1.0
        found[np.ix_(silent, other)] = 0.0
    return found


def accumulate(costs: Floats) -> Floats:
    """(T, U) the cost of the cheapest path from the first cell to each, for `costs` (T, U) of the cells."""
    rows, columns = costs.shape
    # Skewed: row s holds the anti-diagonal i + j = s - 2 by i, so that all cells of a row depend on earlier
    # rows only; a border of inf stands for what lies outside.
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
    """The path that led to the last cell; of equal ways the diagonal one."""
    i, j = totals.shape[0] - 1, totals.shape[1] - 1
    path = [(i, j)]
    while i or j:
        ways = [(a, b) for a, b in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if a >= 0 and b >= 0]
        i, j = min(ways, key=lambda way: totals[way])
        path.append((i, j))
    return np.array(path[::-1], dtype=np.int64)


# How alike two sound files are when one may go faster than the other: MFCC frames, time warped.

MOST_CELLS = 4e7
"""Pairs of frames up to which the way is sought: about a gigabyte."""


@dataclass(frozen=True)
class Similarity:
    """Two files, aligned."""

    first: str
    second: str
    seconds: tuple[float, float]
    """How much of each was heard."""
    frames: tuple[int, int]
    steps: int
    """Of the cheapest way through both."""
    cost: float
    """Sum of the frame distances along it."""
    per_step: float
    """Mean frame distance along it: comparable between files of unlike length."""
    similarity: float
    """1 / (1 + per_step): 1 for the same sound, towards 0 for others."""
    diagonal: float
    """Share of steps that go on in both files: 1 where neither has to wait for the other."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return asdict(self)


def similar(
    first: str | Path,
    second: str | Path,
    seconds: float | None = None,
    sample_rate: int = 16000,
    distance: FrameDistance = "l2",
    settings: MFCCSettings | None = None,
) -> Similarity:
    """Aligns the MFCC frames of two files, mixed to one channel, at `sample_rate` hertz.

    `seconds`: how much of each to hear from its beginning on; None for all. Raises DataError for files that
    cannot be read or are shorter than a frame, RequestError where both are too long together.
    """
    for path in (first, second):
        if not isinstance(path, str | os.PathLike):
            raise RequestError(f"similar aligns two sound files. Given: a {type(path).__name__}.")
    heard = [_wave(Path(path).expanduser(), seconds, sample_rate) for path in (first, second)]
    feature = (settings or usual_mfcc(sample_rate)).build(sample_rate, 1)
    frames = [feature.frames(wave.shape[1]) for wave in heard]
    if frames[0] * (frames[0] + frames[1]) > MOST_CELLS:
        lengths = " and ".join(f"{wave.shape[1] / sample_rate:.0f} s" for wave in heard)
        raise RequestError(f"{lengths} are too long to be aligned. Hear less of them: --seconds 30.")
    images: list[Floats] = []
    with torch.no_grad():
        for wave in heard:
            images.append(feature(torch.from_numpy(wave[None]))[0, 0].double().numpy())
    found = warp(images[0], images[1], distance)
    steps = np.diff(found.path, axis=0)
    return Similarity(
        first=str(first),
        second=str(second),
        seconds=(heard[0].shape[1] / sample_rate, heard[1].shape[1] / sample_rate),
        frames=(frames[0], frames[1]),
        steps=len(found.path),
        cost=found.cost,
        per_step=found.per_step,
        similarity=1 / (1 + found.per_step),
        diagonal=float((steps.sum(axis=1) == 2).mean()) if len(steps) else 1.0,
    )


def usual_mfcc(sample_rate: int) -> MFCCSettings:
    """13 cosines over 26 bands of frames of 25 ms, every 10 ms."""
    fft = 256 if sample_rate <= 8000 else 1 << (round(0.025 * sample_rate) - 1).bit_length()
    return MFCCSettings(window_ms=25.0, hop_ms=10.0, fft=fft, bands=26, low=0, coefficients=13)


def _wave(path: Path, seconds: float | None, sample_rate: int) -> Any:
    waves, rate = decode(path, 0.0, seconds)
    return resample(mix(waves, "mean"), rate, sample_rate)
