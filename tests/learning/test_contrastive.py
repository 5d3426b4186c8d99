"""The losses over single pairs and softmaxes, worked out by hand; their peers are asked in test_losses."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.types import Pairs
from nearfield.learning.build import loss


def row_pairs(seed: int = 0) -> tuple[Tensor, Pairs, Tensor]:
    """Unit vectors, pairs with a strength, cosines."""
    rng = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(10, 4, generator=rng, dtype=torch.float64))
    pairs = Pairs.from_labels(torch.arange(10) % 4)
    weight = torch.rand(10, 10, generator=rng, dtype=torch.float64)
    return vectors, Pairs(pairs.positive, pairs.negative, weight), vectors @ vectors.T


def test_contrastive_worked_out_by_hand() -> None:
    places = torch.tensor([[0.0], [0.3], [0.5], [9.0]], dtype=torch.float64)
    positive = torch.zeros(4, 4, dtype=torch.bool)
    negative = positive.clone()
    positive[0, 1] = positive[0, 0] = True  # 0.3 and, an item with itself, 0: not above zero, not counted
    negative[0, 2] = negative[1, 2] = negative[0, 3] = True  # 0.5, 0.2, 9: hinges 0.5, 0.8 and none
    value, parts = loss("contrastive").forward_with_metrics(places, Pairs(positive, negative))
    assert value.item() == pytest.approx(0.3 + 0.65)
    assert parts["alike_loss"].item() == pytest.approx(0.3)
    assert parts["unlike_loss"].item() == pytest.approx(0.65)
    assert parts["active_fraction"].item() == pytest.approx(3 / 5)
    squared = loss("contrastive", distance="squared_euclidean", pos_margin=0.05)
    assert squared(places, Pairs(positive, negative)).item() == pytest.approx(0.04 + (0.75 + 0.96) / 2)


def test_contrastive_strength_weighs_the_mean_of_the_alike_pairs() -> None:
    vectors, pairs, _ = row_pairs()
    assert pairs.weight is not None
    distance = torch.cdist(vectors, vectors)
    weights = pairs.weight[pairs.positive]
    positive = (weights * distance[pairs.positive]).sum() / weights.sum()
    hinges = (1 - distance[pairs.negative]).relu()
    assert loss("contrastive")(vectors, pairs).item() == pytest.approx(
        (positive + hinges[hinges > 0].mean()).item()
    )


def test_nt_xent_strength_weighs_the_mean_of_the_alike_pairs() -> None:
    vectors, pairs, cosine = row_pairs()
    assert pairs.weight is not None
    total = weights = 0.0
    for a, p in pairs.positive.nonzero().tolist():
        own = math.exp(cosine[a, p] / 0.2)
        others = torch.exp(cosine[a, pairs.negative[a]] / 0.2).sum().item()
        weight = pairs.weight[a, p].item()
        total += -weight * math.log(own / (own + others))
        weights += weight
    assert loss("nt_xent", temperature=0.2)(vectors, pairs).item() == pytest.approx(total / weights)


def test_supcon_strength_shares_out_the_target() -> None:
    vectors, pairs, cosine = row_pairs()
    assert pairs.weight is not None
    single = []
    for a in range(len(vectors)):
        everyone = torch.logsumexp(cosine[a, pairs.positive[a] | pairs.negative[a]] / 0.2, 0)
        logs = cosine[a, pairs.positive[a]] / 0.2 - everyone
        weights = pairs.weight[a, pairs.positive[a]]
        single.append(-(weights * logs).sum() / weights.sum())
    value = loss("supcon", temperature=0.2)(vectors, pairs)
    assert value.item() == pytest.approx(torch.stack(single).mean().item())


def test_multi_similarity_strength_weighs_the_exponentials() -> None:
    vectors, pairs, cosine = row_pairs()
    assert pairs.weight is not None
    single = []
    for a in range(len(vectors)):
        s_p, s_n = cosine[a, pairs.positive[a]], cosine[a, pairs.negative[a]]
        pulls = (pairs.weight[a, pairs.positive[a]] * torch.exp(-2 * (s_p - 0.5))).sum()
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
    vectors, pairs, cosine = row_pairs()
    pairs = Pairs(pairs.positive, pairs.negative)
    reach = torch.stack([torch.logsumexp(cosine[a, pairs.negative[a]] / 0.07, 0) for a in range(10)])
    beaten = (cosine / 0.07 < reach[:, None])[pairs.positive].double().mean()
    parts = loss("nt_xent").forward_with_metrics(vectors, pairs)[1]
    assert parts["active_fraction"].item() == pytest.approx(beaten.item())
