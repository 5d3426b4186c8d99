"""Normalisations against numpy over everything at once, and what each must take away and leave."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.models.normalisation import Band, NormalisationSettings


def normalisation(channels: int = 2, bands: int = 5, **given: Any) -> nn.Module:
    built: nn.Module = make(NormalisationSettings, "normalisation", given).build(channels, bands)
    return built


def pictures(*shape: int, seed: int = 0, level: float = -6.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2 + level


KINDS = [{"kind": kind} for kind in kinds(NormalisationSettings)] + [{"kind": "clip_band", "scale": True}]


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (1, 2, 5, 1), (0, 2, 5, 7)])
def test_shape_stays_and_nothing_is_not_a_number(given: dict[str, Any], shape: tuple[int, ...]) -> None:
    module = normalisation(**given)
    if isinstance(module, Band):
        module.fit([pictures(4, 2, 5, 7)])
    result = module(pictures(*shape))
    assert result.shape == shape
    assert result.isfinite().all()


def test_none_changes_nothing() -> None:
    given = pictures(3, 2, 5, 7)
    assert torch.equal(normalisation(kind="none")(given), given)


def test_clip_band_takes_each_bands_mean_away() -> None:
    given = pictures(3, 2, 5, 7)
    expected = given.numpy() - given.numpy().mean(axis=3, keepdims=True)
    np.testing.assert_allclose(normalisation(kind="clip_band")(given), expected, atol=1e-5)
    scaled = expected / expected.std(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(normalisation(kind="clip_band", scale=True)(given), scaled, atol=1e-5)


def test_clip_band_hears_no_level_and_no_colour() -> None:
    given, colour = pictures(3, 2, 5, 7), pictures(3, 2, 5, 1, seed=1)
    taken = normalisation(kind="clip_band")
    torch.testing.assert_close(taken(given + colour), taken(given), atol=1e-5, rtol=1e-5)


def test_clip_takes_one_mean_and_deviation_away() -> None:
    given = pictures(3, 2, 5, 7)
    values = given.numpy()
    expected = (values - values.mean(axis=(1, 2, 3), keepdims=True)) / values.std(
        axis=(1, 2, 3), keepdims=True
    )
    np.testing.assert_allclose(normalisation(kind="clip")(given), expected, atol=1e-5)
    torch.testing.assert_close(
        normalisation(kind="clip")(3 * given + 8), normalisation(kind="clip")(given), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("given", [{"kind": "clip"}, {"kind": "clip_band", "scale": True}])
def test_silence_is_not_blown_up(given: dict[str, Any]) -> None:
    assert normalisation(**given)(torch.full((2, 2, 5, 7), -13.8)).abs().max() < 1e-4


@given(parts=st.lists(st.integers(0, 6), min_size=1, max_size=6), level=st.sampled_from([0.0, -6.0, 1e4]))
@settings(max_examples=40, deadline=None)
def test_band_statistics_are_those_of_all_pictures_at_once(parts: list[int], level: float) -> None:
    """However they are dealt out, and far from 0 too, where adding up plain squares fails."""
    every = [
        pictures(count, 2, 5, 3 + number, seed=number, level=level) for number, count in enumerate(parts)
    ]
    module = normalisation(kind="band")
    assert isinstance(module, Band)
    if not sum(parts):
        with pytest.raises(RequestError, match="at least one training clip"):
            module.fit(every)
        return
    module.fit(every)
    columns = np.concatenate([p.double().movedim(0, -1).flatten(2).numpy() for p in every], axis=-1)
    np.testing.assert_allclose(module.mean[..., 0], columns.mean(axis=-1), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(module.deviation[..., 0], columns.std(axis=-1), rtol=1e-4)
    assert int(module.frames) == columns.shape[-1]


def test_band_leaves_mean_0_and_deviation_1() -> None:
    given = pictures(50, 2, 5, 40)
    module: Any = normalisation(kind="band")
    module.fit(iter(torch.split(given, 7)))
    result = module(given)
    torch.testing.assert_close(result.mean(dim=(0, 3)), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(dim=(0, 3), correction=0), torch.ones(2, 5), atol=1e-4, rtol=0)


def test_a_band_that_never_changes_is_not_divided_by_0() -> None:
    given = pictures(4, 2, 5, 7)
    given[:, :, 3] = -13.8
    module: Any = normalisation(kind="band")
    module.fit([given])
    assert module(given)[:, :, 3].abs().max() < 1e-4


def test_band_unfitted_is_refused_but_shapes_can_be_found() -> None:
    module = normalisation(kind="band")
    assert module(torch.full((2, 2, 5, 7), -13.8)).shape == (2, 2, 5, 7)
    with pytest.raises(RequestError) as caught:
        module(pictures(2, 2, 5, 7))
    assert str(caught.value) == (
        "normalisation: kind band has no statistics yet. Call fit with the training clips' pictures, load "
        "weights, or choose normalisation clip_band, which needs none."
    )


def test_band_statistics_travel_with_the_weights() -> None:
    module: Any = normalisation(kind="band")
    module.fit([pictures(4, 2, 5, 7)])
    other = normalisation(kind="band")
    other.load_state_dict(module.state_dict())
    given = pictures(2, 2, 5, 7, seed=3)
    assert torch.equal(other(given), module(given))
    assert torch.equal(copy.deepcopy(module)(given), module(given))
    unfitted = normalisation(kind="band")
    unfitted.load_state_dict(normalisation(kind="band").state_dict())
    with pytest.raises(RequestError, match="no statistics"):
        unfitted(given)


def test_the_usual_one_is_clip_band_in_the_familys_words() -> None:
    assert list(kinds(NormalisationSettings)) == ["none", "clip_band", "clip", "band"]
    with pytest.raises(RequestError, match="Did you mean 'clip_band'"):
        normalisation(kind="clipband")
