"""Losses of one method: against whole matrices differentiated by autograd, a loss of ours, and its laws."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from nearfield.core.errors import RequestError
from nearfield.core.types import Pairs, TripletRange
from nearfield.learning.build import loss, miner
from nearfield.learning.losses.autograd import AutogradLoss
from nearfield.learning.losses.rows import settle
from tests.learning.test_losses import Largest
from tests.learning.test_references import assert_same, matrix, odd, values_and_gradients


class Hardest(AutogradLoss):
    """The farthest positive against the nearest negative."""

    def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
        nearest = distances.where(negative, torch.inf).amin(1)
        return ((distances * weight).amax(1) - nearest + 0.4).clamp_min(0)


class HardestViolating(Hardest):
    """The same, over the rows that violate the margin."""

    distance = "squared_euclidean"
    reduction = "non_zero_mean"


class SupCon(AutogradLoss):
    """Khosla et al. 2020, by its equation."""

    distance = "cosine"
    reduction = "non_zero_mean"

    def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
        logits = (1 - distances) / 0.1
        total = logits.where(positive | negative, -torch.inf).logsumexp(1, keepdim=True)
        return ((total - logits) * weight).sum(1) / weight.sum(1)


class Boundary(AutogradLoss):
    """Wu et al. 2017: pairs on their right side of a boundary that is learned. Pulls and pushes alone."""

    def __init__(self) -> None:
        super().__init__()
        self.boundary = nn.Parameter(torch.tensor(1.2, dtype=torch.float64))

    def takes_part(self, positive: Tensor, negative: Tensor) -> Tensor:
        return positive.any(1) | negative.any(1)

    def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
        beyond = (distances - self.boundary.to(distances.dtype)).tanh()
        return ((1 + beyond) * weight).sum(1) + ((1 - beyond) * negative).sum(1)


LOSSES = (Hardest, HardestViolating, SupCon, Boundary)
each = pytest.mark.parametrize("made", LOSSES, ids=lambda it: it.__name__)


def slow(of: AutogradLoss, vectors: Tensor, refs: Tensor, pairs: Pairs) -> Tensor:
    """The loss over whole matrices, differentiated by autograd from end to end."""
    positive = pairs.positive if pairs.weight is None else pairs.positive & (pairs.weight > 0)
    weight = positive.double() * (1.0 if pairs.weight is None else pairs.weight)
    rows = of.takes_part(positive, pairs.negative)
    masks = (positive[rows], pairs.negative[rows], weight[rows])
    losses = of.rowwise(matrix(vectors, refs, of.distance)[rows], *masks)
    counted = losses > 0 if of.reduction == "non_zero_mean" else torch.ones_like(losses).bool()
    return losses[counted].sum() / counted.sum().clamp_min(1)


def parameters_of(of: AutogradLoss, value: Tensor) -> list[Tensor]:
    learned = list(of.parameters())
    return list(torch.autograd.grad(value, learned)) if learned else []


@each
@pytest.mark.parametrize("triplet_range", [None, TripletRange(-0.2, 0.3, "euclidean")], ids=str)
def test_equals_the_loss_over_whole_matrices(
    made: Callable[[], AutogradLoss], triplet_range: TripletRange | None
) -> None:
    for seed in range(8):
        vectors, refs, pairs = odd(seed)
        mined = dataclasses.replace(
            pairs, triplet_range=triplet_range, weight=pairs.weight if seed % 2 else None
        )
        cells, of = settle(vectors, mined, refs), made()
        found = values_and_gradients(lambda v, r, p=mined, o=of: o(v, p, r), vectors, refs)  # type: ignore[misc]
        wanted = values_and_gradients(lambda v, r, p=cells, o=of: slow(o, v, r, p), vectors, refs)  # type: ignore[misc]
        assert_same(found, wanted, 1e-8)
        slopes = parameters_of(of, of(vectors, mined, refs))
        torch.testing.assert_close(slopes, parameters_of(of, slow(of, vectors, refs, cells)))


@each
def test_a_batch_by_itself(made: Callable[[], AutogradLoss]) -> None:
    vectors, _, pairs = odd(columns=11)
    off = ~torch.eye(11, dtype=torch.bool)
    alone, of = pairs.keep(off, off), made()
    found = values_and_gradients(lambda v, _: of(v, alone), vectors, vectors)
    assert_same(found, values_and_gradients(lambda v, _: slow(of, v, v, alone), vectors, vectors), 1e-8)


def test_supcon_by_its_equation_equals_the_one_worked_out_by_hand(batches: Any) -> None:
    ours, hand = SupCon(), loss("supcon")
    for vectors, labels in batches(200):
        found = values_and_gradients(lambda v, _, y=labels: ours(v, y), vectors, vectors)  # type: ignore[misc]
        wanted = values_and_gradients(lambda v, _, y=labels: hand(v, y), vectors, vectors)  # type: ignore[misc]
        assert_same(found, wanted, 1e-9)


@each
def test_blocks_of_rows_change_nothing(
    made: Callable[[], AutogradLoss], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, refs, pairs = odd(rows=40, columns=9)
    of = made()
    whole = values_and_gradients(lambda v, r: of(v, pairs, r), vectors, refs)
    slopes = parameters_of(of, of(vectors, pairs, refs))
    monkeypatch.setattr("nearfield.learning.distances._CELLS", {"cpu": 1})
    assert_same(values_and_gradients(lambda v, r: of(v, pairs, r), vectors, refs), whole, 1e-9)
    torch.testing.assert_close(parameters_of(of, of(vectors, pairs, refs)), slopes)


@each
def test_no_matrix_of_all_by_all_numbers_is_made(made: Callable[[], AutogradLoss]) -> None:
    size = 3000
    vectors = torch.randn(size, 4, requires_grad=True)
    pairs = Pairs.from_labels(torch.arange(size) // 3)
    with Largest() as largest:
        made()(vectors, pairs).backward()
    assert largest.numbers <= size * size / 10


@each
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(made: Callable[[], AutogradLoss], half: torch.dtype) -> None:
    vectors, refs, pairs = odd()
    leaf, of = vectors.to(half).requires_grad_(), made()
    with torch.autocast("cpu", torch.bfloat16):
        value = of(leaf, pairs, refs.float())
    assert value.dtype == torch.float32
    assert torch.equal(value, of(leaf.float(), pairs, refs.float()))
    value.backward()
    assert leaf.grad is not None
    assert leaf.grad.dtype == half


@each
def test_weights_of_one_change_nothing_and_of_zero_take_the_pair_out(
    made: Callable[[], AutogradLoss],
) -> None:
    vectors, refs, pairs = odd()
    plain, of = dataclasses.replace(pairs, weight=None), made()
    ones = dataclasses.replace(pairs, weight=torch.ones(pairs.positive.shape))
    same = values_and_gradients(lambda v, r: of(v, plain, r), vectors, refs)
    assert_same(values_and_gradients(lambda v, r: of(v, ones, r), vectors, refs), same, 1e-12)
    kept = torch.rand(pairs.positive.shape, generator=torch.Generator().manual_seed(1)) < 0.6
    gone = values_and_gradients(lambda v, r: of(v, plain.keep(kept, ~kept | kept), r), vectors, refs)
    weak = dataclasses.replace(pairs, weight=kept.double())
    assert_same(values_and_gradients(lambda v, r: of(v, weak, r), vectors, refs), gone, 1e-12)


@each
def test_rows_that_lack_a_partner_take_no_part(made: Callable[[], AutogradLoss]) -> None:
    vectors = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    value = made()(vectors, torch.arange(6))  # no two of one label
    value.backward()
    assert vectors.grad is not None
    if made is Boundary:
        assert value > 0
    else:
        assert value == 0
        assert torch.equal(vectors.grad, torch.zeros_like(vectors))
    nothing = Pairs(torch.zeros(6, 6).bool(), torch.zeros(6, 6).bool())
    assert made()(vectors, nothing) == 0


@each
def test_cells_that_take_no_part_have_no_say(made: Callable[[], AutogradLoss]) -> None:
    """Not even where their slope is no number: that of a square root at an item's distance to itself."""

    class Rooted(made):  # type: ignore[valid-type, misc]
        def rowwise(self, distances: Tensor, *masks: Tensor) -> Tensor:
            found: Tensor = super().rowwise(distances.sqrt(), *masks)
            return found

    vectors = torch.randn(12, 3, requires_grad=True)
    Rooted()(vectors, torch.arange(12) % 4).backward()
    assert vectors.grad is not None
    assert torch.isfinite(vectors.grad).all()


