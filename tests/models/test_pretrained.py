"""Weights to begin from: published ones and those of a run, loaded by name or refused by name."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.backbones.resnet import ResNet18Settings
from nearfield.models.embedder import EmbeddingModel, EmbeddingSettings
from nearfield.models.pretrained import bare, fit_channels
from nearfield.replication.dcase_networks import GRUSettings
from nearfield.training.prepare import weights_from


def published(
    folder: Path, drop: str = "", add: str = "", reshape: str = ""
) -> tuple[Path, dict[str, Tensor]]:
    """A file like those on the Hub: three channels, a classifier."""
    torch.manual_seed(1)
    weights = dict(ResNet18Settings().build(3, 64, 64).state_dict())
    for name, value in weights.items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    weights |= {"fc.weight": torch.randn(1000, 512), "fc.bias": torch.randn(1000)}
    weights.pop(drop, None)
    if add:
        weights[add] = torch.zeros(1)
    if reshape:
        weights[reshape] = torch.zeros(2, 2)
    path = folder / "resnet18.safetensors"
    save_file(weights, path)
    return path, weights


def test_loads_every_weight_and_leaves_the_classifier(tmp_path: Path) -> None:
    path, weights = published(tmp_path)
    torch.manual_seed(9)
    module = ResNet18Settings(weights=str(path)).build(3, 64, 98)
    assert module.state_dict().keys() == weights.keys() - {"fc.weight", "fc.bias"}
    for name, value in module.state_dict().items():
        assert torch.equal(value, weights[name]), name


def test_published_weights_of_efficientnet_load_without_their_classifier(tmp_path: Path) -> None:
    weights = dict(settings_of("efficientnet_b0").build(3, 64, 64).state_dict())
    weights |= {"classifier.weight": torch.randn(1000, 1280), "classifier.bias": torch.randn(1000)}
    save_file(weights, tmp_path / "model.safetensors")
    torch.manual_seed(9)
    module = settings_of("efficientnet_b0", weights=str(tmp_path / "model.safetensors")).build(1, 64, 64)
    own = module.state_dict()
    summed = weights["conv_stem.weight"].sum(1, keepdim=True)
    assert torch.equal(own["conv_stem.weight"], summed)
    assert all(torch.equal(own[name], weights[name]) for name in own if name != "conv_stem.weight")


def test_notes_and_logs_source_and_digest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, _ = published(tmp_path)
    with caplog.at_level("INFO"):
        module = ResNet18Settings(weights=str(path)).build(1, 64, 98)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert module.weights_source == {"source": str(path), "sha256": sha256}
    assert sha256 in caplog.text
    assert str(path) in caplog.text
    assert not hasattr(ResNet18Settings().build(1, 64, 98), "weights_source")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_grey_picture_keeps_its_response(tmp_path: Path, channels: int) -> None:
    path, _ = published(tmp_path)
    grey = torch.randn(2, 1, 32, 40)
    with torch.no_grad():
        wanted = ResNet18Settings(weights=str(path)).build(3, 32, 40).eval()(grey.expand(-1, 3, -1, -1))
        module = ResNet18Settings(weights=str(path)).build(channels, 32, 40).eval()
        assert module.conv1.weight.shape == (64, channels, 7, 7)
        assert torch.allclose(module(grey.expand(-1, channels, -1, -1)), wanted, rtol=1e-3, atol=1e-4)


def test_three_channels_stay_as_they_are() -> None:
    kernel = torch.randn(4, 3, 7, 7)
    assert fit_channels(kernel, 3) is kernel


def test_every_key_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path, _ = published(tmp_path, drop="layer2.0.downsample.0.weight", add="layer9.odd", reshape="bn1.bias")
    with pytest.raises(RequestError) as caught:
        ResNet18Settings(weights=str(path)).build(1, 64, 98)
    assert str(caught.value) == (
        f"backbone.weights: {path} does not fit this backbone: missing: layer2.0.downsample.0.weight; "
        "not expected: layer9.odd; of another shape: bn1.bias (2, 2) for (64,). "
        "Set backbone.kind to the kind of the network in the file."
    )


def test_counts_of_batches_may_be_missing(tmp_path: Path) -> None:
    path, _ = published(tmp_path, drop="bn1.num_batches_tracked")
    module = ResNet18Settings(weights=str(path)).build(1, 64, 98)
    assert int(module.get_buffer("bn1.num_batches_tracked")) == 0


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"no such file: nowhere.safetensors. Give the path"):
        ResNet18Settings(weights="nowhere.safetensors").build(1, 64, 98)
    broken = tmp_path / "resnet18.pth"
    broken.write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(RequestError, match="not a readable safetensors file"):
        ResNet18Settings(weights=str(broken)).build(1, 64, 98)


def test_the_hub_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(RequestError, match=r"Run: pip install 'nearfield\[hub\]'"):
        ResNet18Settings(weights="hub:timm/resnet18.a1_in1k").build(1, 64, 98)


def test_the_hub_is_asked_for_the_safetensors_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, weights = published(tmp_path)
    asked = []

    def download(name: str, file: str) -> str:  # stands for the network
        asked.append((name, file))
        if name != "timm/resnet18.a1_in1k":
            raise OSError("404")
        return str(path)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=download))
    module = ResNet18Settings(weights="hub:timm/resnet18.a1_in1k").build(3, 64, 98)
    assert asked == [("timm/resnet18.a1_in1k", "model.safetensors")]
    assert torch.equal(module.conv1.weight, weights["conv1.weight"])
    source = module.weights_source
    assert isinstance(source, dict)
    assert source["source"] == "hub:timm/resnet18.a1_in1k"
    with pytest.raises(RequestError, match=r"could not download .* \(404\). Check the name"):
        ResNet18Settings(weights="hub:timm/nothing").build(3, 64, 98)


SIZE = (128, 180)
"""Bands and frames that every backbone can read."""
SMALL: dict[str, dict[str, Any]] = {
    "small_convnet": {"width": 8},
    "dense": {"widths": [8]},
    "short_chunk_cnn": {"width": 4},
    "cnn2d": {"width": 4},
    "deep_cnn": {"width": 4},
    "residual_stack": {"widths": [4, 8]},
    "musicnn": {"timbral": 4, "temporal": 4},
    "musicnn_front": {"timbral": 4, "temporal": 4},
    "stacked": {"front": {"kind": "musicnn_front", "timbral": 4, "temporal": 4}},
}
LOADABLE = [
    kind
    for kind in kinds(BackboneSettings)
    if kind not in ("linear_projection", "transformer", "resnet34", "resnet50", "resnet101", "resnet152")
]


def settings_of(kind: str, **given: Any) -> Any:
    return make(BackboneSettings, "backbone", {"kind": kind, **SMALL.get(kind, {}), **given})


def run_with(
    folder: Path, kind: str, size: tuple[int, int] = SIZE, channels: int = 1, **given: Any
) -> tuple[Path, nn.Module]:
    """A folder as a finished run leaves it, and its backbone, with statistics of its own."""
    torch.manual_seed(11)
    settings = settings_of(kind, **given)
    network = settings.build(channels, *size)
    network.train()(torch.randn(4, channels, *size))
    model = EmbeddingModel(
        nn.Identity(), nn.Identity(), network, EmbeddingSettings(size=8), (channels, *size)
    )
    folder.mkdir()
    recipe = {"backbone": settings.model_dump(mode="json"), "embedding": {"size": 8}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()},
        folder / "weights.safetensors",
    )
    return folder, network


@pytest.mark.parametrize("kind", LOADABLE)
def test_every_backbone_begins_as_a_run_left_it(kind: str, tmp_path: Path) -> None:
    run, network = run_with(tmp_path / "run", kind)
    torch.manual_seed(99)
    module = settings_of(kind, weights=str(run)).build(1, *SIZE)
    assert module.state_dict().keys() == network.state_dict().keys()
    for name, value in module.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    picture = torch.randn(2, 1, *SIZE)
    with torch.no_grad():
        wanted = network.eval()(picture)
        torch.testing.assert_close(module.eval()(picture), wanted, atol=1e-5, rtol=1e-5)
    sha256 = hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()
    assert module.weights_source == {"source": str(run), "sha256": sha256}
    by_file = settings_of(kind, weights=str(run / "weights.safetensors")).build(1, *SIZE).eval()
    with torch.no_grad():
        torch.testing.assert_close(by_file(picture), wanted, atol=1e-5, rtol=1e-5)
    assert bare(settings_of(kind, weights=str(run))) == settings_of(kind)


def test_a_front_begins_as_its_own_run_left_it_and_the_stack_by_chance(tmp_path: Path) -> None:
    run, network = run_with(tmp_path / "run", "cnn1d")
    stack = {"kind": "residual_stack", "widths": [4], "pool": [1, 2], "kernel": [1, 3]}
    settings = settings_of("stacked", front={"kind": "cnn1d", "weights": str(run)}, stack=stack)
    module = settings.build(1, *SIZE)
    for name, value in module.front.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    model = EmbeddingModel(nn.Identity(), nn.Identity(), module, EmbeddingSettings(size=8), (1, *SIZE))
    assert weights_from(model)["backbone.front"]["source"] == str(run)
    assert bare(settings) == settings_of("stacked", front={"kind": "cnn1d"}, stack=stack)


def test_what_a_run_taught_can_be_kept_or_taught_on(tmp_path: Path) -> None:
    """Frozen: the tagger's own numbers under a new last layer; tuned: every weight moves."""
    run, network = run_with(tmp_path / "run", "cnn1d")
    pictures = torch.randn(6, 1, *SIZE)
    for train in ("head", "all"):
        module = settings_of("cnn1d", weights=str(run)).build(1, *SIZE)
        settings = EmbeddingSettings(size=4, normalize=False, train=train)
        model = EmbeddingModel(nn.Identity(), nn.Identity(), module, settings, (1, *SIZE)).train()
        optimiser = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], 0.1)
        torch.autograd.backward(model(pictures).pow(2).sum())
        optimiser.step()
        model.eval(), network.eval()
        with torch.no_grad():
            kept = torch.equal(model.backbone(pictures), network(pictures))
        assert kept == (train == "head")
        untouched = {
            name
            for name, weight in model.backbone.named_parameters()
            if torch.equal(weight, network.state_dict()[name])
        }
        assert untouched == (set(dict(network.named_parameters())) if train == "head" else set())


