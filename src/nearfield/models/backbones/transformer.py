"""Pretrained transformers of the Hugging Face Hub: inputs, sources, networks."""

import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import JsonValue, model_validator
from torch import Tensor, nn

from nearfield.core.errors import RequestError, choose
from nearfield.core.files import digest
from nearfield.core.plain_yaml import read_yaml
from nearfield.models.backbones.backbone import BaseBackboneSettings
from nearfield.models.features.log_mel import LogMel, MelSettings
from nearfield.models.layers import Pooling
from nearfield.models.pretrained import BACKBONE, HUB, load_pretrained, stated_licence

# What pretrained encoders read, made of the wave inside the network: each family's own picture or scaling.
#
# The arithmetic is that of the families' feature extractors in the library transformers, in torch, batched,
# on the device; tests compare with those.

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
        spectrogram = (power @ self.filters).clamp(min=1.192092955078125e-07).log()
        spectrogram = F.pad(spectrogram, (0, 0, 0, self.length - spectrogram.shape[1]))
        return {
            "input_values": (spectrogram - self.mean) / (2 * self.deviation) if self.scale else spectrogram
        }


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
    samples = torch.arange(window, dtype=torch.float64)
    bins = torch.arange(fft // 2 + 1, dtype=torch.float64)[:, None]
    angles = 2 * torch.pi * torch.remainder(bins * samples, fft) / fft
    emphasis = torch.eye(window, dtype=torch.float64) - 0.97 * torch.diag(torch.ones(window - 1).double(), -1)
    emphasis[0, 0] = 1 - 0.97
    centring = torch.eye(window, dtype=torch.float64) - 1 / window
    shape = torch.hann_window(window, periodic=False, dtype=torch.float64)
    waves = torch.cat([angles.cos(), angles.sin()]) * shape
    return (waves @ emphasis @ centring).float().unsqueeze(1)


# Where a published encoder lies, and what its files say: architecture, the sound it reads, licence.

_TEXT = ("config.json", "preprocessor_config.json", "README.md", "LICENSE*")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_NOT_ARCHITECTURE = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "torch_dtype",
    "transformers_version",
)
"""Keys of a config that say nothing of the network's shape."""


def describe_source(source: str, families: Iterable[str]) -> dict[str, Any]:
    """source, model_type, config, preprocessor and licence of an encoder; nothing is loaded.

    `source`: hub:OWNER/NAME, a folder in the layout of the Hub, or the folder of a Nearfield run. Raises
    RequestError where there is none, or its model_type is in none of the `families`.
    """
    if is_run(source):
        return _of_run(source)
    folder = find_source(source, with_weights=False)
    raw = _json(folder / "config.json", source)
    known = sorted(families)
    model_type = str(raw.get("model_type", ""))
    if model_type not in known:
        raise RequestError(
            f"backbone.weights: {source} is a {model_type or 'network of no stated type'!r}, which is not "
            f"known here. {choose(model_type, known)}"
        )
    preprocessor = folder / "preprocessor_config.json"
    identifier, sentence = stated_licence(folder)
    stated = raw.get("license")
    return {
        "source": source,
        "model_type": model_type,
        "config": _architecture(raw),
        "preprocessor": _json(preprocessor, source) if preprocessor.is_file() else {},
        "licence": identifier or (stated if isinstance(stated, str) else None) or sentence,
    }


def find_source(source: str, with_weights: bool) -> Path:
    """The folder of an encoder, fetched from the Hub where `source` begins with hub:.

    Raises RequestError where there is none, or (`with_weights`) it has no safetensors.
    """
    if source.startswith(HUB):
        folder = _fetched(source.removeprefix(HUB), [*_TEXT, *(_WEIGHTS if with_weights else ())])
    else:
        folder = Path(source).expanduser()
    if not (folder / "config.json").is_file():
        raise RequestError(
            f"backbone.weights: no encoder in {source}: there is no config.json. "
            f"Give {HUB}OWNER/NAME, or a folder with config.json and model.safetensors."
        )
    if with_weights and not any(folder.glob("*.safetensors")):
        raise RequestError(
            f"backbone.weights: {source} has no safetensors. Other formats may run code when they are "
            "opened; convert them first, or choose a publication that has them."
        )
    return folder


def is_run(source: str) -> bool:
    """Whether a folder is that of a Nearfield run."""
    return not source.startswith(HUB) and (Path(source).expanduser() / "recipe.yaml").is_file()


