"""Every loss of ours against its peer in pytorch-metric-learning, and the laws that all of them keep."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning import distances, losses
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds, make
from nearfield.core.types import Pairs, TripletRange
from nearfield.learning.build import loss, miner
from nearfield.learning.losses import LossSettings, PairLoss
from nearfield.learning.losses.base import RowLoss
from nearfield.learning.losses.rows import settle
from nearfield.learning.losses.settings import LOSSES, BaseLossSettings, pair_kinds

Batches = Any
CASES: list[tuple[str, dict[str, Any], Any]] = [
    ("circle", {}, losses.CircleLoss()),
    ("circle", {"m": 0.25, "gamma": 256}, losses.CircleLoss(m=0.25, gamma=256)),
    ("contrastive", {}, losses.ContrastiveLoss(distance=distances.LpDistance(normalize_embeddings=False))),
    (
        "contrastive",
        {"pos_margin": 0.1, "neg_margin": 2.0, "distance": "squared_euclidean"},
        losses.ContrastiveLoss(0.1, 2.0, distance=distances.LpDistance(normalize_embeddings=False, power=2)),
    ),
    ("nt_xent", {}, losses.NTXentLoss()),
    ("supcon", {}, losses.SupConLoss()),
    ("multi_similarity", {}, losses.MultiSimilarityLoss()),
]


def value_and_gradient(of: Callable[[Tensor], Tensor], vectors: Tensor) -> tuple[float, Tensor]:
    """The value of a loss at `vectors`, and its gradient there."""
    leaf = vectors.clone().requires_grad_()
    value = of(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.item(), leaf.grad


@pytest.mark.parametrize(("kind", "chosen", "peer"), CASES)
def test_equals_its_peer_in_value_and_gradient(
    kind: str, chosen: dict[str, Any], peer: Any, batches: Batches
) -> None:
    ours = loss(kind, **chosen)
    for vectors, labels in batches(300):
        value, gradient = value_and_gradient(lambda v, known=labels: ours(v, known), vectors)  # type: ignore[misc]
        wanted, slope = value_and_gradient(lambda v, known=labels: peer(v, known), vectors)  # type: ignore[misc]
        assert value == pytest.approx(wanted, abs=1e-6)
        torch.testing.assert_close(gradient, slope, atol=1e-6, rtol=1e-6)


def batch(size: int = 24, seed: int = 0, kind: torch.dtype = torch.float64) -> tuple[Tensor, Pairs]:
    """Vectors of unit length and pairs of no regular shape: one-sided, with items that take no part."""
    rng = torch.Generator().manual_seed(seed)
    vectors = normalize(torch.randn(size, 6, generator=rng, dtype=torch.float64)).to(kind)
    indices = torch.rand(size, size, generator=rng)
    off = ~torch.eye(size, dtype=torch.bool)
    positive, negative = (indices < 0.2) & off, (indices > 0.5) & off
    positive[3] = False
    negative[5] = False
    return vectors, Pairs(positive, negative)


@pytest.mark.parametrize("kind", [kind for kind in pair_kinds() if kind != "circle"])
def test_the_gradient_is_the_derivative(kind: str) -> None:
    """Circle holds its weights constant, so its gradient is another: see test_circle."""
    vectors, pairs = batch()
    ours = loss(kind)
    assert torch.autograd.gradcheck(lambda v: ours(v, pairs), (vectors.requires_grad_(),), atol=1e-5)


@pytest.mark.parametrize("kind", pair_kinds())
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**16))
def test_the_order_of_the_batch_does_not_matter(kind: str, seed: int) -> None:
    vectors, pairs = batch(seed=seed)
    order = torch.randperm(len(vectors), generator=torch.Generator().manual_seed(seed))
    turned = Pairs(pairs.positive[order][:, order], pairs.negative[order][:, order])
    ours = loss(kind)
    value, gradient = value_and_gradient(lambda v: ours(v, pairs), vectors)
    other, slope = value_and_gradient(lambda v: ours(v, turned), vectors[order])
    assert value == pytest.approx(other, rel=1e-9)
    torch.testing.assert_close(gradient[order], slope)


@pytest.mark.parametrize("kind", pair_kinds())
def test_a_strength_of_one_changes_nothing_and_of_zero_takes_the_pair_out(kind: str) -> None:
    vectors, pairs = batch()
    ours = loss(kind)
    plain = value_and_gradient(lambda v: ours(v, pairs), vectors)
    ones = dataclasses.replace(pairs, weight=torch.ones(len(vectors), len(vectors)))
    whole = value_and_gradient(lambda v: ours(v, ones), vectors)
    assert whole[0] == pytest.approx(plain[0])
    torch.testing.assert_close(whole[1], plain[1])
    kept = torch.rand(pairs.positive.shape, generator=torch.Generator().manual_seed(1)) < 0.5
    weak = value_and_gradient(lambda v: ours(v, dataclasses.replace(pairs, weight=kept.float())), vectors)
    gone = value_and_gradient(lambda v: ours(v, pairs.keep(kept, torch.ones_like(kept))), vectors)
    assert weak[0] == pytest.approx(gone[0])
    torch.testing.assert_close(weak[1], gone[1])


@pytest.mark.parametrize("kind", [kind for kind in pair_kinds() if kind != "triplet"])
def test_a_gap_becomes_cells_that_stand_in_a_triplet(kind: str) -> None:
    vectors, pairs = batch()
    mined = dataclasses.replace(pairs, triplet_range=TripletRange(0.0, 0.1, "euclidean"))
    distance = torch.cdist(vectors, vectors)
    triplet_range = distance[:, None, :] - distance[:, :, None]
    inside = (
        pairs.positive[:, :, None] & pairs.negative[:, None, :] & (triplet_range > 0) & (triplet_range <= 0.1)
    )
    cells = Pairs(inside.any(2), inside.any(1))
    settled = settle(vectors, mined)
    assert torch.equal(settled.positive, cells.positive)
    assert torch.equal(settled.negative, cells.negative)
    ours = loss(kind)
    assert ours(vectors, mined).item() == pytest.approx(ours(vectors, cells).item())


@pytest.mark.parametrize("bounds", [(None, 0.0), (0.2, None), (0.0, None), (None, 0.3), (-0.5, -0.1)])
def test_gaps_open_on_one_side_settle_as_well(bounds: tuple[float | None, float | None]) -> None:
    vectors, pairs = batch(seed=2)
    low, high = bounds
    distance = torch.cdist(vectors, vectors) ** 2
    triplet_range = distance[:, None, :] - distance[:, :, None]
    inside = pairs.positive[:, :, None] & pairs.negative[:, None, :]
    inside &= (triplet_range > (-torch.inf if low is None else low)) & (
        triplet_range <= (torch.inf if high is None else high)
    )
    settled = settle(
        vectors, dataclasses.replace(pairs, triplet_range=TripletRange(low, high, "squared_euclidean"))
    )
    assert torch.equal(settled.positive, inside.any(2))
    assert torch.equal(settled.negative, inside.any(1))


@pytest.mark.parametrize("kind", pair_kinds())
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(kind: str, half: torch.dtype) -> None:
    vectors, pairs = batch(kind=half)
    ours = loss(kind)
    value, gradient = value_and_gradient(lambda v: ours(v, pairs), vectors)
    wanted, slope = value_and_gradient(lambda v: ours(v, pairs), vectors.float())
    assert value == wanted
    assert gradient.dtype == half
    torch.testing.assert_close(gradient.float(), slope, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("kind", pair_kinds())
def test_autocast_does_not_coarsen_the_loss(kind: str) -> None:
    vectors, pairs = batch(kind=torch.float32)
    ours = loss(kind)
    plain = ours(vectors, pairs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(vectors, pairs), plain)


@pytest.mark.parametrize("kind", pair_kinds())
@pytest.mark.parametrize("missing", ["alike", "unlike", "both"])
def test_nothing_to_compare_is_zero_with_a_zero_gradient(kind: str, missing: str) -> None:
    vectors, pairs = batch()
    none = torch.zeros_like(pairs.positive)
    left = Pairs(
        pairs.positive if missing == "unlike" else none, pairs.negative if missing == "alike" else none
    )
    value, gradient = value_and_gradient(lambda v: loss(kind)(v, left), vectors)
    if kind in ("contrastive", "multi_similarity") and missing != "both":
        assert value > 0  # these two pull and push on their own
    else:
        assert value == 0
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("kind", pair_kinds())
def test_a_vector_that_is_no_number_is_not_hidden(kind: str) -> None:
    vectors, pairs = batch()
    vectors[2, 1] = torch.nan
    assert torch.isnan(loss(kind)(vectors, pairs))


@pytest.mark.parametrize("kind", pair_kinds())
def test_equal_vectors_give_finite_gradients(kind: str) -> None:
    vectors, pairs = batch(kind=torch.float32)
    vectors[:] = vectors[0]
    value, gradient = value_and_gradient(lambda v: loss(kind)(v, pairs), vectors)
    assert torch.isfinite(gradient).all()
    assert value == value


class Largest(TorchDispatchMode):
    """Notes how many numbers the largest floating-point tensor made on the way holds."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("kind", pair_kinds())
