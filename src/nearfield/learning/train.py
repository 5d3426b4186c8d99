"""The training loop, and the exponential moving average of weights."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.core.rng import reseed, torch_stream
from nearfield.core.settings import Settings
from nearfield.core.types import Batch, BatchIndices, Pairs
from nearfield.learning.collapse import effective_rank, spread
from nearfield.learning.distributed import gather, share, sum_gradients, world
from nearfield.learning.optimizers import set_rate

# Exponential moving average of weights (Polyak & Juditsky 1992), often better than the last weights.
#
# The decay is smaller at first, so that the initial weights have little influence.


class RunningAverage:
    """Exponential moving average of the floating-point state of a module; integers are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.seen = decay, 0
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def see(self, module: nn.Module) -> None:
        """Updates the average with the current state of the module."""
        self.seen += 1
        weight = 1 - min(self.decay, self.seen / (self.seen + 9))
        for name, tensor in module.state_dict().items():
            kept = self.state[name]
            if kept.dtype.is_floating_point:
                kept.lerp_(tensor, weight)
            else:
                kept.copy_(tensor)

    def restore(self, state: dict[str, Tensor], seen: int) -> None:
        """Restores the average from a checkpoint."""
        for name, tensor in state.items():
            self.state[name].copy_(tensor)
        self.seen = seen


# The training loop: it yields the metrics of each update and uses no files.


