"""A running average of weights, which often ends nearer the middle of a valley than the last step does.

Polyak & Juditsky 1992; exponential, with a short memory at first so that early weights do not linger.
"""

import torch
from torch import Tensor, nn


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
