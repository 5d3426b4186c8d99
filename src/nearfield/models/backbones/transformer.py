"""Pretrained transformers of the Hugging Face Hub: their inputs, files and networks."""

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

# Inputs of pretrained encoders, computed from the wave in the network.
#
# They equal the feature extractors of the library transformers, but are computed in torch, in batches, on the
# device; tests compare the two.

Given = dict[str, Tensor]
"""Arguments of the encoder by name."""


class ScaledWave(nn.Module):
    """Input of wav2vec 2.0, HuBERT and WavLM: waves (B, T), optionally each with mean 0 and variance 1."""

    longest: int | None = None
    """Largest number of samples; None: no limit."""

    def __init__(self, preprocessor: Mapping[str, Any]) -> None:
        super().__init__()
        self.scale = bool(preprocessor.get("do_normalize", True))

    def forward(self, waves: Tensor) -> Given:
        if self.scale:
            centred = waves - waves.mean(dim=1, keepdim=True)
            waves = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        return {"input_values": waves}


class KaldiLogMel(nn.Module):
    """Input of the audio spectrogram transformer: waves (B, T) -> log-mel (B, length, bands).

    Frames of 25 ms every 10 ms with the mean removed, pre-emphasis and a Hann window; mel bands of the power
    spectrum by the formula of Kaldi, from 20 Hz to half the sample rate; padded with zeros to the length of
    the encoder. All linear operations are one convolution. Gong, Chung and Glass 2021, "AST", section 2.1.
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
    """Input of the audio encoder of CLAP: waves (B, T) -> log-mel in decibels (B, 1, frames, bands).

    Sounds shorter than the window of the encoder are repeated as often as they fit, then padded with zeros.
    Wu et al. 2023, "Large-scale contrastive language-audio pretraining", section 3. Encoders trained with
    fusion of views of longer sounds use another mel scale."""

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
            warnings.simplefilter("ignore", UserWarning)  # the encoder was trained with empty bands
            self.log_mel: LogMel = settings.log_mel(rate, 1, 1000 * fft / rate, 1000 * hop / rate)

    def forward(self, waves: Tensor) -> Given:
        samples = waves.shape[1]
        whole = waves.repeat(1, self.longest // samples)
        whole = F.pad(whole, (0, self.longest - whole.shape[1]))
        return {"input_features": self.log_mel(whole.unsqueeze(1)).transpose(2, 3)}


def _emphasised_waves(window: int, fft: int) -> Tensor:
    """Returns the kernels (2 x bins, 1, window) of mean removal, pre-emphasis, window and Fourier
    transform."""
    samples = torch.arange(window, dtype=torch.float64)
    bins = torch.arange(fft // 2 + 1, dtype=torch.float64)[:, None]
    angles = 2 * torch.pi * torch.remainder(bins * samples, fft) / fft
    emphasis = torch.eye(window, dtype=torch.float64) - 0.97 * torch.diag(torch.ones(window - 1).double(), -1)
    emphasis[0, 0] = 1 - 0.97
    centring = torch.eye(window, dtype=torch.float64) - 1 / window
    shape = torch.hann_window(window, periodic=False, dtype=torch.float64)
    waves = torch.cat([angles.cos(), angles.sin()]) * shape
    return (waves @ emphasis @ centring).float().unsqueeze(1)


# The files of a published encoder: architecture, preprocessor, license.

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
"""Keys of a config that do not describe the architecture."""


def describe_source(source: str, families: Iterable[str]) -> dict[str, Any]:
    """Describes an encoder by its files, without loading weights.

    Parameters
    ----------
    source
        hub:OWNER/NAME, a folder in the layout of the Hub, or the folder of a Nearfield run.
    families
        Supported values of model_type.

    Returns
    -------
    dict
        `source`, `model_type`, `config`, `preprocessor` and `licence`.

    Raises
    ------
    RequestError
        If there is no encoder, or its model_type is not supported.
    """
    if is_run(source):
        return _of_run(source)
    folder = find_source(source, with_weights=False)
    raw = _json(folder / "config.json", source)
    known = sorted(families)
    model_type = str(raw.get("model_type", ""))
    if model_type not in known:
        raise RequestError(
            f"backbone.weights: {source} has the model_type {model_type or 'none'!r}, which is not "
            f"supported. {choose(model_type, known)}"
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
    """Returns the folder of an encoder, downloaded from the Hub if `source` begins with hub:.

    Raises RequestError if there is none, or, with `with_weights`, if it has no safetensors.
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
            f"backbone.weights: {source} has no safetensors. Other formats can run code when they are "
            "opened; convert the file first, or use a model that has safetensors."
        )
    return folder


