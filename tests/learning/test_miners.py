"""Miners against pytorch-metric-learning's: the same triplets, the same pairs, the same chance."""

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_metric_learning import distances, losses, miners
from pytorch_metric_learning.utils import loss_and_miner_utils as tuples
from scipy.stats import chisquare
from torch import Tensor
from torch.nn.functional import normalize

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.build import loss, miner, miner_beside
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.rows import triplets
from nearfield.learning.miners import MinerSettings

Batches = Any
Places = tuple[Tensor, ...]
PEERS: dict[Distance, Any] = {
    "euclidean": distances.LpDistance(normalize_embeddings=False),
    "squared_euclidean": distances.LpDistance(normalize_embeddings=False, power=2),
    "cosine": distances.CosineSimilarity(),
}
SORTS = {"all": (None, 0.3), "hard": (None, 0.0), "semihard": (0.0, 0.3), "easy": (0.3, None)}


def matrix(vectors: Tensor, distance: Distance) -> Tensor:
    """(B, B) distances, smaller is nearer."""
    found: Tensor = PEERS[distance](vectors)
    return 1 - found if distance == "cosine" else found


def listed(places: Places) -> set[tuple[int, ...]]:
    return {tuple(row) for row in torch.stack(places, dim=1).tolist()}


def on_edge(vectors: Tensor, labels: Tensor, distance: Distance, edges: Any) -> set[tuple[int, ...]]:
    """Triplets so close to a bound (copies at a gap of exactly 0) that rounding decides."""
    a, p, n = tuples.get_all_triplets_indices(labels)
    far = matrix(vectors, distance)
    triplet_range = far[a, n] - far[a, p]
    near = torch.zeros_like(triplet_range, dtype=torch.bool)
    for edge in edges:
        near |= (triplet_range - edge).abs() < 1e-6
    return listed((a[near], p[near], n[near]))


@pytest.mark.parametrize("distance", list(PEERS))
@pytest.mark.parametrize("kind", list(SORTS))
def test_triplet_miners_keep_the_same_triplets_and_loss(
    kind: str, distance: Distance, batches: Batches
) -> None:
    theirs = miners.TripletMarginMiner(margin=0.3, type_of_triplets=kind, distance=PEERS[distance])
    ours = miner(kind, distance=distance, **({} if kind == "hard" else {"margin": 0.3}))
    peer = losses.TripletMarginLoss(margin=0.4, distance=PEERS[distance])
    edges = [edge for edge in SORTS[kind] if edge is not None]
    compared = 0
    for vectors, labels in batches(100):
        mined, wanted = ours(vectors, labels), theirs(vectors, labels)
        close = on_edge(vectors, labels, distance, edges)
        assert listed(triplets(vectors, mined)) - close == listed(wanted) - close
        if not close:
            value = loss("triplet", margin=0.4, distance=distance)(vectors, mined)
            assert value.item() == pytest.approx(peer(vectors, labels, wanted).item(), abs=1e-6)
            compared += len(wanted[0]) > 0
    assert compared > 15


@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean"])
def test_bounds_belong_to_the_harder_side(distance: Distance) -> None:
    places = torch.tensor([[0.0], [1.0], [-1.0], [2.0], [-2.0]])  # whole numbers: nothing is rounded
    positive, negative = torch.zeros(5, 5, dtype=torch.bool), torch.zeros(5, 5, dtype=torch.bool)
    positive[0, 1] = negative[0, 2] = negative[0, 3] = True  # gaps 0 and, squared or not, 3 or 1
    margin = 1.0 if distance == "euclidean" else 3.0
    pairs = Pairs(positive, negative)

    def kept(kind: str) -> list[int]:
        settings = {} if kind == "hard" else {"margin": margin}
        mined = miner(kind, distance=distance, **settings)(places, pairs)
        return triplets(places, mined)[2].tolist()

    assert kept("all") == [2, 3]
    assert kept("hard") == [2]
    assert kept("semihard") == [3]
    assert kept("easy") == []
    mined = miner("semihard", distance=distance, margin=margin)(places, pairs)
    value = loss("triplet", distance=distance, margin=margin + 1)(places, mined)
    assert value.item() == 1.0  # of the triplet (0, 1, 3) alone
    chosen = miner("batch_easy_hard", pos_strategy="hard", neg_strategy="semihard", distance=distance)(
        places, pairs
    )
    assert chosen.negative.nonzero().tolist() == [[0, 3]]
    swapped = Pairs(negative, positive)
    chosen = miner("batch_easy_hard", pos_strategy="semihard", neg_strategy="hard", distance=distance)(
        places, swapped
    )
    assert not chosen.positive.any()


