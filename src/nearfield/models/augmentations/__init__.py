"""Augmentations of waves and spectrograms; `AugmentationSettings` is the union of all kinds."""

from typing import Annotated

from nearfield.models.augmentations.augmentation import AUGMENTATIONS
from nearfield.models.augmentations.images import AffineSettings, FlipSettings
from nearfield.models.augmentations.spectrograms import (
    BandShiftSettings,
    CutShortSettings,
    EqualizerSettings,
    FrequencyMaskSettings,
    NoiseFloorSettings,
    ResizedCropSettings,
    SpectrogramStretchSettings,
    TimeMaskSettings,
)
from nearfield.models.augmentations.waves import (
    GainSettings,
    MixSettings,
    NoiseSettings,
    PitchSettings,
    ShuffleMixSettings,
    StretchSettings,
    TimeShiftSettings,
)

AugmentationSettings = Annotated[
    NoiseSettings
    | NoiseFloorSettings
    | GainSettings
    | MixSettings
    | ShuffleMixSettings
    | StretchSettings
    | PitchSettings
    | TimeShiftSettings
    | TimeMaskSettings
    | FrequencyMaskSettings
    | CutShortSettings
    | BandShiftSettings
    | SpectrogramStretchSettings
    | ResizedCropSettings
    | EqualizerSettings
    | AffineSettings
    | FlipSettings,
    AUGMENTATIONS,
]
AUGMENTATIONS.bind(AugmentationSettings)
