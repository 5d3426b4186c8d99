"""Every golden file: the measures still make of its input what they made of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from .renew import MEASURES

FILES = sorted(Path(__file__).parent.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden(path: Path) -> None:
    content = json.loads(path.read_text())
    _same(MEASURES[content["measure"]](content["input"]), content["output"], path.stem)


def test_every_measure_has_golden_files() -> None:
    assert {path.stem.rsplit("_", 1)[0] for path in FILES} == set(MEASURES)


def _same(found: Any, expected: Any, where: str) -> None:
    """Equal in structure, and in numbers to 1e-12."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            _same(found[key], expected[key], f"{where}/{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for place, (left, right) in enumerate(zip(found, expected, strict=True)):
            _same(left, right, f"{where}[{place}]")
    elif expected is None:
        assert found is None, where
    else:
        assert found == pytest.approx(expected, abs=1e-12, rel=0), where
