"""The state of the server (spaces, suspects, trainings) and the limits of requests."""

import json
import os
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fastapi import HTTPException

from nearfield.core.errors import DataError, RequestError
from nearfield.data.probing import FileKey, content_digest, file_key
from nearfield.models.features.log_mel import LogMelSettings
from nearfield.server.decisions import Decisions, Runs
from nearfield.server.media import WavRange
from nearfield.space.identity import Identity
from nearfield.space.map import SpaceMap
from nearfield.space.space import Space
from nearfield.space.storage import SpaceFile
from nearfield.training.run import Run

# Limits of requests, which bound the memory of the server.


@dataclass(frozen=True)
class Limits:
    """Upper bounds; larger requests are rejected before they are decoded."""

    body_bytes: int = 64 * 2**20
    """Bytes in the body of a request, counted while they arrive."""
    seconds: float = 600.0
    """Seconds of an uploaded sound, or of the requested span."""
    reach: float = 3600.0
    """Seconds from the start of an uploaded sound to the end of the span, all of which is decoded."""
    channels: int = 8
    """Channels of an uploaded sound."""
    samples: int = 2**25
    """Samples of an upload in all channels: 128 MB when decoded."""
    answers: int = 1000
    """Rows in an answer."""
    picture_seconds: float = 600.0
    """Seconds of a clip in its spectrogram."""


# A binary format for maps: a JSON header and arrays in one body.
#
# Four bytes with the length of the header, little-endian; the header, padded with blanks to a multiple of
# eight bytes; the arrays, each padded to a multiple of eight bytes. `arrays` in the header gives name, type,
# offset after the header, and number of elements.

Array = npt.NDArray[Any]
_TYPES = ("float32", "uint8", "uint16", "uint32", "int32")


