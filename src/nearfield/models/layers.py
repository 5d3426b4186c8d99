"""Layers that backbones share: initialization by name, pooling; and a network described row by row."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nearfield.core.rng import torch_stream

# First weights by name: a layer begins alike wherever it has the same name, shape and torch seed.
#
# Drawing them in the order in which layers are made would let a wider embedding, or one layer more, change
# all that is made after it: two arms of a study could then differ by luck where their settings agree.


def initialise(module: nn.Module, name: str) -> None:
    """Draws the weights of every convolution, linear and recurrent layer of `module`, in place.

    Convolutions: normal, He et al. 2015 (fan out, ReLU). Linear layers and the input side of recurrent ones:
    uniform, Glorot and Bengio 2010. Recurrent side: orthogonal, Saxe et al. 2014. Biases: 0. The chance is
    fixed by `torch.initial_seed()`, `name` and the layer's own name; no other draw of torch is disturbed.
    """
    for path, layer in module.named_modules():
        rng = torch_stream(torch.initial_seed(), f"weights/{name}/{path}")
        if isinstance(layer, nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", generator=rng)
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, generator=rng)
        elif isinstance(layer, nn.GRU):
            _initialise_gates(layer, rng)
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _initialise_gates(layer: nn.GRU, rng: torch.Generator) -> None:
    for name, weight in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(weight)
            continue
        for gate in weight.chunk(3):  # reset, update and new state lie one below the other
            with torch.no_grad():
                if "weight_hh" in name:
                    nn.init.orthogonal_(gate, generator=rng)
                else:
                    nn.init.xavier_uniform_(gate, generator=rng)


# From a map to one vector a clip: mean, max, both, generalised mean, bands apart, last frame, everything.
#
# A map is (B, F), (B, F, T) or (B, F, bands, T): F values at each place. All but `flatten` and `last` take
# maps of any number of frames.

Pooling = Literal["mean", "max", "mean_max", "gem", "bands", "bands_max", "last", "flatten"]
"""`mean_max` and `bands_max` double the values; `bands`, `bands_max` and `last` fix the number of bands,
`flatten` also that of frames."""


def pooling(kind: Pooling) -> nn.Module:
    """The module for a kind."""
    modules: dict[Pooling, type[nn.Module]] = {
        "mean": Mean,
        "max": Max,
        "mean_max": MeanMax,
        "gem": GeneralisedMean,
        "bands": Bands,
        "bands_max": BandsMax,
        "last": Last,
        "flatten": Flatten,
    }
    return modules[kind]()


class Mean(nn.Module):
    """(B, F, ...) -> (B, F): the mean over all places, in float32."""

    def forward(self, map: Tensor) -> Tensor:
        return _places(map).mean(2)


class Max(nn.Module):
    """(B, F, ...) -> (B, F): the largest value over all places."""

    def forward(self, map: Tensor) -> Tensor:
        return _places(map).amax(2)


class MeanMax(nn.Module):
    """(B, F, ...) -> (B, 2 F): bands averaged, then the mean over frames beside the largest frame.

    Kong et al. 2020, "PANNs", section III, where the two are added.
    """

    def forward(self, map: Tensor) -> Tensor:
        frames = _places(map.float().mean(2) if map.ndim == 4 else map)
        return torch.cat([frames.mean(2), frames.amax(2)], dim=1)


class GeneralisedMean(nn.Module):
    """(B, F, ...) -> (B, F): `mean(x^p)^(1/p)` over all places, with p learned from 3 onwards.

    p = 1 is the mean and p -> infinity the maximum; values are taken as at least 1e-6. Radenovic, Tolias and
    Chum 2018, "Fine-tuning CNN image retrieval with no human annotation", equation 3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor([3.0]))

    def forward(self, map: Tensor) -> Tensor:
        places = _places(map).clamp(min=1e-6)
        largest = places.amax(2, keepdim=True)  # divided out first, so that no power overflows
        means = (places / largest).pow(self.power).mean(2).pow(1 / self.power)
        return means * largest[:, :, 0]