class TrainSettings(Settings):
    """Length of training, precision, validation and checkpoints."""

    updates: int = Field(2000, ge=1)
    """Number of optimizer steps; 1 or more."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Precision of the network; auto uses bf16 if it is faster on the device. Losses are always fp32."""
    augmented_copies: int = Field(0, ge=0, le=100)
    """Number of augmented copies of each training clip, as additional clips; 2 triples the set. The
    augmentation of a copy is drawn once and applied to each window of it; the clip itself is not augmented.
    0: each window is augmented at random."""
    clip_gradient: float | None = Field(None, gt=0)
    """Largest norm of the gradient of all parameters; larger gradients are scaled down to it. none: no
    limit."""
    average: float | None = Field(None, gt=0, lt=1)
    """Decay per update of an exponential moving average of the weights, which the run then ends with; none:
    the
    run ends with the weights themselves."""
    validate_every: int = Field(0, ge=0)
    """Number of updates between two validations on the val split; 0: no validation."""
    validate_by: Literal["relation", "labels", "tags", "triplets", "loss"] = "relation"
    """Validation score for `keep: best` and the plateau schedule. labels: recall@1 of val clips among train
    clips; tags: tag overlap with the nearest train clip; triplets: fraction of triplets of fixed val batches
    whose positive is nearer than the negative; loss: the loss of these batches; relation: the score that fits
    the relation (triplets for time and views)."""
    keep: Literal["last", "best"] = "last"
    """Which weights the run ends with: the last, or those of the best validation."""
    threads: int = Field(1, ge=0, le=256)
    """Number of threads that prepare batches; 0: the training thread. The batches do not depend on it."""
    prefetch: int = Field(4, ge=1, le=4096)
    """Number of batches prepared ahead; 1 or more."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """Seconds between two checkpoints, from which an interrupted run can be resumed; 0 or more."""
    checkpoints: int = Field(1, ge=1, le=100)
    """Number of checkpoints kept; if the last cannot be read, the run resumes from the one before it."""
    figures: bool = False
    """Whether each validation draws, for TensorBoard, the map of the val clips and the distances between the
    centroids of their labels."""
    profile: int = Field(0, ge=0, le=1000)
    """Number of updates to profile, after the first ten; the time of each operation is written to profile.txt
    and
    profile.json in the folder of the run. 0: none."""


@dataclass(frozen=True)
class Step:
    """One update: its number, from 1, and metrics by name, `train/...`."""

    number: int
    measured: dict[str, float]


class MinerLike(Protocol):
    """The call of a miner that the loop uses."""

    def __call__(self, vectors: Tensor, pairs: Pairs, *, generator: torch.Generator) -> Pairs:
        """Selects pairs of (B, D) vectors; `generator` is used for random choices."""
        ...


class Loss(Protocol):
    """The method of a loss that the loop uses."""

    def forward_with_metrics(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, dict[str, Tensor]]:
        """Returns the scalar loss of (B, D) vectors, and metrics as detached scalars."""
        ...


@dataclass
class TrainState:
    """The parts of a training, built and on their device."""

    encode: Callable[[Batch, int], Tensor]
    """(batch, update) -> (b, D): augments and embeds the share of this process."""
    relation: Callable[[BatchIndices], Pairs]
    miner: MinerLike
    loss: Loss
    penalty: Callable[[], Tensor] | None
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    """update -> factor of the learning rate."""


def train(
    parts: TrainState,
    batches: Iterable[tuple[BatchIndices, Batch]],
    settings: TrainSettings,
    seed: int,
    first: int = 0,
) -> Iterator[Step]:
    """Runs the updates `first` + 1 to `settings.updates`, one per batch, and yields a `Step` after each.

    Parameters
    ----------
    parts
        Network, relation, miner, loss and optimizer.
    batches
        For each update from `first` on: the indices of the whole batch, and the share of this process.
    settings
        Number of updates and limit of the gradient.
    seed
        Seed of dropout and miner.
    first
        Number of updates done before, when a run is resumed.
    """
    for update, (indices, batch) in zip(range(first, settings.updates), batches, strict=False):
        set_rate(parts.optimizer, parts.rate(update))
        reseed(
            seed, "step", update, world()[0]
        )  # named streams, so that a resumed run draws the same dropout
        mine = parts.encode(batch, update)
        vectors = gather(mine, len(indices))
        pairs = (indices.pairs or parts.relation(indices)).to(vectors.device)
        pairs = parts.miner(vectors.detach(), pairs, generator=torch_stream(seed, "miner", update))
        value, measured = parts.loss.forward_with_metrics(vectors, pairs)
        parts.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if (
            vectors.grad is not None and mine.requires_grad
        ):  # False if only the weights of the loss are trained
            mine.backward(vectors.grad[share(len(indices))])  # type: ignore[no-untyped-call]
        sum_gradients(parts.model.parameters())
        if parts.penalty is not None:
            penalty = parts.penalty()
            if penalty.requires_grad:  # False if the backbone has no weights to penalize
                penalty.backward()  # type: ignore[no-untyped-call]
                measured["penalty"] = penalty.detach()
        norm = _clip(parts.optimizer, settings.clip_gradient)
        parts.optimizer.step()
        yield Step(update + 1, _numbers(update + 1, value, norm, vectors.detach(), measured, parts))


def _clip(optimizer: torch.optim.Optimizer, largest: float | None) -> Tensor:
    """Returns the norm of the gradient of all weights, with those of the loss; limits it to `largest`."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    weights = [weight for weight in weights if weight.grad is not None]
    norm = nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    if largest is not None:
        nn.utils.clip_grads_with_norm_(weights, largest, norm)
    return norm


def _numbers(
    number: int, value: Tensor, norm: Tensor, vectors: Tensor, measured: dict[str, Tensor], parts: TrainState
) -> dict[str, float]:
    scalars = {
        "loss_pairs": value.detach(),
        "loss_penalty": measured.pop("penalty", value.new_zeros(())),
        "gradient_norm": norm,
        "vector_norm": vectors.norm(dim=1).mean(),
        "spread": spread(vectors),
        **measured,
    }
    found = torch.stack(
        [scalar.float() for scalar in scalars.values()]
    ).tolist()  # synchronizes with the device once
    numbers = {f"train/{name}": number for name, number in zip(scalars, found, strict=True)}
    numbers["train/loss"] = numbers["train/loss_pairs"] + numbers["train/loss_penalty"]
    numbers["train/learning_rate"] = parts.optimizer.param_groups[0]["lr"]
    if number == 1 or number % 25 == 0:  # the singular value decomposition is too slow for every step
        numbers["train/effective_rank"] = effective_rank(vectors)
    return numbers
