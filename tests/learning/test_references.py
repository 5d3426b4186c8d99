"""Pairs between a batch and references: slow oracles in double precision, peers, laws of a larger batch."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners
from torch import Tensor
from torch.nn.functional import normalize, softplus

from nearfield.core.errors import RequestError
from nearfield.core.settings import kinds
from nearfield.core.types import Distance, Pairs, TripletRange
from nearfield.learning.build import loss, miner
from nearfield.learning.losses.rows import settle, triplets
from nearfield.learning.losses.settings import pair_kinds
from nearfield.learning.miners import MinerSettings
from tests.learning.test_losses import Largest

OWN = pair_kinds()
EVERY: list[tuple[str, dict[str, Any]]] = [
    *((kind, {}) for kind in OWN),
    *(("triplet", {"distance": d, "reduction": "mean"}) for d in ("squared_euclidean", "cosine")),
    ("triplet", {"swap": True}),
    ("triplet", {"smooth": True, "distance": "squared_euclidean"}),
    ("triplet", {"swap": True, "smooth": True, "distance": "cosine"}),
    ("contrastive", {"distance": "cosine", "pos_margin": 0.1, "neg_margin": 1.2}),
]
"""Every loss of ours over pairs, with the settings that take another way through it."""


def odd(seed: int = 0, rows: int = 11, columns: int = 17) -> tuple[Tensor, Tensor, Pairs]:
    """Vectors and references of unit length, and pairs of no regular shape, with a strength."""
    rng = torch.Generator().manual_seed(seed)
    vectors, refs = (
        normalize(torch.randn(count, 5, generator=rng, dtype=torch.float64)) for count in (rows, columns)
    )
    drawn = torch.rand(rows, columns, generator=rng)
    positive, negative = drawn < 0.25, drawn > 0.4
    positive[3] = False
    negative[5] = False
    return vectors, refs, Pairs(positive, negative, torch.rand(rows, columns, generator=rng).double())


def values_and_gradients(
    of: Callable[[Tensor, Tensor], Tensor], vectors: Tensor, refs: Tensor
) -> tuple[float, Tensor, Tensor]:
    """The value, and its gradient with respect to the batch and to the references."""
    leaf, other = vectors.clone().requires_grad_(), refs.clone().requires_grad_()
    value = of(leaf, other)
    if not value.requires_grad:
        return value.item(), torch.zeros_like(leaf), torch.zeros_like(other)
    first, second = torch.autograd.grad(value, (leaf, other), allow_unused=True)
    zeros = torch.zeros_like
    return (
        value.item(),
        zeros(leaf) if first is None else first,
        zeros(other) if second is None else second,
    )


def assert_same(
    found: tuple[float, Tensor, Tensor], wanted: tuple[float, Tensor, Tensor], off: float
) -> None:
    assert found[0] == pytest.approx(wanted[0], abs=off)
    torch.testing.assert_close(found[1], wanted[1], atol=off, rtol=off)
    torch.testing.assert_close(found[2], wanted[2], atol=off, rtol=off)


# The oracles: losses by their definition, over whole matrices, differentiated by autograd. A loss that is not
# among them has its oracle in its own test.


def matrix(vectors: Tensor, refs: Tensor, distance: Distance) -> Tensor:
    """(B, R) distances by their definition."""
    if distance == "cosine":
        return 1 - normalize(vectors) @ normalize(refs).T
    squared = (vectors[:, None] - refs[None]).square().sum(-1)
    return squared if distance == "squared_euclidean" else (squared + 1e-30).sqrt()


def mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(1e-300)


def slow_triplet(vectors: Tensor, refs: Tensor, pairs: Pairs, **chosen: Any) -> Tensor:
    distance = chosen.get("distance", "euclidean")
    far = matrix(vectors, refs, distance)
    weights = pairs.positive[:, :, None] * pairs.negative[:, None, :].double()
    weights = weights if pairs.weight is None else weights * pairs.weight[:, :, None]
    if pairs.triplet_range is not None:
        measured = matrix(vectors.detach(), refs.detach(), pairs.triplet_range.distance)
        triplet_range = measured[:, None, :] - measured[:, :, None]
        weights *= triplet_range > (
            -torch.inf if pairs.triplet_range.low is None else pairs.triplet_range.low
        )
        weights *= triplet_range <= (
            torch.inf if pairs.triplet_range.high is None else pairs.triplet_range.high
        )
    nearest = far[:, None, :]
    if chosen.get("swap"):
        nearest = nearest.minimum(matrix(refs, refs, distance)[None])
    violation = far[:, :, None] - nearest + 0.2
    hinge = softplus(violation) if chosen.get("smooth") else violation.clamp_min(0)
    return mean(hinge, weights if chosen.get("reduction") == "mean" else weights * (hinge > 0))


def slow_contrastive(vectors: Tensor, refs: Tensor, pairs: Pairs, **chosen: Any) -> Tensor:
    far = matrix(vectors, refs, chosen.get("distance", "euclidean"))
    accumulate_grad = (far - chosen.get("pos_margin", 0.0)).clamp_min(0)
    push = (chosen.get("neg_margin", 1.0) - far).clamp_min(0)
    weights = weight(pairs)
    return mean(accumulate_grad, weights * (accumulate_grad > 0)) + mean(
        push, (pairs.negative & (push > 0)).double()
    )


def slow_circle(vectors: Tensor, refs: Tensor, pairs: Pairs) -> Tensor:
    m, gamma = 0.4, 80.0
    takes_part = (weight(pairs) > 0).any(1) & pairs.negative.any(1)
    weights, negative = weight(pairs)[takes_part], pairs.negative[takes_part]
    near = 1 - matrix(vectors, refs, "cosine")[takes_part]
    accumulate_grad = (1 + m - near).clamp_min(0).detach() * (near - (1 - m)) * -gamma
    push = (near + m).clamp_min(0).detach() * (near - m) * gamma
    positive = (accumulate_grad + weights.log()).logsumexp(1)
    losses = softplus(positive + push.where(negative, -torch.inf).logsumexp(1))
    return mean(losses, (losses > 0).double())


def slow_nt_xent(vectors: Tensor, refs: Tensor, pairs: Pairs) -> Tensor:
    logits = (1 - matrix(vectors, refs, "cosine")) / 0.07
    others = logits.where(pairs.negative, -1e6).logsumexp(1, keepdim=True)
    return mean(torch.logaddexp(logits, others) - logits, weight(pairs))


def slow_supcon(vectors: Tensor, refs: Tensor, pairs: Pairs) -> Tensor:
    logits = (1 - matrix(vectors, refs, "cosine")) / 0.1
    weights = weight(pairs)
    total = logits.where((weights > 0) | pairs.negative, -1e6).logsumexp(1, keepdim=True)
    losses = ((total - logits) * weights).sum(1) / weights.sum(1).clamp_min(1e-300)
    return mean(losses, (losses > 0).double())


def slow_multi_similarity(vectors: Tensor, refs: Tensor, pairs: Pairs) -> Tensor:
    near = 1 - matrix(vectors, refs, "cosine")
    accumulate_grad = (1 + (weight(pairs) * (-2 * (near - 0.5)).exp()).sum(1)).log() / 2
    push = (1 + (pairs.negative * (50 * (near - 0.5)).exp()).sum(1)).log() / 50
    return (accumulate_grad + push).mean()


def weight(pairs: Pairs) -> Tensor:
    """(B, R) what each positive cell weighs, zero elsewhere."""
    return pairs.positive.double() * (1.0 if pairs.weight is None else pairs.weight)


SLOW: dict[str, Callable[..., Tensor]] = {
    "triplet": slow_triplet,
    "circle": slow_circle,
    "contrastive": slow_contrastive,
    "nt_xent": slow_nt_xent,
    "supcon": slow_supcon,
    "multi_similarity": slow_multi_similarity,
}
GAPS = (
    None,
    TripletRange(0.0, 0.2, "euclidean"),
    TripletRange(None, 0.1, "squared_euclidean"),
    TripletRange(-0.3, None, "euclidean"),
)


@pytest.mark.parametrize(("kind", "chosen"), [each for each in EVERY if each[0] in SLOW], ids=str)
@pytest.mark.parametrize("triplet_range", GAPS, ids=str)
def test_equals_the_slow_oracle(
    kind: str, chosen: dict[str, Any], triplet_range: TripletRange | None
) -> None:
    for seed in range(6):
        vectors, refs, pairs = odd(seed)
        mined = dataclasses.replace(
            pairs, triplet_range=triplet_range, weight=pairs.weight if seed % 2 else None
        )
        cells = mined if kind == "triplet" else settle(vectors, mined, refs)
        ours = loss(kind, **chosen)
        found = values_and_gradients(lambda v, r, p=mined, o=ours: o(v, p, r), vectors, refs)  # type: ignore[misc]
        wanted = values_and_gradients(lambda v, r, p=cells: SLOW[kind](v, r, p, **chosen), vectors, refs)  # type: ignore[misc]
        assert_same(found, wanted, 1e-8)


@pytest.mark.parametrize("triplet_range", GAPS[1:], ids=str)
def test_a_gap_becomes_cells_and_triplets_of_both(triplet_range: TripletRange) -> None:
    vectors, refs, pairs = odd()
    mined = dataclasses.replace(pairs, triplet_range=triplet_range, weight=None)
    measured = matrix(vectors, refs, triplet_range.distance)
    between = measured[:, None, :] - measured[:, :, None]
    inside = pairs.positive[:, :, None] & pairs.negative[:, None, :]
    inside &= between > (-torch.inf if triplet_range.low is None else triplet_range.low)
    inside &= between <= (torch.inf if triplet_range.high is None else triplet_range.high)
    settled = settle(vectors, mined, refs)
    assert torch.equal(settled.positive, inside.any(2))
    assert torch.equal(settled.negative, inside.any(1))
    found = torch.stack(triplets(vectors, mined, refs), dim=1)
    assert torch.equal(found, inside.nonzero())


# The peers.

_PLAIN = distances.LpDistance(normalize_embeddings=False)
PEERS: list[tuple[str, dict[str, Any], Any]] = [
    ("triplet", {"margin": 0.3}, losses.TripletMarginLoss(margin=0.3, distance=_PLAIN)),
    (
        "triplet",
        {"margin": 0.3, "distance": "cosine", "smooth": True},
        losses.TripletMarginLoss(margin=0.3, distance=distances.CosineSimilarity(), smooth_loss=True),
    ),
    ("contrastive", {}, losses.ContrastiveLoss(distance=_PLAIN)),
    ("circle", {}, losses.CircleLoss()),
    ("nt_xent", {}, losses.NTXentLoss()),
    ("supcon", {}, losses.SupConLoss()),
    ("multi_similarity", {}, losses.MultiSimilarityLoss()),
]


def labelled(count: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """So many random batches: vectors, labels, references, their labels."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(count):
        rows, columns, classes, numbers = (
            int(torch.randint(low, high, (), generator=rng))
            for low, high in ((2, 14), (2, 24), (2, 7), (2, 9))
        )
        yield (
            torch.randn(rows, numbers, generator=rng, dtype=torch.float64),
            torch.randint(0, classes, (rows,), generator=rng),
            torch.randn(columns, numbers, generator=rng, dtype=torch.float64),
            torch.randint(0, classes, (columns,), generator=rng),
        )


