"""pytorch-metric-learning's call on our losses: equal to it for labels, references, pairs and triplets."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.losses import pml

PLAIN = {"distance": distances.LpDistance(normalize_embeddings=False)}
SQUARED = {"distance": distances.LpDistance(power=2)}
COSINE = {"distance": distances.CosineSimilarity()}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("TripletMarginLoss", {}),
    ("TripletMarginLoss", {"margin": 0.3, **PLAIN}),
    ("TripletMarginLoss", {"margin": 0.3, "smooth_loss": True, **COSINE}),
    ("TripletMarginLoss", {"margin": 0.5, "reducer": reducers.MeanReducer(), **SQUARED}),
    ("ContrastiveLoss", {}),
    ("ContrastiveLoss", {"pos_margin": 0.2, "neg_margin": 1.5, **PLAIN}),
    ("ContrastiveLoss", {"pos_margin": 0.9, "neg_margin": 0.1, **COSINE}),
    ("CircleLoss", {}),
    ("CircleLoss", {"m": 0.25, "gamma": 256, **COSINE}),
    ("NTXentLoss", {}),
    ("NTXentLoss", {"temperature": 0.5}),
    ("SupConLoss", {"reducer": reducers.AvgNonZeroReducer()}),
    ("MultiSimilarityLoss", {}),
    ("MultiSimilarityLoss", {"alpha": 1, "beta": 10, "base": 0.3, "reducer": reducers.MeanReducer()}),
]
each = pytest.mark.parametrize(("name", "chosen"), CASES, ids=lambda it: it if isinstance(it, str) else "")
both = pytest.mark.parametrize("kind", [torch.float32, torch.float64], ids=str)
TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-7}


def batches(count: int, kind: torch.dtype = torch.float64) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Embeddings, labels, references, their labels."""
    rng = torch.Generator().manual_seed(0)
    for _ in range(count):
        rows, columns, classes, numbers = (
            int(torch.randint(low, high, (), generator=rng))
            for low, high in ((3, 16), (3, 24), (2, 6), (3, 9))
        )
        yield (
            torch.randn(rows, numbers, generator=rng, dtype=torch.float64).to(kind),
            torch.randint(-1, classes, (rows,), generator=rng),  # -1 is a label like any other
            torch.randn(columns, numbers, generator=rng, dtype=torch.float64).to(kind),
            torch.randint(-1, classes, (columns,), generator=rng),
        )


def assert_equal(
    ours: nn.Module, theirs: nn.Module, embeddings: Tensor, refs: Tensor | None, **call: Any
) -> None:
    """Both give the same value and gradients for one call."""
    found = []
    for of in (ours, theirs):
        leaves = [embeddings.clone().requires_grad_()]
        if refs is not None:
            leaves.append(refs.clone().requires_grad_())
            call["ref_emb"] = leaves[1]
        value = of(leaves[0], **call)
        value.backward()
        found.append((value.item(), [torch.zeros_like(x) if x.grad is None else x.grad for x in leaves]))
    off = TOLERANCE[embeddings.dtype]
    assert found[0][0] == pytest.approx(found[1][0], abs=off, rel=off)
    torch.testing.assert_close(found[0][1], found[1][1], atol=10 * off, rtol=10 * off)


@each
@both
def test_labels_give_what_the_library_gives(name: str, chosen: dict[str, Any], kind: torch.dtype) -> None:
    ours, theirs = getattr(pml, name)(**chosen), getattr(losses, name)(**chosen)
    for embeddings, labels, _, _ in batches(60, kind):
        assert_equal(ours, theirs, embeddings, None, labels=labels)


@each
@both
def test_references_give_what_the_library_gives(name: str, chosen: dict[str, Any], kind: torch.dtype) -> None:
    ours, theirs = getattr(pml, name)(**chosen), getattr(losses, name)(**chosen)
    for embeddings, labels, refs, ref_labels in batches(60, kind):
        assert_equal(ours, theirs, embeddings, refs, labels=labels, ref_labels=ref_labels)


MINERS = {
    "batch hard": miners.BatchHardMiner(),
    "semi-hard triplets": miners.TripletMarginMiner(margin=0.3, type_of_triplets="semihard"),
    "all violating triplets": miners.TripletMarginMiner(margin=0.3),
    "drawn triplets": miners.DistanceWeightedMiner(),
    "multi-similarity pairs": miners.MultiSimilarityMiner(),
    "pairs by margin": miners.PairMarginMiner(),
}


@each
@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("referred", [False, True])
def test_mined_pairs_and_triplets_give_what_the_library_gives(
    name: str, chosen: dict[str, Any], miner: str, referred: bool
) -> None:
    ours, theirs = getattr(pml, name)(**chosen), getattr(losses, name)(**chosen)
    some = 0
    for embeddings, labels, refs, ref_labels in batches(40):
        call = {"labels": labels, **({"ref_labels": ref_labels} if referred else {})}
        given = (embeddings, labels, refs, ref_labels) if referred else (embeddings, labels)
        mined = MINERS[miner](*given)
        if all(len(index) <= 1 for index in mined):
            continue  # the library gives 0 for a single pair: see the module
        some += 1
        assert_equal(ours, theirs, embeddings, refs if referred else None, indices_tuple=mined, **call)
    assert some > 15


