"""The exact triplet loss against pytorch-metric-learning, a loop over triplets, and sums worked by hand."""

import dataclasses
import itertools
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, reducers
from torch import Tensor
from torch.nn.functional import normalize, softplus

from nearfield.core.errors import RequestError
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.build import loss
from nearfield.learning.distances import FAR, PairwiseDistances, convert
from nearfield.learning.losses.rows import count, count_inside

Batches = Any
PEERS: dict[Distance, Any] = {
    "euclidean": distances.LpDistance(normalize_embeddings=False),
    "squared_euclidean": distances.LpDistance(normalize_embeddings=False, power=2),
    "cosine": distances.CosineSimilarity(),
}
MARGINS = (0.05, 0.2, 1.0, 1.9)


def matrix(vectors: Tensor, distance: Distance) -> Tensor:
    """(B, B) distances by their definition."""
    if distance == "cosine":
        return 1 - normalize(vectors) @ normalize(vectors).T
    squared = (vectors[:, None] - vectors[None]).square().sum(-1)
    return squared if distance == "squared_euclidean" else (squared + 1e-30).sqrt()


def by_hand(vectors: Tensor, pairs: Pairs, distance: Distance, mean: bool, smooth: bool) -> Tensor:
    """The loss at margin 0.2 triplet by triplet, in plain loops, with strength and gap."""
    far = matrix(vectors, distance)
    total = torch.zeros((), dtype=vectors.dtype)
    divisor = 0.0
    for a, p, n in itertools.product(range(len(vectors)), repeat=3):
        if not (pairs.positive[a, p] and pairs.negative[a, n]):
            continue
        if pairs.triplet_range is not None:
            measured = matrix(vectors.detach(), pairs.triplet_range.distance)
            triplet_range = float(measured[a, n] - measured[a, p])
            low, high = pairs.triplet_range.low, pairs.triplet_range.high
            if (low is not None and triplet_range <= low) or (high is not None and triplet_range > high):
                continue
        weight = 1.0 if pairs.weight is None else float(pairs.weight[a, p])
        violation = far[a, p] - far[a, n] + 0.2
        hinge = softplus(violation) if smooth else violation.clamp_min(0)
        total = total + hinge * weight
        divisor += weight if mean or hinge > 0 else 0.0
    return total / (divisor or 1.0)


def value_and_gradient(value: Tensor, leaf: Tensor) -> tuple[float, Tensor]:
    (gradient,) = torch.autograd.grad(value, leaf)
    return value.item(), gradient


@pytest.mark.parametrize("distance", list(PEERS))
def test_equals_its_peer_over_many_batches(distance: Distance, batches: Batches) -> None:
    for number, (vectors, labels) in enumerate(batches(300)):
        margin = MARGINS[number % 4]
        mean = number % 2 == 0
        reducer = reducers.MeanReducer() if mean else None
        peer = losses.TripletMarginLoss(margin=margin, distance=PEERS[distance], reducer=reducer)
        chosen = "mean" if mean else "non_zero_mean"
        ours = loss("triplet", margin=margin, distance=distance, reduction=chosen)
        leaf = vectors.clone().requires_grad_()
        wanted, slope = value_and_gradient(peer(leaf, labels), leaf)
        value, gradient = value_and_gradient(ours(leaf, labels), leaf)
        assert value == pytest.approx(wanted, abs=1e-6)
        torch.testing.assert_close(gradient, slope, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("distance", list(PEERS))
@pytest.mark.parametrize(("swap", "smooth"), [(True, False), (False, True), (True, True)])
def test_swap_and_smooth_equal_their_peer(
    distance: Distance, swap: bool, smooth: bool, batches: Batches
) -> None:
    peer = losses.TripletMarginLoss(margin=0.3, swap=swap, smooth_loss=smooth, distance=PEERS[distance])
    ours = loss("triplet", margin=0.3, swap=swap, smooth=smooth, distance=distance)
    rng = torch.Generator().manual_seed(0)
    for vectors, labels in batches(80):
        # no copies: where d(a, n) = d(p, n) a swap may go either way. Not too far: no exponential underflows.
        apart = normalize(vectors) + 0.01 * torch.randn(vectors.shape, generator=rng)
        leaf = apart.requires_grad_()
        wanted, slope = value_and_gradient(peer(leaf, labels), leaf)
        value, gradient = value_and_gradient(ours(leaf, labels), leaf)
        assert value == pytest.approx(wanted, abs=1e-6)
        torch.testing.assert_close(gradient, slope, atol=1e-6, rtol=1e-6)


def odd_batch(size: int = 14, seed: int = 0) -> tuple[Tensor, Pairs]:
    """Vectors of unit length, one-sided pairs, a strength for each."""
    rng = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(size, 4, generator=rng, dtype=torch.float64))
    indices = torch.rand(size, size, generator=rng)
    off = ~torch.eye(size, dtype=torch.bool)
    weight = torch.rand(size, size, generator=rng, dtype=torch.float64)
    return vectors, Pairs((indices < 0.3) & off, (indices > 0.5) & off, weight)


GAPS: tuple[tuple[float | None, float | None] | None, ...] = (
    None,
    (0.0, 0.2),
    (None, 0.0),
    (None, 0.2),
    (0.1, None),
    (-0.3, 0.05),
    (0.3, 0.1),
)


@pytest.mark.parametrize("bounds", GAPS)
@pytest.mark.parametrize("mean", [True, False])
@pytest.mark.parametrize("smooth", [True, False])
def test_strength_and_gap_equal_the_loop(bounds: Any, mean: bool, smooth: bool) -> None:
    measures: list[tuple[Distance, Distance]] = [
        ("euclidean", "euclidean"),
        ("squared_euclidean", "euclidean"),
        ("cosine", "squared_euclidean"),
        ("euclidean", "cosine"),
    ]
    for seed, (distance, measured) in enumerate(measures):
        vectors, pairs = odd_batch(seed=seed)
        triplet_range = None if bounds is None else TripletRange(bounds[0], bounds[1], measured)
        mined = dataclasses.replace(pairs, triplet_range=triplet_range)
        leaf = vectors.requires_grad_()
        chosen = "mean" if mean else "non_zero_mean"
        ours = loss("triplet", margin=0.2, distance=distance, reduction=chosen, smooth=smooth)
        wanted = by_hand(leaf, mined, distance, mean, smooth)
        value, gradient = value_and_gradient(ours(leaf, mined), leaf)
        assert value == pytest.approx(wanted.item(), abs=1e-9)
        if wanted.requires_grad:
            torch.testing.assert_close(gradient, torch.autograd.grad(wanted, leaf)[0], atol=1e-9, rtol=1e-9)


def test_triplets_worked_out_by_hand() -> None:
    places = torch.tensor([[0.0], [1.0], [1.5], [4.0]], dtype=torch.float64)
    pairs = Pairs.from_triplets(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([2, 3]), 4)
    # d(a, p) = 1; d(a, n) = 1.5 and 4; margin 1: hinges 0.5 and 0
    assert loss("triplet", margin=1.0)(places, pairs).item() == pytest.approx(0.5)
    assert loss("triplet", margin=1.0, reduction="mean")(places, pairs).item() == pytest.approx(0.25)
    squared = loss("triplet", margin=3.0, distance="squared_euclidean")  # 1, 2.25 and 16
    assert squared(places, pairs).item() == pytest.approx(1.75)
    swapped = loss("triplet", margin=1.0, swap=True)  # d(p, n) = 0.5 and 3
    assert swapped(places, pairs).item() == pytest.approx(1.5)


def test_parts_count_the_triplets() -> None:
    vectors, pairs = odd_batch()
    pairs = dataclasses.replace(pairs, weight=None)
    far = matrix(vectors, "euclidean")
    hinge = far[:, :, None] - far[:, None, :] + 0.2
    there = pairs.positive[:, :, None] & pairs.negative[:, None, :]
    for triplet_range, inside in (
        (None, there),
        (TripletRange(0.0, 0.1, "euclidean"), there & (hinge < 0.2) & (hinge >= 0.1)),
    ):
        for smooth in (False, True):
            ours = loss("triplet", margin=0.2, smooth=smooth)
            parts = ours.forward_with_metrics(
                vectors, dataclasses.replace(pairs, triplet_range=triplet_range)
            )[1]
            assert parts["triplets"].item() == int(inside.sum())
            share = 1.0 if smooth else (hinge[inside] > 0).double().mean().item()
            assert parts["active_fraction"].item() == pytest.approx(share)


