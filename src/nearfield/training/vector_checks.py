"""Checks of embeddings before they are used: not finite, all equal, equal for different sounds, collapsed."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

from nearfield.core.errors import DataError, WorkError
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.data.audio import decode
from nearfield.data.settings import DataSettings
from nearfield.data.store import square
from nearfield.learning.collapse import effective_rank, spread
from nearfield.training.windows import Clip, FileClip, prepared

# Groups of equal vectors, found in time and memory that are linear in their number.

_DIRECTIONS = 3  # random directions that vectors are sorted along
_NEXT = 32  # number of neighbors in such an order that a vector is compared with
_FIRST = 8  # dimensions, those with the largest spread, that are compared before all are
_CHUNK = 1 << 22  # elements of vectors compared at once


def same_groups(vectors: Vectors, slack: float) -> Ints:
    """Groups vectors that are equal but for rounding.

    Vectors whose elements differ by at most `slack` are at most `slack` apart along a direction whose weights
    have an absolute sum of 1. So each vector is compared with its neighbors along some directions. If very
    many vectors are within `slack` along all of these without being equal, pairs may be missed.

    Parameters
    ----------
    vectors
        (N, D) vectors.
    slack
        The largest difference of an element.

    Returns
    -------
    ndarray
        (N,) number of the group of each vector. Groups are transitive: a chain of equal pairs is one group.
    """
    weights = stream(0, "same vectors").standard_normal((vectors.shape[1], _DIRECTIONS))
    group = np.arange(len(vectors))
    first_elements = np.ascontiguousarray(
        vectors[:, np.argsort(-vectors.std(axis=0), kind="stable")[:_FIRST]].T
    )
    for direction in weights.T:
        along = vectors @ (direction / np.abs(direction).sum())
        order = np.argsort(along, kind="stable")
        for step in range(1, min(_NEXT, len(order) - 1) + 1):
            first, second = order[:-step], order[step:]
            is_near = along[second] - along[first] <= slack
            if not is_near.any():
                break
            is_near &= group[first] != group[second]
            first, second = _same(vectors, first_elements, first[is_near], second[is_near], slack)
            if len(first):
                group = _joined(group, first, second)
    return group


def _same(
    vectors: Vectors, first_elements: Vectors, first: Ints, second: Ints, slack: float
) -> tuple[Ints, Ints]:
    """The pairs that are equal; `first_elements` (K, N) are compared first."""
    for elements in first_elements:
        is_near = np.abs(elements[first] - elements[second]) <= slack
        first, second = first[is_near], second[is_near]
    step = max(1, _CHUNK // vectors.shape[1])
    is_same: Bools = np.zeros(len(first), np.bool_)
    for start in range(0, len(first), step):
        some = slice(start, start + step)
        is_same[some] = (np.abs(vectors[first[some]] - vectors[second[some]]) <= slack).all(axis=1)
    return first[is_same], second[is_same]


def _joined(group: Ints, first: Ints, second: Ints) -> Ints:
    """The groups after those of each pair are joined."""
    from scipy.sparse import coo_array  # slow to import, and rarely needed
    from scipy.sparse.csgraph import connected_components

    ends = group[first], group[second]
    links = coo_array((np.ones(len(first), np.int8), ends), shape=(len(group), len(group)))
    found: Ints = connected_components(links, directed=False)[1].astype(np.int64)[group]
    return found


# The checks. Useless vectors raise errors, doubtful ones give warnings. Whether sounds differ is decided on
# their samples, before any feature: only so is a signal noticed that is lost on its way to the network.


class VectorWarning(UserWarning):
    """Embeddings should be looked at before they are used."""


Samples = npt.NDArray[np.floating]
"""(C, T) samples of a sound or (C, H, W) pixels of an image."""
SignalOf = Callable[[int], Samples | None]
"""Takes the row of a vector and returns the signal that it is of; None if the file cannot be read."""

SAME = 1e-5
"""Vectors are equal if no element differs by more than this share of the largest element."""
POINT = 0.02
"""Root mean square distance of two vectors, relative to their length, below which they form a point."""
LINE = 1.2
"""Effective rank of the centered vectors below which they form a line."""
FEW = 10
"""Number of vectors from which a point or a line is a warning."""
SILENT = 1e-4
"""Peak, relative to full scale, below which a sound is silence: -80 dB."""
EQUAL = 0.999
"""Correlation from which two sounds are equal but for level and polarity."""

_LONG = 60.0  # seconds of a sound that are compared
_MOST = 512  # vectors that are examined for a point or a line, evenly spaced
_COMPARED = 8  # sounds that are compared in a group of equal vectors
_GROUPS = 16  # groups of equal vectors whose sounds are compared
_NAMED = 3  # examples in a message
_CAUSES = (
    "Possible causes: a signal that is lost before the network, damaged weights, or a collapsed training. "
    "See train/spread in metrics.jsonl; train again, or use an earlier run."
)


def check_vectors(vectors: Vectors, names: Sequence[str], signal_of: SignalOf) -> list[str]:
    """Checks the embeddings of sounds (or images).

    Parameters
    ----------
    vectors
        (N, D) embeddings.
    names
        N names of the sounds, for messages.
    signal_of
        Returns the signal of a row. It is called only for some rows with equal vectors.

    Returns
    -------
    list of str
        Warnings; empty if nothing is wrong.

    Raises
    ------
    DataError
        If some vectors are not finite.
    WorkError
        If no vector is finite, or all are equal although the sounds differ.
    """
    _check_finite(vectors, names)
    if len(vectors) < 2:
        return []
    scale = max(float(np.abs(vectors).max()), 1e-12)
    if float(np.ptp(vectors, axis=0).max()) <= SAME * scale:
        pair = _different(np.arange(len(vectors)), signal_of)
        if pair is not None:
            raise WorkError(
                f"All {len(vectors):,} vectors are the same, and the sounds are not, as "
                f"{names[pair[0]]} and {names[pair[1]]}. {_CAUSES}"
            )
        return []
    return [*_equal(vectors / scale, names, signal_of), *_collapsed(vectors)]


def signals_of(clips: Sequence[Clip], settings: DataSettings, is_image: bool) -> SignalOf:
    """Returns a function that reads the signal of a clip, at most its first minute, for `check_vectors`."""

    def signal(row: int) -> Samples | None:
        clip = clips[row]
        if not isinstance(clip, FileClip):
            return prepared(clip, settings)[0]
        try:
            if is_image:
                return square(clip.path, settings.image_size, settings.image_channels).astype(np.float32)
            wave = decode(clip.path, clip.start, min(_LONG, clip.seconds or _LONG))[0]
            return prepared(wave, settings, clip.channel)[0]
        except DataError:
            return None

    return signal


NOT_FINITE = (
    "the network gives no finite numbers of it: its samples are far too large. Write it again with samples "
    "within -1 and 1."
)
"""What is wrong with a file whose vector is not finite."""


def _check_finite(vectors: Vectors, names: Sequence[str]) -> None:
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if not len(wrong):
        return
    if len(wrong) == len(vectors) > 1:
        raise WorkError(
            f"None of the {len(vectors):,} vectors has finite numbers: the weights are damaged, or training "
            "diverged. Train again, or use an earlier run."
        )
    listed = ", ".join(names[row] for row in wrong[:_NAMED])
    raise DataError(
        f"{listed}{', ...' if len(wrong) > _NAMED else ''}: the network gives no finite numbers of "
        f"{len(wrong):,} of {len(vectors):,} sounds: their samples are far too large. Write them again with "
        "samples within -1 and 1, or leave them out."
    )


def _equal(scaled: Vectors, names: Sequence[str], signal_of: SignalOf) -> list[str]:
    """A warning if different sounds have equal vectors."""
    _, group, size = np.unique(same_groups(scaled, SAME), return_inverse=True, return_counts=True)
    shared = np.flatnonzero(size > 1)
    shared = shared[np.argsort(-size[shared], kind="stable")][:_GROUPS]
    groups = [np.flatnonzero(group == each) for each in shared]
    pairs = [(rows, _different(rows, signal_of)) for rows in groups]
    found = [(rows, pair) for rows, pair in pairs if pair is not None]
    if not found:
        return []
    examples = "; ".join(f"{names[a]} and {names[b]}" for _, (a, b) in found[:_NAMED])
    return [
        f"{sum(len(rows) for rows, _ in found):,} of {len(scaled):,} vectors are shared by sounds that "
        f"differ: {examples}. Their distance is 0: what distinguishes them does not reach the network. "
        "Listen to them."
    ]


def _collapsed(vectors: Vectors) -> list[str]:
    """A warning if all vectors are near one point or one line."""
    if len(vectors) < FEW:
        return []
    some = np.unique(np.linspace(0, len(vectors) - 1, _MOST).astype(np.int64))
    chosen = torch.from_numpy(vectors[some]).double()
    wide, rank = float(spread(chosen)), effective_rank(chosen)
    if wide < POINT:
        return [
            f"The vectors lie nearly on one point: two of them are {wide:.1g} of their length apart "
            f"(limit: {POINT:g}). Neighbors are then decided by rounding. {_CAUSES}"
        ]
    if vectors.shape[1] > 1 and rank < LINE:
        return [
            f"The vectors lie on one line (effective rank {rank:.2f}, limit: {LINE:g}): only one number "
            "distinguishes sounds. This is right for two labels that are fully separated; with more labels, "
            "training has collapsed."
        ]
    return []


def _different(rows: Ints, signal_of: SignalOf) -> tuple[int, int] | None:
    """Two of the rows whose sounds are audible and differ; None if there are none among those compared."""
    some = rows[np.unique(np.linspace(0, len(rows) - 1, _COMPARED).astype(np.int64))]
    sounds = [(int(row), sound) for row in some if (sound := signal_of(int(row))) is not None]
    audible = [(row, sound) for row, sound in sounds if float(np.abs(sound).max(initial=0.0)) >= SILENT]
    for row, sound in audible[1:]:
        if not _is_same_sound(audible[0][1], sound):
            return audible[0][0], row
    return None


def _is_same_sound(one: Samples, other: Samples) -> bool:
    """Whether two sounds are equal but for level, polarity and zeros at the end."""
    length = max(one.shape[-1], other.shape[-1])
    a, b = (_filled(each, length).astype(np.float64).ravel() for each in (one, other))
    if a.shape != b.shape:
        return False
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return norms > 0 and abs(float(a @ b)) >= EQUAL * norms


def _filled(sound: Samples, length: int) -> Floats:
    return np.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(0, length - sound.shape[-1])])
