"""Normalization of spectrograms, and statistics of batch norm over processes or from clips."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Annotated, Any, Literal, cast

import torch
import torch.distributed as processes
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nearfield.core.errors import RequestError
from nearfield.core.settings import Family, Settings
from nearfield.models.pretrained import NORMALISATION, load_pretrained

# Statistics of batch norm: over all processes in training, and from clips without training.


class GatheredBatchNorm(_BatchNorm):
    """Batch norm of (B, F, ...) with the statistics of the batches of all processes in training.

    Parameters and buffers have the names of `nn.BatchNorm2d`. Mean and variance are computed one after the
    other, because one pass over squares loses precision. `SyncBatchNorm` of torch requires CUDA."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"expected (B, F, ...), got {input.ndim} dimensions")

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and processes.is_initialized() and processes.get_world_size() > 1):
            return super().forward(input)
        self._check_input_dim(input)
        values = input if input.dtype == torch.float64 else input.float()
        others = [0, *range(2, values.ndim)]
        shape = [1, -1] + [1] * (values.ndim - 2)
        local = values.new_tensor([values.numel() / values.shape[1]])
        sums = _total(torch.cat([values.sum(others), local]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean.view(shape)
        variance = _total(centred.square().sum(others)) / count
        self._remember(mean.detach(), variance.detach(), float(count))
        scaled = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            scaled = scaled * self.weight.view(shape) + self.bias.view(shape)
        return scaled.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: float) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * count / max(count - 1, 1), share)


