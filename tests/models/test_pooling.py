"""Pooling against NumPy and its own laws: order of places, limits of the generalised mean, gradients."""

from typing import get_args

import numpy as np
import pytest
import torch

from nearfield.models.layers import GeneralisedMean, Pooling, pooling

MAP = torch.randn(3, 5, 4, 6, generator=torch.Generator().manual_seed(0))


def test_against_numpy() -> None:
    map = MAP.numpy()
    positive = np.maximum(map, 1e-6)
    wanted = {
        "mean": map.mean((2, 3)),
        "max": map.max((2, 3)),
        "mean_max": np.concatenate([map.mean((2, 3)), map.mean(2).max(2)], 1),
        "gem": (positive**3).mean((2, 3)) ** (1 / 3),
        "bands": map.mean(3).reshape(3, 20),
        "bands_max": np.concatenate([map.mean(3).reshape(3, 20), map.max(3).reshape(3, 20)], 1),
        "last": map[:, :, :, -1].reshape(3, 20),
        "flatten": map.reshape(3, 120),
    }
    assert set(wanted) == set(get_args(Pooling))
    for kind, values in wanted.items():
        found = pooling(kind)(MAP).detach().numpy()  # type: ignore[arg-type]
        np.testing.assert_allclose(found, values, rtol=1e-5, atol=1e-6, err_msg=kind)


@pytest.mark.parametrize("kind", get_args(Pooling))
def test_takes_maps_sequences_and_vectors(kind: Pooling) -> None:
    for map in (MAP, MAP[:, :, 0], MAP[:, :, 0, 0]):
        found = pooling(kind)(map)
        assert found.ndim == 2
        assert len(found) == 3
    if kind not in ("mean_max", "bands_max", "gem"):
        assert torch.equal(pooling(kind)(MAP[:, :, 0, 0]), MAP[:, :, 0, 0])


@pytest.mark.parametrize("kind", ["mean", "max", "mean_max", "gem"])
def test_order_and_layout_of_places_do_not_matter(kind: Pooling) -> None:
    pool = pooling(kind)
    shuffled = MAP[:, :, [2, 0, 3, 1]][..., [5, 1, 0, 2, 4, 3]]
    assert torch.allclose(pool(MAP), pool(shuffled), atol=1e-6)
    assert torch.allclose(pool(MAP), pool(MAP.contiguous(memory_format=torch.channels_last)), atol=1e-6)


@pytest.mark.parametrize("kind", ["bands", "bands_max"])
def test_bands_stay_apart_and_frames_do_not(kind: Pooling) -> None:
    pool = pooling(kind)
    assert torch.allclose(pool(MAP), pool(MAP[..., [5, 1, 0, 2, 4, 3]]), atol=1e-6)
    assert torch.allclose(pool(MAP), pool(MAP.contiguous(memory_format=torch.channels_last)), atol=1e-6)
    assert not torch.allclose(pool(MAP), pool(MAP[:, :, [2, 0, 3, 1]]), atol=0.1)


def test_generalised_mean_goes_from_mean_to_maximum() -> None:
    pool, map = GeneralisedMean(), MAP.abs() + 0.1
    pool.power.data.fill_(1.0)
    assert torch.allclose(pool(map), map.mean((2, 3)))
    pool.power.data.fill_(2000.0)
    assert torch.allclose(pool(map), map.amax((2, 3)), rtol=5e-3)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e15])
def test_generalised_mean_has_finite_gradients(scale: float) -> None:
    pool, map = GeneralisedMean(), (MAP * scale).requires_grad_()
    pool(map).sum().backward()
    assert map.grad is not None
    assert map.grad.isfinite().all()
    assert pool.power.grad is not None
    assert pool.power.grad.isfinite().all()


def test_half_precision_is_added_up_in_single() -> None:
    many = torch.full((1, 1, 64, 512), 1.0, dtype=torch.bfloat16)
    many[..., 256:] = 1.0078125
    assert float(pooling("mean")(many)) == pytest.approx(1.00390625, abs=1e-6)
