"""Networks that read a picture (B, C, bands, frames) and give a map; the union is the list of all kinds."""

from typing import Annotated

from pydantic import Field

from nearfield.models.backbones.conv_gru import ConvGRUSettings
from nearfield.models.backbones.convnet1d import ConvNet1DSettings
from nearfield.models.backbones.convnet2d import ConvNet2DSettings
from nearfield.models.backbones.dense import DenseSettings
from nearfield.models.backbones.gru import GRUSettings
from nearfield.models.backbones.resnet import (
    ResNet18Settings,
    ResNet34Settings,
    ResNet50Settings,
    ResNet101Settings,
    ResNet152Settings,
)
from nearfield.models.backbones.small_convnet import SmallConvnetSettings

BackboneSettings = Annotated[
    SmallConvnetSettings
    | ResNet18Settings
    | ResNet34Settings
    | ResNet50Settings
    | ResNet101Settings
    | ResNet152Settings
    | ConvNet1DSettings
    | ConvNet2DSettings
    | GRUSettings
    | ConvGRUSettings
    | DenseSettings,
    Field(discriminator="kind"),
]