class _Total(torch.autograd.Function):
    """The sum over all processes; gradients are also summed."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        processes.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Total.forward(ctx, gradients[0].contiguous())


def _total(local: Tensor) -> Tensor:
    return cast(Tensor, _Total.apply(local))  # type: ignore[no-untyped-call]


def sync_batch_norm(module: nn.Module) -> nn.Module:
    """Replaces every batch norm in `module` by `GatheredBatchNorm`, with its parameters and buffers.

    Two processes with half a batch each then compute the same as one process with the whole batch. Call it
    before creating the optimizer; with one process, nothing changes. Returns the module."""
    for name, child in module.named_children():
        setattr(module, name, sync_batch_norm(child))
    if not isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
        return module
    replacement = GatheredBatchNorm(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    replacement._parameters = module._parameters
    replacement._buffers = module._buffers
    return replacement.train(module.training)


@torch.no_grad()
def settle(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the statistics of every batch norm to the mean over `batches`, without changing weights.

    An untrained network needs this as a baseline, because its initial statistics of 0 and 1 normalize
    nothing. Dropout is off; afterwards, modes and momenta are restored."""
    modes = {layer: layer.training for layer in module.modules()}
    norms: list[Any] = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch then computes the mean over all batches
        norm.training = True
    try:
        for batch in batches:
            module(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for layer, mode in modes.items():
            layer.training = mode


# Normalization of spectrograms before the backbone. It removes information, such as the level, for good.

_LEAST = 1e-5
"""A standard deviation below this is treated as 0, so that silence is not amplified."""


class FittedNormalization(nn.Module):
    """Base of normalizations with statistics of training clips."""

    @abstractmethod
    def fit(self, spectrograms: Iterable[Tensor]) -> None:
        """Computes the statistics from spectrograms (B, C, bands, frames) of training clips."""


class ClipBand(nn.Module):
    """Subtracts the mean of each clip per channel and band, which removes level, microphone and room.

    What remains is the change over time. With `scale`, the result is divided by one standard deviation per
    clip, over all bands, so that the ratio between bands does not change. Silence that pads a short clip is
    included in the mean."""

    def __init__(self, scale: bool) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Normalizes (B, C, bands, frames)."""
        centred = spectrogram - spectrogram.mean(dim=-1, keepdim=True)
        return (
            centred / _floored(centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())
            if self.scale
            else centred
        )


class PerClip(nn.Module):
    """Subtracts the mean of each clip and divides by its standard deviation, over channels, bands and
    frames."""

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Normalizes (B, C, bands, frames)."""
        centred = spectrogram - spectrogram.mean(dim=(1, 2, 3), keepdim=True)
        return centred / _floored(centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())


class Band(FittedNormalization):
    """Subtracts the mean of each band and divides by its standard deviation, both over the training clips.

    The statistics are buffers, stored with the weights. Before `fit` (or loading), only spectrograms that are
    constant in time are accepted, so that shapes can be determined.
    """

    mean: Tensor
    deviation: Tensor
    frames: Tensor

    def __init__(self, channels: int, bands: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels, bands, 1))
        self.register_buffer("deviation", torch.ones(channels, bands, 1))
        self.register_buffer("frames", torch.zeros((), dtype=torch.int64))
        self.fitted = False
        self.register_load_state_dict_post_hook(_note_loaded)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def fit(self, spectrograms: Iterable[Tensor]) -> None:
        """Computes the statistics from spectrograms (B, C, bands, frames) of training clips, in one pass.

        Population standard deviations, computed in float64 about a running mean (Chan, Golub and LeVeque,
        1979).
        Raises RequestError if there is no spectrogram.
        """
        count, mean, spread = 0, self.mean.double(), torch.zeros_like(self.mean, dtype=torch.float64)
        for spectrogram in spectrograms:
            columns = spectrogram.to(self.mean.device).double().movedim(0, -1).flatten(2)
            added, before = columns.shape[-1], count
            if not added:
                continue
            count += added
            step = columns.mean(dim=-1, keepdim=True) - mean
            within = columns.var(dim=-1, keepdim=True, correction=0) * added
            spread += within + step.square() * (before * added / count)
            mean = mean + step * (added / count)
        if not count:
            raise RequestError(
                "normalization: the kind band needs at least one training clip, but there is none. Add "
                "training clips, or use the kind clip_band, which needs none."
            )
        self.mean.copy_(mean)
        self.deviation.copy_(_floored((spread / count).sqrt()))
        self.frames.fill_(count)
        self.fitted = True

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Normalizes (B, C, bands, frames). Raises RequestError before the statistics are known."""
        if not self.fitted and bool((spectrogram[..., 1:] != spectrogram[..., :-1]).any()):
            raise RequestError(
                "normalization: the kind band has no statistics yet. Call fit with spectrograms of training "
                "clips, load weights, or use the kind clip_band, which needs none."
            )
        return (spectrogram - self.mean) / self.deviation


class InputBatchNorm(FittedNormalization):
    """Batch norm of the spectrogram with a learned scale and shift per channel, the same for all bands.

    Uses mean and variance of the batch in training, and running ones afterwards (Ioffe and Szegedy 2015).
    Music
    taggers use it before their first layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.loaded = False

    def fit(self, spectrograms: Iterable[Tensor]) -> None:
        """Sets the running statistics from spectrograms (B, C, bands, frames) of training clips, unless
        loaded.

        Training does not use them, but a frozen network, or an early evaluation, would otherwise get
        spectrograms
        that are not normalized.
        """
        if not self.loaded:
            settle(self, spectrograms)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Normalizes (B, C, bands, frames)."""
        result: Tensor = self.norm(spectrogram)
        return result


def _note_loaded(band: nn.Module, _keys: object) -> None:
    """Marks the module as fitted if the loaded weights contain statistics."""
    if isinstance(band, Band):
        band.fitted = bool(band.frames)


def _floored(deviation: Tensor) -> Tensor:
    """Returns the standard deviation, or 1 where it is about 0."""
    return torch.where(deviation > _LEAST, deviation, 1.0)


class BaseNormalizationSettings(Settings):
    """Base of the settings of a normalization: a frozen class with `kind`, its settings, and `build`.

    `build` returns a `FittedNormalization` if the normalization needs statistics of training clips.
    """

    kind: str

    def build(self, channels: int, bands: int) -> nn.Module:
        """Creates the module for spectrograms (B, channels, bands, frames); the shape does not change."""
        raise NotImplementedError


NORMALIZATIONS = Family("normalizations", BaseNormalizationSettings)
"""All kinds of normalizations; their union is `NormalizationSettings`, below."""


class NoneSettings(BaseNormalizationSettings):
    """No normalization."""

    kind: Literal["none"] = "none"

    def build(self, channels: int, bands: int) -> nn.Identity:
        """Creates the module for spectrograms (B, C, bands, frames) of any size."""
        return nn.Identity()


class ClipBandSettings(BaseNormalizationSettings):
    """Subtracts the mean of each band of the clip, which removes level, microphone and room."""

    kind: Literal["clip_band"] = "clip_band"
    scale: bool = False
    """Whether to divide by the standard deviation of the clip, over all bands."""

    def build(self, channels: int, bands: int) -> ClipBand:
        """Creates the module for spectrograms (B, C, bands, frames) of any size."""
        return ClipBand(self.scale)


class ClipSettings(BaseNormalizationSettings):
    """Subtracts the mean of the clip and divides by its standard deviation, over all bands and frames."""

    kind: Literal["clip"] = "clip"

    def build(self, channels: int, bands: int) -> PerClip:
        """Creates the module for spectrograms (B, C, bands, frames) of any size."""
        return PerClip()


class BandSettings(BaseNormalizationSettings):
    """Subtracts the mean of each band and divides by its standard deviation, both over the training clips."""

    kind: Literal["band"] = "band"

    def build(self, channels: int, bands: int) -> Band:
        """Creates the module for spectrograms (B, channels, bands, frames)."""
        return Band(channels, bands)


class BatchNormSettings(BaseNormalizationSettings):
    """Batch norm of each channel, with a learned scale and shift."""

    kind: Literal["batch_norm"] = "batch_norm"
    weights: str | None = None
    """Folder of a run with initial scale, shift and statistics; none: scale 1 and shift 0. backbone.weights
    sets
    the backbone only."""

    def build(self, channels: int, bands: int) -> InputBatchNorm:
        """Creates the module for spectrograms (B, channels, any, any).

        Raises RequestError if the weights do not fit.
        """
        module = InputBatchNorm(channels)
        if self.weights is not None:
            load_pretrained(module, self.weights, NORMALISATION, self)
            module.loaded = True
        return module


NormalizationSettings = Annotated[
    NoneSettings | ClipBandSettings | ClipSettings | BandSettings | BatchNormSettings,
    NORMALIZATIONS,
]
NORMALIZATIONS.bind(NormalizationSettings)
