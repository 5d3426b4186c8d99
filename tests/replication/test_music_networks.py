"""The networks that taggers of music are made of: published numbers of weights, sizes of every map, a plain
rewriting of each, what their filters can see, that they learn, and what they cannot read."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.core.shipped import text_of
from nearfield.models.backbones import BackboneSettings
from nearfield.models.embedder import EmbeddingModel, EmbeddingSettings
from nearfield.models.normalization import BatchNormSettings
from nearfield.replication.music_networks import Front, MusicnnSettings
from nearfield.training.recipe import Recipe
from nearfield.training.setup import build_embedder
from tests.models.overfitting import convolution, prove, weights_of

ROOT = Path(__file__).parents[2]
TAGS = 50


def backbone(channels: int, bands: int, frames: int, **settings: Any) -> Any:
    return make(BackboneSettings, "backbone", settings).build(channels, bands, frames)


def normed(given: int, wanted: int, *sizes: int, bias: bool = True) -> int:
    """Weights of a convolution and the batch norm behind it."""
    return convolution(given, wanted, *sizes, bias=bias) + 2 * wanted


def linear(given: int, wanted: int) -> int:
    return (given + 1) * wanted


# Published sizes


def tall(c: int, bands: int) -> int:
    return normed(c, 204, int(0.4 * bands), 7) + normed(c, 204, int(0.7 * bands), 7)


def filters(c: int, bands: int) -> int:
    return tall(c, bands) + normed(c, 51, 128) + normed(c, 51, 64) + normed(c, 51, 32)


def musicnn(c: int) -> int:
    middle = normed(561, 64, 7) + 2 * normed(64, 64, 7)
    pooled = 2 * (561 + 3 * 64)
    return filters(c, 96) + middle + 2 * pooled + linear(pooled, 200) + 2 * 200


def short_chunk(c: int) -> int:
    widths = pairwise([c, 128, 128, 256, 256, 256, 256, 512])
    return sum(normed(a, b, 3, 3) for a, b in widths) + linear(512, 512) + 2 * 512


def short_chunk_residual(c: int) -> int:
    widths = pairwise([c, 128, 128, 256, 256, 256, 256, 512])
    layers = sum(2 * normed(a, b, 3, 3) + normed(b, b, 3, 3) for a, b in widths)
    return layers + linear(512, 512) + 2 * 512


def stack(c: int, *kernel: int) -> int:
    widths = pairwise([c, 64, 128, 128, 64])
    return sum(
        normed(a, b, *kernel, bias=False)
        + normed(b, b, *kernel, bias=False)
        + (normed(a, b, 1, 1, bias=False) if a != b else 0)
        for a, b in widths
    )


# settings, bands and frames, weights for C channels, map, numbers after the network's own pooling
CASES: dict[str, tuple[dict[str, Any], tuple[int, int], Any, tuple[int, ...], int]] = {
    "cnn1d": (
        {"kind": "cnn1d"},
        (96, 188),
        lambda c: normed(96 * c, 32, 3) + 2 * normed(32, 32, 3),
        (32, 8),
        32,
    ),
    "cnn2d": (
        {"kind": "cnn2d"},
        (96, 188),
        lambda c: sum(normed(a, b, 3, 3) for a, b in pairwise([c, 64, 128, 128, 64])),
        (64, 1, 1),
        64,
    ),
    "cnn2d, other pools": (
        {"kind": "cnn2d", "pools": [[4, 4], [3, 3], [3, 3], [3, 2]], "width": 8},
        (128, 101),
        lambda c: sum(normed(a, b, 3, 3) for a, b in pairwise([c, 8, 16, 16, 8])),
        (8, 1, 1),
        8,
    ),
    "deep_cnn": (
        {"kind": "deep_cnn"},
        (96, 188),
        lambda c: sum(normed(a, b, 3, 3) for a, b in pairwise([c, 64, 128, 256, 256, 128, 64])),
        (64, 1, 2),
        128,
    ),
    "linear_projection": ({"kind": "linear_projection"}, (96, 188), lambda c: 0, (18_048,), 18_048),
    "residual_stack": ({"kind": "residual_stack"}, (96, 188), lambda c: stack(c, 3, 3), (64, 6, 11), 64),
    "musicnn_front": ({"kind": "musicnn_front"}, (96, 188), lambda c: filters(c, 96), (561, 1, 188), 561),
    "stacked": ({"kind": "stacked"}, (96, 188), lambda c: filters(c, 96) + stack(561, 3), (64, 1, 11), 64),
    "stacked, others": (
        {
            "kind": "stacked",
            "front": {"kind": "cnn1d"},
            "stack": {"kind": "residual_stack", "pool": [1, 1], "kernel": [1, 3]},
        },
        (96, 188),
        lambda c: normed(96 * c, 32, 3) + 2 * normed(32, 32, 3) + stack(32, 3),
        (64, 1, 8),
        64,
    ),
    "stacked, three": (
        {
            "kind": "stacked",
            "front": {"kind": "stacked"},
            "stack": {"kind": "residual_stack", "widths": [8], "pool": [1, 1], "kernel": [1, 1]},
        },
        (96, 188),
        lambda c: (
            filters(c, 96) + stack(561, 3) + 2 * normed(64, 8, 1, bias=False) + normed(8, 8, 1, bias=False)
        ),
        (8, 1, 11),
        8,
    ),
    "residual_stack, plain": (
        {"kind": "residual_stack", "residual": False, "widths": [8, 16], "pool": [4, 2]},
        (96, 188),
        lambda c: sum(
            normed(a, b, 3, 3, bias=False) + normed(b, b, 3, 3, bias=False) for a, b in [(c, 8), (8, 16)]
        ),
        (16, 6, 47),
        16,
    ),
    "time_frequency": (
        {"kind": "time_frequency"},
        (96, 188),
        lambda c: normed(c, 32, 48) + normed(c, 32, 64),
        (32, 88),
        2816,
    ),
    "time_frequency, two": (
        {"kind": "time_frequency", "tall": [48, 24], "long": [64, 32]},
        (96, 188),
        lambda c: sum(normed(c, 32, size) for size in (48, 24, 64, 32)),
        (32, 204),
        6528,
    ),
    "musicnn": ({"kind": "musicnn"}, (96, 188), musicnn, (200,), 200),
    "musicnn, tall only": (
        {"kind": "musicnn", "temporal": 0},
        (96, 188),
        lambda c: (
            tall(c, 96) + normed(408, 64, 7) + 2 * normed(64, 64, 7) + 2 * 1200 + linear(1200, 200) + 2 * 200
        ),
        (200,),
        200,
    ),
    "short_chunk_cnn": ({"kind": "short_chunk_cnn"}, (128, 231), short_chunk, (512,), 512),
    "short_chunk_cnn, residual": (
        {"kind": "short_chunk_cnn", "residual": True},
        (128, 231),
        short_chunk_residual,
        (512,),
        512,
    ),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_shape_and_number_of_weights(case: str, channels: int) -> None:
    settings, size, count, shape, numbers = CASES[case]
    module = backbone(channels, *size, **settings).eval()
    picture = torch.randn(2, channels, *size)
    flat = channels if len(shape) == 1 and not count(1) else 1  # without a network channels stay apart
    with torch.no_grad():
        assert tuple(module(picture).shape[1:]) == (flat * shape[0], *shape[1:])
    assert weights_of(module) == count(channels)
    straight = EmbeddingSettings(size=None)
    assert (
        EmbeddingModel(nn.Identity(), nn.Identity(), module, straight, (channels, *size)).size
        == flat * numbers
    )


@pytest.mark.parametrize(
    ("settings", "size", "total"),
    [
        ({"kind": "cnn1d"}, (96, 188), 17_300),
        ({"kind": "cnn2d"}, (96, 188), 299_892),
        ({"kind": "musicnn"}, (96, 188), 787_159),
        ({"kind": "short_chunk_cnn"}, (128, 231), 3_687_348),
        ({"kind": "short_chunk_cnn", "residual": True}, (128, 231), 12_104_244),
    ],
    ids=str,
)
def test_with_input_norm_and_tag_layer_the_published_number(
    settings: dict[str, Any], size: tuple[int, int], total: int
) -> None:
    """Scale and shift of the one input channel, the network, and 50 tags on its numbers straight out."""
    norm = BatchNormSettings().build(1, size[0])
    model = EmbeddingModel(
        nn.Identity(), norm, backbone(1, *size, **settings), EmbeddingSettings(size=None), (1, *size)
    )
    assert weights_of(model) + linear(model.size, TAGS) == total
    assert model.describe().weights == weights_of(model)


def test_the_final_tagger_of_the_course_has_front_and_blocks() -> None:
    """Its recipe: batch norm on three channels of 128 bands, filters, four blocks behind them, 50 tags."""
    recipe = Recipe.load("tagging_musicnn")
    model = build_embedder(recipe, channels=1, seed=0)
    counted = 2 * 3 + filters(3, 128) + stack(561, 3) + linear(64, TAGS)
    assert weights_of(model) + linear(model.size, TAGS) == counted == 1_022_203
    assert f"{counted:,} weights" in text_of("tagging_musicnn", "recipes")


def test_the_linear_projection_to_4096_numbers_has_its_published_number() -> None:
    """73,928,704 are those of the projection alone; its input's batch norm has 2 more."""
    norm, network = BatchNormSettings().build(1, 96), backbone(1, 96, 188, kind="linear_projection")
    model = EmbeddingModel(nn.Identity(), norm, network, EmbeddingSettings(size=4096), (1, 96, 188))
    assert weights_of(model.head) == 73_928_704 == 96 * 188 * 4096 + 4096
    assert weights_of(model) == 73_928_706
    assert model.size == 4096


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("cnn1d", [(64,), (22,), (8,)]),
        ("cnn2d", [(24, 47), (8, 15), (2, 5), (1, 1)]),
        ("deep_cnn", [(48, 94), (24, 47), (12, 23), (6, 11), (3, 5), (1, 2)]),
        ("residual_stack", [(48, 94), (24, 47), (12, 23), (6, 11)]),
    ],
)
def test_sizes_of_every_map(kind: str, shapes: list[tuple[int, ...]]) -> None:
    module = backbone(1, 96, 188, kind=kind).eval()
    seen: list[tuple[int, ...]] = []
    for layers in module.blocks:
        layers.register_forward_hook(lambda _, __, map: seen.append(tuple(map.shape[2:])))
    with torch.no_grad():
        module(torch.randn(1, 1, 96, 188))
    assert seen == shapes


