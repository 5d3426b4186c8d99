"""Pretrained encoders of sound: audio spectrogram transformer, CLAP, wav2vec 2.0, HuBERT, WavLM.

They come from the library transformers (extra `hub`), read safetensors only, and run none of the publisher's
code. All read the wave: the recipe's feature is `waveform`, its sample rate the encoder's own, and the
picture that an encoder wants is made inside (`transformer_inputs`). `normalise: {kind: none}` leaves the
level as it was in the encoder's training.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from pydantic import JsonValue, model_validator
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.files import digest
from nearfield.core.settings import Settings
from nearfield.models.backbones.transformer_inputs import KaldiLogMel, RepeatedLogMel, ScaledWave
from nearfield.models.backbones.transformer_source import (
    describe_source,
    find_source,
    is_run,
    quiet_library,
    transformers_library,
)
from nearfield.models.pooling import Pooling
from nearfield.models.pretrained import BACKBONE, load_pretrained

log = logging.getLogger(__name__)

NOT_STORED = ("masked_spec_embed",)
"""Parts of names of weights that training alone reads: a checkpoint may lack them."""


@dataclass(frozen=True)
class Family:
    """One architecture of the library."""

    network: str
    """The class in transformers."""
    sample_rate: int
    """Hertz, where the publisher does not say it."""


FAMILIES = {
    "audio-spectrogram-transformer": Family("ASTModel", 16000),
    "clap": Family("ClapAudioModelWithProjection", 48000),
    "clap_audio_model": Family("ClapAudioModelWithProjection", 48000),
    "wav2vec2": Family("Wav2Vec2Model", 16000),
    "hubert": Family("HubertModel", 16000),
    "wavlm": Family("WavLMModel", 16000),
}
"""By `model_type` of a published config.json."""


class Transformer(nn.Module):
    """Waves as a picture (B, C, 1, T), the mean of whose channels is read -> (B, F, steps), or (B, F) where
    the encoder has a summary of its own (audio spectrogram transformer, CLAP)."""

    pooling: Pooling = "mean"

    def __init__(self, network: nn.Module, inputs: nn.Module) -> None:
        super().__init__()
        self.network = without_fusion(network)
        self.inputs = inputs

    @property
    def longest(self) -> int | None:
        """Samples that the encoder takes at most; None: any number."""
        return cast(int | None, self.inputs.longest)

    def forward(self, picture: Tensor) -> Tensor:
        if self.longest is not None and picture.shape[-1] > self.longest:
            raise RequestError(
                f"This encoder takes {self.longest} samples at most. Given: {picture.shape[-1]}. "
                "Cut the sound into windows."
            )
        with torch.autocast(picture.device.type, enabled=False):
            given = self.inputs(picture.float().flatten(1, 2).mean(1))
        found = self.network(**given)
        for name in ("audio_embeds", "pooler_output"):
            if getattr(found, name, None) is not None:
                return cast(Tensor, getattr(found, name))
        return cast(Tensor, found.last_hidden_state.transpose(1, 2))


def without_fusion(network: nn.Module) -> nn.Module:
    """The same network told that no sound is longer than its window, which windows never are: what CLAP would
    fuse with the whole then takes no part."""
    module: Any
    for module in network.modules():
        if getattr(module, "enable_fusion", False):
            module.enable_fusion = False
    return network


class TransformerSettings(Settings):
    """A published encoder, frozen or tuned (`embedding.train`): small sets gain by what large ones taught."""

    kind: Literal["transformer"] = "transformer"
    weights: str | None = None
    """The encoder: hub:OWNER/NAME, a folder with config.json and model.safetensors, or a run's folder."""
    described: dict[str, JsonValue] | None = None
    """What stands there of the architecture, the sound it reads and its licence; filled in by reading it."""

    @model_validator(mode="before")
    @classmethod
    def _described(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("weights"), str):
            return given
        described = given.get("described")
        if isinstance(described, dict) and described.get("source") == given["weights"]:
            return given
        return {**given, "described": describe_source(given["weights"], FAMILIES)}

    @property
    def licence(self) -> str | None:
        """Of the published weights, as their own files state it; None where they do not."""
        found = (self.described or {}).get("licence")
        return found if isinstance(found, str) else None

    @property
    def sample_rate(self) -> int:
        """Hertz that the encoder was trained at."""
        preprocessor = self._part("preprocessor")
        return int(preprocessor.get("sampling_rate", self._family().sample_rate))

    def check_reading(self, feature: str, sample_rate: int) -> None:
        """Raises RequestError where the recipe's feature or sample rate (Hz) is not the encoder's."""
        if feature != "waveform":
            raise RequestError(
                f"feature.kind: {feature!r} makes a picture, and the backbone transformer reads the wave and "
                "makes its own. Set feature.kind=waveform."
            )
        if sample_rate != self.sample_rate:
            raise RequestError(
                f"data.sample_rate: {sample_rate} Hz, and the encoder was trained at {self.sample_rate} Hz. "
                f"Set data.sample_rate={self.sample_rate}."
            )

    def build(self, channels: int, bands: int, frames: int) -> Transformer:
        """For waves as pictures (B, channels, 1, frames).

        Raises RequestError where there is no encoder to build, it cannot take so many samples, its weights
        are no safetensors or not whole, or the library is missing.
        """
        if bands != 1:
            self.check_reading("another", self.sample_rate)
        library = transformers_library()
        network_class = getattr(library, self._family().network)
        config = network_class.config_class.from_dict(self._part("config"))
        module = Transformer(network_class(config), self._inputs(config))
        if module.longest is not None and frames > module.longest:
            raise RequestError(
                f"data.clip_seconds: this encoder takes {module.longest / self.sample_rate:.2f} s at most. "
                f"Given: {frames / self.sample_rate:g} s. Longer clips are cut into windows of that length."
            )
        if self.weights is not None:
            self._load(module, network_class, config)
        return module

    def _load(self, module: Transformer, network_class: Any, config: Any) -> None:
        assert self.weights is not None
        if is_run(self.weights):
            load_pretrained(module, self.weights, BACKBONE, self)
            return
        folder = find_source(self.weights, with_weights=True)
        try:
            with quiet_library():
                network, report = network_class.from_pretrained(
                    folder,
                    config=config,
                    use_safetensors=True,
                    trust_remote_code=False,
                    local_files_only=True,
                    output_loading_info=True,
                )
        except Exception as error:  # the library's errors have no common root
            raise RequestError(
                f"backbone.weights: {self.weights} could not be loaded: {str(error).splitlines()[0]}"
            ) from error
        lacking = sorted(
            name for name in report["missing_keys"] if not any(part in name for part in NOT_STORED)
        )
        if lacking or report["mismatched_keys"]:
            named = ", ".join([*lacking, *map(str, report["mismatched_keys"])][:5])
            raise RequestError(
                f"backbone.weights: {self.weights} does not hold the whole encoder: {named} missing or of "
                "another shape. Download it again, or choose another publication."
            )
        module.network = without_fusion(network.float())
        module.weights_source = self._source(folder)  # type: ignore[assignment]
        log.info("weights of %s from %s, licence %s", self.kind, self.weights, self.licence or "not stated")

    def _source(self, folder: Path) -> dict[str, Any]:
        files = {path.name: digest(path) for path in sorted(folder.glob("*.safetensors"))}
        sha256 = files.get("model.safetensors") or next(iter(files.values()))
        return {"source": self.weights, "sha256": sha256, "licence": self.licence}

    def _inputs(self, config: Any) -> nn.Module:
        preprocessor = self._part("preprocessor")
        name = self._family().network
        if name == "ASTModel":
            return KaldiLogMel(preprocessor, config)
        if name == "ClapAudioModelWithProjection":
            return RepeatedLogMel(preprocessor, config)
        return ScaledWave(preprocessor)

    def _family(self) -> Family:
        if self.described is None:
            raise RequestError(
                "backbone.weights: a transformer needs to know which one. Give hub:OWNER/NAME, as in "
                "hub:laion/clap-htsat-unfused, or a folder with config.json and model.safetensors."
            )
        return FAMILIES[str(self.described["model_type"])]

    def _part(self, name: str) -> dict[str, Any]:
        self._family()
        return cast(dict[str, Any], (self.described or {}).get(name) or {})
