"""One batch over several processes: pairs are taken over all of it, and gradients equal one process's.

Each process encodes its share; the vectors of all are brought together as one leaf tensor, the loss is
taken over the whole there, and each process carries its own rows of the gradient back through its own
share. Parameter gradients are then summed. No wrapper around the model, nothing to average.
"""

from collections.abc import Iterable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfield.core.types import BatchIndices


def world() -> tuple[int, int]:
    """(this process's rank, number of processes); (0, 1) when alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def leave() -> None:
    """Ends this process's part in the group: one that ends within it is now and then aborted by the threads
    that Gloo has left."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def share(size: int) -> slice:
    """The rows of a batch of `size` that this process encodes: contiguous, as even as can be."""
    rank, processes = world()
    edges = _edges(size, processes)
    return slice(edges[rank], edges[rank + 1])


def own(indices: BatchIndices) -> BatchIndices:
    """This process's share of a draw (its pairs left out: they belong to the whole)."""
    part = share(len(indices))
    return BatchIndices(
        indices.rows[part],
        indices.starts[part],
        partner=indices.partner and indices.partner.take(part),
        copies=None if indices.copies is None else indices.copies[part],
    )


def gather(vectors: Tensor, size: int) -> Tensor:
    """All processes' vectors (B, D) from this one's (b, D), as a leaf that collects the gradient."""
    _, processes = world()
    if processes == 1:
        return vectors.detach().requires_grad_()
    edges = _edges(size, processes)
    largest = max(np.diff(edges).tolist())
    padded = vectors.new_zeros(largest, vectors.shape[1])
    padded[: len(vectors)] = vectors.detach()
    parts = [torch.empty_like(padded) for _ in range(processes)]
    dist.all_gather(parts, padded)
    whole = [part[: edges[i + 1] - edges[i]] for i, part in enumerate(parts)]
    return torch.cat(whole).requires_grad_()


def sum_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Adds up each parameter's gradient over all processes; does nothing when alone."""
    if world()[1] == 1:
        return
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


def _edges(size: int, processes: int) -> list[int]:
    """Where the shares of a batch begin, and where the last one ends."""
    edges: list[int] = np.linspace(0, size, processes + 1).round().astype(int).tolist()
    return edges
