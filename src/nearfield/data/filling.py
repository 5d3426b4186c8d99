"""Filling packs: many sources decoded side by side, with bounded memory, and every fault told at once."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy.typing as npt

from nearfield.core.errors import DataError
from nearfield.core.machine import usable_cores
from nearfield.core.words import count
from nearfield.data.packs import Packs, PackWriter
from nearfield.data.space import writing_to

Progress = Callable[[int, int], None]
"""Told how many of how many are done; may be called from several threads, one at a time."""

Tell = Callable[[str], None]
"""Told, in a sentence, what somebody should know before or after the work."""

LARGE = 1_000_000_000
"""Bytes from which it is told beforehand how much is going to be written, and where."""

Blocks = Callable[[Path], Iterable[npt.NDArray[Any]]]
"""A source in the pieces that are to be kept of it."""

SMALLEST, LARGEST = 1 << 22, 1 << 28
"""About how many bytes go into one pack: each costs a few waits for the disk; a longer source has its own."""


class Filling:
    """Decodes what is missing, in groups of about a pack, each by one thread with bounded memory."""

    def __init__(
        self,
        packs: Packs,
        missing: dict[str, Path],
        blocks: Blocks,
        weigh: Callable[[Path], int],
        progress: Progress | None,
        tell: Tell,
    ) -> None:
        self._packs, self._missing, self._blocks, self._progress = packs, missing, blocks, progress
        self._weigh, self._tell = weigh, tell
        self._done = 0
        self._faults: dict[str, DataError] = {}
        self._lock, self._stop = threading.Lock(), threading.Event()

    def run(self) -> dict[str, DataError]:
        """Writes the packs, and gives what is wrong with each source that could not be decoded."""
        weights = self._weights()
        needed, workers = sum(weights.values()), usable_cores()
        groups = list(_groups(weights, min(LARGEST, max(SMALLEST, needed // (2 * workers)))))
        if needed >= LARGE:
            self._tell(_announced(len(weights), needed, self._packs.folder))
        with writing_to(self._packs.folder, needed), ThreadPoolExecutor(workers, "decode") as pool:
            try:
                list(pool.map(self._write, groups))
            except BaseException:
                self._stop.set()
                raise
        return self._faults

    def _weights(self) -> dict[str, int]:
        weights: dict[str, int] = {}
        for digest, path in self._missing.items():
            try:
                weights[digest] = self._weigh(path)
            except DataError as fault:
                self._faults[digest] = fault
        return weights

    def _write(self, group: list[str]) -> None:
        with self._packs.writing() as writer:
            for digest in group:
                if self._stop.is_set():
                    return
                self._add(writer, digest)

    def _add(self, writer: PackWriter, digest: str) -> None:
        try:
            writer.add(digest, self._blocks(self._missing[digest]))
        except DataError as fault:
            self._faults[digest] = fault
        with self._lock:
            self._done += 1
            if self._progress:
                self._progress(self._done, len(self._missing))


def _announced(files: int, needed: int, folder: Path) -> str:
    free = shutil.disk_usage(folder).free
    return (
        f"{count(files, 'file')} will be decoded, once, into {folder}: about {needed / 1e9:,.1f} GB, of "
        f"{free / 1e9:,.1f} GB that are free. NEARFIELD_CACHE names another folder; `nearfield doctor "
        "--clear-cache` empties it."
    )


def _groups(weights: dict[str, int], limit: int) -> Iterator[list[str]]:
    """Keys in their order, in groups of about `limit` together."""
    group: list[str] = []
    total = 0
    for key, weight in weights.items():
        group.append(key)
        total += weight
        if total >= limit:
            yield group
            group, total = [], 0
    if group:
        yield group


def refuse(faults: list[str]) -> None:
    """Raises DataError with the first ten faults, where there are any."""
    if faults:
        more = [f"... and {len(faults) - 10} more."] if len(faults) > 10 else []
        raise DataError("\n".join([*faults[:10], *more]))