def test_a_miner_may_measure_otherwise_than_the_loss(batches: Batches) -> None:
    theirs = miners.TripletMarginMiner(margin=0.2, type_of_triplets="semihard", distance=PEERS["cosine"])
    for vectors, labels in batches(100):
        vectors = normalize(vectors)
        if on_edge(vectors, labels, "cosine", (0.0, 0.2)):
            continue
        peer = losses.TripletMarginLoss(margin=0.4, distance=PEERS["squared_euclidean"])
        wanted = peer(vectors, labels, theirs(vectors, labels))
        mined = miner("semihard", margin=0.2, distance="cosine")(vectors, labels)
        value = loss("triplet", margin=0.4, distance="squared_euclidean")(vectors, mined)
        assert value.item() == pytest.approx(wanted.item(), abs=1e-6)


def test_mining_the_violating_triplets_changes_no_non_zero_mean(batches: Batches) -> None:
    for vectors, labels in batches(50):
        mined = miner("all", margin=0.3)(vectors, labels)
        value = loss("triplet", margin=0.3)(vectors, mined)
        assert value.item() == pytest.approx(loss("triplet", margin=0.3)(vectors, labels).item())


def test_all_without_a_margin_keeps_everything(batches: Batches) -> None:
    for vectors, labels in batches(10):
        pairs = Pairs.from_labels(labels)
        assert miner("all")(vectors, pairs) == pairs


CHOICES = [
    pair
    for pair in itertools.product(("hard", "semihard", "easy", "all"), repeat=2)
    if pair != ("semihard", "semihard") and set(pair) != {"all", "semihard"}
]


@pytest.mark.parametrize(("positive", "negative"), CHOICES)
def test_extremes_choose_at_the_same_distances(positive: str, negative: str, batches: Batches) -> None:
    for number, (vectors, labels) in enumerate(batches(100)):
        distance = list(PEERS)[number % 3]
        theirs = miners.BatchEasyHardMiner(positive, negative, distance=PEERS[distance])
        mined = miner("batch_easy_hard", pos_strategy=positive, neg_strategy=negative, distance=distance)(
            vectors, labels
        )
        far = matrix(vectors, distance)
        a, p, n = tuples.convert_to_triplets(theirs(vectors, labels), labels)
        if "semihard" in (positive, negative) and len(vectors.unique(dim=0)) < len(vectors):
            continue  # of copies none is farther: rounding would decide
        wanted = sorted(zip(a.tolist(), far[a, p].tolist(), far[a, n].tolist(), strict=True))
        a, p, n = triplets(vectors, mined)
        found = sorted(zip(a.tolist(), far[a, p].tolist(), far[a, n].tolist(), strict=True))
        assert np.array(found).shape == np.array(wanted).shape
        np.testing.assert_allclose(np.array(found), np.array(wanted), atol=1e-6)


def test_batch_hard_keeps_one_of_each_sort_for_each_anchor(batches: Batches) -> None:
    theirs = miners.BatchHardMiner(distance=PEERS["euclidean"])
    for vectors, labels in batches(200):
        pairs = Pairs.from_labels(labels)
        mined = miner("batch_hard")(vectors, pairs)
        both = pairs.positive.any(1) & pairs.negative.any(1)
        assert torch.equal(mined.positive.sum(1), both.long())
        assert torch.equal(mined.negative.sum(1), both.long())
        peer = losses.TripletMarginLoss(margin=0.4, distance=PEERS["euclidean"])
        wanted = peer(vectors, labels, theirs(vectors, labels))
        assert loss("triplet", margin=0.4)(vectors, mined).item() == pytest.approx(wanted.item(), abs=1e-6)


@pytest.mark.parametrize("distance", list(PEERS))
def test_multi_similarity_keeps_the_same_pairs(distance: Distance, batches: Batches) -> None:
    theirs = miners.MultiSimilarityMiner(epsilon=0.1, distance=PEERS[distance])
    for vectors, labels in batches(200):
        mined = miner("multi_similarity", epsilon=0.1, distance=distance)(vectors, labels)
        a1, p, a2, n = theirs(vectors, labels)
        assert listed(mined.positive.nonzero(as_tuple=True)) == listed((a1, p))
        assert listed(mined.negative.nonzero(as_tuple=True)) == listed((a2, n))


