"""Parallel work: ordered results, single-threaded BLAS, blocks of tensors on several threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import chain, islice
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

# Work in threads with results in order.

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int, name: str = "work"
) -> Generator[Result, None, None]:
    """Computes `map(work, items)` in `workers` threads (0: none), at most `ahead` results in advance.

    The consumer's thread iterates over `items`. An error is raised in place of its result. The threads end
    with the iteration, also if it is abandoned.
    """
    if not workers:
        yield from map(work, items)
        return
    waiting = iter(items)
    pool = ThreadPoolExecutor(workers, name)
    try:
        queue: deque[Future[Result]] = deque()
        for item in islice(waiting, max(ahead, workers)):
            queue.append(pool.submit(work, item))
        while queue:
            result = queue.popleft().result()
            for item in islice(waiting, 1):
                queue.append(pool.submit(work, item))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)


GROUP = 16
"""Number of small files per task: submitting one file costs as much as inspecting it."""


def in_groups(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Computes `map(work, items)` in `workers` threads, `GROUP` consecutive items per task."""
    groups = [items[first : first + GROUP] for first in range(0, len(items), GROUP)]
    with ThreadPoolExecutor(workers) as pool:
        yield from chain.from_iterable(pool.map(lambda group: [work(item) for item in group], groups))


# Single-threaded BLAS, for many small products and for workers that share the cores.


def one_thread() -> AbstractContextManager[object]:
    """Limits BLAS to one thread during the block, in the whole process.

    BLAS threads wait for each other by spinning: on a busy machine, small products with two threads took up
    to fifty times as long as with one.
    """
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Limits torch to one thread during the block, for small batches and for work that is parallel itself."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# Blocks of work in several threads, each of which runs torch single-threaded.
#
# Torch divides each operation among all threads, which then wait for each other. On a busy machine, each of
# the about twenty small operations of a block may wait for a thread that is not scheduled: log-mel took ten
# times as long. With one thread per block, threads wait only once, at the end.

Block = TypeVar("Block")


def spread(task: Callable[[Block], None], blocks: Sequence[Block]) -> None:
    """Calls `task` on each block without gradients, in as many threads as torch may use.

    Blocks must be independent. An error in one is raised here.
    """
    threads = min(torch.get_num_threads(), len(blocks))
    if threads < 2:
        with torch.no_grad():
            for block in blocks:
                task(block)
        return
    inference = torch.is_inference_mode_enabled()  # modes are per thread

    def alone(block: Block) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            task(block)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in pool.map(alone, blocks):
                pass
    finally:
        torch.set_num_threads(before)  # new threads inherit the number that was last set in any thread
