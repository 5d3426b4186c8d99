"""Every backbone: its shape, its number of weights by a formula of its own, that it learns, that it is alike
in training and evaluation; the residual networks against published numbers and a plain rewriting."""

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.models.backbones import BackboneSettings
from nearfield.models.backbones.convnets import Residual
from nearfield.models.backbones.resnet import ResNet, ResNet18Settings, ResNet50Settings
from nearfield.models.normalization import settle
from tests.models.overfitting import WithHead, convolution, prove, weights_of

BANDS, FRAMES = 16, 33


def gru(given: int, width: int) -> int:
    """Three gates, each with both weight matrices and both bias vectors."""
    return 3 * width * (given + width + 2)


def small(channels: int, *widths: int, stem: int = 49) -> int:
    layers = [(channels, widths[0], stem), *[(a, b, 9) for a, b in pairwise(widths)]]
    return sum(convolution(a, b, area, bias=False) + 2 * b for a, b, area in layers)


# name, settings, weights for C channels, output for (C, 16, 33)
CASES: list[tuple[str, dict[str, Any], Any, tuple[int, ...] | None]] = [
    ("small", {"kind": "small_convnet"}, lambda c: small(c, 32, 64, 128, 256), (256, 1, 2)),
    (
        "small, step 2",
        {"kind": "small_convnet", "stem_stride": [2, 2], "width": 8, "blocks": 3},
        lambda c: small(c, 8, 16, 32, stem=9),
        (32, 2, 5),
    ),
    (
        "small, step 1",
        {"kind": "small_convnet", "stem_stride": [1, 1]},
        lambda c: small(c, 32, 64, 128, 256, stem=9),
        (256, 1, 3),
    ),
    (
        "small, steps 4 and 1",
        {"kind": "small_convnet", "stem_stride": [4, 1], "width": 8, "blocks": 3},
        lambda c: small(c, 8, 16, 32, stem=21),
        (32, 1, 5),
    ),
    (
        "small, residual",
        {"kind": "small_convnet", "residual": True, "width": 8, "blocks": 2},
        lambda c: small(c, 8, 16) + convolution(16, 16, 3, 3, bias=False) + 32,
        (16, 2, 5),
    ),
    (
        "convnet1d",
        {"kind": "convnet1d"},
        lambda c: convolution(c * BANDS, 64, 2) + convolution(64, 64, 2) + convolution(64, 128, 3),
        (128, 4),
    ),
    (
        "convnet2d",
        {"kind": "convnet2d"},
        lambda c: (
            convolution(c, 32, 3, 3)
            + convolution(32, 32, 3, 3)
            + convolution(32, 64, 2, 2)
            + 2 * (32 + 32 + 64)
        ),
        (64, 2, 5),
    ),
    ("gru", {"kind": "gru"}, lambda c: gru(c * BANDS, 64) + gru(64, 128), (128, FRAMES)),
    (
        "conv_gru",
        {"kind": "conv_gru"},
        lambda c: (
            convolution(c, 16, 7, 7)
            + convolution(16, 32, 5, 5)
            + 2 * convolution(32, 32, 3, 3)
            + 2 * (16 + 3 * 32)
            + gru(32 * BANDS, 32)
        ),
        (32, 3),
    ),
    ("dense", {"kind": "dense"}, lambda c: (c * BANDS * FRAMES + 1) * 256, (256,)),
    (
        "dense, two",
        {"kind": "dense", "widths": [64, 32]},
        lambda c: (c * BANDS * FRAMES + 1) * 64 + 65 * 32,
        (32,),
    ),
    ("projection", {"kind": "dense", "widths": []}, lambda c: 0, None),
    ("resnet18", {"kind": "resnet18"}, lambda c: 11_689_512 - 513_000 - (3 - c) * 64 * 49, (512, 1, 2)),
]
NAMES = [case[0] for case in CASES]


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize(("settings", "count", "shape"), [case[1:] for case in CASES], ids=NAMES)
def test_shape_and_number_of_weights(
    settings: dict[str, Any], count: Any, shape: tuple[int, ...] | None, channels: int
) -> None:
    module = make(BackboneSettings, "backbone", settings).build(channels, BANDS, FRAMES).eval()
    map = module(torch.randn(3, channels, BANDS, FRAMES))
    assert tuple(map.shape[1:]) == (shape or (channels * BANDS * FRAMES,))
    assert weights_of(module) == count(channels)


