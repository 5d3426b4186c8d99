"""The listening test's form: one HTML file to be opened by double click, and a key that stays behind.

The page holds the sounds themselves and nothing that tells a condition: no names, no distances, an order and
sides drawn by chance. Answers stay in the browser until they are saved as CSV; nothing is sent anywhere.
"""

import base64
import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearfield.core.errors import RequestError
from nearfield.core.files import write_text
from nearfield.data.writing import write_sound
from nearfield.evaluation.neighbours import unit
from nearfield.space.listening.joining import Joined, Seam, join, pieces_of
from nearfield.space.listening.pairs import Pair, draw_pairs
from nearfield.space.listening.shelf import Shelf

TEMPLATE = Path(__file__).parent / "form.html"
LOWEST, HIGHEST = 1, 10
"""Ratings: not at all alike, and the same."""


@dataclass(frozen=True)
class Form:
    """What was written."""

    page: Path
    key: Path
    """What each pair is: keep it from the listeners."""
    id: str
    pairs: int
    conditions: dict[str, int]
    """Pairs of each condition."""

    def plain(self) -> dict[str, Any]:
        """As values that JSON can hold."""
        return {
            "form": self.id,
            "page": str(self.page),
            "key": str(self.key),
            "pairs": self.pairs,
            "conditions": self.conditions,
        }


def write_form(
    shelf: Shelf, page: Path, key: Path | None = None, anchors: int = 10, seconds: float = 5.0, seed: int = 0
) -> Form:
    """Writes the form of a listening test and its key (JSON; beside the page where no place is given).

    `anchors`: clips that are compared, each in every condition; `seconds` of each that are heard. Raises
    RequestError where the page's name does not end in .html or clips are too few, DataError for files that
    cannot be read.
    """
    if page.suffix.lower() not in (".html", ".htm"):
        raise RequestError(f"{page}: the form is a page. Give it a name that ends in .html.")
    key = key or page.with_name(f"{page.stem}-key.json")
    pairs = draw_pairs(shelf, anchors, seed)
    rows = sorted({row for pair in pairs for row in (pair.anchor, pair.other)})
    sounds = {row: _sound(shelf, row, seconds) for row in rows}
    names = [f"p{number:03d}" for number in range(1, len(pairs) + 1)]
    listed = [_described(shelf, name, pair) for name, pair in zip(names, pairs, strict=True)]
    own = hashlib.sha256(json.dumps([listed, seed]).encode()).hexdigest()[:12]
    given = [_heard(name, pair, rows) for name, pair in zip(names, pairs, strict=True)]
    content = {
        "form": own,
        "lowest": LOWEST,
        "highest": HIGHEST,
        "pairs": given,
        "sounds": [sounds[row] for row in rows],
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    # A closing tag inside the data would end the script.
    write_text(page, text.replace("/*CONTENT*/null", json.dumps(content).replace("</", "<\\/")))
    write_text(key, json.dumps({"form": own, "space": shelf.name, "seed": seed, "pairs": listed}, indent=1))
    counted = {each["condition"] for each in listed}
    counts = {name: sum(each["condition"] == name for each in listed) for name in sorted(counted)}
    return Form(page, key, own, len(pairs), counts)


def _heard(name: str, pair: Pair, rows: list[int]) -> dict[str, Any]:
    """What the page knows of a pair: two sounds by number."""
    both = [rows.index(pair.anchor), rows.index(pair.other)]
    return {"pair": name, "sounds": both if pair.anchor_first else both[::-1]}


def _described(shelf: Shelf, name: str, pair: Pair) -> dict[str, Any]:
    """What the key knows of a pair."""
    anchor, other = (shelf.table.iloc[row] for row in (pair.anchor, pair.other))
    left, right = unit(shelf.vectors[[pair.anchor, pair.other]].astype(np.float64))
    return {
        "pair": name,
        "condition": pair.condition,
        "anchor": str(anchor["id"]),
        "other": str(other["id"]),
        "anchor_label": str(anchor["label"] or ""),
        "other_label": str(other["label"] or ""),
        "distance": float(1 - left @ right),
        "anchor_first": pair.anchor_first,
    }


def _sound(shelf: Shelf, row: int, seconds: float) -> str:
    """The clip as FLAC, for the page."""
    joined: Joined = join(pieces_of(shelf.take([row]), seconds), Seam(gap=0.0))
    out = io.BytesIO()
    write_sound(out, joined.wave, joined.rate, ".flac")
    return "data:audio/flac;base64," + base64.b64encode(out.getvalue()).decode()
