"""Named random streams: all random numbers come from generators seeded by the run's seed, a name and numbers.

`stream(7, "batches", epoch)` gives the same numbers on each machine, for any number of workers, and after an
interruption: a stream depends on its name, not on the numbers generated before.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def entropy(seed: int, name: str, *numbers: int) -> int:
    """Hashes its arguments (blake2b) to a 64-bit seed."""
    text = "/".join([str(seed), name, *(str(int(number)) for number in numbers)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def stream(seed: int, name: str, *numbers: int) -> np.random.Generator:
    """Returns a NumPy generator for a named stream."""
    return np.random.Generator(np.random.PCG64(entropy(seed, name, *numbers)))


def torch_stream(seed: int, name: str, *numbers: int) -> torch.Generator:
    """Returns a CPU torch generator for a named stream."""
    return torch.Generator().manual_seed(entropy(seed, name, *numbers) >> 1)


@contextmanager
def own_chance() -> Iterator[None]:
    """Restores the state of torch's global generators after the block."""
    initialized = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if initialized else []):
        yield


def reseed(seed: int, name: str, *numbers: int) -> None:
    """Seeds torch's global generators, used by dropout and new weights, for a named stream.

    It avoids `torch.manual_seed`, which takes 0.8 ms to record the call stack while CUDA is not initialized.
    """
    number = entropy(seed, name, *numbers) >> 1
    torch.default_generator.manual_seed(number)
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.manual_seed_all(number)