# Plain rewritings, straight from the names of the weights


class Rewritten:
    """A network in evaluation as a row of formulas."""

    def __init__(self, module: nn.Module) -> None:
        self.weights: dict[str, Tensor] = module.state_dict()

    def conv(self, name: str, map: Tensor, **how: Any) -> Tensor:
        convolve = F.conv2d if map.ndim == 4 else F.conv1d
        return convolve(map, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), **how)

    def norm(self, name: str, map: Tensor) -> Tensor:
        shape = (1, -1, *[1] * (map.ndim - 2))
        part = {
            key: self.weights[f"{name}.{key}"].view(shape)
            for key in ("running_mean", "running_var", "weight", "bias")
        }
        return (map - part["running_mean"]) / (part["running_var"] + 1e-5).sqrt() * part["weight"] + part[
            "bias"
        ]

    def cnn1d(self, picture: Tensor) -> Tensor:
        map = picture.reshape(len(picture), -1, picture.shape[-1])
        for number in range(3):
            here = f"blocks.{number}"
            map = self.norm(f"{here}.1", self.conv(f"{here}.0", F.pad(map, (3, 3)))).relu()
            map = map.unfold(2, 3, 3).amax(3)
        return map

    def pooled(self, map: Tensor, pools: list[tuple[int, int]]) -> Tensor:
        for number, (high, wide) in enumerate(pools):
            here = f"blocks.{number}"
            map = self.norm(f"{here}.1", self.conv(f"{here}.0", F.pad(map, (1, 1, 1, 1)))).relu()
            map = map.unfold(2, high, high).unfold(3, wide, wide).amax((4, 5))
        return map

    def cnn2d(self, picture: Tensor) -> Tensor:
        return self.pooled(picture, [(4, 4), (3, 3), (3, 3), (2, 5)])

    def deep_cnn(self, picture: Tensor) -> Tensor:
        return self.pooled(picture, [(2, 2)] * 6)

    def top(self, vector: Tensor) -> Tensor:
        vector = vector @ self.weights["dense.0.weight"].T + self.weights["dense.0.bias"]
        return self.norm("dense.1", vector).relu()

    def short_chunk_cnn(self, picture: Tensor) -> Tensor:
        return self.top(self.pooled(picture, [(2, 2)] * 7).amax((2, 3)))

    def short_chunk_residual(self, map: Tensor) -> Tensor:
        for number in range(7):
            here = f"blocks.{number}"
            halves = [
                self.norm(f"{here}.{name}.1", self.conv(f"{here}.{name}.0", map, stride=2, padding=1))
                for name in ("first", "shortcut")
            ]
            deep = self.norm(f"{here}.second.1", self.conv(f"{here}.second.0", halves[0].relu(), padding=1))
            map = (deep + halves[1]).relu()
        return self.top(map.amax((2, 3)))

    def residual_stack(self, map: Tensor) -> Tensor:
        for number in range(4):
            here = f"blocks.{number}.0"
            deep = self.norm(f"{here}.bn1", self.conv(f"{here}.conv1", map, padding=1)).relu()
            deep = self.norm(f"{here}.bn2", self.conv(f"{here}.conv2", deep, padding=1))
            if f"{here}.downsample.0.weight" in self.weights:
                map = self.norm(f"{here}.downsample.1", self.conv(f"{here}.downsample.0", map))
            map = (deep + map).relu().unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        return map

    def stacked(self, picture: Tensor) -> Tensor:
        """The front's map is one band high; blocks and pools go over time alone."""
        map = self.filters(picture, "front.front")[:, :, None]
        for number in range(2):
            here = f"stack.blocks.{number}.0"
            deep = self.norm(f"{here}.bn1", self.conv(f"{here}.conv1", F.pad(map, (1, 1)))).relu()
            deep = self.norm(f"{here}.bn2", self.conv(f"{here}.conv2", F.pad(deep, (1, 1))))
            map = self.norm(f"{here}.downsample.1", self.conv(f"{here}.downsample.0", map))
            map = (deep + map).relu().unfold(3, 2, 2).amax(4)
        return map

    def time_frequency(self, picture: Tensor) -> Tensor:
        found = []
        for name, axis in (("tall", 3), ("long", 2)):
            here = f"{name}.0"
            map = self.norm(f"{here}.1", self.conv(f"{here}.0", F.pad(picture, (1, 1, 1, 1)))).relu()
            found.append(map.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)).amax(axis))
        return torch.cat(found, 2)

    def filters(self, picture: Tensor, name: str) -> Tensor:
        """As the published code has it: ReLU, then batch norm, then the best pitch."""
        found = []
        for number, before, after in [(0, 3, 3), (1, 3, 3), (2, 63, 64), (3, 31, 32), (4, 15, 16)]:
            here = f"{name}.filters.{number}"
            map = self.conv(f"{here}.1", F.pad(picture, (before, after, 0, 0))).relu()
            found.append(self.norm(f"{here}.3", map).amax(2))
        return torch.cat(found, 1)

    def musicnn(self, picture: Tensor) -> Tensor:
        layers = [self.filters(picture, "front")]
        for number in range(3):
            here = f"middle.{number}"
            out = self.norm(f"{here}.2", self.conv(f"{here}.0", F.pad(layers[-1], (3, 3))).relu())
            layers.append(out + layers[-1] if number else out)
        every = torch.cat(layers, 1)
        vector = self.norm("back.0", torch.cat([every.amax(2), every.mean(2)], 1))
        vector = (vector @ self.weights["back.2.weight"].T + self.weights["back.2.bias"]).relu()
        return self.norm("back.4", vector)


