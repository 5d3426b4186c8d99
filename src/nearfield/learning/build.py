"""One part from its kind and settings: `loss("triplet", margin=0.2)(vectors, pairs)`."""

from typing import Any

import torch
from torch import nn

from nearfield.core.settings import make
from nearfield.learning.losses import LossSettings, PairLoss
from nearfield.learning.losses.margins import check_margin
from nearfield.learning.losses.settings import BaseLossSettings
from nearfield.learning.miners import Miner, MinerSettings
from nearfield.learning.miners.base import BaseMinerSettings
from nearfield.learning.optimizers import OptimizerSettings


def loss(kind: str, *, size: int = 0, classes: int = 0, **settings: Any) -> PairLoss:
    """A loss over (vectors (B, D), `Pairs` or (B,) labels).

    One of Nearfield's by kind, or one of pytorch-metric-learning by class name. `size` (D) and `classes` are
    needed by losses that keep weights for each class. Raises RequestError for an unknown kind or setting, and
    for a margin over cosines that nothing can satisfy.
    """
    made = make(LossSettings, "loss", {"kind": kind, **settings})
    check_margin(made, normalized=False)
    built: PairLoss = made.build(size, classes)
    return built


def miner(kind: str, **settings: Any) -> Miner:
    """A miner over (vectors (B, D), `Pairs` or (B,) labels) that gives `Pairs`.

    What is not given is euclidean and, for a margin, 0.2. Raises RequestError for an unknown kind or setting.
    """
    built: Miner = make(MinerSettings, "miner", {"kind": kind, **settings}).build()
    return built


def optimizer(kind: str, module: nn.Module, **settings: Any) -> torch.optim.Optimizer:
    """An optimizer over the parameters of `module` that want gradients.

    Raises RequestError for an unknown kind or setting.
    """
    made = make(OptimizerSettings, "optimizer", {"kind": kind, **settings})
    built: torch.optim.Optimizer = made.build(list(module.named_parameters()))
    return built


def miner_beside(miner: BaseMinerSettings, loss: BaseLossSettings) -> Miner:
    """The miner of some settings, with the loss's distance and margin where they leave them open."""
    margin = loss.triplet_margin
    return miner.build(loss.distance or "euclidean", 0.2 if margin is None else margin)
