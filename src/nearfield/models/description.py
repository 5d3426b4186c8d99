"""What a network is made of: a row a layer, with the shape that really came out of it."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


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
