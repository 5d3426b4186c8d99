"""From a map to one vector a clip: mean, max, both, generalised mean, bands apart, last frame, everything.

A map is (B, F), (B, F, T) or (B, F, bands, T): F values at each place. All but `flatten` and `last` take maps
of any number of frames.
"""

from typing import Literal

import torch
from torch import Tensor, nn

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