def test_a_run_of_another_kind_is_refused(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path / "run", "gru")
    with pytest.raises(RequestError) as caught:
        settings_of("cnn1d", weights=str(run)).build(1, *SIZE)
    assert str(caught.value) == (
        f"backbone.weights: the run in {run} has backbone.kind 'gru', but this recipe has 'cnn1d'. Set "
        "backbone.kind=gru, or give another run."
    )


def test_a_run_of_another_size_is_refused_with_what_differs(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path / "run", "cnn1d", width=16)
    with pytest.raises(RequestError) as caught:
        settings_of("cnn1d", weights=str(run)).build(1, *SIZE)
    text = str(caught.value)
    assert text.startswith(f"backbone.weights: {run} does not fit this backbone: of another shape: ")
    assert "blocks.0.0.weight (16, 128, 3) for (32, 128, 3)" in text
    assert text.endswith(
        "In that run: backbone.width is 16 there and 32 here. "
        "Use backbone, feature and data.clip_seconds of that run."
    )
    deeper, _ = run_with(tmp_path / "deeper", "residual_stack", widths=[4, 8, 8])
    with pytest.raises(
        RequestError, match=r"not expected: blocks.2.*widths is \[4, 8, 8\] there and \[4, 8\]"
    ):
        settings_of("residual_stack", weights=str(deeper)).build(1, *SIZE)


