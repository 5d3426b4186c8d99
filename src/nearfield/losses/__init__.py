"""Losses to use in a training loop of one's own; `pml` has them under pytorch-metric-learning's names."""

from nearfield.learning.losses.autograd import AutogradLoss
from nearfield.learning.losses.base import PairLoss

__all__ = ["AutogradLoss", "PairLoss"]
