"""What an explanation says, against scikit-learn, brute force and sounds whose faults are known."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image
from scipy.spatial.distance import cdist, cosine, pdist
from sklearn.metrics import (
    confusion_matrix,
    f1_score,
    normalized_mutual_info_score,
    precision_recall_fscore_support,
)

from nearfield.analysis.explain.examples import neighborhoods, tile
from nearfield.analysis.explain.explain import Explanation, explain
from nearfield.analysis.explain.figures import confusion_figure, draw, draw_confusion, focal_curve
from nearfield.analysis.explain.opened_run import OpenedRun
from nearfield.core.errors import DataError, RequestError
from nearfield.metrics.classification import Confusion, confusion, report
from nearfield.metrics.intervals import jackknife_interval
from nearfield.metrics.probes import Labelled, fit_label_probe
from nearfield.training.evaluate_run import evaluate_run, read_clips
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small

RATE = 8000


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("explained") / "r"
    recipe = Recipe.of(small(train={"updates": 40}, normalize={"kind": "none"}))
    launch(Request(recipe, str(tones), out, device="cpu"))
    evaluate_run(RunFolder(out), with_baselines=False)
    return Run.load(out)


@pytest.fixture(scope="module")
def opened(run: Run) -> OpenedRun:
    return OpenedRun.open(run)


@pytest.fixture(scope="module")
def found(opened: OpenedRun) -> Explanation:
    return explain(opened, most_clusters=6)


def written(folder: Path, waves: dict[str, np.ndarray], table: pd.DataFrame) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, wave in waves.items():
        soundfile.write(folder / name, wave, RATE, subtype="FLOAT")
    table.to_csv(folder / "labels.csv", index=False)
    return folder


def tone(pitch: float, seconds: float, seed: int) -> np.ndarray:
    chance, time = np.random.default_rng(seed), np.arange(round(RATE * seconds)) / RATE
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * chance.standard_normal(len(time))


def test_vectors_and_levels_are_those_of_the_clips(opened: OpenedRun, run: Run) -> None:
    ids, vectors = run.vectors()
    assert list(opened.collection.table["id"]) == ids
    np.testing.assert_array_equal(opened.vectors, vectors)
    rows = opened.rows[:3]
    levels = opened.levels(rows)
    for row, level in zip(rows, levels, strict=True):
        wave, _ = soundfile.read(opened.collection.table["path"].iloc[row])
        assert level == pytest.approx(20 * np.log10(np.sqrt(np.mean(wave**2))), abs=1e-3)


def test_clusters_agree_with_labels_as_scikit_learn_says(found: Explanation, opened: OpenedRun) -> None:
    labels = opened.setup.metadata.labels[opened.rows]
    for space in found.clusters.spaces:
        for each in space.found:
            inside = each.members >= 0
            if each.nmi is None or not inside.any():
                continue
            assert each.nmi == pytest.approx(
                normalized_mutual_info_score(labels[inside], each.members[inside])
            )
    whole = found.clusters.spaces[0]
    assert whole.name == "whole"
    assert found.clusters.spaces[1].name == "pca_3"


def test_centroids_and_counts(found: Explanation, opened: OpenedRun) -> None:
    assert found.apart is not None
    vectors, labels = opened.vectors[opened.rows], opened.setup.metadata.labels[opened.rows]
    means = np.stack([vectors[labels == label].mean(axis=0) for label in np.unique(labels)]).astype(float)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    apart = pdist(means)
    assert found.apart.spread == pytest.approx(apart.std() / apart.mean(), rel=1e-4)
    table = opened.collection.table
    for label, counts in found.class_counts.items():
        assert counts == {s: int(((table.label == label) & (table.split == s)).sum()) for s in counts}
    json.dumps(found.plain(), allow_nan=False)
    assert found.nuisance == ()
    assert found.challenge is None
    assert any(note.startswith("position") for note in found.notes)


def test_the_confusion_is_scikit_learns_and_drawn_with_its_numbers(
    found: Explanation, run: Run, tmp_path: Path
) -> None:
    clips = read_clips(run.folder.clips)
    clips = clips[clips["predicted"] != ""]
    assert found.confusion is not None
    expected = confusion_matrix(clips["label"], clips["predicted"], labels=list(found.confusion.names))
    assert found.confusion.counts.tolist() == expected.tolist()
    planted = Confusion(("cat", "dog", "rain"), np.array([[7, 2, 0], [0, 30, 1], [0, 0, 5]]))
    figure = confusion_figure(planted)
    axes = figure.axes[0]
    assert {(text.get_text(), *text.get_position()) for text in axes.texts} == {
        ("7", 0.5, 0.5), ("2", 1.5, 0.5), ("30", 1.5, 1.5), ("1", 2.5, 1.5), ("5", 2.5, 2.5)
    }  # fmt: skip
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["cat", "dog", "rain"]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("label", "predicted")
    assert "93% of 45 clips correct" in axes.get_title(loc="left")
    draw_confusion(tmp_path / "confusion.png", planted)
    assert (tmp_path / "confusion.png").stat().st_size > 1000


def test_precision_recall_and_f1_of_a_confusion_are_scikit_learns() -> None:
    chance = np.random.default_rng(0)
    truth, told = chance.integers(0, 5, 200), chance.integers(0, 6, 200)
    found = confusion(truth, told, tuple("abcdef"))
    expected = precision_recall_fscore_support(truth, told, zero_division=0)
    np.testing.assert_allclose(report(found), np.stack(expected[:3], 1), rtol=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_curve_of_focal_loss_is_its_formula(gamma: float) -> None:
    probability, cost = focal_curve(gamma)
    np.testing.assert_allclose(cost, -((1 - probability) ** gamma) * np.log(probability), rtol=1e-9)


def test_a_cluster_of_silence_is_found(run: Run, tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    waves = {f"t{n}.wav": tone(1100.0, 0.5, n) for n in range(8)}
    waves |= {f"s{n}.wav": 1e-5 * chance.standard_normal(4000) for n in range(8)}
    table = pd.DataFrame({"path": list(waves), "label": ["c"] * 8 + ["a"] * 8, "split": "test"})
    data = written(tmp_path / "quiet", waves, table)
    found = explain(OpenedRun.open(run, str(data)), most_clusters=4)
    assert found.silence is not None
    quiet = found.silence.quiet
    assert quiet.level < -95
    assert quiet.silent == quiet.clips
    assert found.silence.explained > 0.9
    assert sum(row.of_all_silent for row in found.silence.clusters) == pytest.approx(1)


def long_set(folder: Path) -> Path:
    """Tones of half a second to learn from; recordings whose ends are the tone of another label."""
    pitches = {"a": 200.0, "b": 500.0, "c": 1100.0, "d": 2300.0}
    waves, rows = {}, []
    for number, (label, pitch) in enumerate(pitches.items()):
        other = list(pitches.values())[(number + 1) % 4]
        for at in range(4):
            waves[f"{label}{at}.wav"] = tone(pitch, 0.5, 10 * number + at)
            rows.append((f"{label}{at}.wav", label, "train"))
        ends = [tone(other, 0.8, 90 + number), tone(pitch, 6.4, 95 + number), tone(other, 0.8, 99 + number)]
        waves[f"long{label}.wav"] = np.concatenate(ends)
        rows.append((f"long{label}.wav", label, "test"))
    return written(folder, waves, pd.DataFrame(rows, columns=["path", "label", "split"]))


def test_windows_of_long_recordings_are_judged_by_their_place(run: Run, tmp_path: Path) -> None:
    found = explain(OpenedRun.open(run, str(long_set(tmp_path / "long"))), most_clusters=3)
    assert found.positions is not None
    assert found.positions.of == "windows"
    first, middle, last = found.positions.scores["recall_at_1"]
    assert first.score == 0
    assert last.score == 0
    assert middle.score is not None
    assert middle.score > 0.8
    assert first.clips == last.clips == 8  # 20 windows of 0.4 s each: two at either end of each of four
    assert first.less == pytest.approx(middle.score)


def test_clips_cut_from_recordings_are_judged_by_theirs(run: Run, tmp_path: Path) -> None:
    data = long_set(tmp_path / "long")
    rows = [(f"{label}{n}.wav", label, "train", "", 0.0, 0.5) for label in "abcd" for n in range(4)]
    rows = [(path, label, side, path, start, length) for path, label, side, _, start, length in rows]
    rows += [
        (f"long{label}.wav", label, "test", f"long{label}", 0.4 * n, 0.4)
        for label in "abcd"
        for n in range(20)
    ]
    columns = ["path", "label", "split", "recording", "start", "seconds"]
    pd.DataFrame(rows, columns=columns).to_csv(data / "labels.csv", index=False)
    opened = OpenedRun.open(run, str(data))
    found = explain(opened, most_clusters=3)
    assert found.positions is not None
    assert found.positions.of == "clips"
    # The clips are searched among themselves: each recording is left out as query and as what is found.
    recordings = opened.setup.metadata.recordings[opened.rows]
    apart = cdist(opened.vectors[opened.rows], opened.vectors[opened.rows])
    np.fill_diagonal(apart, np.inf)
    inside = np.tile((np.arange(20) >= 2) & (np.arange(20) < 18), 4)
    figures = []
    for left in (-1, *np.unique(recordings)):
        kept = recordings != left
        same = recordings[kept][apart[kept][:, kept].argmin(axis=1)] == recordings[kept]
        figures.append(float(same[inside[kept]].mean()))
    middle = found.positions.scores["time/same_recording_at_1"][1]
    assert middle.score == pytest.approx(figures[0])
    assert middle.interval == pytest.approx(jackknife_interval(figures[0], np.array(figures[1:]), 4))
    first, middle, _ = found.positions.scores["retrieval_from_train/recall_at_1"]
    assert first.score == 0
    assert middle.score is not None
    assert middle.score > 0.8


def test_known_nodes_and_microphones(run: Run, tones: Path, tmp_path: Path) -> None:
    rows = [
        (
            str(tones / label / f"{n}.wav"),
            label,
            "train" if n < 6 else "test",
            f"n{n % 2}",
            "yes" if n < 9 else "no",
        )
        for label in "abcd"
        for n in range(10)
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "split", "node", "known_node"])
    table.to_csv(tmp_path / "labels.csv", index=False)
    opened = OpenedRun.open(run, str(tmp_path / "labels.csv"))
    found = explain(opened, most_clusters=3)
    assert [row.column for row in found.nuisance] == ["node"]
    assert found.nuisance[0].chance == pytest.approx(0.5, abs=0.02)
    assert found.challenge is not None
    assert found.challenge.clips == {"unknown": 4, "known": 12, "all": 16}
    metadata, train = opened.setup.metadata, opened.splits["train"]
    probe = fit_label_probe(Labelled(opened.vectors[train], metadata.labels[train]), None)
    told = probe.predict(opened.vectors[opened.rows])
    for column, kept in (("unknown", "no"), ("known", "yes")):
        of = (opened.collection.table["known_node"].iloc[opened.rows] == kept).to_numpy()
        labels = metadata.labels[opened.rows][of]
        expected = 100 * f1_score(labels, told[of], average="macro")
        assert getattr(found.challenge.ours, column) == pytest.approx(expected)


def test_clips_that_only_judge_are_read_by_what_the_runs_own_teach(
    run: Run, tones: Path, tmp_path: Path
) -> None:
    """As the evaluation set of a challenge, in its own layout: all of it is test."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "evaluation_setup").mkdir()
    lines = []
    for number in range(8):
        label, node = "abcd"[number % 4], (1, 5)[number // 4]
        name = f"audio/EvalNode{node}_ex{number}_1.wav"
        soundfile.write(
            tmp_path / name, tone({"a": 200, "b": 500, "c": 1100, "d": 2300}[label], 10, number), RATE
        )
        lines.append(f"{name}\t{label}\tex{number}")
    (tmp_path / "evaluation_setup" / "evaluate.txt").write_text("\n".join(lines) + "\n")
    opened = OpenedRun.open(run, f"dcase2018_task5:{tmp_path}?part=evaluation")
    found = explain(opened, most_clusters=3)
    assert found.challenge is not None
    assert found.challenge.clips == {"unknown": 4, "known": 4, "all": 8}
    assert found.challenge.ours.reading == "supervised"
    assert any("trained on the train clips of the run" in note for note in found.notes)
    own = pq.read_table(run.folder.vectors).to_pandas()
    sides = {side: own[own["split"] == side] for side in ("train", "val")}
    taught = [
        Labelled(np.stack(list(rows["vector"])), rows["label"].map("abcd".index).to_numpy(np.int64))
        for rows in sides.values()
    ]
    labels = opened.collection.table["label"].map("abcd".index).to_numpy()
    told = fit_label_probe(taught[0], taught[1]).predict(opened.vectors)
    for column, part in (("known", slice(0, 4)), ("unknown", slice(4, 8))):
        expected = 100 * f1_score(labels[part], told[part], average="macro")
        assert getattr(found.challenge.ours, column) == pytest.approx(expected)
    assert found.confusion is not None
    assert np.trace(found.confusion.counts) == (labels == told).sum() >= 6


def test_neighbours_after_learning_are_the_nearest_of_other_groups(opened: OpenedRun) -> None:
    row = int(opened.rows[0])
    near = neighborhoods(opened, np.array([row]), 4)[0]
    ids = list(opened.collection.table["id"])
    apart = {
        ids[other]: cosine(opened.vectors[row].astype(float), opened.vectors[other].astype(float))
        for other in opened.rows
        if other != row
    }
    best = sorted(apart, key=lambda clip: apart[clip])[:4]
    assert {each.tile.id for each in near.after} == set(best)
    for each in near.after:
        assert each.distance == pytest.approx(apart[each.tile.id], abs=1e-6)
    label = ids[row].split("/")[0]
    for each in (*near.before, *near.after):
        assert each.shared == ((label,) if each.tile.names == (label,) else ())
    assert near.plain == "mfcc_stats"
    shown = tile(opened, row)
    assert shown.seconds == pytest.approx(0.4)
    wave, _ = soundfile.read(opened.collection.table["path"].iloc[row], frames=3200)
    np.testing.assert_allclose(shown.wave, wave, atol=1e-6)
    later = tile(opened, row, start=0.2)
    assert [later.start, later.seconds] == pytest.approx([0.2, 0.3])
    whole, _ = soundfile.read(opened.collection.table["path"].iloc[row])
    np.testing.assert_allclose(later.wave, whole[1600:], atol=1e-6)
    peak = shown.log_mel.mean(axis=1).argmax()
    pitch = {"a": 200, "b": 500, "c": 1100, "d": 2300}[label]
    mel = lambda hertz: 2595 * np.log10(1 + hertz / 700)  # noqa: E731
    assert peak == pytest.approx(65 * mel(pitch) / mel(4000), abs=6)


def test_figures_are_written_and_clips_can_be_named(
    found: Explanation, opened: OpenedRun, tmp_path: Path
) -> None:
    clip = str(opened.collection.table["id"].iloc[opened.rows[1]])
    paths = draw(found, opened, tmp_path / "figures", clip)
    names = {path.name for path in paths}
    assert names == {"clusters.png", "classes.png", "centroids.png"} | {
        "confusion.png",
        "report.png",
        "probe.png",
        "clip-1.png",
        "neighbours-1.png",
    }
    for path in paths:
        with Image.open(path) as image:
            assert image.convert("L").getextrema() != (255, 255)
    draw(found, opened, tmp_path / "figures", clip, at=0.05)
    with pytest.raises(RequestError, match=r"has a length of 0.5 s. Given: 3"):
        draw(found, opened, tmp_path / "figures", clip, at=3)
    with pytest.raises(RequestError, match="there is no clip 'nothing'"):
        draw(found, opened, tmp_path / "figures", "nothing")
    with pytest.raises(DataError, match=r"split 'tset' has no clips. Did you mean 'test'"):
        OpenedRun.open(opened.run, split="tset")
