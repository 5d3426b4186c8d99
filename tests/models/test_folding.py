"""Folded networks against the networks that they were folded from."""

from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nearfield.models.backbones import BackboneSettings
from nearfield.models.embedder import EmbeddingModel, EmbeddingSettings, fuse_batch_norm
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.models.normalization import ClipBandSettings

KINDS: dict[str, Any] = {
    member.model_fields["kind"].default: member
    for member in get_args(get_args(BackboneSettings)[0])
    if member.model_fields["kind"].default not in ("resnet101", "resnet152", "transformer")
}


def lived_in(network: nn.Module) -> nn.Module:
    """Its norms' statistics and weights are no longer those of birth."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return network.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_map_comes_out(kind: str) -> None:
    torch.manual_seed(0)
    network = lived_in(KINDS[kind]().build(1, 128, 188))
    picture = torch.randn(2, 1, 128, 188)
    with torch.no_grad():
        expected, found = network(picture), fuse_batch_norm(network)(picture)
    scale = float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.parametrize("kind", ["small_convnet", "resnet18", "resnet50"])
def test_every_norm_behind_a_convolution_is_gone_and_the_network_itself_keeps_its_own(kind: str) -> None:
    network = KINDS[kind]().build(1, 64, 98).eval()
    before = sum(isinstance(module, _BatchNorm) for module in network.modules())
    assert not any(isinstance(module, _BatchNorm) for module in fuse_batch_norm(network).modules())
    assert before == sum(isinstance(module, _BatchNorm) for module in network.modules()) > 0


def test_a_reader_gives_the_embedders_vectors_and_leaves_it_alone() -> None:
    torch.manual_seed(1)
    feature = LogMelSettings().build(16000, 1)
    shape = (1, 64, 98)
    network = KINDS["small_convnet"]().build(*shape)
    embedder = EmbeddingModel(feature, ClipBandSettings().build(1, 64), network, EmbeddingSettings(), shape)
    lived_in(embedder)
    names = list(embedder.state_dict())
    picture = torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(
            embedder.reader().embed_spectrogram(picture), embedder.embed_spectrogram(picture)
        )
    assert list(embedder.state_dict()) == names
