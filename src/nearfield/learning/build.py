"""One part from its kind and settings: `loss("triplet", margin=0.2)(vectors, pairs)`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import BatchIndices, ClipMetadata, Ints, Pairs
from nearfield.learning.losses import LossSettings, PairLoss
from nearfield.learning.losses.margins import check_margin
from nearfield.learning.losses.settings import BaseLossSettings
from nearfield.learning.miners import Miner, MinerSettings
from nearfield.learning.miners.base import BaseMinerSettings
from nearfield.learning.optimizers import OptimizerSettings
from nearfield.learning.relations import RelationSettings
from nearfield.learning.relations.base import BaseRelationSettings
from nearfield.learning.samplers import Sampler, SamplerSettings


def loss(kind: str, *, size: int = 0, classes: int = 0, **settings: Any) -> PairLoss:
    """A loss over (vectors (B, D), `Pairs` or (B,) labels).

    One of Nearfield's by kind, or one of pytorch-metric-learning by class name. `size` (D) and `classes` are
    needed by losses that keep weights for each class. Raises RequestError for an unknown kind or setting, and
    for a margin over cosines that nothing can satisfy.
    """
    made = make(LossSettings, "loss", {"kind": kind, **settings})
    check_margin(made, normalized=False)
    built: PairLoss = made.build(size, classes)
    return built


def miner(kind: str, **settings: Any) -> Miner:
    """A miner over (vectors (B, D), `Pairs` or (B,) labels) that gives `Pairs`.

    What is not given is euclidean and, for a margin, 0.2. Raises RequestError for an unknown kind or setting.
    """
    built: Miner = make(MinerSettings, "miner", {"kind": kind, **settings}).build()
    return built


@dataclass(frozen=True)
class BatchRelation:
    """A relation that is called on what is known of the items of a batch, and gives their `Pairs`."""

    settings: BaseRelationSettings
    """Its kind and settings."""

    def __call__(
        self, items: ClipMetadata | Tensor | npt.ArrayLike, indices: BatchIndices | None = None
    ) -> Pairs:
        """Sets the positive and negative pairs of a batch.

        Parameters
        ----------
        items
            What the relation compares: for `labels` (B,) class numbers, for `tags` (B, K) booleans, for
            `views` (B,) the number of the clip that each item is a view of. Any relation takes
            `ClipMetadata`; `time` needs it.
        indices
            Windows of a sampler, cut from the clips of `items`; None: the items are the batch.

        Returns
        -------
        Pairs
            (B, B) masks, on the device of `items` if that is a tensor, else on the CPU.

        Raises
        ------
        RequestError
            If an array has a wrong shape, or the relation needs `ClipMetadata`.
        DataError
            If no item has what the relation compares.
        """
        if isinstance(items, ClipMetadata):
            metadata, windows = items, BatchIndices(np.arange(len(items)), np.zeros(len(items)))
        else:
            metadata, windows = self._of_array(items)
        pairs = self.settings.build(metadata)(windows if indices is None else indices)
        return pairs.to(items.device) if isinstance(items, Tensor) else pairs

    def _of_array(self, items: Tensor | npt.ArrayLike) -> tuple[ClipMetadata, BatchIndices]:
        """The clips that an array describes, and a batch with one window per entry."""
        if "tags" in self.settings.gives:
            metadata = ClipMetadata.of(tags=items)
        elif "labels" in self.settings.gives:
            metadata = ClipMetadata.of(labels=items)
        elif self.settings.of_views:
            clips = np.unique(ClipMetadata.of(labels=items).labels, return_inverse=True)[1]
            return ClipMetadata.of(labels=np.unique(clips)), BatchIndices(clips, np.zeros(len(clips)))
        else:
            raise RequestError(
                f"relation: {self.settings.kind}: an array does not say what it needs. Give ClipMetadata, "
                "for example ClipMetadata.of(recordings=..., start_times=..., seconds=...)."
            )
        return metadata, BatchIndices(np.arange(len(metadata)), np.zeros(len(metadata)))


def relation(kind: str, **settings: Any) -> BatchRelation:
    """A relation over labels, tags or metadata of a batch that gives `Pairs`.

    Parameters
    ----------
    kind
        "labels", "tags", "time", "views", or a kind of another package.
    **settings
        Its settings, as in a recipe.

    Returns
    -------
    BatchRelation
        To be called with labels (B,), tags (B, K), clip numbers (B,) or `ClipMetadata`.

    Raises
    ------
    RequestError
        For an unknown kind or setting, or a value out of range.

    Examples
    --------
    >>> from nearfield import ClipMetadata, relation
    >>> relation("labels")([0, 0, 1]).positive.int().tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    >>> relation("tags", at_least=2)([[1, 1, 0], [1, 1, 1], [0, 0, 1]]).positive.int().tolist()
    [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    >>> clips = ClipMetadata.of(recordings=[0, 0, 1], start_times=[0, 4, 0], seconds=2)
    >>> relation("time", range_seconds=5)(clips).negative.int().tolist()
    [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """
    return BatchRelation(make(RelationSettings, "relation", {"kind": kind, **settings}))


def sampler(
    kind: str,
    items: ClipMetadata | Tensor | npt.ArrayLike,
    *,
    rows: Ints | None = None,
    clip_seconds: float = 5.0,
    seed: int = 0,
    **settings: Any,
) -> Sampler:
    """A sampler of batches over N clips; `epoch(number)` gives the batches of an epoch.

    Parameters
    ----------
    kind
        "balanced", "balanced_tags", "shuffle", "tiles", "views", or a kind of another package.
    items
        (N,) class numbers, (N, K) tags as booleans, or `ClipMetadata`.
    rows
        Row numbers of the clips to draw from, such as those of train; None: all.
    clip_seconds
        Length of the windows that are cut from longer clips, in seconds.
    seed
        The same seed draws the same batches.
    **settings
        Its settings, as in a recipe.

    Returns
    -------
    Sampler
        Gives `BatchIndices`: `rows` (B,) of the clips, and `starts` (B,) of the windows in seconds.

    Raises
    ------
    RequestError
        For an unknown kind or setting, or a value out of range.
    DataError
        If the clips lack what it draws by.

    Examples
    --------
    >>> from nearfield import sampler
    >>> batches = sampler("balanced", [0, 0, 1, 1, 2, 2], classes=2, per_class=2)
    >>> [len(batch.rows) for batch in batches.epoch(0)]
    [4, 4]
    """
    made = make(SamplerSettings, "sampler", {"kind": kind, **settings})
    if isinstance(items, ClipMetadata):
        metadata = items
    else:
        metadata = ClipMetadata.of(tags=items) if np.ndim(items) == 2 else ClipMetadata.of(labels=items)
    drawn = np.arange(len(metadata)) if rows is None else np.asarray(rows, np.int64)
    built: Sampler = made.build(metadata, drawn, clip_seconds, seed)
    return built


def optimizer(kind: str, module: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    """An optimizer over the parameters of `module` that want gradients.

    Raises RequestError for an unknown kind or setting.
    """
    made = make(OptimizerSettings, "optimizer", {"kind": kind, **settings})
    built: torch.optim.Optimizer = made.build(list(module.named_parameters()))
    return built


def miner_beside(miner: BaseMinerSettings, loss: BaseLossSettings) -> Miner:
    """The miner of some settings, with the loss's distance and margin where they leave them open."""
    margin = loss.triplet_margin
    return miner.build(loss.distance or "euclidean", 0.2 if margin is None else margin)
