"""Numbers in words."""

import pytest

from nearfield.core.text import count, visible


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


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "a dog's bark, na\u00efve \u72ac \U0001f415\u200d",
            "a dog's bark, na\u00efve \u72ac \U0001f415\u200d",
        ),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("back\rto the start\x9b2J", "back\\rto the start\\x9b2J"),
        ("not UTF-8: caf\udce9", "not UTF-8: caf\\udce9"),
        ("txt.\u202evaw", "txt.\\u202evaw"),
    ],
)
def test_what_would_be_obeyed_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown
