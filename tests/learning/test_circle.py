"""Circle loss: its boundary is the circle of its name, its weights are held constant, nothing overflows."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize, softplus

from nearfield.core.types import Pairs
from nearfield.learning.build import loss


def with_cosines(positive: float, negative: float) -> tuple[Tensor, Pairs]:
    """One anchor with one alike and one unlike item at the given cosines."""
    vectors = torch.tensor(
        [
            [1.0, 0.0, 0.0],
            [positive, math.sqrt(1 - positive**2), 0.0],
            [negative, 0.0, math.sqrt(1 - negative**2)],
        ],
        dtype=torch.float64,
    )
    one, two, zero = torch.tensor([1]), torch.tensor([2]), torch.tensor([0])
    return vectors, Pairs.from_triplets(zero, one, two, 3)


@settings(max_examples=50, deadline=None)
@given(m=st.floats(0.05, 0.6), turn=st.floats(0.0, 1.0), gamma=st.floats(1.0, 256.0))
def test_the_boundary_is_a_circle_of_radius_m_root_two(m: float, turn: float, gamma: float) -> None:
    # On s_n^2 + (1 - s_p)^2 = 2 m^2 both sides balance and the loss is log 2, as long as these are cosines
    # and neither weight is cut off at zero (s_n > -m).
    angle = (turn - 0.2) * math.pi / 2
    negative, positive = math.sqrt(2) * m * math.sin(angle), 1 - math.sqrt(2) * m * math.cos(angle)
    assume(negative > -m and positive <= 1)
    ours = loss("circle", m=m, gamma=gamma)
    assert ours(*with_cosines(positive, negative)).item() == pytest.approx(math.log(2), abs=1e-9)
    inside, outside = 1 - (1 - positive) * 0.9, 1 - (1 - positive) * 1.1
    if outside > -1 and positive < 0.99:
        assert ours(*with_cosines(inside, negative)).item() < math.log(2)
        assert ours(*with_cosines(outside, negative)).item() > math.log(2)
        assert ours.forward_with_metrics(*with_cosines(inside, negative))[1]["active_fraction"] == 0
        assert ours.forward_with_metrics(*with_cosines(outside, negative))[1]["active_fraction"] == 1


def test_a_smaller_m_is_stricter() -> None:
    given = with_cosines(0.5, 0.4)
    values = [loss("circle", m=m)(*given).item() for m in (0.05, 0.2, 0.4, 0.7, 0.99)]
    assert values == sorted(values, reverse=True)


def test_the_weights_are_held_constant() -> None:
    m, gamma, s_p, s_n = 0.3, 20.0, 0.4, 0.2
    vectors, pairs = with_cosines(s_p, s_n)
    leaf = vectors.requires_grad_()
    value = loss("circle", m=m, gamma=gamma)(leaf, pairs)
    push, accumulate_grad = s_n + m, 1 + m - s_p
    logit = gamma * (push * (s_n - m) - accumulate_grad * (s_p - (1 - m)))
    assert value.item() == pytest.approx(math.log1p(math.exp(logit)))
    cosine = normalize(leaf) @ normalize(leaf).T
    share = 1 / (1 + math.exp(-logit))
    linear = (
        share * gamma * (push * cosine[0, 2] - accumulate_grad * cosine[0, 1])
    )  # as if the weights were numbers
    torch.testing.assert_close(
        torch.autograd.grad(value, leaf)[0], torch.autograd.grad(linear, leaf)[0], atol=1e-9, rtol=1e-9
    )


def test_strength_weighs_the_exponentials() -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = normalize(torch.randn(9, 4, generator=rng, dtype=torch.float64))
    labels = torch.arange(9) % 3
    pairs = Pairs.from_labels(labels)
    weight = torch.rand(9, 9, generator=rng, dtype=torch.float64)
    cosine = vectors @ vectors.T
    single = []
    for anchor in range(9):
        positive, negative = pairs.positive[anchor], pairs.negative[anchor]
        s_p, s_n = cosine[anchor, positive], cosine[anchor, negative]
        pulls = (weight[anchor, positive] * torch.exp(-8 * (1.4 - s_p).relu() * (s_p - 0.6))).sum()
        pushes = torch.exp(8 * (s_n + 0.4).relu() * (s_n - 0.4)).sum()
        single.append(softplus((pulls * pushes).log()))
    weighed = Pairs(pairs.positive, pairs.negative, weight)
    value = loss("circle", m=0.4, gamma=8)(vectors, weighed)
    assert value.item() == pytest.approx(torch.stack(single).mean().item())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("gamma", [256.0, 1024.0])
def test_nothing_overflows(kind: torch.dtype, gamma: float) -> None:
    worst = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], dtype=kind, requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])  # alike items opposite, unlike ones on one spot
    value = loss("circle", m=0.25, gamma=gamma)(worst, labels)
    value.backward()
    assert worst.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(worst.grad).all()
    exact = gamma * (1.25 * 0.75 + 2.25 * 1.75)
    assert value.item() == pytest.approx(exact, rel=1e-2)


def test_anchors_without_company_of_both_sorts_take_no_part() -> None:
    vectors, pairs = with_cosines(0.5, 0.4)
    alone = Pairs(pairs.positive.clone(), pairs.negative.clone())
    alone.positive[1, 0] = True  # has an alike item and no unlike one
    alone.negative[2, 0] = True  # the other way round
    assert loss("circle")(vectors, alone).item() == loss("circle")(vectors, pairs).item()
