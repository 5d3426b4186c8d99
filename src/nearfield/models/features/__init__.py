"""Features make a picture of a sound; the union is the list of all kinds."""

from typing import Annotated

from nearfield.models.features.feature import FEATURES, PixelsSettings, WaveformSettings
from nearfield.models.features.log_mel import LogMelSettings, MultiLogMelSettings
from nearfield.models.features.mfcc import MFCCSettings

FeatureSettings = Annotated[
    LogMelSettings | MFCCSettings | MultiLogMelSettings | WaveformSettings | PixelsSettings,
    FEATURES,
]
FEATURES.bind(FeatureSettings)
