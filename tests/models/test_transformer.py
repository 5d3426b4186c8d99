"""Pretrained encoders, as tiny ones with weights by chance on disk: what they hear, load, learn, refuse."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from nearfield.core.errors import RequestError
from nearfield.models.backbones.transformer import Transformer, TransformerSettings
from nearfield.models.embedder import EmbeddingSettings, assemble
from nearfield.models.features.feature import WaveformSettings
from nearfield.models.normalization import NoneSettings
from nearfield.models.pretrained import bare

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
SPEECH = {
    **SMALL,
    "conv_dim": (8, 8),
    "conv_stride": (10, 8),
    "conv_kernel": (20, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
RATES = {"ast": 16000, "clap": 48000, "clap_fused": 48000, "wav2vec2": 16000, "hubert": 16000, "wavlm": 16000}


def _clap(folder: Path, fused: bool) -> None:
    audio = transformers.ClapAudioConfig(
        spec_size=32,
        num_mel_bins=8,
        patch_size=4,
        patch_stride=[4, 4],
        window_size=2,
        hidden_size=16,
        patch_embeds_hidden_size=8,
        depths=[1, 1],
        num_attention_heads=[2, 2],
        num_hidden_layers=2,
        projection_dim=12,
        enable_fusion=fused,
        aff_block_r=2,
    )
    text = transformers.ClapTextConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=20
    )
    config = transformers.ClapConfig(
        text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=12
    )
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(
        feature_size=8, frequency_min=50, max_length_s=1, truncation="fusion" if fused else "rand_trunc"
    ).save_pretrained(folder)


def publish(kind: str, folder: Path) -> Path:
    """A tiny encoder as its publisher would lay it out."""
    torch.manual_seed(0)
    if kind == "ast":
        config = transformers.ASTConfig(
            **SMALL, max_length=64, num_mel_bins=16, frequency_stride=8, time_stride=8, patch_size=8
        )
        transformers.ASTModel(config).save_pretrained(folder)
        transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=64).save_pretrained(folder)
    elif kind.startswith("clap"):
        _clap(folder, kind == "clap_fused")
    else:
        families = {
            "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
            "hubert": (transformers.HubertConfig, transformers.HubertModel),
            "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
        }
        config_class, model_class = families[kind]
        model_class(config_class(**SPEECH)).save_pretrained(folder)
        transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    home = tmp_path_factory.mktemp("published")

    def find(kind: str) -> Path:
        folder = home / kind
        return folder if folder.is_dir() else publish(kind, folder)

    return find


def by_the_library(kind: str, folder: Path, wave: Any) -> Any:
    """The vector, or map, that transformers itself gives for one wave (T,)."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    given = extractor(wave, sampling_rate=RATES[kind], return_tensors="pt")
    given.pop("attention_mask", None)
    if kind.startswith("clap"):
        if "is_longer" in given:
            given["is_longer"] = torch.zeros_like(given["is_longer"])  # the extractor draws one by chance
        model = transformers.ClapModel.from_pretrained(folder).eval()
        with torch.no_grad():
            return model.audio_projection(model.audio_model(**given).pooler_output)[0]
    model = transformers.AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(**given)
    return found.pooler_output[0] if kind == "ast" else found.last_hidden_state[0].T


@pytest.mark.parametrize("kind", list(RATES))
def test_it_is_what_the_library_gives(kind: str, published: Callable[[str], Path]) -> None:
    folder = published(kind)
    rate = RATES[kind]
    rng = np.random.default_rng(0)
    samples = rate // 3
    waves = (0.2 * rng.standard_normal((2, samples)) + 0.05).astype(np.float32)
    module = TransformerSettings(weights=str(folder)).build(1, 1, samples).eval()
    with torch.no_grad():
        found = module(torch.from_numpy(waves)[:, None, None])
    for number, wave in enumerate(waves):
        expected = by_the_library(kind, folder, wave)
        assert found[number].shape == expected.shape
        assert torch.allclose(found[number], expected, atol=2e-4), (found[number] - expected).abs().max()


@pytest.mark.parametrize("kind", list(RATES))
def test_a_run_is_rebuilt_without_the_source(
    kind: str, published: Callable[[str], Path], tmp_path: Path
) -> None:
    moved = tmp_path / "source"
    folder = published(kind)
    folder.rename(moved)
    settings = TransformerSettings(weights=str(moved))
    module = settings.build(1, 1, 4000).eval()
    stored = TransformerSettings(**json.loads(json.dumps(settings.model_dump(mode="json"))))
    moved.rename(folder)
    assert not moved.exists()
    again = TransformerSettings(**stored.model_dump())  # nothing is read where the description is there
    rebuilt = bare(again).build(1, 1, 4000).eval()  # type: ignore[attr-defined]
    rebuilt.load_state_dict(module.state_dict())
    picture = 0.1 * torch.randn(2, 1, 1, 4000)
    with torch.no_grad():
        assert torch.equal(rebuilt(picture), module(picture))


