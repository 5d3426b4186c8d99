"""What every command that answers has alike: the option --json, and how text reaches the terminal.

Names and labels come from files, so nothing that is printed is read as rich's markup or emoji, and control
characters are shown escaped.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfield.core.words import visible

if TYPE_CHECKING:
    from rich.console import Console

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def print_json(value: Any) -> None:
    """One line on standard output. NaN is refused: it is not JSON."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def say(text: object, err: bool = False) -> None:
    """A line on standard output, or on standard error."""
    typer.echo(visible(str(text)), err=err)


def terminal(err: bool = False) -> "Console":
    """Where tables and styled lines are printed."""
    from nearfield.app.widths import Terminal

    return Terminal(stderr=err, highlight=False, markup=False, emoji=False)


@contextmanager
def stoppable(how_to_go_on: str) -> Iterator[None]:
    """Answers Ctrl-C with one line on standard error, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as stop:
        print(f"nearfield: {str(stop) or 'stopped'}; {how_to_go_on}", file=sys.stderr)
        raise typer.Exit(130) from None
