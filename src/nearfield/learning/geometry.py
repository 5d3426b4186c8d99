"""What vectors of unit length can satisfy at all: margins beyond the geometry are found before training.

On the unit sphere Euclidean distances end at 2, squared ones at 4, cosine distances (1 - cos) at 2, whatever
is learnt. Only two points can be that far apart: many classes keep at most the square root of 2, 2 and 1 from
each other all at once, C classes C / (C - 1) times as much in square and cosine (the corners of a simplex).
"""

import math
from dataclasses import dataclass

from nearfield.core.errors import RequestError
from nearfield.core.nouns import Distance
from nearfield.core.settings import Settings
from nearfield.learning.losses.circle import Circle
from nearfield.learning.losses.contrastive import Contrastive
from nearfield.learning.losses.library import Library, usual
from nearfield.learning.losses.triplet import Triplet

SPANS: dict[Distance, float] = {"euclidean": 2.0, "squared_euclidean": 4.0, "cosine": 2.0}
"""The largest distance of two vectors of unit length."""

_WORDS = {"euclidean": "Euclidean", "squared_euclidean": "squared Euclidean", "cosine": "cosine"}
_LIBRARY = {
    ("TripletMarginLoss", "margin"): "apart",
    ("ContrastiveLoss", "pos_margin"): "together",
    ("ContrastiveLoss", "neg_margin"): "apart",
    ("CircleLoss", "m"): "circle",
}


@dataclass(frozen=True)
class _Margin:
    """A margin to judge: its key, its value, what it is of, and the distance it is measured in."""

    key: str
    value: float
    sort: str
    distance: Distance


def check_margin(loss: Settings, normalised: bool, classes: int = 0) -> str | None:
    """A warning in words, or None where the settings of `loss` ask for something that can be had.

    `normalised`: whether vectors have unit length; without it only losses over cosines can be judged.
    `classes` (0: not known) is how many must keep their distance from each other. Raises RequestError where
    nothing could ever satisfy a margin, unless the settings have `allow_impossible_margin`.
    """
    warnings: list[str] = []
    for margin in _margins(loss):
        if not normalised and margin.distance != "cosine" and not isinstance(loss, Library):
            continue
        impossible = _impossible(margin)
        if impossible and not getattr(loss, "allow_impossible_margin", False):
            raise RequestError(impossible + _way_out(loss))
        crowded = None if impossible else _crowded(margin, classes)
        warnings += [found for found in (impossible, crowded) if found]
    return " ".join(warnings) or None


def room(distance: Distance, classes: int) -> float:
    """How far so many classes (2 or more) can keep from each other on the unit sphere, all at once.

    In enough dimensions (classes - 1).
    """
    squared = 2 * classes / (classes - 1)
    return {"squared_euclidean": squared, "euclidean": math.sqrt(squared), "cosine": squared / 2}[distance]


def _margins(loss: Settings) -> list[_Margin]:
    if isinstance(loss, Triplet):
        return [_Margin("margin", loss.margin, "apart", loss.distance)]
    if isinstance(loss, Contrastive):
        return [
            _Margin("pos_margin", loss.pos_margin, "together", loss.distance),
            _Margin("neg_margin", loss.neg_margin, "apart", loss.distance),
        ]
    if isinstance(loss, Circle):
        return [_Margin("m", loss.m, "circle", "cosine")]
    if not isinstance(loss, Library):
        return []
    return [
        _Margin(key, float(usual(loss, key)), sort, loss.distance or "euclidean")
        for (kind, key), sort in _LIBRARY.items()
        if kind == loss.kind
    ]


def _impossible(margin: _Margin) -> str | None:
    key, value, span = margin.key, margin.value, SPANS[margin.distance]
    if margin.sort == "circle":
        if value < 1:
            return None
        return (
            f"loss.{key}: {value:g} asks for nothing. A circle loss is satisfied inside the circle "
            f"s_n^2 + (1 - s_p)^2 = 2 m^2 of cosines, so a smaller {key} is stricter, the opposite of a "
            f"triplet's margin. Use more than 0 and less than 1; 0.25 and 0.4 are usual."
        )
    if value < span:
        return None
    ends = f"{_WORDS[margin.distance]} distances of vectors of unit length end at {span:g}"
    if margin.sort == "together":
        return f"loss.{key}: {value:g} asks for nothing: {ends}. Use less than {span:g}; 0 is usual."
    many = {"euclidean": 1.4, "squared_euclidean": 2.0, "cosine": 1.0}[margin.distance]
    return (
        f"loss.{key}: no vectors can satisfy {value:g}: {ends}. Use less than {span:g}; "
        f"{many:g} is about the most that many classes can keep from each other all at once."
    )


def _crowded(margin: _Margin, classes: int) -> str | None:
    if margin.sort != "apart" or classes < 2 or margin.value < room(margin.distance, classes):
        return None
    return (
        f"loss.{margin.key}: {margin.value:g} is more than {classes} classes can keep from each other on the "
        f"unit sphere all at once ({room(margin.distance, classes):.3g} in {_WORDS[margin.distance]} "
        "distance): the loss cannot come to rest."
    )


def _way_out(loss: Settings) -> str:
    if isinstance(loss, Library):
        return ""
    return " To train all the same, as in repeating a study, set loss.allow_impossible_margin to true."