@pytest.mark.parametrize(
    ("formula", "settings", "size"),
    [
        ("cnn1d", {"kind": "cnn1d"}, (20, 60)),
        ("cnn2d", {"kind": "cnn2d", "width": 8}, (80, 190)),
        ("deep_cnn", {"kind": "deep_cnn", "width": 8}, (70, 130)),
        ("residual_stack", {"kind": "residual_stack", "widths": [8, 8, 16, 4]}, (21, 34)),
        ("time_frequency", {"kind": "time_frequency"}, (60, 70)),
        (
            "stacked",
            {
                "kind": "stacked",
                "front": {"kind": "musicnn_front", "timbral": 6, "temporal": 3},
                "stack": {"kind": "residual_stack", "widths": [8, 4], "pool": [1, 2], "kernel": [1, 3]},
            },
            (20, 140),
        ),
        ("musicnn", {"kind": "musicnn", "timbral": 20, "temporal": 10}, (20, 140)),
        ("short_chunk_cnn", {"kind": "short_chunk_cnn", "width": 4}, (130, 260)),
        ("short_chunk_residual", {"kind": "short_chunk_cnn", "width": 4, "residual": True}, (40, 300)),
    ],
)
def test_equals_a_plain_rewriting(formula: str, settings: dict[str, Any], size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    module = backbone(2, *size, **settings)
    module.train()(torch.randn(4, 2, *size))  # statistics that are not 0 and 1
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, -1, 1)  # where it is below 0, norm and ReLU cannot change places
            nn.init.uniform_(layer.bias, -1, 1)
    picture = torch.randn(3, 2, *size)
    with torch.no_grad():
        wanted = getattr(Rewritten(module), formula)(picture)
        torch.testing.assert_close(module.eval()(picture), wanted, rtol=1e-4, atol=1e-4)


