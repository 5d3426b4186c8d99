"""The embedding network: feature, normalization, backbone, pooling, last layer, whitening."""

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

# Whitening: scales the principal directions of the embeddings to equal standard deviation, without labels.
#
# Embeddings of a contrastive loss vary mostly along a few directions, which then determine all cosines. Jégou
# and Chum 2012, "Negative evidences and co-occurrences in image retrieval: the benefit of PCA and whitening";
# for learned embeddings Su et al. 2021, "Whitening sentence representations for better semantics and faster
# retrieval".

FLOOR = 0.01
"""Fraction of the largest standard deviation added to that of each direction, to limit rounding errors."""


class Whitening(nn.Module):
    """(B, D) -> (B, D): subtracts the mean and divides each principal direction by a power of its deviation.

    With `power` 1, all standard deviations become equal; with 0, they do not change. The result is rotated
    back to the original axes. Before `fit` (or loading), the module returns its input."""

    mean: Tensor
    turn: Tensor

    def __init__(self, size: int, power: float) -> None:
        super().__init__()
        self.power = power
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("turn", torch.eye(size))

    @torch.no_grad()
    def fit(self, vectors: Tensor) -> None:
        """Computes mean and directions from (N, D) vectors of training clips. Raises DataError if N < 2."""
        if len(vectors) < 2:
            raise DataError(
                f"embedding.whiten: whitening needs two clips or more, but there are {len(vectors)}. Add "
                "clips, or set embedding.whiten to 0."
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


# Folding of batch norm into the convolution before it, for faster inference.


def fuse_batch_norm(module: nn.Module) -> nn.Module:
    """Returns a copy in evaluation mode with each batch norm folded into the convolution before it.

    With running statistics, batch norm is a scale and a shift of each channel, which can be folded into
    weights and bias of the convolution (Jacob et al. 2018, "Quantization and training of neural networks",
    section 3.2). A batch norm is found after a convolution in an `nn.Sequential`, or by name, `bnX` for
    `convX`, as in residual networks; others do not change. Results differ only by rounding."""
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
    """Yields each convolution of `parent`, the batch norm that follows it, and the name of the batch norm."""
    children = dict(parent.named_children())
    if isinstance(parent, nn.Sequential):
        pairs = list(pairwise(children))
    else:
        pairs = [(name, name.replace("conv", "bn", 1)) for name in children if name.startswith("conv")]
    for before, after in pairs:
        convolution, norm = children[before], children.get(after)
        if isinstance(convolution, _ConvNd) and isinstance(norm, _BatchNorm):
            yield convolution, norm, after


# The network: feature, normalization, backbone, pooling, dropout, last layer, normalization to unit length.
#
# For inference, the last layer can be left out and the embeddings whitened.


class EmbeddingSettings(Settings):
    """Dimension and pooling of the embedding, and which parts of the network are trained."""

    size: int | None = Field(64, ge=2, le=4096)
    """Dimension of the embedding, 2 to 4,096; none: no last layer, the embedding is the pooled map."""
    normalize: bool = True
    """Whether embeddings are scaled to length 1; squared Euclidean distances are then at most 4."""
    pooling: Pooling | None = None
    """How the map of the backbone becomes one vector; none: the pooling of the backbone."""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """Probability that a value of the pooled map is set to 0 in training, before the last layer; 0 to below
    1."""
    train: Literal["all", "head", "none"] = "all"
    """Which parts are trained: all; head (what follows the backbone, whose weights and statistics are fixed);
    or
    none."""
    read: Literal["last", "pooled"] = "last"
    """Which embedding a trained network returns: the output of the last layer, or the pooled map before it;
    the last layer is then used in training only, as a projection head."""
    whiten: float = Field(0.0, ge=0.0, le=1.0)
    """How much the embeddings of a trained network are whitened, by the principal directions of training
    windows:
    0 (not at all) to 1 (equal standard deviations)."""


class EmbeddingModel(nn.Module):
    """Maps waves (B, C, T), spectrograms (B, C, bands, frames) or images to embeddings (B, size), float32.

    `shape` is the shape of one signal without the batch: (C, T) of waves, (C, height, width) of images, or
    (C, bands, frames) of spectrograms. One forward pass of zeros determines the dimension of the pooled map.
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
        """Dimension of the embedding."""
        return self._pooled_size if self.settings.read == "pooled" else self.train_dim

    @property
    def train_dim(self) -> int:
        """Dimension of the vectors that the loss gets."""
        return self.settings.size or self._pooled_size

    def forward(self, signal: Tensor) -> Tensor:
        """Computes embeddings (B, size).

        Parameters
        ----------
        signal
            Waves (B, C, T), or (B, T) with one channel; images (B, C, height, width) if the feature expects
            images; or spectrograms (B, C, bands, frames).

        Returns
        -------
        Tensor
            (B, size) float32.

        Raises
        ------
        RequestError
            If the shape is another.
        """
        return self.embed_spectrogram(self._picture(signal))

    def embed_spectrogram(self, spectrogram: Tensor) -> Tensor:
        """Computes embeddings (B, size) of spectrograms or images (B, C, bands, frames)."""
        vectors = self._unwhitened(spectrogram)
        if self.training or not self.settings.whiten:
            return vectors
        return self._normalized(self.whitening(vectors))

    def teach(self, spectrogram: Tensor) -> Tensor:
        """Computes the vectors that the loss gets, (B, train_dim), from spectrograms; also in evaluation
        mode."""
        vectors = self.head(self.dropout(self._pooled(spectrogram)))
        return self._normalized(vectors.float())

    @torch.no_grad()
    def fit_whitening(self, spectrograms: Iterable[Tensor]) -> None:
        """Fits the whitening to spectrograms (B, C, bands, frames) of training windows, if it is enabled.

        Raises DataError if there are fewer than two windows.
        """
        if self.settings.whiten:
            with evaluating(self):
                self.whitening.fit(torch.cat([self._unwhitened(spectrogram) for spectrogram in spectrograms]))

    def reader(self) -> Self:
        """Returns a copy for inference: evaluation mode, float32, batch norm folded into convolutions."""
        twin = copy.copy(self)
        twin._modules = {
            name: copy.deepcopy(part) for name, part in self._modules.items() if name != "backbone"
        }
        twin._modules["backbone"] = fuse_batch_norm(self.backbone)
        return twin.float().eval()

    def lay_out(self, channels_last: bool) -> None:
        """Sets the memory format of spectrograms and weights; the results are the same.

        Convolutions are faster with channels last, the default, on most processors.
        """
        self.channels_last = channels_last
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.backbone.to(memory_format=layout)  # type: ignore[call-overload]

    def describe(self) -> Description:
        """Returns each layer with the shape of its output and its number of weights."""
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
        """Sets the mode like torch, but frozen parts stay in evaluation mode, so batch norm keeps its
        statistics."""
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
                f"The network expects a batch of waves (B, {channels}, samples){alone}. "
                f"Given: {tuple(signal.shape)}."
            )
        # Half precision would round quiet bands to zero.
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
        return self._normalized(vectors.float())

    def _normalized(self, vectors: Tensor) -> Tensor:
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
    """The settings of a feature, a normalization or a backbone."""

    @property
    def build(self) -> Callable[..., nn.Module]:
        """Creates the module."""


def assemble(
    feature: Buildable,
    normalization: Buildable,
    backbone: Buildable,
    embedding: EmbeddingSettings,
    sample_rate: int,
    shape: tuple[int, ...],
) -> EmbeddingModel:
    """Creates the network from the settings of its parts.

    Parameters
    ----------
    feature, normalization, backbone, embedding
        The settings.
    sample_rate
        Sample rate in Hz; 0 for images.
    shape
        Shape of one signal without the batch: (channels, samples), or (channels, height, width) of images.

    Raises
    ------
    RequestError
        If pretrained weights do not fit, or the signal is too small for the backbone.
    """
    reader = feature.build(sample_rate, shape[0])
    with torch.no_grad(), evaluating(reader):
        channels, bands, frames = reader(torch.zeros(2, *shape)).shape[1:]
    scaler = normalization.build(channels, bands)
    return EmbeddingModel(reader, scaler, backbone.build(channels, bands, frames), embedding, shape)


def unit_length(vectors: Tensor) -> Tensor:
    """Divides each row of (B, D) by its length, in float32.

    A row shorter than 1e-6 does not change, so gradients are finite.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        vectors = vectors.float()
        lengths = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        return vectors / torch.where(lengths > 1e-6, lengths, 1.0)
