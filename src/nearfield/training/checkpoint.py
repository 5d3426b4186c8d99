"""Checkpoints: states from which a training resumes."""

import os
import shutil
from pathlib import Path
from typing import Any

from torch import Tensor

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing
from nearfield.training.events import Callback, Note
from nearfield.training.run_folder import (
    load_tensors,
    save_tensors,
)

# States to go on from: the last, and on request some before it, for where the last cannot be read.


def save_state(path: Path, tensors: dict[str, Tensor], numbers: dict[str, Any], kept: int) -> None:
    """Writes the newest state to `path`, `kept` in all; at every moment a whole one lies there."""
    if kept > 1 and path.is_file():
        for number in range(kept - 1, 1, -1):
            if earlier(path, number - 1).is_file():
                os.replace(earlier(path, number - 1), earlier(path, number))
        with replacing(earlier(path, 1)) as temporary:
            shutil.copyfile(path, temporary)
    save_tensors(path, tensors, numbers)


def load_state(path: Path, callback: Callback) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest state that can be read; None where none was written.

    Raises RequestError, that of the newest, where there are some and none of them can be read.
    """
    refused: RequestError | None = None
    for place in (path, *(earlier(path, number) for number in range(1, 100))):
        if not place.is_file():
            continue
        try:
            found = load_tensors(place)
        except RequestError as error:
            refused = refused or error
            continue
        if refused is not None:
            callback(
                Note(f"{refused} Going on from the checkpoint before it, {place.name}.", is_warning=True)
            )
        return found
    if refused is not None:
        raise refused
    return None


def earlier(path: Path, number: int) -> Path:
    """Where the state lies that was the newest `number` checkpoints ago."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
