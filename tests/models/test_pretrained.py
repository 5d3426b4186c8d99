"""Published weights: loaded by name from a safetensors file, fitted to the channels, or refused by name."""

import hashlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.models.backbones.gru import GRUSettings
from nearfield.models.backbones.resnet import ResNet18Settings
from nearfield.models.pretrained import bare, fit_channels


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
        "Choose the backbone's kind that the file was made for."
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
    with pytest.raises(RequestError, match=r"could not fetch .* \(404\). Check the name"):
        ResNet18Settings(weights="hub:timm/nothing").build(3, 64, 98)


def test_a_trained_run_is_rebuilt_without_the_file() -> None:
    assert bare(ResNet18Settings(weights="gone.safetensors")) == ResNet18Settings()
    assert bare(GRUSettings()) == GRUSettings()