@each
@both
def test_repeated_pairs_count_as_the_library_counts_them(
    name: str, chosen: dict[str, Any], kind: torch.dtype
) -> None:
    """As a memory that joins mined pairs to its own lists them; also without labels."""
    ours, theirs = getattr(pml, name)(**chosen), getattr(losses, name)(**chosen)
    rng = torch.Generator().manual_seed(1)
    for embeddings, labels, refs, ref_labels in batches(40, kind):
        same = labels[:, None] == ref_labels
        lists = (*same.nonzero(as_tuple=True), *(~same).nonzero(as_tuple=True))
        if not len(lists[0]) or not len(lists[2]):
            continue
        some, more = (torch.randint(0, len(lists[at]), (14,), generator=rng) for at in (0, 2))
        if name == "SupConLoss":  # a positive without a negative costs nothing, or a rounding that counts
            some = some[torch.isin(lists[0][some], lists[2][more])]
        drawn = (lists[0][some], lists[1][some], lists[2][more], lists[3][more])
        assert_equal(ours, theirs, embeddings, refs, indices_tuple=drawn)


def test_swap_gives_what_the_library_gives() -> None:
    for smooth in (False, True):
        chosen = {"margin": 0.4, "swap": True, "smooth_loss": smooth, **PLAIN}
        ours, theirs = pml.TripletMarginLoss(**chosen), losses.TripletMarginLoss(**chosen)
        for embeddings, labels, _, _ in batches(40):
            assert_equal(ours, theirs, embeddings, None, labels=labels)
            mined = MINERS["all violating triplets"](embeddings, labels)
            assert_equal(ours, theirs, embeddings, None, labels=labels, indices_tuple=mined)


def test_swap_among_references_measures_the_two_references() -> None:
    """The library indexes the batch by the position of a reference; see the module."""
    loss = pml.TripletMarginLoss(margin=2.0, swap=True, **PLAIN)
    embeddings, refs = torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0], [1.5, 0.0]])
    positive, negative = torch.tensor([0]), torch.tensor([1])
    value = loss(embeddings, indices_tuple=(torch.tensor([0]), positive, negative), ref_emb=refs)
    assert value.item() == pytest.approx(1.0 - 0.5 + 2.0)  # the two references are nearer than the anchor
    whole = loss(embeddings, torch.tensor([7]), ref_emb=refs, ref_labels=torch.tensor([7, 8]))
    assert whole.item() == pytest.approx(value.item())


@pytest.mark.parametrize("name", pml.__all__)
def test_the_librarys_memory_runs_on_it(name: str) -> None:
    memories = [
        losses.CrossBatchMemory(
            getattr(of, name)(), 5, memory_size=24, miner=MINERS["multi-similarity pairs"]
        )
        for of in (pml, losses)
    ]
    rng = torch.Generator().manual_seed(0)
    for _ in range(6):
        embeddings = torch.randn(8, 5, generator=rng, dtype=torch.float64)
        labels = torch.randint(0, 3, (8,), generator=rng)
        assert_equal(memories[0], memories[1], embeddings, None, labels=labels)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_librarys_views_run_on_it(symmetric: bool) -> None:
    ours, theirs = (losses.SelfSupervisedLoss(of.NTXentLoss(), symmetric=symmetric) for of in (pml, losses))
    rng = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 9, 4, generator=rng, dtype=torch.float64)
    assert ours(first, second).item() == pytest.approx(theirs(first, second).item(), abs=1e-9)


def test_one_tensor_of_labels_for_both_means_the_same_items() -> None:
    """As in the library: two views under one tensor of labels are not each other's positives."""
    for embeddings, labels, _, _ in batches(20):
        views = embeddings.flip(1)
        for name in pml.__all__:
            ours, theirs = getattr(pml, name)(), getattr(losses, name)()
            assert_equal(ours, theirs, embeddings, views, labels=labels, ref_labels=labels)
            assert_equal(ours, theirs, embeddings, views, labels=labels, ref_labels=labels.clone())


LOOP = """
from {source} import {name} as losses
import torch
from torch.nn.functional import normalize

torch.manual_seed(0)
labels = torch.arange(48) % 6
sounds = torch.randn(6, 10)[labels] + torch.randn(48, 10)
model = torch.nn.Linear(10, 4)
loss_func = losses.TripletMarginLoss(margin=0.2)
memory = losses.NormalizedSoftmaxLoss(6, 4)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
values = []
for _ in range(5):
    optimizer.zero_grad()
    embeddings = model(sounds)
    loss = loss_func(embeddings, labels) + memory(embeddings, labels)
    loss.backward()
    optimizer.step()
    values.append(loss.item())
"""


