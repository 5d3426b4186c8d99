"""From a signal to an embedding: feature, normalization, backbone, pooling, last layer."""

import copy
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import Any, Literal, Protocol, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils.fusion import fuse_conv_bn_weights

from nearfield.core.errors import DataError, RequestError
from nearfield.core.settings import Settings
from nearfield.models.backbones.backbone import pooling_of
from nearfield.models.features.feature import Feature
from nearfield.models.layers import Description, Pooling, describe, evaluating, initialise, pooling

# Whitening: the directions of a space brought to equal spread, by what unlabelled clips say of them.
#
# A contrastive space spreads most along a few directions, which then decide every cosine alone. Jégou and
# Chum 2012, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening"; of
# learned spaces Su et al. 2021, "Whitening sentence representations for better semantics and faster
# retrieval".

FLOOR = 0.01
"""Added to every direction's spread, as a share of the largest one: what hardly spreads is rounding."""


class Whitening(nn.Module):
    """(B, D) -> (B, D): takes the clips' mean away and divides each principal direction by its spread.

    `power` 1 makes all spreads alike, 0.5 their square roots, 0 leaves them. Directions are turned back, so
    that each number keeps its meaning. Before `fit` (or loading) rows come out as they went in.
    """

    mean: Tensor
    turn: Tensor

    def __init__(self, size: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("turn", torch.eye(size))

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> None:
        """Sets mean and directions from (N, D) vectors of training clips. DataError where N is below 2."""
        if len(vectors) < 2:
            raise DataError(
                f"embedding.whiten: two clips are needed to spread, and there are {len(vectors)}."
            )
        rows = vectors.double()
        centred = rows - rows.mean(0)
        squares, directions = torch.linalg.eigh(centred.T @ centred / len(rows))
        spread = squares.clamp(min=0).sqrt()
        scale = (spread + FLOOR * spread.max()).clamp(min=1e-12).pow(-self.power)
        self.mean.copy_(rows.mean(0))
        self.turn.copy_((directions * scale) @ directions.T)

    def forward(self, vectors: Tensor) -> Tensor:
        with torch.autocast(vectors.device.type, enabled=False):
            return (vectors.float() - self.mean) @ self.turn


# Batch norms worked into the convolutions before them: the same vectors for less work.


def fuse_batch_norm(module: nn.Module) -> nn.Module:
    """A copy in evaluation whose batch norms have become part of the convolutions they follow.

    With running statistics a norm is a scale and a shift for each channel, which a convolution's weights and
    bias can hold (Jacob et al. 2018, "Quantization and training of neural networks", section 3.2). Norms are
    found behind a convolution in an `nn.Sequential`, and as `bnX` beside `convX`, as residual networks name
    them; any other stays as it is. Results differ by rounding alone.
    """
    copied = copy.deepcopy(module).eval()
    for parent in list(copied.modules()):
        for convolution, norm, name in list(_followed(parent)):
            if (
                norm.running_mean is None
                or norm.running_var is None
                or not norm.affine
                or norm.num_features != convolution.out_channels
            ):
                continue
            fused: Any = fuse_conv_bn_weights(
                convolution.weight,
                convolution.bias,
                norm.running_mean,
                norm.running_var,
                norm.eps,
                norm.weight,
                norm.bias,
            )
            convolution.weight, convolution.bias = fused
            setattr(parent, name, nn.Identity())
    return copied


def _followed(parent: nn.Module) -> Iterator[tuple[_ConvNd, _BatchNorm, str]]:
    """Each convolution of `parent` with the norm that reads it and nothing else, and the norm's name."""
    children = dict(parent.named_children())
    if isinstance(parent, nn.Sequential):
        pairs = list(pairwise(children))
    else:
        pairs = [(name, name.replace("conv", "bn", 1)) for name in children if name.startswith("conv")]
    for before, after in pairs:
        convolution, norm = children[before], children.get(after)
        if isinstance(convolution, _ConvNd) and isinstance(norm, _BatchNorm):
            yield convolution, norm, after


# From a signal to a vector: feature, normalization, backbone, pooling, dropout, last layer, unit length.
#
# A finished space may leave out the last layer and whiten what is before it.


class EmbeddingSettings(Settings):
    """How the backbone's map ends in a vector, and what of the network is trained."""

    size: int | None = Field(64, ge=2, le=4096)
    """Numbers in an embedding; none: the pooled numbers straight out, with no last layer."""
    normalize: bool = True
    """Whether embeddings have length 1, so that squared distances end at 4."""
    pooling: Pooling | None = None
    """From the map to one row of numbers; none: the backbone's own way."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Share of the pooled numbers set to 0 before the last layer while training."""
    train: Literal["all", "head", "none"] = "all"
    """head: the backbone keeps its weights and statistics, what follows it learns; none: nothing does."""
    read: Literal["last", "pooled"] = "last"
    """What a finished space gives: the last layer's numbers, or the pooled ones before it, so that the last
    layer serves the loss alone."""
    whiten: float = Field(0.0, ge=0.0, le=1.0)
    """How far the directions of a finished space are brought to equal spread over training windows: 0 not at
    all, 1 wholly."""


class EmbeddingModel(nn.Module):
    """Waves (B, C, T), or pictures (B, C, bands, frames), to embeddings (B, size), float32.

    `shape` is that of one signal without the batch: (C, T), (C, height, width) of a feature that reads
    images, or (C, bands, frames) of spectrograms already made; from it the pooled size is found, by one
    silent forward.
    """

    def __init__(
        self,
        feature: nn.Module,
        normalization: nn.Module,
        backbone: nn.Module,
        settings: EmbeddingSettings,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.settings = settings
        self.shape = tuple(shape)
        self.feature = feature
        self.wave_channels = feature.wave_channels if isinstance(feature, Feature) else 1
        self.reads_images = isinstance(feature, Feature) and feature.modality == "image"
        self.hop = feature.hop if isinstance(feature, Feature) else 1
        self.normalization = normalization
        self.backbone = backbone
        self.pool = pooling(settings.pooling or pooling_of(backbone))
        self.dropout = nn.Dropout(settings.dropout)
        self.head: nn.Module = nn.Identity()
        self.channels_last = False
        with torch.no_grad(), evaluating(self):
            pooled = self._pooled(self._picture(self._silence()))
        self._pooled_size = int(pooled.shape[1])
        if settings.size is not None:
            self.head = nn.Linear(pooled.shape[1], settings.size)
            initialise(self.head, "head")
        if settings.whiten:
            self.whitening = Whitening(self.size, settings.whiten)
        self.lay_out(channels_last=True)
        self._freeze()

    @property
    def size(self) -> int:
        """Numbers in a finished embedding, also where the settings leave them to the backbone."""
        return self._pooled_size if self.settings.read == "pooled" else self.train_dim

    @property
    def train_dim(self) -> int:
        """Numbers in what the loss sees."""
        return self.settings.size or self._pooled_size

    def forward(self, signal: Tensor) -> Tensor:
        """Waves (B, C, T), or (B, T) of one channel; images (B, C, height, width) where the feature reads
        them; else spectrograms (B, C, bands, frames), already made. Raises RequestError for other shapes."""
        return self.embed_picture(self._picture(signal))

    def embed_picture(self, spectrogram: Tensor) -> Tensor:
        """The same from the feature's picture (B, C, bands, frames) onwards."""
        vectors = self._unwhitened(spectrogram)
        if self.training or not self.settings.whiten:
            return vectors
        return self._brought_to_length(self.whitening(vectors))

    def teach(self, spectrogram: Tensor) -> Tensor:
        """What the loss sees of a picture, in evaluation too, where the finished space may be read before the
        last layer."""
        vectors = self.head(self.dropout(self._pooled(spectrogram)))
        return self._brought_to_length(vectors.float())

    @torch.no_grad()
    def fit_whitening(self, spectrograms: Iterable[Tensor]) -> None:
        """Whitens the space by pictures (B, C, bands, frames) of training windows, if the settings say so.

        Raises DataError where there are fewer than two.
        """
        if self.settings.whiten:
            with evaluating(self):
                self.whitening.fit(torch.cat([self._unwhitened(spectrogram) for spectrogram in spectrograms]))

    def reader(self) -> Self:
        """A copy for reading alone, in evaluation and float32, its norms folded into its convolutions."""
        twin = copy.copy(self)
        twin._modules = {
            name: copy.deepcopy(part) for name, part in self._modules.items() if name != "backbone"
        }
        twin._modules["backbone"] = fuse_batch_norm(self.backbone)
        return twin.float().eval()

    def lay_out(self, channels_last: bool) -> None:
        """Chooses how pictures and the weights that meet them lie in memory; the results are the same.

        Channels innermost, the default, is what most processors convolve faster.
        """
        self.channels_last = channels_last
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone.to(memory_format=layout)  # type: ignore[call-overload]

    def describe(self) -> Description:
        """Every layer with its output's shape, as one silent signal finds it, and its number of weights."""
        return describe(self, self._silence())

    def extra_repr(self) -> str:
        """Classes of feature and backbone, shape of one signal, dimension, and number of parameters."""
        counts = [(each.numel(), each.requires_grad) for each in self.parameters()]
        every, trained = sum(size for size, _ in counts), sum(size for size, learns in counts if learns)
        parts = {
            "feature": type(self.feature).__name__,
            "backbone": type(self.backbone).__name__,
            "shape": self.shape,
            "dim": self.size,
            "normalize": self.settings.normalize,
            "parameters": f"{every:,}",
            **({} if trained == every else {"trained": f"{trained:,}"}),
        }
        return ", ".join(f"{name}={value}" for name, value in parts.items())

    def train(self, mode: bool = True) -> Self:
        """As in torch, but frozen parts stay in evaluation: their batch norm's statistics must not move."""
        super().train(mode)
        for part in self._frozen():
            part.eval()
        return self

    def _picture(self, signal: Tensor) -> Tensor:
        if signal.ndim == 4:
            return cast(Tensor, self.feature(signal.float())) if self.reads_images else signal
        channels = self.shape[0] if len(self.shape) == 2 else self.wave_channels
        waves = signal[:, None] if signal.ndim == 2 else signal
        if waves.ndim != 3 or waves.shape[1] != channels:
            alone = " or (B, samples)" if channels == 1 else ""
            raise RequestError(
                f"The network takes waves (B, {channels}, samples){alone}, B of them at once. "
                f"Given: {tuple(signal.shape)}."
            )
        # Half precision would round a spectrum's quiet bands away.
        with torch.autocast(signal.device.type, enabled=False):
            return cast(Tensor, self.feature(waves.float()))

    def _pooled(self, spectrogram: Tensor) -> Tensor:
        with torch.autocast(spectrogram.device.type, enabled=False):
            spectrogram = self.normalization(spectrogram.float())
        if self.channels_last:
            spectrogram = spectrogram.contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.pool(self.backbone(spectrogram)))

    def _silence(self) -> Tensor:
        like = next(self.parameters(), torch.empty(0))
        return torch.zeros(2, *self.shape, device=like.device)

    def _unwhitened(self, spectrogram: Tensor) -> Tensor:
        vectors = self.dropout(self._pooled(spectrogram))
        if self.training or self.settings.read == "last":
            vectors = self.head(vectors)
        return self._brought_to_length(vectors.float())

    def _brought_to_length(self, vectors: Tensor) -> Tensor:
        return unit_length(vectors) if self.settings.normalize else vectors

    def _frozen(self) -> list[nn.Module]:
        parts: dict[str, list[nn.Module]] = {
            "all": [],
            "head": [self.feature, self.normalization, self.backbone],
            "none": list(self.children()),
        }
        return parts[self.settings.train]

    def _freeze(self) -> None:
        for part in self._frozen():
            part.requires_grad_(False).eval()


class Buildable(Protocol):
    """Settings of a feature, a normalization or a backbone."""

    @property
    def build(self) -> Callable[..., nn.Module]:
        """Makes the module."""


def assemble(
    feature: Buildable,
    normalization: Buildable,
    backbone: Buildable,
    embedding: EmbeddingSettings,
    sample_rate: int,
    shape: tuple[int, ...],
) -> EmbeddingModel:
    """An embedder out of the settings of its parts, for signals of `shape` without the batch.

    `shape`: (channels, samples) of sound, or (channels, height, width) of pictures; `sample_rate` in Hz, 0
    for pictures. Raises RequestError where pretrained weights or a backbone's least size do not fit.
    """
    reader = feature.build(sample_rate, shape[0])
    with torch.no_grad(), evaluating(reader):
        channels, bands, frames = reader(torch.zeros(2, *shape)).shape[1:]
    scaler = normalization.build(channels, bands)
    return EmbeddingModel(reader, scaler, backbone.build(channels, bands, frames), embedding, shape)


def unit_length(vectors: Tensor) -> Tensor:
    """(B, D) -> (B, D), each row divided by its length, in float32.

    A row shorter than 1e-6 has no direction: it stays as it is, and gradients stay finite.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = vectors.float()
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return vectors / torch.where(lengths > 1e-6, lengths, 1.0)
