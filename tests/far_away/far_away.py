"""One kind for every family, and metrics, each by the family's base class alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from nearfield.core.types import BatchIndices, ClipMetadata, Distance, Ints, Pairs
from nearfield.data.layouts.base import BaseLayout
from nearfield.data.listing import Listing
from nearfield.learning.losses.base import Given, PairLoss, fit
from nearfield.learning.losses.settings import BaseLossSettings, Margin
from nearfield.learning.miners.base import BaseMinerSettings, Miner
from nearfield.learning.optimizers import BaseOptimizerSettings, BaseScheduleSettings, Named
from nearfield.learning.relations.base import BaseRelationSettings
from nearfield.learning.samplers.base import BaseSamplerSettings
from nearfield.metrics.registry import Metric, MetricFamily, MetricPlugin
from nearfield.metrics.result import Case, Findings
from nearfield.models.augmentations.augmentation import Augmentation, BaseAugmentationSettings
from nearfield.models.backbones.backbone import BaseBackboneSettings
from nearfield.models.features.feature import BaseFeatureSettings, Feature
from nearfield.models.normalization import BaseNormalizationSettings


class FarFolder(BaseLayout):
    """Sounds named LABEL_NUMBER.wav."""

    kind: Literal["far_folder"] = "far_folder"

    def read(self, path: Path) -> Listing:
        files = sorted(path.glob("*_*.wav"))
        rows = [{"path": file.name, "label": file.name.split("_")[0]} for file in files]
        return Listing(pd.DataFrame(rows, dtype=object), path, (None,) * len(files), path.name)


class FarEnergy(BaseFeatureSettings):
    """Logarithm of the energy of frames, in one band."""

    kind: Literal["far_energy"] = "far_energy"
    frame: int = 40
    """Samples of a frame."""

    def build(self, sample_rate: int, channels: int) -> "Energy":
        return Energy(channels, self.frame)


class Energy(Feature):
    bands, cuttable = 1, True

    def __init__(self, channels: int, frame: int) -> None:
        super().__init__()
        self.channels, self.hop = channels, frame

    def frames(self, samples: int) -> int:
        return samples // self.hop

    def samples(self, frames: int) -> int:
        return frames * self.hop

    def forward(self, waves: Tensor) -> Tensor:
        frames = waves[..., : self.samples(self.frames(waves.shape[-1]))].unflatten(-1, (-1, self.hop))
        energy: Tensor = frames.square().mean(-1)
        return (energy + 1e-6).log().unsqueeze(2)


class FarHalf(BaseNormalizationSettings):
    """Half of every number."""

    kind: Literal["far_half"] = "far_half"

    def build(self, channels: int, bands: int) -> nn.Module:
        return Half()


class Half(nn.Module):
    def forward(self, spectrogram: Tensor) -> Tensor:
        return spectrogram / 2


class FarQuiet(BaseAugmentationSettings):
    """Waves at half their level."""

    kind: Literal["far_quiet"] = "far_quiet"

    def build(self, sample_rate: int, hop: int) -> "Quiet":
        return Quiet(self.probability)


class Quiet(Augmentation):
    domain = "wave"

    def _draw(self, shape: torch.Size, generator: torch.Generator) -> dict[str, Tensor]:
        return {}

    def _apply(self, signal: Tensor, drawn: dict[str, Tensor]) -> Tensor:
        return signal / 2


class FarLinear(BaseBackboneSettings):
    """One linear layer."""

    kind: Literal["far_linear"] = "far_linear"

    def build(self, channels: int, bands: int, frames: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(channels * bands * frames, 8))


class FarLabels(BaseRelationSettings):
    """Same label: positive."""

    kind: Literal["far_labels"] = "far_labels"

    gives: ClassVar[frozenset[Literal["labels", "tags"]]] = frozenset({"labels"})
    validate_by: ClassVar[Literal["labels", "tags", "triplets"]] = "labels"

    def build(self, metadata: ClipMetadata, rows: Ints | None = None) -> "SameLabel":
        return SameLabel(metadata.labels)


@dataclass(frozen=True)
class SameLabel:
    labels: Ints
    kind: ClassVar[str] = "far_labels"

    def __call__(self, indices: BatchIndices) -> Pairs:
        return Pairs.from_labels(self.labels[indices.rows])


class FarShuffle(BaseSamplerSettings):
    """All clips in random order, in batches of 8."""

    kind: Literal["far_shuffle"] = "far_shuffle"

    def windows(self) -> int:
        return 8

    def build(self, metadata: ClipMetadata, rows: Ints, clip_seconds: float, seed: int) -> "Order":
        return Order(rows, seed)


@dataclass(frozen=True)
class Order:
    rows: Ints
    seed: int
    batch_size: int = 8
    dropped: tuple[str, ...] = ()
    is_short: bool = False

    @property
    def clips_per_epoch(self) -> int:
        return len(self.rows) // 8 * 8

    def epoch(self, number: int) -> Iterator[BatchIndices]:
        order = np.random.default_rng((self.seed, number)).permutation(self.rows)
        for first in range(0, self.clips_per_epoch, 8):
            yield BatchIndices(order[first : first + 8], np.zeros(8))

    def describe(self) -> str:
        return "Batches of 8 clips."


class FarAll(BaseMinerSettings):
    """Keeps everything."""

    kind: Literal["far_all"] = "far_all"

    def build(self, distance: Distance = "euclidean", margin: float = 0.2) -> Miner:
        return Everything()


class Everything(Miner):
    def mine(
        self,
        vectors: Tensor,
        pairs: Pairs,
        generator: torch.Generator | None = None,
        ref_vectors: Tensor | None = None,
    ) -> Pairs:
        return pairs


class FarAway(BaseLossSettings):
    """Negatives beyond a margin, positives together."""

    kind: Literal["far_away"] = "far_away"
    margin: float = 0.5
    """Least squared distance of negatives."""

    distance: ClassVar[Distance | None] = "squared_euclidean"

    def margins(self) -> tuple[Margin, ...]:
        return (Margin("margin", self.margin, "apart", "squared_euclidean"),)

    def build(self, size: int = 0, classes: int = 0) -> PairLoss:
        return FarAwayLoss(self.margin)


class FarAwayLoss(PairLoss):
    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward_with_metrics(
        self, vectors: Tensor, pairs: Given, ref_vectors: Any = None, ref_labels: Any = None
    ) -> tuple[Tensor, dict[str, Any]]:
        fitting = fit(vectors, pairs)
        distances = (vectors[:, None] - vectors[None]).square().sum(2)
        near = distances[fitting.positive].sum()
        far = (self.margin - distances[fitting.negative]).clamp_min(0).sum()
        return (near + far) / len(vectors), {}


class FarDescent(BaseOptimizerSettings):
    """Gradient descent without momentum."""

    kind: Literal["far_descent"] = "far_descent"
    lr: float = 0.01
    """Learning rate."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        return torch.optim.SGD([each for _, each in parameters if each.requires_grad], lr=self.lr)


