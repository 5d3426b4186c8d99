"""The protocol of DCASE 2018 task 5 on a stand-in: four folds, then nodes that are known and that are not.

    python benchmarks/challenge.py [--data ../shared/data] [--updates 100] [--keep FOLDER]

The stand-in lies in the published layout. Nine classes of esc10 stand for the nine activities, a Freesound
recording for a session; a clip is its sound played twice, 10 s, at 8 kHz. A node is a room and four
microphones: a colour (smooth, 6 dB standard deviation), reverberation and noise, drawn once a node. Two
thirds of the sessions are the development set, heard by one of nodes 1 to 4 each, in four folds of whole
sessions; each clip of the rest is heard by a known node and by one of 5, 6, 7. Everything is drawn with seed
0. It shows that the protocol runs and what it says; its figures are no results on the challenge.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from rich.console import Console
from scipy.signal import fftconvolve

from nearfield.analysis.explain.explain import explain
from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.analysis.run_table import train_folds
from nearfield.cli.analysis import fold_table
from nearfield.cli.tables import explanation
from nearfield.core.rng import stream
from nearfield.core.types import Floats
from nearfield.data.audio import decode, resample
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run

ROOT = Path(__file__).parents[1]
RATE, SECONDS, MICROPHONES = 8000, 10, 4
KNOWN, UNKNOWN = (1, 2, 3, 4), (5, 6, 7)
LEFT_OUT = "sea_waves"
Row = tuple[str, str, str, int]
"""Path, label, session, and the fold that judges it."""
RECIPES: dict[str, dict[str, Any]] = {
    "labels": {},
    "time alone": {
        "relation.kind": "time",
        "relation.range_seconds": 5.0,
        "sampler.kind": "tiles",
        "sampler.range_seconds": 5.0,
        "sampler.batch_size": 32,
        "loss.kind": "nt_xent",
    },
}
"""What each changes in the recipe labels."""


def main() -> None:
    """Makes the stand-in, trains, tells."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = os.environ.get("NEARFIELD_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--updates", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="Folder that stays; usual: a temporary one.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        if not (folder / "development").is_dir():
            write_sets(given.data / "esc10", folder)
        console = Console(highlight=False, width=110)
        shared = {"data.sample_rate": RATE, "data.clip_seconds": 1.0, "train.updates": given.updates}
        for name, changes in RECIPES.items():
            recipe = Recipe.load("labels").changed(shared | changes)
            out = folder / name.replace(" ", "-")
            console.print(f"\n## {name}: {given.updates} updates of 64 windows of 1 s\n")
            asked = Request(recipe, f"dcase2018_task5:{folder / 'development'}", out)
            console.print(fold_table(train_folds(asked)))
            judged = f"dcase2018_task5:{folder / 'evaluation'}?part=evaluation"
            explanation(console, explain(OpenedRun.open(Run.load(out / "fold-1"), judged), most_clusters=9))


def write_sets(esc10: Path, folder: Path) -> None:
    """development/ and evaluation/ in the published layout."""
    table = pd.read_csv(esc10 / "labels.csv")
    table = table[table["label"] != LEFT_OUT]
    sessions = sorted(set(table["recording"]))
    order = stream(0, "sessions").permutation(len(sessions)).tolist()
    place = {sessions[at]: position for position, at in enumerate(order)}
    develop, evaluate = list[Row](), list[Row]()
    for number, (path, label, session) in enumerate(
        table[["path", "label", "recording"]].itertuples(index=False)
    ):
        wave = twice(esc10 / path)
        judges = place[session] % 3 == 2
        nodes = (KNOWN[number % 4], UNKNOWN[number % 3]) if judges else (KNOWN[number % 4],)
        for node in nodes:
            kind = "Eval" if judges else "Dev"
            name = f"audio/{kind}Node{node}_ex{place[session]}_{number}.wav"
            target = folder / ("evaluation" if judges else "development") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(target, heard(wave, node, number), RATE)
            rows = evaluate if judges else develop
            rows.append((name, label, f"ex{place[session]}", place[session] // 3 % 4 + 1))
    write_tables(folder, develop, evaluate)


def write_tables(
    folder: Path, develop: list[tuple[str, str, str, int]], evaluate: list[tuple[str, str, str, int]]
) -> None:
    """meta.txt, the folds, and the list of the evaluation set."""

    def line(row: Row) -> str:
        return "\t".join(row[:3])

    def write(path: Path, lines: Iterator[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n")

    setup = folder / "development" / "evaluation_setup"
    write(folder / "development" / "meta.txt", map(line, develop))
    for fold in range(1, 5):
        write(setup / f"fold{fold}_train.txt", (line(row) for row in develop if row[3] != fold))
        write(setup / f"fold{fold}_evaluate.txt", (line(row) for row in develop if row[3] == fold))
    write(folder / "evaluation" / "evaluation_setup" / "evaluate.txt", map(line, evaluate))


def twice(path: Path) -> Floats:
    """(T,) ten seconds of a sound of five, at 8 kHz."""
    waves, rate = decode(path)
    wave = resample(waves.mean(0, keepdims=True), rate, RATE)[0].astype(np.float64)
    return np.resize(wave, RATE * SECONDS)


def heard(wave: Floats, node: int, number: int) -> Floats:
    """(T, 4) a wave as the four microphones of a node hear it."""
    found = np.stack([fftconvolve(wave, room(node, each))[: len(wave)] for each in range(MICROPHONES)], 1)
    found *= 0.1 / max(1e-9, float(np.sqrt(np.mean(found**2))))
    floor = 10 ** (stream(0, "floor", node).uniform(-60, -40) / 20)
    noisy: Floats = found + floor * stream(0, "noise", node, number).standard_normal(found.shape)
    return np.clip(noisy, -1, 1)


def room(node: int, microphone: int) -> Floats:
    """The response from the source to a microphone: direct sound, decaying noise, and the node's colour."""
    chance = stream(0, "room", node)
    decay, points = chance.uniform(0.1, 0.4), chance.normal(0, 6, 8)
    clock = np.arange(RATE // 2) / RATE
    response = (
        0.1 * stream(0, "walls", node, microphone).standard_normal(len(clock)) * 10 ** (-3 * clock / decay)
    )
    response[0] = 1
    spectrum = np.fft.rfft(response)
    colour = np.interp(np.linspace(0, 7, len(spectrum)), np.arange(8), points)
    return np.asarray(np.fft.irfft(spectrum * 10 ** (colour / 20)), np.float64)


if __name__ == "__main__":
    main()
