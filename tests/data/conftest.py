"""What tests of the data room share: writing small sounds, tables and pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

Write = Callable[..., Path]


@pytest.fixture(scope="session")
def write_sound() -> Write:
    """Writes noise, its own for each path: `write_sound(path, seconds, rate, channels)` returns the path."""

    def write(path: Path, seconds: float = 0.25, rate: int = 8000, channels: int = 1) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.as_posix().encode()))
        samples = rng.uniform(-0.5, 0.5, (round(seconds * rate), channels))
        soundfile.write(path, samples, rate)
        return path

    return write


@pytest.fixture(scope="session")
def write_table() -> Write:
    """Writes lines of text below a header and returns the path: `write_table(path, header, *rows)`."""

    def write(path: Path, *lines: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write
