"""One part from its kind and settings: `feature("log_mel", bands=64)`, `backbone("resnet18")`."""

from typing import Any

from torch import nn

from nearfield.core.settings import make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.features import FeatureSettings
from nearfield.models.features.feature import Feature


def feature(kind: str, *, sample_rate: int = 16000, channels: int = 1, **settings: Any) -> Feature:
    """A feature: waves (B, channels, T) at `sample_rate` Hz -> pictures (B, C, bands, frames).

    Raises RequestError for an unknown kind or setting.
    """
    built: Feature = make(FeatureSettings, "feature", {"kind": kind, **settings}).build(sample_rate, channels)
    return built


def backbone(
    kind: str, *, channels: int = 1, bands: int = 64, frames: int = 98, **settings: Any
) -> nn.Module:
    """A backbone for pictures (B, channels, bands, frames).

    Raises RequestError for an unknown kind or setting.
    """
    built: nn.Module = make(BackboneSettings, "backbone", {"kind": kind, **settings}).build(
        channels, bands, frames
    )
    return built
