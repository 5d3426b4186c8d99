"""What pretrained encoders read, made of the wave inside the network: each family's own picture or scaling.

The arithmetic is that of the families' feature extractors in the library transformers, in torch, batched, on
the device; tests compare with those.
"""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nearfield.models.features.log_mel import LogMel, MelSettings

Given = dict[str, Tensor]
"""Arguments of the encoder by name."""


class ScaledWave(nn.Module):
    """Waves (B, T) as wav2vec 2.0, HuBERT and WavLM read them: each at mean 0 and variance 1, if asked."""

    longest: int | None = None
    """Samples; None: any number."""

    def __init__(self, preprocessor: Mapping[str, Any]) -> None:
        super().__init__()
        self.scale = bool(preprocessor.get("do_normalize", True))

    def forward(self, waves: Tensor) -> Given:
        if self.scale:
            centred = waves - waves.mean(dim=1, keepdim=True)
            waves = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        return {"input_values": waves}


class KaldiLogMel(nn.Module):
    """Waves (B, T) -> log-mel (B, length, bands) as the audio spectrogram transformer reads them.

    Frames of 25 ms every 10 ms, each without its mean and with pre-emphasis, under a Hann window; mel bands
    of powers by Kaldi's formula from 20 Hz to half the rate; filled up with zeros to the encoder's length.
    All that is linear is one convolution. Gong, Chung and Glass 2021, "AST", section 2.1.
    """

    waves: Tensor
    filters: Tensor

    def __init__(self, preprocessor: Mapping[str, Any], config: Any) -> None:
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        rate = int(preprocessor.get("sampling_rate", 16000))
        self.length, self.bands = int(config.max_length), int(config.num_mel_bins)
        self.window, self.hop, self.fft = 400, 160, 512
        self.longest = self.window + (self.length - 1) * self.hop + self.hop - 1
        self.scale = bool(preprocessor.get("do_normalize", True))
        self.mean = float(preprocessor.get("mean", -4.2677393))
        self.deviation = float(preprocessor.get("std", 4.5689974))
        filters = mel_filter_bank(
            num_frequency_bins=self.fft // 2 + 1,
            num_mel_filters=self.bands,
            min_frequency=20,
            max_frequency=rate // 2,
            sampling_rate=rate,
            norm=None,
            mel_scale="kaldi",
            triangularize_in_mel_space=True,
        )
        self.register_buffer("filters", torch.from_numpy(filters).float(), persistent=False)
        self.register_buffer("waves", _emphasised_waves(self.window, self.fft), persistent=False)

    def forward(self, waves: Tensor) -> Given:
        parts = F.conv1d(waves.unsqueeze(1), self.waves, stride=self.hop)
        real, imaginary = parts.chunk(2, dim=1)
        power = (real * real + imaginary * imaginary).transpose(1, 2)
        picture = (power @ self.filters).clamp(min=1.192092955078125e-07).log()
        picture = F.pad(picture, (0, 0, 0, self.length - picture.shape[1]))
        return {"input_values": (picture - self.mean) / (2 * self.deviation) if self.scale else picture}


class RepeatedLogMel(nn.Module):
    """Waves (B, T) -> log-mel in decibels (B, 1, frames, bands) as CLAP's audio encoder reads them.

    Sounds shorter than the encoder's window are repeated as often as they fit whole, and zeros follow. Wu et
    al. 2023, "Large-scale contrastive language-audio pretraining", section 3. Encoders that were taught to
    fuse views of longer sounds have mel bands of another scale.
    """

    def __init__(self, preprocessor: Mapping[str, Any], config: Any) -> None:
        super().__init__()
        rate = int(preprocessor.get("sampling_rate", 48000))
        self.longest = round(preprocessor.get("max_length_s", 10) * rate)
        fuses = bool(config.enable_fusion)
        fft, hop = int(preprocessor.get("fft_window_size", 1024)), int(preprocessor.get("hop_length", 480))
        settings = MelSettings(
            bands=config.num_mel_bins,
            low=preprocessor.get("frequency_min", 0),
            high=preprocessor.get("frequency_max", 14000),
            fft=fft,
            padding="reflect",
            scale="htk" if fuses else "slaney",
            area_norm=not fuses,
            power=2,
            log="db",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # empty bands are the encoder's own choice
            self.log_mel: LogMel = settings.log_mel(rate, 1, 1000 * fft / rate, 1000 * hop / rate)

    def forward(self, waves: Tensor) -> Given:
        samples = waves.shape[1]
        whole = waves.repeat(1, self.longest // samples)
        whole = F.pad(whole, (0, self.longest - whole.shape[1]))
        return {"input_features": self.log_mel(whole.unsqueeze(1)).transpose(2, 3)}


def _emphasised_waves(window: int, fft: int) -> Tensor:
    """(2 x bins, 1, window): what a frame meets: mean off, emphasis, window, then cosines and sines."""
    moments = torch.arange(window, dtype=torch.float64)
    bins = torch.arange(fft // 2 + 1, dtype=torch.float64)[:, None]
    angles = 2 * torch.pi * torch.remainder(bins * moments, fft) / fft
    emphasis = torch.eye(window, dtype=torch.float64) - 0.97 * torch.diag(torch.ones(window - 1).double(), -1)
    emphasis[0, 0] = 1 - 0.97
    centring = torch.eye(window, dtype=torch.float64) - 1 / window
    shape = torch.hann_window(window, periodic=False, dtype=torch.float64)
    waves = torch.cat([angles.cos(), angles.sin()]) * shape
    return (waves @ emphasis @ centring).float().unsqueeze(1)
