"""A run as ONNX: what onnxruntime makes of it is what PyTorch says, for other batches and lengths too."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from torch import nn

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.settings import kinds
from nearfield.core.types import Vectors
from nearfield.models.backbones import BackboneSettings
from nearfield.models.backbones.transformer import TransformerSettings
from nearfield.models.embedder import EmbeddingModel, EmbeddingSettings
from nearfield.models.features.feature import WaveformSettings
from nearfield.models.features.log_mel import LogMelSettings, MultiLogMelSettings
from nearfield.models.features.mfcc import MFCCSettings
from nearfield.space.export import onnx_model
from nearfield.space.export.onnx_model import (
    converted,
    export_onnx,
    exportable,
    exportable_network,
    resampled,
)
from nearfield.space.export.parity import Windows, measure_parity
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, save_tensors
from nearfield.training.setup import build_embedder
from tests.models.test_transformer import publish

RATE = 8000


@pytest.fixture(autouse=True, scope="module")
def less_talk() -> None:
    """torch traces its tracing for any handler that listens, as pytest's does: three times the time."""
    logging.getLogger("torch.__trace").setLevel(logging.WARNING)


def untrained(folder: Path, channels: int = 1, **changes: Any) -> Run:
    """A run that holds weights drawn by chance, as if it had been trained."""
    plain: dict[str, Any] = {
        "data": {"sample_rate": RATE, "clip_seconds": 0.5},
        "feature": {"kind": "log_mel", "bands": 16},
        "backbone": {"kind": "small_convnet", "width": 4, "blocks": 2},
        "embedding": {"size": 8},
    }
    recipe = Recipe.of(plain | changes)
    embedder = build_embedder(recipe, channels, seed=0)
    for name, value in embedder.state_dict().items():  # norms with statistics, as training leaves them
        if name.endswith(("running_var", "deviation", "power")):
            value.copy_(torch.linspace(0.5, 2.0, value.numel()).reshape(value.shape))
        if name.endswith("normalization.frames"):
            value.fill_(1)
    made = RunFolder(folder)
    data = {"channels": channels, "given": "nowhere", "path": "nowhere", "name": "made up", "clips": 0}
    made.begin(recipe, {"data": data | {"leaks": []}, "seed": 0})
    save_tensors(made.weights, embedder.state_dict())
    return Run.load(folder)


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def worst(run: Run, path: Path, shapes: Sequence[tuple[int, ...]]) -> float:
    """Largest difference between both on noise of these shapes."""
    torch.manual_seed(3)
    runtime = session(path)
    name = runtime.get_inputs()[0].name
    found = 0.0
    for shape in shapes:
        waves = 0.1 * torch.randn(shape)
        with torch.no_grad():
            wanted = run.embedder(waves).numpy()
        (given,) = runtime.run(None, {name: waves.numpy()})
        assert given.shape == wanted.shape
        found = max(found, float(np.abs(given - wanted).max()))
    return found


FEATURES: list[dict[str, Any]] = [
    {"kind": "log_mel", "bands": 16},
    {"kind": "log_mel", "bands": 16, "padding": "reflect", "log": "db", "power": 2, "taper": "hamming"},
    {"kind": "log_mel", "bands": 16, "padding": "zero", "fft": 1000},
    {"kind": "mfcc", "bands": 20, "coefficients": 9},
    {"kind": "multi_log_mel", "bands": 8},
    {"kind": "multi_log_mel", "bands": 8, "resample": "nearest", "hop_share": 0.7},
]