class Bands(nn.Module):
    """(B, F, T) -> (B, F), (B, F, bands, T) -> (B, F bands): the mean over frames, each band apart.

    Where in the spectrum something is heard stays known. Niizumi et al. 2023, "BYOL for audio: exploring
    pre-trained general-purpose audio representations", section III-C.
    """

    def forward(self, map: Tensor) -> Tensor:
        return _frames(map).mean(2)


class BandsMax(nn.Module):
    """(B, F, bands, T) -> (B, 2 F bands): the mean over frames beside the largest frame, each band apart."""

    def forward(self, map: Tensor) -> Tensor:
        frames = _frames(map)
        return torch.cat([frames.mean(2), frames.amax(2)], dim=1)


class Last(nn.Module):
    """(B, F, T) -> (B, F), (B, F, bands, T) -> (B, F bands): the last frame; (B, F) stays."""

    def forward(self, map: Tensor) -> Tensor:
        return map.float() if map.ndim == 2 else map[..., -1].float().flatten(1)


class Flatten(nn.Module):
    """(B, F, ...) -> (B, F ...): every value at every place."""

    def forward(self, map: Tensor) -> Tensor:
        return map.flatten(1)


def _places(map: Tensor) -> Tensor:
    """(B, F, places) in float32: half precision is too coarse to add many places up."""
    return map.float().reshape(map.shape[0], map.shape[1], -1)


def _frames(map: Tensor) -> Tensor:
    """(B, F) -> (B, F, 1), (B, F, T) stays, (B, F, bands, T) -> (B, F bands, T), in float32."""
    values = map.float()
    return values[..., None] if map.ndim == 2 else values.flatten(1, -2)


# What a network is made of: a row a layer, with the shape that really came out of it.


@dataclass(frozen=True)
class Layer:
    """One row of a description."""

    name: str
    type: str
    shape: tuple[int, ...]
    """Of the output for one item, without the batch; empty where the layer was not called."""
    weights: int
    """Numbers that can be trained, in this layer itself."""


@dataclass(frozen=True)
class Description:
    """The layers of a network and their sums; `str` gives an aligned table."""

    layers: tuple[Layer, ...]
    weights: int
    """Numbers in all parameters, shared ones once."""
    trained: int
    """Those of them that are not frozen."""

    def __str__(self) -> str:
        rows = [("layer", "type", "output", "weights")]
        rows += [
            (layer.name, layer.type, " x ".join(map(str, layer.shape)) or "-", f"{layer.weights:,}")
            for layer in self.layers
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{name:<{widths[0]}}  {type_:<{widths[1]}}  {shape:<{widths[2]}}  {weights:>{widths[3]}}"
            for name, type_, shape, weights in rows
        ]
        return "\n".join([*lines, f"{self.weights:,} weights, {self.trained:,} of them trained"])


def describe(module: nn.Module, signal: Tensor) -> Description:
    """Runs `module` once on `signal` (B, ...), in evaluation, without gradients, and notes what came out.

    A row for each layer that holds weights itself or holds no other layers, in the order they are made.
    """
    shown = {
        name: layer
        for name, layer in module.named_modules()
        if next(layer.children(), None) is None or next(layer.parameters(recurse=False), None) is not None
    }
    shapes: dict[str, tuple[int, ...]] = {}
    with contextlib.ExitStack() as hooks, torch.no_grad(), evaluating(module):
        for name, layer in shown.items():
            hooks.callback(layer.register_forward_hook(_note(shapes, name)).remove)
        module(signal)
    layers = tuple(
        Layer(name, type(layer).__name__, shapes.get(name, ()), _count(layer, recurse=False))
        for name, layer in shown.items()
    )
    return Description(layers, _count(module), _count(module, trained=True))


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards each layer is in the mode it was in."""
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def _note(shapes: dict[str, tuple[int, ...]], name: str) -> Any:
    def hook(_layer: nn.Module, _given: Any, output: Any) -> None:
        while not isinstance(output, Tensor):  # recurrent layers also give their state, some networks names
            output = next(iter(output.values() if isinstance(output, Mapping) else output))
        shapes[name] = tuple(output.shape[1:])

    return hook


def _count(module: nn.Module, recurse: bool = True, trained: bool = False) -> int:
    return sum(
        weight.numel() for weight in module.parameters(recurse=recurse) if weight.requires_grad or not trained
    )
