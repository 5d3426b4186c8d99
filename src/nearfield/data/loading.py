"""The loader: draws in, batches out, in the order of the draws whatever the number of threads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from nearfield.core.nouns import Batch, Beside, Draw, Vectors
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
        for item, row, start in zip(out, draw.rows.tolist(), draw.starts.tolist(), strict=True):
            self._cut(row, start, item)
        if draw.beside is not None:
            self._lay_beside(draw.beside, out)
        return Batch(torch.from_numpy(out), draw)

    def _lay_beside(self, beside: Beside, out: Vectors) -> None:
        """Adds the other clips' windows, each at so many decibels under the item's own; silence has no level
        to go by, and is added to as it is."""
        other = np.empty(out.shape[1:], np.float32)
        each = (beside.rows.tolist(), beside.starts.tolist(), beside.decibels.tolist())
        for item, row, start, decibels in zip(out, *each, strict=True):
            if row < 0:
                continue
            self._cut(row, start, other)
            own, theirs = float(np.square(item).mean()), float(np.square(other).mean())
            if own > 0 and theirs > 0:
                other *= np.float32((own / theirs * 10 ** (-decibels / 10)) ** 0.5)
            item += other

    def _cut(self, row: int, start: float, out: Vectors) -> None:
        """One window, `start` seconds into its clip or as late as lets it lie within."""
        last = max(0, self.signals.length(row) - self.length)
        first = min(max(0, round(start * self.signals.rate)), last)
        self.signals.cut(row, first, self.length, out)
