"""Songs made of clips, each a sound file and a list: a label's heart, a clip's surroundings, a playlist."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.files import write_text
from nearfield.core.nouns import Ints
from nearfield.data.writing import check_name
from nearfield.evaluation.centres import Heard, centre_clips, neighbourhood
from nearfield.evaluation.playlist import playlist
from nearfield.space.listening.joining import Seam, join, pieces_of
from nearfield.space.listening.shelf import Shelf


@dataclass(frozen=True, eq=False)
class Song:
    """Clips in the order in which they are heard."""

    rows: Ints
    """(n,) of the shelf."""
    clips: pd.DataFrame
    """One row a clip: place (seconds in the sound), id, path, start, seconds (as heard), label, tags, and
    distances."""
    audio: Path | None
    """The sound file; None where only the list was asked for."""
    seconds: float
    """Length of the sound."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        clips = [{**row, "tags": list(row["tags"])} for row in self.records()]
        return {"audio": self.audio and str(self.audio), "seconds": self.seconds, "clips": clips}

    def records(self) -> list[dict[str, Any]]:
        """The list, one dict a clip."""
        return [{str(key): value for key, value in row.items()} for row in self.clips.to_dict("records")]


def centre(shelf: Shelf, name: str, count: int = 5) -> Heard:
    """The clips of a label (or tag) nearest to its centroid, by angle in radians."""
    return centre_clips(shelf.vectors, np.where(shelf.members(name), 0, -1), 0, count)


def surroundings(shelf: Shelf, clip: str, count: int = 5) -> Heard:
    """A clip and the clips nearest to it, by 1 - cos."""
    return neighbourhood(shelf.vectors, shelf.row(clip), count)


def sequence(shelf: Shelf, clip: str, count: int = 20, once: bool = True) -> Heard:
    """A playlist from a clip on, each the nearest to the one before; `once`: one clip a group."""
    return playlist(shelf.vectors, shelf.row(clip), count, once=shelf.groups if once else None)


def make_song(
    shelf: Shelf,
    heard: Heard,
    audio: Path | None,
    most: float,
    seam: Seam | None = None,
    further: Mapping[str, Sequence[float]] | None = None,
) -> Song:
    """The clips as a song; `audio` is written where it is given, and a CSV of the same name beside it.

    `most`: seconds of each clip that are played; `further`: columns that the list has beside its own. Raises
    DataError for files that cannot be read, RequestError for a sound file whose name ends in something else
    than .wav, .flac or .ogg.
    """
    clips = shelf.take(heard.rows).assign(distance=heard.distances, **dict(further or {}))
    if audio is None:
        return Song(heard.rows, clips, None, 0.0)
    check_name(audio)
    pieces = pieces_of(clips, most)
    clips = clips.assign(start=[piece.start for piece in pieces], seconds=[piece.seconds for piece in pieces])
    joined = join(pieces, seam)
    clips.insert(0, "place", joined.begins)
    joined.write(audio)
    text = clips.assign(tags=["|".join(tags) for tags in clips["tags"]]).to_csv(index=False)
    write_text(audio.with_suffix(".csv"), text)
    return Song(heard.rows, clips, audio, joined.seconds)
