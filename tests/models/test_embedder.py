"""The embedder: its parts in their order, unit length at any precision, freezing, the table of its layers."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import Settings, make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.backbones.convnets import SmallConvnetSettings
from nearfield.models.backbones.resnet import ResNet18Settings
from nearfield.models.embedder import EmbeddingModel, EmbeddingSettings, Whitening, assemble, unit_length
from nearfield.models.features import FeatureSettings
from nearfield.models.layers import Pooling
from nearfield.models.normalization import NormalizationSettings


class Frames(nn.Module):
    """A stand-in for a feature: magnitudes of 16 samples a frame, 8 samples apart."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.dtype] = []

    def forward(self, waves: Tensor) -> Tensor:
        picture = waves.unfold(-1, 16, 8).transpose(-1, -2).abs()
        self.seen.append((picture.transpose(-1, -2) @ torch.eye(16)).dtype)
        return picture


class FramesSettings(Settings):
    def build(self, sample_rate: int, channels: int) -> Frames:
        return Frames()


class IdentitySettings(Settings):
    def build(self, *_: int) -> nn.Module:
        return nn.Identity()


class CentredSettings(Settings):
    def build(self, channels: int, bands: int) -> nn.Module:
        return nn.InstanceNorm2d(channels)


def embedder(
    backbone: dict[str, Any] | None = None, samples: int = 400, channels: int = 1, **given: Any
) -> Any:
    torch.manual_seed(0)
    settings = make(BackboneSettings, "backbone", backbone or {"kind": "small_convnet", "width": 8})
    embedding = EmbeddingSettings(**{"size": 16, **given})
    return assemble(FramesSettings(), CentredSettings(), settings, embedding, 16000, (channels, samples))


def waves(channels: int = 1, samples: int = 400, clips: int = 6) -> Tensor:
    return torch.randn(clips, channels, samples, generator=torch.Generator().manual_seed(4))


def test_is_its_parts_one_after_the_other() -> None:
    model = embedder(dropout=0.5).eval()
    assert [name for name, _ in model.named_children()] == [
        "feature", "normalization", "backbone", "pool", "dropout", "head",
    ]  # fmt: skip
    clips = waves()
    picture = model.normalization(model.feature(clips))
    wanted = F.normalize(model.head(model.backbone(picture).mean((2, 3))), dim=1)
    assert torch.allclose(model(clips), wanted, atol=1e-6)


def test_pictures_go_in_behind_the_feature() -> None:
    model, clips = embedder().eval(), waves()
    picture = model.feature(clips)
    assert torch.equal(model(clips), model.embed_spectrogram(picture))
    assert torch.equal(model(clips), model(picture))


@pytest.mark.parametrize(
    "kind", ["small_convnet", "resnet18", "convnet1d", "convnet2d", "gru", "conv_gru", "dense"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_backbone_ends_on_the_unit_sphere(kind: str, channels: int) -> None:
    model = embedder({"kind": kind}, channels=channels).train()
    vectors = model(waves(channels))
    assert vectors.shape == (6, 16)
    assert vectors.dtype == torch.float32
    assert torch.allclose(vectors.norm(dim=1), torch.ones(6), atol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 64, 512, 4096])
def test_any_size(size: int) -> None:
    vectors = embedder(size=size)(waves())
    assert vectors.shape == (6, size)
    assert torch.allclose(vectors.norm(dim=1), torch.ones(6), atol=1e-6)


@pytest.mark.parametrize("size", [1, 4097, 0])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValidationError):
        EmbeddingSettings(size=size)


@pytest.mark.parametrize("pooling", get_args(Pooling))
@pytest.mark.parametrize("kind", ["small_convnet", "gru", "dense"])
def test_any_pooling_on_any_backbone(pooling: str, kind: str) -> None:
    model = embedder({"kind": kind}, pooling=pooling)
    torch.autograd.backward(model(waves()).sum())
    assert all(weight.grad is not None for weight in model.parameters())


