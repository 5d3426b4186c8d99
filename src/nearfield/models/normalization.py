"""Normalization of features, and batch norm statistics over processes or from clips."""

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

# Batch norm's statistics: taken over all processes while training, and set from clips without training.


class GatheredBatchNorm(_BatchNorm):
    """Batch norm of (B, F, ...) whose training statistics are those of all processes' batches together.

    Parameters and buffers are named as those of `nn.BatchNorm2d`. Mean and variance are gathered one after
    the other, as one pass over squares loses digits. torch's own `SyncBatchNorm` needs CUDA.
    """

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
    """The sum over all processes; gradients are summed likewise."""

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
    """Replaces every batch norm inside `module`, keeping parameters and buffers; returns the module.

    Two processes with half a batch each then do what one process does with the whole. Call it before the
    optimiser or data-parallel wrapper sees the module; with one process nothing changes.
    """
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
    """Sets every batch norm's statistics to the mean over `batches`, each given to `module`; learns nothing.

    What an untrained encoder needs before it can serve as a baseline: with statistics of 0 and 1 its maps
    would not be normalized at all. Dropout stays off; afterwards modes and momenta are as before.
    """
    modes = {layer: layer.training for layer in module.modules()}
    norms: list[Any] = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's sign for a plain mean over all batches
        norm.training = True
    try:
        for batch in batches:
            module(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for layer, mode in modes.items():
            layer.training = mode


# Normalization: what is taken away from a picture before the backbone sees it, and is then never missed.

_LEAST = 1e-5
"""A deviation below this is taken for none: silence is not blown up."""


class FittedNormalization(nn.Module):
    """A normalization with statistics of training clips."""

    @abstractmethod
    def fit(self, spectrograms: Iterable[Tensor]) -> None:
        """Sets the statistics from spectrograms (B, C, bands, frames) of training clips."""


class ClipBand(nn.Module):
    """Takes each clip's own mean away, channel by channel and band by band: level, microphone, room.

    What is left is how the sound moves in time. With `scale` the result is divided by one deviation a clip,
    over all its bands, so that how lively bands are beside each other stays. Frames of silence that were put
    behind a short clip count in its mean.
    """

    def __init__(self, scale: bool) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same."""
        centred = spectrogram - spectrogram.mean(dim=-1, keepdim=True)
        return (
            centred / _floored(centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())
            if self.scale
            else centred
        )


class PerClip(nn.Module):
    """Takes each clip's mean away and divides by its deviation, both over all channels, bands and frames."""

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same."""
        centred = spectrogram - spectrogram.mean(dim=(1, 2, 3), keepdim=True)
        return centred / _floored(centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())


class Band(FittedNormalization):
    """Takes each band's mean over the training clips away and divides by its deviation over them.

    The statistics are buffers, stored with the weights. Before `fit` (or loading), a picture that changes in
    time is refused; a silent one is let through, so that shapes can be found out.
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
        """Sets the statistics from pictures (B, C, bands, frames) of training clips, in one pass.

        Deviations are of the population, added up in float64 about a running mean (Chan, Golub and LeVeque,
        1979). Raises RequestError where there is no picture.
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
                "normalization: band statistics need at least one training clip; there was none."
            )
        self.mean.copy_(mean)
        self.deviation.copy_(_floored((spread / count).sqrt()))
        self.frames.fill_(count)
        self.fitted = True

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same. Raises RequestError before the statistics are known."""
        if not self.fitted and bool((spectrogram[..., 1:] != spectrogram[..., :-1]).any()):
            raise RequestError(
                "normalization: kind band has no statistics yet. Call fit with the training clips' pictures, "
                "load weights, or choose normalization clip_band, which needs none."
            )
        return (spectrogram - self.mean) / self.deviation


class InputBatchNorm(FittedNormalization):
    """Batch norm of the picture: one scale and one shift a channel, learned, the same for all bands.

    While training with the batch's mean and variance, afterwards with running ones (Ioffe and Szegedy 2015),
    as music taggers have it in front of their first layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.loaded = False

    def fit(self, spectrograms: Iterable[Tensor]) -> None:
        """Sets the running statistics from training clips' pictures (B, C, bands, frames), unless loaded.

        Training itself never reads them; a frozen network, or one judged early, would else see a picture that
        is not normalized at all.
        """
        if not self.loaded:
            settle(self, spectrograms)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same."""
        result: Tensor = self.norm(spectrogram)
        return result


def _note_loaded(band: nn.Module, _keys: object) -> None:
    """Weights that were stored after a fit bring its statistics."""
    if isinstance(band, Band):
        band.fitted = bool(band.frames)


def _floored(deviation: Tensor) -> Tensor:
    """The deviation, or 1 where there is none."""
    return torch.where(deviation > _LEAST, deviation, 1.0)


class BaseNormalizationSettings(Settings):
    """What the settings of every normalization extend: a frozen class with `kind`, its settings, and
    `build`, which gives a `FittedNormalization` where training clips set something."""

    kind: str

    def build(self, channels: int, bands: int) -> nn.Module:
        """Reads spectrograms (B, channels, bands, frames) and gives the same shape."""
        raise NotImplementedError


NORMALIZATIONS = Family("normalizations", BaseNormalizationSettings)
"""All kinds of normalizations; the list is `NormalizationSettings`, below."""


class NoneSettings(BaseNormalizationSettings):
    """Nothing is taken away."""

    kind: Literal["none"] = "none"

    def build(self, channels: int, bands: int) -> nn.Identity:
        """For pictures (B, C, bands, frames) of any size."""
        return nn.Identity()


class ClipBandSettings(BaseNormalizationSettings):
    """Each clip's own mean is taken away, band by band."""

    kind: Literal["clip_band"] = "clip_band"
    scale: bool = False
    """Whether the result is divided by one deviation a clip."""

    def build(self, channels: int, bands: int) -> ClipBand:
        """For pictures (B, C, bands, frames) of any size."""
        return ClipBand(self.scale)


class ClipSettings(BaseNormalizationSettings):
    """Each clip's own mean and deviation are taken away, over the whole clip."""

    kind: Literal["clip"] = "clip"

    def build(self, channels: int, bands: int) -> PerClip:
        """For pictures (B, C, bands, frames) of any size."""
        return PerClip()


class BandSettings(BaseNormalizationSettings):
    """Each band's mean and deviation over the training clips are taken away."""

    kind: Literal["band"] = "band"

    def build(self, channels: int, bands: int) -> Band:
        """For pictures (B, channels, bands, frames)."""
        return Band(channels, bands)


class BatchNormSettings(BaseNormalizationSettings):
    """Each channel is normalized over the batch, with a scale and a shift that are learned."""

    kind: Literal["batch_norm"] = "batch_norm"
    weights: str | None = None
    """Scale, shift and statistics to begin from, beside backbone.weights: a run's folder; none: 1 and 0."""

    def build(self, channels: int, bands: int) -> InputBatchNorm:
        """For pictures (B, channels, any, any); raises RequestError where the weights do not fit."""
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
