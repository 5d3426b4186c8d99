"""The page docs/extend.md does what it says: its Python blocks run, in order, in one namespace."""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "extend.md"


def test_the_page_runs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"```python\n(.*?)```", text, flags=re.S))
    assert len(blocks) >= 3
    names: dict[str, Any] = {"__name__": "extend"}
    for block in blocks:
        before = text[: block.start(1)].count("\n")
        exec(compile("\n" * before + block[1], str(PAGE), "exec"), names)


def test_a_loss_is_fifteen_lines() -> None:
    """From the class to the end of its method, without blank lines and the sentence that describes it."""
    block = re.search(r"class Lifted.*?```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    assert block is not None
    lines = [line for line in block[0].splitlines()[:-1] if line.strip() and '"""' not in line]
    assert len(lines) <= 15