@each
def test_a_vector_that_is_no_number_is_not_hidden(made: Callable[[], AutogradLoss]) -> None:
    vectors, refs, pairs = odd()
    vectors[2, 1] = torch.nan
    assert torch.isnan(made()(vectors, pairs, refs))


@each
def test_metrics_say_how_far_and_how_active(made: Callable[[], AutogradLoss]) -> None:
    vectors, refs, pairs = odd()
    metrics = made().forward_with_metrics(vectors.requires_grad_(), pairs, refs)[1]
    far = matrix(vectors, refs, made().distance)
    assert metrics["alike_distance"].item() == pytest.approx(far[pairs.positive].mean().item())
    assert metrics["unlike_distance"].item() == pytest.approx(far[pairs.negative].mean().item())
    assert 0 < metrics["active_fraction"].item() <= 1
    assert not any(metric.requires_grad for metric in metrics.values())


@each
def test_no_gradient_where_none_is_asked_for(made: Callable[[], AutogradLoss]) -> None:
    vectors, refs, pairs = odd()
    of = made().requires_grad_(False)
    wanted = of(vectors.requires_grad_(), pairs, refs)
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            value = of(vectors, pairs, refs)
        assert not value.requires_grad
        assert value.item() == wanted.item()
    assert not of(vectors.detach(), pairs, refs).requires_grad


