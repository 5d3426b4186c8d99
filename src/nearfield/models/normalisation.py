"""Normalisation: what is taken away from a picture before the backbone sees it, and is then never missed."""

from collections.abc import Iterable
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Settings
from nearfield.models.batch_norm import settle
from nearfield.models.pretrained import NORMALISATION, load_pretrained

_LEAST = 1e-5
"""A deviation below this is taken for none: silence is not blown up."""


class ClipBand(nn.Module):
    """Takes each clip's own mean away, channel by channel and band by band: level, microphone, room.

    What is left is how the sound moves in time. With `scale` the result is divided by one deviation a clip,
    over all its bands, so that how lively bands are beside each other stays. Frames of silence that were put
    behind a short clip count in its mean.
    """

    def __init__(self, scale: bool) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, picture: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same."""
        centred = picture - picture.mean(dim=-1, keepdim=True)
        return (
            centred / _floored(centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())
            if self.scale
            else centred
        )


class Clip(nn.Module):
    """Takes each clip's mean away and divides by its deviation, both over all channels, bands and frames."""

    def forward(self, picture: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same."""
        centred = picture - picture.mean(dim=(1, 2, 3), keepdim=True)
        return centred / _floored(centred.square().mean(dim=(1, 2, 3), keepdim=True).sqrt())


class Band(nn.Module):
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
    def fit(self, pictures: Iterable[Tensor]) -> None:
        """Sets the statistics from pictures (B, C, bands, frames) of training clips, in one pass.

        Deviations are of the population, added up in float64 about a running mean (Chan, Golub and LeVeque,
        1979). Raises RequestError where there is no picture.
        """
        count, mean, spread = 0, self.mean.double(), torch.zeros_like(self.mean, dtype=torch.float64)
        for picture in pictures:
            columns = picture.to(self.mean.device).double().movedim(0, -1).flatten(2)
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
                "normalisation: band statistics need at least one training clip; there was none."
            )
        self.mean.copy_(mean)
        self.deviation.copy_(_floored((spread / count).sqrt()))
        self.frames.fill_(count)
        self.fitted = True

    def forward(self, picture: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same. Raises RequestError before the statistics are known."""
        if not self.fitted and bool((picture[..., 1:] != picture[..., :-1]).any()):
            raise RequestError(
                "normalisation: kind band has no statistics yet. Call fit with the training clips' pictures, "
                "load weights, or choose normalisation clip_band, which needs none."
            )
        return (picture - self.mean) / self.deviation


class InputBatchNorm(nn.Module):
    """Batch norm of the picture: one scale and one shift a channel, learned, the same for all bands.

    While training with the batch's mean and variance, afterwards with running ones (Ioffe and Szegedy 2015),
    as music taggers have it in front of their first layer.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.loaded = False

    def fit(self, pictures: Iterable[Tensor]) -> None:
        """Sets the running statistics from training clips' pictures (B, C, bands, frames), unless loaded.

        Training itself never reads them; a frozen network, or one judged early, would else see a picture that
        is not normalised at all.
        """
        if not self.loaded:
            settle(self, pictures)

    def forward(self, picture: Tensor) -> Tensor:
        """(B, C, bands, frames) -> the same."""
        result: Tensor = self.norm(picture)
        return result


def _note_loaded(band: nn.Module, _keys: object) -> None:
    """Weights that were stored after a fit bring its statistics."""
    if isinstance(band, Band):
        band.fitted = bool(band.frames)


def _floored(deviation: Tensor) -> Tensor:
    """The deviation, or 1 where there is none."""
    return torch.where(deviation > _LEAST, deviation, 1.0)


class NoneSettings(Settings):
    """Nothing is taken away."""

    kind: Literal["none"] = "none"

    def build(self, channels: int, bands: int) -> nn.Identity:
        """For pictures (B, C, bands, frames) of any size."""
        return nn.Identity()


class ClipBandSettings(Settings):
    """Each clip's own mean is taken away, band by band."""

    kind: Literal["clip_band"] = "clip_band"
    scale: bool = False
    """Whether the result is divided by one deviation a clip."""

    def build(self, channels: int, bands: int) -> ClipBand:
        """For pictures (B, C, bands, frames) of any size."""
        return ClipBand(self.scale)


class ClipSettings(Settings):
    """Each clip's own mean and deviation are taken away, over the whole clip."""

    kind: Literal["clip"] = "clip"

    def build(self, channels: int, bands: int) -> Clip:
        """For pictures (B, C, bands, frames) of any size."""
        return Clip()


class BandSettings(Settings):
    """Each band's mean and deviation over the training clips are taken away."""

    kind: Literal["band"] = "band"

    def build(self, channels: int, bands: int) -> Band:
        """For pictures (B, channels, bands, frames)."""
        return Band(channels, bands)


class BatchNormSettings(Settings):
    """Each channel is normalised over the batch, with a scale and a shift that are learned."""

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


INTRODUCTION = (
    "What is taken away from the picture before the network sees it. Each clip's mean in each band is its "
    "level, microphone and room (Atal 1974): where these go with the class in training and not afterwards, "
    "taking it away helps much, as with speakers never heard before. Where level or colour are what tells "
    "classes apart, it takes away the answer."
)
"""What the choice of a kind does, and what fails; for the documents of studies."""

NormalisationSettings = Annotated[
    NoneSettings | ClipBandSettings | ClipSettings | BandSettings | BatchNormSettings,
    Field(discriminator="kind"),
]
