"""Networks that read a picture (B, C, bands, frames) and give a map; the union is the list of all kinds."""

from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.models.backbones.backbone import BACKBONES, Loadable, TooSmallError, pooling_of
from nearfield.models.backbones.convnets import (
    DenseSettings,
    EfficientNetB0Settings,
    LinearProjectionSettings,
    SmallConvnetSettings,
)
from nearfield.models.backbones.dcase import (
    ConvGRUSettings,
    ConvNet1DSettings,
    ConvNet2DSettings,
    GRUSettings,
)
from nearfield.models.backbones.music import (
    CNN1DSettings,
    CNN2DSettings,
    DeepCNNSettings,
    MusicnnFrontSettings,
    MusicnnSettings,
    ResidualStackSettings,
    ShortChunkCNNSettings,
    TimeFrequencySettings,
)
from nearfield.models.backbones.resnet import (
    ResNet18Settings,
    ResNet34Settings,
    ResNet50Settings,
    ResNet101Settings,
    ResNet152Settings,
)
from nearfield.models.backbones.transformer import TransformerSettings
from nearfield.models.layers import evaluating

# A backbone behind another: the first reads the picture, the second the first one's map.


class Stacked(nn.Module):
    """(B, C, bands, T) -> what the stack makes of the front's map."""

    def __init__(self, front: nn.Module, stack: nn.Module) -> None:
        super().__init__()
        self.front = front
        self.stack = stack
        self.pooling = pooling_of(stack)

    def forward(self, spectrogram: Tensor) -> Tensor:
        map: Tensor = self.stack(as_picture(self.front(spectrogram)))
        return map


def as_picture(map: Tensor) -> Tensor:
    """(B, F), (B, F, T) or (B, F, bands, T) -> (B, F, bands, T): one band, or one place, at least."""
    if map.ndim == 2:
        return map[..., None, None]
    return map[:, :, None] if map.ndim == 3 else map


class StackedSettings(Loadable):
    """A front and a stack: any backbone on the map of any other. As it stands: musical filters, then four
    residual blocks over time."""

    kind: Literal["stacked"] = "stacked"
    front: "BackboneSettings" = MusicnnFrontSettings()
    """The backbone that reads the picture."""
    stack: "BackboneSettings" = ResidualStackSettings(pool=(1, 2), kernel=(1, 3))
    """The backbone that reads the front's map; of one band behind musicnn_front."""

    def build(self, channels: int, bands: int, frames: int) -> Stacked:
        """For pictures (B, channels, bands, frames); raises RequestError where the stack cannot read what
        the front gives."""
        front = self.front.build(channels, bands, frames)
        with torch.no_grad(), evaluating(front):
            given = as_picture(front(torch.zeros(2, channels, bands, frames))).shape[1:]
        try:
            stack = self.stack.build(*given)
        except TooSmallError:
            raise RequestError(
                f"backbone.stack: {self.stack.kind} cannot read what {self.front.kind} gives: "
                f"{given[0]} channels of {given[1]} bands x {given[2]} frames. Pool less in the stack "
                "(backbone.stack.pool: [1, 2] keeps the bands), or take another front or stack."
            ) from None
        return self.with_pretrained(Stacked(front, stack))


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
    BACKBONES,
]
BACKBONES.bind(BackboneSettings)

StackedSettings.model_rebuild(_types_namespace={"BackboneSettings": BackboneSettings})  # it holds two of them
