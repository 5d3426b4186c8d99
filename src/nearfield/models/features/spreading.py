"""Blocks of work on several threads, each of which runs torch on one.

Torch's own way is to share every operation among all threads, which then wait for each other. Where other
programs use the machine too, each of a block's twenty small operations waits for a thread that is not
running: log-mel was seen to take ten times as long. Whole blocks wait once, at the end.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

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
