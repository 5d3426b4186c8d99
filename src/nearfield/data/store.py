"""The store: every source decoded once, kept in the cache, and cut from there for ever after.

A source is known by its contents, so a moved or copied file is not decoded again. Sounds lie as float32
samples at the rate asked for, pictures as bytes; see `packs` for the files.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nearfield.core.errors import DataError, RequestError
from nearfield.data.audio import Waves, describe
from nearfield.data.cache import cache_folder
from nearfield.data.collection import Collection
from nearfield.data.decoding import sound_blocks, square
from nearfield.data.digests import content_digests
from nearfield.data.faults import check_file
from nearfield.data.filling import Blocks, Filling, Progress, refuse
from nearfield.data.locks import locked
from nearfield.data.packs import Packs
from nearfield.data.probing import known_lengths
from nearfield.data.settings import Channels, DataSettings
from nearfield.data.signals import ArraySignals, PhotographSignals, Signals
from nearfield.data.space import writing_to
from nearfield.data.trimming import sounding

VERSION = 1
"""To be raised when what is kept for the same file changes."""

MADE = ("waves", "photographs", "features", "synthetic")
"""Folders of the cache whose contents can be made again."""


class Store:
    """Decoded sounds and pictures in one cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: the cache; the platform's own, or NEARFIELD_CACHE, where none is given."""
        self.folder = folder or cache_folder()

    def open(
        self, collection: Collection, settings: DataSettings, progress: Progress | None = None
    ) -> Signals:
        """The collection's clips, row by row; what is not in the store yet is decoded first.

        Raises DataError naming every file that cannot be used, a clip that begins after its file's end, or
        (channels: all) files whose numbers of channels differ; WorkError where the disk is full.
        """
        if collection.kind == "picture":
            return self._photographs(collection, settings, progress)
        return self._sounds(collection, settings, progress)

    def size(self) -> int:
        """Bytes on disk of everything that `clear` would remove."""
        files = (file for name in MADE for file in (self.folder / name).rglob("*"))
        return sum(file.lstat().st_size for file in files if file.is_file())

    def clear(self) -> int:
        """Removes all that can be made again and gives the number of bytes freed."""
        before = self.size()
        for name in MADE:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return before - self.size()

    def _photographs(
        self, collection: Collection, settings: DataSettings, progress: Progress | None
    ) -> PhotographSignals:
        size, channels = settings.image_size, settings.image_channels
        packs = Packs(self.folder / "photographs" / f"v{VERSION}-{size}px-{channels}", np.uint8)
        paths = [Path(path) for path in collection.table["path"]]
        arrays = self._decoded(
            packs,
            paths,
            blocks=lambda path: [square(path, size, channels)],
            weigh=lambda path: size * size * channels,
            progress=progress,
        )
        return PhotographSignals(arrays, (channels, size, size))

    def _sounds(
        self, collection: Collection, settings: DataSettings, progress: Progress | None
    ) -> ArraySignals:
        by_channel = settings.channels == "views"
        numbers = _channel_numbers(collection) if by_channel else None
        channels: Channels = "all" if by_channel else settings.channels
        rate = settings.sample_rate
        packs = Packs(self.folder / "waves" / f"v{VERSION}-{rate}hz-{channels}", np.float32)
        paths = [Path(path) for path in collection.table["path"]]

        lengths = known_lengths(paths) if channels != "all" else {}

        def weigh(path: Path) -> int:
            if path in lengths:
                return int(lengths[path] * rate + 1) * 4
            facts = describe(path)
            return int(facts.seconds * rate + 1) * 4 * (facts.channels if channels == "all" else 1)

        sources = self._decoded(
            packs, paths, lambda path: sound_blocks(path, rate, channels), weigh, progress
        )
        if numbers is None:
            _same_channels(paths, sources)
        places = zip(paths, collection.table["start"], collection.table["seconds"], sources, strict=True)
        clips = [_clip(path, source.T, rate, start, seconds) for path, start, seconds, source in places]
        spans = [_span(clip, settings.trim_db) for clip in clips]
        kept = [clip[:, first:last] for clip, (first, last) in zip(clips, spans, strict=True)]
        cut = sum(clip.shape[1] for clip in clips) - sum(clip.shape[1] for clip in kept)
        begins = np.array([first for first, _ in spans], np.float64) / rate
        if numbers is not None:  # trimmed before, so that views of one moment stay together
            kept = [clip[channel : channel + 1] for clip, channel in zip(kept, numbers, strict=True)]
        return ArraySignals(kept, float(rate), (kept[0].shape[0] if kept else 1,), cut / rate, begins)

    def _decoded(
        self,
        packs: Packs,
        paths: list[Path],
        blocks: Blocks,
        weigh: Callable[[Path], int],
        progress: Progress | None,
    ) -> list[npt.NDArray[Any]]:
        """What is kept of each path; `weigh` says how many bytes that will be."""
        unique = list(dict.fromkeys(paths))
        digests = dict(zip(unique, _digests(unique), strict=True))
        sources = {digest: path for path, digest in digests.items()}
        places = packs.places()
        if not sources.keys() <= places.keys():
            with writing_to(packs.folder, 0), locked(packs.folder / "lock"):
                places = packs.places()  # another process may have decoded them while we waited
                missing = {digest: path for digest, path in sources.items() if digest not in places}
                Filling(packs, missing, blocks, weigh, progress).run()
            places = packs.places()
        views = dict(zip(sources, packs.views(places[digest] for digest in sources), strict=True))
        return [views[digests[path]] for path in paths]


def _digests(paths: list[Path]) -> list[str]:
    """What each file holds. Raises DataError naming every file that is not there."""
    faults = []
    for path in paths:
        try:
            check_file(path)
        except DataError as fault:
            faults.append(str(fault))
    refuse(faults)
    return content_digests(paths)


def _channel_numbers(collection: Collection) -> list[int]:
    """The channel that each row stands for. Raises RequestError where rows do not say."""
    if "channel" not in collection.table:
        raise RequestError(
            f"data.channels: 'views' needs a row for each channel, and {collection.name or 'the collection'} "
            "has none. Open it by Collection.open(data, Columns(views=True)), or take mean or all."
        )
    return [int(number) for number in collection.table["channel"]]


def _same_channels(paths: list[Path], sources: list[npt.NDArray[Any]]) -> None:
    for path, source in zip(paths, sources, strict=True):
        if source.shape[1] != sources[0].shape[1]:
            raise DataError(
                f"{path}: {source.shape[1]} channels, but {paths[0]} has {sources[0].shape[1]}. With "
                "`channels: all` every file needs the same number; use `channels: mean` or the number of one."
            )


def _clip(path: Path, source: Waves, rate: int, start: float, seconds: float) -> Waves:
    """The clip's own part of its source (C, T); to the end where no length is given."""
    samples = source.shape[1]
    first = round(start * rate)
    last = min(samples, round((start + seconds) * rate)) if seconds > 0 else samples
    if first >= last:
        raise DataError(
            f"{path}: the clip from {start:g} s on holds no sample; the file has {samples / rate:g} s. "
            "Correct start and seconds, or remove the row."
        )
    return source[:, first:last]


def _span(clip: Waves, decibels: float | None) -> tuple[int, int]:
    """First sample and end of what is kept of a clip (C, T)."""
    return (0, clip.shape[1]) if decibels is None else sounding(clip, decibels)
