"""Training one batch in several processes; pairs span the whole batch, and gradients equal those of one
process.

Each process embeds its share of the batch. The embeddings of all processes are gathered in one leaf tensor,
each process computes the loss of the whole batch, and backpropagates its own rows of the gradient through its
own share. The gradients of the parameters are then summed; the model is not wrapped."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from nearfield.core.types import BatchIndices


def world() -> tuple[int, int]:
    """Returns the rank of this process and the number of processes; (0, 1) without distributed training."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def leave() -> None:
    """Leaves the process group, because threads of Gloo sometimes abort a process that exits within it."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def share(size: int) -> slice:
    """Returns the rows of a batch of `size` that this process embeds: contiguous, of nearly equal number."""
    rank, processes = world()
    edges = _edges(size, processes)
    return slice(edges[rank], edges[rank + 1])


def own(indices: BatchIndices) -> BatchIndices:
    """Returns the share of this process, without pairs, because these span the whole batch."""
    part = share(len(indices))
    return BatchIndices(
        indices.rows[part],
        indices.starts[part],
        partner=indices.partner and indices.partner.take(part),
        copies=None if indices.copies is None else indices.copies[part],
    )


def gather(vectors: Tensor, size: int) -> Tensor:
    """Gathers the vectors (B, D) of all processes, given those of this one (b, D), as a leaf with
    gradient."""
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
    """Sums the gradient of each parameter over all processes; does nothing with one process."""
    if world()[1] == 1:
        return
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)


def _edges(size: int, processes: int) -> list[int]:
    """Returns the first row of each share, and the end of the last one."""
    edges: list[int] = np.linspace(0, size, processes + 1).round().astype(int).tolist()
    return edges
