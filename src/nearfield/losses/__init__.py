"""Losses as classes, to use in a training loop of one's own: `losses.Triplet(margin=0.3)(vectors, labels)`.

The same as `nearfield.loss("triplet", margin=0.3)`, with a signature that an editor completes. `AutogradLoss`
is the base of a loss written as one method, `PairLoss` that of all; `nearfield.losses.pml` has six of them
under pytorch-metric-learning's names and call. The list is in `nearfield.learning.losses`.
"""

from nearfield.learning import losses as _list
from nearfield.learning.losses import *  # noqa: F403

__all__: list[str] = []
__all__ += _list.__all__
