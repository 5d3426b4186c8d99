"""Features make a picture of a sound; the union is the list of all kinds."""

from typing import Annotated

from pydantic import Field

from nearfield.models.features.feature import PixelsSettings, WaveformSettings
from nearfield.models.features.log_mel import LogMelSettings, MultiLogMelSettings
from nearfield.models.features.mfcc import MFCCSettings

INTRODUCTION = (
    "The feature is the picture of sound that the network reads. Log-mel bands keep what hearing keeps; "
    "MFCC are a few cosines over them, small, made for speech, and blind to fine structure (Davis and "
    "Mermelstein 1980). The raw wave leaves everything to the network, which then needs more clips and "
    "time to find what the others give it (Dieleman and Schrauwen 2014). Pictures of other sizes also make "
    "another network of the same backbone."
)
"""What the choice of a kind does, and what fails; for the documents of studies."""

FeatureSettings = Annotated[
    LogMelSettings | MFCCSettings | MultiLogMelSettings | WaveformSettings | PixelsSettings,
    Field(discriminator="kind"),
]
