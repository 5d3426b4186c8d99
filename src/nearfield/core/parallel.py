"""Parallel work: results in order, one-threaded arithmetic, blocks of tensors on several threads."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import chain, islice
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

# Work done ahead by threads, its results in the order it was asked for.

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int, name: str = "work"
) -> Generator[Result, None, None]:
    """`map(work, items)` by `workers` threads (0: none), at most `ahead` results beyond the one being read.

    Items are drawn by the reader's thread. An error is raised where its result was due. The threads end with
    the iteration, also where that is left early.
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
"""Small files that a thread takes at a time: handing over one costs as much as looking at it."""


def in_groups(work: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """`map(work, items)` by `workers` threads, each of which takes `GROUP` neighbours at a time."""
    groups = [items[first : first + GROUP] for first in range(0, len(items), GROUP)]
    with ThreadPoolExecutor(workers) as pool:
        yield from chain.from_iterable(pool.map(lambda group: [work(item) for item in group], groups))


# One thread of arithmetic: what many small products want, and workers that share the cores.


def one_thread() -> AbstractContextManager[object]:
    """Holds BLAS to one thread within the block, in the whole process.

    The threads of BLAS wait for each other by spinning: on a busy machine, small products with two of them
    were seen to take fifty times as long as with one.
    """
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits


# Blocks of work on several threads, each of which runs torch on one.
#
# Torch's own way is to share every operation among all threads, which then wait for each other. Where other
# programs use the machine too, each of a block's twenty small operations waits for a thread that is not
# running: log-mel was seen to take ten times as long. Whole blocks wait once, at the end.

Block = TypeVar("Block")


def spread(task: Callable[[Block], None], blocks: Sequence[Block]) -> None:
    """Calls `task` on every block, on as many threads as torch may use; no gradients are taken.

    Blocks must not touch each other's results. An error in one is raised here.
    """
    threads = min(torch.get_num_threads(), len(blocks))
    if threads < 2:
        with torch.no_grad():
            for block in blocks:
                task(block)
        return
    inference = torch.is_inference_mode_enabled()  # modes belong to a thread

    def alone(block: Block) -> None:
        with torch.inference_mode(inference), torch.no_grad():
            task(block)

    before = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in pool.map(alone, blocks):
                pass
    finally:
        torch.set_num_threads(before)  # a thread yet to come takes the number that was last set anywhere
