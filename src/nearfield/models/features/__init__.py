"""Features, such as the log-mel spectrogram; `FeatureSettings` is the union of all kinds."""

from typing import Annotated

from nearfield.models.features.feature import FEATURES, PixelsSettings, WaveformSettings
from nearfield.models.features.log_mel import LogMelSettings, MultiLogMelSettings
from nearfield.models.features.mfcc import MFCCSettings

FeatureSettings = Annotated[
    LogMelSettings | MFCCSettings | MultiLogMelSettings | WaveformSettings | PixelsSettings,
    FEATURES,
]
FEATURES.bind(FeatureSettings)
