"""docs/coverage.md: every part of the source systems has a file, a test and a figure, and they exist."""

import re
from pathlib import Path

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
