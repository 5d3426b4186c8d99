"""Losses as classes, for your own training loop: `losses.Triplet(margin=0.3)(vectors, labels)`.

Equivalent to `nearfield.loss("triplet", margin=0.3)`, with a signature that editors can complete.
`AutogradLoss` is the base of losses written as one method, `PairLoss` the base of all losses.
`nearfield.losses.pml` provides six losses with the names and arguments of pytorch-metric-learning. The list
of losses is in `nearfield.learning.losses`.
"""

from nearfield.learning import losses as _list
from nearfield.learning.losses import *  # noqa: F403

__all__: list[str] = []
__all__ += _list.__all__