class TestNoLastLayer:
    def test_the_pooled_numbers_come_straight_out(self) -> None:
        model = embedder(size=None, normalize=False).eval()
        picture = model.normalization(model.feature(waves()))
        torch.testing.assert_close(model(waves()), model.backbone(picture).mean((2, 3)))
        assert torch.allclose(embedder(size=None).eval()(waves()).norm(dim=1), torch.ones(6), atol=1e-6)

    @pytest.mark.parametrize(
        ("given", "size"),
        [({}, 64), ({"pooling": "mean_max"}, 128), ({"pooling": "flatten"}, 64 * 1 * 2)],
        ids=str,
    )
    def test_size_is_what_comes_out(self, given: dict[str, Any], size: int) -> None:
        model = embedder(size=None, **given)
        assert model.size == model(waves()).shape[1] == size
        assert embedder(size=24, **given).size == 24

    def test_no_weights_are_left_in_its_place(self) -> None:
        model, usual = embedder(size=None), embedder(size=16)
        assert model.state_dict().keys() == usual.state_dict().keys() - {"head.weight", "head.bias"}
        assert model.describe().weights == usual.describe().weights - 16 * 65
        assert model.describe().layers[-1].shape == (64,)

    def test_a_frozen_network_learns_nothing_and_passes_gradients_on(self) -> None:
        """What stands on it, such as a layer to tags, can learn alone."""
        model = embedder(size=None, train="head", normalize=False)
        tags = nn.Linear(model.size, 5)
        torch.autograd.backward(tags(model(waves())).sum())
        assert tags.weight.grad is not None
        assert not [name for name, weight in model.named_parameters() if weight.requires_grad]


class TestReading:
    """What a finished space gives may lie before the last layer."""

    def test_the_loss_sees_the_last_layer_and_the_reader_what_is_before_it(self) -> None:
        model, usual = embedder(read="pooled"), embedder()
        model.load_state_dict(usual.state_dict())
        assert torch.allclose(model.train()(waves()), usual.train()(waves()))
        model.load_state_dict(usual.state_dict())
        picture = model.eval().normalization(model.feature(waves()))
        wanted = F.normalize(model.backbone(picture).mean((2, 3)), dim=1)
        assert torch.allclose(model(waves()), wanted, atol=1e-6)
        assert (model.size, model.train_dim) == (64, 16)
        assert (usual.size, usual.train_dim) == (16, 16)

    @pytest.mark.parametrize("read", ["last", "pooled"])
    @pytest.mark.parametrize("normalize", [True, False])
    def test_whitened_after_training_and_not_while_training(self, read: str, normalize: bool) -> None:
        given: dict[str, Any] = {"read": read, "normalize": normalize}
        plain, model = embedder(**given), embedder(**given, whiten=0.5)
        model.load_state_dict(plain.state_dict(), strict=False)
        pictures = [model.feature(waves()), model.feature(2 * waves(clips=9))]
        training = [network.train()(waves()) for network in (plain, model)]
        assert torch.equal(*training)
        model.fit_whitening(pictures)
        assert model.training
        whitening, rows = Whitening(model.size, 0.5), torch.cat([plain.eval()(each) for each in pictures])
        whitening.fit(rows)
        wanted = whitening(rows)
        found = torch.cat([model.eval()(each) for each in pictures])
        assert torch.allclose(found, F.normalize(wanted, dim=1) if normalize else wanted, atol=1e-4)
        assert not torch.allclose(found, rows, atol=0.01)
        assert torch.allclose(model.reader()(waves()), model(waves()), atol=1e-4)

    def test_without_it_nothing_is_fitted_or_stored(self) -> None:
        model = embedder()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        model.fit_whitening([model.feature(waves())])
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert embedder(whiten=0.5).state_dict().keys() - before.keys() == {
            "whitening.mean",
            "whitening.turn",
        }


def test_lengths_are_free_without_normalisation() -> None:
    model = embedder(normalize=False).eval()
    lengths = model(waves()).norm(dim=1)
    assert not torch.allclose(lengths, torch.ones(6), atol=0.01)
    assert torch.allclose(model(waves()) / lengths[:, None], embedder().eval()(waves()), atol=1e-6)


def test_longer_and_shorter_clips_pass_where_pooling_allows() -> None:
    model = embedder().eval()
    assert model(waves(samples=150)).shape == model(waves(samples=4000)).shape == (6, 16)


class TestDropout:
    def test_stands_before_the_last_layer_and_only_in_training(self) -> None:
        model = embedder({"kind": "dense"}, dropout=0.5)
        clips = waves()
        assert torch.equal(model.eval()(clips), model(clips))
        first, second = model.train()(clips), model(clips)
        assert not torch.allclose(first, second, atol=1e-3)
        assert torch.allclose(first.norm(dim=1), torch.ones(6), atol=1e-6)
        assert (first != 0).all()  # on the embedding itself it would leave zeros


