"""Every command that README and guides print is one that the command line takes; those of the results open
their data as well."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from nearfield.cli.main import app
from nearfield.core.shipped import shipped
from nearfield.training.prepare import open_to_train
from nearfield.training.recipe import Recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs/log.md"})
COMMAND = re.compile(r"(?:\.venv/bin/)?nearfield ([a-z].*)")
NAMES = {*shipped("recipes"), *shipped("studies")}
SHORTENED = re.compile(r"\.\.\.|…|\||\[")
"""What marks a command as shortened or as several in one."""


def commands(page: Path) -> Iterator[list[str]]:
    """The words behind `nearfield` of every command in backticks or on a line of a code block."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    rest = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for line in (*lines, *(" ".join(each.split()) for each in re.findall(r"`([^`]+)`", rest))):
        found = COMMAND.fullmatch(re.split(r"\s{3,}(?![\s-])|\s#\s|\s>\s", line)[0].strip())
        if found and not SHORTENED.search(re.sub(r"=\[[^\]]*\]", "=", found[1])):
            words = ["1" if word == "SECONDS" else word for word in shlex.split(found[1])]
            if not is_mention(words):
                yield words


def is_mention(words: list[str]) -> bool:
    """Whether a command and perhaps an option are only named, as in "`nearfield explore --watch` shows"."""
    return all(re.fullmatch(r"-{0,2}[a-z-]+", word) or word in NAMES for word in words)


def parse(words: list[str]) -> dict[str, Any]:
    """The values that the command line makes of the words; nothing is run. Raises SystemExit(2) where it
    refuses them."""
    found: dict[str, Any] = {}

    def capture(command: Any) -> None:
        for each in getattr(command, "commands", {}).values():
            capture(each)
        if not hasattr(command, "commands"):
            command.callback = lambda **values: found.update(values)

    command = typer.main.get_command(app)
    capture(command)
    try:
        command(list(words), prog_name="nearfield")
    except SystemExit as ended:
        if ended.code:
            raise
    return found


PRINTED = [(page.name, words) for page in PAGES for words in commands(page)]


def test_commands_are_found() -> None:
    assert len(PRINTED) > 40
    assert sum(page == "results.md" for page, _ in PRINTED) >= 12


def test_a_wrong_option_and_a_missing_one_are_seen() -> None:
    with pytest.raises(SystemExit):
        parse(["train", "labels.yaml", "--data", "x", "--output", "y"])
    with pytest.raises(SystemExit):
        parse(["train", "labels.yaml", "--data", "x"])


@pytest.mark.parametrize(
    ("page", "words"), PRINTED, ids=lambda it: it if isinstance(it, str) else shlex.join(it)[:60]
)
def test_a_printed_command_is_taken(page: str, words: list[str]) -> None:
    parse(words)


@pytest.mark.parametrize(
    "words",
    [words for page, words in PRINTED if page == "results.md" and words[0] == "train"],
    ids=lambda it: it[3],
)
def test_a_printed_training_opens_its_data(
    words: list[str], real_data: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    given = parse(words)
    recipe = Recipe.load(given["recipe"], given["changes"] or ())
    data = real_data(given["data"].removeprefix("DATA/"))
    assert len(open_to_train(str(data), recipe, given["allow_leak"]).rows("train"))
