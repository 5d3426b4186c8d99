"""Optimizers, learning rate schedules, and the L2 penalty on weights."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.core.settings import Family, Settings

# L2 penalty added to the loss: strength times the sum of squared weights.
#
# It is coupled: the optimizer scales its gradient like that of the loss. The decoupled alternative is the
# weight decay of the optimizer (Loshchilov and Hutter 2019); use one of the two.

Penalized = Literal["kernels", "convolutions", "convolutions_and_biases"]


class WeightPenaltySettings(Settings):
    """L2 penalty on weights, added to the loss."""

    strength: float = Field(0.0, ge=0.0)
    """Factor of the sum of squared weights (without a factor 1/2); 0 or more, 0: no penalty."""
    of: Penalized = "kernels"
    """Which weights: kernels (of convolutions, linear and recurrent layers), convolutions (their kernels
    only), or convolutions_and_biases (their kernels and biases). Batch norm is never penalized, because its
    scale cancels the effect."""

    def build(self, module: nn.Module) -> "WeightPenalty":
        """Creates the penalty on the trainable weights of `module`."""
        return WeightPenalty(penalized(module, self.of), self.strength)


class WeightPenalty:
    """The penalty as a function without arguments; returns the scalar to add to the loss."""

    def __init__(self, weights: Sequence[Tensor], strength: float) -> None:
        self.weights = weights
        self.strength = strength

    def __call__(self) -> Tensor:
        return penalty(self.weights, self.strength)


def penalized(module: nn.Module, of: Penalized) -> list[Tensor]:
    """Returns the trainable weights to penalize, each once; those of batch norm are vectors and not
    included."""
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
    """Computes `strength * sum(w^2)` over all weights, a float32 scalar; 0 without weights."""
    squares = [weight.float().square().sum() for weight in weights]
    return strength * torch.stack(squares).sum() if squares else torch.zeros(())


# Optimizers and learning rate schedules.
#
# Weight decay does not apply to biases and to the scales of normalization layers: the next layer can undo it
# (Loshchilov & Hutter 2019 for decoupled decay; the exemption is common practice).

Named = Iterable[tuple[str, nn.Parameter]]

Decay = Annotated[float, Field(ge=0, lt=1)]
"""Decay rate of a running mean."""


class BaseOptimizerSettings(Settings):
    """Base of the settings of an optimizer: a frozen class with `kind`, its settings, and `build`."""

    kind: str

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """Creates an optimizer over the parameters that require gradients."""
        raise NotImplementedError


OPTIMIZERS = Family("optimizers", BaseOptimizerSettings)
"""All kinds of optimizers; their union is `OptimizerSettings`, below."""


class Adam(BaseOptimizerSettings):
    """Adam (Kingma & Ba 2015)."""

    kind: Literal["adam"] = "adam"
    lr: float = Field(1e-3, gt=0, le=1)
    """Learning rate before the factor of the schedule; above 0."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay rates of the running means of the gradient and of its square, each 0 to below 1."""
    eps: float = Field(1e-8, gt=0)
    """Added to the denominator, the root of the running mean square; above 0."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """Creates an optimizer over the parameters that require gradients."""
        return torch.optim.Adam(
            _trainable(parameters), lr=self.lr, betas=self.betas, eps=self.eps, fused=True
        )


class AdamW(BaseOptimizerSettings):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kind: Literal["adamw"] = "adamw"
    lr: float = Field(1e-3, gt=0, le=1)
    """Learning rate before the factor of the schedule; above 0."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Decay rates of the running means of the gradient and of its square, each 0 to below 1."""
    decay: float = Field(0.01, ge=0, le=1)
    """Weight decay: each step multiplies kernels by 1 - learning rate x decay; 0 to 1."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """Creates an optimizer over the parameters that require gradients; only matrices and kernels
        decay."""
        groups = _decaying(parameters, self.decay)
        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, fused=True)


class SGD(BaseOptimizerSettings):
    """Stochastic gradient descent with Nesterov momentum (Sutskever et al. 2013)."""

    kind: Literal["sgd"] = "sgd"
    lr: float = Field(1e-2, gt=0, le=10)
    """Learning rate before the factor of the schedule; above 0."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Nesterov momentum, 0 to below 1; 0: none."""
    decay: float = Field(0.0, ge=0, le=1)
    """Factor of the weights added to the gradient of matrices and kernels (coupled weight decay); 0 to 1."""

    def build(self, parameters: Named) -> torch.optim.Optimizer:
        """Creates an optimizer over the parameters that require gradients."""
        groups = _decaying(parameters, self.decay)
        return torch.optim.SGD(
            groups, lr=self.lr, momentum=self.momentum, nesterov=self.momentum > 0, fused=True
        )


