"""Checks of vectors before anybody uses them: not finite, all the same, the same for unlike sounds."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from nearfield.core.errors import DataError, WorkError
from nearfield.core.rng import stream
from nearfield.core.types import Bools, Floats, Ints, Vectors
from nearfield.data.audio import decode, mix
from nearfield.data.clips import CHANNEL
from nearfield.data.settings import DataSettings
from nearfield.data.store import square
from nearfield.learning.collapse import effective_rank, spread

# Which of many vectors are the same but for rounding, in memory and time that grow with their number.

_LINES = 3  # directions that vectors are sorted along
_NEXT = 32  # how many places further in such an order a vector is compared
_SEEN = 8  # numbers, those that vary most, that are compared before all are
_CHUNK = 1 << 22  # numbers of vectors compared at once


def same_groups(vectors: Vectors, slack: float) -> Ints:
    """(N,) a number for each of (N, D) vectors: one for those of which no number differs by more than
    `slack`, directly or by way of others.

    Such vectors lie within `slack` of each other along every direction whose weights sum to 1 in size, so
    each is compared with the next along a few directions. Of very many that are within `slack` along these
    and yet apart, pairs may be missed.
    """
    weights = stream(0, "same vectors").standard_normal((vectors.shape[1], _LINES))
    group = np.arange(len(vectors))
    seen = np.ascontiguousarray(vectors[:, np.argsort(-vectors.std(axis=0), kind="stable")[:_SEEN]].T)
    for direction in weights.T:
        along = vectors @ (direction / np.abs(direction).sum())
        order = np.argsort(along, kind="stable")
        for step in range(1, min(_NEXT, len(order) - 1) + 1):
            first, second = order[:-step], order[step:]
            is_near = along[second] - along[first] <= slack
            if not is_near.any():
                break
            is_near &= group[first] != group[second]
            first, second = _same(vectors, seen, first[is_near], second[is_near], slack)
            if len(first):
                group = _joined(group, first, second)
    return group


def _same(vectors: Vectors, seen: Vectors, first: Ints, second: Ints, slack: float) -> tuple[Ints, Ints]:
    """The pairs of which no number differs by more than `slack`."""
    for numbers in seen:
        is_near = np.abs(numbers[first] - numbers[second]) <= slack
        first, second = first[is_near], second[is_near]
    step = max(1, _CHUNK // vectors.shape[1])
    is_same: Bools = np.zeros(len(first), np.bool_)
    for start in range(0, len(first), step):
        some = slice(start, start + step)
        is_same[some] = (np.abs(vectors[first[some]] - vectors[second[some]]) <= slack).all(axis=1)
    return first[is_same], second[is_same]


def _joined(group: Ints, first: Ints, second: Ints) -> Ints:
    """The groups once each pair is of one."""
    from scipy.sparse import coo_array  # takes its time to load, and few spaces have such pairs
    from scipy.sparse.csgraph import connected_components

    ends = group[first], group[second]
    links = coo_array((np.ones(len(first), np.int8), ends), shape=(len(group), len(group)))
    found: Ints = connected_components(links, directed=False)[1].astype(np.int64)[group]
    return found


# Vectors looked at before anybody uses them: not numbers, one vector for all, one for unlike sounds.
#
# Errors where the vectors are worthless, sentences where somebody should look. What sounds alike is asked of
# the sounds themselves, before any front end: of a signal that vanished on the way nothing else would tell.


class VectorWarning(UserWarning):
    """Vectors that somebody should look at before they are used."""


Numbers = npt.NDArray[np.floating]
Heard = Callable[[int], Numbers | None]
"""The samples (or pixels) behind a vector, by its number; None where they cannot be read."""

SAME = 1e-5
"""Vectors are the same where no number differs by more than this share of the largest."""
POINT = 0.02
"""Root mean squared distance of two vectors, over their length, below which they are nearly one point."""
LINE = 1.2
"""Effective rank of centred vectors below which they lie on a line."""
FEW = 10
"""Vectors from which a point or a line is worth a word."""
SILENT = 1e-4
"""Peak, of a full scale of 1, below which a sound is silence: -80 dB."""
ALIKE = 0.999
"""Correlation from which two sounds are the same but for level and polarity."""

_LONG = 60.0  # seconds of a sound that are compared
_MOST = 512  # vectors that point and line are looked for in, evenly chosen
_LOOKED = 8  # sounds that are compared in one group of equal vectors
_GROUPS = 16  # groups of equal vectors whose sounds are compared
_TOLD = 3
_CAUSES = (
    "A signal that vanished on the way, damaged weights or a collapsed training do this. See train/spread in "
    "metrics.jsonl; train again, or take an earlier run."
)


def check_vectors(vectors: Vectors, names: Sequence[str], heard: Heard) -> list[str]:
    """Sentences on (N, D) vectors of N sounds called `names`; none where nothing is wrong.

    Raises DataError where some are not finite numbers, WorkError where none is, or where unlike sounds all
    have the same vector.
    """
    _check_finite(vectors, names)
    if len(vectors) < 2:
        return []
    scale = max(float(np.abs(vectors).max()), 1e-12)
    if float(np.ptp(vectors, axis=0).max()) <= SAME * scale:
        pair = _unlike(np.arange(len(vectors)), heard)
        if pair is not None:
            raise WorkError(
                f"All {len(vectors):,} vectors are the same, and the sounds are not, as "
                f"{names[pair[0]]} and {names[pair[1]]}. {_CAUSES}"
            )
        return []
    return [*_equal(vectors / scale, names, heard), *_crowded(vectors)]


def of_table(table: pd.DataFrame, settings: DataSettings, is_image: bool) -> Heard:
    """The samples behind each row of a collection's table."""

    def heard(row: int) -> Numbers | None:
        clip = table.iloc[row]
        path = Path(str(clip["path"]))
        try:
            if is_image:
                return square(path, settings.image_size, settings.image_channels).astype(np.float32)
            wave = decode(path, float(clip["start"]), min(_LONG, float(clip["seconds"]) or _LONG))[0]
            channel = clip.get(CHANNEL)
            return mix(wave, settings.channels if channel is None else int(channel))
        except DataError:
            return None

    return heard