# What filters can see


def moved(front: Front, picture: Tensor, band: int, frame: int) -> Tensor:
    """(filters, T): whether what they say changes when one cell does."""
    changed = picture.clone()
    changed[0, 0, band, frame] += 100.0
    with torch.no_grad():
        said: Tensor = front(changed) != front(picture)
    return said[0]


def test_musical_filters_see_what_they_are_made_for() -> None:
    """Timbre 3 frames to either side; rhythm as many as its length says, and one band at a time."""
    front = MusicnnSettings(timbral=12, temporal=12).build(1, 40, 300).front.eval()
    said = moved(front, torch.randn(1, 1, 40, 300), band=20, frame=150).view(5, 12, 300).any(dim=1)
    reach = [(int(row.nonzero().min()), int(row.nonzero().max())) for row in said]
    assert reach == [(147, 153), (147, 153), (150 - 64, 150 + 63), (150 - 32, 150 + 31), (150 - 16, 150 + 15)]
    kernels = [tuple(value.shape[2:]) for value in front.state_dict().values() if value.ndim == 4]
    assert kernels == [(16, 7), (28, 7), (1, 128), (1, 64), (1, 32)]


def test_musical_filters_hear_a_pattern_at_any_pitch() -> None:
    """What is moved up by some bands is heard the same, but where a filter reaches the edge."""
    front = MusicnnSettings(timbral=8, temporal=8).build(1, 40, 60).front.eval()
    picture = torch.zeros(1, 1, 40, 60)
    picture[..., 15:25, 20:40] = torch.rand(10, 20)
    with torch.no_grad():
        low, high = front(picture), front(picture.roll(3, 2))
    torch.testing.assert_close(low[:, 16:], high[:, 16:])  # rhythm
    assert not torch.allclose(front(picture), front(picture.flip(3)), atol=1e-3)


