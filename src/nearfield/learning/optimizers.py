"""Optimizers, learning rate schedules, and the penalty on large weights."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.core.settings import Family, Settings

# A penalty on large weights, added to the loss: strength times the sum of their squares.
#
# Coupled: its gradient goes through the optimiser's scaling like that of the loss. The decoupled way is the
# optimiser's own weight decay (Loshchilov and Hutter 2019); use one of the two.

Penalised = Literal["kernels", "convolutions", "convolutions_and_biases"]


class WeightPenaltySettings(Settings):
    """How much large weights cost."""

    strength: float = Field(0.0, ge=0.0)
    """Factor of the sum of squares, with no half before it; 0 is off."""
    of: Penalised = "kernels"
    """kernels: of convolutions, linear and recurrent layers; convolutions: theirs alone;
    convolutions_and_biases: their biases too. Never batch norm, whose scale undoes any penalty on it."""

    def build(self, module: nn.Module) -> "WeightPenalty":
        """The penalty on the weights that `module` has now and that are trained."""
        return WeightPenalty(penalised(module, self.of), self.strength)


class WeightPenalty:
    """Called without arguments, gives the scalar to add to the loss."""

    def __init__(self, weights: Sequence[Tensor], strength: float) -> None:
        self.weights = weights
        self.strength = strength

    def __call__(self) -> Tensor:
        return penalty(self.weights, self.strength)


def penalised(module: nn.Module, of: Penalised) -> list[Tensor]:
    """The trained weights that the penalty counts, each once; batch norm has only vectors, which stay out."""
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d)]
    found: list[Tensor]
    if of == "kernels":
        found = [weight for weight in module.parameters() if weight.ndim >= 2]
    else:
        found = [layer.weight for layer in convolutions]
    if of == "convolutions_and_biases":
        found += [layer.bias for layer in convolutions if layer.bias is not None]
    return [weight for weight in dict.fromkeys(found) if weight.requires_grad]


def penalty(weights: Sequence[Tensor], strength: float) -> Tensor:
    """`strength * sum(w^2)` over all weights, a float32 scalar; 0 for no weights."""
    squares = [weight.float().square().sum() for weight in weights]
    return strength * torch.stack(squares).sum() if squares else torch.zeros(())


# Optimisers and the schedules of their learning rate.
#
# Biases and the gains of norms take no part in decoupled decay: decaying them only moves the scale that the
# next layer undoes (Loshchilov & Hutter 2019 for the decoupling; the exemption is common practice).

Named = Iterable[tuple[str, nn.Parameter]]

Decay = Annotated[float, Field(ge=0, lt=1)]
"""Share of a running mean that a step leaves."""

_RATE = (
    "The learning rate is the size of a step, often the setting that matters most (Bengio 2012). Too "
    "small, and training is not over when the updates are; too large, and the loss leaps about or "
    "diverges, or with triplets all vectors fall into one place. The best rate changes with the batch, the "
    "optimiser and the loss, so a comparison at one fixed rate may favour one arm."
)


class BaseOptimizerSettings(Settings):
    """What the settings of every optimizer extend: a frozen class with `kind`, its settings, and `build`."""

    kind: str

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """An optimizer over the parameters that want gradients."""
        raise NotImplementedError


OPTIMIZERS = Family("optimizers", BaseOptimizerSettings)
"""All kinds of optimizers; the list is `OptimizerSettings`, below."""


class Adam(BaseOptimizerSettings):
    """Adam (Kingma & Ba 2015)."""

    kind: Literal["adam"] = "adam"
    lr: float = Field(1e-3, gt=0, le=1)
    """Learning rate at the top of the schedule."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running mean and of the running square of the gradient."""
    eps: float = Field(1e-8, gt=0)
    """Added to the root of the running square."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """An optimiser over the parameters that want gradients."""
        return torch.optim.Adam(
            _trainable(parameters), lr=self.lr, betas=self.betas, eps=self.eps, fused=True
        )


class AdamW(BaseOptimizerSettings):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, le=1)
    """Learning rate at the top of the schedule."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay of the running mean and of the running square of the gradient."""
    decay: float = Field(0.01, ge=0, le=1)
    """Share of each weight that a step at full rate takes away, times the learning rate."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """An optimiser over the parameters that want gradients; only matrices and kernels decay."""
        groups = _decaying(parameters, self.decay)
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, fused=True)


class SGD(BaseOptimizerSettings):
    """Stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013)."""

    kind: Literal["sgd"] = "sgd"
    lr: float = Field(1e-2, gt=0, le=10)
    """Learning rate at the top of the schedule."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the last step that is taken again; 0 is plain descent."""
    decay: float = Field(0.0, ge=0, le=1)
    """Coupled decay of matrices and kernels, added to their gradient."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """An optimiser over the parameters that want gradients."""
        groups = _decaying(parameters, self.decay)
        return torch.optim.SGD(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=True
        )


OptimizerSettings = Annotated[Adam | AdamW | SGD, OPTIMIZERS]
OPTIMIZERS.bind(OptimizerSettings)


class BaseScheduleSettings(Settings):
    """What the settings of every schedule extend: a frozen class with `kind`, its settings, and `rate`."""

    kind: str
    spans_training: ClassVar[bool] = False
    """Whether the rate depends on how many updates there are in all."""

    def rate(self, update: int, updates: int) -> float:
        """Factor on the learning rate for update 0, 1, ... of `updates`."""
        raise NotImplementedError

    def plateau(self) -> "PlateauState | None":
        """What follows the validations; None where nothing does."""
        return None


SCHEDULES = Family("schedules", BaseScheduleSettings)
"""All kinds of schedules; the list is `ScheduleSettings`, below."""


class Constant(BaseScheduleSettings):
    """The same rate throughout."""

    kind: Literal["constant"] = "constant"

    def rate(self, update: int, updates: int) -> float:
        """Factor on the learning rate for update 0, 1, ... of `updates`."""
        return 1.0


class Steps(BaseScheduleSettings):
    """Exponential staircase: the rate is multiplied by `factor` every `every` updates."""

    kind: Literal["step"] = "step"
    factor: float = Field(0.95, gt=0, le=1)
    """What the rate is multiplied by."""
    every: int = Field(7500, ge=1)
    """Updates between two drops."""

    def rate(self, update: int, updates: int) -> float:
        """Factor on the learning rate for update 0, 1, ... of `updates`."""
        return float(self.factor ** (update // self.every))


class Cosine(BaseScheduleSettings):
    """A linear rise, then half a cosine down to `floor` (Loshchilov & Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    warm_up: float = Field(0.05, ge=0, lt=1)
    """Share of all updates in which the rate rises from zero."""
    floor: float = Field(0.0, ge=0, le=1)
    """The factor that the rate comes down to; the last update stands one step of the curve above it."""

    spans_training: ClassVar[bool] = True

    def rate(self, update: int, updates: int) -> float:
        """Factor on the learning rate for update 0, 1, ... of `updates`."""
        rise = max(1, round(self.warm_up * updates)) if self.warm_up else 0
        if update < rise:
            return (update + 1) / rise
        done = (update - rise) / max(1, updates - rise)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Plateau(BaseScheduleSettings):
    """The rate drops when the validation score has not risen for `patience` validations, and training
    stops when the rate has fallen below `stop_below` of its start."""

    kind: Literal["plateau"] = "plateau"
    factor: float = Field(0.2, gt=0, lt=1)
    """What the rate is multiplied by."""
    patience: int = Field(5, ge=1)
    """Validations without a better score before a drop."""
    stop_below: float = Field(0.01, gt=0, lt=1)
    """Share of the first rate under which training stops."""

    def rate(self, update: int, updates: int) -> float:
        """1: the drops come from `PlateauState`."""
        return 1.0

    def plateau(self) -> "PlateauState":
        """A fresh one."""
        return PlateauState(self)


ScheduleSettings = Annotated[Constant | Steps | Cosine | Plateau, SCHEDULES]
SCHEDULES.bind(ScheduleSettings)


class PlateauState:
    """What a plateau schedule remembers: the best score, and how long ago it was."""

    def __init__(self, settings: Plateau) -> None:
        self.settings = settings
        self.best, self.waited, self.factor = -math.inf, 0, 1.0

    def see(self, score: float) -> bool:
        """Takes in a validation score (higher is better); False when training should stop."""
        if score > self.best:
            self.best, self.waited = score, 0
            return True
        self.waited += 1
        if self.waited >= self.settings.patience:
            self.waited, self.factor = 0, self.factor * self.settings.factor
        return not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether the rate has fallen so far that training stops."""
        return self.factor < self.settings.stop_below

    def state(self) -> dict[str, float]:
        """For a checkpoint."""
        return {"best": self.best, "waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, float]) -> None:
        """From a checkpoint."""
        self.best, self.waited, self.factor = state["best"], int(state["waited"]), state["factor"]


def set_rate(optimizer: torch.optim.Optimizer, factor: Callable[[], float] | float) -> None:
    """Sets every group's rate to its first rate times `factor`."""
    scale = factor() if callable(factor) else factor
    for group in optimizer.param_groups:
        first = group.setdefault("first_lr", group["lr"])
        group["lr"] = first * scale


def _trainable(parameters: Named) -> list[nn.Parameter]:
    return [parameter for _, parameter in parameters if parameter.requires_grad]


def _decaying(parameters: Named, decay: float) -> list[dict[str, object]]:
    kept = _trainable(parameters)
    return [
        {"params": [p for p in kept if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in kept if p.ndim <= 1], "weight_decay": 0.0},
    ]