@pytest.mark.parametrize(("kind", "size"), [("cnn1d", (64, 180)), ("dense", (128, 100))])
def test_a_run_on_other_pictures_is_refused(kind: str, size: tuple[int, int], tmp_path: Path) -> None:
    run, _ = run_with(tmp_path / "run", kind)
    with pytest.raises(RequestError, match=r"the settings of the backbone are the same, but the spec"):
        settings_of(kind, weights=str(run)).build(1, *size)


def test_a_runs_first_convolution_is_not_fitted_to_channels(tmp_path: Path) -> None:
    """Published colour pictures are; a run says what it read."""
    run, _ = run_with(tmp_path / "run", "resnet18", channels=2)
    for source in (run, run / "weights.safetensors"):
        with pytest.raises(RequestError, match=r"conv1.weight \(64, 2, 7, 7\) for \(64, 1, 7, 7\)"):
            settings_of("resnet18", weights=str(source)).build(1, *SIZE)


def test_folders_that_hold_no_finished_run_are_refused(tmp_path: Path) -> None:
    settings = settings_of("cnn1d", weights=str(tmp_path))
    with pytest.raises(RequestError, match=r"is not a run: it has no recipe.yaml. Give a folder written"):
        settings.build(1, *SIZE)
    (tmp_path / "recipe.yaml").write_text("backbone: [")
    with pytest.raises(
        RequestError, match=r"has no weights yet. Finish it with `nearfield train ... --resume`"
    ):
        settings.build(1, *SIZE)
    save_file({"backbone.blocks.0.0.bias": torch.zeros(1)}, tmp_path / "weights.safetensors")
    with pytest.raises(RequestError, match=r"recipe.yaml is not YAML"):
        settings.build(1, *SIZE)
    (tmp_path / "recipe.yaml").write_text("- 1")
    with pytest.raises(RequestError, match=r"has backbone.kind None, but this recipe has 'cnn1d'"):
        settings.build(1, *SIZE)


def test_a_network_without_weights_has_none_to_load(tmp_path: Path) -> None:
    run, _ = run_with(tmp_path / "run", "linear_projection", size=(8, 8))
    with pytest.raises(RequestError, match=r"this backbone has no weights to load. Leave"):
        settings_of("linear_projection", weights=str(run)).build(1, 8, 8)


def test_a_trained_run_is_rebuilt_without_the_file() -> None:
    assert bare(ResNet18Settings(weights="gone.safetensors")) == ResNet18Settings()
    assert bare(GRUSettings()) == GRUSettings()