@pytest.mark.parametrize("distance", list(PEERS))
def test_pair_margin_keeps_the_same_pairs(distance: Distance, batches: Batches) -> None:
    low, high = 0.4, 1.3
    peer = (1 - low, 1 - high) if distance == "cosine" else (low, high)  # the library compares cosines
    theirs = miners.PairMarginMiner(*peer, distance=PEERS[distance])
    for vectors, labels in batches(200):
        mined = miner("pair_margin", pos_margin=low, neg_margin=high, distance=distance)(vectors, labels)
        a1, p, a2, n = theirs(vectors, labels)
        assert listed(mined.positive.nonzero(as_tuple=True)) == listed((a1, p))
        assert listed(mined.negative.nonzero(as_tuple=True)) == listed((a2, n))


def couples() -> tuple[Tensor, Tensor]:
    """Twelve vectors of unit length in couples, spread over many distances."""
    rng = torch.Generator().manual_seed(3)
    return normalize(torch.randn(12, 5, generator=rng, dtype=torch.float64)), torch.arange(12) // 2


def test_distance_weighted_draws_with_the_papers_chance() -> None:
    vectors, labels = couples()
    far = torch.cdist(vectors, vectors).clamp_min(0.5)
    weights = far ** (2 - 5) * (1 - far.square() / 4) ** (-(5 - 3) / 2)
    weights *= (labels[:, None] != labels[None]) & (far < 1.4)
    rng = weights / weights.sum(1, keepdim=True)
    generator = torch.Generator().manual_seed(0)
    ours = miner("distance_weighted")
    drawn = torch.zeros(12, 12)
    for _ in range(1500):
        drawn += ours(vectors, labels, generator=generator).negative  # one alike item each, so one draw each
    theirs = miners.DistanceWeightedMiner(cutoff=0.5, nonzero_loss_cutoff=1.4)
    peer = torch.zeros(12, 12)
    torch.manual_seed(0)
    for _ in range(700):
        a, _, n = theirs(vectors, labels)
        peer.index_put_((a, n), torch.ones(len(a)), accumulate=True)
    possible = rng > 0
    assert torch.equal(drawn > 0, drawn.bool() & possible)
    for counts in (drawn, peer):
        wanted = (rng * counts.sum(1, keepdim=True))[possible]
        assert chisquare(counts[possible].double(), wanted, ddof=11).pvalue > 1e-3


def test_distance_weighted_is_fixed_by_its_generator_and_needs_none() -> None:
    vectors, labels = couples()
    ours = miner("distance_weighted")

    def draw(seed: int) -> Tensor:
        return ours(vectors, labels, generator=torch.Generator().manual_seed(seed)).negative

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    torch.manual_seed(4)
    first = ours(vectors, labels).negative
    torch.manual_seed(4)
    assert torch.equal(ours(vectors, labels).negative, first)


def test_distance_weighted_leaves_out_anchors_with_nothing_in_reach() -> None:
    vectors = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    mined = miner("distance_weighted")(vectors, torch.tensor([0, 0, 1, 1]))
    assert not mined.positive.any()
    assert not mined.negative.any()


EVERY: list[dict[str, Any]] = [
    {"kind": "all", "margin": 0.3},
    {"kind": "hard"},
    {"kind": "semihard"},
    {"kind": "easy"},
    {"kind": "batch_hard"},
    {"kind": "batch_easy_hard"},
    {"kind": "multi_similarity"},
    {"kind": "pair_margin"},
    {"kind": "distance_weighted"},
]


def test_every_kind_is_tested_here() -> None:
    assert [chosen["kind"] for chosen in EVERY] == list(kinds(MinerSettings))


@pytest.mark.parametrize("chosen", EVERY)
def test_a_miner_only_leaves_out_and_keeps_what_the_pairs_know(chosen: dict[str, Any]) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(20, 4, generator=rng)
    indices = torch.rand(20, 20, generator=rng)
    weight = torch.rand(20, 20, generator=rng)
    pairs = Pairs(indices < 0.2, indices > 0.5, weight, labels=torch.arange(20))
    mined = make(MinerSettings, "miner", chosen).build()(vectors.requires_grad_(), pairs)
    assert not (mined.positive & ~pairs.positive).any()
    assert not (mined.negative & ~pairs.negative).any()
    assert mined.weight is weight
    assert mined.labels is pairs.labels


