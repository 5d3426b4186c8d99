"""Schedules against their closed forms; optimisers against torch's own on one step."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.learning.optimizers import (
    SGD,
    Adam,
    AdamW,
    Cosine,
    OptimizerSettings,
    Plateau,
    PlateauState,
    Steps,
    set_rate,
)


def test_the_staircase_drops_when_it_should() -> None:
    schedule = Steps(factor=0.95, every=7500)
    assert [schedule.rate(u, 1) for u in (0, 7499, 7500, 15000)] == pytest.approx([1, 1, 0.95, 0.95**2])


def test_cosine_rises_falls_and_ends_at_its_floor() -> None:
    schedule = Cosine(warm_up=0.1, floor=0.02)
    rates = [schedule.rate(u, 100) for u in range(100)]
    assert rates[:10] == pytest.approx([(u + 1) / 10 for u in range(10)])
    assert rates[10] == pytest.approx(1)
    middle = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * 0.5))
    assert rates[55] == pytest.approx(middle)
    assert all(later <= sooner for sooner, later in pairwise(rates[10:]))
    assert schedule.rate(100, 100) == pytest.approx(0.02)


def test_a_flat_curve_drops_the_rate_and_then_stops() -> None:
    state = PlateauState(Plateau(factor=0.2, patience=5, stop_below=0.01))
    going = [state.see(0.5) for _ in range(16)]
    # The first score is the best; each five after it drop the rate: 0.2, 0.04, 0.008, and that is below.
    assert going == [True] * 15 + [False]
    assert state.factor == pytest.approx(0.2**3)


def test_a_plateau_goes_on_from_its_state() -> None:
    one, other = PlateauState(Plateau(patience=2)), PlateauState(Plateau(patience=2))
    for score in (0.1, 0.3, 0.2):
        one.see(score)
    other.restore(one.state())
    assert [one.see(0.2), one.factor] == [other.see(0.2), other.factor]


def test_only_matrices_decay() -> None:
    layer = nn.Linear(3, 2)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    optimizer = AdamW(lr=0.1, decay=0.5).build(layer.named_parameters())
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert torch.allclose(layer.weight, torch.full((2, 3), 1 - 0.1 * 0.5))
    assert torch.equal(layer.bias, torch.ones(2))


@pytest.mark.parametrize("settings", [Adam(), AdamW(), SGD()])
def test_frozen_weights_are_left_out(settings: Adam | AdamW | SGD) -> None:
    layer = nn.Linear(3, 2)
    layer.weight.requires_grad_(False)
    optimizer = settings.build(layer.named_parameters())
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert [p is layer.bias for p in held] == [True]


def test_descent_looks_ahead_as_nesterov_has_it() -> None:
    layer = nn.Linear(2, 1, bias=False)
    nn.init.zeros_(layer.weight)
    optimizer = SGD(lr=0.1, momentum=0.9).build(layer.named_parameters())
    speed, place = 0.0, 0.0
    for gradient in (1.0, 0.5, -2.0):
        layer.weight.grad = torch.full((1, 2), gradient)
        optimizer.step()
        speed = 0.9 * speed + gradient
        place -= 0.1 * (gradient + 0.9 * speed)
        assert torch.allclose(layer.weight, torch.full((1, 2), place))


def test_the_rate_is_set_from_the_first_rate_each_time() -> None:
    optimizer = SGD(lr=0.1).build(nn.Linear(2, 2).named_parameters())
    for factor in (0.5, 1.0, 0.25):
        set_rate(optimizer, factor)
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1 * factor)


def test_a_plateau_that_has_ended_is_known_to_have_after_a_restart() -> None:
    settings = Plateau(factor=0.05, patience=1, stop_below=0.1)
    one, other = PlateauState(settings), PlateauState(settings)
    assert [one.see(0.5), one.see(0.4)] == [True, False]
    other.restore(one.state())
    assert other.has_ended


@pytest.mark.parametrize("kind", ["adam", "adamw"])
@pytest.mark.parametrize("betas", [(1.0, 0.999), (0.9, 1.5), (-0.1, 0.999)])
def test_decays_that_torch_would_refuse_are_named_by_their_key(kind: str, betas: tuple[float, float]) -> None:
    with pytest.raises(RequestError, match=r"optimizer: betas\[[01]\]: input should be"):
        make(OptimizerSettings, "optimizer", {"kind": kind, "betas": betas})