def test_efficientnet_learns() -> None:
    """16 pictures of 4 labels; at 2 x 2 places it needs more updates for the 32 clips of the others."""
    torch.manual_seed(3)
    pictures, labels = torch.randn(16, 1, 48, 48), torch.arange(16) % 4
    backbone = make(BackboneSettings, "backbone", {"kind": "efficientnet_b0"}).build(1, 48, 48)
    network = WithHead(backbone, pictures).train()
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    losses = []
    for _ in range(25):
        loss = F.cross_entropy(10 * network(pictures)[:, :4], labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]


QUICK = {"small", "small, step 1", "convnet2d", "resnet18", "dense", "projection"}
LEARNERS = [(case[0], case[1], 25 if case[0] in QUICK else 70) for case in CASES]


@pytest.mark.parametrize(("settings", "steps"), [case[1:] for case in LEARNERS], ids=NAMES)
def test_overfits_32_clips_and_evaluates_as_it_trains(settings: dict[str, Any], steps: int) -> None:
    prove(settings, (BANDS, FRAMES), steps)


def test_batch_norm_is_not_skipped_in_evaluation() -> None:
    module = make(BackboneSettings, "backbone", {"kind": "convnet2d"}).build(1, BANDS, FRAMES)
    picture = 5 + 3 * torch.randn(16, 1, BANDS, FRAMES)
    settle(module, [picture])
    with torch.no_grad():
        trained, evaluated = module.train()(picture), module.eval()(picture)
    assert torch.allclose(trained, evaluated, rtol=0.02, atol=0.03)
    assert abs(float(evaluated.mean())) < 0.01
    assert abs(float(evaluated.std()) - 1) < 0.02


@pytest.mark.parametrize("settings", [case[1] for case in CASES if case[0] != "projection"])
def test_every_weight_gets_a_gradient(settings: dict[str, Any]) -> None:
    module = make(BackboneSettings, "backbone", settings).build(2, BANDS, FRAMES)
    torch.autograd.backward(module(torch.randn(4, 2, BANDS, FRAMES)).square().sum())
    silent = [
        name for name, weight in module.named_parameters() if weight.grad is None or not weight.grad.any()
    ]
    assert silent == []


def test_efficientnet_has_the_published_number_and_the_names_of_published_weights() -> None:
    """5,288,548 weights with the layer from 1,280 numbers to 1,000 classes; names as timm has them."""
    module = make(BackboneSettings, "backbone", {"kind": "efficientnet_b0"}).build(3, 64, 98)
    assert weights_of(module) == 4_007_548 == 5_288_548 - 1281 * 1000
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert len(shapes) == 360 - 2  # of which two are the classifier's
    for name, shape in {
        "conv_stem.weight": (32, 3, 3, 3),
        "blocks.0.0.conv_dw.weight": (32, 1, 3, 3),
        "blocks.0.0.se.conv_reduce.bias": (8,),
        "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
        "blocks.1.1.conv_pw.weight": (144, 24, 1, 1),
        "blocks.3.0.conv_dw.weight": (240, 1, 3, 3),
        "blocks.3.0.se.conv_expand.weight": (240, 10, 1, 1),
        "blocks.5.3.conv_pwl.weight": (192, 1152, 1, 1),
        "blocks.6.0.bn3.running_var": (320,),
        "conv_head.weight": (1280, 320, 1, 1),
        "bn2.bias": (1280,),
    }.items():
        assert shapes[name] == shape, name
    with torch.no_grad():
        assert module.eval()(torch.randn(2, 3, 64, 98)).shape == (2, 1280, 2, 4)


PUBLISHED = {  # of the 1000-class networks: weights, entries of the state dict; then inputs of the classifier
    "resnet18": (11_689_512, 122, 512),
    "resnet34": (21_797_672, 218, 512),
    "resnet50": (25_557_032, 320, 2048),
    "resnet101": (44_549_160, 626, 2048),
    "resnet152": (60_192_808, 932, 2048),
}


