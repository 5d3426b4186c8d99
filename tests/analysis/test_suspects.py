"""Faults planted in collections are found by name: labels, tags, samples of real recordings, copies."""

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.signal import lfilter

from nearfield.analysis.suspects.listing import COLUMNS, Named, Suspected
from nearfield.analysis.suspects.suspects import find_suspects
from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection
from nearfield.data.patches import Patch
from nearfield.training.api import train
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from tests.training.conftest import small

Waves = np.ndarray[tuple[int, int], np.dtype[np.float64]]


@pytest.fixture(scope="module")
def faulty(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, str]]:
    """A run on tones of which four bear a wrong label, and the right labels of those, by id."""
    folder = tmp_path_factory.mktemp("faulty")
    opened = Collection.load(tones).table
    wrong = {opened["id"][row]: opened["label"][row] for row in (3, 14, 25, 36)}
    lines = ["id,column,before,after,decision"]
    lines += [f"{clip},label,{label},{'bcda'['abcd'.index(label)]},accepted" for clip, label in wrong.items()]
    patch = folder / "flips.csv"
    patch.write_text("\n".join(lines) + "\n")
    recipe = Recipe.of(
        small(
            train={"updates": 30},
            normalize={"kind": "none"},
            data={"sample_rate": 8000, "clip_seconds": 0.4, "patch": str(patch)},
        )
    )
    return train(recipe, tones, folder / "run", device="cpu"), wrong


def test_wrong_labels_are_ranked_first_with_the_right_one_proposed(
    faulty: tuple[Run, dict[str, str]],
) -> None:
    run, wrong = faulty
    found = find_suspects(run, sorts=("labels",))
    assert found.clips == 40
    first = {(each.id, each.proposed) for each in found.suspects[:3]}
    assert first <= set(wrong.items())
    assert all(each.kind == "label" and each.after == each.proposed for each in found.suspects)
    scores = [each.score for each in found.suspects]
    assert scores == sorted(scores, reverse=True)
    json.dumps(found.plain(), allow_nan=False)


def test_those_that_were_not_asked_for_are_counted(faulty: tuple[Run, dict[str, str]]) -> None:
    every, some = find_suspects(faulty[0]), find_suspects(faulty[0], top=1)
    kinds = [each.kind for each in every.suspects]
    assert len(kinds) > len(set(kinds))
    assert [each.kind for each in some.suspects] == list(dict.fromkeys(kinds))
    assert some.suspects == tuple(
        next(each for each in every.suspects if each.kind == kind) for kind in dict.fromkeys(kinds)
    )
    assert (every.left_out, some.left_out) == (0, len(kinds) - len(set(kinds)))
    assert every.count == some.count == some.plain()["count"] == len(kinds)


def test_the_list_mends_and_other_data_are_judged(faulty: tuple[Run, dict[str, str]], tmp_path: Path) -> None:
    run, wrong = faulty
    found = find_suspects(run, sorts=("labels",), top=3)
    path = tmp_path / "suspects.csv"
    assert found.save(path, accept=0.5) == 3
    tones = run.folder.environment()["data"]["path"]
    # The list is a patch table, and says what is wrong with what the run was trained on.
    flips = str(run.recipe.data.patch)
    mended = Collection.load(tones, patch=flips).with_patch(path).table.set_index("id")["label"]
    assert {each.id: mended[each.id] for each in found.suspects} == {
        each.id: wrong[each.id] for each in found.suspects
    }
    subset = tmp_path / "some"
    subset.mkdir()
    for name in "ab":
        (subset / name).symlink_to(Path(tones) / name)
    other = find_suspects(run, str(subset), sorts=("labels",))
    assert other.clips == 20


def test_what_was_mended_is_no_suspect_any_more(faulty: tuple[Run, dict[str, str]], tmp_path: Path) -> None:
    run, _ = faulty
    before = find_suspects(run, sorts=("labels",), top=3)
    table = Path(str(run.recipe.data.patch))
    flips = table.read_text()
    rows = "".join(f"{each.id},label,{each.before},{each.after},accepted\n" for each in before.suspects)
    try:
        table.write_text(flips + rows)  # decisions are added at the end of the table
        after = find_suspects(run, sorts=("labels",))
    finally:
        table.write_text(flips)
    assert not {each.id for each in after.suspects} & {each.id for each in before.suspects}


