"""Networks that read a picture (B, C, bands, frames) and give a map; the union is the list of all kinds."""

from typing import Annotated

from pydantic import Field

from nearfield.models.backbones.cnn1d import CNN1DSettings
from nearfield.models.backbones.cnn2d import CNN2DSettings
from nearfield.models.backbones.conv_gru import ConvGRUSettings
from nearfield.models.backbones.convnet1d import ConvNet1DSettings
from nearfield.models.backbones.convnet2d import ConvNet2DSettings
from nearfield.models.backbones.deep_cnn import DeepCNNSettings
from nearfield.models.backbones.dense import DenseSettings
from nearfield.models.backbones.efficientnet import EfficientNetB0Settings
from nearfield.models.backbones.gru import GRUSettings
from nearfield.models.backbones.linear_projection import LinearProjectionSettings
from nearfield.models.backbones.musicnn import MusicnnSettings
from nearfield.models.backbones.musicnn_front import MusicnnFrontSettings
from nearfield.models.backbones.residual_stack import ResidualStackSettings
from nearfield.models.backbones.resnet import (
    ResNet18Settings,
    ResNet34Settings,
    ResNet50Settings,
    ResNet101Settings,
    ResNet152Settings,
)
from nearfield.models.backbones.short_chunk_cnn import ShortChunkCNNSettings
from nearfield.models.backbones.small_convnet import SmallConvnetSettings
from nearfield.models.backbones.stacked import StackedSettings
from nearfield.models.backbones.time_frequency import TimeFrequencySettings
from nearfield.models.backbones.transformer import TransformerSettings

INTRODUCTION = (
    "The backbone is the network that reads the picture. A small one is quick and may miss what is fine; a "
    "large one (He et al. 2016; for sound Hershey et al. 2017) can hold more, needs more clips, and costs "
    "more for every one of them. At equal updates a large network may be judged before it has converged, "
    "and the comparison holds neither time nor energy equal."
)
"""What the choice of a kind does, and what fails; for the documents of studies."""

BackboneSettings = Annotated[
    SmallConvnetSettings
    | ResNet18Settings
    | ResNet34Settings
    | ResNet50Settings
    | ResNet101Settings
    | ResNet152Settings
    | EfficientNetB0Settings
    | ConvNet1DSettings
    | ConvNet2DSettings
    | GRUSettings
    | ConvGRUSettings
    | DenseSettings
    | LinearProjectionSettings
    | CNN1DSettings
    | CNN2DSettings
    | DeepCNNSettings
    | ResidualStackSettings
    | TimeFrequencySettings
    | MusicnnSettings
    | MusicnnFrontSettings
    | StackedSettings
    | ShortChunkCNNSettings
    | TransformerSettings,
    Field(discriminator="kind"),
]

StackedSettings.model_rebuild(_types_namespace={"BackboneSettings": BackboneSettings})  # it holds two of them
