"""What an update is refused for, and what it is not."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from nearfield.core.errors import DataError, RequestError
from nearfield.space.identity import WindowMode
from nearfield.space.space import Space
from nearfield.training.run import Run
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
    after = Space.load(space.folder)
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
    assert len(Space.load(space.folder)) == 9
    changes = space.update(may_drop=True)
    assert (changes.dropped, len(space)) == (6, 4)


@pytest.mark.parametrize(("made", "asked"), [("clip", "all"), ("all", "clip")])
def test_an_update_keeps_to_the_rule_of_windows(
    heard: Run, scale: Path, tmp_path: Path, made: WindowMode, asked: WindowMode
) -> None:
    space = Space.create(heard, str(scale), tmp_path / "space", windows=made)
    count = len(space)
    with pytest.raises(RequestError) as error:
        space.update(windows=asked)
    for part in (f"(--windows {made})", f"Given: --windows {asked}", f"--windows {asked} --out NEW_SPACE"):
        assert part in str(error.value)
    assert space.update(windows=made).kept == 18
    assert len(Space.load(space.folder)) == count


def test_a_space_of_before_opens_and_is_updated_from_where_it_was_made(
    own: tuple[Path, Space], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, space = own
    identity = {name: space.state.file.identity[name] for name in ("run", "digest", "parts")}
    space.state.file.model_copy(update={"data": "data", "identity": identity}).write(space.folder)
    old = Space.load(space.folder)
    assert old.identity == space.identity
    with pytest.raises(RequestError, match="is made of data"):
        old.update(str(data))
    monkeypatch.chdir(tmp_path)
    assert old.update(str(data)).kept == old.update().kept == 18
    assert old.search("low/0.wav")[0].id == space.search("low/0.wav")[0].id


def test_a_table_that_moved_alone_is_known_from_then_on(
    heard: Run, scale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{path},{path.parent.name}\n" for path in sorted(scale.rglob("*.wav")))
    (tmp_path / "t.csv").write_text("path,label\n" + rows)
    space = Space.create(heard, str(tmp_path / "t.csv"), tmp_path / "space")
    (tmp_path / "t.csv").rename(tmp_path / "t2.csv")
    assert space.update(str(tmp_path / "t2.csv"), moved=True).kept == 18
    assert Space.load(space.folder).update().kept == 18
    monkeypatch.setenv("HOME", str(tmp_path))
    assert space.update("~/t2.csv").kept == 18
    assert space.update("table:~/t2.csv").kept == 18


def test_a_link_is_followed_to_where_it_leads_now(
    heard: Run, tone: Tone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, count in (("v1", 3), ("v2", 4)):
        for number in range(count):
            tone(tmp_path / name / "low" / f"{number}.wav", 250 + number, 0.5)
    (tmp_path / "current").symlink_to(tmp_path / "v1")
    monkeypatch.setenv("HOME", str(tmp_path))
    space = Space.create(heard, "~/current", tmp_path / "space")
    (tmp_path / "current").unlink()
    (tmp_path / "current").symlink_to(tmp_path / "v2")
    assert space.update().kept + space.update(str(tmp_path / "current")).kept >= 4
    assert len(space) == 4


def test_a_sound_beyond_all_numbers_is_left_out_and_said(own: tuple[Path, Space]) -> None:
    data, space = own
    wave = np.full(4000, 1e30, np.float32) * np.sign(np.sin(np.arange(4000)))
    soundfile.write(data / "low" / "huge.wav", wave, 8000, subtype="FLOAT")
    changes = space.update()
    assert (changes.kept, len(space)) == (18, 18)
    assert np.isfinite(space.vectors).all()
    with pytest.raises(DataError, match=r"huge\.wav: some samples .* infinite or beyond 1e10"):
        space.search(data / "low" / "huge.wav")


def test_what_is_no_file_is_told_as_such(own: tuple[Path, Space]) -> None:
    data, space = own
    for query in (data / "none.wav", (data / "none.wav", 0.0, 1.0), data):
        with pytest.raises(DataError):
            space.search(query)
    with pytest.raises(RequestError, match="unknown 'nope'"):
        space.rows(["nope"])
