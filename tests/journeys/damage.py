"""Damaged runs and spaces: every file harmed in every way, and every command that reads it asked.

The answer must be that of the unharmed folder, or an error of ours that names the file. All of it:
`python -m tests.journeys.damage FOLDER [CASES]`; the test takes a sample.
"""

import json
import random
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from typer.testing import CliRunner

from nearfield.cli.main import app
from nearfield.core.errors import in_words
from nearfield.training.recipe import Recipe
from tests.training.conftest import small

RECIPE = small(
    normalize={"kind": "none"},
    relation={"kind": "tags"},
    sampler={"kind": "shuffle", "batch_size": 8},
    loss={"kind": "bce"},
    embedding={"size": 8, "normalize": False},
    train={"updates": 3, "checkpoint_seconds": 0},
)

COMMANDS: dict[str, tuple[str, ...]] = {
    "evaluate": ("evaluate", "run", "--json"),
    "embed": ("embed", "run", "--data", "data", "--out", "vectors.parquet"),
    "tag": ("tag", "run", "data/low/0.wav", "--json"),
    "explain": ("explain", "run", "--json"),
    "suspects": ("suspects", "run", "--json"),
    "index": ("index", "run", "--data", "data", "--out", "other"),
    "export": ("export", "run", "--to", "huggingface", "--out", "exported", "--licence", "mit"),
    "resume": ("train", "recipe.yaml", "--data", "data", "--out", "run", "--resume", "--json"),
    "search": ("search", "space", "data/low/1.wav", "--json"),
    "search clip": ("search", "space", "low/1.wav", "--json"),
    "page": ("page", "space", "--out", "map.html"),
    "update": ("index", "--out", "space", "--update"),
    "verify": ("index", "--out", "space", "--verify"),
}


def truncated(path: Path) -> None:
    """Half of the file is gone."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def emptied(path: Path) -> None:
    """Nothing is left in it."""
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    """One bit of the byte in the middle is another."""
    whole = bytearray(path.read_bytes())
    if whole:
        whole[len(whole) // 2] ^= 0x10
    path.write_bytes(bytes(whole))


def deleted(path: Path) -> None:
    """It is not there."""
    path.unlink()


def made_a_folder(path: Path) -> None:
    """A folder has its name."""
    path.unlink()
    path.mkdir()


DAMAGES: tuple[Callable[[Path], None], ...] = (truncated, emptied, flipped, deleted, made_a_folder)


@dataclass(frozen=True)
class Case:
    """One harm, and the command that is asked then."""

    file: str
    damage: Callable[[Path], None]
    command: str

    def __str__(self) -> str:
        return f"{self.file} {self.damage.__name__}: {self.command}"


def prepare(place: Path) -> None:
    """A tagger of eight short sounds and a space of it, in `place`, where the commands are to be called."""
    for number in range(8):
        low = number % 2 == 0
        time = np.arange(4000) / 8000
        wave = 0.3 * np.sin(2 * np.pi * (300 if low else 1500) * (1 + 0.02 * number) * time)
        path = place / "data" / ("low" if low else "high") / f"{number // 2}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, wave, 8000)
    sides = ("train", "train", "val", "test")
    rows = [f"{tag}/{at}.wav,{tag},{tag},{sides[at]}" for tag in ("low", "high") for at in range(4)]
    (place / "data/metadata.csv").write_text("\n".join(["path,label,tags,split", *rows]) + "\n")
    (place / "recipe.yaml").write_text(Recipe.of(RECIPE).text())
    for words in (
        ("train", "recipe.yaml", "--data", "data", "--out", "run"),
        ("index", "run", "--data", "data", "--out", "space"),
    ):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    for name in ("run", "space"):
        shutil.copytree(place / name, place / "whole" / name)


def cases(place: Path) -> Iterator[Case]:
    """Every file of the run and of the space, every harm, every command that is about its folder."""
    for file in sorted((place / "whole").rglob("*")):
        name = file.relative_to(place / "whole").as_posix()
        if file.is_file() and "tensorboard" not in name and file.name != "lock":
            for damage in DAMAGES:
                for command, words in COMMANDS.items():
                    if name.split("/")[0] in words:
                        yield Case(name, damage, command)


def asked(place: Path, command: str) -> tuple[int, str, BaseException | None]:
    """Exit code, standard output and error of a command."""
    done = CliRunner().invoke(app, COMMANDS[command])
    return done.exit_code, done.stdout, done.exception


def restore(place: Path) -> None:
    """The folders as they were before any harm, and nothing that commands wrote."""
    for name in ("run", "space", "other", "exported"):
        shutil.rmtree(place / name, ignore_errors=True)
    for name in ("vectors.parquet", "map.html"):
        (place / name).unlink(missing_ok=True)
    for name in ("run", "space"):
        shutil.copytree(place / "whole" / name, place / name)


def measured(out: str) -> str:
    """An answer, or of one with metrics those to three digits: beside them stand times and digests of files,
    and sums in one process depend in their last digits on what it did before."""
    found = json.loads(out) if out.startswith("{") else {}
    if "metrics" not in found:
        return out
    return "\n".join(f"{name} {value:.3f}" for name, value in found["metrics"].items())


def wrong(place: Path, case: Case, answers: dict[str, str]) -> str | None:
    """What is wrong with the answer of a case; None where nothing is."""
    restore(place)
    case.damage(place / case.file)
    code, out, error = asked(place, case.command)
    if code == 0:
        lines, usual_lines = (measured(each).splitlines() for each in (out, answers[case.command]))
        other = sorted(set(lines) ^ set(usual_lines))
        return f"another answer: {other[:3]}" if other else None
    said = None if error is None else in_words(error)
    if said is None:
        return f"exit code {code}, {type(error).__name__}: {error}"
    return None if Path(case.file).name in str(said) else f"the file is not named: {said}"


def usual(place: Path, commands: Iterable[str]) -> dict[str, str]:
    """What each command answers where nothing is harmed."""
    found = {}
    for command in commands:
        restore(place)
        code, found[command], error = asked(place, command)
        assert code == 0, (command, error)
    return found


def main(place: Path, number: int) -> None:
    """Tries so many cases, and prints those that go wrong."""
    prepare(place)
    answers, every = usual(place, COMMANDS), list(cases(place))
    print(len(every), "cases", flush=True)
    random.Random(0).shuffle(every)
    for case in every[:number]:
        if (said := wrong(place, case, answers)) is not None:
            print(f"{case}: {said}", flush=True)
    print("done")


if __name__ == "__main__":
    import os

    sweep_place = Path(sys.argv[1]).absolute()
    sweep_place.mkdir(parents=True, exist_ok=True)
    os.chdir(sweep_place)
    main(sweep_place, int(sys.argv[2]) if len(sys.argv) > 2 else 10**6)
