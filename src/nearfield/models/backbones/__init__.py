"""Backbones map spectrograms (B, C, bands, frames) to a map; `BackboneSettings` is the union of all kinds."""

from typing import Annotated

from nearfield.models.backbones.backbone import BACKBONES
from nearfield.models.backbones.convnets import (
    DenseSettings,
    EfficientNetB0Settings,
    LinearProjectionSettings,
    SmallConvnetSettings,
)
from nearfield.models.backbones.resnet import (
    ResNet18Settings,
    ResNet34Settings,
    ResNet50Settings,
    ResNet101Settings,
    ResNet152Settings,
)
from nearfield.models.backbones.transformer import TransformerSettings

BackboneSettings = Annotated[
    SmallConvnetSettings
    | ResNet18Settings
    | ResNet34Settings
    | ResNet50Settings
    | ResNet101Settings
    | ResNet152Settings
    | EfficientNetB0Settings
    | DenseSettings
    | LinearProjectionSettings
    | TransformerSettings,
    BACKBONES,
]
BACKBONES.bind(BackboneSettings)