def transformers_library() -> Any:
    """The library. Raises RequestError where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise RequestError(
            "backbone.kind: 'transformer' needs the package transformers, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    return transformers


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keeps its progress bars, and its reports of what of a file was not asked for, out of sight."""
    talk = transformers_library().utils.logging
    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()


def _of_run(source: str) -> dict[str, Any]:
    """What the run's recipe says of its own encoder."""
    recipe = Path(source).expanduser() / "recipe.yaml"
    try:
        plain = read_yaml(recipe.read_text(encoding="utf-8"), recipe.name)
    except (OSError, ValueError, RequestError) as error:
        raise RequestError(
            f"backbone.weights: {recipe} cannot be read ({str(error).splitlines()[0]}). Name another run."
        ) from None
    section = plain.get("backbone", {}) if isinstance(plain, dict) else {}
    if section.get("kind") != "transformer" or not isinstance(section.get("described"), dict):
        raise RequestError(
            f"backbone.weights: the run in {source} has backbone.kind {section.get('kind')!r}, and this "
            "recipe asks for 'transformer'. Name another run."
        )
    return {**section["described"], "source": source}


def _architecture(raw: dict[str, Any]) -> dict[str, Any]:
    """The config of the audio encoder, without what training alone uses: bending is the recipe's own work."""
    config = dict(raw)
    if raw.get("model_type") == "clap":
        config = dict(raw.get("audio_config") or {})
        config.setdefault("projection_dim", raw.get("projection_dim", 512))
    kept = {key: value for key, value in config.items() if key not in _NOT_ARCHITECTURE}
    for key, value in (("apply_spec_augment", False), ("layerdrop", 0.0)):
        if key in kept or raw.get("model_type") in ("wav2vec2", "hubert", "wavlm"):
            kept[key] = value
    return kept


def _json(path: Path, source: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"backbone.weights: {source}: {path.name} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise RequestError(f"backbone.weights: {source}: {path.name} holds no settings.")
    return found


def _fetched(name: str, patterns: list[str]) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise RequestError(
            f"backbone.weights: {HUB}{name} needs the package huggingface_hub, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's errors and the network's have no common root
        raise RequestError(
            f"backbone.weights: could not fetch {name!r} from the Hub ({error}). "
            "Check the name and the network, or download it and give the folder's path."
        ) from None


# Pretrained encoders of sound: audio spectrogram transformer, CLAP, wav2vec 2.0, HuBERT, WavLM.
#
# They come from the library transformers (extra `hub`), read safetensors only, and run none of the
# publisher's code. All read the wave: the recipe's feature is `waveform`, its sample rate the encoder's own,
# and the picture that an encoder wants is made inside (`transformer_inputs`). `normalize: {kind: none}`
# leaves the level as it was in the encoder's training.

log = logging.getLogger(__name__)

NOT_STORED = ("masked_spec_embed",)
"""Parts of names of weights that training alone reads: a checkpoint may lack them."""


@dataclass(frozen=True)
class EncoderFamily:
    """One architecture of the library."""

    network: str
    """The class in transformers."""
    sample_rate: int
    """Hertz, where the publisher does not say it."""


FAMILIES = {
    "audio-spectrogram-transformer": EncoderFamily("ASTModel", 16000),
    "clap": EncoderFamily("ClapAudioModelWithProjection", 48000),
    "clap_audio_model": EncoderFamily("ClapAudioModelWithProjection", 48000),
    "wav2vec2": EncoderFamily("Wav2Vec2Model", 16000),
    "hubert": EncoderFamily("HubertModel", 16000),
    "wavlm": EncoderFamily("WavLMModel", 16000),
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

    def forward(self, spectrogram: Tensor) -> Tensor:
        if self.longest is not None and spectrogram.shape[-1] > self.longest:
            raise RequestError(
                f"This encoder takes {self.longest} samples at most. Given: {spectrogram.shape[-1]}. "
                "Cut the sound into windows."
            )
        with torch.autocast(spectrogram.device.type, enabled=False):
            given = self.inputs(spectrogram.float().flatten(1, 2).mean(1))
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


class TransformerSettings(BaseBackboneSettings):
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

    def _family(self) -> EncoderFamily:
        if self.described is None:
            raise RequestError(
                "backbone.weights: a transformer needs to know which one. Give hub:OWNER/NAME, as in "
                "hub:laion/clap-htsat-unfused, or a folder with config.json and model.safetensors."
            )
        return FAMILIES[str(self.described["model_type"])]

    def _part(self, name: str) -> dict[str, Any]:
        self._family()
        return cast(dict[str, Any], (self.described or {}).get(name) or {})
