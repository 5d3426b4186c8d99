"""Checks, before training, whether vectors of unit length can satisfy a margin."""

import math
from typing import Any, TypeVar

from nearfield.core.errors import RequestError
from nearfield.core.settings import make
from nearfield.core.types import Distance
from nearfield.learning.losses.settings import BaseLossSettings, Margin

Chosen = TypeVar("Chosen", bound=BaseLossSettings)

# On the unit sphere, the largest Euclidean distance is 2, the largest squared one 4, and the largest cosine
# distance (1 - cos) 2. Only two points can be that far apart. The largest distance that many classes can have
# from each other at the same time is the square root of 2, 2 and 1; for C classes it is C / (C - 1) times
# larger in squared and in cosine distance (the corners of a simplex).

SPANS: dict[Distance, float] = {"euclidean": 2.0, "squared_euclidean": 4.0, "cosine": 2.0}
"""Largest distance of two vectors of unit length."""

_WORDS = {"euclidean": "Euclidean", "squared_euclidean": "squared Euclidean", "cosine": "cosine"}


def check_margin(loss: BaseLossSettings, normalized: bool, classes: int = 0) -> str | None:
    """Checks whether vectors of unit length can satisfy the margins of a loss.

    Parameters
    ----------
    loss
        Settings of the loss.
    normalized
        Whether vectors have unit length; if not, only margins over cosines are checked.
    classes
        Number of classes to be separated; 0: unknown.

    Returns
    -------
    str or None
        A warning if so many classes cannot satisfy a margin, or if the settings allow an impossible one.

    Raises
    ------
    RequestError
        If no vectors can satisfy a margin, unless the settings have `allow_impossible_margin`.
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
    """Computes the largest distance that all pairs of `classes` points (2 or more) on the unit sphere can
    have.

    Valid in `classes` - 1 or more dimensions.
    """
    squared = 2 * classes / (classes - 1)
    return {"squared_euclidean": squared, "euclidean": math.sqrt(squared), "cosine": squared / 2}[distance]


def _impossible(margin: Margin) -> str | None:
    key, value, span = margin.key, margin.value, SPANS[margin.distance]
    if margin.sort == "circle":
        if value < 1:
            return None
        return (
            f"loss.{key}: every embedding satisfies {value:g}. The circle loss is satisfied inside the "
            f"circle s_n^2 + (1 - s_p)^2 = 2 m^2 of cosines, so a smaller {key} is stricter, unlike the "
            f"margin of the triplet loss. Use more than 0 and less than 1; 0.25 and 0.4 are usual."
        )
    if value < span:
        return None
    ends = f"the largest {_WORDS[margin.distance]} distance of vectors of unit length is {span:g}"
    if margin.sort == "together":
        return f"loss.{key}: every embedding satisfies {value:g}: {ends}. Use less than {span:g}; 0 is usual."
    many = {"euclidean": 1.4, "squared_euclidean": 2.0, "cosine": 1.0}[margin.distance]
    return (
        f"loss.{key}: no vectors can satisfy {value:g}: {ends}. Use less than {span:g}; "
        f"{many:g} is about the largest distance that many classes can have from each other."
    )


def _crowded(margin: Margin, classes: int) -> str | None:
    if margin.sort != "apart" or classes < 2 or margin.value < max_separation(margin.distance, classes):
        return None
    return (
        f"loss.{margin.key}: {margin.value:g} is more than {classes} classes can have from each other on the "
        f"unit sphere (at most {max_separation(margin.distance, classes):.3g} in "
        f"{_WORDS[margin.distance]} distance), so the loss cannot reach 0."
    )


def _way_out(margin: Margin) -> str:
    if margin.allows_impossible is None:
        return ""
    return " To train anyway, for example to repeat a study, set loss.allow_impossible_margin to true."


def checked(settings: type[Chosen], **given: Any) -> Chosen:
    """Creates and checks the settings of a loss; errors name keys as in a recipe.

    Raises RequestError if a value is out of range or no vectors can satisfy a margin over cosines.
    """
    made: Chosen = make(settings, "loss", given)
    check_margin(made, normalized=False)
    return made
