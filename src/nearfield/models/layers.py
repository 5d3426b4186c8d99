"""Initialization of weights by name, pooling layers, and the description of a network layer by layer."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from nearfield.core.rng import torch_stream

# Initialization by name: layers with the same name, shape and torch seed have the same initial weights.
#
# If weights were drawn in the order in which layers are created, a larger embedding or an additional layer
# would change all later layers, and the arms of a study would differ by chance where their settings agree.


def initialise(module: nn.Module, name: str) -> None:
    """Initializes the weights of every convolution, linear and recurrent layer of `module`, in place.

    Convolutions: normal, He et al. 2015 (fan out, ReLU). Linear layers and input weights of recurrent layers:
    uniform, Glorot and Bengio 2010. Recurrent weights: orthogonal, Saxe et al. 2014. Biases: 0.
    `torch.initial_seed()`, `name` and the name of the layer determine the weights; the random state of torch
    does
    not change.
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
        for gate in weight.chunk(3):  # the gates reset, update and new are stacked
            with torch.no_grad():
                if "weight_hh" in name:
                    nn.init.orthogonal_(gate, generator=rng)
                else:
                    nn.init.xavier_uniform_(gate, generator=rng)


# Pooling of a map to one vector per clip.
#
# A map is (B, F), (B, F, T) or (B, F, bands, T): F channels at each position. All kinds but `flatten` and
# `last`
# accept any number of frames.

Pooling = Literal["mean", "max", "mean_max", "gem", "bands", "bands_max", "last", "flatten"]
"""The output of `mean_max` and `bands_max` has twice the size. `bands`, `bands_max` and `last` require a
fixed number of bands, `flatten` also a fixed number of frames."""


def pooling(kind: Pooling) -> nn.Module:
    """Creates the module of a kind."""
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
    """(B, F, ...) -> (B, F): the mean over all positions, in float32."""

    def forward(self, map: Tensor) -> Tensor:
        return _places(map).mean(2)


class Max(nn.Module):
    """(B, F, ...) -> (B, F): the maximum over all positions."""

    def forward(self, map: Tensor) -> Tensor:
        return _places(map).amax(2)


class MeanMax(nn.Module):
    """(B, F, ...) -> (B, 2 F): the mean over bands, then the mean and the maximum over frames, concatenated.

    Kong et al. 2020, "PANNs", section III, add the two instead.
    """

    def forward(self, map: Tensor) -> Tensor:
        frames = _places(map.float().mean(2) if map.ndim == 4 else map)
        return torch.cat([frames.mean(2), frames.amax(2)], dim=1)


class GeneralisedMean(nn.Module):
    """(B, F, ...) -> (B, F): `mean(x^p)^(1/p)` over all positions, with a learned p that starts at 3.

    p = 1 is the mean, p -> infinity the maximum; values below 1e-6 are set to 1e-6. Radenovic, Tolias and
    Chum 2018, "Fine-tuning CNN image retrieval with no human annotation", equation 3."""

    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor([3.0]))

    def forward(self, map: Tensor) -> Tensor:
        places = _places(map).clamp(min=1e-6)
        largest = places.amax(2, keepdim=True)  # dividing by it first avoids overflow
        means = (places / largest).pow(self.power).mean(2).pow(1 / self.power)
        return means * largest[:, :, 0]


class Bands(nn.Module):
    """(B, F, T) -> (B, F), (B, F, bands, T) -> (B, F bands): the mean over frames for each band.

    Keeps the position in frequency. Niizumi et al. 2023, "BYOL for audio: exploring pre-trained
    general-purpose
    audio representations", section III-C.
    """

    def forward(self, map: Tensor) -> Tensor:
        return _frames(map).mean(2)


class BandsMax(nn.Module):
    """(B, F, bands, T) -> (B, 2 F bands): mean and maximum over frames for each band, concatenated."""

    def forward(self, map: Tensor) -> Tensor:
        frames = _frames(map)
        return torch.cat([frames.mean(2), frames.amax(2)], dim=1)


class Last(nn.Module):
    """(B, F, T) -> (B, F), (B, F, bands, T) -> (B, F bands): the last frame; (B, F) does not change."""

    def forward(self, map: Tensor) -> Tensor:
        return map.float() if map.ndim == 2 else map[..., -1].float().flatten(1)


class Flatten(nn.Module):
    """(B, F, ...) -> (B, F ...): all values of the map."""

    def forward(self, map: Tensor) -> Tensor:
        return map.flatten(1)


def _places(map: Tensor) -> Tensor:
    """Returns (B, F, positions) in float32, because half precision cannot sum many values accurately."""
    return map.float().reshape(map.shape[0], map.shape[1], -1)


def _frames(map: Tensor) -> Tensor:
    """(B, F) -> (B, F, 1), (B, F, T) -> (B, F, T), (B, F, bands, T) -> (B, F bands, T), in float32."""
    values = map.float()
    return values[..., None] if map.ndim == 2 else values.flatten(1, -2)


# Description of a network: one row per layer, with the shape of its output in a forward pass.


@dataclass(frozen=True)
class Layer:
    """One row of a description."""

    name: str
    type: str
    shape: tuple[int, ...]
    """Shape of the output without the batch; empty if the layer was not called."""
    weights: int
    """Number of weights of the layer, without its children."""


@dataclass(frozen=True)
class Description:
    """The layers of a network and their totals; `str` returns an aligned table."""

    layers: tuple[Layer, ...]
    weights: int
    """Number of weights; shared ones count once."""
    trained: int
    """Number of weights that are not frozen."""

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
    """Describes the layers of `module` by a forward pass of `signal` (B, ...), in evaluation mode.

    There is a row for each layer with weights of its own or without child layers, in the order of creation.
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
    """Sets evaluation mode inside the block; afterwards the mode of each layer is restored."""
    modes = {layer: layer.training for layer in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for layer, mode in modes.items():
            layer.training = mode


def _note(shapes: dict[str, tuple[int, ...]], name: str) -> Any:
    def hook(_layer: nn.Module, _given: Any, output: Any) -> None:
        while not isinstance(
            output, Tensor
        ):  # recurrent layers also return their state, some networks a mapping
            output = next(iter(output.values() if isinstance(output, Mapping) else output))
        shapes[name] = tuple(output.shape[1:])

    return hook


def _count(module: nn.Module, recurse: bool = True, trained: bool = False) -> int:
    return sum(
        weight.numel() for weight in module.parameters(recurse=recurse) if weight.requires_grad or not trained
    )