@pytest.mark.parametrize("kind", PUBLISHED)
def test_residual_networks_have_the_published_numbers(kind: str) -> None:
    total, entries, width = PUBLISHED[kind]
    with torch.device("meta"):  # numbers without memory: drawing 60 million weights is another test's affair
        module = ResNet(*parts(kind), channels=3)
    assert weights_of(module) == total - (width + 1) * 1000
    assert len(module.state_dict()) == entries - 2
    assert module(torch.empty(2, 3, 64, 98, device="meta")).shape == (2, width, 2, 4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["resnet34", "resnet101", "resnet152"])
def test_a_deep_residual_network_takes_a_step_downhill(kind: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = ResNet(*parts(kind), channels=1)
        pictures = torch.randn(8, 1, 64, 64)
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-6)
    losses = []
    for _ in range(2):
        loss = module(pictures).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[1] < losses[0]
    for name, weight in module.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.any(), name


def parts(kind: str) -> tuple[Any, Any]:
    settings = kinds(BackboneSettings)[kind]
    return settings.block, settings.depths  # type: ignore[attr-defined]


def rewritten(weights: dict[str, Tensor], picture: Tensor) -> Tensor:
    """A residual network in evaluation, straight from the names of its weights."""

    def conv(name: str, given: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        return F.conv2d(given, kernel, stride=stride, padding=kernel.shape[-1] // 2)

    def norm(name: str, given: Tensor) -> Tensor:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / (variance + 1e-5).sqrt()
        return given * scale[:, None, None] + (weights[f"{name}.bias"] - mean * scale)[:, None, None]

    map = F.max_pool2d(norm("bn1", conv("conv1", picture, 2)).relu(), 3, 2, 1)
    for layer in range(1, 5):
        number = 0
        while f"layer{layer}.{number}.conv1.weight" in weights:
            here = f"layer{layer}.{number}"
            deep = f"{here}.conv3.weight" in weights
            stride = 2 if layer > 1 and number == 0 else 1
            out = norm(f"{here}.bn1", conv(f"{here}.conv1", map, 1 if deep else stride)).relu()
            out = norm(f"{here}.bn2", conv(f"{here}.conv2", out, stride if deep else 1))
            if deep:
                out = norm(f"{here}.bn3", conv(f"{here}.conv3", out.relu()))
            if f"{here}.downsample.0.weight" in weights:
                map = norm(f"{here}.downsample.1", conv(f"{here}.downsample.0", map, stride))
            map = (out + map).relu()
            number += 1
    return map


@pytest.mark.parametrize("settings", [ResNet18Settings(), ResNet50Settings()], ids=lambda s: s.kind)
def test_residual_networks_equal_a_plain_rewriting(settings: Any) -> None:
    module = settings.build(2, 32, 40)
    module.train()(torch.randn(4, 2, 32, 40))  # statistics that are not 0 and 1
    picture = torch.randn(2, 2, 32, 40)
    with torch.no_grad():
        wanted = rewritten(module.state_dict(), picture)
        assert torch.allclose(module.eval()(picture), wanted, rtol=1e-4, atol=1e-4)


def excited(weights: dict[str, Tensor], picture: Tensor) -> Tensor:
    """EfficientNet-B0 in evaluation, straight from the names of its weights."""

    def conv(name: str, given: Tensor, stride: int = 1) -> Tensor:
        kernel = weights[f"{name}.weight"]
        groups = given.shape[1] // kernel.shape[1]
        around, bias = kernel.shape[-1] // 2, weights.get(f"{name}.bias")
        return F.conv2d(given, kernel, bias, stride=stride, padding=around, groups=groups)

    def norm(name: str, given: Tensor) -> Tensor:
        mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
        scale = weights[f"{name}.weight"] / (variance + 1e-5).sqrt()
        return given * scale[:, None, None] + (weights[f"{name}.bias"] - mean * scale)[:, None, None]

    def gate(name: str, given: Tensor) -> Tensor:
        inner = conv(f"{name}.se.conv_reduce", given.mean((2, 3), keepdim=True))
        return given * torch.sigmoid(conv(f"{name}.se.conv_expand", inner * torch.sigmoid(inner)))

    def swish(given: Tensor) -> Tensor:
        return given * torch.sigmoid(given)

    map = swish(norm("bn1", conv("conv_stem", picture, 2)))
    for stage, count, stride in zip(range(7), (1, 2, 2, 3, 3, 4, 1), (1, 2, 2, 2, 1, 2, 1), strict=True):
        for number in range(count):
            here = f"blocks.{stage}.{number}"
            if stage == 0:
                out = gate(here, swish(norm(f"{here}.bn1", conv(f"{here}.conv_dw", map))))
                map = norm(f"{here}.bn2", conv(f"{here}.conv_pw", out))
                continue
            out = swish(norm(f"{here}.bn1", conv(f"{here}.conv_pw", map)))
            out = swish(norm(f"{here}.bn2", conv(f"{here}.conv_dw", out, 1 if number else stride)))
            out = norm(f"{here}.bn3", conv(f"{here}.conv_pwl", gate(here, out)))
            map = out + map if number else out
    return swish(norm("bn2", conv("conv_head", map)))


def test_efficientnet_equals_a_plain_rewriting() -> None:
    module = make(BackboneSettings, "backbone", {"kind": "efficientnet_b0"}).build(2, 40, 70)
    module.train()(torch.randn(4, 2, 40, 70))  # statistics that are not 0 and 1
    picture = torch.randn(2, 2, 40, 70)
    with torch.no_grad():
        wanted = excited(module.state_dict(), picture)
        torch.testing.assert_close(module.eval()(picture), wanted, rtol=1e-4, atol=1e-4)


def test_the_linear_projection_of_a_large_picture_has_its_known_number_of_weights() -> None:
    settings = make(BackboneSettings, "backbone", {"kind": "dense", "widths": [4096]})
    with torch.device("meta"):
        assert weights_of(type(settings.build(1, 2, 2))(96 * 188, (4096,))) == 73_928_704


def test_the_recurrence_of_conv_gru_steps_over_time() -> None:
    module = make(BackboneSettings, "backbone", {"kind": "conv_gru"}).build(1, 32, 160).eval()
    seen: list[torch.Size] = []
    module.recurrent.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape))
    picture = torch.randn(2, 1, 32, 160)
    changed = picture.clone()
    changed[..., 120:] = 0  # what comes late cannot move what was said early
    with torch.no_grad():
        before, after = module(picture), module(changed)
    assert seen[0] == (2, 10, 32 * 32)
    assert torch.equal(before[..., :4], after[..., :4])
    assert not torch.equal(before[..., -1], after[..., -1])


