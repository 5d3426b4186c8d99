"""Tables in terminals of any width: words may break over lines, figures are never cut."""

from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from nearfield.core.words import visible


class Terminal(Console):
    """A console that shows control characters instead of obeying them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does, of the text with control characters escaped."""
        return super().render_str(visible(text), **options)


UNBOUNDED = 10_000
"""Columns of a terminal in which every table fits."""


def show(console: Console, table: Table) -> None:
    """Prints a table; one that cannot fit at its own width, so that the terminal breaks its lines."""
    if not fits(console, table):
        table.width = _least(console, table)
    console.print(table, crop=False)


def fits(console: Console, table: Table) -> bool:
    """Whether a table can be shown in the terminal with all its figures and words whole."""
    return _least(console, table) <= console.width


def _least(console: Console, table: Table) -> int:
    """The width that a table needs when its words are broken over lines wherever they can be."""
    for column in table.columns:
        column.no_wrap = column.no_wrap or column.justify == "right"  # figures
        if column.no_wrap:
            column.min_width = _widest(column)
    return Measurement.get(console, console.options.update(width=UNBOUNDED), table).minimum


def _widest(column: Column) -> int:
    shown = [visible(str(cell)) for cell in (column.header, *column.cells) if isinstance(cell, str | Text)]
    return max((cell_len(line) for cell in shown for line in cell.split("\n")), default=0)
