"""The penalty against sums by hand, and against what the gradient of lambda w^2 must be."""

import numpy as np
import pytest
import torch
from torch import nn

from nearfield.core.settings import make
from nearfield.learning.optimizers import WeightPenaltySettings, penalized
from nearfield.models.backbones import BackboneSettings


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(8, 3)
    )


def by_hand(module: nn.Module, *names: str) -> float:
    return sum(float((module.state_dict()[name].double().numpy() ** 2).sum()) for name in names)


@pytest.mark.parametrize(
    ("of", "names"),
    [
        ("kernels", ["0.weight", "2.weight", "4.weight"]),
        ("convolutions", ["0.weight", "2.weight"]),
        ("convolutions_and_biases", ["0.weight", "2.weight", "0.bias", "2.bias"]),
    ],
)
def test_equals_the_sum_by_hand(of: str, names: list[str]) -> None:
    module = network()
    penalty = WeightPenaltySettings(strength=0.01, of=of).build(module)
    assert penalty().item() == pytest.approx(0.01 * by_hand(module, *names), rel=1e-6)


def test_two_weights_of_known_size() -> None:
    module = nn.Conv1d(1, 1, 2)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([[[3.0, -4.0]]]))
        module.bias.fill_(2.0)  # type: ignore[union-attr]
    settings = WeightPenaltySettings(strength=0.1, of="convolutions_and_biases")
    assert settings.build(module)().item() == pytest.approx(0.1 * (9 + 16 + 4))


def test_gradient_is_twice_strength_times_weight_and_zero_elsewhere() -> None:
    module = network()
    torch.autograd.backward(WeightPenaltySettings(strength=0.3).build(module)())
    for name, weight in module.named_parameters():
        wanted = 0.6 * weight.detach().numpy() if name in ("0.weight", "2.weight", "4.weight") else None
        if wanted is None:
            assert weight.grad is None
        else:
            assert weight.grad is not None
            np.testing.assert_allclose(weight.grad.numpy(), wanted, rtol=1e-6)


def test_follows_the_weights_as_they_change() -> None:
    module = network()
    penalty = WeightPenaltySettings(strength=1.0).build(module)
    before = penalty().item()
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)
    assert penalty().item() == pytest.approx(4 * before, rel=1e-6)


def test_frozen_and_shared_weights() -> None:
    module = network()
    module[0].requires_grad_(False)
    shared = nn.ModuleList([module, module[4]])
    assert len(penalized(shared, "kernels")) == 2
    assert float(WeightPenaltySettings(strength=1.0).build(nn.ReLU())()) == 0.0


def test_counts_recurrent_matrices_and_all_convolutions_of_a_backbone() -> None:
    recurrent = make(BackboneSettings, "backbone", {"kind": "gru", "width": 4}).build(1, 8, 8)
    assert sorted(tuple(weight.shape) for weight in penalized(recurrent, "kernels")) == [
        (12, 4),
        (12, 8),
        (24, 4),
        (24, 8),
    ]
    residual = make(BackboneSettings, "backbone", {"kind": "resnet18"}).build(1, 64, 98)
    assert len(penalized(residual, "convolutions")) == 20
