"""Normalisations against numpy over everything at once, and what each must take away and leave."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.models.normalization import Band, InputBatchNorm, NormalizationSettings


def normalization(channels: int = 2, bands: int = 5, **given: Any) -> nn.Module:
    built: nn.Module = make(NormalizationSettings, "normalization", given).build(channels, bands)
    return built


def pictures(*shape: int, seed: int = 0, level: float = -6.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 2 + level


KINDS = [{"kind": kind} for kind in kinds(NormalizationSettings)] + [{"kind": "clip_band", "scale": True}]


@pytest.mark.parametrize("given", KINDS)
@pytest.mark.parametrize("shape", [(3, 2, 5, 7), (1, 2, 5, 1), (0, 2, 5, 7)])
def test_shape_stays_and_nothing_is_not_a_number(given: dict[str, Any], shape: tuple[int, ...]) -> None:
    module = normalization(**given)
    if isinstance(module, Band):
        module.fit([pictures(4, 2, 5, 7)])
    result = module.eval()(pictures(*shape))
    assert result.shape == shape
    assert result.isfinite().all()


def test_none_changes_nothing() -> None:
    given = pictures(3, 2, 5, 7)
    assert torch.equal(normalization(kind="none")(given), given)


def test_clip_band_takes_each_bands_mean_away() -> None:
    given = pictures(3, 2, 5, 7)
    expected = given.numpy() - given.numpy().mean(axis=3, keepdims=True)
    np.testing.assert_allclose(normalization(kind="clip_band")(given), expected, atol=1e-5)
    scaled = expected / expected.std(axis=(1, 2, 3), keepdims=True)
    np.testing.assert_allclose(normalization(kind="clip_band", scale=True)(given), scaled, atol=1e-5)


def test_clip_band_hears_no_level_and_no_colour() -> None:
    given, colour = pictures(3, 2, 5, 7), pictures(3, 2, 5, 1, seed=1)
    taken = normalization(kind="clip_band")
    torch.testing.assert_close(taken(given + colour), taken(given), atol=1e-5, rtol=1e-5)


def test_clip_takes_one_mean_and_deviation_away() -> None:
    given = pictures(3, 2, 5, 7)
    values = given.numpy()
    expected = (values - values.mean(axis=(1, 2, 3), keepdims=True)) / values.std(
        axis=(1, 2, 3), keepdims=True
    )
    np.testing.assert_allclose(normalization(kind="clip")(given), expected, atol=1e-5)
    torch.testing.assert_close(
        normalization(kind="clip")(3 * given + 8), normalization(kind="clip")(given), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("given", [{"kind": "clip"}, {"kind": "clip_band", "scale": True}])
def test_silence_is_not_blown_up(given: dict[str, Any]) -> None:
    assert normalization(**given)(torch.full((2, 2, 5, 7), -13.8)).abs().max() < 1e-4


@given(parts=st.lists(st.integers(0, 6), min_size=1, max_size=6), level=st.sampled_from([0.0, -6.0, 1e4]))
@settings(max_examples=40, deadline=None)
def test_band_statistics_are_those_of_all_pictures_at_once(parts: list[int], level: float) -> None:
    """However they are dealt out, and far from 0 too, where adding up plain squares fails."""
    every = [
        pictures(count, 2, 5, 3 + number, seed=number, level=level) for number, count in enumerate(parts)
    ]
    module = normalization(kind="band")
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
    module: Any = normalization(kind="band")
    module.fit(iter(torch.split(given, 7)))
    result = module(given)
    torch.testing.assert_close(result.mean(dim=(0, 3)), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(result.std(dim=(0, 3), correction=0), torch.ones(2, 5), atol=1e-4, rtol=0)


def test_a_band_that_never_changes_is_not_divided_by_0() -> None:
    given = pictures(4, 2, 5, 7)
    given[:, :, 3] = -13.8
    module: Any = normalization(kind="band")
    module.fit([given])
    assert module(given)[:, :, 3].abs().max() < 1e-4


def test_band_unfitted_is_refused_but_shapes_can_be_found() -> None:
    module = normalization(kind="band")
    assert module(torch.full((2, 2, 5, 7), -13.8)).shape == (2, 2, 5, 7)
    with pytest.raises(RequestError) as caught:
        module(pictures(2, 2, 5, 7))
    assert str(caught.value) == (
        "normalization: the kind band has no statistics yet. Call fit with spectrograms of training clips, "
        "load weights, or use the kind clip_band, which needs none."
    )


def test_band_statistics_travel_with_the_weights() -> None:
    module: Any = normalization(kind="band")
    module.fit([pictures(4, 2, 5, 7)])
    other = normalization(kind="band")
    other.load_state_dict(module.state_dict())
    given = pictures(2, 2, 5, 7, seed=3)
    assert torch.equal(other(given), module(given))
    assert torch.equal(copy.deepcopy(module)(given), module(given))
    unfitted = normalization(kind="band")
    unfitted.load_state_dict(normalization(kind="band").state_dict())
    with pytest.raises(RequestError, match="no statistics"):
        unfitted(given)


def test_batch_norm_is_one_scale_and_shift_a_channel_over_the_batch() -> None:
    given = pictures(6, 2, 5, 7) + 10 * torch.arange(2.0)[:, None, None]
    module = normalization(kind="batch_norm")
    values = given.double().numpy()
    mean, variance = values.mean(axis=(0, 2, 3), keepdims=True), values.var(axis=(0, 2, 3), keepdims=True)
    with torch.no_grad():
        np.testing.assert_allclose(module(given), (values - mean) / np.sqrt(variance + 1e-5), atol=1e-5)
        norm = module.get_submodule("norm")
        norm.weight.copy_(torch.tensor([2.0, 3.0]))  # type: ignore[operator]
        norm.bias.copy_(torch.tensor([-1.0, 4.0]))  # type: ignore[operator]
        scaled = module(given).mean(dim=(0, 2, 3)), module(given).std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(scaled[0], torch.tensor([-1.0, 4.0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled[1], torch.tensor([2.0, 3.0]), atol=1e-3, rtol=0)
    assert [weight.numel() for weight in module.parameters()] == [2, 2]


def test_batch_norms_running_statistics_are_what_evaluation_uses() -> None:
    module = normalization(kind="batch_norm")
    given = pictures(50, 2, 5, 40, level=-40.0)
    for _ in range(100):
        module(given)
    torch.testing.assert_close(module.eval()(given), module.train()(given), atol=1e-2, rtol=1e-2)


def test_batch_norms_statistics_can_be_set_ahead_and_training_is_the_same() -> None:
    """What is frozen from the start sees normalized pictures; what trains sees what it would have seen."""
    given = [pictures(8, 2, 5, 40, level=-40.0, seed=seed) for seed in range(5)]
    module: Any = normalization(kind="batch_norm")
    untouched = copy.deepcopy(module)
    module.fit(iter(given))
    assert torch.equal(module(given[0]), untouched(given[0]))
    frozen: Any = normalization(kind="batch_norm")
    frozen.fit(given)
    result = frozen.eval()(torch.cat(given))
    torch.testing.assert_close(result.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(result.std(dim=(0, 2, 3)), torch.ones(2), atol=1e-2, rtol=0)
    assert not untouched.eval()(torch.cat(given)).mean() > -1


def run_with(folder: Path, **section: Any) -> Path:
    """A folder as a run leaves it, of which only the input's batch norm is asked here."""
    folder.mkdir()
    (folder / "recipe.yaml").write_text(yaml.safe_dump({"normalize": section}))
    norm = InputBatchNorm(1)
    with torch.no_grad():
        norm.norm.weight.fill_(1.5)
        norm.norm.bias.fill_(-0.25)
    norm.fit([pictures(4, 1, 5, 7, level=-40.0)])
    weights = {f"normalization.{name}": value for name, value in norm.state_dict().items()}
    save_file({**weights, "backbone.conv1.weight": torch.zeros(2)}, folder / "weights.safetensors")
    return folder