# Learning


LEARNERS: list[tuple[dict[str, Any], tuple[int, int], int]] = [
    ({"kind": "cnn1d"}, (16, 33), 60),
    ({"kind": "cnn2d", "width": 16, "pools": [[2, 2]] * 4}, (16, 33), 40),
    ({"kind": "deep_cnn", "width": 8, "dropout": 0.0}, (64, 64), 50),
    ({"kind": "linear_projection"}, (16, 33), 25),
    ({"kind": "residual_stack", "widths": [8, 16, 16, 32]}, (16, 33), 60),
    ({"kind": "residual_stack", "widths": [8, 16, 16, 32], "residual": False}, (16, 33), 60),
    ({"kind": "time_frequency"}, (48, 64), 25),
    ({"kind": "musicnn", "timbral": 24, "temporal": 12}, (16, 33), 60),
    ({"kind": "musicnn_front", "timbral": 24, "temporal": 12}, (16, 33), 60),
    (
        {
            "kind": "stacked",
            "front": {"kind": "musicnn_front", "timbral": 24, "temporal": 12},
            "stack": {"kind": "residual_stack", "widths": [16, 32], "pool": [1, 2], "kernel": [1, 3]},
        },
        (16, 33),
        60,
    ),
    ({"kind": "short_chunk_cnn", "width": 4}, (128, 128), 30),
    ({"kind": "short_chunk_cnn", "width": 8, "residual": True}, (32, 33), 60),
]


