"""The tagging losses against torch's cross-entropy, the focal formula in plain loops, and their laws."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import Batch, BatchIndices, Pairs
from nearfield.learning.build import loss
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.tagging import BCELoss, BCESettings, TaggingLoss
from nearfield.learning.train import TrainSettings, TrainState, train

EVERY: list[dict[str, Any]] = [
    {"kind": "bce"},
    {"kind": "bce", "class_weights": "balanced"},
    {"kind": "focal"},
    {"kind": "focal", "gamma": 0.5, "alpha": 0.25},
]
SHARES = torch.tensor([0.5, 0.1, 0.9, 0.0, 1.0])


def built(given_settings: dict[str, Any], seed: int = 0) -> TaggingLoss:
    """A loss over vectors of 4 numbers and 5 tags, in double precision."""
    torch.manual_seed(seed)
    made: TaggingLoss = make(LossSettings, "loss", given_settings).build(4, 5).double()
    if isinstance(made, BCELoss):
        made.see_frequencies(SHARES)
    return made


def pairs_of(tags: Tensor) -> Pairs:
    ignore = torch.zeros(len(tags), len(tags), dtype=torch.bool)
    return Pairs(ignore, ignore, tags=tags)


def batch(size: int = 12, seed: int = 0, unknown: tuple[int, ...] = ()) -> tuple[Tensor, Pairs]:
    rng = torch.Generator().manual_seed(seed)
    vectors = torch.randn(size, 4, generator=rng, dtype=torch.float64)
    tags = (torch.rand(size, 5, generator=rng) < 0.4).float()
    tags[list(unknown)] = torch.nan
    return vectors, pairs_of(tags)


def gradients(ours: TaggingLoss, value: Tensor, vectors: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(value, [vectors, *ours.parameters()]))


def focal_by_hand(
    ours: TaggingLoss, vectors: Tensor, tags: Tensor, gamma: float, alpha: float | None
) -> float:
    """-alpha_t (1 - p_t)^gamma log p_t in plain loops."""
    costs: list[float] = []
    for clip, has in zip(vectors.tolist(), tags.tolist(), strict=True):
        if math.isnan(has[0]):
            continue
        for tag in range(5):
            weights, offset = ours.tags.weight[tag].tolist(), ours.tags.bias[tag].item()
            rng = 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, clip, strict=True)) - offset))
            right = rng if has[tag] else 1 - rng
            weight = 1.0 if alpha is None else alpha if has[tag] else 1 - alpha
            costs.append(-weight * (1 - right) ** gamma * math.log(right))
    return sum(costs) / len(costs)


@pytest.mark.parametrize("balanced", [False, True])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), size=st.integers(1, 20))
def test_bce_equals_torch_in_value_and_every_gradient(balanced: bool, seed: int, size: int) -> None:
    ours = built({"kind": "bce", "class_weights": "balanced" if balanced else "none"}, seed)
    vectors, pairs = batch(size, seed)
    vectors.requires_grad_()
    weight = torch.tensor([1.0, 9.0, 1 / 9, 1.0, 1.0]) if balanced else None
    assert pairs.tags is not None
    wanted = binary_cross_entropy_with_logits(ours.logits(vectors), pairs.tags.double(), pos_weight=weight)
    value = ours(vectors, pairs)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-6)
    for found, slope in zip(gradients(ours, value, vectors), gradients(ours, wanted, vectors), strict=True):
        torch.testing.assert_close(found, slope, rtol=1e-6, atol=1e-8)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    gamma=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]),
    alpha=st.sampled_from([None, 0.25, 0.9]),
)
def test_focal_equals_its_formula(seed: int, gamma: float, alpha: float | None) -> None:
    ours = built({"kind": "focal", "gamma": gamma, "alpha": alpha}, seed)
    vectors, pairs = batch(9, seed, unknown=(2, 7))
    assert pairs.tags is not None
    wanted = focal_by_hand(ours, vectors, pairs.tags, gamma, alpha)
    assert ours(vectors, pairs).item() == pytest.approx(wanted, rel=1e-9)


def test_focal_without_gamma_and_alpha_is_bce() -> None:
    focal, bce = built({"kind": "focal", "gamma": 0}), built({"kind": "bce"})
    bce.tags.load_state_dict(focal.tags.state_dict())
    vectors, pairs = batch()
    vectors.requires_grad_()
    one, other = focal(vectors, pairs), bce(vectors, pairs)
    assert one.item() == pytest.approx(other.item(), rel=1e-12)
    for found, slope in zip(gradients(focal, one, vectors), gradients(bce, other, vectors), strict=True):
        torch.testing.assert_close(found, slope)


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_the_gradients_are_the_derivatives_of_vectors_and_head(given_settings: dict[str, Any]) -> None:
    ours = built(given_settings)
    vectors, pairs = batch(6, unknown=(3,))
    assert torch.autograd.gradcheck(lambda v: ours(v, pairs), (vectors.clone().requires_grad_(),))

    def of(weight: Tensor, bias: Tensor) -> Tensor:
        called = {"tags.weight": weight, "tags.bias": bias}
        value: Tensor = torch.func.functional_call(ours, called, (vectors, pairs))
        return value

    head = [parameter.detach().clone().requires_grad_() for parameter in ours.parameters()]
    assert torch.autograd.gradcheck(of, tuple(head))


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_a_head_ever_so_sure_stays_finite(given_settings: dict[str, Any]) -> None:
    ours = built(given_settings).float()
    vectors, pairs = batch()
    large = (vectors * 1e6).float().requires_grad_()
    value = ours(large, pairs)
    assert torch.isfinite(value)
    assert all(torch.isfinite(slope).all() for slope in gradients(ours, value, large))
    right = ours(torch.zeros(12, 4), pairs)
    assert value > right > 0


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_clips_of_unknown_tags_take_no_part(given_settings: dict[str, Any]) -> None:
    ours = built(given_settings)
    vectors, pairs = batch(unknown=(0, 5, 6))
    kept = [1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert pairs.tags is not None
    value, parts = ours.forward_with_metrics(vectors.requires_grad_(), pairs)
    wanted, others = ours.forward_with_metrics(vectors[kept], pairs_of(pairs.tags[kept]))
    assert value.item() == pytest.approx(wanted.item())
    for name in others:
        assert parts[name].item() == pytest.approx(others[name].item())
    slopes = gradients(ours, value, vectors)
    assert not slopes[0][[0, 5, 6]].any()
    assert slopes[0][kept].any(1).all()
    nothing, parts = ours.forward_with_metrics(vectors, pairs_of(torch.full((12, 5), torch.nan)))
    assert nothing.item() == 0
    assert not any(part.item() for part in parts.values())
    assert not any(slope.any() for slope in gradients(ours, nothing, vectors))


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_parts_are_those_of_loops(given_settings: dict[str, Any]) -> None:
    ours = built(given_settings)
    vectors, pairs = batch(unknown=(1,))
    assert pairs.tags is not None
    probabilities = ours.logits(vectors).sigmoid()
    cells = [(r, k) for r in range(12) for k in range(5) if r != 1]
    has = {cell: bool(pairs.tags[cell]) for cell in cells}
    parts = ours.forward_with_metrics(vectors, pairs)[1]
    wrong = [(probabilities[cell] < 0.5) if has[cell] else (probabilities[cell] > 0.5) for cell in cells]
    assert parts["active_fraction"].item() == pytest.approx(sum(map(bool, wrong)) / len(cells))
    for name, sort in (("positive_probability", True), ("negative_probability", False)):
        held = [probabilities[cell].item() for cell in cells if has[cell] == sort]
        assert parts[name].item() == pytest.approx(sum(held) / len(held))
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_coarse_arithmetic_outside_does_not_reach_the_loss(given_settings: dict[str, Any]) -> None:
    ours = built(given_settings).float()
    vectors, pairs = batch()
    plain = ours(vectors.float(), pairs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours(vectors.float(), pairs), plain)
    half = vectors.half()
    assert torch.equal(ours(half, pairs), ours(half.float(), pairs))


def test_a_vector_that_is_no_number_is_not_hidden() -> None:
    vectors, pairs = batch()
    vectors[2, 1] = torch.nan
    assert torch.isnan(built({"kind": "bce"})(vectors, pairs))


def test_balanced_weights_are_part_of_the_state_and_asked_for() -> None:
    ours = BCESettings(class_weights="balanced").build(4, 5)
    vectors, pairs = batch()
    with pytest.raises(RequestError, match=r"loss\.class_weights: balanced needs the fraction of clips"):
        ours(vectors, pairs)
    with pytest.raises(RequestError, match=r"built for 5 tags\. Given: frequencies of shape \(4,\)"):
        ours.see_frequencies(SHARES[:4])
    ours.see_frequencies(SHARES)
    again = BCESettings(class_weights="balanced").build(4, 5)
    again.load_state_dict(ours.state_dict())
    assert torch.equal(ours(vectors, pairs), again(vectors, pairs))
    even = BCESettings().build(4, 5)
    even.see_frequencies(SHARES)
    assert torch.equal(even.state_dict()["weights"], torch.ones(5))


@pytest.mark.parametrize(
    ("kind", "size", "classes", "sentence"),
    [
        ("bce", 0, 5, "loss: bce needs the dimension of the vectors. Pass size."),
        ("focal", 4, 0, "loss: focal needs the number of tags. Pass classes."),
    ],
)
def test_a_head_without_a_shape_is_refused(kind: str, size: int, classes: int, sentence: str) -> None:
    with pytest.raises(RequestError) as refused:
        loss(kind, size=size, classes=classes)
    assert str(refused.value) == sentence


def test_batches_without_tags_or_of_other_tags_are_refused() -> None:
    ours = loss("focal", size=4, classes=5)
    vectors, _ = batch()
    with pytest.raises(RequestError, match=r"loss: focal uses tags, and this batch has none\. Set relation"):
        ours(vectors, torch.arange(12))
    with pytest.raises(RequestError, match=r"built for 5 tags\. .* shape \(12, 3\); it must be \(12, 5\)"):
        ours(vectors, pairs_of(torch.zeros(12, 3)))


@pytest.mark.parametrize("given_settings", EVERY, ids=str)
def test_the_loop_trains_the_network_and_the_head(given_settings: dict[str, Any]) -> None:
    """Tags are signs of directions that the network must turn to: learnt, both have moved."""
    rng = torch.Generator().manual_seed(1)
    data = torch.randn(256, 8, generator=rng)
    tags = (data @ torch.randn(8, 5, generator=rng) > 0.5).float()
    ours = built(given_settings).float()
    model = torch.nn.Linear(8, 4)
    first = [parameter.detach().clone() for parameter in (*model.parameters(), *ours.parameters())]
    optimizer = torch.optim.Adam([*model.parameters(), *ours.parameters()], lr=0.05)
    draws = [
        BatchIndices(torch.randperm(256, generator=rng)[:64].numpy(), torch.zeros(64).numpy())
        for _ in range(150)
    ]
    parts = TrainState(
        encode=lambda batch, _: model(batch.signal),
        relation=lambda indices: pairs_of(tags[torch.from_numpy(indices.rows)]),
        miner=lambda vectors, pairs, generator: pairs,
        loss=ours,
        penalty=None,
        model=model,
        optimizer=optimizer,
        rate=lambda _: 1.0,
    )
    batches = [(indices, Batch(data[torch.from_numpy(indices.rows)], indices)) for indices in draws]
    steps = [step.measured for step in train(parts, batches, TrainSettings(updates=150), seed=0)]
    assert steps[-1]["train/loss"] < 0.5 * steps[0]["train/loss"]
    assert steps[-1]["train/positive_probability"] > steps[-1]["train/negative_probability"] + 0.3
    assert steps[-1]["train/active_fraction"] < 0.25
    moved = (*model.parameters(), *ours.parameters())
    assert all(not torch.equal(now, then) for now, then in zip(moved, first, strict=True))
