"""Features make a picture of a sound; the union is the list of all kinds."""

from typing import Annotated

from pydantic import Field

from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.features.mfcc import MFCCSettings
from nearfield.models.features.multi_log_mel import MultiLogMelSettings
from nearfield.models.features.pixels import PixelsSettings
from nearfield.models.features.waveform import WaveformSettings

FeatureSettings = Annotated[
    LogMelSettings | MFCCSettings | MultiLogMelSettings | WaveformSettings | PixelsSettings,
    Field(discriminator="kind"),
]