class FarFall(BaseScheduleSettings):
    """A straight fall to zero."""

    kind: Literal["far_fall"] = "far_fall"

    spans_training: ClassVar[bool] = True

    def rate(self, update: int, updates: int) -> float:
        return 1 - update / updates


def _ranks(case: Case, found: Findings) -> None:
    """Mean reciprocal rank of the nearest train clip with the label of each clip."""
    here, train = case.here, case.train
    far = ((here.vectors[:, None] - train.vectors[None]) ** 2).sum(2)
    ordered = train.metadata.labels[np.argsort(far, axis=1)]
    first = (ordered == here.metadata.labels[:, None]).argmax(axis=1)
    found.means("ranks", {"reciprocal": 1 / (1.0 + first)}, np.arange(len(here)))
    found.metrics["ranks/median"] = float(np.median(1 + first))


RANKS = MetricPlugin(
    MetricFamily("ranks", "Ranks in train.", ("labels", "train"), "of ranks"),
    (
        Metric("reciprocal", ("ranks",), words="reciprocal rank",
               about="Mean reciprocal rank of the first clip of the label."),
        Metric("median", ("ranks",), "lower", (1.0, np.inf), refused="it is a rank",
               about="Median rank of the first clip of the label."),
    ),
    _ranks,
)  # fmt: skip


def _fails(case: Case, found: Findings) -> None:
    raise ZeroDivisionError("nothing to divide")


_ROW = Metric("share", ("errors",), about="A share.")
ERRORS = MetricPlugin(MetricFamily("errors", "Fails."), (_ROW,), _fails)
PROBE = replace(ERRORS, family=MetricFamily("probe", "Ours."), metrics=(replace(_ROW, families=("probe",)),))
WRONG = replace(ERRORS, family=MetricFamily("false", "Another name."))
LOWER = replace(
    ERRORS,
    family=MetricFamily("lower", "Errors."),
    metrics=(Metric("error", ("lower",), "lower", about="An error."),),
)
