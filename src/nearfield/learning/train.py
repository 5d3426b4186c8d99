"""The training loop, and the running average of weights."""

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

# A running average of weights, which often ends nearer the middle of a valley than the last step does.
#
# Polyak & Juditsky 1992; exponential, with a short memory at first so that early weights do not linger.


class RunningAverage:
    """Averages every floating-point entry of a module's state; whole numbers are copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay, self.seen = decay, 0
        self.state = {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}

    @torch.no_grad()
    def see(self, module: nn.Module) -> None:
        """Takes in the module's present state."""
        self.seen += 1
        weight = 1 - min(self.decay, self.seen / (self.seen + 9))
        for name, tensor in module.state_dict().items():
            kept = self.state[name]
            if kept.dtype.is_floating_point:
                kept.lerp_(tensor, weight)
            else:
                kept.copy_(tensor)

    def restore(self, state: dict[str, Tensor], seen: int) -> None:
        """From a checkpoint."""
        for name, tensor in state.items():
            self.state[name].copy_(tensor)
        self.seen = seen


# The loop: draw, encode, pair, pull, step. It yields what each step measured and knows nothing of files.


class TrainSettings(Settings):
    """How long, in what arithmetic, and what is kept."""

    updates: int = Field(2000, ge=1)
    """Optimiser steps."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Arithmetic of the network; auto takes bf16 where the machine gains by it. Losses are always fp32."""
    augmented_copies: int = Field(0, ge=0, le=100)
    """Copies of each training clip that stand beside it as clips of their own; 2 makes a set three times as
    large. What is drawn for a copy is drawn once, and applied to whatever window is cut from it; the clip
    itself is not augmented. 0: clips are augmented anew each time."""
    clip_gradient: float | None = Field(None, gt=0)
    """Largest norm of the whole gradient; longer ones are scaled down to it."""
    average: float | None = Field(None, gt=0, lt=1)
    """Keep a running average of the weights with this decay a step, and end with it instead of the last."""
    validate_every: int = Field(0, ge=0)
    """Updates between two validations on the val split; 0 means none."""
    validate_by: Literal["relation", "labels", "tags", "triplets", "loss"] = "relation"
    """The score that `keep: best` and a plateau go by. labels: recall@1 from train; tags: overlap with the
    nearest train clip; triplets: share of triplets of fixed val batches in which the alike window is nearer;
    loss: the loss of those batches; relation: what the relation's kind names, triplets for time and views."""
    keep: Literal["last", "best"] = "last"
    """Which weights the run ends with: the last, or those of the best validation."""
    threads: int = Field(1, ge=0, le=256)
    """Threads that cut the windows of coming batches; 0: the training's own. Batches are the same for any."""
    prefetch: int = Field(4, ge=1, le=4096)
    """Batches that may be finished or under way beyond the one being learnt from."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """Seconds between two checkpoints to go on from after an interruption."""
    checkpoints: int = Field(1, ge=1, le=100)
    """Checkpoints kept; where the last cannot be read, the one before it serves."""
    figures: bool = False
    """Whether each validation draws the map of the val clips and the distances of their labels' centroids for
    TensorBoard."""
    profile: int = Field(0, ge=0, le=1000)
    """Updates, after the first ten, whose cost is written down operation by operation, as profile.txt and
    profile.json in the run's folder; 0: none."""


@dataclass(frozen=True)
class Step:
    """One update: its number from 1, and flat numbers under the names `train/...`."""

    number: int
    measured: dict[str, float]


class MinerLike(Protocol):
    """What the loop asks of a miner: the pairs that are left."""

    def __call__(self, vectors: Tensor, pairs: Pairs, *, generator: torch.Generator) -> Pairs:
        """`pairs` of (B, D) vectors, or fewer; what is drawn comes out of `generator`."""
        ...


class Loss(Protocol):
    """What the loop asks of a loss: the value, and by name what it measured on the way."""

    def forward_with_metrics(self, vectors: Tensor, pairs: Pairs) -> tuple[Tensor, dict[str, Tensor]]:
        """Scalar loss of (B, D) vectors, and detached scalars."""
        ...


@dataclass
class TrainState:
    """Everything that the loop turns, already built and on its device."""

    encode: Callable[[Batch, int], Tensor]
    """(batch, update) -> (b, D): augment, read, embed this process's share."""
    relation: Callable[[BatchIndices], Pairs]
    miner: MinerLike
    loss: Loss
    penalty: Callable[[], Tensor] | None
    model: nn.Module
    optimizer: torch.optim.Optimizer
    rate: Callable[[int], float]
    """update -> factor on the learning rate."""


def train(
    parts: TrainState,
    batches: Iterable[tuple[BatchIndices, Batch]],
    settings: TrainSettings,
    seed: int,
    first: int = 0,
) -> Iterator[Step]:
    """Runs updates `first` + 1 ... `settings.updates`, one a batch, and yields a `Step` after each.

    `batches` gives the whole draw and this process's share of it, from update `first` on.
    """
    for update, (indices, batch) in zip(range(first, settings.updates), batches, strict=False):
        set_rate(parts.optimizer, parts.rate(update))
        reseed(seed, "step", update, world()[0])  # dropout draws by name, so a run can be taken up again
        mine = parts.encode(batch, update)
        vectors = gather(mine, len(indices))
        pairs = (indices.pairs or parts.relation(indices)).to(vectors.device)
        pairs = parts.miner(vectors.detach(), pairs, generator=torch_stream(seed, "miner", update))
        value, measured = parts.loss.forward_with_metrics(vectors, pairs)
        parts.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        if vectors.grad is not None and mine.requires_grad:  # not where only the loss's own weights learn
            mine.backward(vectors.grad[share(len(indices))])  # type: ignore[no-untyped-call]
        sum_gradients(parts.model.parameters())
        if parts.penalty is not None:
            penalty = parts.penalty()
            if penalty.requires_grad:  # it counts nothing where a backbone has no weights of its sort
                penalty.backward()  # type: ignore[no-untyped-call]
                measured["penalty"] = penalty.detach()
        norm = _clip(parts.optimizer, settings.clip_gradient)
        parts.optimizer.step()
        yield Step(update + 1, _numbers(update + 1, value, norm, vectors.detach(), measured, parts))


def _clip(optimizer: torch.optim.Optimizer, largest: float | None) -> Tensor:
    """The norm of the whole gradient, also of a loss's own weights; scaled down where more than `largest`."""
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
    found = torch.stack([scalar.float() for scalar in scalars.values()]).tolist()  # one wait for the device
    numbers = {f"train/{name}": number for name, number in zip(scalars, found, strict=True)}
    numbers["train/loss"] = numbers["train/loss_pairs"] + numbers["train/loss_penalty"]
    numbers["train/learning_rate"] = parts.optimizer.param_groups[0]["lr"]
    if number == 1 or number % 25 == 0:  # a singular value decomposition: cheap, but not for every step
        numbers["train/effective_rank"] = effective_rank(vectors)
    return numbers
