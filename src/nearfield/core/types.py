"""The nouns that travel between rooms: `ClipMetadata`, `BatchIndices`, `Batch`, `Pairs`.

Conventions: B items in a batch, N clips in a collection, K tags, C channels, T samples (or frames).
Row numbers count the rows of the collection's table. Times are seconds.
"""

from collections.abc import Mapping
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
"""`cosine` is 1 - cos, so that smaller is nearer, as with the other two."""


@dataclass(frozen=True)
class ClipMetadata:
    """What is known of each clip, as plain arrays of length N: all that learning and evaluation may ask.

    `labels`, `recordings` and `groups` are class numbers; -1 means not known. `groups` is the unit kept on
    one side of a split (speaker, source, note); where nothing better is known it equals `recordings`.
    """

    labels: Ints
    label_names: tuple[str, ...]
    tags: Bools
    """(N, K); K is 0 where there are no tags."""
    tag_names: tuple[str, ...]
    recordings: Ints
    groups: Ints
    start_times: Floats
    """When the clip begins on its recording's clock."""
    seconds: Floats
    """How long the clip is; 0 for pictures."""
    columns: Mapping[str, Ints] = field(default_factory=dict)
    """Further columns of the collection (session, node, artist) by name, as class numbers; -1 where empty."""
    predictions: Floats | None = None
    """(N, K) what an earlier tagger says of each tag, in 0..1; NaN rows where it was not asked."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sources(self) -> Ints:
        """(N,) the group of each clip, else its recording, numbered apart; -1 where neither is known."""
        # Recordings take the odd numbers and groups the even, so that two parts of one table agree on them.
        by_recording = np.where(self.recordings >= 0, 2 * self.recordings + 1, -1)
        return np.asarray(np.where(self.groups >= 0, 2 * self.groups, by_recording))

    def take(self, rows: Ints) -> "ClipMetadata":
        """The same facts for some rows, in the order given; names keep their numbers."""
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

    Relations fill the masks, miners clear cells (and may narrow triplets by `triplet_range`), losses read
    them. Rows are anchors; columns are the same items, or R references (a memory of earlier batches, a
    gallery). A cell set in neither mask takes no part. The diagonal of a batch by itself is never set.
    """

    positive: Tensor
    """(B, B) or (B, R) bool."""
    negative: Tensor
    """(B, B) or (B, R) bool."""
    weight: Tensor | None = None
    """(B, B) or (B, R) float in 0..1, how alike; None means 1 wherever `positive` is set."""
    triplet_range: TripletRange | None = None
    labels: Tensor | None = field(default=None)
    """(B,) class numbers, where each item has exactly one: what proxy losses need."""
    tags: Tensor | None = None
    """(B, K) float, 1 where the item has the tag: what tagging losses need. Rows of NaN take no part."""

    @classmethod
    def from_labels(
        cls, labels: Tensor | npt.ArrayLike, ref_labels: Tensor | npt.ArrayLike | None = None
    ) -> Self:
        """Same label: positive. Other label: negative. A label below 0 is unknown and takes no part.

        Parameters
        ----------
        labels
            (B,) class numbers of the batch; NaN is unknown, too.
        ref_labels
            (R,) class numbers of references. Every item is then compared with every reference; one that
            stands in both is not known to be itself. None: the batch is compared with itself.

        Raises
        ------
        RequestError
            For labels that are not whole numbers of one dimension.
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
        """Sets cell (a, p) alike and (a, n) unlike for each triplet of positions.

        Exact where each anchor stands in one triplet; else every positive of an anchor meets every negative.

        Parameters
        ----------
        anchors, positives, negatives
            (T,) positions in the batch; with `ref_size` the last two are positions in the references.
        size
            B, the number of items in the batch.
        ref_size
            R, the number of references; None: the batch by itself.
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
        """The same pairs on another device."""
        return replace(
            self,
            positive=self.positive.to(device),
            negative=self.negative.to(device),
            weight=None if self.weight is None else self.weight.to(device),
            labels=None if self.labels is None else self.labels.to(device),
            tags=None if self.tags is None else self.tags.to(device),
        )

    def keep(self, positive: Tensor, negative: Tensor) -> Self:
        """Only cells that are set here and in the masks: all that a miner may do to them."""
        return replace(self, positive=self.positive & positive, negative=self.negative & negative)


def _class_numbers(labels: Tensor | npt.ArrayLike) -> Tensor:
    """(B,) int64 on the device that they are on; NaN is unknown, -1. Raises RequestError for other things."""
    if isinstance(labels, Tensor):
        given = labels.detach()
    else:
        array = np.asarray(labels)
        if array.dtype.kind not in "biuf":
            raise RequestError(
                f"Labels are class numbers, one an item. Given: {array.dtype}. Number all names of the data "
                "set once, not those of each batch: numbers = np.unique(names, return_inverse=True)[1]."
            )
        given = torch.from_numpy(array.astype(np.float64 if array.dtype.kind == "f" else np.int64))
    if given.ndim != 1:
        hint = " Take its one column: labels[:, 0]." if given.shape[1:] == (1,) else ""
        raise RequestError(
            f"Labels are class numbers, one an item: shape (items,). Given: {tuple(given.shape)}.{hint}"
        )
    if given.dtype.is_floating_point:
        given = torch.where(given.isnan(), -1, given)
        if bool((given != given.round()).any()):
            raise RequestError("Labels are class numbers, one an item. Given: numbers that are not whole.")
    return given.to(torch.int64)


@dataclass(frozen=True)
class MixPartner:
    """Windows that sound together with those of a draw: what is heard then has the tags of both clips."""

    rows: Ints
    """(B,) the other clip's row; -1: none, the draw's own window is heard alone."""
    starts: Floats
    """(B,) seconds from the other clip's beginning."""
    decibels: Floats
    """(B,) power of the draw's own window over the other's."""

    def take(self, part: slice) -> "MixPartner":
        """The same for some items of the batch."""
        return MixPartner(self.rows[part], self.starts[part], self.decibels[part])


@dataclass(frozen=True)
class BatchIndices:
    """One batch as a sampler wants it: rows, the second inside each clip, who belongs together."""

    rows: Ints
    """(B,)"""
    starts: Floats
    """(B,) seconds from the clip's beginning at which the window starts."""
    pairs: Pairs | None = None
    """Set where the sampler itself decides who is alike (triplet samplers); else the relation does."""
    partner: MixPartner | None = None
    """Set where clips are heard together; only a relation by tags can say what such a mixture is."""
    copies: Ints | None = None
    """(B,) which augmented copy of its clip each window is cut from, 0 being the clip itself; None where
    clips are augmented anew each time."""

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Batch:
    """One batch as the network sees it."""

    signal: Tensor
    """Waves (B, C, T), kept feature pictures (B, C, bands, frames), or pictures (B, C, H, W); float32."""
    indices: BatchIndices
