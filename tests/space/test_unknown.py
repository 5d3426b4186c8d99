"""What is said of a query that a space does not know."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from nearfield.space.space import next_step

WINDOWS = pa.table(
    {
        "clip": ["bird.flac"] * 3 + ["rain.wav"],
        "id": [f"bird.flac@{at:.3f}" for at in (0, 1, 2)] + ["rain.wav@0.000"],
        "start": [0.0, 1.0, 2.0, 0.0],
    }
)
CLIPS = pa.table({"clip": ["bird.flac"], "id": ["bird.flac"], "start": [0.0]})


@pytest.mark.parametrize(
    ("given", "names", "said"),
    [
        (
            "bird.flac@61.5",
            WINDOWS,
            "'bird.flac' has 3 windows, the first at 0 s, the last at 2 s. The nearest: ",
        ),
        ("bird.flac@61.5", WINDOWS, "'bird.flac@2.000'."),
        ("bird.flac@0:01", WINDOWS, "The nearest: 'bird.flac@1.000'."),
        ("bird.flac@1:00:02", WINDOWS, "The nearest: 'bird.flac@2.000'."),
        ("bird.flac@1", WINDOWS, "The nearest: 'bird.flac@1.000'."),
        ("rain.wav@3", WINDOWS, "has 1 window, the first"),
        (
            "bird.flac@61.5",
            CLIPS,
            "has one vector for the whole clip 'bird.flac'. Search for that clip, make a space",
        ),
        ("brid.flac@1.000", WINDOWS, "Did you mean 'bird.flac@1.000'?"),
        ("sun", WINDOWS, "Correct the path, or give the id of a clip."),
    ],
)
def test_what_is_there_instead_is_named(given: str, names: pa.Table, said: str) -> None:
    assert said in next_step(given, names, Path("S"))


def test_a_time_in_a_file_is_given_by_an_option(tmp_path: Path) -> None:
    file = tmp_path / "new.wav"
    soundfile.write(file, np.full(8000, 0.1), 8000)
    assert next_step(f"{file}@0.5", WINDOWS, Path("S")) == (
        f"To search with that file from this time on: nearfield search S {file} --start 0.5"
    )
    assert (
        next_step(f"{file}@61.5", WINDOWS, Path("S"))
        == f"{file} ends at 1 s. Give an earlier time with --start."
    )


def test_what_no_file_or_space_has_is_not_advised(tmp_path: Path) -> None:
    (tmp_path / "my sounds").mkdir()
    file = tmp_path / "my sounds/new.wav"
    soundfile.write(file, np.full(8000, 0.1), 8000)
    said = next_step(f"{file}@0.5", WINDOWS, Path("my space"))
    assert said.endswith(f": nearfield search 'my space' '{file}' --start 0.5")
    assert next_step(f"{file}@-3", WINDOWS, Path("S")) == (
        f"{file} starts at 0 s and ends at 1 s. Give a time in that range with --start."
    )
    for odd in ("nan", "inf"):
        assert next_step(f"bird.flac@{odd}", WINDOWS, Path("S")).startswith("Did you mean 'bird.flac@")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    names = pa.table({"clip": ["b.png"], "id": ["b.png"], "start": [0.0]})
    for given in (f"{picture}@1", "b.png@1"):
        said = next_step(given, names, Path("S"))
        assert said == f"An image has no start time. Search for {given.removesuffix('@1')!r}."
