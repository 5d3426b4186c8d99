"""Sets made on the spot: the same for the same seed, whole or not there, with something to learn in them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.rng import stream
from nearfield.core.types import Vectors
from nearfield.data.layouts import synthetic
from nearfield.data.layouts.synthetic import INSTRUMENTS, RATE, TEXTURES, sound

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Each set, small, made once for all tests here."""
    folder = tmp_path_factory.mktemp("sets")
    sizes = {"tones": 80, "scenes": 3, "ensembles": 60}
    return lambda name: synthetic.make(name, 3, folder, sizes[name])


def wave(path: Path) -> Vectors:
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return np.asarray(samples)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(("name", "clips"), [("tones", 10), ("scenes", 1), ("ensembles", 6)])
def test_the_seed_decides_everything(name: str, clips: int, tmp_path: Path) -> None:
    one, same = (synthetic.make(name, 5, tmp_path / place, clips) for place in ("a", "b"))
    other = synthetic.make(name, 6, tmp_path / "a", clips)
    assert contents(one) == contents(same)
    assert contents(one) != contents(other)


def test_tones_are_balanced_and_players_stay_on_one_side(made: Make) -> None:
    table = pd.read_csv(made("tones") / "labels.csv")
    assert list(table) == ["path", "label", "split", "group"]
    assert sorted(table["label"].unique()) == sorted(INSTRUMENTS)
    assert set(table["label"].value_counts()) == {10}
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert set(table["split"]) == {"train", "val", "test"}
    for path in table["path"]:
        samples = wave(made("tones") / path)
        assert samples.shape == (RATE,)
        assert 0.005 < np.abs(samples).max() < 1
        assert np.sqrt(np.mean(samples**2)) > 0.002


def test_ensembles_are_tagged(made: Make) -> None:
    table = pd.read_csv(made("ensembles") / "labels.csv")
    tags = [cell.split("|") for cell in table["tags"]]
    assert {tag for cell in tags for tag in cell} == {*INSTRUMENTS, "low", "high", "slow", "fast", "noisy"}
    assert all(1 <= len(INSTRUMENTS.keys() & cell) <= 3 for cell in tags)
    assert not any({"low", "high"} <= set(cell) or {"slow", "fast"} <= set(cell) for cell in tags)
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert wave(made("ensembles") / table["path"][0]).shape == (2 * RATE,)


def test_scenes_hide_their_sections(made: Make) -> None:
    folder = made("scenes")
    table, sections, clips = (
        pd.read_csv(folder / name) for name in ("labels.csv", "sections.csv", "clips.csv")
    )
    assert list(table) == ["path", "recording", "seconds", "split"]
    assert set(sections["kind"]) <= set(TEXTURES)
    for path, recording, seconds in zip(table["path"], table["recording"], table["seconds"], strict=True):
        own = sections[sections["recording"] == recording]
        assert 60 <= seconds <= 90
        assert len(wave(folder / path)) == round(seconds * RATE)
        assert own["start"].iloc[0] == 0
        assert own["end"].iloc[-1] == pytest.approx(seconds)
        np.testing.assert_allclose(own["start"].iloc[1:], own["end"].iloc[:-1])
        assert (own["end"] - own["start"]).between(4.9, 15.1).all()
    assert set(clips["seconds"]) == {2.0}
    for recording, start, label in zip(clips["recording"], clips["start"], clips["label"], strict=True):
        own = sections[sections["recording"] == recording]
        home = own[(own["start"] < start) & (own["end"] > start + 2)]
        assert home["kind"].tolist() == [label]


def statistics(samples: Vectors) -> Vectors:
    """Mean and spread over time of a coarse cepstrum, by plain numpy: an ordinary baseline."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 512)[::160] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames))[:, 1:] ** 2
    edges = np.geomspace(1, 256, 25).astype(int)
    edges = np.maximum.accumulate(np.maximum(edges, np.arange(1, 26)))
    bands = np.log(np.add.reduceat(power, edges[:-1] - 1, axis=1) + 1e-8)
    return np.concatenate([bands.mean(0), bands.std(0)])


def test_tones_can_be_learnt_but_not_by_statistics_alone(tmp_path: Path) -> None:
    folder = synthetic.make("tones", 0, tmp_path)
    table = pd.read_csv(folder / "labels.csv")
    assert table["split"].value_counts().to_dict() == {"train": 240, "val": 80, "test": 80}
    waves = [wave(folder / path) for path in table["path"]]
    loudness = np.log([[np.sqrt(np.mean(samples**2))] for samples in waves])

    def score(features: Vectors) -> float:
        train, test = (table["split"] == "train").to_numpy(), (table["split"] == "test").to_numpy()
        scaled = StandardScaler().fit(features[train]).transform(features)
        probe = LogisticRegression(C=0.1, max_iter=2000).fit(scaled[train], table["label"][train])
        return float(f1_score(table["label"][test], probe.predict(scaled[test]), average="macro"))

    assert score(loudness) < 0.3
    assert 0.3 < score(np.stack([statistics(samples) for samples in waves])) < 0.85


@pytest.mark.parametrize("name", [*TEXTURES])
def test_textures_are_sounds_of_the_length_asked_for(name: str) -> None:
    samples = sound(stream(1, "test", 2), name, 20001)
    assert samples.shape == (20001,)
    assert np.isfinite(samples).all()
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(1, rel=1e-6)


def test_a_whole_set_is_used_again_and_nothing_lies_beside_it(tmp_path: Path) -> None:
    folder = synthetic.make("tones", 0, tmp_path, 8)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert synthetic.make("tones", 0, tmp_path, 8) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert list(tmp_path.iterdir()) == [folder]


def test_half_a_set_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(synthetic, "_table", dies)
        with pytest.raises(KeyboardInterrupt):
            synthetic.make("tones", 0, tmp_path, 8)
    assert not list(tmp_path.iterdir())
    assert (synthetic.make("tones", 0, tmp_path, 8) / "labels.csv").is_file()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WorkError, match="NEARFIELD_CACHE"):
        synthetic.make("tones", 0, tmp_path / "file", 8)


def test_without_a_folder_it_lies_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARFIELD_CACHE", str(tmp_path))
    assert synthetic.make("tones", 1, clips=8) == tmp_path / "synthetic" / "tones-8-seed1-v1"


def test_unknown_names_and_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        synthetic.make("tone", 0, tmp_path)
    assert str(error.value) == (
        "synthetic: there is no set 'tone'. Did you mean 'tones'? Known: tones, scenes, ensembles."
    )
    with pytest.raises(RequestError, match="the number of clips is 0"):
        synthetic.make("tones", 0, tmp_path, 0)
