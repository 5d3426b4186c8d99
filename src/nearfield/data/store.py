"""The store of decoded data: each file is decoded once and then read from the cache."""

import shutil
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
from PIL import Image

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import locked
from nearfield.core.text import count
from nearfield.data.audio import (
    EXPORT,
    MOST_AT_ONCE,
    UNUSABLE,
    Waves,
    check_scale,
    decode,
    describe,
    is_usable,
    mix,
    opened,
    resample,
)
from nearfield.data.collection import Collection
from nearfield.data.faults import Fault, Problem, check_file
from nearfield.data.images import picture
from nearfield.data.npy import rate_file
from nearfield.data.packs import (
    Blocks,
    Filling,
    Packs,
    Place,
    Progress,
    Tell,
    cache_folder,
    keep_within,
    limit,
    refuse,
    taking,
    writing_to,
)
from nearfield.data.probing import content_digest, content_digests, known_lengths
from nearfield.data.settings import Channels, DataSettings
from nearfield.data.signals import ArraySignals, PhotographSignals, Signals, sounding

# Decoding for the store: sounds at one sample rate, in blocks of limited size; images as small squares.

BLOCK = 1 << 20
"""Number of samples per channel that are decoded at once: 24 s at 44.1 kHz."""


def read_sound(path: Path, settings: DataSettings, start: float = 0.0, seconds: float | None = None) -> Waves:
    """Decodes a part of a file to (C, T), mixed and resampled by `settings`. Raises Fault like `decode`."""
    waves, rate = decode(path, start, seconds)
    return resample(mix(waves, settings.channels), rate, settings.sample_rate)


def sound_blocks(
    path: Path, rate: int, channels: Channels, block: int = BLOCK, first: int = 0
) -> Generator[Waves, None, None]:
    """Decodes a file, mixed and at `rate` hertz, in blocks (T, C), the axis order of the store.

    Concatenated, the blocks are bit-identical to `resample(mix(decode(path)))` from sample `first` on. Raises
    Fault like `audio.decode`.
    """
    with opened(path) as file:
        own = file.samplerate
        check_scale(path)
        samples = min(first, file.frames) if own == rate and file.is_exact else 0
        if samples:
            file.seek(samples)
        mixed = (mix(waves, channels).T for waves in _read(path, file, block, samples))
        for piece in mixed if own == rate else _resampled(mixed, own, rate):
            skipped = min(len(piece), max(0, first - samples))
            samples += len(piece)
            if skipped < len(piece):
                yield piece[skipped:]
    if not samples:
        raise Fault("short", f"it is too short for one sample at {rate} Hz.", "Remove it.", path)