@pytest.mark.parametrize(("kind", "chosen", "peer"), PEERS, ids=lambda it: str(it)[:40])
def test_equals_its_peer_with_references(kind: str, chosen: dict[str, Any], peer: Any) -> None:
    ours = loss(kind, **chosen)
    for vectors, labels, refs, ref_labels in labelled(200):
        found = values_and_gradients(lambda v, r, a=labels, b=ref_labels: ours(v, a, r, b), vectors, refs)  # type: ignore[misc]
        wanted = values_and_gradients(
            lambda v, r, a=labels, b=ref_labels: peer(v, a, ref_emb=r, ref_labels=b),  # type: ignore[misc]
            vectors,
            refs,
        )
        assert_same(found, wanted, 1e-6)


@pytest.mark.parametrize(
    "name", ["LiftedStructureLoss", "MarginLoss", "TripletMarginLoss", "TupletMarginLoss"]
)
def test_losses_of_the_library_take_references(name: str) -> None:
    ours, theirs = loss(name), getattr(losses, name)()
    for vectors, labels, refs, ref_labels in labelled(20):
        found = values_and_gradients(lambda v, r, a=labels, b=ref_labels: ours(v, a, r, b), vectors, refs)  # type: ignore[misc]
        wanted = values_and_gradients(
            lambda v, r, a=labels, b=ref_labels: theirs(v, a, ref_emb=r, ref_labels=b),  # type: ignore[misc]
            vectors,
            refs,
        )
        assert_same(found, wanted, 1e-9)


