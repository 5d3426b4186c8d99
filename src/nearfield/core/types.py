"""Types shared by the packages: `ClipMetadata`, `BatchIndices`, `Batch`, `Pairs`.

Conventions: B items in a batch, N clips in a collection, K tags, C channels, T samples (or frames).
Row numbers count the rows of the collection's table. Times are seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from nearfield.core.errors import RequestError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Vectors = npt.NDArray[np.float32]

Distance = Literal["squared_euclidean", "euclidean", "cosine"]
"""`cosine` is 1 - cos, so that smaller is nearer, as for the others."""


@dataclass(frozen=True)
class ClipMetadata:
    """Labels, tags, groups and times of N clips as arrays, the input of training and evaluation.

    `labels`, `recordings` and `groups` are class numbers; -1 means unknown. Clips of one group (speaker,
    source, note) always belong to one split; if no group is known, it equals the recording.
    """

    labels: Ints
    label_names: tuple[str, ...]
    tags: Bools
    """(N, K); K is 0 where there are no tags."""
    tag_names: tuple[str, ...]
    recordings: Ints
    groups: Ints
    start_times: Floats
    """Start of the clip on the clock of its recording, in seconds."""
    seconds: Floats
    """Length of the clip; 0 for images."""
    columns: Mapping[str, Ints] = field(default_factory=dict)
    """Further columns of the collection (session, node, artist) by name, as class numbers; -1 where empty."""
    predictions: Floats | None = None
    """(N, K) predictions of an earlier tagger in 0..1; rows of NaN where there are none."""

    @classmethod
    def of(
        cls,
        labels: Tensor | npt.ArrayLike | None = None,
        *,
        tags: Tensor | npt.ArrayLike | None = None,
        recordings: Tensor | npt.ArrayLike | None = None,
        groups: Tensor | npt.ArrayLike | None = None,
        start_times: Tensor | npt.ArrayLike | None = None,
        seconds: Tensor | npt.ArrayLike = 0.0,
        label_names: Sequence[str] = (),
        tag_names: Sequence[str] = (),
        columns: Mapping[str, Tensor | npt.ArrayLike] | None = None,
    ) -> Self:
        """Creates the metadata of N clips from arrays; what is left out is unknown.

        Parameters
        ----------
        labels, recordings, groups
            (N,) class numbers; below 0 or NaN: unknown. `groups` default to `recordings`.
        tags
            (N, K) booleans, or 0 and 1.
        start_times
            (N,) start of each clip on the clock of its recording, in seconds.
        seconds
            Length of the clips in seconds, (N,) or one number for all; 0 for images.
        label_names, tag_names
            Names of the labels and of the K tags; without them, their numbers stand for them in messages.
        columns
            (N,) class numbers of further columns by name, such as session or node.

        Raises
        ------
        RequestError
            If no array is given, or arrays have different lengths or wrong shapes.

        Examples
        --------
        >>> clips = ClipMetadata.of(labels=[0, 0, 1], recordings=[4, 4, 5], start_times=[0, 2, 0], seconds=2)
        >>> len(clips)
        3
        """
        numbers = {"labels": labels, "recordings": recordings, "groups": groups, **(columns or {})}
        found = {
            name: _class_numbers(given).cpu().numpy() for name, given in numbers.items() if given is not None
        }
        arrays = {**found}
        if tags is not None:
            arrays["tags"] = _tags(tags)
        if start_times is not None:
            arrays["start_times"] = _floats(start_times)
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            given = ", ".join(f"{name}: {length}" for name, length in lengths.items()) or "none"
            raise RequestError(
                f"Metadata are arrays with one entry per clip. Lengths given: {given}. "
                "Give labels, tags or recordings of the same clips."
            )
        count = next(iter(lengths.values()))
        unknown = np.full(count, -1)
        has = arrays.get("tags", np.zeros((count, 0), np.bool_))
        if tag_names and len(tag_names) != has.shape[1]:
            raise RequestError(
                f"tag_names: one name per tag. Given: {len(tag_names)} names for {has.shape[1]} tags."
            )
        return cls(
            labels=arrays.get("labels", unknown),
            label_names=tuple(label_names),
            tags=has,
            tag_names=tuple(tag_names) or tuple(map(str, range(has.shape[1]))),
            recordings=arrays.get("recordings", unknown),
            groups=arrays.get("groups", arrays.get("recordings", unknown)),
            start_times=arrays.get("start_times", np.zeros(count)),
            seconds=np.broadcast_to(_floats(seconds), count).copy(),
            columns={name: found[name] for name in columns or {}},
        )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sources(self) -> Ints:
        """(N,) group of each clip, or its recording, with distinct numbers; -1 if both are unknown."""
        # Odd numbers for recordings and even ones for groups are consistent between subsets of a table.
        by_recording = np.where(self.recordings >= 0, 2 * self.recordings + 1, -1)
        return np.asarray(np.where(self.groups >= 0, 2 * self.groups, by_recording))

    def label_name(self, number: int) -> str:
        """Name of a label; its number if it has no name."""
        return self.label_names[number] if number < len(self.label_names) else str(number)

    def take(self, rows: Ints) -> "ClipMetadata":
        """Returns the metadata of some rows, in the given order; class numbers do not change."""
        return replace(
            self,
            labels=self.labels[rows],
            tags=self.tags[rows],
            recordings=self.recordings[rows],
            groups=self.groups[rows],
            start_times=self.start_times[rows],
            seconds=self.seconds[rows],
            columns={name: numbers[rows] for name, numbers in self.columns.items()},
            predictions=None if self.predictions is None else self.predictions[rows],
        )


@dataclass(frozen=True)
class TripletRange:
    """Keeps only triplets with `low < d(a, n) - d(a, p) <= high`; None means no bound on that side."""

    low: float | None
    high: float | None
    distance: Distance


@dataclass(frozen=True)
class Pairs:
    """Positives and negatives of each item of a batch, within the batch or among references.

    Relations set the masks, miners clear cells (and may restrict triplets by `triplet_range`), losses use
    them. Rows are anchors; columns are the same items, or R references (a memory of earlier batches, a
    gallery). A cell set in neither mask is ignored. Without references the diagonal is never set.
    """

    positive: Tensor
    """(B, B) or (B, R) bool."""
    negative: Tensor
    """(B, B) or (B, R) bool."""
    weight: Tensor | None = None
    """(B, B) or (B, R) weight of each positive pair in 0..1; None means 1."""
    triplet_range: TripletRange | None = None
    labels: Tensor | None = field(default=None)
    """(B,) class numbers if each item has exactly one; needed by proxy losses."""
    tags: Tensor | None = None
    """(B, K) float, 1 if the item has the tag; needed by tagging losses. Rows of NaN are ignored."""

    @classmethod
    def from_labels(
        cls, labels: Tensor | npt.ArrayLike, ref_labels: Tensor | npt.ArrayLike | None = None
    ) -> Self:
        """Creates pairs from labels: the same label is positive, another label is negative.

        Parameters
        ----------
        labels
            (B,) class numbers of the batch. Items with labels below 0 or NaN are unknown and ignored.
        ref_labels
            (R,) class numbers of references to compare each item with; an item that is also a reference is
            not recognized. None: the batch is compared with itself.

        Raises
        ------
        RequestError
            If labels are not whole numbers of one dimension.
        """
        given = _class_numbers(labels)
        others = given if ref_labels is None else _class_numbers(ref_labels).to(given.device)
        both = (given >= 0)[:, None] & (others >= 0)[None, :]
        same = given[:, None] == others[None, :]
        positive = same & both
        if ref_labels is None:
            positive.fill_diagonal_(False)
        return cls(positive, ~same & both, labels=given if bool((given >= 0).all()) else None)

    @classmethod
    def from_triplets(
        cls,
        anchors: Tensor,
        positives: Tensor,
        negatives: Tensor,
        size: int,
        ref_size: int | None = None,
    ) -> Self:
        """Creates pairs from triplets: cell (a, p) is positive and (a, n) negative for each triplet.

        An anchor in several triplets combines all their positives with all their negatives.

        Parameters
        ----------
        anchors, positives, negatives
            (T,) positions in the batch; with `ref_size` the last two are positions in the references.
        size
            B, the number of items in the batch.
        ref_size
            R, the number of references; None: the batch is compared with itself.
        """
        shape = (size, size if ref_size is None else ref_size)
        positive = torch.zeros(shape, dtype=torch.bool)
        negative = torch.zeros(shape, dtype=torch.bool)
        positive[anchors, positives] = True
        negative[anchors, negatives] = True
        return cls(positive, negative)

    def __len__(self) -> int:
        return self.positive.shape[0]

    def to(self, device: torch.device | str) -> Self:
        """Copies the pairs to another device."""
        return replace(
            self,
            positive=self.positive.to(device),
            negative=self.negative.to(device),
            weight=None if self.weight is None else self.weight.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            tags=None if self.tags is None else self.tags.to(device),
        )

    def keep(self, positive: Tensor, negative: Tensor) -> Self:
        """Keeps only cells that are also set in the given masks; miners use this."""
        return replace(self, positive=self.positive & positive, negative=self.negative & negative)


def _class_numbers(labels: Tensor | npt.ArrayLike) -> Tensor:
    """Converts labels to (B,) int64 on their device; NaN becomes -1. Raises RequestError for other types."""
    if isinstance(labels, Tensor):
        given = labels.detach()
    else:
        array = np.asarray(labels)
        if array.dtype.kind not in "biuf":
            raise RequestError(
                f"Labels are class numbers, one per item. Given: {array.dtype}. Number the names of the "
                "whole data set once, not per batch: numbers = np.unique(names, return_inverse=True)[1]."
            )
        given = torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
    if given.ndim != 1:
        hint = " Take its one column: labels[:, 0]." if given.shape[1:] == (1,) else ""
        raise RequestError(
            f"Labels are class numbers, one per item: shape (items,). Given: {tuple(given.shape)}.{hint}"
        )
    if given.dtype.is_floating_point:
        given = torch.where(given.isnan(), -1, given)
        if bool((given != given.round()).any()):
            raise RequestError("Labels are class numbers, one per item. Given: fractions. Round them.")
    return given.to(torch.int64)


def _floats(values: Tensor | npt.ArrayLike) -> Floats:
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)


def _tags(tags: Tensor | npt.ArrayLike) -> Bools:
    """Converts tags to (N, K) bool. Raises RequestError for other shapes and values."""
    given = np.asarray(tags.detach().cpu() if isinstance(tags, Tensor) else tags)
    if given.ndim != 2 or given.dtype.kind not in "biuf" or not np.isin(given, (0, 1)).all():
        raise RequestError(
            "Tags are 0 or 1, one row per item: shape (items, tags). "
            f"Given: {given.dtype} of shape {given.shape}."
        )
    return given.astype(np.bool_)


@dataclass(frozen=True)
class MixPartner:
    """Windows to mix with those of a batch; a mixture has the tags of both clips."""

    rows: Ints
    """(B,) row of the other clip; -1: the window is not mixed."""
    starts: Floats
    """(B,) start of the window in the other clip, in seconds."""
    decibels: Floats
    """(B,) power of the batch's window relative to the other, in decibels."""

    def take(self, part: slice) -> "MixPartner":
        """Returns the partners of some items of the batch."""
        return MixPartner(self.rows[part], self.starts[part], self.decibels[part])


@dataclass(frozen=True)
class BatchIndices:
    """One batch of a sampler: clips, windows in the clips, and optionally pairs."""

    rows: Ints
    """(B,) rows of the clips."""
    starts: Floats
    """(B,) start of the window in the clip, in seconds."""
    pairs: Pairs | None = None
    """Pairs chosen by the sampler (triplet samplers); None if the relation determines them."""
    partner: MixPartner | None = None
    """Windows to mix with those of the batch; only relations by tags support mixtures."""
    copies: Ints | None = None
    """(B,) number of the augmented copy that each window is cut from, where 0 is the clip itself; None if
    clips are augmented at each use."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Batch:
    """One batch of network input."""

    signal: Tensor
    """Waves (B, C, T), cached spectrograms (B, C, bands, frames), or images (B, C, H, W); float32."""
    indices: BatchIndices
