"""README and guides are run: each line of their shell blocks, one after the other, on a small set of sounds.

A block that cannot be run has the line `<!-- not run: reason -->` above it; NOT_RUN counts those of a page.
Words in capitals stand for files of one's own (WORDS); trainings are cut short by a few more words (SHORTER).
"""

import csv
import re
import shlex
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from typer.testing import CliRunner

from nearfield.cli.main import app
from tests.training.conftest import small

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
MARK = re.compile(r"<!-- not run: (.+) -->\s*\Z")
LANGUAGES = {"sh", "python", "yaml", "toml", "text", "console"}
NOT_RUN = {"README.md": 1, "explore.md": 1, "export.md": 2, "extend.md": 1, "tools.md": 3}

WORDS = {
    **dict.fromkeys(("MY_SOUNDS", "DATA", "LIBRARY"), "sounds"),
    **dict.fromkeys(("RUN", "RUN_A", "RUN_B", "STUDY"), "run"),
    **dict.fromkeys(("SPACE", "OTHER"), "space"),
    **dict.fromkeys(("QUERY.wav", "FILE", "FILE_A"), "sounds/test/rain/rain_004.wav"),
    "FILE_B": "sounds/test/bell/bell_004.wav",
    "CLIP": "train/rain/rain_000.wav",
    "RECIPE": "recipe.yaml",
    "RUN2": "run-2",
    "FOLDER": "folder",
    "DIR": "dir",
}
PLACE = re.compile(rf"(?<![\w.])(?:{'|'.join(map(re.escape, WORDS))})(?![\w.])")
SHORTER = {
    "train": "--set train.updates=4",
    "folds": "--set train.updates=2",
    "mend": "--seeds 3",
    "study run": "--set 'design={folds: 1, seeds: 1}' --set train.updates=2 --workers 1 "
    "--set 'vary={loss.margin: [0.3, 1]}'",
    "explore": "--port 0 --no-browser",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    reason: str
    """Why it is not run; empty where it is."""


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    text, found = page.read_text(encoding="utf-8"), []
    for match in FENCE.finditer(text):
        mark = MARK.search(text[: match.start()])
        found.append(Block(match[1], match[2], mark[1] if mark else ""))
    return found


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each line behind `nearfield`; what is optional is left out, and so are remarks."""
    for line in block.text.replace("\\\n", " ").splitlines():
        said = re.split(r"\s{3,}(?![\s-])|\s#\s", line)[0].strip()
        while (shorter := re.sub(r"\s\[[^\[\]]*\]", "", said)) != said:
            said = shorter
        command = re.fullmatch(r"(?:\.venv/bin/)?nearfield (.+)", said.replace("...", ""))
        assert command, f"not a command of nearfield, so the block needs a mark: {line}"
        yield [PLACE.sub(lambda place: WORDS[place[0]], word) for word in shlex.split(command[1])]


def run(words: list[str]) -> str:
    """What a command prints, its training cut short; a space that is in the way of a new one goes."""
    if words[0] == "index" and "--update" not in words:
        shutil.rmtree(words[words.index("--out") + 1], ignore_errors=True)
    called = next((name for name in SHORTER if words[: name.count(" ") + 1] == name.split()), "")
    done = CliRunner().invoke(app, [*words, *shlex.split(SHORTER.get(called, ""))], catch_exceptions=False)
    assert done.exit_code == 0, f"{shlex.join(words)}: {done.output}"
    return done.output


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sounds in class folders and a table, a recipe, a run, and a space of it."""
    folder = tmp_path_factory.mktemp("world")
    rng, time = np.random.default_rng(0), np.arange(3 * 8000) / 8000
    rows = []
    for label, pitch in {"rain": 300.0, "dog_bark": 700.0, "bell": 1900.0}.items():
        for number in range(8):
            split = ("train", "train", "train", "train", "test", "test", "val", "val")[number]
            path = f"{split}/{label}/{label}_{number:03d}.wav"
            wave = np.sin(2 * np.pi * pitch * (1 + 0.05 * rng.standard_normal()) * time)
            (folder / "sounds" / path).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(
                folder / "sounds" / path, 0.3 * wave + 0.02 * rng.standard_normal(len(time)), 8000
            )
            tags = "tone|high" if label == "bell" else "tone|low" if number % 2 else ""
            rows.append([path, label, tags, split, label.upper(), "0.0"])
    with (folder / "sounds/labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "label", "tags", "split", "species", "onset_s"], *rows])
    judged(folder)
    recipe = small(sampler={"kind": "balanced", "classes": 3, "per_class": 4}, train={"updates": 8})
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    (folder / "my-study.yaml").write_text(
        next(block.text for block in blocks(ROOT / "README.md") if block.text.startswith("question:"))
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run(["train", "recipe.yaml", "--data", "sounds", "--out", "run"])
        run(["index", "run", "--data", "sounds", "--out", "space"])
        run(["suspects", "run", "--out", "suspects.csv"])
    return folder


def judged(folder: Path) -> None:
    """Tables of scores in which the arm "new" is much better than "old", in two sets of names."""
    rng = np.random.default_rng(0)
    rows = [
        (arm, seed, group, mean + 0.1 * rng.standard_normal())
        for arm, mean in (("old", 0.5), ("new", 0.9))
        for seed in range(6)
        for group in range(30)
    ]
    table = pd.DataFrame(rows, columns=["arm", "seed", "group", "score"])
    table.to_csv(folder / "scores.csv", index=False)
    table.rename(columns={"arm": "model", "seed": "run", "group": "item", "score": "f1"}).to_csv(
        folder / "board.csv", index=False
    )
    table.assign(score=-table["score"]).to_parquet(folder / "losses.parquet")


@pytest.fixture
def here(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in; servers come up, and end at once."""
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("uvicorn.Server.run", closed)
    return tmp_path


def closed(server: object, sockets: list[socket.socket]) -> None:
    """A server that ends as soon as it could listen."""
    for each in sockets:
        each.close()


def decide(table: Path) -> None:
    """Accepts every suspect of a table, as a person would."""
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "decision": "accepted"} for row in rows)


def test_every_block_says_what_it_is_and_those_not_run_are_counted() -> None:
    for page in PAGES:
        assert {block.language for block in blocks(page)} <= LANGUAGES, page.name
    marked = {page.name: sum(bool(block.reason) for block in blocks(page)) for page in PAGES}
    assert {name: number for name, number in marked.items() if number} == NOT_RUN


RUNNABLE = [page for page in PAGES if any(b.language == "sh" and not b.reason for b in blocks(page))]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_the_shell_blocks_of_a_page_run(page: Path, here: Path) -> None:
    for block in blocks(page):
        if block.language == "sh" and not block.reason:
            for words in commands(block):
                run(words)
                if words[0] == "suspects":
                    decide(here / "suspects.csv")
        elif block.language == "python" and "my-run" in block.text:
            exec(compile(PLACE.sub(lambda place: WORDS[place[0]], block.text), page.name, "exec"), {})
