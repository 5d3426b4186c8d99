"""A sample of `damage`: no harm to a run or a space is answered by a traceback, or by a wrong answer."""

import random
from pathlib import Path

import pytest

from tests.journeys.damage import Case, cases, prepare, usual, wrong

QUICK = ("tag", "embed", "suspects", "search", "search clip", "verify", "page")
"""Commands that take a moment; the others are asked by `python -m tests.journeys.damage`."""
SAMPLE = 40


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    return tmp_path


def test_every_harm_is_an_error_that_names_the_file_or_changes_nothing(place: Path) -> None:
    answers = usual(place, QUICK)
    every = [case for case in cases(place) if case.command in QUICK]
    random.Random(3).shuffle(every)
    found: dict[Case, str | None] = {case: wrong(place, case, answers) for case in every[:SAMPLE]}
    assert {str(case): said for case, said in found.items() if said is not None} == {}
