"""A space as one HTML file: a map of its clips in 3-D, colored by label or tags; a click plays a clip.

The file contains everything, also the sounds (Ogg Vorbis, 16 kHz, mono), so that it can be sent and opened
without a server or network.
"""

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import write_text
from nearfield.core.types import Floats, Vectors
from nearfield.data.audio import decode, resample, write_sound
from nearfield.data.faults import Fault
from nearfield.space.map import map_beside
from nearfield.space.nearest import Nearest
from nearfield.space.space import Space
from nearfield.training.events import Callback, Note, Stage, ignore

RATE = 16000
NEIGHBOURS = 8
"""Neighbors listed for each clip, among the clips of the page."""
COLOURS = 8
"""Number of classes with a color of their own."""
TEMPLATE = Path(__file__).with_name("onefile.html")
PLACE = "/*CLIPS*/null"
"""The placeholder for the clips in the template."""


@dataclass(frozen=True)
class Page:
    """The result of `write_page`."""

    path: Path
    clips: int
    of: int
    """Clips in the space."""
    layout: str
    """The layout: umap_3d or pca_3d."""
    bytes: int
    left_out: int
    """Chosen clips whose sound cannot be read."""


def write_page(
    folder: Path, out: Path, most: int = 500, seconds: float = 4.0, callback: Callback = ignore
) -> Page:
    """Writes the space in `folder` to the file `out`: at most `most` clips, evenly chosen, `seconds` of each.

    Clips whose sound cannot be read are left out and reported. Raises RequestError if there is no space, or
    it is of images; DataError if no sound can be read.
    """
    space = Space.load(folder)
    table = space.rows().to_pandas()
    found = map_beside(folder / "map.parquet", list(table["id"]), space.vectors, space.identity.digest)
    layout = next(name for name in ("umap_3d", "pca_3d") if name in found.layouts)
    rows = np.unique(np.linspace(0, len(table) - 1, min(most, len(table))).round().astype(int))
    points, clips, faults = scaled(found.layouts[layout][rows]), list[dict[str, Any]](), list[Fault]()
    kept = list[int]()
    for place, (row, point) in enumerate(zip(table.iloc[rows].to_dict("records"), points, strict=True), 1):
        callback(Stage("sounds", place, len(rows)))
        try:
            encoded = sound(Path(row["path"]), float(row["start"]), min(seconds, float(row["seconds"])))
        except Fault as fault:
            faults.append(fault)
            continue
        clips.append(
            {
                "at": [round(float(value), 4) for value in point],
                "name": str(row["id"]),
                "label": str(row["label"]),
                "tags": list(row["tags"]),
                "start": float(row["start"]),
                "end": float(row["start"]) + float(row["seconds"]),
                "sound": encoded,
            }
        )
        kept.append(int(rows[place - 1]))
    if faults:
        message = f"{len(faults):,} of {len(rows):,} clips are left out of the page. The first: {faults[0]}"
        if not clips:
            raise DataError(message)
        callback(Note(message, is_warning=True))
    trust = found.trust[layout]
    said: dict[str, Any] = {"title": folder.resolve().name, "layout": layout, "of": len(table)}
    said["trust"] = None if np.isnan(trust) else trust
    said["column"], said["classes"] = classes(table)
    for clip, near in zip(clips, neighbours(space.vectors[kept]), strict=True):
        clip["near"] = near
    text = json.dumps({**said, "clips": clips}, ensure_ascii=False).replace("<", "\\u003c")
    write_text(out, TEMPLATE.read_text(encoding="utf-8").replace(PLACE, text))
    return Page(out, len(clips), len(table), layout, out.stat().st_size, len(faults))


def classes(table: pd.DataFrame) -> tuple[str, list[dict[str, Any]]]:
    """The column that colors the points, label or tags, and its values with their counts in the space.

    Values are in the order of their colors, as on the page of `explore`: by name if each has its own color,
    else the most frequent first.
    """
    column = "label" if table["label"].astype(bool).any() or not table["tags"].map(len).any() else "tags"
    counts = table[column].explode().fillna("").value_counts()
    named = sorted(counts.items(), key=lambda each: (-each[1], str(each[0])))
    order = sorted(named, key=lambda each: str(each[0])) if len(named) <= COLOURS else named
    return column, [
        {"name": str(name), "count": int(count)} for name, count in order if name or column == "label"
    ]


def neighbours(vectors: Vectors) -> list[list[tuple[int, float]]]:
    """For each of (n, D) unit vectors the rows of its nearest neighbors and their cosine distances."""
    count = min(NEIGHBOURS + 1, len(vectors))
    rows, scores = Nearest.of(vectors).search_many(vectors, count)
    return [
        [(other, round(max(0.0, 1 - score), 4)) for other, score in zip(*each, strict=True) if other != row]
        for row, each in enumerate(zip(rows.tolist(), scores.tolist(), strict=True))
    ]


def scaled(points: Vectors) -> Floats:
    """Centers points (n, 3) and scales the largest distance from the origin to 1."""
    centered = points.astype(np.float64) - points.mean(0)
    reach = float(np.linalg.norm(centered, axis=1).max(initial=0.0))
    return np.asarray(centered / (reach or 1.0))


def sound(path: Path, start: float, seconds: float) -> str:
    """A span of a file as a data URI that browsers play. Raises RequestError for an image."""
    if seconds <= 0:
        raise RequestError(f"{path} contains no sound. `nearfield page` needs a space of sounds.")
    waves, rate = decode(path, start, seconds)
    wave = resample(waves.mean(0, keepdims=True), rate, RATE)
    held = io.BytesIO()
    write_sound(held, np.clip(wave, -1, 1), RATE, ".ogg")
    return "data:audio/ogg;base64," + base64.b64encode(held.getvalue()).decode()