@pytest.mark.parametrize("settings", FEATURES, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize("channels", [1, 2])
def test_the_front_end_is_the_feature(settings: dict[str, Any], channels: int) -> None:
    kinds = {"log_mel": LogMelSettings, "mfcc": MFCCSettings, "multi_log_mel": MultiLogMelSettings}
    feature = kinds[settings["kind"]](**settings).build(RATE, channels)
    rewritten = exportable(feature)
    torch.manual_seed(0)
    for samples in (feature.samples(1), feature.samples(2), 3999, 8000):
        waves = 0.1 * torch.randn(3, channels, samples)
        assert torch.allclose(rewritten(waves), feature(waves), atol=1e-4)


@pytest.mark.parametrize("how", ["area", "nearest"])
def test_resampling_is_that_of_torch(how: Any) -> None:
    torch.manual_seed(0)
    for given, wanted in [(50, 48), (298, 99), (300, 100), (7, 7), (99, 3), (5, 1), (1001, 997)]:
        picture = torch.randn(2, 3, 4, given)
        expected = torch.nn.functional.interpolate(picture, (4, wanted), mode=how)
        assert torch.allclose(resampled(picture, wanted, how), expected, atol=1e-6)


def test_quiet_bands_are_nearer_to_the_truth_than_in_the_feature(
    real_data: Callable[[str], Path],
) -> None:
    feature = LogMelSettings().build(16000, 1)
    sounds = sorted((real_data("esc10") / "audio").rglob("*.ogg"))[::60]
    own, rewritten = [], []
    for path in sounds:
        wave = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[None, None, :32000]
        frames = feature.framing.cut(wave[0].double())
        bins = torch.fft.rfft(frames * feature.window.double(), n=feature.framing.fft).abs()
        truth = ((bins @ feature.weights.double().T) + 1e-6).log().transpose(1, 2)
        own.append((feature(wave)[0] - truth).abs().max().item())
        rewritten.append((exportable(feature)(wave)[0] - truth).abs().max().item())
    assert max(rewritten) < max(own)
    assert max(rewritten) < 0.02


BACKBONES: list[dict[str, Any]] = [
    {},
    {"backbone": {"kind": "resnet18"}},
    {"backbone": {"kind": "gru", "width": 8}, "normalize": {"kind": "clip"}},
    {"backbone": {"kind": "convnet1d"}, "embedding": {"size": 8, "pooling": "mean_max"}},
    {"backbone": {"kind": "convnet2d"}, "embedding": {"size": 8, "pooling": "gem", "normalize": False}},
    {"backbone": {"kind": "conv_gru", "width": 8}, "embedding": {"size": 8, "pooling": "last"}},
    {
        "feature": {"kind": "multi_log_mel", "bands": 8},
        "normalize": {"kind": "band"},
        "embedding": {"size": 8, "pooling": "max"},
    },
    {
        "feature": {"kind": "mfcc", "bands": 20, "padding": "reflect"},
        "normalize": {"kind": "clip_band", "scale": True},
    },
    {"feature": {"kind": "waveform"}, "normalize": {"kind": "none"}},
    {"embedding": {"size": 4, "pooling": "bands_max", "read": "pooled", "whiten": 0.5}},
]


SLOW = pytest.mark.slow
"""All but the first: an export takes two seconds and more."""


def first_fast(cases: list[dict[str, Any]]) -> list[Any]:
    return [cases[0], *(pytest.param(case, marks=SLOW) for case in cases[1:])]


@pytest.mark.parametrize("changes", first_fast(BACKBONES), ids=str)
def test_any_batch_and_length(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = untrained(tmp_path / "run", **changes)
    made = export_onnx(run, tmp_path / "model.onnx")
    assert made.any_length
    shapes = [(1, 1, 4000), (5, 1, 4000), (2, 1, 1234), (3, 1, 13579)]
    assert worst(run, made.path, shapes) < 1e-4
    assert made.parity.difference < 1e-4
    assert not made.parity.real


FIXED: list[dict[str, Any]] = [
    {"backbone": {"kind": "dense", "widths": [16]}},
    {"backbone": {"kind": "convnet2d"}},
    {"embedding": {"size": 8, "pooling": "flatten"}},
]


@pytest.mark.parametrize("changes", first_fast(FIXED), ids=str)
def test_flattened_maps_fix_the_length(tmp_path: Path, changes: dict[str, Any]) -> None:
    run = untrained(tmp_path / "run", **changes)
    made = export_onnx(run, tmp_path / "model.onnx")
    assert not made.any_length
    assert session(made.path).get_inputs()[0].shape == ["batch", 1, 4000]
    assert worst(run, made.path, [(1, 1, 4000), (7, 1, 4000)]) < 1e-4


OTHERS = [
    kind
    for kind in kinds(BackboneSettings)
    if kind not in ("resnet34", "resnet50", "resnet101", "resnet152", "transformer")
    if kind not in {case.get("backbone", {"kind": "small_convnet"})["kind"] for case in BACKBONES}
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", OTHERS)
def test_every_other_backbone_is_exported(tmp_path: Path, kind: str) -> None:
    run = untrained(
        tmp_path / "run",
        data={"sample_rate": 16000, "clip_seconds": 3.0},
        feature={"kind": "log_mel", "bands": 128, "window_ms": 32.0, "hop_ms": 16.0, "fft": 2048},
        backbone={"kind": kind},
    )
    made = export_onnx(run, tmp_path / "model.onnx")
    lengths = [48000, 64000] if made.any_length else [48000]
    assert worst(run, made.path, [(2, 1, length) for length in lengths]) < 1e-4


TINY = ("ast", "clap", "clap_fused", "wav2vec2", "wavlm")


@pytest.mark.slow
@pytest.mark.parametrize("kind", TINY)
def test_pretrained_encoders_are_exported(tmp_path: Path, kind: str) -> None:
    """Their networks as they are: a run's recipe would only bring them here."""
    torch.manual_seed(0)
    module = TransformerSettings(weights=str(publish(kind, tmp_path))).build(1, 1, 4000)
    network = EmbeddingModel(
        WaveformSettings().build(16000, 1), nn.Identity(), module, EmbeddingSettings(size=6), (1, 1, 4000)
    ).eval()
    waves = 0.1 * torch.randn(4, 1, 4000)
    exported = exportable_network(network)
    model = converted(exported, waves[:1], any_length=True).SerializeToString()
    parity = measure_parity(network, model, Windows(waves, real=False), any_length=True)
    assert parity.difference < 1e-4


def test_two_channels_and_what_the_file_says(tmp_path: Path) -> None:
    run = untrained(
        tmp_path / "run", channels=2, data={"sample_rate": RATE, "clip_seconds": 0.5, "channels": "all"}
    )
    made = export_onnx(run, tmp_path / "deep" / "model.onnx")
    assert worst(run, made.path, [(2, 2, 4000), (1, 2, 6000)]) < 1e-4
    runtime = session(made.path)
    assert runtime.get_inputs()[0].shape == ["batch", 2, "samples"]
    assert [runtime.get_outputs()[0].name, *runtime.get_outputs()[0].shape] == ["vector", "batch", 8]
    about = json.loads(runtime.get_modelmeta().custom_metadata_map["nearfield"])
    assert about["sample_rate"] == RATE
    assert Recipe.of(about["recipe"]) == run.recipe
    onnx.checker.check_model(onnx.load(made.path), full_check=True)
    assert not list(tmp_path.rglob("*.part"))


def test_pictures_go_in_where_the_run_reads_pictures(tmp_path: Path) -> None:
    run = untrained(
        tmp_path / "run",
        channels=3,
        data={"image_size": 24, "image_channels": 3},
        feature={"kind": "pixels"},
        normalize={"kind": "none"},
    )
    made = export_onnx(run, tmp_path / "model.onnx")
    assert session(made.path).get_inputs()[0].name == "picture"
    assert worst(run, made.path, [(4, 3, 24, 24), (1, 3, 24, 24)]) < 1e-4


def test_real_clips_are_compared_where_they_are_there(
    tmp_path: Path, real_data: Callable[[str], Path]
) -> None:
    run = untrained(
        tmp_path / "run", data={"sample_rate": 16000, "clip_seconds": 2.0}, feature={"kind": "log_mel"}
    )
    sounds = [str(path) for path in sorted((real_data("esc10") / "audio").rglob("*.ogg"))[::9]]
    starts = [0.5] * len(sounds)
    pq.write_table(pa.table({"path": ["gone.wav", *sounds], "start": [0.0, *starts]}), run.folder.vectors)
    made = export_onnx(run, tmp_path / "model.onnx")
    assert made.parity.real
    assert made.parity.windows >= 7
    assert made.parity.difference < 1e-3
    assert made.parity.cosine > 0.99999


def test_windows_around_a_session_give_what_encode_gives(tmp_path: Path) -> None:
    run = untrained(tmp_path / "run")
    path = export_onnx(run, tmp_path / "model.onnx").path
    document = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    code = next(block for block in document.split("```python\n") if "def encode(" in block).split("```")[0]
    names: dict[str, Any] = {}
    exec(compile(code.replace("model.onnx", str(path)), "docs/export.md", "exec"), names)
    torch.manual_seed(1)
    for samples in (900, 4000, 9001, 20000):
        wave: Vectors = (0.1 * torch.randn(1, samples)).numpy()
        assert np.abs(names["encode"](wave) - run.encode([wave])[0]).max() < 1e-5


def test_a_network_that_says_something_else_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = untrained(tmp_path / "run")

    def louder(feature: torch.nn.Module) -> torch.nn.Module:
        return torch.nn.Sequential(exportable(feature), torch.nn.Dropout(0.5), torch.nn.LeakyReLU(0.1))

    monkeypatch.setattr(onnx_model, "exportable", louder)
    with pytest.raises(WorkError, match=r"does not reproduce PyTorch's vectors: "):
        export_onnx(run, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_the_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(RequestError, match=r"needs the package onnxruntime.*nearfield\[onnx\]"):
        export_onnx(untrained(tmp_path / "run"), tmp_path / "model.onnx")
