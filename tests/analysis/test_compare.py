"""Two runs side by side against scikit-learn and a plain bootstrap; the table of runs; two files aligned."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import librosa
import numpy as np
import pytest
import soundfile
from PIL import Image
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from nearfield.analysis.compare import compare, draw_comparison
from nearfield.analysis.run_table import overview
from nearfield.analysis.similarity import similar
from nearfield.core.errors import DataError, RequestError
from nearfield.training.evaluate_run import evaluate_run, read_clips
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe, differing, flat
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small

TAGGED = {"relation": {"kind": "tags"}, "sampler": {"kind": "shuffle", "batch_size": 16}}


@pytest.fixture(scope="module")
def runs(tones: Path, chords: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """two of tones that differ in a margin and in seeds, two of chords that differ in updates."""
    folder = tmp_path_factory.mktemp("compared")

    def make(name: str, data: Path, seed: int, **changes: Any) -> None:
        # With its own mean taken off, a steady tone is noise: labels are hard, and runs differ.
        recipe = Recipe.of(small(**changes))
        launch(Request(recipe, str(data), folder / name, seed=seed, device="cpu"))
        evaluate_run(RunFolder(folder / name), with_baselines=False)

    make("tones/narrow", tones, 0, train={"updates": 3})
    make("tones/wide", tones, 1, train={"updates": 3}, loss={"kind": "triplet", "margin": 0.6})
    make("chords/short", chords, 0, **TAGGED, normalize={"kind": "none"}, train={"updates": 1})
    make("chords/long", chords, 0, **TAGGED, normalize={"kind": "none"}, train={"updates": 40})
    return folder


def test_f1_and_metrics_are_those_of_the_clips(runs: Path) -> None:
    found = compare(str(runs / "tones/narrow"), str(runs / "tones/wide"))
    tables = [read_clips(runs / "tones" / name / "clips.parquet") for name in ("narrow", "wide")]
    labels = sorted(set(tables[0]["label"]))
    assert [row.name for row in found.classes] == labels
    f1 = [f1_score(table["label"], table["predicted"], labels=labels, average=None) for table in tables]
    for row, first, second in zip(found.classes, *f1, strict=True):
        assert (row.first, row.second) == pytest.approx((first, second))
        assert row.difference == pytest.approx(second - first)
        assert row.few
    held = sorted(row.p_holm for row in found.classes if row.p_holm is not None)
    plain = sorted(row.p for row in found.classes if row.p is not None)
    by_hand = np.minimum(1, np.maximum.accumulate(np.array(plain) * np.arange(len(plain), 0, -1)))
    np.testing.assert_allclose(held, by_hand)
    results = [RunFolder(runs / "tones" / name).result()["metrics"] for name in ("narrow", "wide")]
    for metric in found.metrics:
        assert metric.first == pytest.approx(results[0][metric.name])
        assert metric.second == pytest.approx(results[1][metric.name])
    assert found.settings == {"loss.margin": (0.3, 0.6), "seed": (0, 1)}
    json.dumps(found.plain(), allow_nan=False)


def test_intervals_are_those_of_a_paired_bootstrap(runs: Path) -> None:
    found = compare(str(runs / "tones/narrow"), str(runs / "tones/wide"))
    first, second = (read_clips(runs / "tones" / name / "clips.parquet") for name in ("narrow", "wide"))
    name = "retrieval_from_train/recall_at_1"
    gap = (second[name] - first[name]).to_numpy()
    assert len(set(first["group"])) == len(gap)  # every clip is its own group
    row = next(each for each in found.metrics if each.name == name)
    assert row.interval is not None
    from scipy.stats import t

    reach = t.ppf(0.975, len(gap) - 1) * gap.std() / np.sqrt(len(gap))
    assert (row.interval[1] - row.interval[0]) / 2 == pytest.approx(reach, rel=0.1)


def test_tags_are_those_of_scikit_learn_and_the_better_run_is_seen(runs: Path, tmp_path: Path) -> None:
    short, long = str(runs / "chords/short"), str(runs / "chords/long")
    found = compare(short, long)
    rows = found.tags["tagging"].tags
    assert [row.name for row in rows] == ["high", "low", "middle", "top"]
    for column, row in enumerate(rows):
        for folder, value in ((short, "first"), (long, "second")):
            clips = read_clips(Path(folder) / "clips.parquet")
            has, said = (np.stack(list(clips[f"tagging/{what}"]))[:, column] for what in ("tags", "scores"))
            truth = [row.name in tags for tags in _tags(Path(folder))]
            assert list(has) == truth
            assert row.pr_auc is not None
            assert getattr(row.pr_auc, value) == pytest.approx(average_precision_score(has, said))
    draw_comparison(tmp_path / "compare.png", found)
    with Image.open(tmp_path / "compare.png") as image:
        assert image.width > 500


def _tags(folder: Path) -> list[set[str]]:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "vectors.parquet").to_pandas()
    return [set(tags) for tags in table["tags"][table["split"] == "test"]]


def test_differences_of_a_search_within_the_split_count_both_sides(runs: Path) -> None:
    found = compare(str(runs / "tones/narrow"), str(runs / "tones/wide"))
    first, second = (read_clips(runs / "tones" / name / "clips.parquet") for name in ("narrow", "wide"))
    name = "without/retrieval/recall_at_1"
    gap = (second[name] - first[name]).to_numpy()  # every clip is its own group
    row = next(each for each in found.metrics if each.name == "retrieval/recall_at_1")
    assert row.interval is not None
    error = np.sqrt((len(gap) - 1) / len(gap) * ((gap - gap.mean()) ** 2).sum())
    wanted = row.difference + np.array([-1, 1]) * stats.t.ppf(0.975, len(gap) - 1) * error
    assert row.interval == pytest.approx(tuple(np.clip(wanted, -1, 1)))


def test_a_run_does_not_differ_from_itself(runs: Path) -> None:
    found = compare(str(runs / "tones/narrow"), str(runs / "tones/narrow"))
    assert found.settings == {}
    for row in (*found.metrics, *found.classes):
        assert row.difference == 0
        assert row.p is None or row.p == 1


def test_other_clips_or_splits_are_refused_naming_both(runs: Path, tmp_path: Path) -> None:
    first = str(runs / "tones/narrow")
    with pytest.raises(RequestError, match=r"narrow and .*chords/short were measured on other clips: 0 are"):
        compare(first, str(runs / "chords/short"))
    other = tmp_path / "other"
    shutil.copytree(runs / "tones/wide", other)

    def edited(name: str, change: Callable[[dict[str, Any]], Any]) -> None:
        plain = json.loads((runs / "tones/wide" / name).read_text())
        change(plain)
        (other / name).write_text(json.dumps(plain))

    edited("result.json", lambda plain: plain.update(split="val"))
    with pytest.raises(RequestError, match=r"narrow and .*other were measured on test and on val"):
        compare(first, str(other))
    edited("result.json", lambda plain: None)
    edited("environment.json", lambda plain: plain["data"].update(split_hash="0"))
    with pytest.raises(RequestError, match="learnt from other sides of the split"):
        compare(first, str(other))
    (other / "clips.parquet").unlink()
    with pytest.raises(RequestError, match="Measure the run again"):
        compare(first, str(other))


def test_settings_are_flat_and_only_what_differs_is_told() -> None:
    one = flat({"loss": {"kind": "triplet", "margin": 0.3}, "augment": [{"kind": "gain"}], "x": []})
    assert one == {"loss.kind": "triplet", "loss.margin": 0.3, "augment.0.kind": "gain"}
    other = flat({"loss": {"kind": "circle"}, "augment": [], "x": []})
    assert differing([one, other]) == {
        "loss.kind": ("triplet", "circle"),
        "loss.margin": (0.3, None),
        "augment.0.kind": ("gain", None),
    }
    assert differing([one]) == {}


def test_runs_are_listed_filtered_and_sorted(runs: Path, tmp_path: Path) -> None:
    found = overview(runs)
    assert [run.name for run in found.runs] == ["chords/long", "chords/short", "tones/narrow", "tones/wide"]
    assert {"loss.margin", "train.updates", "relation.kind", "seed"} <= set(found.differing)
    assert "loss.kind" not in found.differing
    assert found.unread == ()
    wide = overview(runs, ["relation.kind=labels", "loss.margin>=0.5"])
    assert [run.name for run in wide.runs] == ["tones/wide"]
    assert [run.name for run in overview(runs, ["relation.kind!=labels"], "train.updates").runs] == [
        "chords/long",
        "chords/short",
    ]
    few = overview(runs, ["train.updates<=3", "train.updates<3"]).runs
    assert [run.name for run in few] == ["chords/short"]
    assert len(overview(runs, ["train.updates<=3", "seed>-1"]).runs) == 3
    ranked = overview(runs, sort="retrieval_from_train/recall_at_1", ascending=True).runs
    values = [run.metrics.get("retrieval_from_train/recall_at_1") for run in ranked]
    known = [value for value in values if value is not None]
    assert known == sorted(known)
    assert values[: len(known)] == known
    json.dumps(found.plain(), allow_nan=False)
    with pytest.raises(RequestError, match=r"no run has 'loss.margn'. Did you mean 'loss.margin'"):
        overview(runs, ["loss.margn=1"])
    with pytest.raises(RequestError, match="a condition is KEY=VALUE"):
        overview(runs, ["loss.margin"])
    with pytest.raises(RequestError, match="there is no run below it"):
        overview(tmp_path)


def test_copies_of_an_encoder_are_no_runs(runs: Path, tmp_path: Path) -> None:
    """A space holds the run that hears its queries; an export for the Hub has the same files."""
    for at in ("run", "space/encoder", "hub"):
        shutil.copytree(runs / "tones/narrow", tmp_path / at)
    (tmp_path / "space/space.json").write_text("{}")
    (tmp_path / "hub/weights.safetensors").rename(tmp_path / "hub/model.safetensors")
    assert [run.name for run in overview(tmp_path).runs] == ["run"]


def test_a_sound_is_like_itself_played_slower(tmp_path: Path) -> None:
    rate, pitches = 8000, [300, 900, 500, 1500, 700]

    def melody(name: str, notes: list[int], seconds: float) -> Path:
        chance, time = np.random.default_rng(len(name)), np.arange(round(rate * seconds)) / rate
        wave = np.concatenate([0.3 * np.sin(2 * np.pi * pitch * time) for pitch in notes])
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, wave + 0.01 * chance.standard_normal(len(wave)), rate, subtype="FLOAT")
        return path

    own, slow = melody("own", pitches, 0.2), melody("slow", pitches, 0.3)
    other = melody("other", pitches[::-1], 0.2)
    same = similar(own, own, sample_rate=rate)
    assert (same.per_step, same.similarity, same.diagonal) == (0, 1, 1)
    assert (
        similar(own, slow, sample_rate=rate).per_step < 0.5 * similar(own, other, sample_rate=rate).per_step
    )
    there, back = similar(own, slow, sample_rate=rate), similar(slow, own, sample_rate=rate)
    assert there.cost == pytest.approx(back.cost)
    assert similar(own, slow, 0.5, rate).seconds == (0.5, 0.5)
    with pytest.raises(DataError, match="no such file"):
        similar(own, tmp_path / "none.wav")


def test_the_cost_is_what_librosa_finds_on_the_same_frames(tmp_path: Path) -> None:
    import torch

    from nearfield.analysis.similarity import usual_mfcc

    chance, rate = np.random.default_rng(0), 16000
    waves = [chance.standard_normal(rate // 2 + 1000 * n).astype(np.float32) * 0.1 for n in range(2)]
    paths = [tmp_path / f"{n}.wav" for n in range(2)]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave, rate, subtype="FLOAT")
    feature = usual_mfcc(rate).build(rate, 1)
    frames = [feature(torch.from_numpy(wave[None, None]))[0, 0].double().numpy() for wave in waves]
    costs, path_found = librosa.sequence.dtw(frames[0], frames[1], metric="euclidean")
    found = similar(paths[0], paths[1])
    assert found.cost == pytest.approx(costs[-1, -1], rel=1e-6)
    assert found.steps == pytest.approx(len(path_found), abs=2)
