"""Augmentations bend a sound or its picture as chance, drawn first, says; the union is the list of kinds."""

from typing import Annotated

from pydantic import Field

from nearfield.models.augmentations.affine import AffineSettings
from nearfield.models.augmentations.band_shift import BandShiftSettings
from nearfield.models.augmentations.colour import ColourSettings
from nearfield.models.augmentations.cut_short import CutShortSettings
from nearfield.models.augmentations.flip import FlipSettings
from nearfield.models.augmentations.gain import GainSettings
from nearfield.models.augmentations.masks import FrequencyMaskSettings, TimeMaskSettings
from nearfield.models.augmentations.mix import MixSettings
from nearfield.models.augmentations.noise import NoiseSettings
from nearfield.models.augmentations.noise_floor import NoiseFloorSettings
from nearfield.models.augmentations.picture_stretch import PictureStretchSettings
from nearfield.models.augmentations.pitch import PitchSettings
from nearfield.models.augmentations.resized_crop import ResizedCropSettings
from nearfield.models.augmentations.shuffle_mix import ShuffleMixSettings
from nearfield.models.augmentations.stretch import StretchSettings
from nearfield.models.augmentations.time_shift import TimeShiftSettings

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
    | PictureStretchSettings
    | ResizedCropSettings
    | ColourSettings
    | AffineSettings
    | FlipSettings,
    Field(discriminator="kind"),
]