def test_a_loss_shows_what_it_measures() -> None:
    assert repr(Hardest()) == "Hardest(distance='euclidean', reduction='mean')"
    assert repr(SupCon()) == "SupCon(distance='cosine', reduction='non_zero_mean')"


def test_a_second_derivative_is_refused() -> None:
    vectors, refs, pairs = odd()
    value = Hardest()(vectors.requires_grad_(), pairs, refs)
    with pytest.raises(RequestError, match="cannot be differentiated again"):
        torch.autograd.grad(value, vectors, create_graph=True)


def test_what_rowwise_gets_wrong_is_named() -> None:
    class Matrix(AutogradLoss):
        def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
            return distances * weight

    class Detached(AutogradLoss):
        def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
            return (distances.detach() * positive).sum(1)

    class Even(AutogradLoss):
        def rowwise(self, distances: Tensor, positive: Tensor, negative: Tensor, weight: Tensor) -> Tensor:
            return (distances * positive).sum(1)

    vectors, refs, pairs = odd()
    leaf, rows = vectors.requires_grad_(), int(Hardest().takes_part(pairs.positive, pairs.negative).sum())
    told = [
        (
            Matrix(),
            f"Matrix.rowwise must return a loss for each row, shape ({rows},), that torch computed from "
            f"distances. Given: shape ({rows}, 17), with a gradient.",
        ),
        (
            Detached(),
            f"Detached.rowwise must return a loss for each row, shape ({rows},), that torch computed from "
            f"distances. Given: shape ({rows},), without a gradient.",
        ),
        (
            Even(),
            "Even.rowwise does not use `weight`, but these pairs have weights, so all would count the same. "
            "Multiply the terms of positives by `weight`, or set the relation's pair_weight to one.",
        ),
    ]
    for of, message in told:
        with pytest.raises(RequestError) as caught:
            of(leaf, pairs, refs)
        assert str(caught.value) == message
    assert Even()(leaf, dataclasses.replace(pairs, weight=None), refs) > 0


def test_a_small_space_is_learned() -> None:
    """A loss, a miner and an optimizer in a loop of one's own: classes come apart."""
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 4
    sounds = torch.randn(4, 12, generator=rng)[labels] + 2 * torch.randn(40, 12, generator=rng)
    model, of = nn.Linear(12, 8), Boundary()
    optimizer = torch.optim.Adam([*model.parameters(), *of.parameters()], lr=0.02)
    before = of.boundary.item()
    values = []
    for _ in range(150):
        vectors = normalize(model(sounds))
        value = of(vectors, miner("multi_similarity")(vectors, labels))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    far = torch.cdist(vectors, vectors).detach()
    nearest = far.fill_diagonal_(torch.inf).argmin(1)
    assert values[-1] < values[0] / 2
    assert (labels[nearest] == labels).float().mean() > 0.95
    assert of.boundary.item() != before
