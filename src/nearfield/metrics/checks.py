"""Validation of arrays at the entry points of the package; internal functions do not check again."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import RequestError, WorkError


def check_vectors(name: str, vectors: npt.NDArray[Any]) -> None:
    """Checks embeddings.

    Raises
    ------
    RequestError
        Unless `vectors` is a floating-point array of shape (N, D).
    WorkError
        If a row is not finite.
    """
    if vectors.ndim != 2 or vectors.shape[1] == 0 or not np.issubdtype(vectors.dtype, np.floating):
        given = f"shape {vectors.shape}, {vectors.dtype}"
        raise RequestError(
            f"{name}: a floating-point array with one row per clip and one column per dimension is expected; "
            f"given: {given}."
        )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise WorkError(
            f"{name}: {len(wrong)} of {len(vectors)} vectors are not finite, the first in row {wrong[0]}. "
            "This happens when training diverges; try a smaller learning rate."
        )


def check_lengths(length: int, **arrays: npt.NDArray[Any] | None) -> None:
    """Raises RequestError if one of the given arrays does not have `length` entries."""
    for name, array in arrays.items():
        if array is not None and len(array) != length:
            raise RequestError(f"{name}: {length} entries are expected, one per vector; given: {len(array)}.")
