"""Every planted mistake is answered by its whole sentence, exit code 2, and leaves nothing behind.

The texts stand in mistakes.txt, to be read by people. A list of all kinds of a family stands there as
<losses> and the like, so that a new kind changes no text, and a list that is not whole does. After a change
on purpose:
`python -m tests.journeys.test_mistakes` writes them anew, and the difference is for review.
"""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearfield.cli import main as cli
from nearfield.cli.families import families
from nearfield.core.settings import kinds
from nearfield.learning.losses.library import READS, all_pair_kinds
from nearfield.learning.losses.settings import pair_kinds
from nearfield.learning.samplers.base import samplers_without
from tests.journeys.mistakes import MISTAKES, plant

TEXTS = Path(__file__).with_name("mistakes.txt")
HEAD = "== "


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mistakes").resolve()
    plant(folder)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


def answer(arguments: list[str], here: Path) -> tuple[int, str]:
    """Exit code and standard error of one command, with this machine's folder left out."""
    said, code = io.StringIO(), 0
    before, sys.argv = sys.argv, ["nearfield", *arguments]
    try:
        with contextlib.redirect_stderr(said):
            cli.main()
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        sys.argv = before
    lines = [line.rstrip() for line in said.getvalue().replace(str(here), "HERE").strip().splitlines()]
    return code, without_kinds("\n".join(lines))


def without_kinds(text: str) -> str:
    """The text with lists of kinds by what they list, the longest first."""
    whole = {name: list(kinds(members)) for name, members in families().items()}
    whole["losses"] += READS
    whole |= {"losses over pairs": list(all_pair_kinds()), "own losses over pairs": list(pair_kinds())}
    for need in ("labels", "tags", "time"):
        whole[f"samplers without {need}"] = samplers_without(need).split(", ")
    for name, listed in sorted(whole.items(), key=lambda item: -len(item[1])):
        text = text.replace(", ".join(listed), f"<{name}>")
    return text


def stored() -> dict[str, str]:
    blocks = TEXTS.read_text(encoding="utf-8").split(HEAD)[1:]
    return {name: text.strip() for name, _, text in (block.partition("\n") for block in blocks)}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_answer_is_the_whole_sentence(name: str, here: Path) -> None:
    code, text = answer(MISTAKES[name], here)
    assert text == stored()[name]
    assert code == 2
    assert not (here / "out").exists()


def test_there_are_fifty_and_none_is_left_over() -> None:
    assert len(MISTAKES) >= 50
    assert list(stored()) == list(MISTAKES)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        plant(folder)
        os.chdir(folder)
        texts = {title: answer(arguments, folder)[1] for title, arguments in MISTAKES.items()}
    TEXTS.write_text("\n\n".join(f"{HEAD}{title}\n{text}" for title, text in texts.items()) + "\n")