def test_a_loop_runs_by_changing_one_import() -> None:
    found = []
    for source, name in (("pytorch_metric_learning", "losses"), ("nearfield.losses", "pml")):
        names: dict[str, Any] = {}
        exec(LOOP.format(source=source, name=name), names)
        found.append(names["values"])
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0][-1] < found[0][0]


def test_half_precision_is_computed_in_single() -> None:
    embeddings, labels, refs, ref_labels = next(batches(1, torch.float32))
    for name in pml.__all__:
        loss = getattr(pml, name)()
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(embeddings.half(), labels, ref_emb=refs.half(), ref_labels=ref_labels)
        assert value.dtype == torch.float32
        assert torch.equal(
            value, loss(embeddings.half().float(), labels, None, refs.half().float(), ref_labels)
        )


@pytest.mark.parametrize(
    ("name", "chosen", "message"),
    [
        (
            "TripletMarginLoss",
            {"distance": distances.LpDistance(p=1)},
            "TripletMarginLoss: the distance LpDistance(p=1, power=1, normalize_embeddings=True) is not "
            "supported. Use LpDistance with p=2 and power 1 or 2, or CosineSimilarity; or the loss "
            "from pytorch_metric_learning.losses.",
        ),
        (
            "ContrastiveLoss",
            {"distance": distances.SNRDistance()},
            "ContrastiveLoss: the distance SNRDistance(p=2, power=1, normalize_embeddings=True) is not "
            "supported. Use LpDistance with p=2 and power 1 or 2, or CosineSimilarity; or the loss "
            "from pytorch_metric_learning.losses.",
        ),
        (
            "NTXentLoss",
            {"distance": distances.LpDistance()},
            "NTXentLoss: only cosines are supported. Given: LpDistance(p=2, power=1, "
            "normalize_embeddings=True). Use CosineSimilarity, or the loss from "
            "pytorch_metric_learning.losses.",
        ),
        (
            "SupConLoss",
            {"reducer": reducers.MeanReducer()},
            "SupConLoss: the reducer MeanReducer is not supported. Use AvgNonZeroReducer, or the "
            "loss from pytorch_metric_learning.losses.",
        ),
        (
            "TripletMarginLoss",
            {"reducer": reducers.SumReducer()},
            "TripletMarginLoss: the reducer SumReducer is not supported. Use AvgNonZeroReducer or "
            "MeanReducer, or the loss from pytorch_metric_learning.losses.",
        ),
        (
            "TripletMarginLoss",
            {"triplets_per_anchor": 5},
            "TripletMarginLoss: triplets_per_anchor must be 'all'. Given: 5. Leave it out, because all "
            "triplets take little time here; or pass the triplets of a miner as indices_tuple.",
        ),
        (
            "CircleLoss",
            {"collect_stats": True},
            "CircleLoss: collect_stats is not supported. Call inner.forward_with_metrics(vectors, pairs) "
            "for metrics, or use the loss from "
            "pytorch_metric_learning.losses.",
        ),
        (
            "ContrastiveLoss",
            {"distance": distances.CosineSimilarity()},
            "ContrastiveLoss: with CosineSimilarity the margins are similarities: pos_margin, at most 1, is "
            "the target of positives and neg_margin, less than 1, that of negatives. Given: 0 and 1. "
            "Usual are pos_margin=1, neg_margin=0.",
        ),
        (
            "TripletMarginLoss",
            {"margin": 0},
            "TripletMarginLoss: margin: input should be greater than 0. Given: 0.",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(name: str, chosen: dict[str, Any], message: str) -> None:
    getattr(losses, name)(**chosen)  # the library takes it
    with pytest.raises(RequestError) as caught:
        getattr(pml, name)(**chosen)
    assert str(caught.value) == message


def test_a_call_that_says_nothing_is_refused() -> None:
    embeddings = torch.randn(4, 3)
    with pytest.raises(RequestError, match="Labels are needed without indices_tuple"):
        pml.CircleLoss()(embeddings)
    index = torch.tensor([0])
    with pytest.raises(RequestError, match=r"must be 3 tensors .* or 4 .*\. Given: 2\."):
        pml.CircleLoss()(embeddings, indices_tuple=(index, index))
    with pytest.raises(RequestError, match="a pair is both positive and negative"):
        pml.CircleLoss()(embeddings, indices_tuple=(index, index + 1, index, index + 1))
    with pytest.raises(TypeError, match="unexpected keyword argument 'marign'"):
        pml.TripletMarginLoss(marign=0.3)


def test_further_losses_are_the_librarys() -> None:
    assert pml.ProxyAnchorLoss is losses.ProxyAnchorLoss
    with pytest.raises(AttributeError, match="NoSuchLoss"):
        pml.NoSuchLoss  # noqa: B018
    assert importlib.import_module("nearfield.losses.pml") is pml
    assert repr(pml.TripletMarginLoss()).startswith("TripletMarginLoss(")