def pack(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """One body of a header and flat arrays of float32 or integers."""
    listed, parts, place = [], [], 0
    for name, array in arrays.items():
        assert array.dtype.name in _TYPES, array.dtype
        raw = np.ascontiguousarray(array).tobytes()
        listed.append({"name": name, "type": array.dtype.name, "offset": place, "length": int(array.size)})
        filled = raw + bytes(-len(raw) % 8)
        parts.append(filled)
        place += len(filled)
    text = json.dumps({**header, "arrays": listed}, allow_nan=False, ensure_ascii=False).encode()
    text += b" " * (-(len(text) + 4) % 8)
    return b"".join([struct.pack("<I", len(text)), text, *parts])


def unpack(body: bytes) -> tuple[dict[str, Any], dict[str, Array]]:
    """The inverse of `pack`."""
    (length,) = struct.unpack_from("<I", body)
    header = json.loads(body[4 : 4 + length])
    begin = 4 + length
    arrays = {
        each["name"]: np.frombuffer(body, each["type"], each["length"], begin + each["offset"])
        for each in header["arrays"]
    }
    return header, arrays


# An open space: clips by id, columns as arrays, map.

_HIDDEN = frozenset(("id", "path", "vector", "source", "offset", "clip", "row", "tags", "position"))
_OF_TIME = frozenset(("start", "seconds", "moment"))
_FIRST = ("label", "tags", "cluster", "split", "recording", "group")
_SUSPICION = "suspicion"


@dataclass(frozen=True)
class SpaceClip:
    """One row of a space."""

    row: int
    id: str
    path: Path
    start: float
    seconds: float
    label: str
    tags: tuple[str, ...]
    channel: int | None

    def plain(self) -> dict[str, Any]:
        """The fields for a client: all except the path of the file."""
        return {
            "row": self.row,
            "id": self.id,
            "start": self.start,
            "seconds": self.seconds,
            "label": self.label,
            "tags": list(self.tags),
        }


class LoadedSpace:
    """A space with its rows in memory and its map; a lock lets one client at a time use the network."""

    def __init__(self, space: Space, layouts: SpaceMap, suspicion: Mapping[str, float] | None = None) -> None:
        self.space, self.layouts = space, layouts
        self.table: pd.DataFrame = space.rows().to_pandas()
        self.rows = {clip: row for row, clip in enumerate(self.table["id"])}
        self.suspicion = suspicion or {}
        self.network = threading.Lock()
        self._same: dict[str, FileKey] = {}
        """Paths of files whose contents were checked."""
        self._packed: dict[str, bytes] = {}
        self._packing = threading.Lock()

    def __len__(self) -> int:
        return len(self.table)

    @property
    def name(self) -> str:
        """The name for messages."""
        return self.space.folder.resolve().name

    @property
    def is_current(self) -> bool:
        """Whether the space has not been updated since it was opened here."""
        try:
            return SpaceFile.read(self.space.folder).version == self.space.state.file.version
        except RequestError:
            return False

    def places(self) -> Iterator[Path]:
        """The paths of the space, of its run and of its data."""
        file = self.space.state.file
        yield from (self.space.folder, self.space.folder.resolve(), Path(file.run), Path(file.data))
        yield from map(Path, self.table["path"].unique())

    def clip(self, name: str) -> SpaceClip:
        """The clip with an id. Raises KeyError for all others, so that only listed files can be reached."""
        return self.at(self.rows[name])

    def at(self, row: int) -> SpaceClip:
        """The clip of a row."""
        cells = self.table.iloc[row]
        number = cells.get("channel")
        is_view = number is not None and str(cells["clip"]).endswith(f"#channel{number}")
        return SpaceClip(
            row=row,
            id=str(cells["id"]),
            path=Path(cells["path"]),
            start=float(cells["start"]),
            seconds=float(cells["seconds"]),
            label=str(cells["label"]),
            tags=tuple(cells["tags"]),
            channel=int(number) if number is not None and is_view else None,
        )

    def file(self, clip: SpaceClip) -> Path:
        """The path of the file of a clip. Raises DataError if its contents have changed since indexing."""
        with suppress(OSError):  # a missing file is reported when it is read
            key = file_key(clip.path)
            if self._same.get(key[0]) != key:
                indexed = str(self.table["source"].iloc[clip.row]).partition(" ")[0]
                if content_digest(clip.path) != indexed:
                    raise DataError(
                        f"{clip.id}: its file has changed since the space was made. Update the space: "
                        f"nearfield index --out {self.name} --update"
                    )
                self._same[key[0]] = key
        return clip.path

    def window(self, clip: SpaceClip) -> WavRange:
        """The sound of a clip. Raises DataError if its file is missing, has changed, or cannot be read."""
        return WavRange.of(self.file(clip), clip.start, clip.seconds, clip.channel)

    @property
    def kind(self) -> str:
        """sound or picture."""
        return "picture" if self.space.run.recipe.modality == "image" else "sound"

    def tagger(self) -> Run:
        """The run that knows tags: the space's copy where it has a head for them, else the run itself.

        Raises RequestError where that is gone, or has become another one.
        """
        copy = self.space.run
        if copy.folder.head.is_file():
            return copy
        folder = self.space.state.file.run
        run = Run.load(folder)
        self.space.identity.check(Identity.of(run), folder, str(self.space.folder))
        return run

    def columns_of(self, row: int) -> dict[str, Any]:
        """The additional columns of a row, by name."""
        cells = {name: self.table[name].iloc[row] for name in self._own()}
        plain = {name: cell.item() if isinstance(cell, np.generic) else cell for name, cell in cells.items()}
        return {name: None if pd.isna(cell) else cell for name, cell in plain.items()}

    def rows_where(self, where: str) -> Array:
        """The rows that a filter selects. Raises RequestError if it is invalid."""
        return np.asarray(self.space.rows([], where)["position"].to_numpy())

    def picture(self) -> LogMelSettings:
        """The log-mel settings of the network, or the defaults if it has another feature."""
        feature = self.space.run.recipe.feature
        return feature if isinstance(feature, LogMelSettings) else LogMelSettings()

    def packed_map(self, layout: str, with_columns: bool) -> bytes:
        """One layout, with the columns for colors, packed for the page and cached. Raises RequestError."""
        if layout not in self.layouts.layouts:
            known = ", ".join(self.layouts.layouts)
            raise RequestError(f"layout: the map has no {layout!r}. Known: {known}.")
        key = f"{layout} {with_columns}"
        with self._packing:
            if key not in self._packed:
                self._packed[key] = self._pack(layout, with_columns)
            return self._packed[key]

    def _pack(self, layout: str, with_columns: bool) -> bytes:
        arrays: dict[str, Array] = {"points": self.layouts.layouts[layout].ravel()}
        header: dict[str, Any] = {
            "name": self.name,
            "identity": str(self.space.identity),
            "kind": self.kind,
            "count": len(self),
            "layout": layout,
            "layouts": [
                {"name": name, "dimensions": points.shape[1], "trust": _finite(self.layouts.trust[name])}
                for name, points in self.layouts.layouts.items()
            ],
        }
        if with_columns:
            arrays["ids"] = np.frombuffer("\0".join(self.table["id"]).encode(), np.uint8)
            header["columns"] = [self._column(name, arrays) for name in self._columns()]
        return pack(header, arrays)

    def _own(self) -> list[str]:
        hidden = _HIDDEN | _OF_TIME if self.kind == "picture" else _HIDDEN
        return [str(name) for name in self.table if name not in hidden]

    def _columns(self) -> list[str]:
        tagged = ["tags"] if self.table["tags"].map(len).any() else []
        known = ["cluster", *tagged, *([_SUSPICION] if self.suspicion else []), *self._own()]
        order = {name: place for place, name in enumerate(_FIRST)}
        return sorted(dict.fromkeys(known), key=lambda name: order.get(name, len(order)))

    def _column(self, name: str, arrays: dict[str, Array]) -> dict[str, Any]:
        """Adds the arrays of one column; returns its entry in the header."""
        if name == "tags":
            numbers, names = _numbered([tag for tags in self.table["tags"] for tag in tags])
            arrays["tags"] = numbers.astype(np.uint32)
            counts = self.table["tags"].map(len).to_numpy(np.int64)
            arrays["tags/offsets"] = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
            return {"name": "tags", "kind": "set", "names": names}
        if name == "cluster":
            values: Any = self.layouts.clusters
            names = [f"cluster {number + 1}" for number in range(int(values.max()) + 1)]
            arrays[name] = values.astype(np.int32)
            return {"name": name, "kind": "class", "names": names}
        if name == _SUSPICION:
            arrays[name] = np.array([self.suspicion.get(id, np.nan) for id in self.table["id"]], np.float32)
            return {"name": name, "kind": "number"}
        cells = self.table[name]
        if pd.api.types.is_float_dtype(cells):
            arrays[name] = cells.to_numpy(np.float32)
            return {"name": name, "kind": "number"}
        numbers, names = _numbered(cells.fillna("").astype(str).tolist())
        arrays[name] = numbers
        return {"name": name, "kind": "class", "names": names}


def _numbered(cells: Sequence[str]) -> tuple[Array, list[str]]:
    """Class numbers in the order of names, -1 for none."""
    named = pd.Series(cells, dtype=object).replace("", None)
    numbers, names = pd.factorize(named, sort=True)
    return numbers.astype(np.int32), [str(name) for name in names]


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


# The state of the server: one or two spaces, suspects with decisions, runs.


@dataclass(frozen=True)
class AppState:
    """Everything that requests can access."""

    spaces: tuple[LoadedSpace, ...] = ()
    """One or two spaces, whose clips are matched by id."""
    suspects: Sequence[Mapping[str, Any]] = ()
    """id, kind, score, reason, suggestion, proposed, other; the most suspicious first."""
    decisions: Decisions | None = None
    runs: Runs | None = None
    limits: Limits = field(default_factory=Limits)

    def shown(self, number: int) -> LoadedSpace:
        """A space by its number. Raises 404."""
        if not 0 <= number < len(self.spaces):
            raise HTTPException(404, f"There is no space number {number} here.")
        return self.spaces[number]

    def without_places(self, text: str) -> str:
        """Replaces paths in a message by names, so that clients do not see folders of the server."""
        folders = {str(place.parent) for place in self._places()} - {".", os.sep}
        for folder in sorted(folders, key=len, reverse=True):
            text = text.replace(folder + os.sep, "")
        return text

    def _places(self) -> Iterator[Path]:
        for shown in self.spaces:
            yield from shown.places()
        if self.decisions is not None:
            yield self.decisions.path
        if self.runs is not None:
            yield self.runs.folder

    def clip(self, name: str, number: int = 0) -> tuple[LoadedSpace, SpaceClip]:
        """A clip by its id. Raises 404 for all others, so that only listed files can be reached."""
        shown = self.shown(number)
        try:
            return shown, shown.clip(name)
        except KeyError:
            raise HTTPException(404, "The space has no clip with this id.") from None
