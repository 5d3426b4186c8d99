"""Loops over numbers turned into machine code, once a machine."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """`function`, compiled by numba at its first call; it lets go of the interpreter's lock while it runs.

    The machine code stays on disk beside the source, or in the user's cache where that may not be written;
    where neither may be, each process compiles for itself.
    """
    try:
        made: Any = numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # "no locator available": numba found no folder that it may write to
        made = numba.njit(nogil=True)(function)
    return cast(Function, made)
