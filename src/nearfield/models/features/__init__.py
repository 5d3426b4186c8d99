"""Features make a picture of a sound; the union is the list of all kinds."""

from typing import Annotated

from pydantic import Field

from nearfield.models.features.feature import PixelsSettings, WaveformSettings
from nearfield.models.features.log_mel import LogMelSettings, MultiLogMelSettings
from nearfield.models.features.mfcc import MFCCSettings

FeatureSettings = Annotated[
    LogMelSettings | MFCCSettings | MultiLogMelSettings | WaveformSettings | PixelsSettings,
    Field(discriminator="kind"),
]
