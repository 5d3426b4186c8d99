"""A penalty on large weights, added to the loss: strength times the sum of their squares.

Coupled: its gradient goes through the optimiser's scaling like that of the loss. The decoupled way is the
optimiser's own weight decay (Loshchilov and Hutter 2019); use one of the two.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.core.settings import Settings

Penalised = Literal["kernels", "convolutions", "convolutions_and_biases"]


class WeightPenaltySettings(Settings):
    """How much large weights cost."""

    strength: float = Field(0.0, ge=0.0)
    """Factor of the sum of squares, with no half before it; 0 is off."""
    of: Penalised = "kernels"
    """kernels: of convolutions, linear and recurrent layers; convolutions: theirs alone;
    convolutions_and_biases: their biases too. Never batch norm, whose scale undoes any penalty on it."""

    introductions: ClassVar[dict[str, str]] = {
        "strength": (
            "The strength is the price of large weights, added to the loss so that a small set is not "
            "learnt by heart (Krogh and Hertz 1992). At 0 nothing holds them back; too much, and shrinking "
            "weights is worth more than telling sounds apart, down to a space where all is in one place. "
            "In front of a batch norm the size of weights changes nothing but the effective learning rate "
            "(van Laarhoven 2017), and Adam rescales the penalty with the gradient (Loshchilov and Hutter "
            "2019), so its best value depends on both."
        ),
    }

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
