"""A space made, searched, brought up to date, damaged and killed."""

import pickle
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import locked
from nearfield.data.collection import Collection
from nearfield.space.generation import unit_rows
from nearfield.space.indexing import Changes
from nearfield.space.shards import EmbeddingShards
from nearfield.space.space import Space
from nearfield.space.vector_file import digests_of, embed_collection
from nearfield.training.events import ignore
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.trainer import launch
from tests.space.conftest import Tone
from tests.training.conftest import small


@pytest.fixture(scope="module")
def space(heard: Run, scale: Path, tmp_path_factory: pytest.TempPathFactory) -> Space:
    """The scale with tags, and groups of two files."""
    table = pd.DataFrame({"path": sorted(str(path) for path in scale.rglob("*.wav"))})
    table["label"] = [Path(path).parent.name for path in table["path"]]
    table["tags"] = [f"{label}|even" if row % 2 == 0 else label for row, label in enumerate(table["label"])]
    table["group"] = [f"g{row // 2}" for row in range(len(table))]
    table["instrument.kind"] = ["sine"] * len(table)
    folder = tmp_path_factory.mktemp("space")
    table.to_csv(folder / "table.csv", index=False)
    return Space.create(heard, str(folder / "table.csv"), folder / "space")


@pytest.fixture
def own(heard: Run, scale: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Data and space that a test may change."""
    shutil.copytree(scale, tmp_path / "data")
    Space.create(heard, str(tmp_path / "data"), tmp_path / "space")
    return tmp_path / "data", tmp_path / "space"


def test_a_file_finds_itself_then_its_nearest_by_the_runs_own_vectors(space: Space, heard: Run) -> None:
    rows = space.rows().to_pandas()
    vectors = unit_rows(heard.encode(list(rows["path"]))).astype(np.float64)
    for row in (0, 7, 17):
        found = space.search(rows["path"][row], top=6)
        distances = 1 - vectors @ vectors[row]
        assert [answer.id for answer in found] == list(rows["id"][np.argsort(distances, kind="stable")[:6]])
        assert [answer.distance for answer in found] == pytest.approx(np.sort(distances)[:6], abs=1e-6)
        assert [answer.rank for answer in found] == [1, 2, 3, 4, 5, 6]
        assert found[0].id == rows["id"][row]
        assert found[0].tags == tuple(rows["tags"][row])


def test_every_kind_of_query_means_the_same_sound(space: Space) -> None:
    row = space.rows().to_pandas().iloc[9]
    by_file = space.search(row["path"], top=5)
    by_span = space.search((row["path"], 0.0, row["seconds"]), top=5)
    by_vector = space.search(space.vectors[9], top=5)
    by_id = space.search(row["id"], top=4)
    ids = [answer.id for answer in by_file]
    assert [answer.id for answer in by_span] == [answer.id for answer in by_vector] == ids
    assert [answer.id for answer in by_id] == ids[1:]  # a clip does not answer itself


def test_plus_and_minus_are_means_on_the_sphere(space: Space) -> None:
    ids = space.rows(["id"])["id"].to_pylist()
    vectors = space.vectors.astype(np.float64)
    aim = (vectors[0] + vectors[3]) / 2 - vectors[12]
    scores = vectors @ (aim / np.linalg.norm(aim))
    scores[[0, 3, 12]] = -np.inf
    found = space.search(ids[0], top=5, plus=[ids[3]], minus=[ids[12]])
    assert [answer.id for answer in found] == [ids[row] for row in np.argsort(-scores, kind="stable")[:5]]
    assert found[0].distance == pytest.approx(1 - scores.max(), abs=1e-6)
    with pytest.raises(RequestError, match="cancel each other out"):
        space.search(space.vectors[0], minus=[space.vectors[0]])


def test_filters_and_diversity(space: Space) -> None:
    table = space.rows().to_pandas()
    path = table["path"][0]
    high = space.search(path, top=50, where="label = 'high' AND array_has(tags, 'even')")
    assert {answer.id for answer in high} == set(
        table["id"][(table["label"] == "high") & (table.index % 2 == 0)]
    )
    assert [answer.distance for answer in high] == sorted(answer.distance for answer in high)
    groups = space.search(path, top=50, diverse="group")
    assert len(groups) == 9 == len({answer.group for answer in groups})
    every = space.search(path, top=18)
    first = {answer.group: answer.id for answer in reversed(every)}
    assert [answer.id for answer in groups] == [
        first[group] for group in dict.fromkeys(a.group for a in every)
    ]
    assert space.search(path, where="label = 'nothing'") == []
    assert space.search(path, top=1, where="instrument_kind = 'sine'")[0].id == every[0].id


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("lable = 'high'", "Did you mean 'label'"),
        ("label =", "Columns: id, start"),
        ("1 = 1; DROP TABLE rows", "must not contain a semicolon"),
        ("label = (SELECT 1)", "it needs a column or a value in place of '('"),
        ("label = 5 +", "cannot be used"),
        ("", "it is empty"),
    ],
)
def test_filters_that_are_none_are_refused_in_words(space: Space, where: str, said: str) -> None:
    with pytest.raises(RequestError) as error:
        space.search(space.vectors[0], where=where)
    assert said in str(error.value)
    assert "array_has(tags" in str(error.value)
    assert len(space.rows(["id"])) == 18


def test_a_semicolon_or_a_quote_within_a_name_is_only_a_name(space: Space) -> None:
    assert space.search(space.vectors[0], where="label = 'a; b' OR label = 'low'")[0].label == "low"
    with pytest.raises(RequestError, match="neither a sound file nor the id"):
        space.search("' OR 1 = 1 --")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (np.zeros(5, np.float32), "8 finite numbers"),
        (np.full(8, np.nan, np.float32), "8 finite numbers"),
        (("a.wav", -1.0, 2.0), "A span is"),
        (None, "needs a query"),
    ],
)
def test_queries_that_are_none_are_refused_in_words(space: Space, query: object, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        space.search(query)  # type: ignore[arg-type]


def test_how_typical_a_sound_is(space: Space, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "noise.wav", np.random.default_rng(0).uniform(-1, 1, 4000), 8000)
    usual = space.search(space.rows(["id"])["id"][0].as_py())[0].typicality
    odd = space.search(tmp_path / "noise.wav")[0]
    groups = np.arange(18) // 2
    similar = space.vectors.astype(np.float64) @ space.vectors.astype(np.float64).T
    similar[groups[:, None] == groups] = -np.inf
    nearest = 1 - similar.max(axis=1)
    assert odd.typicality == pytest.approx((1 + (nearest >= odd.distance).sum()) / 19)
    assert usual == pytest.approx((1 + (nearest >= nearest[0] - 1e-7).sum()) / 19)
    assert space.search(tmp_path / "noise.wav", where="label = 'low'")[0].typicality == odd.typicality


def test_a_file_of_the_space_is_as_typical_as_its_clip(space: Space, heard: Run, tmp_path: Path) -> None:
    rows = space.rows().to_pandas()
    shares = [space.search(clip)[0].typicality for clip in rows["id"]]
    for row in np.argsort(shares)[:3].tolist():
        path, usual = rows["path"][row], shares[row]
        assert usual < 0.5
        copy = shutil.copyfile(path, tmp_path / "copy.wav")
        soundfile.write(tmp_path / "same.flac", *soundfile.read(path), subtype="PCM_24")
        for query in (path, copy, tmp_path / "same.flac", space.vectors[row], heard.encode([path])[0]):
            found = space.search(query, top=1)[0]
            assert (found.id, found.typicality) == (rows["id"][row], usual)
            assert space.search(query, where=f"label <> '{rows['label'][row]}'")[0].typicality == usual


def test_a_part_of_a_file_of_the_space_is_measured_by_other_groups(
    heard: Run, scale: Path, tmp_path: Path
) -> None:
    space = Space.create(heard, str(scale), tmp_path / "space", windows="all")
    rows = space.rows().to_pandas()
    vectors, calibration = space.vectors.astype(np.float64), np.asarray(space.state.generation.calibration)
    for span in ((scale / "low" / "5.wav", 0.4, 0.4), (scale / "high" / "4.wav", 0.1, 0.5)):
        answer = space.search(span, top=1)[0]
        assert Path(answer.path) == span[0]
        others = (rows["path"] != str(span[0])).to_numpy()
        nearest = 1 - (vectors[others] @ space.encode(span)).max()
        wanted = (1 + (calibration >= nearest - 1e-7).sum()) / (1 + len(calibration))
        assert answer.typicality == pytest.approx(wanted)


def test_an_update_is_the_same_as_an_index_made_anew(own: tuple[Path, Path], heard: Run, tone: Tone) -> None:
    data, folder = own
    space = Space.load(folder)
    before = dict(zip(space.rows(["id"])["id"].to_pylist(), space.vectors.copy(), strict=True))
    tone(data / "low" / "9.wav", 250, 0.7)
    tone(data / "middle" / "3.wav", 900, 0.5)
    (data / "high" / "0.wav").unlink()
    (data / "low" / "1.wav").rename(data / "low" / "moved.wav")
    changes = space.update()
    assert changes == Changes(added=2, changed=1, dropped=2, kept=15, left_out=0, embedded=2)
    anew = Space.create(heard, str(data), folder.parent / "anew")
    assert space.rows().equals(anew.rows())
    np.testing.assert_allclose(space.vectors, anew.vectors, atol=1e-6)
    for name, vector in zip(space.rows(["id"])["id"].to_pylist(), space.vectors, strict=True):
        if name in before and name != "middle/3.wav":
            np.testing.assert_array_equal(vector, before[name])
    assert space.search(data / "low" / "9.wav")[0].id == "low/9.wav"


def test_an_update_without_changes_writes_nothing(own: tuple[Path, Path]) -> None:
    space = Space.load(own[1])
    times = {path: path.stat().st_mtime_ns for path in own[1].rglob("*") if path.name != "lock"}
    assert space.update() == Changes(0, 0, 0, 18, 0, 0)
    assert {path: path.stat().st_mtime_ns for path in own[1].rglob("*") if path.name != "lock"} == times


def test_files_that_cannot_be_used_are_counted_by_an_update(own: tuple[Path, Path]) -> None:
    data, folder = own
    (data / "low" / "text.wav").write_bytes(b"no sound at all")
    assert Space.load(folder).update() == Changes(0, 0, 0, 18, left_out=1, embedded=0)


def test_new_labels_come_in_without_embedding(own: tuple[Path, Path]) -> None:
    data, folder = own
    names = sorted(path.relative_to(data).as_posix() for path in data.rglob("*.wav"))
    pd.DataFrame({"path": names, "label": "sound"}).to_csv(data / "labels.csv", index=False)
    space = Space.load(folder)
    assert space.update().embedded == 0
    assert set(space.rows(["label"])["label"].to_pylist()) == {"sound"}


def test_every_window_is_a_row_and_an_update_keeps_them(
    heard: Run, scale: Path, tmp_path: Path, tone: Tone
) -> None:
    shutil.copytree(scale, tmp_path / "data")
    space = Space.create(heard, str(tmp_path / "data"), tmp_path / "space", windows="all")
    rows = space.rows().to_pandas()
    assert len(space) == len(rows) > 30
    before = space.vectors.copy()
    tone(tmp_path / "data" / "low" / "9.wav", 250, 0.9)
    changes = space.update()
    assert (changes.added, changes.kept, changes.embedded) == (1, 18, 3)
    kept = space.rows(["clip"], "clip <> 'low/9.wav'")["position"].to_numpy()
    np.testing.assert_array_equal(space.vectors[kept], before)
    hit = space.search((tmp_path / "data" / "low" / "9.wav", 0.4, 0.4), top=1)[0]
    assert hit.id == "low/9.wav@0.400"
    assert (hit.start, hit.seconds) == pytest.approx((0.4, 0.4))


def test_another_run_is_refused_and_both_are_named(own: tuple[Path, Path], other: Run) -> None:
    space = Space.load(own[1])
    with pytest.raises(RequestError) as error:
        space.update(run=other)
    assert "heard (" in str(error.value)
    assert "other (" in str(error.value)
    shutil.copyfile(other.folder.weights, own[1] / "encoder" / "weights.safetensors")
    with pytest.raises(DataError, match="the run in encoder is not heard"):
        Space.load(own[1]).search(next(own[0].rglob("*.wav")))


def test_a_space_travels_without_its_run(own: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.move(own[1], tmp_path / "elsewhere")
    found = Space.load(tmp_path / "elsewhere").search(own[0] / "low" / "0.wav", top=1)
    assert found[0].id == "low/0.wav"


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("space.json", "cut"),
        ("space.json", "turned"),
        ("vectors.npy", "cut"),
        ("vectors.npy", "turned"),
        ("codes.npy", "turned"),
        ("bounds.npy", "gone"),
        ("rows.arrow", "gone"),
        ("rows.arrow", "turned"),
        ("weights.safetensors", "turned"),
    ],
)
def test_damage_is_named_with_the_command_that_mends_it(
    own: tuple[Path, Path], file: str, damage: str
) -> None:
    path = next(path for path in own[1].rglob(file) if path.is_file())
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.raises(DataError) as error:
        Space.load(own[1]).verify()
    assert "is damaged: " in str(error.value)
    assert "nearfield index" in str(error.value)
    assert f"--out {own[1]}" in str(error.value)
    assert path.name in str(error.value)


@pytest.mark.parametrize("text", ["[]", "null", "7", "{}", "[" * 100_000])
def test_a_space_file_of_another_form_is_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "space.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"is damaged: space\.json cannot be read.*nearfield index"):
        Space.load(tmp_path)


def test_no_space_says_how_to_make_one(tmp_path: Path, heard: Run, own: tuple[Path, Path]) -> None:
    with pytest.raises(RequestError, match="nearfield index RUN --data DATA --out"):
        Space.load(tmp_path)
    with pytest.raises(RequestError, match="already holds a space"):
        Space.create(heard, str(own[0]), own[1])


def test_readers_of_the_state_before_are_not_disturbed(own: tuple[Path, Path], tone: Tone) -> None:
    reader, writer = Space.load(own[1]), Space.load(own[1])
    tone(own[0] / "low" / "9.wav", 250, 0.7)
    writer.update()
    assert (len(reader), len(writer)) == (18, 19)
    assert reader.search("low/0.wav", top=50)[-1].rank == 17
    reader.reload()
    assert len(reader) == 19


def test_a_reader_of_a_state_that_is_gone_is_told_to_open_it_again(
    own: tuple[Path, Path], tone: Tone
) -> None:
    used, late, writer = (Space.load(own[1]) for _ in range(3))
    found = used.search("low/0.wav", top=50)
    for number in (8, 9):
        tone(own[0] / "low" / f"{number}.wav", 250, 0.7)
        writer.update()
    assert used.search("low/0.wav", top=50) == found
    assert {each.label for each in used.search("low/0.wav", where="label = 'low'")} == {"low"}
    gone = r"updated twice since it was opened here.*Open it again"
    with pytest.raises(DataError, match=gone):
        late.search("low/0.wav")
    late.reload()
    assert len(late.search("low/0.wav", top=50)) == len(found) + 2


def test_the_approximate_index_states_its_recall(own: tuple[Path, Path], tone: Tone) -> None:
    space = Space.load(own[1])
    facts = space.build_approximate()
    assert facts.queries == 18
    assert facts.recall == 1.0  # so few rows are compared one by one
    assert Space.load(own[1]).approximate == facts
    Space.load(own[1]).verify()
    tone(own[0] / "low" / "9.wav", 250, 0.7)
    space.update()
    assert space.approximate is None


KILLED = """
import os, signal, sys
from nearfield.space.space import Space
left = int(sys.argv[2])
def count(name, given):
    global left
    if name == "os.rename" and "space" in str(given[1]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
space = Space.load(sys.argv[1])
sys.addaudithook(count)
space.update()
"""


@pytest.mark.slow
@pytest.mark.parametrize("renames", [1, 8])
def test_killed_while_updating_it_keeps_what_it_had(own: tuple[Path, Path], tone: Tone, renames: int) -> None:
    data, folder = own
    before = Space.load(folder)
    rows, vectors = before.rows(), before.vectors.copy()
    tone(data / "low" / "9.wav", 250, 0.7)
    (data / "high" / "0.wav").unlink()
    child = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(renames)], check=False, timeout=120
    )
    assert child.returncode == -signal.SIGKILL
    after = Space.load(folder)
    after.verify()
    assert after.rows().equals(rows)
    np.testing.assert_array_equal(after.vectors, vectors)
    assert after.search("low/0.wav", top=1)
    changes = after.update()
    assert (changes.added, changes.dropped) == (1, 1)
    after.verify()
    assert after.search(data / "low" / "9.wav", top=1)[0].id == "low/9.wav"
    assert not list(folder.rglob(".*.part"))


def test_a_large_space_opens_at_once(own: tuple[Path, Path]) -> None:
    seconds = []
    for _ in range(5):
        began = time.thread_time()  # whatever else the machine does
        Space.load(own[1])
        seconds.append(time.thread_time() - began)
    assert min(seconds) < 0.1


def test_an_example_is_one_and_a_vector_is_taken_as_encode_gives_it(
    heard: Run, scale: Path, tmp_path: Path
) -> None:
    space = Space.create(heard, str(scale), tmp_path / "space")
    sound = scale / "low" / "0.wav"
    vectors = heard.encode(sound)
    assert [each.id for each in space.search(vectors)] == [each.id for each in space.search(vectors[0])]
    given: Any
    for given, said in (
        ([str(sound), str(sound)], "An example is one sound file.*a list.*plus"),
        (heard.encode([sound, sound]), r"Given: shape \(2, 8\)"),
        (np.zeros(3000, np.float32), r"Given: shape \(3000,\).*encode\(\[wave\]\)"),
    ):
        with pytest.raises(RequestError, match=said):
            space.search(given)
    with pytest.raises(DataError, match="Data are given by name"):
        Space.create(heard, pd.DataFrame({"path": [str(sound)]}), tmp_path / "other")  # type: ignore[arg-type]


def test_a_space_travels_to_another_process_as_its_folder(heard: Run, scale: Path, tmp_path: Path) -> None:
    space = Space.create(heard, scale, tmp_path / "space")
    again = pickle.loads(pickle.dumps(space))
    assert again.folder == space.folder
    np.testing.assert_array_equal(again.vectors, space.vectors)
    assert again.search(scale / "low" / "0.wav", top=1)[0].id == "low/0.wav"


def test_two_runs_that_index_into_one_folder_are_not_mixed(
    heard: Run, other: Run, scale: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "space"

    def make(run: Run) -> str:
        try:
            return str(Space.create(run, str(scale), folder).identity)
        except RequestError as error:
            return str(error)

    with ThreadPoolExecutor(2) as both:
        with locked(folder / "lock"):  # both have looked before either may begin
            waiting = [both.submit(make, run) for run in (heard, other)]
            wait(waiting, timeout=2)
        said = [each.result() for each in waiting]
    made = Space.load(folder)
    assert sum("already holds a space" in each for each in said) == 1
    assert str(made.identity) in said
    np.testing.assert_allclose(
        made.vectors, unit_rows(made.run.encode(made.rows(["path"])["path"].to_pylist())), atol=1e-5
    )


def test_an_update_takes_nothing_over_that_is_damaged(own: tuple[Path, Path], tone: Tone) -> None:
    space = Space.load(own[1])
    flip(next(own[1].rglob("vectors.npy")), -3)
    tone(own[0] / "low" / "9.wav", 250, 0.5)
    with pytest.raises(DataError, match=r"is damaged: the contents of \S*vectors\.npy have changed"):
        space.update()
    with pytest.raises(DataError, match="is damaged"):
        Space.load(own[1])


@pytest.mark.parametrize("name", ["vectors.npy", "codes.npy", "rows.arrow", "groups.npy", "calibration.npy"])
def test_a_flipped_bit_is_found_as_a_space_is_opened(own: tuple[Path, Path], name: str) -> None:
    flip(next(own[1].rglob(name)), -3)
    with pytest.raises(DataError, match=rf"the contents of \S*{name} have changed"):
        Space.load(own[1])


def test_a_large_file_that_is_damaged_is_told_as_it_is_read(
    own: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearfield.space.storage.QUICK", 0)
    vectors = next(own[1].rglob("vectors.npy"))
    flip(vectors, 20)
    with pytest.raises(DataError, match=r"vectors\.npy cannot be read as an array"):
        _ = Space.load(own[1]).vectors


def test_a_part_of_work_that_is_damaged_is_made_again(heard: Run, scale: Path, tmp_path: Path) -> None:
    collection = Collection.load(str(scale))
    parts = EmbeddingShards(tmp_path, heard, "clip", ignore)
    digests = digests_of(collection, ignore)
    (whole,) = parts.each(collection.table, digests)
    flip(next(tmp_path.glob("*.parquet")), -900)
    (again,) = parts.each(collection.table, digests)
    np.testing.assert_array_equal(again.vectors, whole.vectors)


def flip(file: Path, place: int) -> None:
    """Turns every bit of one byte."""
    content = bytearray(file.read_bytes())
    content[place] ^= 0xFF
    file.write_bytes(content)


def test_folders_of_places_are_no_labels_of_a_space(tone: Tone, tmp_path: Path) -> None:
    """The run learnt from time, by which folders are places; those of other data are labels."""
    data = tmp_path / "field"
    for place, pitch in (("brook", 300.0), ("meadow", 900.0)):
        for number in range(4):
            tone(data / place / f"{number}.wav", pitch + 20 * number, 3.0)
    (tmp_path / "other" / "low").mkdir(parents=True)
    shutil.copy(data / "brook" / "0.wav", tmp_path / "other" / "low")
    near = {"range_seconds": 1.0}
    recipe = small(
        relation={"kind": "time", **near},
        sampler={"kind": "tiles", "batch_size": 8, **near},
        loss={"kind": "nt_xent"},
        train={"updates": 2},
    )
    launch(Request(Recipe.of(recipe), str(data), tmp_path / "run", device="cpu"))
    run = Run.load(tmp_path / "run")
    said: list[str] = []
    space = Space.create(run, None, tmp_path / "space", lambda event: said.append(getattr(event, "text", "")))
    for _ in range(2):
        rows = space.rows(["label", "folder"])
        assert set(rows["label"].to_pylist()) == {""}
        assert set(rows["folder"].to_pylist()) == {"brook", "meadow"}
        shutil.copy(data / "brook" / "0.wav", data / "brook" / "4.wav")
        assert space.update().added in (0, 1)
    assert not any("has changed" in text for text in said)
    embed_collection(run, str(data), tmp_path / "v.parquet")
    assert set(pq.read_table(tmp_path / "v.parquet")["label"].to_pylist()) == {""}
    other = Space.create(run, tmp_path / "other", tmp_path / "second")
    assert other.rows(["label"])["label"].to_pylist() == ["low"]