DIFFICULT: tuple[tuple[float | None, float | None] | None, ...] = (
    *GAPS,
    (0.2, None),
    (-0.1, 0.1),
    (None, -0.1),
)


@pytest.mark.parametrize("bounds", DIFFICULT)
@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("distance", list(PEERS))
def test_easy_semihard_and_hard_are_those_of_loops(bounds: Any, swap: bool, distance: Distance) -> None:
    for seed in range(4):
        vectors, pairs = odd_batch(seed=seed)
        vectors[1] = vectors[2]  # ties
        triplet_range = None if bounds is None else TripletRange(bounds[0], bounds[1], distance)
        weight = (
            None
            if seed % 2
            else (torch.rand(14, 14, generator=torch.Generator().manual_seed(1)) > 0.3).double()
        )
        mined = dataclasses.replace(pairs, triplet_range=triplet_range, weight=weight)
        far = matrix(vectors, distance)
        sorts = {"easy": 0, "semihard": 0, "hard": 0}
        for a, p, n in itertools.product(range(14), repeat=3):
            if not (pairs.positive[a, p] and pairs.negative[a, n]) or (
                weight is not None and not weight[a, p]
            ):
                continue
            between = float(far[a, n] - far[a, p])
            if bounds is not None and not (
                (bounds[0] is None or between > bounds[0]) and (bounds[1] is None or between <= bounds[1])
            ):
                continue
            nearest = min(between, float(far[p, n] - far[a, p])) if swap else between
            sorts["hard" if nearest <= 0 else "semihard" if nearest < 0.2 else "easy"] += 1
        parts = loss("triplet", margin=0.2, distance=distance, swap=swap).forward_with_metrics(
            vectors, mined
        )[1]
        total = sum(sorts.values())
        assert parts["triplets"].item() == total
        for sort, found in sorts.items():
            assert parts[f"{sort}_fraction"].item() == pytest.approx(found / max(1, total), abs=1e-12), sort
        assert parts["active_fraction"].item() == pytest.approx(
            1 - parts["easy_fraction"].item() if total else 0
        )


def test_smoothed_triplets_are_sorted_as_hinged_ones_are() -> None:
    vectors, pairs = odd_batch()
    hinged, smoothed = (
        loss("triplet", smooth=smooth).forward_with_metrics(vectors, pairs)[1] for smooth in (False, True)
    )
    for sort in ("easy_fraction", "semihard_fraction", "hard_fraction"):
        assert smoothed[sort].item() == pytest.approx(hinged[sort].item())


def test_searching_counts_what_passing_over_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randint(0, 30, (7, 50), generator=rng).double()
    high = torch.randint(-2, 30, (7, 9), generator=rng).double()
    wanted = (values[:, :, None] <= high[:, None, :]).double().sum(1)
    torch.testing.assert_close(count_inside(values, None, high), wanted)
    monkeypatch.setattr("nearfield.learning.losses.rows._FEW", 0)
    torch.testing.assert_close(count_inside(values, None, high), wanted)
    low = high - 3
    wanted = (
        ((values[:, :, None] <= high[:, None, :]) & (values[:, :, None] >= low[:, None, :])).double().sum(1)
    )
    torch.testing.assert_close(count_inside(values, low, high), wanted)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("one_sided", [False, True])