def test_no_matrix_of_all_by_all_numbers_is_made(kind: str) -> None:
    size = 3000
    vectors = torch.randn(size, 4, requires_grad=True)
    pairs = Pairs.from_labels(torch.arange(size) // 3)
    with Largest() as largest:
        loss(kind)(vectors, pairs)
    assert largest.numbers <= size * size / 10


@pytest.mark.parametrize("kind", pair_kinds())
def test_blocks_of_rows_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, pairs = batch(50)
    ours = loss(kind)
    whole = value_and_gradient(lambda v: ours(v, pairs), vectors)
    parts = ours.forward_with_metrics(vectors, pairs)[1]
    monkeypatch.setattr("nearfield.learning.distances._CELLS", {"cpu": 1})  # the smallest blocks there are
    cut = value_and_gradient(lambda v: ours(v, pairs), vectors)
    assert cut[0] == pytest.approx(whole[0])
    torch.testing.assert_close(cut[1], whole[1])
    for name, found in ours.forward_with_metrics(vectors, pairs)[1].items():
        torch.testing.assert_close(found, parts[name])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", pair_kinds())
def test_a_gpu_gives_the_same(kind: str) -> None:
    vectors, pairs = batch(50)
    mined = dataclasses.replace(pairs, triplet_range=TripletRange(0.0, 0.2, "euclidean"))
    for own in (pairs, mined):
        value, gradient = value_and_gradient(lambda v, own=own: loss(kind)(v, own), vectors)  # type: ignore[misc]
        there, slope = value_and_gradient(lambda v, own=own: loss(kind)(v, own), vectors.cuda())  # type: ignore[misc]
        assert there == pytest.approx(value)
        torch.testing.assert_close(slope.cpu(), gradient)


@pytest.mark.parametrize("kind", pair_kinds())
def test_parts_say_how_far_and_how_active(kind: str) -> None:
    vectors, pairs = batch()
    value, parts = loss(kind).forward_with_metrics(vectors.requires_grad_(), pairs)
    distance = 1 - vectors @ vectors.T
    if make(LossSettings, "loss", {"kind": kind}).distance == "euclidean":
        distance = torch.cdist(vectors, vectors)
    assert parts["alike_distance"].item() == pytest.approx(distance[pairs.positive].mean().item())
    assert parts["unlike_distance"].item() == pytest.approx(distance[pairs.negative].mean().item())
    assert 0 < parts["active_fraction"].item() <= 1
    assert not any(part.requires_grad for part in parts.values())
    if "alike_loss" in parts:
        assert (parts["alike_loss"] + parts["unlike_loss"]).item() == pytest.approx(value.item())


def test_labels_stand_for_the_pairs_they_make() -> None:
    vectors, _ = batch()
    labels = torch.arange(24) % 5
    wanted = loss("triplet")(vectors, Pairs.from_labels(labels))
    assert torch.equal(loss("triplet")(vectors, labels), wanted)
    assert torch.equal(loss("triplet")(vectors, labels.numpy()), wanted)


def test_no_gradient_is_worked_out_where_none_is_asked_for() -> None:
    vectors, pairs = batch()
    assert not loss("circle")(vectors, pairs).requires_grad
    with torch.no_grad():
        assert not loss("circle")(vectors.requires_grad_(), pairs).requires_grad


def test_a_second_derivative_is_refused() -> None:
    vectors, pairs = batch()
    value = loss("triplet")(vectors.requires_grad_(), pairs)
    with pytest.raises(RequestError, match="cannot be differentiated again"):
        torch.autograd.grad(value, vectors, create_graph=True)


def test_pairs_of_another_batch_are_refused() -> None:
    vectors, pairs = batch()
    with pytest.raises(RequestError) as caught:
        loss("triplet")(vectors[:20], pairs)
    assert str(caught.value) == (
        "The pairs belong to another batch: 20 vectors, but positive is (24, 24) and negative (24, 24); "
        "both must be (20, 20)."
    )
    with pytest.raises(RequestError, match=r"shape \(items, numbers\).*Given: \(24,\)"):
        loss("triplet")(vectors[:, 0], pairs)


def test_every_kind_is_built_and_says_in_what_it_measures() -> None:
    for kind, each in kinds(LossSettings).items():
        settings = make(LossSettings, "loss", {"kind": kind})
        assert isinstance(settings.build(8, 3), PairLoss)
        assert settings.distance in (None, "euclidean", "squared_euclidean", "cosine")
        assert all(margin.key in each.model_fields for margin in settings.margins())


def test_a_loss_that_does_not_say_what_it_compares_is_refused_at_once() -> None:
    with pytest.raises(TypeError, match="Mute has no distance"):

        class Mute(BaseLossSettings):
            kind: Literal["mute"] = "mute"


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"kind": "triplet", "margn": 0.3},
            "loss: unknown key 'margn'. Did you mean 'margin'? Known: margin, distance, reduction, swap, "
            "smooth, allow_impossible_margin.",
        ),
        ({"kind": "triplet", "margin": 0}, "loss: margin: input should be greater than 0. Given: 0."),
        (
            {},
            f"loss: no kind given. Known: {', '.join(LOSSES.kinds())}.",
        ),
    ],
)
def test_wrong_settings_are_named(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(LossSettings, "loss", chosen)
    assert str(caught.value) == message


def test_vectors_that_are_no_tensor_are_refused() -> None:
    given: Any = np.zeros((4, 2), np.float32)
    said = r"needs vectors as a torch\.Tensor\. Given: a ndarray\. Of NumPy: torch\.from_numpy\(vectors\)"
    for part in (loss("triplet"), loss("bce", size=2, classes=2), loss("NCALoss"), miner("semihard")):
        with pytest.raises(RequestError, match=said):
            part(given, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("base", "missing"),
    [(PairLoss, "forward_with_metrics"), (RowLoss, "add_rows")],
)
def test_a_loss_without_its_method_cannot_be_made(base: type[PairLoss], missing: str) -> None:
    unfinished = type("Unfinished", (base,), {})
    with pytest.raises(TypeError, match=missing):
        unfinished()
