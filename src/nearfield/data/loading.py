"""The loader: draws in, batches out, in the order of the draws whatever the number of threads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from nearfield.core.nouns import Batch, Draw, Vectors
from nearfield.data.signals import Signals
from nearfield.data.threads import in_order


@dataclass(frozen=True)
class Loader:
    """Cuts the windows that draws ask for, some batches ahead of whoever reads them.

    A window starts where the draw says, but no later than lets it lie wholly in the clip; only a clip
    shorter than the window is filled up with zeros at its end. Threads share nothing but the signals, and
    each batch is one thread's work, so batches are the same for any number of them. The threads end with
    the iteration, also where it is left early. An error in one is raised where its batch was due.
    """

    signals: Signals
    draws: Iterable[Draw]
    length: int
    """Samples (or frames) of a window."""
    workers: int = 1
    """Threads that cut; 0 cuts in the reader's own."""
    ahead: int = 4
    """Batches that may be finished or under way beyond the one being read."""

    def __iter__(self) -> Iterator[Batch]:
        # The reader's thread takes the memory: what other threads take is not kept for the next batch.
        shape = self.signals.shape(self.length)
        blanks = ((draw, np.empty((len(draw), *shape), np.float32)) for draw in self.draws)
        return in_order(self._batch, blanks, self.workers, self.ahead, "load")

    def _batch(self, blank: tuple[Draw, Vectors]) -> Batch:
        """One batch, float32 (B, *signals.shape(length))."""
        draw, out = blank
        signals, length = self.signals, self.length
        starts = np.rint(draw.starts * signals.rate).astype(np.int64).tolist()
        for item, row, start in zip(out, draw.rows.tolist(), starts, strict=True):
            last = max(0, signals.length(row) - length)
            signals.cut(row, min(max(0, start), last), length, item)
        return Batch(torch.from_numpy(out), draw)