@pytest.mark.parametrize(("settings", "size", "steps"), LEARNERS, ids=str)
def test_overfits_32_clips_and_evaluates_as_it_trains(
    settings: dict[str, Any], size: tuple[int, int], steps: int
) -> None:
    prove(settings, size, steps)


@pytest.mark.parametrize("kind", ["deep_cnn", "musicnn"])
def test_dropout_is_off_in_evaluation(kind: str) -> None:
    module = backbone(1, 64, 64, kind=kind).train()
    picture = torch.randn(4, 1, 64, 64)
    with torch.no_grad():
        assert not torch.equal(module(picture), module(picture))
        module.eval()
        assert torch.equal(module(picture), module(picture))


@pytest.mark.parametrize("settings", [case[0] for case in LEARNERS if case[0]["kind"] != "linear_projection"])
def test_every_weight_gets_a_gradient(settings: dict[str, Any]) -> None:
    module = backbone(2, 128, 180, **settings)
    torch.autograd.backward(module(torch.randn(4, 2, 128, 180)).pow(3).sum())
    silent = [name for name, weight in module.named_parameters() if weight.grad is None]
    assert silent == []


LARGE = {"resnet34", "resnet101", "resnet152"}  # more of the same blocks as their neighbours


@pytest.mark.parametrize("kind", sorted(set(kinds(BackboneSettings)) - LARGE - {"transformer"}))
def test_learns_in_half_precision(kind: str) -> None:
    """One step under bfloat16: a gradient for all weights, in float32, near that of full precision."""
    small: dict[str, dict[str, Any]] = {
        "short_chunk_cnn": {"width": 8},
        "cnn2d": {"width": 16},
        "deep_cnn": {"width": 8, "dropout": 0.0},
        "residual_stack": {"widths": [8, 16]},
        "musicnn": {"timbral": 16, "temporal": 8, "dropout": 0.0},
        "musicnn_front": {"timbral": 16, "temporal": 8},
        "stacked": {
            "front": {"kind": "musicnn_front", "timbral": 16, "temporal": 8},
            "stack": {"kind": "residual_stack", "widths": [8, 16], "pool": [1, 2], "kernel": [1, 3]},
        },
        "dense": {"widths": [16]},
        "convnet1d": {"dropout": 0.0},
    }
    sizes = dict.fromkeys(("short_chunk_cnn", "cnn2d", "deep_cnn", "time_frequency"), (128, 180))
    size = {"resnet50": (64, 98), **sizes}.get(kind, (16, 33))  # few places a channel make batch norm rough
    torch.manual_seed(0)
    network = backbone(1, *size, kind=kind, **small.get(kind, {}))
    norm = BatchNormSettings().build(1, size[0])
    model = EmbeddingModel(nn.Identity(), norm, network, EmbeddingSettings(size=8), (1, *size)).train()
    pictures, wanted = torch.randn(6, 1, *size) * 20 - 40, F.normalize(torch.randn(6, 8), dim=1)
    found = []
    for half in (True, False):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            vectors = model(pictures)
        assert vectors.dtype == torch.float32
        torch.autograd.backward((vectors * wanted).sum())
        gradients = [weight.grad for weight in model.parameters()]
        assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients)
        found.append(model.head.weight.grad.flatten().clone())  # type: ignore[union-attr, operator]
        assert found[-1].isfinite().all()
    assert float(F.cosine_similarity(found[0], found[1], dim=0)) > 0.9


