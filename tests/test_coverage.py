"""docs/coverage.md: every part of the source systems has a file, a test and a figure, and they exist."""

import json
import re
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "coverage.md"
COLUMNS = ("id", "what it is", "where", "checked by", "what it showed", "data")
LETTERS = {"D": 13, "T": 16, "X": 10, "M": 20, "L": 9, "R": 11, "V": 30, "P": 11, "U": 20}
IDS = [f"{letter}{number}" for letter, last in LETTERS.items() for number in range(1, last + 1)]
IDS = [each for name in IDS for each in ([f"M7{part}" for part in "abcd"] if name == "M7" else [name])]
NAMED = re.compile(r"`([^`]+)`")


def rows() -> dict[str, dict[str, str]]:
    """The rows of all tables of the page, by id."""
    found: dict[str, dict[str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if line.startswith("|") and re.fullmatch(r"[A-Z]\d+[a-d]?", cells[0]):
            assert cells[0] not in found, f"{cells[0]} stands twice"
            found[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    return found


ROWS = rows() if PAGE.is_file() else {}


def test_every_part_has_its_row_and_no_other() -> None:
    assert sorted(ROWS) == sorted(IDS)


@pytest.mark.parametrize("name", IDS)
def test_a_row_is_filled_and_what_it_names_is_there(name: str) -> None:
    row = ROWS[name]
    for column, cell in row.items():
        assert cell.strip("–- "), f"{name}: nothing stands under {column!r}"
    places = NAMED.findall(row["where"])
    assert places, f"{name}: no file"
    for place in places:
        assert (ROOT / place).exists(), f"{name}: there is no {place}"
    checks = NAMED.findall(row["checked by"])
    assert checks, f"{name}: no test"
    for check in checks:
        path, _, function = check.partition("::")
        file = ROOT / path
        assert path.startswith("tests/"), f"{name}: {path} is no test"
        assert file.is_file(), f"{name}: there is no {path}"
        if function:
            assert re.search(
                rf"^def {re.escape(function)}\(", file.read_text(encoding="utf-8"), re.MULTILINE
            ), f"{name}: {path} has no {function}"


@cache
def _facts(study: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / "studies" / study / "facts.json").read_text())
    return found


def _said(study: str) -> list[float]:
    """What a study's document says of its measures: means, differences, baselines."""
    facts = _facts(study)
    conclusion = facts["conclusion"]
    found = [each["mean"] for each in conclusion["estimates"].values()]
    found += [each[key] for each in conclusion["comparisons"] for key in ("difference", "low", "high")]
    found += [value for row in facts["baselines"].values() for value in row.values()]
    return found + [each["mean"] for arm in facts["arms"] for each in arm["measures"].values()]


def _measured(study: str) -> list[float]:
    """All other means over seeds: of every metric, and of every point of the validation curves."""
    found: list[float] = []
    for arm in _facts(study)["arms"]:
        for name in {name for run in arm["runs"] for name in run["metrics"]}:
            found.append(fmean(run["metrics"][name] for run in arm["runs"] if name in run["metrics"]))
        curves = [run["curves"].get("val/recall_at_1", {}).get("values", []) for run in arm["runs"]]
        found += [fmean(point) for point in zip(*curves, strict=False) if None not in point]
    return found


QUOTES = {
    name: studies
    for name, row in ROWS.items()
    if (studies := sorted(set(re.findall(r"docs/studies/(\w+)", " ".join(row.values()))) - {"README"}))
}
"""The studies whose documents a row names."""


@pytest.mark.parametrize("name", QUOTES)
def test_what_a_row_quotes_stands_in_the_document_that_it_names(name: str) -> None:
    """Figures of three digits; in rows of studies only what the document says of its measures."""
    told = re.sub(r"`[^`]*`", "", ROWS[name]["what it showed"])  # what commands print is theirs
    allowed = [value for study in QUOTES[name] for value in _said(study)]
    if not name.startswith("U"):
        allowed += [value for study in QUOTES[name] for value in _measured(study)]
    rounded = {f"{abs(value):.3f}" for value in allowed}
    assert set(re.findall(r"(?<![\d.,])0\.\d{3}(?!\d)", told)) <= rounded


def test_every_study_is_checked_by_a_run() -> None:
    runs = re.compile(r"`tests/study/test_study_runs\.py::test_a_shipped_study_runs`")
    assert [name for name in ROWS if name.startswith("U") and not runs.search(ROWS[name]["checked by"])] == []