OptimizerSettings = Annotated[Adam | AdamW | SGD, OPTIMIZERS]
OPTIMIZERS.bind(OptimizerSettings)


class BaseScheduleSettings(Settings):
    """Base of the settings of a schedule: a frozen class with `kind`, its settings, and `rate`."""

    kind: str
    spans_training: ClassVar[bool] = False
    """Whether the rate depends on the total number of updates."""

    def rate(self, update: int, updates: int) -> float:
        """Returns the factor of the learning rate for update 0, 1, ... of `updates`."""
        raise NotImplementedError

    def plateau(self) -> "PlateauState | None":
        """Returns the state to be updated by validation scores; None if the schedule does not use them."""
        return None


SCHEDULES = Family("schedules", BaseScheduleSettings)
"""All kinds of schedules; their union is `ScheduleSettings`, below."""


class Constant(BaseScheduleSettings):
    """Constant learning rate."""

    kind: Literal["constant"] = "constant"

    def rate(self, update: int, updates: int) -> float:
        """Returns the factor of the learning rate for update 0, 1, ... of `updates`."""
        return 1.0


class Steps(BaseScheduleSettings):
    """Step decay: multiplies the learning rate by `factor` every `every` updates."""

    kind: Literal["step"] = "step"
    factor: float = Field(0.95, gt=0, le=1)
    """Factor of the learning rate at each step, above 0 to 1."""
    every: int = Field(7500, ge=1)
    """Updates between two steps; 1 or more."""

    def rate(self, update: int, updates: int) -> float:
        """Returns the factor of the learning rate for update 0, 1, ... of `updates`."""
        return float(self.factor ** (update // self.every))


class Cosine(BaseScheduleSettings):
    """Linear warm-up, then cosine decay to `floor` (Loshchilov & Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    warm_up: float = Field(0.05, ge=0, lt=1)
    """Fraction of all updates in which the learning rate rises linearly from 0; 0 to below 1."""
    floor: float = Field(0.0, ge=0, le=1)
    """Factor of the learning rate at the end, 0 to 1. The curve reaches it one step after the last update."""

    spans_training: ClassVar[bool] = True

    def rate(self, update: int, updates: int) -> float:
        """Returns the factor of the learning rate for update 0, 1, ... of `updates`."""
        rise = max(1, round(self.warm_up * updates)) if self.warm_up else 0
        if update < rise:
            return (update + 1) / rise
        done = (update - rise) / max(1, updates - rise)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


class Plateau(BaseScheduleSettings):
    """Multiplies the learning rate by `factor` if the validation score has not improved for `patience`
    validations; training stops when the rate is below `stop_below` of its initial value."""

    kind: Literal["plateau"] = "plateau"
    factor: float = Field(0.2, gt=0, lt=1)
    """Factor of the learning rate at each reduction, between 0 and 1."""
    patience: int = Field(5, ge=1)
    """Number of validations without a better score before a reduction; 1 or more."""
    stop_below: float = Field(0.01, gt=0, lt=1)
    """Fraction of the initial learning rate below which training stops, between 0 and 1."""

    def rate(self, update: int, updates: int) -> float:
        """Returns 1; `PlateauState` determines the reductions."""
        return 1.0

    def plateau(self) -> "PlateauState":
        """Creates the state."""
        return PlateauState(self)


ScheduleSettings = Annotated[Constant | Steps | Cosine | Plateau, SCHEDULES]
SCHEDULES.bind(ScheduleSettings)


class PlateauState:
    """State of a plateau schedule: the best score, validations since then, and the factor of the rate."""

    def __init__(self, settings: Plateau) -> None:
        self.settings = settings
        self.best, self.waited, self.factor = -math.inf, 0, 1.0

    def see(self, score: float) -> bool:
        """Updates the state by a validation score (higher is better); returns False if training should
        stop."""
        if score > self.best:
            self.best, self.waited = score, 0
            return True
        self.waited += 1
        if self.waited >= self.settings.patience:
            self.waited, self.factor = 0, self.factor * self.settings.factor
        return not self.has_ended

    @property
    def has_ended(self) -> bool:
        """Whether the rate is below the limit at which training stops."""
        return self.factor < self.settings.stop_below

    def state(self) -> dict[str, float]:
        """Returns the state for a checkpoint."""
        return {"best": self.best, "waited": self.waited, "factor": self.factor}

    def restore(self, state: dict[str, float]) -> None:
        """Restores the state of a checkpoint."""
        self.best, self.waited, self.factor = state["best"], int(state["waited"]), state["factor"]


def set_rate(optimizer: torch.optim.Optimizer, factor: Callable[[], float] | float) -> None:
    """Sets the learning rate of each parameter group to its initial rate times `factor`."""
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
