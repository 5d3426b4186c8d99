"""What every command that answers has alike: the option --json, and how text reaches the terminal.

Names and labels come from files, so nothing that is printed is read as rich's markup or emoji, and control
characters are shown escaped.
"""

import codecs
import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nearfield.core.failures import in_words
from nearfield.core.words import visible

if TYPE_CHECKING:
    from rich.console import Console

RecipeName = Annotated[Path, typer.Argument(help="A recipe: a file, or a name of `nearfield list recipes`.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def print_json(value: Any) -> None:
    """One line on standard output, in ASCII where that takes no UTF-8. NaN is refused: it is not JSON."""
    is_wide = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    text = json.dumps(value, ensure_ascii=not is_wide, allow_nan=False)
    print(text if _is_text(text) else json.dumps(value, allow_nan=False))


def _is_text(text: str) -> bool:
    """Whether it holds no half characters, which names of files may have."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


_PLAIN = {"–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "×": "x"}


def print_anything() -> None:
    """Lets both outputs take any text: what their encoding lacks is printed by its nearest plain letter."""

    def plainly(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(_PLAIN.get(each, "?") for each in error.object[error.start : error.end]), error.end

    codecs.register_error("plainly", plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="plainly")


def expanded(word: str) -> str:
    """A word of the command line with `~`, the home folder, written out: shells leave it in --out=~/x."""
    option, equals, value = word.partition("=")
    if word.startswith("--") and equals and (value == "~" or value.startswith("~/")):
        return f"{option}={Path(value).expanduser()}"
    return str(Path(word).expanduser()) if word == "~" or word.startswith("~/") else word


def flushed(code: Any) -> Any:
    """`code`, after standard output was written out; 1, and a sentence, where it cannot be."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again and complains
        if not isinstance(error, BrokenPipeError):  # nobody reads on, as in `nearfield runs | head`
            say(f"nearfield: {in_words(error)}", err=True)
        return 1
    return code


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