# Laws.


@pytest.mark.parametrize(("kind", "chosen"), EVERY, ids=str)
def test_a_batch_as_its_own_references_is_the_batch(kind: str, chosen: dict[str, Any]) -> None:
    vectors, _, pairs = odd(columns=11)
    off = ~torch.eye(11, dtype=torch.bool)
    ours, alone = loss(kind, **chosen), pairs.keep(off, off)
    leaf = vectors.clone().requires_grad_()
    whole = ours(leaf, alone)
    (slope,) = torch.autograd.grad(whole, leaf)
    value, first, second = values_and_gradients(lambda v, r: ours(v, alone, r), vectors, vectors)
    assert value == pytest.approx(whole.item(), rel=1e-9)
    torch.testing.assert_close(first + second, slope)


@pytest.mark.parametrize(("kind", "chosen"), EVERY, ids=str)
def test_the_gradient_is_the_derivative_for_both(kind: str, chosen: dict[str, Any]) -> None:
    if kind == "circle":
        pytest.skip("circle holds its weights constant")
    vectors, refs, pairs = odd(rows=6, columns=7)
    given = (vectors.requires_grad_(), refs.requires_grad_())
    assert torch.autograd.gradcheck(lambda v, r: loss(kind, **chosen)(v, pairs, r), given, atol=1e-5)


