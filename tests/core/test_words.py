"""Numbers in words."""

import pytest

from nearfield.core.words import count


@pytest.mark.parametrize(
    ("number", "noun", "said"),
    [
        (0, "clip", "0 clips"),
        (1, "problem", "1 problem"),
        (2, "class", "2 classes"),
        (1200, "row", "1,200 rows"),
    ],
)
def test_one_is_singular_and_all_else_plural(number: int, noun: str, said: str) -> None:
    assert count(number, noun) == said