def is_run(source: str) -> bool:
    """Returns whether `source` is the folder of a Nearfield run."""
    return not source.startswith(HUB) and (Path(source).expanduser() / "recipe.yaml").is_file()


def transformers_library() -> Any:
    """Imports and returns transformers. Raises RequestError if it is not installed."""
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
    """Suppresses progress bars of transformers, and its messages about unused weights."""
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
    """Returns the description of the encoder in the recipe of a run."""
    recipe = Path(source).expanduser() / "recipe.yaml"
    try:
        plain = read_yaml(recipe.read_text(encoding="utf-8"), recipe.name)
    except (OSError, ValueError, RequestError) as error:
        raise RequestError(
            f"backbone.weights: {recipe} cannot be read ({str(error).splitlines()[0]}). Give another run."
        ) from None
    section = plain.get("backbone", {}) if isinstance(plain, dict) else {}
    if section.get("kind") != "transformer" or not isinstance(section.get("described"), dict):
        raise RequestError(
            f"backbone.weights: the run in {source} has backbone.kind {section.get('kind')!r}, but this "
            "recipe has 'transformer'. Give another run."
        )
    return {**section["described"], "source": source}


def _architecture(raw: dict[str, Any]) -> dict[str, Any]:
    """Returns the config of the audio encoder, with its own augmentations off."""
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
        raise RequestError(f"backbone.weights: {source}: {path.name} contains no settings.")
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
    except Exception as error:  # errors of hub and network have no common base class
        raise RequestError(
            f"backbone.weights: could not download {name!r} from the Hub ({error}). "
            "Check the name and the network, or download it and give the path of its folder."
        ) from None


# Pretrained encoders of sound: audio spectrogram transformer, CLAP, wav2vec 2.0, HuBERT, WavLM.
#
# The networks are those of the library transformers (extra `hub`); only safetensors are loaded, and no code
# of the publisher is run. The input is the wave: the recipe needs the feature `waveform` and the sample rate
# of the encoder, and the network computes the input of the encoder itself. With `normalize: {kind: none}`,
# levels are those of the training of the encoder.

log = logging.getLogger(__name__)

NOT_STORED = ("masked_spec_embed",)
"""Parts of the names of weights that only training uses; a checkpoint may lack them."""


@dataclass(frozen=True)
class EncoderFamily:
    """An architecture of the library transformers."""

    network: str
    """Name of the class."""
    sample_rate: int
    """Sample rate in Hz, if the publisher does not state it."""


FAMILIES = {
    "audio-spectrogram-transformer": EncoderFamily("ASTModel", 16000),
    "clap": EncoderFamily("ClapAudioModelWithProjection", 48000),
    "clap_audio_model": EncoderFamily("ClapAudioModelWithProjection", 48000),
    "wav2vec2": EncoderFamily("Wav2Vec2Model", 16000),
    "hubert": EncoderFamily("HubertModel", 16000),
    "wavlm": EncoderFamily("WavLMModel", 16000),
}
"""Architectures by `model_type` of config.json."""


