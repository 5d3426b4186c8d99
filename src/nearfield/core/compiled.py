"""Loops over numbers turned into machine code, once a machine."""

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher

# Loops over numbers turned into machine code, once a machine.

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function, **options: Any) -> Function:
    """`function`, compiled by numba at its first call; it lets go of the interpreter's lock while it runs.

    `options`: further ones of `numba.njit`. The machine code stays on disk beside the source, or in the
    user's cache where that may not be written; where neither may be, each process compiles for itself.
    """
    try:
        made: Any = numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # "no locator available": numba found no folder that it may write to
        made = numba.njit(nogil=True, **options)(function)
    return cast(Function, made)


def cache_compiled(*modules: ModuleType) -> None:
    """Lets numba keep on disk what it compiles of a library that does not ask for it; to be called at import.

    umap's functions, say, take five seconds to compile, in every process that draws a map.
    """
    functions = {each for module in modules for each in vars(module).values() if isinstance(each, Dispatcher)}
    for function in functions:
        with contextlib.suppress(RuntimeError):  # no folder that numba may write to
            function.enable_caching()
