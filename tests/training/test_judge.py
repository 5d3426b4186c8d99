"""A run from data to result: what the folder holds, that it suffices, and that it says the truth."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from sklearn.neighbors import KNeighborsClassifier

from nearfield.core.errors import DataError, RequestError
from nearfield.data.collection import Collection
from nearfield.training.api import evaluate, train
from nearfield.training.evaluate_run import _warnings, evaluate_run, read_clips
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder
from tests.training.conftest import small


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    # A steady tone is its own mean in every band: taking that away would leave nothing.
    recipe = Recipe.of(small(train={"updates": 60}, normalize={"kind": "none"}))
    return train(recipe, tones, tmp_path_factory.mktemp("run") / "r", device="cpu")


def test_the_folder_holds_what_it_promises(run: Run) -> None:
    names = {path.name for path in run.folder.path.iterdir()}
    promised = {"recipe.yaml", "environment.json", "metrics.jsonl", "result.json", "weights.safetensors"}
    promised |= {"clips.parquet", "vectors.parquet", "split.csv", "tensorboard", "network.txt"}
    promised |= {"canary.safetensors"}
    assert names - {"state", "lock"} == promised
    lines = [json.loads(line) for line in (run.folder.path / "metrics.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, 61))
    logged = {"train/loss", "train/active_fraction", "train/alike_distance", "train/unlike_distance"}
    assert logged | {"train/gradient_norm", "train/vector_norm", "train/learning_rate"} <= set(lines[0])
    assert "train/effective_rank" in lines[0]
    for line in lines:
        assert line["train/loss"] == pytest.approx(line["train/loss_pairs"] + line["train/loss_penalty"])
    assert "Conv2d" in (run.folder.path / "network.txt").read_text()


def test_separate_tones_are_learnt(run: Run) -> None:
    assert run.metrics["retrieval_from_train/recall_at_1"] > 0.9
    for baseline in ("mfcc_stats", "logmel_stats", "random_encoder"):
        assert f"baseline/{baseline}/probe/macro_f1" in run.metrics
    assert run.metrics["baseline/chance/retrieval_from_train/recall_at_1"] == pytest.approx(0.25, abs=0.02)


def test_a_rival_is_beaten_or_not_in_the_same_measure(run: Run) -> None:
    """A baseline's dense probe is no rival of a linear probe, though its name ends alike."""
    collection = Collection.load(run.folder.environment()["data"]["path"])
    metrics = {
        "probe/macro_f1": 0.6,
        "baseline/a/probe/macro_f1": 0.5,
        "baseline/a/dense_probe/macro_f1": 0.9,
    }
    assert _warnings(metrics, collection) == []
    metrics["baseline/b/probe/macro_f1"] = 0.7
    assert _warnings(metrics, collection) == ["probe F1 0.600 is no better than b (0.700)."]


def test_a_warning_names_the_baseline_as_tables_do(run: Run) -> None:
    collection = Collection.load(run.folder.environment()["data"]["path"])
    metrics = {"probe/accuracy": 0.5, "baseline/random_encoder/probe/accuracy": 0.5}
    assert _warnings(metrics, collection) == [
        "probe accuracy 0.500 is no better than untrained encoder (0.500)."
    ]


def test_a_run_whose_data_moved_names_the_option_that_helps(tones: Path, tmp_path: Path) -> None:
    shutil.copytree(tones, tmp_path / "here")
    recipe = Recipe.of(small(train={"updates": 2}, normalize={"kind": "none"}))
    run = train(recipe, tmp_path / "here", tmp_path / "r", device="cpu")
    assert len(run.encode(str(tmp_path / "here/a/0.wav"))) == 1  # one path is one sound
    assert np.array_equal(run.encode(tmp_path / "here/a/0.wav"), run.encode([tmp_path / "here/a/0.wav"]))
    (tmp_path / "here").rename(tmp_path / "there")
    with pytest.raises(DataError, match="if they have moved: --data NEW_PLACE"):
        evaluate_run(run.folder)
    moved = evaluate_run(run.folder, str(tmp_path / "there"))["metrics"]
    shared = [name for name in moved if name in run.metrics and "baseline" not in name]
    assert "probe/macro_f1" in shared
    for name in shared:
        assert moved[name] == pytest.approx(run.metrics[name])