class TestPrecision:
    @pytest.mark.parametrize("settings", [{"kind": "small_convnet"}, {"kind": "gru"}], ids=str)
    def test_half_precision_stays_inside_the_backbone(self, settings: dict[str, Any]) -> None:
        model = embedder(settings)
        seen = model.feature.seen
        with torch.autocast("cpu", torch.bfloat16):
            vectors = model(waves())
        assert seen[-1] == torch.float32
        assert vectors.dtype == torch.float32
        assert torch.allclose(vectors.norm(dim=1), torch.ones(6), atol=1e-6)
        assert torch.allclose(vectors, model(waves()), atol=0.05)

    def test_memory_layout_changes_nothing_but_rounding(self) -> None:
        model = embedder({"kind": "resnet18"}, channels=2).train()
        assert model.backbone.layer1[0].conv1.weight.is_contiguous(memory_format=torch.channels_last)
        first = model(waves(2))
        model.lay_out(channels_last=False)
        assert model.backbone.layer1[0].conv1.weight.is_contiguous()
        assert torch.allclose(model(waves(2)), first, atol=1e-5)


class TestUnitLength:
    def test_equals_torch(self) -> None:
        vectors = torch.randn(5, 7, requires_grad=True)
        (ours,) = torch.autograd.grad(unit_length(vectors).pow(3).sum(), vectors)
        (theirs,) = torch.autograd.grad(F.normalize(vectors, dim=1).pow(3).sum(), vectors)
        assert torch.allclose(unit_length(vectors), F.normalize(vectors, dim=1), atol=1e-7)
        assert torch.allclose(ours, theirs, atol=1e-6)

    @pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-7, 1e-5, 1e15])
    def test_is_safe_where_there_is_no_direction(self, scale: float) -> None:
        vectors = (scale * torch.randn(3, 4)).requires_grad_()
        torch.autograd.backward(unit_length(vectors).sum())
        assert unit_length(vectors).isfinite().all()
        assert vectors.grad is not None
        assert vectors.grad.isfinite().all()
        assert vectors.grad.abs().max() < 1e7

    def test_a_silent_clip_of_an_untrained_network_gives_a_number(self) -> None:
        assert embedder().eval()(torch.zeros(2, 1, 400)).isfinite().all()


class TestFreezing:
    def trained(self, model: EmbeddingModel) -> dict[str, Tensor]:
        """What changes when the model takes steps."""
        before = {name: value.clone() for name, value in model.state_dict().items()}
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        optimiser = torch.optim.SGD(weights or [torch.zeros(1)], 1.0)
        for _ in range(2):
            model.train()
            loss = model(waves()).pow(3).sum()
            if weights:
                torch.autograd.backward(loss)
            optimiser.step()
        return {
            name: value for name, value in model.state_dict().items() if not torch.equal(value, before[name])
        }

    def test_all(self) -> None:
        changed = self.trained(embedder())
        assert {"head.weight", "backbone.stem.0.weight", "backbone.stem.1.running_mean"} <= changed.keys()

    def test_head(self) -> None:
        model = embedder(train="head", pooling="gem", normalize=False)
        assert self.trained(model).keys() == {"head.weight", "head.bias", "pool.power"}
        assert model.head.training
        assert not any(layer.training for layer in model.backbone.modules())

    def test_none(self) -> None:
        model = embedder(train="none", dropout=0.5)
        assert self.trained(model) == {}
        assert torch.equal(model.train()(waves()), model(waves()))


