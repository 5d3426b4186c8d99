"""Nearfield learns spaces of sound in which near means alike.

The front door: names are loaded when they are first asked for, so that importing the package is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nearfield import losses as losses
    from nearfield.core.types import ClipMetadata as ClipMetadata
    from nearfield.core.types import Pairs as Pairs
    from nearfield.data.collection import Collection as Collection
    from nearfield.learning.build import loss as loss
    from nearfield.learning.build import miner as miner
    from nearfield.learning.build import optimizer as optimizer
    from nearfield.learning.build import relation as relation
    from nearfield.learning.build import sampler as sampler
    from nearfield.space.space import Space as Space
    from nearfield.study.judge import judge as judge
    from nearfield.study.run import Study as Study
    from nearfield.training.api import augmentation as augmentation
    from nearfield.training.api import backbone as backbone
    from nearfield.training.api import evaluate as evaluate
    from nearfield.training.api import feature as feature
    from nearfield.training.api import train as train
    from nearfield.training.estimator import Embedder as Embedder
    from nearfield.training.recipe import Recipe as Recipe
    from nearfield.training.run import Run as Run

    __version__: str

_HOMES = {
    "ClipMetadata": "nearfield.core.types",
    "Collection": "nearfield.data.collection",
    "Embedder": "nearfield.training.estimator",
    "Pairs": "nearfield.core.types",
    "Recipe": "nearfield.training.recipe",
    "Run": "nearfield.training.run",
    "Space": "nearfield.space.space",
    "Study": "nearfield.study.run",
    "augmentation": "nearfield.training.api",
    "backbone": "nearfield.training.api",
    "evaluate": "nearfield.training.api",
    "feature": "nearfield.training.api",
    "judge": "nearfield.study.judge",
    "loss": "nearfield.learning.build",
    "miner": "nearfield.learning.build",
    "optimizer": "nearfield.learning.build",
    "relation": "nearfield.learning.build",
    "sampler": "nearfield.learning.build",
    "train": "nearfield.training.api",
}

__all__ = [
    "ClipMetadata",
    "Collection",
    "Embedder",
    "Pairs",
    "Recipe",
    "Run",
    "Space",
    "Study",
    "augmentation",
    "backbone",
    "evaluate",
    "feature",
    "judge",
    "loss",
    "losses",
    "miner",
    "optimizer",
    "relation",
    "sampler",
    "train",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # read when it is asked for: the packages' metadata are slow to open
        from importlib.metadata import version

        return version("nearfield")
    if name == "losses":
        return import_module("nearfield.losses")
    if name not in _HOMES:
        raise AttributeError(f"module 'nearfield' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