@pytest.mark.parametrize("kind", OWN)
def test_blocks_of_rows_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, refs, pairs = odd(rows=40, columns=9)
    whole = values_and_gradients(lambda v, r: loss(kind)(v, pairs, r), vectors, refs)
    metrics = loss(kind).forward_with_metrics(vectors, pairs, refs)[1]
    monkeypatch.setattr("nearfield.learning.distances._CELLS", {"cpu": 1})
    assert_same(values_and_gradients(lambda v, r: loss(kind)(v, pairs, r), vectors, refs), whole, 1e-9)
    for name, found in loss(kind).forward_with_metrics(vectors, pairs, refs)[1].items():
        torch.testing.assert_close(found, metrics[name])


@pytest.mark.parametrize("kind", OWN)
def test_no_matrix_of_batch_by_references_is_made(kind: str) -> None:
    rows, columns = 2000, 4500
    vectors, refs = torch.randn(rows, 4, requires_grad=True), torch.randn(columns, 4, requires_grad=True)
    pairs = Pairs.from_labels(torch.arange(rows) // 3, torch.arange(columns) // 5)
    with Largest() as largest:
        loss(kind)(vectors, pairs, refs)
    assert largest.numbers <= rows * columns / 10


@pytest.mark.parametrize("kind", OWN)
def test_each_side_gets_a_gradient_where_it_asks(kind: str) -> None:
    vectors, refs, pairs = odd()
    both = values_and_gradients(lambda v, r: loss(kind)(v, pairs, r), vectors, refs)
    memory = vectors.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(kind)(memory, pairs, refs), memory)
    torch.testing.assert_close(first, both[1])
    gallery = refs.clone().requires_grad_()
    (second,) = torch.autograd.grad(loss(kind)(vectors, pairs, gallery), gallery)
    torch.testing.assert_close(second, both[2])
    assert not loss(kind)(vectors, pairs, refs).requires_grad
    with torch.no_grad():
        assert not loss(kind)(memory, pairs, gallery).requires_grad


