"""The loss on batches that stay the same through a training, with its miner and without.

A training loss is taken over what the miner kept of batches that change; a loss on other clips is often taken
over all pairs. The two numbers then differ whatever was learnt. Here both are taken over the same batches,
on any clips: what is left between training and validation clips is not the miner's doing.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice

import torch
from torch import Tensor

from nearfield.core.nouns import Draw, Pairs, Vectors
from nearfield.core.seeds import torch_stream
from nearfield.learning.losses.base import PairLoss
from nearfield.learning.miners.base import Miner
from nearfield.learning.samplers import Sampler


class FixedLoss:
    """The first batches of a sampler, kept; `measure` says what the loss of their clips' vectors is."""

    def __init__(
        self,
        sampler: Sampler,
        relation: Callable[[Draw], Pairs],
        miner: Miner,
        loss: PairLoss,
        batches: int = 20,
    ) -> None:
        """`sampler` is built over the rows to measure on; its seed fixes the batches.

        `loss` is the one that trains, so that weights of its own are as trained; it is never changed.
        """
        self.draws = list(
            islice((_alone(draw) for number in count() for draw in sampler.epoch(number)), max(1, batches))
        )
        self.relation, self.miner, self.loss = relation, miner, loss

    def measure(self, vectors: Vectors | Tensor) -> dict[str, float]:
        """`mined` and `unmined`: means over the batches, for the vectors (N, D) of all clips of the table.

        Windows of one clip have the clip's vector. What a miner draws by chance is the same each time.
        """
        given = torch.as_tensor(vectors)
        return self.over(lambda draw, pairs: given[torch.from_numpy(draw.rows)])

    def over(self, embed: Callable[[Draw, Pairs], Tensor]) -> dict[str, float]:
        """The same for the vectors (B, D) that `embed` gives of the windows of each batch."""
        sums = {"mined": 0.0, "unmined": 0.0}
        loss: PairLoss | None = None
        for number, draw in enumerate(self.draws):
            pairs = draw.pairs or self.relation(draw)
            vectors = embed(draw, pairs)
            loss = loss or copy.deepcopy(self.loss).to(vectors.device)
            found = fixed_loss(vectors, pairs, loss, self.miner, torch_stream(0, "fixed loss", number))
            sums = {name: sums[name] + found[name] for name in sums}
        return {name: total / len(self.draws) for name, total in sums.items()}


def _alone(draw: Draw) -> Draw:
    """Every clip by itself: there are no vectors of mixtures."""
    return replace(draw, beside=None)


def fixed_loss(
    vectors: Tensor, pairs: Pairs, loss: PairLoss, miner: Miner, generator: torch.Generator
) -> dict[str, float]:
    """The loss of one batch (B, D), `mined` by the miner and `unmined`, over all `pairs`; no gradient.

    A loss that remembers batches is left as it was.
    """
    with torch.no_grad():
        whole = pairs.to(vectors.device)
        both = {"mined": miner(vectors, whole, generator), "unmined": whole}
        return {name: float(copy.deepcopy(loss)(vectors, kept)) for name, kept in both.items()}
