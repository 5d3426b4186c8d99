"""Norm, pool and ReLU in one against torch's three layers in float64, and what the whole road makes of it."""

import copy
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nearfield.models.backbones.convnets import LARGE, SmallConvnetSettings
from nearfield.models.pooled_norm import fits, pooled_norm


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def maps(batch: int, channels: int, height: int, width: int, mean: float = 0.5) -> Tensor:
    drawn = torch.randn(batch, channels, height, width) * 2 + mean
    return drawn.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def random_norm(channels: int) -> nn.BatchNorm2d:
    """With weights of both signs."""
    norm = nn.BatchNorm2d(channels)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


def by_layers(map: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return nn.functional.max_pool2d(norm(map), 2, ceil_mode=True).relu()


def relative(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).abs().max() / expected.abs().max().clamp(1e-3))


@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 9), st.integers(2, 9), st.integers(0, 99))
def test_it_equals_the_three_layers_in_float64(
    batch: int, channels: int, height: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)
    check_against_float64(maps(batch, channels, height, width), random_norm(channels))


def test_large_maps_and_far_means_equal_float64(threads: int) -> None:
    torch.manual_seed(0)
    check_against_float64(maps(6, 32, 21, 50), random_norm(32))
    # Float32 sums of squares that are not taken from near the mean lose this variance.
    check_against_float64(maps(6, 8, 64, 101, mean=100.0), random_norm(8))


def check_against_float64(map: Tensor, norm: nn.BatchNorm2d) -> None:
    exact_norm = copy.deepcopy(norm).double()
    ours, exact = map.clone().requires_grad_(), map.double().requires_grad_()
    assert fits(ours, norm)
    result, expected = pooled_norm(ours, norm), by_layers(exact, exact_norm)
    assert result.shape == expected.shape
    assert result.dtype == torch.bfloat16
    assert relative(result, expected) < 2**-8  # the rounding of bf16
    gradient = torch.randn_like(result)
    # Where rounding decides whether a number is above 0, both may be right.
    gradient[(expected.abs() < 1e-3) | (result == 0) != (expected == 0)] = 0
    result.backward(gradient)
    expected.backward(gradient.double())
    assert ours.grad is not None
    assert exact.grad is not None
    assert norm.running_var is not None
    # Nearly all of a gradient can cancel: it is as exact as the parts it is the difference of.
    parts = (norm.weight.abs() / norm.running_var.add(norm.eps).sqrt()).max() * gradient.float().abs().max()
    assert (ours.grad.double() - exact.grad).abs().max() < 2**-7 * exact.grad.abs().max() + 1e-4 * parts
    for mine, theirs in ((norm.weight, exact_norm.weight), (norm.bias, exact_norm.bias)):
        assert mine.grad is not None
        assert theirs.grad is not None
        assert (mine.grad.double() - theirs.grad).abs().max() < 1e-4 * gradient.float().abs().sum() + 1e-9
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        assert relative(getattr(norm, name), getattr(exact_norm, name)) < 1e-5


def test_of_equal_numbers_the_first_is_chosen_as_torch_does() -> None:
    map = torch.ones(1, 3, 5, 5, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    map[:, :, ::3] = 2
    ours, theirs = map.clone().requires_grad_(), map.double().requires_grad_()
    norm = nn.BatchNorm2d(3)
    exact = copy.deepcopy(norm).double()
    pooled_norm(ours, norm).sum().backward()
    by_layers(theirs, exact).sum().backward()
    assert ours.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-2, atol=1e-2)


def test_what_is_no_number_stays_none() -> None:
    map = maps(2, 3, 4, 4)
    map[1, 2, 3, 3] = torch.nan
    result = pooled_norm(map, nn.BatchNorm2d(3))
    assert result[:, 2].isnan().all()
    assert not result[:, :2].isnan().any()


def test_threads_change_no_bit() -> None:
    torch.manual_seed(1)
    map, before, found = maps(5, 16, 9, 30), torch.get_num_threads(), []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        norm, given = nn.BatchNorm2d(16), map.clone().requires_grad_()
        result = pooled_norm(given, norm)
        result.backward(torch.ones_like(result))
        assert given.grad is not None
        assert norm.running_var is not None
        found.append((result, given.grad, norm.running_var))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_only_a_training_in_bf16_channels_last_fits() -> None:
    map, norm = maps(2, 4, 6, 6), nn.BatchNorm2d(4)
    assert fits(map, norm)
    assert not fits(map.float(), norm)
    assert not fits(map.contiguous(), norm)
    assert not fits(map, nn.BatchNorm2d(4, affine=False))
    assert not fits(map, nn.BatchNorm2d(4, momentum=None))
    assert not fits(map, norm.eval())


def test_a_network_takes_the_fast_way_only_where_it_fits_and_learns_alike() -> None:
    torch.manual_seed(2)
    picture = torch.randn(16, 1, 64, 130).contiguous(memory_format=torch.channels_last)
    network = SmallConvnetSettings(stem_stride=(1, 1)).build(1, 64, 130)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain = copy.deepcopy(network)
    assert LARGE <= 16 * 32 * 64 * 130
    with torch.autocast("cpu", torch.bfloat16):
        first = network.stem(picture)
        assert type(first.grad_fn).__name__ == "PooledNormBackward"
        assert "PooledNorm" not in type(network.stem(picture[:2]).grad_fn).__name__  # small: by layers
        network.load_state_dict(plain.state_dict())
        fast = network(picture)
    exact = plain(picture)
    assert relative(fast, exact) < 0.05  # four layers of bf16
    fast.float().square().mean().backward()
    exact.square().mean().backward()
    for (name, mine), theirs in zip(network.named_parameters(), plain.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        likeness = torch.cosine_similarity(mine.grad.flatten(), theirs.grad.flatten(), dim=0)
        assert likeness > 0.95, name
