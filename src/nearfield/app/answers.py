"""What every command that answers has alike: the option --json, and the one object that it prints."""

import json
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def print_json(value: Any) -> None:
    """One line on standard output. NaN is refused: it is not JSON."""
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))
