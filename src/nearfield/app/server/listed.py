"""Suspects as `nearfield suspects` wrote them: its CSV table, or the JSON that it prints."""

import csv
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.data.patches import text_rows


def read_suspects(path: Path) -> list[dict[str, Any]]:
    """Suspects of a CSV table, or of a JSON file: a list, or an object with one as `suspects`.

    What somebody decided in the table stays with each as `decision`. Raises RequestError.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return _of_table(text) if path.suffix.lower() == ".csv" else _of_json(text)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{path} holds no suspects ({type(error).__name__}: {error}). "
            f"Make it: nearfield suspects RUN --out suspects.csv"
        ) from None


def _of_json(text: str) -> list[dict[str, Any]]:
    found = json.loads(text)
    listed = found["suspects"] if isinstance(found, dict) else found
    return [
        {**each, "id": str(each["id"]), "kind": str(each["kind"]), "score": _score(each["score"])}
        for each in listed
    ]


def _of_table(text: str) -> list[dict[str, Any]]:
    """Rows with a kind; rows of people's own, which have none, are decisions and no suspects."""
    rows = text_rows(csv.DictReader(io.StringIO(text, newline="")))
    return [_suspect(row) for row in rows if row["kind"]]


def _suspect(row: Mapping[str, str]) -> dict[str, Any]:
    words = ("id", "kind", "column", "before", "after", "decision", "reason", "suggestion")
    proposed = row["after"] or row["before"] if row["column"] != "use" else None
    plain = {name: row.get(name) or "" for name in words}
    return {**plain, "score": _score(row["score"]), "proposed": proposed, "other": row.get("other") or None}


def _score(given: Any) -> float:
    score = float(given)
    if not math.isfinite(score):
        raise ValueError(f"a score is a number; given: {given}")
    return score