def test_the_list_keeps_what_was_decided(tmp_path: Path) -> None:
    def suspect(clip: str, score: float, column: Literal["label", "use"] = "label") -> Named:
        reason = 'a "reason", long'
        return Named(clip, "label", score, reason, "Listen.", "b", None, "/a b", column, "a", "b")

    found = Suspected("set", 9, (suspect("x", 0.95), suspect("y", 0.9, "use"), suspect("z", 0.6)))
    path = tmp_path / "suspects.csv"
    assert found.save(path) == 0
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert tuple(table) == COLUMNS
    assert list(table["decision"]) == ["", "", ""]
    assert table["reason"][0] == 'a "reason", long'
    table.assign(decision=["rejected", "", "accepted"]).to_csv(path, index=False)
    assert found.save(path, accept=0.5) == 0  # x and z are decided; y is no label
    again = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(zip(again["id"], again["decision"], strict=True)) == [
        ("x", "rejected"),
        ("z", "accepted"),
        ("y", ""),
    ]
    other = tmp_path / "labels.csv"
    other.write_text("path,label\na.wav,b\n")
    with pytest.raises(RequestError, match="not a list of suspects"):
        found.save(other)
    assert other.read_text().startswith("path,label")


def test_any_name_and_reason_comes_back_from_the_list(tmp_path: Path) -> None:
    odd = Named("a\r.wav", "label", 0.9, "=1\r\n2", "Listen.", "b\x0b", None, "/a", "label", "\ra", "b\x0b")
    found, path = Suspected("set", 9, (odd,)), tmp_path / "suspects.csv"
    assert found.save(path, accept=0.5) == 1
    assert found.save(path, accept=0.5) == 0  # it is known again
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    # An apostrophe keeps a spreadsheet from taking a cell for a formula; the reader takes it away again.
    assert (row["id"], row["before"], row["after"]) == ("a\r.wav", "'\ra", "b\x0b")
    assert row["reason"] == "'=1\r\n2"
    (decision,) = Patch.read(path).accepted()
    assert (decision.id, decision.before) == ("a\r.wav", "\ra")


def test_what_cannot_be_judged_is_refused_where_it_was_asked_for(faulty: tuple[Run, dict[str, str]]) -> None:
    run, _ = faulty
    with pytest.raises(DataError, match="tag suspects"):
        find_suspects(run, sorts=("tags",))
    with pytest.raises(RequestError, match="no kind 'label'"):
        find_suspects(run, sorts=("label",))  # type: ignore[arg-type]
    told: list[str] = []
    found = find_suspects(run, callback=lambda event: told.append(getattr(event, "text", "")))
    assert not any(text.startswith("tags are not checked") for text in told)  # labels alone are usual
    assert {"label"} <= {each.kind for each in found.suspects}


