"""One thread of arithmetic: what many small products want, and workers that share the cores."""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]


def one_thread() -> AbstractContextManager[object]:
    """Holds BLAS to one thread within the block, in the whole process.

    The threads of BLAS wait for each other by spinning: on a busy machine, small products with two of them
    were seen to take fifty times as long as with one.
    """
    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