def _resampled(pieces: Iterator[Waves], own: int, rate: int) -> Iterator[Waves]:
    """Resamples blocks (T, C); the state of the filter is kept between blocks, which may become shorter."""
    first = next(pieces)
    stream = soxr.ResampleStream(own, rate, first.shape[1], dtype="float32", quality="HQ")
    for piece in chain([first], pieces):
        step = max(1, len(piece) * own // max(own, rate))
        for begin in range(0, len(piece), step):
            yield stream.resample_chunk(np.ascontiguousarray(piece[begin : begin + step]))
    yield stream.resample_chunk(np.empty((0, first.shape[1]), np.float32), last=True)


def _read(path: Path, file: Any, block: int, first: int) -> Iterator[Waves]:
    """The decoded file from sample `first` on, in blocks (C, T).

    Reads never exceed the length of the file, since the library would pad them with megabytes of zeros.
    """
    # Reading integers and scaling them here gives the same floats in half the time.
    whole = file.subtype == "PCM_16"
    try:
        while first < file.frames:
            wanted = min(block, MOST_AT_ONCE // file.channels, file.frames - first)
            samples = file.read(wanted, dtype="int16" if whole else "float32", always_2d=True)
            if not len(samples):
                break
            if whole:
                samples = samples * np.float32(1 / 32768)
            elif not is_usable(samples).all():
                reason = f"some samples after {first / file.samplerate:.1f} s {UNUSABLE}"
                raise Fault("not_numbers", reason, EXPORT, path)
            yield np.ascontiguousarray(samples.T)
            first += len(samples)
    except (soundfile.SoundFileError, OSError):
        raise Fault("unreadable", f"it cannot be decoded after sample {first}.", path=path) from None
    if not first:
        raise Fault("cut_off", "nothing could be decoded.", path=path)


def square(path: Path, size: int, channels: int) -> npt.NDArray[np.uint8]:
    """Decodes an image to (C, size, size) bytes, stretched to the square; 1 channel is gray, 3 are RGB.

    Resizing is bilinear with antialiasing. Raises Fault like `images.picture`.
    """
    pixels = picture(path)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image = image.convert("L" if channels == 1 else "RGB")
    small = np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.uint8)
    return np.ascontiguousarray(small.reshape(size, size, channels).transpose(2, 0, 1))


# The store.
#
# Sources are identified by their contents, so a moved or copied file is not decoded again. Sounds are stored
# as float32 samples at the requested rate, images as bytes; `packs` has the file format.

VERSION = 1
"""Increase this when the stored data of the same file change."""

Sources = dict[Path, npt.NDArray[Any] | DataError]
"""The stored data of each file, or the reason why there are none."""

MADE = ("waves", "photographs", "features", "synthetic")
"""Folders of the cache whose contents can be generated again."""


class Store:
    """Decoded sounds and images in a cache folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """Uses the cache in `folder`; by default NEARFIELD_CACHE, or the cache folder of the platform."""
        self.folder = folder or cache_folder()

    def open(
        self, collection: Collection, settings: DataSettings, progress: Progress | None = None
    ) -> Signals:
        """Opens the signals of a collection; files that are not in the store are decoded first.

        Parameters
        ----------
        collection
            The clips.
        settings
            Sample rate, channels and image size.
        progress
            Progress callback.

        Returns
        -------
        Signals
            One signal per row of the collection.

        Raises
        ------
        DataError
            If files cannot be used, a clip starts after the end of its file, or, with `channels: all`, the
            numbers of channels differ.
        WorkError
            If the disk is full.
        """
        found = self._sources(collection, settings, progress, _ignore)
        refuse([_named(path, error) for path, error in found.items() if isinstance(error, DataError)])
        arrays = {path: array for path, array in found.items() if not isinstance(array, DataError)}
        sources = [arrays[Path(path)] for path in collection.table["path"]]
        if collection.kind == "picture":
            channels, size = settings.image_channels, settings.image_size
            return PhotographSignals(sources, (channels, size, size))
        return _sounds(collection, settings, sources)

    def usable(
        self,
        collection: Collection,
        settings: DataSettings,
        progress: Progress | None = None,
        tell: Tell | None = None,
    ) -> Collection:
        """Decodes a collection and returns it without the clips that cannot be decoded.

        Parameters
        ----------
        collection
            The clips.
        settings
            Sample rate, channels and image size.
        progress
            Progress callback.
        tell
            Called with messages: large amounts of data to write, damaged data.

        Returns
        -------
        Collection
            The decodable clips, with a problem for each other clip.

        Raises
        ------
        DataError
            If the settings do not fit a file, or no clip is left.
        WorkError
            If the disk is full.
        """
        found = self._sources(collection, settings, progress, tell or _ignore)
        unfit = [(path, error) for path, error in found.items() if isinstance(error, DataError)]
        refuse([_named(path, error) for path, error in unfit if not isinstance(error, Fault)])
        problems = list(_left_out(collection, found, settings))
        if len(problems) == len(collection) > 0:
            raise DataError(
                f"{collection.name or 'the data'}: none of the {len(problems):,} clips can be decoded. "
                f"The first reason: {problems[0]}"
            )
        return collection.without(problems) if problems else collection

    def size(self) -> int:
        """Returns the size in bytes of everything that `clear` would remove."""
        files = (file for name in MADE for file in (self.folder / name).rglob("*"))
        return sum(file.lstat().st_size for file in files if file.is_file())

    def clear(self) -> int:
        """Removes everything that can be generated again; returns the number of bytes freed."""
        before = self.size()
        for name in MADE:
            shutil.rmtree(self.folder / name, ignore_errors=True)
        return before - self.size()

    def _sources(
        self, collection: Collection, settings: DataSettings, progress: Progress | None, tell: Tell
    ) -> Sources:
        """The stored data of each file of the collection; missing files are decoded."""
        paths = [Path(path) for path in collection.table["path"]]
        if collection.kind == "picture":
            size, channels = settings.image_size, settings.image_channels
            packs = Packs(self.folder / "photographs" / f"v{VERSION}-{size}px-{channels}", np.uint8)
            made: Blocks = lambda path: [square(path, size, channels)]  # noqa: E731
            return _decoded(packs, paths, made, lambda path: size * size * channels, progress, tell)
        rate, mixed = settings.sample_rate, _mixed(settings)
        packs = Packs(self.folder / "waves" / f"v{VERSION}-{rate}hz-{mixed}", np.float32)
        lengths = known_lengths(paths) if mixed != "all" else {}

        def weigh(path: Path) -> int:
            if path in lengths:
                return int(lengths[path] * rate + 1) * 4
            metadata = describe(path)
            return int(metadata.seconds * rate + 1) * 4 * (metadata.channels if mixed == "all" else 1)

        return _decoded(packs, paths, lambda path: sound_blocks(path, rate, mixed), weigh, progress, tell)


def _mixed(settings: DataSettings) -> Channels:
    """The channels to store; views are cut from all channels."""
    return "all" if settings.channels == "views" else settings.channels


def _decoded(
    packs: Packs,
    paths: list[Path],
    blocks: Blocks,
    weigh: Callable[[Path], int],
    progress: Progress | None,
    tell: Tell,
) -> Sources:
    """The stored data of each path; `weigh` gives the expected number of bytes."""
    found: Sources = {}
    present = []
    for path in dict.fromkeys(paths):
        try:
            check_file(path)
            present.append(path)
        except DataError as fault:
            found[path] = fault
    digests = dict(zip(present, map(_named_by_rate, present, content_digests(present)), strict=True))
    sources = {digest: path for path, digest in digests.items()}
    faults = dict[str, DataError]()
    places = _taken(packs, sources)
    if not sources.keys() <= places.keys() or packs.damaged(places[digest] for digest in sources):
        limit()  # raises for an invalid limit before the work
        with writing_to(packs.folder, 0), locked(packs.folder / "lock"):
            places = packs.places()  # another process may have decoded them while this one waited
            damaged = packs.damaged(places[digest] for digest in sources if digest in places)
            if damaged:
                packs.remove(damaged)
                tell(
                    f"{packs.folder}: {count(len(damaged), 'file')} of decoded data changed after being "
                    "written, and will be decoded again. Check the disk."
                )
                places = packs.places()
            missing = {digest: path for digest, path in sources.items() if digest not in places}
            faults = Filling(packs, missing, blocks, weigh, progress, tell).run()
            places = _taken(packs, sources)
        keep_within(_cache_of(packs), tell)
    kept = [digest for digest in sources if digest not in faults]
    views: dict[str, Any] = dict(zip(kept, packs.views(places[digest] for digest in kept), strict=True))
    return found | {path: (views | faults)[digest] for path, digest in digests.items()}


def _cache_of(packs: Packs) -> Path:
    return packs.folder.parents[1]


def _taken(packs: Packs, wanted: Iterable[str]) -> dict[str, Place]:
    """The places of all stored data; wanted data are protected until this process ends."""
    with taking(_cache_of(packs)) as take:
        places = packs.places()
        take(places[digest].pack for digest in wanted if digest in places)
    return places


def _named_by_rate(path: Path, digest: str) -> str:
    """The identity of a source: the digest of its contents, with that of a separate file with the rate."""
    place = rate_file(path.parent) if path.suffix.lower() == ".npy" else None
    return digest if place is None else f"{digest}-{content_digest(place)[:8]}"


def _named(path: Path, error: DataError) -> str:
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def _ignore(sentence: str) -> None:
    """Ignores a message."""


def _left_out(collection: Collection, found: Sources, settings: DataSettings) -> Iterator[Problem]:
    """Problems of clips whose file cannot be decoded, or that start after its end."""
    table = collection.table
    lines = table["row"] if "row" in table else [None] * len(table)
    for name, path, start, seconds, line in zip(
        table["id"], table["path"], table["start"], table["seconds"], lines, strict=True
    ):
        source = found[Path(path)]
        try:
            if isinstance(source, DataError):
                raise source
            if collection.kind == "sound":
                _clip(Path(path), source.T, settings.sample_rate, start, seconds)
        except Fault as fault:
            yield fault.problem(name, line)


def _sounds(collection: Collection, settings: DataSettings, sources: list[npt.NDArray[Any]]) -> ArraySignals:
    """The signals of all clips, cut from their sources (T, C)."""
    numbers = _channel_numbers(collection) if settings.channels == "views" else None
    rate = settings.sample_rate
    paths = [Path(path) for path in collection.table["path"]]
    if numbers is None:
        _same_channels(paths, sources)
    places = zip(paths, collection.table["start"], collection.table["seconds"], sources, strict=True)
    clips = [_clip(path, source.T, rate, start, seconds) for path, start, seconds, source in places]
    spans = [_span(clip, settings.trim_db) for clip in clips]
    kept = [clip[:, first:last] for clip, (first, last) in zip(clips, spans, strict=True)]
    cut = sum(clip.shape[1] for clip in clips) - sum(clip.shape[1] for clip in kept)
    begins = np.array([first for first, _ in spans], np.float64) / rate
    if numbers is not None:  # after trimming, so that all views of a clip have the same times
        kept = [clip[channel : channel + 1] for clip, channel in zip(kept, numbers, strict=True)]
    return ArraySignals(kept, float(rate), (kept[0].shape[0] if kept else 1,), cut / rate, begins)


def _channel_numbers(collection: Collection) -> list[int]:
    """The channel of each row. Raises RequestError if the collection has none."""
    if "channel" not in collection.table:
        raise RequestError(
            f"data.channels: 'views' needs a row for each channel, but {collection.name or 'the collection'} "
            "has none. Load it by Collection.load(data, Columns(views=True)), or use mean or all."
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
    """The part of a source (C, T) that is the clip; to the end if no length is given."""
    samples = source.shape[1]
    first = round(start * rate)
    last = min(samples, round((start + seconds) * rate)) if seconds > 0 else samples
    if first >= last:
        reason = f"the clip from {start:g} s on has no samples; the file has {samples / rate:g} s."
        raise Fault("short", reason, "Correct start and seconds, or remove the row.", path)
    return source[:, first:last]


def _span(clip: Waves, decibels: float | None) -> tuple[int, int]:
    """First sample and end of a clip (C, T) after trimming."""
    return (0, clip.shape[1]) if decibels is None else sounding(clip, decibels)
