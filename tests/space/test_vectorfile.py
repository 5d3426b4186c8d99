"""`embed`: vectors, metadata, what is left out, and going on after a stop."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection
from nearfield.space import shards
from nearfield.space.identity import Identity, WindowMode, from_metadata
from nearfield.space.query import Embedded
from nearfield.space.shards import embed_table
from nearfield.space.space import Space
from nearfield.space.vector_file import collection_for, embed_collection, read_embedded, read_vectors
from nearfield.training.events import Event, Note, Stage
from nearfield.training.run import Run
from tests.space.conftest import Tone


def test_every_clip_has_the_vector_that_the_run_gives_its_file(
    heard: Run, scale: Path, tmp_path: Path
) -> None:
    out = embed_collection(heard, str(scale), tmp_path / "vectors.parquet")
    ids, vectors = read_vectors(out)
    assert len(ids) == 18
    wanted = heard.encode([scale / name for name in ids])
    np.testing.assert_allclose(vectors, wanted, atol=1e-6)
    table = pq.read_table(out)
    assert table["label"].to_pylist() == [name.split("/")[0] for name in ids]
    assert table.column_names[:10] == [
        *("id", "path", "start", "seconds", "moment", "recording", "group", "label", "tags", "split")
    ]
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float>[8]"
    stored = json.loads(table.schema.metadata[b"nearfield.identity"])
    assert stored["digest"] == Identity.of(heard).digest
    assert [path.name for path in tmp_path.iterdir()] == ["vectors.parquet"]


def test_every_window_has_the_vector_of_that_piece(heard: Run, scale: Path, tmp_path: Path) -> None:
    out = embed_collection(heard, str(scale), tmp_path / "v.parquet", windows="all")
    table = pq.read_table(out).to_pandas()
    own = table[table["path"] == str(scale / "high" / "5.wav")]
    assert own["start"].tolist() == pytest.approx([0.0, 0.4, 0.8, 0.9])  # 1.3 s in windows of 0.4
    assert own["id"].tolist()[1] == "high/5.wav@0.400"
    wave, _ = soundfile.read(scale / "high" / "5.wav", dtype="float32")
    pieces = [wave[round(start * 8000) :][:3200] for start in own["start"]]
    np.testing.assert_allclose(np.stack(own["vector"]), heard.encode(pieces), atol=1e-6)


def test_goes_on_where_it_was_stopped(
    heard: Run, scale: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "CLIPS", 4)
    out, embedded = tmp_path / "v.parquet", []

    class StoppedError(Exception):
        pass

    def stop(event: Event) -> None:
        if isinstance(event, Stage) and event.name == "embed" and event.done >= 8:
            raise StoppedError

    def counted(*given):  # type: ignore[no-untyped-def]
        embedded.append(len(given[1]))
        return embed_table(*given)

    with pytest.raises(StoppedError):
        embed_collection(heard, str(scale), out, stop)
    assert not out.exists()
    monkeypatch.setattr(shards, "embed_table", counted)
    events: list[Event] = []
    embed_collection(heard, str(scale), out, events.append)
    assert sum(embedded) == 10
    assert read_vectors(out)[1] == pytest.approx(
        heard.encode([scale / name for name in read_vectors(out)[0]]), abs=1e-6
    )
    speeds = [
        event.numbers["hours_per_second"] for event in events if isinstance(event, Stage) and event.numbers
    ]
    assert speeds[-1] > 0


def test_a_file_that_breaks_is_left_out_by_name(heard: Run, tone: Tone, tmp_path: Path) -> None:
    for number in range(3):
        tone(tmp_path / "data" / f"{number}.wav", 300 + number, 0.5)
    samples = np.full(4000, np.nan)
    soundfile.write(tmp_path / "data" / "bad.wav", samples, 8000, subtype="FLOAT")
    events: list[Event] = []
    out = embed_collection(heard, str(tmp_path / "data"), tmp_path / "v.parquet", events.append)
    assert read_vectors(out)[0] == ["0.wav", "1.wav", "2.wav"]
    assert any(isinstance(event, Note) and "bad.wav" in event.text for event in events)
    for number in range(3):
        (tmp_path / "data" / f"{number}.wav").unlink()
    with pytest.raises(DataError, match="no clip could be embedded"):
        embed_collection(heard, str(tmp_path / "data"), tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()


def test_vectors_of_another_run_are_refused_and_both_named(
    heard: Run, other: Run, scale: Path, tmp_path: Path
) -> None:
    out = embed_collection(heard, str(scale), tmp_path / "v.parquet")
    read_vectors(out, Identity.of(heard))
    with pytest.raises(RequestError) as error:
        read_vectors(out, Identity.of(other))
    for part in ("heard (", "other (", "They differ in: weights", "v.parquet"):
        assert part in str(error.value)


def test_one_vector_says_whose_it_is(heard: Run, other: Run, scale: Path, tmp_path: Path) -> None:
    space = Space.create(heard, str(scale), tmp_path / "space")
    own_file = embed_collection(heard, str(scale), tmp_path / "heard.parquet")
    other_file = embed_collection(other, str(scale), tmp_path / "other.parquet")
    own = read_embedded(own_file, "low/0.wav")
    np.testing.assert_allclose(own.vector, space.vectors[space.positions("low/0.wav")[0]], atol=1e-6)
    assert space.search(own, top=1)[0].id == "low/0.wav"
    assert space.search(Embedded.of(heard, scale / "low" / "0.wav"), top=1)[0].id == "low/0.wav"
    for foreign in (read_embedded(other_file, "low/0.wav"), Embedded.of(other, scale / "low" / "0.wav")):
        for ask in (lambda: space.search(foreign), lambda: space.search("low/1.wav", minus=[foreign])):  # noqa: B023
            with pytest.raises(RequestError) as error:
                ask()
            for part in ("heard (", "other (", "They differ in: weights", str(space.folder)):
                assert part in str(error.value)
    with pytest.raises(RequestError, match=r"no vector of 'loow/0.wav'. Did you mean 'low/0.wav'"):
        read_embedded(own_file, "loow/0.wav")


def test_vectors_of_clips_and_of_windows_are_two_spaces_of_one_identity(
    heard: Run, scale: Path, tmp_path: Path
) -> None:
    rules: tuple[WindowMode, ...] = ("clip", "all")
    stored = {}
    for windows in rules:
        out = embed_collection(heard, str(scale), tmp_path / f"{windows}.parquet", windows=windows)
        stored[windows] = from_metadata(pq.read_schema(out).metadata, str(out))
        space = Space.create(heard, str(scale), tmp_path / windows, windows=windows)
        assert space.identity == stored[windows] == Identity.of(heard, windows)
        assert space.search(read_embedded(out, read_vectors(out)[0][0]))
    assert stored["clip"].digest == stored["all"].digest == Identity.of(heard).digest
    assert len({stored["clip"].space, stored["all"].space, Identity.of(heard).space}) == 3
    assert str(stored["all"]) != str(stored["clip"])
    stored["clip"].check(stored["all"], "one", "other")


def test_a_file_without_identity_is_refused(heard: Run, scale: Path, tmp_path: Path) -> None:
    out = embed_collection(heard, str(scale), tmp_path / "v.parquet")
    pq.write_table(pq.read_table(out).replace_schema_metadata(None), tmp_path / "bare.parquet")
    with pytest.raises(RequestError, match="does not state the space"):
        read_vectors(tmp_path / "bare.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(RequestError, match="cannot be read as vectors"):
        read_vectors(tmp_path / "text.parquet")


def test_of_groups_on_two_sides_nothing_is_said_where_no_side_judges(heard: Run, scale: Path) -> None:
    collection = replace(Collection.load(scale), leaks=("low/0.wav",))
    said = list[Event]()
    assert collection_for(heard, collection, said.append) is collection
    assert said == []