def test_validations_keep_how_far_apart_the_labels_lie(tones: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(small(train={"updates": 4, "validate_every": 4}, normalize={"kind": "none"}))
    run = train(recipe, tones, tmp_path / "r", device="cpu")
    last = json.loads((tmp_path / "r/metrics.jsonl").read_text().splitlines()[-1])
    table = pq.read_table(run.folder.vectors).to_pandas()
    table = table[table["split"] == "val"]
    means = {name: np.stack(list(table["vector"][table["label"] == name])).mean(0) for name in ("a", "b")}
    assert last["val/centroids/a_to_b"] == pytest.approx(np.linalg.norm(means["a"] - means["b"]), rel=0.05)
    assert len([name for name in last if name.startswith("val/centroids/")]) == 6


def test_val_clips_train_too_where_the_recipe_says_so(tones: Path, tmp_path: Path) -> None:
    plain = Collection.load(str(tones))
    recipe = Recipe.of(small(train={"updates": 4}, data={**small()["data"], "val_trains": True}))
    run = train(recipe, tones, tmp_path / "r", device="cpu")
    noted = run.folder.environment()["data"]
    both = len(plain.rows("train")) + len(plain.rows("val"))
    assert noted["split"] == {"train": both, "val": 0, "test": len(plain.rows("test"))}
    kept = plain.with_split(run.folder.split)
    assert kept.split_hash() == noted["split_hash"] != plain.split_hash()
    assert noted["split_from"].endswith("; val trains too")
    assert list(kept.rows("test")) == list(plain.rows("test"))
    on_train = evaluate(run.folder.path, split="train")
    assert sum(row["support"] for row in on_train.per_class) == both
    validating = recipe.changed({"train.validate_every": 2, "train.keep": "best"})
    with pytest.raises(RequestError, match=r"data.val_trains: .* cannot be used for training and validation"):
        train(validating, tones, tmp_path / "other", device="cpu")


def test_other_sides_than_test_are_measured_and_leave_the_run_as_it_is(run: Run) -> None:
    kept = (run.folder.path / "result.json", run.folder.clips, run.folder.vectors)
    before = [path.read_bytes() for path in kept]
    assert evaluate(run.folder.path, split="val").split == "val"
    assert [path.read_bytes() for path in kept] == before


def test_a_measuring_cut_short_leaves_no_result_beside_files_that_are_not_its_own(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.folder.path, copy)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("nearfield.training.evaluate_run.write_clips", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(copy)
    assert not RunFolder(copy).is_evaluated
    assert evaluate(copy).metrics == run.metrics
    assert RunFolder(copy).is_evaluated


def test_the_figure_is_what_scikit_learn_finds_in_the_vectors(run: Run) -> None:
    table = pq.read_table(run.folder.vectors).to_pandas()
    vectors = np.stack(list(table["vector"]))
    side = {name: (table["split"] == name).to_numpy() for name in ("train", "test")}
    nearest = KNeighborsClassifier(1, metric="cosine").fit(
        vectors[side["train"]], table["label"][side["train"]]
    )
    found = float((nearest.predict(vectors[side["test"]]) == table["label"][side["test"]]).mean())
    assert run.metrics["retrieval_from_train/recall_at_1"] == pytest.approx(found)


def test_scores_of_single_clips_are_those_that_the_metrics_are_means_of(run: Run) -> None:
    clips = read_clips(run.folder.clips)
    ids, _ = run.vectors()
    split = pd.read_csv(run.folder.split, comment="#").set_index("id")["split"]
    assert list(clips["id"]) == [name for name in ids if split[name] == "test"]
    assert list(clips["label"]) == [name.split("/")[0] for name in clips["id"]]
    assert len(set(clips["group"])) == len(clips)  # no clip says whom it belongs to
    assert (clips["label"] == clips["predicted"]).mean() == pytest.approx(run.metrics["probe/accuracy"])
    scores = [name for name in clips if name in run.metrics]
    assert {"retrieval_from_train/recall_at_1", "probe/accuracy"} <= set(scores)
    for name in scores:
        assert clips[name].mean() == pytest.approx(run.metrics[name])
    with pytest.raises(RequestError, match=r"is missing\. Measure the run again"):
        read_clips(run.folder.path / "none.parquet")


def test_evaluating_again_needs_the_folder_and_the_data_alone(run: Run, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run.folder.path, moved)
    before = json.loads((moved / "result.json").read_text())
    (moved / "result.json").unlink()
    after = evaluate(moved)
    assert after.metrics == pytest.approx(before["metrics"], abs=1e-6)
    assert json.loads((moved / "result.json").read_text())["metrics"] == after.metrics


def test_encoding_files_and_waves_gives_the_stored_vectors(run: Run, tones: Path) -> None:
    ids, vectors = run.vectors()
    paths = [tones / "a" / "3.wav", tones / "d" / "7.wav"]
    rows = [ids.index(f"{path.parent.name}/{path.name}") for path in paths]
    assert np.abs(run.encode(paths) - vectors[rows]).max() < 1e-5
    waves = [soundfile.read(path, dtype="float32")[0] for path in paths]
    assert np.abs(run.encode(waves) - run.encode(paths)).max() < 1e-6
    assert run.encode([]).shape == (0, 8)


def test_stored_vectors_are_those_of_the_same_clips_or_none(run: Run) -> None:
    collection = Collection.load(run.folder.environment()["data"]["path"])
    ids, vectors = run.vectors()
    rows = np.random.default_rng(0).permutation(len(collection))[:7]
    found = run.vectors_for(collection.subset(rows))
    assert found is not None
    names = collection.table["id"].iloc[rows]
    np.testing.assert_array_equal(found, vectors[[ids.index(name) for name in names]])
    for column, value in (("id", "b/11.wav"), ("start", 0.1), ("seconds", 0.3)):
        table = collection.table.copy()
        table.loc[3, column] = value
        assert run.vectors_for(replace(collection, table=table)) is None


def test_a_run_is_not_overwritten_nor_resumed_with_other_settings(run: Run, tones: Path) -> None:
    out = run.folder.path
    with pytest.raises(RequestError, match="already holds a run"):
        train(run.recipe, tones, out, device="cpu")
    other = Recipe.of(
        small(train={"updates": 60}, normalize={"kind": "none"}, loss={"kind": "triplet", "margin": 0.4})
    )
    with pytest.raises(RequestError, match=r"begun with another recipe: loss\.margin differ"):
        train(other, tones, out, device="cpu", resume=True)
    with pytest.raises(RequestError, match="begun with seed 0, not 5"):
        train(run.recipe, tones, out, device="cpu", resume=True, seed=5)


def test_the_same_seed_gives_the_same_weights(
    tones: Path, tmp_path: Path, recipe: Callable[..., Any]
) -> None:
    made = [
        train(recipe(train={"updates": 6}), tones, tmp_path / name, device="cpu", seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    one, other, third = [run.folder.weights.read_bytes() for run in made]
    assert one == other
    assert one != third


def test_an_evaluation_is_typed_and_holds_what_result_json_holds(run: Run) -> None:
    found = evaluate(run.folder.path)
    stored = json.loads((run.folder.path / "result.json").read_text())
    assert found.metrics == stored["metrics"] == found.result["metrics"]
    assert found.split == "test"
    assert {name: list(ends) for name, ends in found.intervals.items()} == stored["intervals"]
    assert list(found.per_class) == stored["per_class"]
    plain = found.baselines["mfcc_stats"]
    assert plain["probe/macro_f1"] == stored["metrics"]["baseline/mfcc_stats/probe/macro_f1"]
    assert "result=" not in repr(found)


def test_similarity_is_the_cosine_of_embeddings(run: Run) -> None:
    _, vectors = run.vectors()
    found = run.similarity(vectors[:5], vectors[3:10])
    wanted = [
        [float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in vectors[3:10].astype(np.float64)]
        for a in vectors[:5].astype(np.float64)
    ]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    np.testing.assert_allclose(np.diag(run.similarity(vectors[:5])), 1.0, atol=1e-6)
    np.testing.assert_allclose(run.similarity(3 * vectors[0], vectors[3]), found[:1, :1], atol=1e-6)
    with pytest.raises(
        RequestError, match=r"similarity compares embeddings of \d+ numbers. Given: shape \(5, 3\)"
    ):
        run.similarity(vectors[:5, :3])
