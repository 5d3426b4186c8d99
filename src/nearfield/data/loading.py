"""The loader: draws in, batches out, in the order of the draws whatever the number of threads."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch

from nearfield.core.nouns import Batch, Draw
from nearfield.data.signals import Signals


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
        if not self.workers:
            yield from map(self.batch, self.draws)
            return
        draws = iter(self.draws)
        pool = ThreadPoolExecutor(self.workers, "load")
        try:
            queue: deque[Future[Batch]] = deque()
            for draw in islice(draws, max(self.ahead, self.workers)):
                queue.append(pool.submit(self.batch, draw))
            while queue:
                batch = queue.popleft().result()
                queue.extend(pool.submit(self.batch, draw) for draw in islice(draws, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)

    def batch(self, draw: Draw) -> Batch:
        """One batch, float32 (B, *signals.shape(length))."""
        signals, length = self.signals, self.length
        out = np.empty((len(draw), *signals.shape(length)), np.float32)
        starts = np.rint(draw.starts * signals.rate).astype(np.int64).tolist()
        for item, row, start in zip(out, draw.rows.tolist(), starts, strict=True):
            last = max(0, signals.length(row) - length)
            signals.cut(row, min(max(0, start), last), length, item)
        return Batch(torch.from_numpy(out), draw)
