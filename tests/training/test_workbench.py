"""What is said of the data before anything is done with them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from nearfield.core.errors import DataError
from nearfield.data.collection import Collection
from nearfield.data.faults import Problem
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.events import Event, Note
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import note_data, note_left_out
from nearfield.training.trainer import launch


def test_a_leak_and_what_is_odd_are_told_to_those_who_measure_and_what_is_left_out_to_all() -> None:
    rows = pd.DataFrame({"path": ["a.wav", "b.wav"], "seconds": 1.0})
    gone = Problem("missing", "c.wav", None, "there is no such file.", "Bring it back.")
    odd = replace(gone, severity="warning")
    collection = replace(Collection.from_rows(rows), leaks=("ann",), problems=(gone, odd))
    said = list[Event]()
    note_left_out(collection.problems, said.append)
    assert said == [Note("left out: c.wav: there is no such file.", is_warning=True)]
    note_data(collection, said.append)
    assert said[2:] == [
        Note("c.wav: there is no such file. Bring it back.", is_warning=True),
        Note("1 group occurs in two splits; results are marked.", is_warning=True),
    ]
    note_data(replace(collection, leaks=("ann", "ben"), problems=()), said.append)
    assert said[4:] == [Note("2 groups occur in two splits; results are marked.", is_warning=True)]


def test_a_file_that_breaks_while_decoding_is_left_out_and_told_by_training_and_measuring(
    tones: Path, recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(tones, data)
    samples, rate = soundfile.read(data / "a" / "0.wav")
    samples[9] = np.nan
    soundfile.write(data / "a" / "0.wav", samples, rate, subtype="FLOAT")
    said = list[Event]()
    made = recipe(train={"updates": 2})
    setup = launch(Request(made, str(data), tmp_path / "run"), said.append)
    told = "left out: a/0.wav: some samples after 0.0 s are NaN, infinite or beyond 1e10 (full scale is 1)."
    assert said.count(Note(told, is_warning=True)) == 1
    assert "a/0.wav" not in set(setup.collection.table["id"])
    assert (len(setup.collection), len(setup.metadata.labels), len(setup.network_input.signals)) == (
        39,
        39,
        39,
    )
    said.clear()
    result = evaluate_run(RunFolder(tmp_path / "run"), callback=said.append, with_baselines=False)
    assert result["data"]["clips"] == 39
    assert said.count(Note(told, is_warning=True)) == 1
    for path in data.rglob("*.wav"):
        soundfile.write(path, np.full(800, np.nan), rate, subtype="FLOAT")
    with pytest.raises(
        DataError, match=r"data: none of the 40 clips can be decoded\. The first reason: a/0\.wav"
    ):
        launch(Request(made, str(data), tmp_path / "other"))