@pytest.mark.parametrize("kind", OWN)
def test_a_memory_in_half_precision_is_read_in_single(kind: str) -> None:
    vectors, refs, pairs = odd()
    single = values_and_gradients(lambda v, r: loss(kind)(v, pairs, r), vectors.float(), refs.half().float())
    leaf, memory = vectors.float().requires_grad_(), refs.half().requires_grad_()
    value = loss(kind)(leaf, pairs, memory)
    first, second = torch.autograd.grad(value, (leaf, memory))
    assert value.item() == single[0]
    assert first.dtype == torch.float32
    assert second.dtype == torch.float16
    torch.testing.assert_close(first, single[1])
    torch.testing.assert_close(second.float(), single[2], atol=1e-3, rtol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("kind", OWN)
def test_a_gpu_gives_the_same(kind: str) -> None:
    vectors, refs, pairs = odd()
    mined = dataclasses.replace(pairs, triplet_range=TripletRange(0.0, 0.2, "euclidean"))
    for own in (pairs, mined):
        here = values_and_gradients(lambda v, r, o=own: loss(kind)(v, o, r), vectors, refs)  # type: ignore[misc]
        there = values_and_gradients(lambda v, r, o=own: loss(kind)(v, o, r), vectors.cuda(), refs.cuda())  # type: ignore[misc]
        assert_same((there[0], there[1].cpu(), there[2].cpu()), here, 1e-8)


# Miners.


@pytest.mark.parametrize("kind", [kind for kind in kinds(MinerSettings) if kind != "distance_weighted"])
def test_a_miner_takes_references_for_items_of_a_larger_batch(kind: str) -> None:
    """The references follow the batch, and no row of theirs has a pair."""
    for seed in range(8):
        vectors, refs, pairs = odd(seed)
        rows = len(vectors)
        blocks = [torch.zeros(28, 28, dtype=torch.bool) for _ in range(2)]
        blocks[0][:rows, rows:], blocks[1][:rows, rows:] = pairs.positive, pairs.negative
        whole: Pairs = miner(kind)(torch.cat([vectors, refs]), Pairs(blocks[0], blocks[1]))
        mined: Pairs = miner(kind)(vectors, dataclasses.replace(pairs, weight=None), refs)
        assert torch.equal(mined.positive, whole.positive[:rows, rows:])
        assert torch.equal(mined.negative, whole.negative[:rows, rows:])
        assert mined.triplet_range == whole.triplet_range


@pytest.mark.parametrize(
    ("kind", "chosen", "peer"),
    [
        ("batch_hard", {}, miners.BatchHardMiner(distance=_PLAIN)),
        ("multi_similarity", {}, miners.MultiSimilarityMiner()),
        ("pair_margin", {}, miners.PairMarginMiner(distance=_PLAIN)),
        ("semihard", {}, miners.TripletMarginMiner(0.2, "semihard", distance=_PLAIN)),
    ],
)
def test_mined_triplets_of_references_are_the_peers(kind: str, chosen: dict[str, Any], peer: Any) -> None:
    for vectors, labels, refs, ref_labels in labelled(100):
        near, others = normalize(vectors), normalize(refs)
        mined: Pairs = miner(kind, **chosen)(near, labels, others, ref_labels)
        theirs = peer(near, labels, others, ref_labels)
        if len(theirs) == 4:
            found = (*mined.positive.nonzero(as_tuple=True), *mined.negative.nonzero(as_tuple=True))
            assert {*zip(*(x.tolist() for x in found[:2]), strict=True)} == {
                *zip(*(x.tolist() for x in theirs[:2]), strict=True)
            }
            assert {*zip(*(x.tolist() for x in found[2:]), strict=True)} == {
                *zip(*(x.tolist() for x in theirs[2:]), strict=True)
            }
        else:
            own = triplets(near, mined, others)
            assert {*zip(*(x.tolist() for x in own), strict=True)} == {
                *zip(*(x.tolist() for x in theirs), strict=True)
            }


def test_distance_weighted_draws_negatives_among_references() -> None:
    vectors, refs, pairs = odd()
    mined: Pairs = miner("distance_weighted")(
        vectors, pairs, refs, generator=torch.Generator().manual_seed(0)
    )
    longer = miner("distance_weighted")(
        vectors / 2, pairs, refs * 3, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(longer.negative, mined.negative)  # by direction alone
    far = torch.cdist(vectors, refs)
    assert mined.negative.any()
    assert bool((far[mined.negative] < 1.4).all())
    assert bool((pairs.negative | ~mined.negative).all())
    assert bool((mined.negative.sum(1) <= pairs.positive.sum(1)).all())


# What is refused.


def test_labels_stand_for_the_pairs_they_make() -> None:
    vectors, refs, _ = odd()
    labels, ref_labels = torch.arange(11) % 4, torch.arange(17) % 5 - 1
    pairs = Pairs.from_labels(labels, ref_labels)
    assert torch.equal(pairs.positive, labels[:, None] == ref_labels[None])
    assert torch.equal(pairs.negative, (labels[:, None] != ref_labels[None]) & (ref_labels >= 0))
    wanted = loss("triplet")(vectors, pairs, refs)
    assert torch.equal(loss("triplet")(vectors, labels.numpy(), refs, ref_labels.numpy()), wanted)
    same = Pairs.from_labels(torch.arange(3), torch.arange(3))
    assert torch.equal(
        same.positive, torch.eye(3, dtype=torch.bool)
    )  # a reference is never known to be the item


def test_triplets_point_into_the_references() -> None:
    pairs = Pairs.from_triplets(torch.tensor([0, 1]), torch.tensor([4, 2]), torch.tensor([3, 0]), 2, 5)
    assert pairs.positive.nonzero().tolist() == [[0, 4], [1, 2]]
    assert pairs.negative.nonzero().tolist() == [[0, 3], [1, 0]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            lambda v, r, p: (v, p, r[:9]),
            "The pairs belong to another batch: 11 vectors, 9 references, but positive is (11, 17) and "
            "negative "
            "(11, 17); both must be (11, 9).",
        ),
        (
            lambda v, r, p: (v, p),
            "The pairs belong to another batch: 11 vectors, but positive is (11, 17) and negative (11, 17); "
            "both must be (11, 11).",
        ),
        (
            lambda v, r, p: (v, p, r, torch.zeros(17)),
            "ref_labels require labels, but Pairs were given, which determine positives and negatives "
            "already. Leave out ref_labels, or pass the labels of the batch instead of Pairs.",
        ),
        (
            lambda v, r, p: (v, torch.zeros(11), r),
            "ref_vectors without ref_labels: references need vectors of shape (references, numbers) and, "
            "with labels, one label each. Pass ref_labels, too.",
        ),
        (
            lambda v, r, p: (v, torch.zeros(11), None, torch.zeros(17)),
            "ref_labels without ref_vectors: references need vectors of shape (references, numbers) and, "
            "with labels, one label each. Pass ref_vectors, too.",
        ),
        (
            lambda v, r, p: (v, p, r[:, :3]),
            "References and vectors do not fit: ref_vectors is (17, 3) on cpu, vectors (11, 5) on "
            "cpu. Both need the same dimension and the same device.",
        ),
        (
            lambda v, r, p: (v, p, r.numpy()),
            "A loss or a miner needs ref_vectors as a torch.Tensor. Given: a ndarray. Of NumPy: "
            "torch.from_numpy(ref_vectors).",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given: Callable[..., tuple[Any, ...]], message: str) -> None:
    takers: list[Callable[..., Any]] = [
        loss("triplet"),
        loss("circle"),
        loss("MarginLoss"),
        miner("semihard"),
    ]
    for of in takers:
        with pytest.raises(RequestError) as caught:
            of(*given(*odd()))
        assert str(caught.value) == message


def test_losses_that_compare_no_pairs_refuse_references() -> None:
    vectors, refs, pairs = odd()
    with pytest.raises(RequestError, match=r"loss: bce uses the tags .*has no references"):
        loss("bce", size=5, classes=3)(vectors, pairs, refs)
    with pytest.raises(
        RequestError, match=r"loss: NCALoss compares a batch with itself and has no references"
    ):
        loss("NCALoss")(vectors, pairs, refs)