def test_licence_and_source_are_noted(
    published: Callable[[str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = published("hubert")
    settings = TransformerSettings(weights=str(folder))
    with caplog.at_level("INFO"):
        module: Any = settings.build(1, 1, 4000)
    assert settings.licence == "apache-2.0"
    assert module.weights_source["licence"] == "apache-2.0"
    assert module.weights_source["source"] == str(folder)
    assert len(module.weights_source["sha256"]) == 64
    assert "licence apache-2.0" in caplog.text
    (folder / "README.md").rename(folder / "hidden")
    assert TransformerSettings(weights=str(folder)).licence is None
    (folder / "hidden").rename(folder / "README.md")


def embedder(folder: Path, train: Any, samples: int = 4000, rate: int = 16000) -> Any:
    return assemble(
        WaveformSettings(),
        NoneSettings(),
        TransformerSettings(weights=str(folder)),
        EmbeddingSettings(size=6, train=train),
        rate,
        (1, samples),
    )


@pytest.mark.parametrize("kind", list(RATES))
def test_frozen_it_stays_and_tuned_it_learns(kind: str, published: Callable[[str], Path]) -> None:
    for train, moves in (("head", False), ("all", True)):
        torch.manual_seed(0)
        network = embedder(published(kind), train, rate=RATES[kind]).train()
        before = {name: weight.clone() for name, weight in network.backbone.named_parameters()}
        chosen = [weight for weight in network.parameters() if weight.requires_grad]
        optimizer = torch.optim.SGD(chosen, lr=0.1)
        target = torch.randn(4, 6)
        vectors = network(0.1 * torch.randn(4, 1, 4000))
        nn.functional.mse_loss(vectors, target).backward()
        optimizer.step()
        moved = [
            name
            for name, weight in network.backbone.named_parameters()
            if not torch.equal(weight, before[name])
        ]
        assert bool(moved) == moves
        assert len(chosen) == 2 or moves


def test_training_is_without_bending_of_its_own(published: Callable[[str], Path]) -> None:
    module: Any = TransformerSettings(weights=str(published("wav2vec2"))).build(1, 1, 4000)
    config = module.network.config
    assert config.apply_spec_augment is False
    assert config.layerdrop == 0.0


def test_channels_are_averaged(published: Callable[[str], Path]) -> None:
    module = TransformerSettings(weights=str(published("wavlm"))).build(2, 1, 4000).eval()
    picture = 0.1 * torch.randn(3, 2, 1, 4000)
    with torch.no_grad():
        assert torch.equal(module(picture), module(picture.mean(1, keepdim=True)))


def test_what_does_not_go_together_is_refused(published: Callable[[str], Path], tmp_path: Path) -> None:
    settings = TransformerSettings(weights=str(published("ast")))
    settings.check_reading("waveform", 16000)
    with pytest.raises(RequestError, match=r"Set feature\.kind=waveform"):
        settings.check_reading("log_mel", 16000)
    with pytest.raises(RequestError, match=r"trained at 16000 Hz\. Set data\.sample_rate=16000"):
        settings.check_reading("waveform", 8000)
    with pytest.raises(RequestError, match=r"Set feature\.kind=waveform"):
        settings.build(1, 64, 98)
    with pytest.raises(RequestError, match=r"supports at most 0\.66 s\. Given: 1 s"):
        settings.build(1, 1, 16000)
    with pytest.raises(RequestError, match="a transformer needs weights"):
        TransformerSettings().build(1, 1, 16000)
    with pytest.raises(RequestError, match=r"there is no config\.json"):
        TransformerSettings(weights=str(tmp_path / "nowhere"))
    (tmp_path / "config.json").write_text('{"model_type": "wavlmm"}')
    with pytest.raises(
        RequestError, match=r"has the model_type 'wavlmm', which is not supported\. Did you mean 'wavlm'"
    ):
        TransformerSettings(weights=str(tmp_path))


def test_only_whole_safetensors_are_loaded(published: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = published("wav2vec2")
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    weights = load_file(source / "model.safetensors")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    settings = TransformerSettings(weights=str(tmp_path))
    with pytest.raises(RequestError, match=r"has no safetensors\. Other formats can run code"):
        settings.build(1, 1, 4000)
    left_out = "encoder.layers.1.attention.k_proj.weight"
    assert left_out in weights
    save_file(
        {name: value for name, value in weights.items() if name != left_out},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(RequestError, match=f"does not contain the whole encoder: {left_out} missing"):
        settings.build(1, 1, 4000)


def test_the_kind_reaches_the_family() -> None:
    assert TransformerSettings.model_fields["kind"].default == "transformer"
    assert issubclass(Transformer, nn.Module)
