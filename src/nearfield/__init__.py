"""Nearfield learns spaces of sound in which near means alike.

The front door: names are loaded when they are first asked for, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearfield.app.estimator import Embedder as Embedder
    from nearfield.core.nouns import Pairs as Pairs
    from nearfield.data.collection import Collection as Collection
    from nearfield.learning.parts import loss as loss
    from nearfield.learning.parts import miner as miner
    from nearfield.learning.relations import relation as relation
    from nearfield.models.parts import backbone as backbone
    from nearfield.models.parts import feature as feature
    from nearfield.runs.api import evaluate as evaluate
    from nearfield.runs.api import train as train
    from nearfield.runs.recipe import Recipe as Recipe
    from nearfield.runs.run import Run as Run
    from nearfield.space.space import Space as Space
    from nearfield.study.run import Study as Study

_HOMES = {
    "Collection": "nearfield.data.collection",
    "Embedder": "nearfield.app.estimator",
    "Pairs": "nearfield.core.nouns",
    "Recipe": "nearfield.runs.recipe",
    "Run": "nearfield.runs.run",
    "Space": "nearfield.space.space",
    "Study": "nearfield.study.run",
    "backbone": "nearfield.models.parts",
    "evaluate": "nearfield.runs.api",
    "feature": "nearfield.models.parts",
    "loss": "nearfield.learning.parts",
    "miner": "nearfield.learning.parts",
    "relation": "nearfield.learning.relations",
    "train": "nearfield.runs.api",
}

__all__ = [
    "Collection",
    "Embedder",
    "Pairs",
    "Recipe",
    "Run",
    "Space",
    "Study",
    "backbone",
    "evaluate",
    "feature",
    "loss",
    "miner",
    "relation",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nearfield' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
