"""The commands of a space, as a script calls them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner, Result

from nearfield.cli.main import app
from nearfield.core.errors import DataError, RequestError
from nearfield.space import nearest
from nearfield.space.space import Space
from nearfield.training.run import Run


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def own(listener: Run, sounding: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A space that was made by the command."""
    folder = tmp_path_factory.mktemp("own") / "space"
    done = call("index", listener.folder.path, "--data", sounding, "--out", folder, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["vectors"] == found["added"] == len(Space.load(folder))
    return folder


def test_a_space_is_verified_and_given_an_approximate_index_without_its_run(own: Path) -> None:
    done = call("index", "--out", own, "--approximate", "--verify", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    facts = Space.load(own).approximate
    assert facts is not None
    assert found["approximate"] == facts.model_dump()
    assert found["verified"] is True
    said = call("index", "--out", own, "--verify")
    assert "every file is as it was written" in said.stdout


def test_an_update_needs_neither_run_nor_data(own: Path) -> None:
    done = call("index", "--out", own, "--update", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["added"], found["dropped"], found["kept"]) == (0, 0, len(Space.load(own)))


def test_an_update_from_elsewhere_or_by_another_rule_is_refused(
    own: Path, sounding: Path, listener: Run, tmp_path: Path
) -> None:
    before = Space.load(own).state.file
    run, moved = listener.folder.path, tmp_path / "moved"
    shutil.copytree(sounding, moved)
    done = call("index", run, "--data", moved, "--out", own, "--update")
    assert isinstance(done.exception, RequestError)
    for part in (str(sounding), str(moved), "another --out", "--data-moved"):
        assert part in str(done.exception)
    done = call("index", run, "--data", sounding, "--out", own, "--update", "--windows", "all")
    assert isinstance(done.exception, RequestError)
    assert "--windows clip" in str(done.exception)
    assert Space.load(own).state.file == before

    shutil.copytree(own, tmp_path / "copy")
    words = (
        "index",
        run,
        "--data",
        moved,
        "--out",
        tmp_path / "copy",
        "--update",
        "--windows",
        "clip",
        "--data-moved",
    )
    done = call(*words, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["kept"] == len(Space.load(own))
    assert json.loads(done.stdout)["embedded"] == 0
    rows = (moved / "labels.csv").read_text().splitlines(keepends=True)
    (moved / "labels.csv").write_text("".join(rows[:10]))
    done = call(*words)
    assert isinstance(done.exception, DataError)
    assert "21 of its 30 clips are no longer in" in str(done.exception)
    assert "--allow-drop" in str(done.exception)
    done = call(*words, "--allow-drop", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["dropped"] == 21


def test_verify_names_the_file_that_is_damaged(listener: Run, sounding: Path, tmp_path: Path) -> None:
    space = Space.create(listener, str(sounding), tmp_path / "space")
    file = space.state.generation.folder / "vectors.npy"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    done = call("index", "--out", tmp_path / "space", "--verify")
    assert isinstance(done.exception, DataError)
    assert "vectors.npy" in str(done.exception)


def test_a_query_that_is_nothing_is_told_what_to_do_next(own: Path) -> None:
    for words, said in (
        (("nope.wav",), "Correct the path"),
        (("loow/0.wav",), "Did you mean 'low/0.wav'"),
        (("loow/0.wav", "--seconds", 0.2), "Did you mean 'low/0.wav'"),
        (("low/0.wav", "--seconds", 0.2), "--start and --seconds are of a file. Given: the id of a clip"),
        (("low/0.wav", "--start", 0.1), "--start and --seconds are of a file. Given: the id of a clip"),
    ):
        done = call("search", own, *words)
        assert isinstance(done.exception, RequestError)
        assert said in str(done.exception)


def test_a_query_shorter_than_the_encoder_hears_is_told(own: Path, sounding: Path) -> None:
    heard = Space.load(own).run.recipe.data.clip_seconds
    for seconds, told in ((heard / 2, True), (heard, False)):
        done = call("search", own, sounding / "low/0.wav", "--seconds", seconds)
        assert done.exit_code == 0, done.output
        assert (f"shorter than the encoder's windows of {heard:g} s" in done.stderr) is told


@pytest.mark.parametrize("words", [[], ["--data", "sounds"], ["--data", "sounds", "--verify"]])
def test_index_says_what_is_missing(words: list[str], tmp_path: Path) -> None:
    done = call("index", *words, "--out", tmp_path / "space")
    assert isinstance(done.exception, RequestError)
    assert "nearfield index RUN --out SPACE (of the run's data; of others: --data DATA)" in str(
        done.exception
    )
    assert "--verify" in str(done.exception)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--data", "sounds", "--data-moved"], "--data-moved .* --update"),
        (["--verify", "--data-moved"], "--data-moved .* --update"),
        (["run", "--data", "sounds", "--allow-drop"], "--allow-drop .* --update"),
        (["--update", "--data-moved"], "--data-moved .* --data NEW_PLACE"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    done = call("index", *words, "--out", tmp_path / "space")
    assert isinstance(done.exception, RequestError)
    assert re.search(said, str(done.exception))


def test_how_usual_a_query_is_in_the_whole_space_is_always_told(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = Space.load(own).rows(["path"])["path"][0].as_py()
    found = json.loads(call("search", own, sound, "--json").stdout)["answers"]
    assert 0.05 < found[0]["typicality"] < 1
    share = f"{100 * found[0]['typicality']:.1f} %".replace(".0 %", " %")
    usual = f"This query is typical: {share} of the clips are at least as far from their nearest neighbor.\n"
    assert call("search", own, sound).stderr == usual
    assert call("search", own, sound, "--where", "label = 'high'").stderr == usual
    monkeypatch.setattr("nearfield.cli.spaces.RARE", found[0]["typicality"])
    assert call("search", own, sound).stderr == (
        f"No close match: only {share} of the clips are this far from their nearest neighbor.\n"
    )


def test_a_filter_that_nothing_meets_is_told(own: Path) -> None:
    for where, said in (
        ("label = 'lwo'", "No clip meets label = 'lwo'. Did you mean 'low'? Known: high, low, middle."),
        ("seconds > 900", "No clip meets seconds > 900."),
        ("label = 'low' AND seconds > 900", "No clip meets label = 'low' AND seconds > 900."),
    ):
        done = call("search", own, "low/0.wav", "--where", where)
        assert done.exit_code == 0, done.output
        assert done.stdout == ""
        assert done.stderr.strip() == said


def test_index_takes_the_data_of_the_run_where_none_are_given(
    listener: Run, sounding: Path, tmp_path: Path
) -> None:
    done = call("index", listener.folder.path, "--out", tmp_path / "space")
    assert done.exit_code == 0, done.output
    assert f"data: {sounding}, which the run was trained on" in done.stderr
    space = Space.load(tmp_path / "space")
    assert done.stdout == f"{tmp_path / 'space'}: 30 vectors of 30 clips; {space.identity}\n"
    done = call("index", "--out", tmp_path / "space", "--update")
    assert done.stdout == (
        f"{tmp_path / 'space'}: 30 vectors; clips: 0 added, 0 changed, 0 dropped, 30 kept, 0 left out; "
        f"vectors: 0 computed, 30 copied; {space.identity}\n"
    )


def test_long_files_are_indexed_window_by_window_and_it_is_said(listener: Run, tmp_path: Path) -> None:
    """One long file beside two short ones holds most of the sound; a shorter one does not."""
    heard = listener.recipe.data.clip_seconds
    chance, day = np.random.default_rng(0), tmp_path / "long" / "day"
    day.mkdir(parents=True)

    def write(number: int, windows: int) -> None:
        soundfile.write(
            day / f"{number}.wav", 0.1 * chance.standard_normal(round(8000 * windows * heard)), 8000
        )

    for number, windows in enumerate((1, 10, 12)):
        write(number, windows)
    index = ("index", listener.folder.path, "--data", tmp_path / "long")
    done = call(*index, "--out", tmp_path / "all")
    assert done.exit_code == 0, done.output
    assert "1 of 3 clips (52% of the sound) are longer than 10 windows" in done.stderr
    said = f"{heard:g} s. Each window gets one vector; for one per clip: --windows clip"
    assert said in done.stderr
    assert "23 vectors of 3 clips" in done.stdout
    write(2, 11)
    done = call(*index, "--out", tmp_path / "half", "--json")
    assert json.loads(done.stdout)["windows"] == "clip"
    for rule, number in (("clip", 3), ("all", 22)):
        done = call(*index, "--windows", rule, "--out", tmp_path / f"asked {rule}")
        assert f"{number} vectors of 3 clips" in done.stdout
        assert "longer than" not in done.stderr


def test_answers_are_written_as_a_table_with_the_places_in_files(
    own: Path, sounding: Path, tmp_path: Path
) -> None:
    done = call("search", own, "low/0.wav", "--top", 30, "--out", tmp_path / "found.csv")
    assert done.exit_code == 0, done.output
    table = pd.read_csv(tmp_path / "found.csv")
    answers = Space.load(own).search("low/0.wav", top=30)
    assert list(table["path"]) == [each.path for each in answers]
    np.testing.assert_allclose(table["end"] - table["start"], [each.seconds for each in answers], atol=2e-3)
    assert set(table["start"]) == {0.0, 0.25, 1.125}
    assert list(table["rank"]) == list(range(1, 30))
    assert "  0:01.125  low tone" in done.stdout
    done = call("search", own, "low/0.wav", "--out", tmp_path / "found.txt")
    assert "to a file FILE.csv. Given:" in str(done.exception)


def test_a_start_beyond_the_end_of_the_file_is_told(own: Path, sounding: Path) -> None:
    sound = sounding / "low" / "0.wav"
    done = call("search", own, sound, "--start", 100)
    assert isinstance(done.exception, RequestError)
    assert str(done.exception) == f"start: {sound} ends at 0.4 s. Given: 100 s. Give an earlier start."


def test_a_run_and_a_space_are_not_mixed_up(own: Path, listener: Run, tmp_path: Path) -> None:
    run = listener.folder.path
    for words, said in (
        (("search", run, "low/0.wav"), f"it is a run. Make a space of it: nearfield index {run} --data"),
        (("page", run, "--out", tmp_path / "p.html"), "it is a run. Make a space of it"),
        (
            ("export", own, "--to", "onnx", "--out", tmp_path / "o"),
            f"Give the run that made it: {run}",
        ),
        (("index", own, "--data", "x", "--out", tmp_path / "s"), "it is a space. Give the run"),
        (("index", run, "--data", "x", "--out", run), "Choose another folder for the space"),
        (("study", "report", run), f"it is a run. To inspect a run: nearfield explain {run}"),
    ):
        done = call(*words)
        assert isinstance(done.exception, RequestError)
        assert said in str(done.exception)


def test_search_prints_the_answers_of_the_library(
    own: Path, sounding: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = next(sounding.rglob("*.wav"))
    wanted = Space.load(own).search(sound, top=3)
    done = call("search", own, sound, "--top", 3, "--json")
    assert [each["id"] for each in json.loads(done.stdout)["answers"]] == [each.id for each in wanted]
    assert "compiled" not in done.stderr
    monkeypatch.setattr("nearfield.space.screening.is_compiled", lambda: False)
    monkeypatch.setattr(nearest, "FEW", 0)
    done = call("search", own, sound, "--top", 3)
    assert "Compiling the search for this machine" in done.stderr
    assert [line.split()[2] for line in done.stdout.splitlines()] == [each.id for each in wanted]