class Transformer(nn.Module):
    """Maps waves (B, C, 1, T), averaged over channels, to (B, F, steps), or to (B, F) if the encoder pools
    itself
    (audio spectrogram transformer, CLAP)."""

    pooling: Pooling = "mean"

    def __init__(self, network: nn.Module, inputs: nn.Module) -> None:
        super().__init__()
        self.network = without_fusion(network)
        self.inputs = inputs

    @property
    def longest(self) -> int | None:
        """Largest number of samples; None: no limit."""
        return cast(int | None, self.inputs.longest)

    def forward(self, spectrogram: Tensor) -> Tensor:
        if self.longest is not None and spectrogram.shape[-1] > self.longest:
            raise RequestError(
                f"This encoder supports at most {self.longest} samples. Given: {spectrogram.shape[-1]}. "
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
    """Disables the fusion of CLAP, which is for sounds longer than its window, and returns the network."""
    module: Any
    for module in network.modules():
        if getattr(module, "enable_fusion", False):
            module.enable_fusion = False
    return network


class TransformerSettings(BaseBackboneSettings):
    """A pretrained transformer of the Hugging Face Hub, frozen or fine-tuned (`embedding.train`)."""

    kind: Literal["transformer"] = "transformer"
    weights: str | None = None
    """The encoder: hub:OWNER/NAME, a folder with config.json and model.safetensors, or the folder of a
    run."""
    described: dict[str, JsonValue] | None = None
    """Architecture, preprocessor and license of the encoder; set automatically from its files."""

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
        """License of the published weights, as their files state it; None if they do not."""
        found = (self.described or {}).get("licence")
        return found if isinstance(found, str) else None

    @property
    def sample_rate(self) -> int:
        """Sample rate of the encoder, in Hz."""
        preprocessor = self._part("preprocessor")
        return int(preprocessor.get("sampling_rate", self._family().sample_rate))

    def check_reading(self, feature: str, sample_rate: int) -> None:
        """Raises RequestError if the feature or sample rate (Hz) of the recipe does not fit the encoder."""
        if feature != "waveform":
            raise RequestError(
                f"feature.kind: {feature!r} computes a spectrogram, but the backbone transformer needs the "
                "wave. Set feature.kind=waveform."
            )
        if sample_rate != self.sample_rate:
            raise RequestError(
                f"data.sample_rate: {sample_rate} Hz, but the encoder was trained at {self.sample_rate} Hz. "
                f"Set data.sample_rate={self.sample_rate}."
            )

    def build(self, channels: int, bands: int, frames: int) -> Transformer:
        """Creates the network for waves (B, channels, 1, frames).

        Raises RequestError if no encoder is given, it does not support so many samples, its weights are not
        safetensors or not complete, or transformers is not installed.
        """
        if bands != 1:
            self.check_reading("another", self.sample_rate)
        library = transformers_library()
        network_class = getattr(library, self._family().network)
        config = network_class.config_class.from_dict(self._part("config"))
        module = Transformer(network_class(config), self._inputs(config))
        if module.longest is not None and frames > module.longest:
            raise RequestError(
                f"data.clip_seconds: this encoder supports at most {module.longest / self.sample_rate:.2f} "
                f"s. Given: {frames / self.sample_rate:g} s. Lower data.clip_seconds; longer clips are cut "
                "into windows of that length."
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
        except Exception as error:  # errors of the library have no common base class
            raise RequestError(
                f"backbone.weights: {self.weights} could not be loaded: {str(error).splitlines()[0]}"
            ) from error
        lacking = sorted(
            name for name in report["missing_keys"] if not any(part in name for part in NOT_STORED)
        )
        if lacking or report["mismatched_keys"]:
            named = ", ".join([*lacking, *map(str, report["mismatched_keys"])][:5])
            raise RequestError(
                f"backbone.weights: {self.weights} does not contain the whole encoder: {named} missing or of "
                "another shape. Download it again, or use another model."
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
                "backbone.weights: a transformer needs weights. Give hub:OWNER/NAME, for example "
                "hub:laion/clap-htsat-unfused, or a folder with config.json and model.safetensors."
            )
        return FAMILIES[str(self.described["model_type"])]

    def _part(self, name: str) -> dict[str, Any]:
        self._family()
        return cast(dict[str, Any], (self.described or {}).get(name) or {})
