"""Augmentations bend a sound or its picture as chance, drawn first, says; the union is the list of kinds."""

from typing import Annotated

from pydantic import Field

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

INTRODUCTION = (
    "Augmentations bend clips while training, so that what they change does not count: level, moment, "
    "noise, missing bands (Salamon and Bello 2017; Park et al. 2019). Too weak, and a small set is learnt "
    "by heart; too strong, or of the wrong sort, and what tells classes apart is bent away, as pitch is "
    "for tuned instruments. A set made larger by bent copies also trains longer, so a comparison must hold "
    "updates equal."
)
"""What the choice of a kind does, and what fails; for the documents of studies."""

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
    Field(discriminator="kind"),
]
