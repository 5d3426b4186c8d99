"""First weights by name: a layer begins alike wherever it has the same name, shape and torch seed.

Drawing them in the order in which layers are made would let a wider embedding, or one layer more, change
all that is made after it: two arms of a study could then differ by luck where their settings agree.
"""

import torch
from torch import nn

from nearfield.core.seeds import torch_stream


def initialise(module: nn.Module, name: str) -> None:
    """Draws the weights of every convolution, linear and recurrent layer of `module`, in place.

    Convolutions: normal, He et al. 2015 (fan out, ReLU). Linear layers and the input side of recurrent ones:
    uniform, Glorot and Bengio 2010. Recurrent side: orthogonal, Saxe et al. 2014. Biases: 0. The chance is
    fixed by `torch.initial_seed()`, `name` and the layer's own name; no other draw of torch is disturbed.
    """
    for path, layer in module.named_modules():
        chance = torch_stream(torch.initial_seed(), f"weights/{name}/{path}")
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=chance)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=chance)
        elif isinstance(layer, nn.GRU):
            _initialise_gates(layer, chance)
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _initialise_gates(layer: nn.GRU, chance: torch.Generator) -> None:
    for name, weight in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(weight)
            continue
        for gate in weight.chunk(3):  # reset, update and new state lie one below the other
            with torch.no_grad():
                if "weight_hh" in name:
                    nn.init.orthogonal_(gate, generator=chance)
                else:
                    nn.init.xavier_uniform_(gate, generator=chance)