def _check_finite(vectors: Vectors, names: Sequence[str]) -> None:
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if not len(wrong):
        return
    if len(wrong) == len(vectors) > 1:
        raise WorkError(
            f"None of the {len(vectors):,} vectors has finite numbers: the weights are damaged, or training "
            "ended in numbers that are none. Train again, or take an earlier run."
        )
    listed = ", ".join(names[row] for row in wrong[:_TOLD])
    raise DataError(
        f"{listed}{', ...' if len(wrong) > _TOLD else ''}: the network gives no finite numbers of "
        f"{len(wrong):,} of {len(vectors):,} sounds: their samples are far too large. Write them again with "
        "samples within -1 and 1, or leave them out."
    )


def _equal(scaled: Vectors, names: Sequence[str], heard: Heard) -> list[str]:
    """On vectors that several sounds share though they are unlike."""
    _, group, size = np.unique(same_groups(scaled, SAME), return_inverse=True, return_counts=True)
    shared = np.flatnonzero(size > 1)
    shared = shared[np.argsort(-size[shared], kind="stable")][:_GROUPS]
    found = [
        (np.flatnonzero(group == each), _unlike(np.flatnonzero(group == each), heard)) for each in shared
    ]
    told = [(rows, pair) for rows, pair in found if pair is not None]
    if not told:
        return []
    examples = "; ".join(f"{names[a]} and {names[b]}" for _, (a, b) in told[:_TOLD])
    return [
        f"{sum(len(rows) for rows, _ in told):,} of {len(scaled):,} vectors are shared by sounds that "
        f"differ: {examples}. Distances between them are 0 whatever they sound like. Listen to them: what "
        "tells them apart does not reach the network."
    ]


def _crowded(vectors: Vectors) -> list[str]:
    """On vectors that all lie near one point or on one line."""
    if len(vectors) < FEW:
        return []
    some = np.unique(np.linspace(0, len(vectors) - 1, _MOST).astype(np.int64))
    chosen = torch.from_numpy(vectors[some]).double()
    wide, rank = float(spread(chosen)), effective_rank(chosen)
    if wide < POINT:
        return [
            f"The vectors lie nearly on one point: two of them are {wide:.1g} of their length apart "
            f"(warned of below {POINT:g}). Neighbours are then decided by rounding. {_CAUSES}"
        ]
    if vectors.shape[1] > 1 and rank < LINE:
        return [
            f"The vectors lie on one line (effective rank {rank:.2f}, warned of below {LINE:g}): all that "
            "tells sounds apart is one number. Of two labels that are fully apart this is right; of more the "
            "training has collapsed."
        ]
    return []


def _unlike(rows: Ints, heard: Heard) -> tuple[int, int] | None:
    """Two rows whose sounds are heard and differ; None where those looked at do not."""
    some = rows[np.unique(np.linspace(0, len(rows) - 1, _LOOKED).astype(np.int64))]
    sounds = [(int(row), sound) for row in some if (sound := heard(int(row))) is not None]
    audible = [(row, sound) for row, sound in sounds if float(np.abs(sound).max(initial=0.0)) >= SILENT]
    for row, sound in audible[1:]:
        if not _are_alike(audible[0][1], sound):
            return audible[0][0], row
    return None


def _are_alike(one: Numbers, other: Numbers) -> bool:
    """Whether two sounds are the same but for level, polarity and zeros at the end, which the network hears
    alike or may."""
    length = max(one.shape[-1], other.shape[-1])
    a, b = (_filled(each, length).astype(np.float64).ravel() for each in (one, other))
    if a.shape != b.shape:
        return False
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return norms > 0 and abs(float(a @ b)) >= ALIKE * norms


def _filled(sound: Numbers, length: int) -> Floats:
    return np.pad(sound, [(0, 0)] * (sound.ndim - 1) + [(0, length - sound.shape[-1])])