def test_searching_counts_what_looping_counts(
    weighted: bool, one_sided: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = torch.Generator().manual_seed(0)
    values = torch.randint(0, 30, (7, 50), generator=rng).double()  # many ties
    high = torch.randint(-2, 30, (7, 9), generator=rng).double()
    low = None if one_sided else high - torch.randint(-3, 12, (7, 9), generator=rng)
    high[0], values[1] = -FAR, FAR
    weights = torch.rand(7, 9, generator=rng, dtype=torch.float64) if weighted else None
    inside = values[:, :, None] <= high[:, None, :]
    if low is not None:
        inside &= values[:, :, None] >= low[:, None, :]
    told = inside.double() * (1 if weights is None else weights[:, None, :])
    for few in (64, 0):
        monkeypatch.setattr("nearfield.learning.losses.rows._FEW", few)
        holders, held = count(values, low, high, weights)
        torch.testing.assert_close(holders, told.sum(2))
        torch.testing.assert_close(held, inside.double().sum(1))


def test_a_large_class_is_searched_and_equals_its_peer() -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(160, 6, generator=rng, dtype=torch.float64, requires_grad=True)
    labels = (torch.arange(160) > 100).long()  # more alike items than the loop takes
    wanted, slope = value_and_gradient(
        losses.TripletMarginLoss(margin=0.3, distance=PEERS["euclidean"])(vectors, labels), vectors
    )
    value, gradient = value_and_gradient(loss("triplet", margin=0.3)(vectors, labels), vectors)
    assert value == pytest.approx(wanted, abs=1e-9)
    torch.testing.assert_close(gradient, slope, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("distance", list(PEERS))
def test_single_precision_keeps_five_digits(distance: Distance) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = normalize(torch.randn(300, 32, generator=rng, dtype=torch.float64)).requires_grad_()
    labels = torch.arange(300) // 6
    ours = loss("triplet", distance=distance)
    wanted, slope = value_and_gradient(ours(vectors, labels), vectors)
    single = vectors.detach().float().requires_grad_()
    value, gradient = value_and_gradient(ours(single, labels), single)
    assert value == pytest.approx(wanted, rel=1e-5)
    torch.testing.assert_close(gradient.double(), slope, atol=1e-6, rtol=1e-3)


def test_near_copies_are_still_pulled_apart_in_single_precision() -> None:
    rng = torch.Generator().manual_seed(0)
    vectors = 100 + 1e-4 * torch.randn(12, 3, generator=rng)  # almost one point, far from the origin
    leaf = vectors.requires_grad_()
    labels = torch.arange(12) // 3
    value, gradient = value_and_gradient(loss("triplet", margin=1e-4)(leaf, labels), leaf)
    double = vectors.detach().double().requires_grad_()
    wanted, slope = value_and_gradient(loss("triplet", margin=1e-4)(double, labels), double)
    assert value == pytest.approx(wanted, rel=1e-2)
    assert torch.nn.functional.cosine_similarity(gradient.flatten().double(), slope.flatten(), dim=0) > 0.99


@pytest.mark.parametrize(("given", "wanted"), list(itertools.product(PEERS, PEERS)))
def test_distances_of_unit_vectors_convert_into_each_other(given: Distance, wanted: Distance) -> None:
    vectors = odd_batch()[0]
    torch.testing.assert_close(
        convert(matrix(vectors, given), given, wanted), matrix(vectors, wanted), atol=1e-7, rtol=1e-7
    )
    below = convert(torch.tensor([-0.5, -2.0]), given, wanted)
    assert bool((below < 0).all())


@pytest.mark.parametrize("distance", list(PEERS))
def test_distances_equal_their_definition(distance: Distance, batches: Batches) -> None:
    for vectors, _ in batches(30):
        points = PairwiseDistances(vectors, distance)
        found = torch.cat([points.distances(part) for part in points.parts()])
        torch.testing.assert_close(found, matrix(vectors, distance), atol=1e-6, rtol=1e-6)


def test_a_gap_that_cannot_be_read_is_refused() -> None:
    vectors, pairs = odd_batch()
    mined = dataclasses.replace(pairs, triplet_range=TripletRange(0.0, 0.2, "cosine"))
    with pytest.raises(RequestError) as caught:
        loss("triplet", distance="euclidean")(vectors * torch.linspace(1, 2, 14)[:, None], mined)
    assert str(caught.value) == (
        "The distance of the miner is cosine and that of the loss euclidean; these agree only for vectors "
        "of unit length. Given: lengths from 1 to 2. Set embedding.normalize to true, or give miner and "
        "loss the same "
        "distance."
    )
