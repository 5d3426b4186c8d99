"""What vectors of unit length can satisfy at all: margins beyond the geometry are found before training."""

import math
from typing import Any, TypeVar

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import Distance
from nearfield.learning.losses.settings import BaseLossSettings, Margin

Chosen = TypeVar("Chosen", bound=BaseLossSettings)

# On the unit sphere Euclidean distances end at 2, squared ones at 4, cosine distances (1 - cos) at 2,
# whatever is learnt. Only two points can be that far apart: many classes keep at most the square root of 2,
# 2 and 1 from each other all at once, C classes C / (C - 1) times as much in square and cosine (the corners
# of a simplex).

SPANS: dict[Distance, float] = {"euclidean": 2.0, "squared_euclidean": 4.0, "cosine": 2.0}
"""The largest distance of two vectors of unit length."""

_WORDS = {"euclidean": "Euclidean", "squared_euclidean": "squared Euclidean", "cosine": "cosine"}


def check_margin(loss: BaseLossSettings, normalized: bool, classes: int = 0) -> str | None:
    """A warning in words, or None where the settings of `loss` ask for something that can be had.

    `normalized`: whether vectors have unit length; without it only losses over cosines can be judged.
    `classes` (0: not known) is how many must keep their distance from each other. Raises RequestError where
    nothing could ever satisfy a margin, unless the settings have `allow_impossible_margin`.
    """
    warnings: list[str] = []
    for margin in loss.margins():
        if not (normalized or margin.unit_length or margin.distance == "cosine"):
            continue
        impossible = _impossible(margin)
        if impossible and not margin.allows_impossible:
            raise RequestError(impossible + _way_out(margin))
        crowded = None if impossible else _crowded(margin, classes)
        warnings += [found for found in (impossible, crowded) if found]
    return " ".join(warnings) or None


def max_separation(distance: Distance, classes: int) -> float:
    """How far so many classes (2 or more) can keep from each other on the unit sphere, all at once.

    In enough dimensions (classes - 1).
    """
    squared = 2 * classes / (classes - 1)
    return {"squared_euclidean": squared, "euclidean": math.sqrt(squared), "cosine": squared / 2}[distance]


def _impossible(margin: Margin) -> str | None:
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


def _crowded(margin: Margin, classes: int) -> str | None:
    if margin.sort != "apart" or classes < 2 or margin.value < max_separation(margin.distance, classes):
        return None
    return (
        f"loss.{margin.key}: {margin.value:g} is more than {classes} classes can keep from each other on the "
        f"unit sphere all at once ({max_separation(margin.distance, classes):.3g} in "
        f"{_WORDS[margin.distance]} distance): the loss cannot come to rest."
    )


def _way_out(margin: Margin) -> str:
    if margin.allows_impossible is None:
        return ""
    return " To train all the same, as in repeating a study, set loss.allow_impossible_margin to true."


def checked(settings: type[Chosen], **given: Any) -> Chosen:
    """The settings of a loss that is made by its class, refused in the words of a recipe.

    Raises RequestError for a value out of range, and for a margin over cosines that nothing can satisfy.
    """
    made: Chosen = make(settings, "loss", given)
    check_margin(made, normalized=False)
    return made