class TestBuilding:
    def test_leaves_statistics_modes_and_chance_alone(self) -> None:
        torch.manual_seed(0)
        backbone = ResNet18Settings().build(1, 16, 49)
        backbone.layer3.eval()
        modes = [layer.training for layer in backbone.modules()]
        before = {name: value.clone() for name, value in backbone.named_buffers()}
        chance = torch.get_rng_state()
        head = nn.Linear(512, 16)  # the one thing that draws
        wanted = torch.get_rng_state()
        torch.set_rng_state(chance)
        model = EmbeddingModel(Frames(), nn.Identity(), backbone, EmbeddingSettings(size=16), (1, 400))
        assert torch.equal(torch.get_rng_state(), wanted)
        model.describe()
        assert torch.equal(torch.get_rng_state(), wanted)
        assert [layer.training for layer in backbone.modules()] == modes
        assert all(torch.equal(value, before[name]) for name, value in backbone.named_buffers())
        assert model.training
        assert head.out_features == 16

    def test_the_head_begins_alike_on_any_backbone_of_its_width(self) -> None:
        one, two = embedder({"kind": "resnet18"}), embedder({"kind": "resnet34"})
        assert torch.equal(one.head.weight, two.head.weight)
        assert torch.equal(one.backbone.layer2[1].conv2.weight, two.backbone.layer2[1].conv2.weight)

    @pytest.mark.parametrize("normalization", ["none", "clip_band", "clip", "band", "batch_norm"])
    @pytest.mark.parametrize(
        ("feature", "backbone"),
        [
            ("log_mel", "small_convnet"),
            ("mfcc", "gru"),
            ("waveform", "convnet1d"),
            ("multi_log_mel", "resnet18"),
        ],
    )
    def test_all_real_parts_fit(self, feature: str, normalization: str, backbone: str) -> None:
        scaler = make(NormalizationSettings, "normalization", {"kind": normalization})
        model = assemble(
            make(FeatureSettings, "feature", {"kind": feature}),
            scaler,
            make(BackboneSettings, "backbone", {"kind": backbone}),
            EmbeddingSettings(size=8),
            8000,
            (1, 8000),
        ).eval()
        clips = waves(samples=8000, clips=2)
        picture = model.feature(clips)
        if normalization == "band":
            model.normalization.fit([picture])  # type: ignore[operator]
        vectors = model(clips)
        assert vectors.isfinite().all()
        assert torch.allclose(vectors, model.embed_spectrogram(picture), atol=1e-6)
        assert model.describe().layers[-1].shape == (8,)

    def test_weights_stored_and_loaded_give_the_same_vectors(self, tmp_path: Path) -> None:
        first = embedder(pooling="gem").train()
        first(waves())
        weights = {name: value.contiguous() for name, value in first.state_dict().items()}
        save_file(weights, tmp_path / "weights.safetensors")
        torch.manual_seed(99)
        second = embedder(pooling="gem")
        second.load_state_dict(load_file(tmp_path / "weights.safetensors"))
        assert torch.equal(first.eval()(waves()), second.eval()(waves()))

    def test_pictures_need_no_sample_rate(self) -> None:
        embedding = EmbeddingSettings(size=8)
        model = assemble(
            IdentitySettings(), IdentitySettings(), SmallConvnetSettings(), embedding, 0, (3, 28, 20)
        )
        assert model(torch.rand(4, 3, 28, 20)).shape == (4, 8)
        assert model.describe().weights == sum(weight.numel() for weight in model.parameters())


class TestDescription:
    @pytest.mark.parametrize("kind", ["small_convnet", "resnet50", "convnet1d", "gru", "conv_gru", "dense"])
    def test_tells_the_shapes_that_come_out_and_all_weights(self, kind: str) -> None:
        model = embedder({"kind": kind}).eval()
        described = model.describe()
        rows = {layer.name: layer for layer in described.layers}
        pooled = model.pool(model.backbone(model.normalization(model.feature(waves()))))
        assert rows["pool"].shape == tuple(pooled.shape[1:])
        assert rows["feature"].shape == (1, 16, 49)
        assert rows["head"].shape == (16,)
        assert rows["head"].weights == 16 * (pooled.shape[1] + 1)
        assert sum(layer.weights for layer in described.layers) == described.weights
        assert described.weights == described.trained == sum(weight.numel() for weight in model.parameters())

    def test_frozen_weights_are_counted_apart(self) -> None:
        described = embedder(train="head").describe()
        assert described.trained == 16 * (64 + 1)
        assert described.weights > described.trained

    def test_prints_as_a_table(self) -> None:
        text = str(embedder({"kind": "dense", "widths": [8]}, size=4).describe())
        assert text.splitlines() == [
            "layer              type            output       weights",
            "feature            Frames          1 x 16 x 49        0",
            "normalization      InstanceNorm2d  1 x 16 x 49        0",
            "backbone.layers.0  Linear          8              6,280",
            "backbone.layers.1  ReLU            8                  0",
            "pool               Flatten         8                  0",
            "dropout            Dropout         8                  0",
            "head               Linear          4                 36",
            "6,316 weights, 6,316 of them trained",
        ]


def test_waves_of_one_channel_may_come_without_its_axis_and_other_shapes_are_refused() -> None:
    model = embedder().eval()
    given = waves()
    with torch.no_grad():
        torch.testing.assert_close(model(given[:, 0]), model(given))
        for odd in (given[0, 0], given.repeat(1, 2, 1), given[None, None]):
            said = re.escape(f"(B, 1, samples) or (B, samples). Given: {tuple(odd.shape)}.")
            with pytest.raises(RequestError, match=said):
                model(odd)


def test_the_repr_names_its_parts_and_its_size() -> None:
    model = embedder({"kind": "resnet18"}, train="head")
    backbone, head = (sum(p.numel() for p in part.parameters()) for part in (model.backbone, model.head))
    assert repr(model).splitlines()[1] == (
        "  feature=Frames, backbone=ResNet, shape=(1, 400), dim=16, normalize=True, "
        f"parameters={backbone + head:,}, trained={head:,}"
    )
    assert "trained" not in embedder().extra_repr()
    assert (
        "dim=512, normalize=False, "
        in embedder({"kind": "resnet18"}, size=None, normalize=False).extra_repr()
    )