def test_batch_norm_begins_as_a_run_left_it_and_keeps_its_statistics(tmp_path: Path) -> None:
    run = run_with(tmp_path / "tagger", kind="batch_norm", weights=None)
    module: Any = normalization(channels=1, kind="batch_norm", weights=str(run))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert float(before["norm.weight"]) == 1.5
    assert float(before["norm.running_mean"]) == pytest.approx(-40, abs=1)
    module.fit([pictures(4, 1, 5, 7, level=90.0)])
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.weights_source["source"] == str(run)


def test_batch_norm_of_another_normalisation_or_number_of_channels_is_refused(tmp_path: Path) -> None:
    other = run_with(tmp_path / "bands", kind="band")
    with pytest.raises(
        RequestError, match=r"normalize.weights: the run in .* has normalize.kind 'band', but"
    ):
        normalization(channels=1, kind="batch_norm", weights=str(other))
    run = run_with(tmp_path / "tagger", kind="batch_norm")
    with pytest.raises(RequestError, match=r"does not fit this normalize: .*norm.weight \(1,\) for \(2,\)"):
        normalization(channels=2, kind="batch_norm", weights=str(run))


def test_the_usual_one_is_clip_band_in_the_familys_words() -> None:
    assert list(kinds(NormalizationSettings)) == ["none", "clip_band", "clip", "band", "batch_norm"]
    with pytest.raises(RequestError, match="Did you mean 'clip_band'"):
        normalization(kind="clipband")
