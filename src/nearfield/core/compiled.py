"""Numeric loops compiled by numba, with the machine code cached on disk."""

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function, **options: Any) -> Function:
    """Compiles `function` by numba at its first call; it releases the GIL while it runs.

    `options` are those of `numba.njit`. Machine code is cached next to the source or in the user's cache; if
    neither is writable, each process compiles again.
    """
    try:
        made: Any = numba.njit(nogil=True, cache=True, **options)(function)
    except RuntimeError:  # "no locator available": numba found no folder that it may write to
        made = numba.njit(nogil=True, **options)(function)
    return cast(Function, made)


def cache_compiled(*modules: ModuleType) -> None:
    """Caches the numba functions of a library on disk although it does not do so itself; call it at import.

    The functions of umap, for example, take five seconds to compile in each process.
    """
    functions = {each for module in modules for each in vars(module).values() if isinstance(each, Dispatcher)}
    for function in functions:
        with contextlib.suppress(RuntimeError):  # no folder that numba may write to
            function.enable_caching()