def test_a_residual_layer_that_says_nothing_lets_the_map_through() -> None:
    layer = Residual(3)
    map = torch.rand(2, 3, 4, 5)
    assert not torch.allclose(layer(map), map)
    nn.init.zeros_(layer.bn.weight)
    assert torch.equal(layer(map), map)


def test_too_few_frames_are_refused_with_what_to_do() -> None:
    with pytest.raises(RequestError, match=r"needs 8 frames; the clip gives 7\. Increase data"):
        make(BackboneSettings, "backbone", {"kind": "convnet1d"}).build(1, 64, 7)


@pytest.mark.parametrize("kind", ["small_convnet", "resnet18", "convnet2d", "conv_gru", "gru", "dense"])
def test_a_picture_of_one_cell_is_no_error(kind: str) -> None:
    module = make(BackboneSettings, "backbone", {"kind": kind}).build(1, 1, 1).eval()
    assert module(torch.randn(2, 1, 1, 1)).isfinite().all()


def test_layers_of_one_name_begin_alike_whatever_stands_beside_them() -> None:
    def first(**settings: Any) -> Tensor:
        torch.manual_seed(7)
        module = make(BackboneSettings, "backbone", {"kind": "small_convnet", **settings}).build(1, 64, 98)
        return module.state_dict()["blocks.0.0.weight"]  # type: ignore[no-any-return]

    assert torch.equal(first(), first(stem_stride=[4, 2]))
    assert not torch.equal(first(), first(width=16)[:1])
    torch.manual_seed(8)
    other = make(BackboneSettings, "backbone", {"kind": "small_convnet"}).build(1, 64, 98)
    assert not torch.equal(first(), other.state_dict()["blocks.0.0.weight"])


def test_first_weights_keep_the_size_of_a_signal() -> None:
    torch.manual_seed(0)
    weight = ResNet18Settings().build(1, 64, 98).get_parameter("layer3.1.conv1.weight")
    assert float(weight.detach().std()) == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert float(weight.detach().mean()) == pytest.approx(0, abs=1e-3)
