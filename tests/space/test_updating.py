"""What an update is refused for, and what it is not."""

import shutil
from pathlib import Path

import pytest

from nearfield.core.errors import DataError, RequestError
from nearfield.runs.run import Run
from nearfield.space.hearing import Windows
from nearfield.space.space import Space
from tests.space.conftest import Tone


@pytest.fixture
def own(heard: Run, scale: Path, tmp_path: Path) -> tuple[Path, Space]:
    """Data that a test may change, and their space."""
    shutil.copytree(scale, tmp_path / "data")
    return tmp_path / "data", Space.create(heard, str(tmp_path / "data"), tmp_path / "space")


def test_another_place_is_refused_with_both_named(
    own: tuple[Path, Space], tone: Tone, tmp_path: Path
) -> None:
    data, space = own
    tone(tmp_path / "others" / "low" / "0.wav", 250, 0.5)
    rows, vectors = space.rows(), space.vectors.copy()
    with pytest.raises(RequestError) as error:
        space.update(str(tmp_path / "others"))
    for part in (str(data), str(tmp_path / "others"), str(space.folder), "another --out", "--data-moved"):
        assert part in str(error.value)
    after = Space.open(space.folder)
    assert after.rows().equals(rows)
    assert (after.vectors == vectors).all()


def test_the_same_place_by_another_name_is_the_same(
    own: tuple[Path, Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, space = own
    (tmp_path / "link").symlink_to(data)
    table = tmp_path / "decisions.csv"
    table.write_text("id,column,before,after,decision\nlow/0.wav,label,low,high,accepted\n")
    monkeypatch.chdir(tmp_path)
    for name in ("data", "./data/", "data/low/..", str(tmp_path / "link"), f"data?patch={table}"):
        assert space.update(name).kept == 18
    assert space.rows(["label"], "clip = 'low/0.wav'")["label"].to_pylist() == ["high"]


def test_data_that_have_moved_are_taken_over_whole(own: tuple[Path, Space], tmp_path: Path) -> None:
    data, space = own
    data.rename(tmp_path / "elsewhere")
    with pytest.raises(DataError) as error:
        space.update()
    assert str(data) in str(error.value)
    assert "--data NEW_PLACE --data-moved" in str(error.value)
    changes = space.update(str(tmp_path / "elsewhere"), moved=True)
    assert (changes.kept, changes.embedded) == (18, 0)
    assert space.update().kept == 18  # the new place is known
    assert Path(space.rows(["path"])["path"][0].as_py()).is_file()


def test_most_clips_do_not_vanish_unasked(own: tuple[Path, Space]) -> None:
    data, space = own
    shutil.rmtree(data / "low")
    for number in range(3):
        (data / "high" / f"{number}.wav").unlink()
    assert space.update().dropped == 9  # half of them
    shutil.rmtree(data / "high")
    (data / "middle" / "0.wav").rename(data / "middle" / "renamed.wav")
    for number in (1, 2):
        (data / "middle" / f"{number}.wav").unlink()
    with pytest.raises(DataError) as error:
        space.update()  # three and two of nine; the renamed one is no loss
    assert f"5 of its 9 clips are no longer in {data}" in str(error.value)
    assert "--allow-drop" in str(error.value)
    assert len(Space.open(space.folder)) == 9
    changes = space.update(may_drop=True)
    assert (changes.dropped, len(space)) == (6, 4)


@pytest.mark.parametrize(("made", "asked"), [("clip", "all"), ("all", "clip")])
def test_an_update_keeps_to_the_rule_of_windows(
    heard: Run, scale: Path, tmp_path: Path, made: Windows, asked: Windows
) -> None:
    space = Space.create(heard, str(scale), tmp_path / "space", windows=made)
    count = len(space)
    with pytest.raises(RequestError) as error:
        space.update(windows=asked)
    for part in (f"(--windows {made})", f"Given: --windows {asked}", f"--windows {asked} --out NEW_SPACE"):
        assert part in str(error.value)
    assert space.update(windows=made).kept == 18
    assert len(Space.open(space.folder)) == count


def test_a_space_of_before_opens_and_is_updated_from_where_it_was_made(
    own: tuple[Path, Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, space = own
    identity = {name: space.state.file.identity[name] for name in ("run", "digest", "parts")}
    space.state.file.model_copy(update={"data": "data", "identity": identity}).write(space.folder)
    old = Space.open(space.folder)
    assert old.identity == space.identity
    with pytest.raises(RequestError, match="is made of data"):
        old.update(str(data))
    monkeypatch.chdir(tmp_path)
    assert old.update(str(data)).kept == old.update().kept == 18
    assert old.search("low/0.wav")[0].id == space.search("low/0.wav")[0].id
