"""Every loss of pytorch-metric-learning by name: built, run forwards and back, equal to one's own call."""

import dataclasses
import re
import warnings
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses
from pytorch_metric_learning.utils import loss_and_miner_utils as tuples
from torch import Tensor, nn
from torch.nn.functional import normalize

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import Pairs, TripletRange
from nearfield.learning.build import loss
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.library import LEFT_OUT, NEEDS_LABELS, READS, LibrarySettings

NEEDED: dict[str, dict[str, Any]] = {"RankedListLoss": {"margin": 0.4, "Tn": 1}}
LABELS = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3])


def batch(seed: int = 0) -> tuple[Tensor, Pairs]:
    """Twelve vectors of four classes."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(12, 8, generator=rng), Pairs.from_labels(LABELS)


def built(kind: str, **settings: Any) -> nn.Module:
    torch.manual_seed(0)
    return loss(kind, size=8, classes=4, **NEEDED.get(kind, {}), **settings)


def peer(kind: str) -> Any:
    """The same loss from the library itself, with the same first weights."""
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", "__array_wrap__", DeprecationWarning)
    needs = {
        name: number for name, number in (("num_classes", 4), ("embedding_size", 8)) if kind in NEEDS_WEIGHTS
    }
    if kind == "P2SGradLoss":
        needs = {"descriptors_dim": 8, "num_classes": 4}
    return getattr(losses, kind)(**needs, **NEEDED.get(kind, {}))


NEEDS_WEIGHTS = {
    "ArcFaceLoss",
    "CosFaceLoss",
    "LargeMarginSoftmaxLoss",
    "NormalizedSoftmaxLoss",
    "ProxyAnchorLoss",
    "ProxyNCALoss",
    "SoftTripleLoss",
    "SphereFaceLoss",
    "SubCenterArcFaceLoss",
}


def test_every_loss_of_the_library_is_listed_or_left_out_with_a_reason() -> None:
    bases = {"BaseLossWrapper", "BaseMetricLossFunction", "GenericPairLoss"}
    offered = {
        name
        for name, found in vars(losses).items()
        if isinstance(found, type) and issubclass(found, nn.Module) and name not in bases
    }
    assert offered == set(READS) | set(LEFT_OUT)


@pytest.mark.parametrize("kind", list(READS))
def test_each_runs_forwards_and_back_and_equals_the_library(kind: str) -> None:
    vectors, pairs = batch()
    leaf = vectors.clone().requires_grad_()
    value, parts = built(kind).forward_with_metrics(leaf, pairs)  # type: ignore[operator]
    value.backward()
    other = vectors.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if kind == "VICRegLoss":
            one, two = pairs.positive.triu().nonzero(as_tuple=True)
            wanted = peer(kind)(other[one], ref_emb=other[two])
        else:
            wanted = peer(kind)(other, LABELS)
    wanted.backward()
    assert value.ndim == 0
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, other.grad, atol=1e-5, rtol=1e-4)
    assert leaf.grad.abs().sum() > 0
    assert parts["alike_distance"].item() == pytest.approx(
        torch.cdist(vectors, vectors)[pairs.positive].mean().item(), rel=1e-4
    )


@pytest.mark.parametrize("kind", [kind for kind in READS if kind not in NEEDS_LABELS])
def test_these_work_from_pairs_alone(kind: str) -> None:
    vectors, pairs = batch()
    with_labels = built(kind)(vectors, pairs)
    without = built(kind)(vectors, dataclasses.replace(pairs, labels=None))
    assert torch.equal(with_labels, without)


@pytest.mark.parametrize("kind", sorted(NEEDS_LABELS))
def test_these_need_labels_and_say_so(kind: str) -> None:
    vectors, pairs = batch()
    assert "labels" in make(LossSettings, "loss", {"kind": kind, **NEEDED.get(kind, {})}).needs
    with pytest.raises(RequestError, match=rf"{kind} needs one label.*nt_xent"):
        built(kind)(vectors, dataclasses.replace(pairs, labels=None))


@pytest.mark.parametrize("kind", sorted(NEEDS_LABELS))
def test_mined_pairs_are_read_or_refused(kind: str) -> None:
    vectors, pairs = batch()
    mined = pairs.keep(torch.rand(12, 12, generator=torch.Generator().manual_seed(1)) < 0.7, pairs.negative)
    if READS[kind] == "labels only":
        with pytest.raises(RequestError, match=rf"{kind} uses labels only"):
            built(kind)(vectors, mined)
        return
    cells = (*mined.positive.nonzero(as_tuple=True), *mined.negative.nonzero(as_tuple=True))
    wanted = peer(kind)(vectors, LABELS, cells)
    assert built(kind)(vectors, mined).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_weights_for_each_class_are_parameters() -> None:
    assert [tuple(found.shape) for found in built("ProxyAnchorLoss").parameters()] == [(4, 8)]
    assert make(LossSettings, "loss", {"kind": "ProxyAnchorLoss"}).needs == {"labels", "classes"}
    assert make(LossSettings, "loss", {"kind": "NCALoss"}).needs == {"labels"}
    with pytest.raises(RequestError, match="ProxyAnchorLoss needs the number of classes"):
        loss("ProxyAnchorLoss", size=8)


def test_settings_reach_the_constructor() -> None:
    vectors, pairs = batch()
    ours = loss("MultiSimilarityLoss", alpha=3, beta=20.5, base=0.4)
    wanted = losses.MultiSimilarityLoss(alpha=3, beta=20.5, base=0.4)(vectors, LABELS)
    assert ours(vectors, pairs).item() == pytest.approx(wanted.item())
    settings = make(LossSettings, "loss", {"kind": "MultiSimilarityLoss", "alpha": 3})
    assert settings.model_dump() == {"kind": "MultiSimilarityLoss", "alpha": 3}
    assert make(LossSettings, "loss", settings.model_dump()) == settings


def test_a_gap_is_exact_for_losses_over_triplets() -> None:
    vectors, pairs = batch()
    vectors = normalize(vectors)
    mined = dataclasses.replace(pairs, triplet_range=TripletRange(0.0, 0.3, "euclidean"))
    far = torch.cdist(vectors, vectors)
    a, p, n = tuples.get_all_triplets_indices(LABELS)
    kept = (far[a, n] - far[a, p] > 0) & (far[a, n] - far[a, p] <= 0.3)
    wanted = losses.TripletMarginLoss(margin=0.3)(vectors, LABELS, (a[kept], p[kept], n[kept]))
    assert built("TripletMarginLoss", margin=0.3)(vectors, mined).item() == pytest.approx(wanted.item())


def test_active_fraction_is_the_share_of_losses_above_zero() -> None:
    vectors, pairs = batch()
    far = torch.cdist(normalize(vectors), normalize(vectors))
    a, p, n = tuples.get_all_triplets_indices(LABELS)
    share = (far[a, p] - far[a, n] + 0.3 > 0).float().mean().item()
    parts = built("TripletMarginLoss", margin=0.3).forward_with_metrics(vectors, pairs)[1]  # type: ignore[operator]
    assert parts["active_fraction"].item() == pytest.approx(share)


def test_why_smooth_ap_is_left_out() -> None:
    """Two classes changing places in a batch change its value; when this fails, it may come back."""
    vectors, _ = batch()
    order = torch.tensor([3, 4, 5, 0, 1, 2, 6, 7, 8, 9, 10, 11])
    one, other = losses.SmoothAPLoss()(vectors, LABELS), losses.SmoothAPLoss()(vectors[order], LABELS)
    assert abs(one - other) > 0.01


def test_strength_is_refused_where_it_would_be_dropped() -> None:
    vectors, pairs = batch()
    whole = dataclasses.replace(pairs, weight=torch.ones(12, 12))
    built("NCALoss")(vectors, whole)
    with pytest.raises(RequestError, match="NCALoss does not support weights of positive pairs"):
        built("NCALoss")(vectors, dataclasses.replace(pairs, weight=torch.full((12, 12), 0.5)))


def test_half_precision_and_autocast_are_computed_in_single() -> None:
    vectors, pairs = batch()
    half = vectors.half()
    with torch.autocast("cpu", torch.bfloat16):
        value = built("ArcFaceLoss")(half, pairs)
    assert value.item() == built("ArcFaceLoss")(half.float(), pairs).item()


def test_the_running_histogram_travels_with_the_weights() -> None:
    vectors, pairs = batch()
    first = built("DynamicSoftMarginLoss")
    for _ in range(3):
        first(vectors.requires_grad_(), pairs).backward()
    second = built("DynamicSoftMarginLoss")
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(vectors, pairs), first(vectors, pairs))


def test_looking_at_settings_draws_no_chance() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    settings = make(LossSettings, "loss", {"kind": "ProxyAnchorLoss"})
    assert isinstance(settings, LibrarySettings)
    assert settings.distance == "cosine"
    assert torch.equal(torch.rand(1), wanted)


@pytest.mark.parametrize(
    ("kind", "distance"),
    [
        ("TripletMarginLoss", "euclidean"),
        ("NCALoss", "squared_euclidean"),
        ("SupConLoss", "cosine"),
        ("NPairsLoss", None),
    ],
)
def test_its_distance_is_known_to_miners(kind: str, distance: str | None) -> None:
    assert make(LossSettings, "loss", {"kind": kind}).distance == distance


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"kind": "MultiSimilarityLoss", "alfa": 2},
            "loss: unknown key 'alfa' of MultiSimilarityLoss. Did you mean 'alpha'? "
            "Known: alpha, beta, base.",
        ),
        (
            {"kind": "MultiSimilarityLoss", "alpha": "2"},
            "loss: alpha of MultiSimilarityLoss must be a number. Given: '2'.",
        ),
        (
            {"kind": "MultiSimilarityLoss", "alpha": True},
            "loss: alpha of MultiSimilarityLoss must be a number. Given: True.",
        ),
        (
            {"kind": "TripletMarginLoss", "swap": 1},
            "loss: swap of TripletMarginLoss must be true or false. Given: 1.",
        ),
        ({"kind": "PNPLoss", "variant": 3}, "loss: variant of PNPLoss must be a word. Given: 3."),
        (
            {"kind": "RankedListLoss", "margin": 0.4},
            "loss: RankedListLoss has no default for Tn. Give a value.",
        ),
        (
            {"kind": "ArcFaceLoss", "num_classes": 3},
            "loss: num_classes is set from the data; leave it out.",
        ),
        (
            {"kind": "PNPLoss", "variant": "Q"},
            "loss: PNPLoss refuses these settings: variant=Q but must be one of "
            "['Ds', 'Dq', 'Iu', 'Ib', 'O'] Given: {'variant': 'Q'}.",
        ),
    ],
)
def test_wrong_settings_are_named(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(LossSettings, "loss", chosen)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        (
            "MultiSimilarityLos",
            "loss: unknown kind 'MultiSimilarityLos'. Did you mean 'MultiSimilarityLoss'? Known: ",
        ),
        ("s" * 100_000, f"loss: unknown kind '{'s' * 120}... (100,000 characters)'. Known: "),
        ("tripplet", "loss: unknown kind 'tripplet'. Did you mean 'triplet'? Known: "),
        ("CrossBatchMemory", "loss: CrossBatchMemory cannot be used by its name: it wraps another loss"),
    ],
)
def test_an_unknown_loss_is_told_the_nearest(kind: str, start: str) -> None:
    with pytest.raises(RequestError) as caught:
        make(LossSettings, "loss", {"kind": kind})
    assert str(caught.value).startswith(start)


@pytest.mark.parametrize("kind", ["ProxyNCALoss", "ProxyAnchorLoss", "ArcFaceLoss", "SoftTripleLoss"])
def test_a_label_beyond_the_classes_is_refused(kind: str) -> None:
    built = loss(kind, size=4, classes=3)
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    assert built(vectors, torch.tensor([0, 1, 2, 0, 1, 2])).isfinite()
    said = f"loss: {kind} was built for 3 classes with numbers up to 2. Given: a label of 3."
    with pytest.raises(RequestError, match=re.escape(said)):
        built(vectors, torch.tensor([0, 1, 2, 3, 1, 2]))
