"""Work done ahead by threads, its results in the order it was asked for."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

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