def test_tags_wrong_and_missing_are_found(chords: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(
        small(
            relation={"kind": "tags"},
            loss={"kind": "bce"},
            sampler={"kind": "shuffle", "batch_size": 24},
            normalize={"kind": "none"},
            embedding={"size": 8, "normalize": False},
            train={"updates": 150},
        )
    )
    run = train(recipe, chords, tmp_path / "run", device="cpu")
    table = pd.read_csv(chords / "labels.csv", dtype=str, keep_default_na=False)
    lines = ["id,column,before,after,decision"]
    planted = set()
    for row in (5, 17, 30):
        tags = table["tags"][row].split("|")
        lacks = next(name for name in ("low", "top", "high", "middle") if name not in tags)
        lines.append(f"{table['path'][row]},tags,,{lacks},accepted")
        planted.add((table["path"][row], "tags", lacks, ""))
    for row in (8, 21):
        if "|" in table["tags"][row]:
            gone = table["tags"][row].split("|")[0]
            lines.append(f"{table['path'][row]},tags,{gone},,accepted")
            planted.add((table["path"][row], "tags", "", gone))
    patch = tmp_path / "tags.csv"
    patch.write_text("\n".join(lines) + "\n")
    found = find_suspects(run, f"{chords}?patch={patch}", sorts=("tags",))
    listed = [(each.id, each.column, each.before, each.after) for each in found.suspects]
    assert len(planted & set(listed[: 2 * len(planted)])) >= len(planted) - 1


def test_a_set_of_tags_alone_is_not_told_that_it_has_no_labels(chords: Path, tmp_path: Path) -> None:
    parts = small(relation={"kind": "tags"}, loss={"kind": "bce"}, normalize={"kind": "none"})
    parts |= {"embedding": {"size": 8, "normalize": False}, "train": {"updates": 2}}
    parts["sampler"] = {"kind": "shuffle", "batch_size": 8}
    run = train(Recipe.of(parts), chords, tmp_path / "run", device="cpu")
    told: list[str] = []
    find_suspects(run, callback=lambda event: told.append(getattr(event, "text", "")))
    assert not any(text.startswith("labels are not checked") for text in told)


def _real(folder: Path, channels: int, count: int) -> Iterator[Waves]:
    """Recordings of one array: a real clip, each microphone with its own level, colour and noise."""
    chance = np.random.default_rng(channels)
    table = pd.read_csv(folder / "labels.csv")
    gains = 10 ** (np.array([0.0, -5.0, 3.0, -9.0])[:channels] / 20)
    poles = np.array([0.0, 0.45, -0.25, 0.7])[:channels]
    for path in table["path"].sample(count, random_state=channels):
        wave, rate = soundfile.read(folder / path, frames=2 * 16000)
        assert rate == 16000
        wave = 0.2 * wave / max(np.abs(wave).max(), 1e-3)
        heard = np.stack([lfilter([1 - abs(p)], [1, -p], wave) for p in poles], axis=1) * gains
        yield np.asarray(heard + 2e-4 * chance.standard_normal(heard.shape))


def _planted(sounds: list[Waves]) -> dict[int, tuple[str, Waves]]:
    """Six faults of each sort among the first clips."""
    chance, channels = np.random.default_rng(9), sounds[0].shape[1]
    found: dict[int, tuple[str, Waves]] = {}
    for number in range(6):
        at = [each.copy() for each in sounds[5 * number : 5 * number + 5]]
        broken = int(chance.integers(channels))
        at[0][:] = 1e-5 * chance.standard_normal(at[0].shape)
        at[1][:, broken] = 1e-4 * chance.standard_normal(len(at[1]))
        at[2] = at[2][:, [1, 0, *range(2, channels)]]
        at[3] = np.clip(at[3] / np.quantile(np.abs(at[3]), 0.98), -1, 1)
        at[4][:, broken] += 0.15
        kinds = ("silent", "channel", "swapped", "clipped", "offset")
        found |= {5 * number + place: (kind, at[place]) for place, kind in enumerate(kinds)}
    return found


@pytest.mark.parametrize("channels", [2, 4])
def test_faults_of_real_recordings_are_found(
    real_data: Callable[[str], Path],
    faulty: tuple[Run, dict[str, str]],
    tmp_path: Path,
    channels: int,
) -> None:
    sounds = list(_real(real_data("esc10"), channels, 100))
    planted = _planted(sounds)
    for number, sound in enumerate(sounds):
        wave = planted[number][1] if number in planted else sound
        soundfile.write(tmp_path / f"{number:03}.flac", wave, 16000)
    found = find_suspects(faulty[0], str(tmp_path), sorts=("signals",), top=1000)
    told = {(int(Path(each.path).stem), each.kind) for each in found.suspects}
    for kind in ("silent", "channel", "swapped", "clipped", "offset"):
        rows = {row for row, (fault, _) in planted.items() if fault == kind}
        assert len({row for row, what in told if what == kind} & rows) >= 5, kind
    alarms = {row for row, _ in told if row not in planted}
    assert len(alarms) <= 7, sorted((row, kind) for row, kind in told if row in alarms)


def test_copies_across_the_split_are_confirmed_by_the_sound(
    real_data: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = real_data("esc10")
    table = pd.read_csv(folder / "labels.csv").groupby("label").head(8).reset_index(drop=True)
    rows, copies = [], set()
    for number, path in enumerate(table["path"]):
        side = ("train", "train", "train", "train", "train", "val", "test", "test")[number % 8]
        wave, rate = soundfile.read(folder / path)
        soundfile.write(tmp_path / f"{number}.flac", wave, rate)
        rows.append((f"{number}.flac", table["label"][number], side))
        if number % 16 == 1:  # a clip of train again in test: softer, from another codec
            soundfile.write(tmp_path / f"copy{number}.mp3", 0.4 * wave, rate)
            rows.append((f"copy{number}.mp3", table["label"][number], "test"))
            copies.add((f"copy{number}.mp3", f"{number}.flac"))
    pd.DataFrame(rows, columns=["path", "label", "split"]).to_csv(tmp_path / "labels.csv", index=False)
    data = {"sample_rate": 8000, "clip_seconds": 1.0}
    run = train(Recipe.of(small(data=data, augment=[])), tmp_path, tmp_path / "run", device="cpu")
    found = find_suspects(run, sorts=("duplicates",))
    sure = {(each.id, str(each.other)) for each in found.suspects if each.score > 0.5}
    assert sure == copies
    assert all("sounds are the same" in each.reason for each in found.suspects if each.score > 0.5)
    assert all(each.column == "use" and each.after == "no" for each in found.suspects)
