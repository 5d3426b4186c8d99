"""Products of eight-bit codes by the processor's integer units, where torch computes them rightly.

torch's int8 product is fast and little known: here it is asked only for layouts that were found right, and
tried out once against the largest values before it is trusted. (Processors without VNNI would let sums
overflow; and with a transposed operand one number long it leaves the result unwritten.) Elsewhere the same
whole numbers come from a product of floats, which is exact as long as sums stay below the mantissa.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from threadpoolctl import LibController, ThreadpoolController  # type: ignore[import-untyped, unused-ignore]
from torch import Tensor

from nearfield.space.codes import Bytes
from nearfield.space.screening import Products


def one(codes: Bytes, query: Bytes) -> Products:
    """(P, D) codes with one query's (D,): (P,)."""
    left, right = torch.from_numpy(codes), torch.from_numpy(query)[:, None]
    product = torch._int_mm(left, right) if trusted() else _by_floats(left, right)
    found: Products = product.numpy()[:, 0]
    return found


def many(codes: Bytes, queries: Bytes, out: Tensor) -> Products:
    """(P, D) codes with those of B >= 2 queries (B, D): fills `out` (B, P) int32 and gives it as an array."""
    left, right = torch.from_numpy(queries), torch.from_numpy(codes).t()
    if trusted() and min(len(queries), *codes.shape) >= 2:
        torch._int_mm(left, right, out=out)
    else:
        out.copy_(_by_floats(left, right))
    found: Products = out.numpy()
    return found


@cache
def trusted() -> bool:
    """Whether torch's product of int8 is there and right on this machine, at the extremes too."""
    try:
        return all(_is_right(size) for size in (2, 3, 64, 128, 1000))
    except (AttributeError, RuntimeError):
        return False


@contextmanager
def unshared() -> Iterator[None]:
    """Holds the calling thread's products to it: it waits for no other, which may not be running."""
    libraries = _openmp()
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)


@cache
def _openmp() -> list[LibController]:
    controllers: list[LibController] = ThreadpoolController().select(user_api="openmp").lib_controllers
    return controllers  # to find them takes 10 ms, to ask one a microsecond


def _is_right(size: int) -> bool:
    """(130, size) codes, the first rows all extremes, against one and against three queries."""
    generator = torch.Generator().manual_seed(size)
    codes = torch.randint(-127, 128, (130, size), generator=generator, dtype=torch.int8)
    queries = torch.randint(-127, 128, (3, size), generator=generator, dtype=torch.int8)
    codes[0], codes[1], queries[0] = 127, -127, 127
    wanted = _by_floats(codes, queries.t())
    out = torch.zeros(3, 130, dtype=torch.int32)
    torch._int_mm(queries, codes.t(), out=out)
    alone = torch._int_mm(codes, queries[0].clone()[:, None])
    return torch.equal(out.t(), wanted) and torch.equal(alone, wanted[:, :1])


def _by_floats(left: Tensor, right: Tensor) -> Tensor:
    """The same product, by floats that hold its sums without rounding."""
    kind = torch.float32 if left.shape[1] * 127 * 127 < 2**24 else torch.float64
    return (left.to(kind) @ right.to(kind)).to(torch.int32)
