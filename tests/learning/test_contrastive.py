"""The losses over single pairs and softmaxes, worked out by hand; their peers are asked in test_losses."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.types import Pairs
from nearfield.learning.build import loss


def company(seed: int = 0) -> tuple[Tensor, Pairs, Tensor]:
    """Unit vectors, pairs with a strength, cosines."""
    chance = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(10, 4, generator=chance, dtype=torch.float64))
    pairs = Pairs.from_labels(torch.arange(10) % 4)
    strength = torch.rand(10, 10, generator=chance, dtype=torch.float64)
    return vectors, Pairs(pairs.alike, pairs.unlike, strength), vectors @ vectors.T


def test_contrastive_worked_out_by_hand() -> None:
    places = torch.tensor([[0.0], [0.3], [0.5], [9.0]], dtype=torch.float64)
    alike = torch.zeros(4, 4, dtype=torch.bool)
    unlike = alike.clone()
    alike[0, 1] = alike[0, 0] = True  # 0.3 and, an item with itself, 0: not above zero, not counted
    unlike[0, 2] = unlike[1, 2] = unlike[0, 3] = True  # 0.5, 0.2, 9: hinges 0.5, 0.8 and none
    value, parts = loss("contrastive").with_parts(places, Pairs(alike, unlike))
    assert value.item() == pytest.approx(0.3 + 0.65)
    assert parts["alike_loss"].item() == pytest.approx(0.3)
    assert parts["unlike_loss"].item() == pytest.approx(0.65)
    assert parts["active_fraction"].item() == pytest.approx(3 / 5)
    squared = loss("contrastive", distance="squared_euclidean", pos_margin=0.05)
    assert squared(places, Pairs(alike, unlike)).item() == pytest.approx(0.04 + (0.75 + 0.96) / 2)


def test_contrastive_strength_weighs_the_mean_of_the_alike_pairs() -> None:
    vectors, pairs, _ = company()
    assert pairs.strength is not None
    distance = torch.cdist(vectors, vectors)
    weights = pairs.strength[pairs.alike]
    alike = (weights * distance[pairs.alike]).sum() / weights.sum()
    hinges = (1 - distance[pairs.unlike]).relu()
    assert loss("contrastive")(vectors, pairs).item() == pytest.approx(
        (alike + hinges[hinges > 0].mean()).item()
    )


def test_nt_xent_strength_weighs_the_mean_of_the_alike_pairs() -> None:
    vectors, pairs, cosine = company()
    assert pairs.strength is not None
    total = weights = 0.0
    for a, p in pairs.alike.nonzero().tolist():
        own = math.exp(cosine[a, p] / 0.2)
        others = torch.exp(cosine[a, pairs.unlike[a]] / 0.2).sum().item()
        weight = pairs.strength[a, p].item()
        total += -weight * math.log(own / (own + others))
        weights += weight
    assert loss("nt_xent", temperature=0.2)(vectors, pairs).item() == pytest.approx(total / weights)


def test_supcon_strength_shares_out_the_target() -> None:
    vectors, pairs, cosine = company()
    assert pairs.strength is not None
    single = []
    for a in range(len(vectors)):
        everyone = torch.logsumexp(cosine[a, pairs.alike[a] | pairs.unlike[a]] / 0.2, 0)
        logs = cosine[a, pairs.alike[a]] / 0.2 - everyone
        weights = pairs.strength[a, pairs.alike[a]]
        single.append(-(weights * logs).sum() / weights.sum())
    value = loss("supcon", temperature=0.2)(vectors, pairs)
    assert value.item() == pytest.approx(torch.stack(single).mean().item())


def test_multi_similarity_strength_weighs_the_exponentials() -> None:
    vectors, pairs, cosine = company()
    assert pairs.strength is not None
    single = []
    for a in range(len(vectors)):
        s_p, s_n = cosine[a, pairs.alike[a]], cosine[a, pairs.unlike[a]]
        pulls = (pairs.strength[a, pairs.alike[a]] * torch.exp(-2 * (s_p - 0.5))).sum()
        single.append(pulls.log1p() / 2 + torch.exp(50 * (s_n - 0.5)).sum().log1p() / 50)
    value = loss("multi_similarity")(vectors, pairs)
    assert value.item() == pytest.approx(torch.stack(single).mean().item())


@pytest.mark.parametrize("kind", ["nt_xent", "supcon"])
def test_a_softmax_over_a_perfect_space_comes_to_rest_and_over_a_point_is_chance(kind: str) -> None:
    labels = torch.arange(8) // 2
    perfect = torch.eye(4, dtype=torch.float64)[labels]
    assert loss(kind, temperature=0.02)(perfect, labels).item() == pytest.approx(0, abs=1e-9)
    point = torch.ones(8, 4, dtype=torch.float64)
    assert loss(kind)(point, labels).item() == pytest.approx(math.log(7))  # one alike and six unlike


def test_active_fractions_of_the_softmaxes() -> None:
    vectors, pairs, cosine = company()
    pairs = Pairs(pairs.alike, pairs.unlike)
    reach = torch.stack([torch.logsumexp(cosine[a, pairs.unlike[a]] / 0.07, 0) for a in range(10)])
    beaten = (cosine / 0.07 < reach[:, None])[pairs.alike].double().mean()
    parts = loss("nt_xent").with_parts(vectors, pairs)[1]
    assert parts["active_fraction"].item() == pytest.approx(beaten.item())
