"""Random batches with all that batches can have: copies, lone items, one class, long and short vectors."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

Batches = Callable[[int], Iterator[tuple[Tensor, Tensor]]]


@pytest.fixture(scope="session")
def batches() -> Batches:
    """`batches(count)` gives so many (vectors (B, D) float64, labels (B,)), the same ones each time."""

    def give(count: int) -> Iterator[tuple[Tensor, Tensor]]:
        rng = torch.Generator().manual_seed(0)

        def pick(low: int, high: int) -> int:
            return int(torch.randint(low, high, (), generator=rng))

        for _ in range(count):
            size, classes, numbers = pick(2, 20), pick(1, 9), pick(2, 9)
            labels = torch.randint(0, classes, (size,), generator=rng)
            vectors = torch.randn(size, numbers, generator=rng, dtype=torch.float64)
            vectors *= 10.0 ** pick(-1, 2)
            for _ in range(pick(0, 3)):  # copies, of the same class or of another
                vectors[pick(0, size)] = vectors[pick(0, size)]
            yield vectors, labels

    return give