@pytest.mark.parametrize("chosen", EVERY)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_blocks_and_half_precision(
    chosen: dict[str, Any], half: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = normalize(torch.randn(40, 4, generator=torch.Generator().manual_seed(0))).to(half)
    labels = torch.arange(40) % 7
    ours = make(MinerSettings, "miner", chosen).build()

    def mine(of: Tensor) -> Pairs:
        mined: Pairs = ours(of, labels, generator=torch.Generator().manual_seed(0))
        return mined

    whole = mine(vectors)
    monkeypatch.setattr("nearfield.learning.distances._CELLS", {"cpu": 1})
    for again in (mine(vectors), mine(vectors.float())):
        assert torch.equal(again.positive, whole.positive)
        assert torch.equal(again.negative, whole.negative)
        assert again.triplet_range == whole.triplet_range


@pytest.mark.parametrize(
    ("chosen", "beside", "triplet_range"),
    [
        (
            {"kind": "semihard"},
            {"kind": "triplet", "margin": 0.5, "distance": "cosine"},
            TripletRange(0.0, 0.5, "cosine"),
        ),
        (
            {"kind": "semihard", "margin": 0.1},
            {"kind": "triplet", "margin": 0.5},
            TripletRange(0.0, 0.1, "euclidean"),
        ),
        ({"kind": "easy"}, {"kind": "circle"}, TripletRange(0.2, None, "cosine")),
        ({"kind": "hard", "distance": "euclidean"}, {"kind": "circle"}, TripletRange(None, 0.0, "euclidean")),
        ({"kind": "semihard"}, {"kind": "TripletMarginLoss"}, TripletRange(0.0, 0.05, "euclidean")),
        ({"kind": "semihard"}, {"kind": "NCALoss"}, TripletRange(0.0, 0.2, "squared_euclidean")),
        ({"kind": "semihard"}, {"kind": "ArcFaceLoss", "margin": 28.6}, TripletRange(0.0, 0.2, "cosine")),
        (
            {"kind": "semihard"},
            {"kind": "TripletMarginLoss", "margin": 0.3},
            TripletRange(0.0, 0.3, "euclidean"),
        ),
        ({"kind": "all"}, {"kind": "triplet"}, None),
    ],
)
def test_what_a_recipe_leaves_open_is_taken_from_the_loss(
    chosen: dict[str, Any], beside: dict[str, Any], triplet_range: TripletRange | None
) -> None:
    built = miner_beside(make(MinerSettings, "miner", chosen), make(LossSettings, "loss", beside))
    vectors, labels = couples()
    assert built(vectors, labels).triplet_range == triplet_range


def test_mining_triplets_twice_is_refused() -> None:
    vectors, labels = couples()
    once = miner("semihard")(vectors, labels)
    with pytest.raises(RequestError) as caught:
        miner("hard")(vectors, once)
    assert str(caught.value) == (
        "miner: these pairs have a triplet range already (0.0 to 0.2 in euclidean). Pass the pairs of the "
        "relation."
    )
    assert miner("batch_hard")(vectors, once).triplet_range == once.triplet_range


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"kind": "semi_hard"}, "miner: unknown kind 'semi_hard'. Did you mean 'semihard'? Known: "),
        (
            {"kind": "batch_easy_hard", "pos_strategy": "semihard"},
            "miner: pos_strategy and neg_strategy cannot both be semihard, because each depends on the "
            "other. ",
        ),
        (
            {"kind": "batch_easy_hard", "pos_strategy": "all"},
            "miner: semihard compares with one item, but all keeps many. Set one of them to easy or hard.",
        ),
        (
            {"kind": "distance_weighted", "cutoff": 1.4},
            "miner: cutoff must be smaller than farthest, otherwise nothing can be drawn. Given: 1.4 and "
            "1.4.",
        ),
    ],
)
def test_wrong_settings_are_named(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(MinerSettings, "miner", chosen)
    assert str(caught.value).startswith(message)


def test_a_gap_survives_other_devices_and_narrowing() -> None:
    vectors, labels = couples()
    mined = miner("semihard")(vectors, labels)
    assert mined.to("cpu").triplet_range == mined.triplet_range
    assert dataclasses.replace(mined, labels=None).triplet_range == mined.triplet_range
