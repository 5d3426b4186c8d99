"""The checks at the edge of the room: arrays that come in are looked at once, and trusted inside."""

from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import RequestError, WorkError


def check_vectors(name: str, vectors: npt.NDArray[Any]) -> None:
    """Raises RequestError unless `vectors` is (N, D) of floats, WorkError where one of them is not finite."""
    if vectors.ndim != 2 or vectors.shape[1] == 0 or not np.issubdtype(vectors.dtype, np.floating):
        given = f"shape {vectors.shape}, {vectors.dtype}"
        raise RequestError(
            f"{name}: one row a clip and one column a dimension is wanted, as floats; given: {given}."
        )
    wrong = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(wrong):
        raise WorkError(
            f"{name}: {len(wrong)} of {len(vectors)} vectors are not finite, the first in row {wrong[0]}. "
            "Training that diverged gives such vectors; try a smaller learning rate."
        )


def check_lengths(length: int, **arrays: npt.NDArray[Any] | None) -> None:
    """Raises RequestError where an array that is given does not have `length` entries."""
    for name, array in arrays.items():
        if array is not None and len(array) != length:
            raise RequestError(f"{name}: {length} entries are wanted, one a vector; given: {len(array)}.")