# Pictures too small


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        ({"kind": "cnn2d"}, (72, 180)),
        ({"kind": "deep_cnn"}, (64, 64)),
        ({"kind": "residual_stack"}, (16, 16)),
        ({"kind": "residual_stack", "pool": [3, 1], "widths": [4, 4]}, (9, 1)),
        ({"kind": "time_frequency"}, (47, 63)),
        ({"kind": "time_frequency", "tall": [3, 9], "long": [7, 4]}, (8, 6)),
        ({"kind": "musicnn"}, (3, 1)),
        ({"kind": "musicnn", "timbral": 0}, (1, 1)),
        ({"kind": "short_chunk_cnn", "width": 4}, (128, 128)),
        ({"kind": "short_chunk_cnn", "width": 4, "residual": True}, (1, 1)),
        ({"kind": "cnn1d"}, (1, 1)),
        ({"kind": "linear_projection"}, (1, 1)),
    ],
    ids=str,
)
def test_the_least_picture_is_read_and_the_next_smaller_refused(
    settings: dict[str, Any], least: tuple[int, int]
) -> None:
    bands, frames = least
    module = backbone(1, bands, frames, **settings).eval()
    with torch.no_grad():
        assert module(torch.randn(2, 1, bands, frames)).isfinite().all()
    if bands > 1:
        with pytest.raises(
            RequestError, match=rf"needs {bands} bands; the feature gives {bands - 1}\. Increase"
        ):
            backbone(1, bands - 1, frames, **settings)
    if frames > 1:
        with pytest.raises(
            RequestError, match=rf"needs {frames} frames; the clip gives {frames - 1}\. Increase"
        ):
            backbone(1, bands, frames - 1, **settings)


def test_a_stack_that_cannot_read_the_fronts_map_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        backbone(1, 96, 188, kind="stacked", stack={"kind": "residual_stack"})
    assert str(caught.value) == (
        "backbone.stack: the output of musicnn_front is too small for residual_stack: 561 channels of 1 "
        "bands x 188 "
        "frames. Use smaller pools in the stack (backbone.stack.pool: [1, 2] keeps the bands), or another "
        "front or stack."
    )
    with pytest.raises(RequestError, match=r"musicnn_front needs 3 bands; the feature gives 2"):
        backbone(1, 2, 188, kind="stacked")
    with pytest.raises(RequestError, match=r"backbone: stack: unknown kind 'residual_stak'\. Did you mean"):
        backbone(1, 96, 188, kind="stacked", stack={"kind": "residual_stak"})
    with pytest.raises(RequestError, match=r"backbone: front: unknown key 'timbrall'\. Did you mean"):
        backbone(1, 96, 188, kind="stacked", front={"kind": "musicnn_front", "timbrall": 3})


def test_no_filters_at_all_are_refused() -> None:
    with pytest.raises(RequestError, match="timbral and temporal cannot both be 0"):
        backbone(1, 96, 188, kind="musicnn", timbral=0, temporal=0)


@pytest.mark.parametrize(
    "kind", ["cnn1d", "cnn2d", "residual_stack", "musicnn", "short_chunk_cnn", "time_frequency"]
)
def test_the_same_seed_gives_the_same_first_weights(kind: str) -> None:
    first, other = ([torch.manual_seed(seed), backbone(1, 128, 180, kind=kind)][1] for seed in (5, 5))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
