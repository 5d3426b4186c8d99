"""Margins that no vectors can satisfy are refused, with the largest sensible value."""

from typing import Any

import pytest
import torch
from torch.nn.functional import normalize

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import Distance
from nearfield.learning.build import loss
from nearfield.learning.distances import PairwiseDistances
from nearfield.learning.losses import LossSettings
from nearfield.learning.losses.margins import SPANS, check_margin, max_separation


def chosen(**given: Any) -> Any:
    return make(LossSettings, "loss", given)


@pytest.mark.parametrize("distance", list(SPANS))
def test_the_span_is_that_of_opposite_points(distance: Distance) -> None:
    ends = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    points = PairwiseDistances(ends, distance)
    assert points.distances(slice(0, 1))[0, 1].item() == pytest.approx(SPANS[distance])


@pytest.mark.parametrize("distance", list(SPANS))
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_room_is_that_of_a_simplex(distance: Distance, classes: int) -> None:
    corners = torch.eye(classes, dtype=torch.float64)
    points = PairwiseDistances(normalize(corners - corners.mean(0)), distance)
    assert points.distances(slice(0, 1))[0, 1].item() == pytest.approx(max_separation(distance, classes))


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "triplet", "margin": 0.2},
        {"kind": "triplet", "margin": 3.99, "distance": "squared_euclidean"},
        {"kind": "triplet", "margin": 1.99, "distance": "cosine"},
        {"kind": "contrastive"},
        {"kind": "circle", "m": 0.99},
        {"kind": "nt_xent"},
        {"kind": "TripletMarginLoss", "margin": 1.9},
        {"kind": "NCALoss"},
    ],
)
def test_what_can_be_had_is_let_through(given: dict[str, Any]) -> None:
    assert check_margin(chosen(**given), normalized=True) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"kind": "triplet", "margin": 10, "distance": "squared_euclidean"},
            "loss.margin: no vectors can satisfy 10: the largest squared Euclidean distance of vectors of "
            "unit length is 4. Use less than 4; 2 is about the largest distance that many classes can have "
            "from each other. To train anyway, for example to repeat a study, set "
            "loss.allow_impossible_margin to "
            "true.",
        ),
        (
            {"kind": "triplet", "margin": 2},
            "loss.margin: no vectors can satisfy 2: the largest Euclidean distance of vectors of unit "
            "length is 2. Use less than 2; 1.4 is about the largest distance that many classes can have "
            "from each other. "
            "To train anyway, for example to repeat a study, set loss.allow_impossible_margin to true.",
        ),
        (
            {"kind": "contrastive", "pos_margin": 2.5},
            "loss.pos_margin: every embedding satisfies 2.5: the largest Euclidean distance of vectors of "
            "unit length is 2. "
            "Use less than 2; 0 is usual. To train anyway, for example to repeat a study, set "
            "loss.allow_impossible_margin to true.",
        ),
        (
            {"kind": "circle", "m": 1.2},
            "loss.m: every embedding satisfies 1.2. The circle loss is satisfied inside the circle "
            "s_n^2 + (1 - s_p)^2 = 2 m^2 of cosines, so a smaller m is stricter, unlike the margin of the "
            "triplet loss. Use more than 0 and less than 1; 0.25 and 0.4 are usual. To train anyway, for "
            "example to repeat a study, set loss.allow_impossible_margin to true.",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        check_margin(chosen(**given), normalized=True)
    assert str(caught.value) == message
    allowed = check_margin(chosen(**given, allow_impossible_margin=True), normalized=True)
    assert allowed is not None
    assert message.startswith(allowed)


@pytest.mark.parametrize(
    "given",
    [
        {"kind": "contrastive", "neg_margin": 2.0},
        {"kind": "TripletMarginLoss", "margin": 2.0},
        {"kind": "ContrastiveLoss", "neg_margin": 2.5},
        {"kind": "CircleLoss", "m": 1.0},
    ],
)
def test_the_library_and_pairs_are_judged_as_well(given: dict[str, Any]) -> None:
    with pytest.raises(RequestError, match=r"loss\.(margin|neg_margin|m): "):
        check_margin(chosen(**given), normalized=True)


def test_without_unit_length_only_cosines_are_judged() -> None:
    assert check_margin(chosen(kind="triplet", margin=10), normalized=False) is None
    assert check_margin(chosen(kind="contrastive", neg_margin=10), normalized=False) is None
    with pytest.raises(RequestError, match="the largest cosine distance of vectors of unit length is 2"):
        check_margin(chosen(kind="triplet", margin=2, distance="cosine"), normalized=False)
    with pytest.raises(RequestError, match="a smaller m is stricter"):
        loss("circle", m=1.0)
    with pytest.raises(RequestError, match="Euclidean distance"):  # the library makes unit vectors itself
        check_margin(chosen(kind="TripletMarginLoss", margin=2), normalized=False)


def test_more_classes_than_have_room_are_a_warning() -> None:
    strict = chosen(kind="triplet", margin=2.5, distance="squared_euclidean")
    assert check_margin(strict, normalized=True) is None
    assert check_margin(strict, normalized=True, classes=4) is None  # a tetrahedron: 8 / 3
    assert check_margin(strict, normalized=True, classes=10) == (
        "loss.margin: 2.5 is more than 10 classes can have from each other on the unit sphere (at most 2.22 "
        "in squared Euclidean distance), so the loss cannot reach 0."
    )
