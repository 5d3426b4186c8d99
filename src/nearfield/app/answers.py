"""What every command that answers has alike: the option --json, and the one object that it prints."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def print_json(value: Any) -> None:
    """One line on standard output. NaN is refused: it is not JSON."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


@contextmanager
def stoppable(how_to_go_on: str) -> Iterator[None]:
    """Answers Ctrl-C with one line on standard error, and exit code 130."""
    try:
        yield
    except KeyboardInterrupt as stop:
        print(f"nearfield: {str(stop) or 'stopped'}; {how_to_go_on}", file=sys.stderr)
        raise typer.Exit(130) from None
