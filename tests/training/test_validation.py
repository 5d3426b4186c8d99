"""What a training is validated by: each score against a slow version, and refused where it cannot vary."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from sklearn.metrics import silhouette_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nearfield.core.errors import RequestError
from nearfield.core.types import Pairs
from nearfield.data.collection import Collection
from nearfield.data.signals import Loader
from nearfield.learning.build import loss
from nearfield.learning.losses.settings import LOSSES, pair_kinds
from nearfield.training.events import Event, Note, ignore
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import TrainingSetup
from nearfield.training.trainer import Training, launch
from nearfield.training.validation import SCORE, TripletCounter, tag_overlap_at_1
from tests.training.conftest import small

TIME: dict[str, Any] = {
    "augment": [],
    "normalize": {"kind": "none"},
    "relation": {"kind": "time", "range_seconds": 1.0},
    "sampler": {"kind": "tiles", "range_seconds": 1.0, "batch_size": 8},
    "loss": {"kind": "nt_xent"},
}


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings of six seconds without labels, each a chord of its own that glides."""
    folder = tmp_path_factory.mktemp("field")
    rng = np.random.default_rng(0)
    time = np.arange(48000) / 8000
    for number in range(10):
        pitch = 150 * 1.3**number * (1 + 0.2 * time / 6)
        wave = 0.2 * np.sin(2 * np.pi * np.cumsum(pitch) / 8000) + 0.02 * rng.standard_normal(len(time))
        soundfile.write(folder / f"{number}.wav", wave, 8000, subtype="FLOAT")
    return folder


def lines_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def curve(out: Path, name: str) -> list[float]:
    return [line[name] for line in lines_of(out) if name in line]


def trained(data: Path, out: Path, **changes: Any) -> list[str]:
    said: list[Event] = []
    launch(Request(Recipe.of(small(**changes)), str(data), out, device="cpu"), said.append)
    return [event.text for event in said if isinstance(event, Note)]


def test_without_labels_time_validates_and_chooses_the_best(field: Path, tmp_path: Path) -> None:
    plan = {"updates": 60, "validate_every": 5, "keep": "best"}
    notes = trained(field, tmp_path / "r", **TIME, train=plan)
    score, triplets = curve(tmp_path / "r", SCORE), curve(tmp_path / "r", "val/triplet_accuracy")
    assert score == triplets
    assert len(set(score)) > 3
    assert max(score) > score[0]
    best = 5 * (1 + int(np.argmax(score)))
    assert f"kept the weights of update {best}, the best on val" in notes


def test_a_plateau_without_labels_trains_on_while_it_learns(field: Path, tmp_path: Path) -> None:
    plateau = {"kind": "plateau", "patience": 3, "factor": 0.2, "stop_below": 0.01}
    plan = {"updates": 60, "validate_every": 2, "validate_by": "loss"}
    trained(field, tmp_path / "r", **TIME, train=plan, schedule=plateau)
    loss = curve(tmp_path / "r", "val/loss")
    assert curve(tmp_path / "r", SCORE) == [-each for each in loss]
    assert min(loss) < loss[0]
    assert len(lines_of(tmp_path / "r")) > 20


def test_triplets_are_those_of_the_pairs_counted_one_by_one() -> None:
    rng = np.random.default_rng(0)
    told = TripletCounter()
    right = triplets = 0.0
    near: list[float] = []
    far: list[float] = []
    for _ in range(2):
        vectors, labels = rng.integers(0, 2, (9, 3)).astype(np.float64), rng.integers(0, 3, 9)
        told.see(torch.from_numpy(vectors), Pairs.from_labels(torch.from_numpy(labels)))
        for a in range(9):
            for p in range(9):
                d = float(((vectors[a] - vectors[p]) ** 2).sum())
                if a != p:
                    (near if labels[a] == labels[p] else far).append(d)
                for n in range(9):
                    if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
                        e = float(((vectors[a] - vectors[n]) ** 2).sum())
                        right, triplets = right + (d < e) + 0.5 * (d == e), triplets + 1
    assert told.curves() == {
        "val/triplet_accuracy": pytest.approx(right / triplets),
        "val/squared_distance_alike": pytest.approx(np.mean(near)),
        "val/squared_distance_unlike": pytest.approx(np.mean(far)),
    }


def test_the_loss_of_val_is_that_of_the_finished_network_by_hand(tones: Path, tmp_path: Path) -> None:
    """Same batches, the run's own embedder in evaluation, the loss of the recipe: no bending, no dropout."""
    recipe = Recipe.of(small(train={"updates": 6, "validate_every": 6}))
    setup = TrainingSetup.build(recipe, Collection.load(tones), 0)
    training = Training(setup, RunFolder(tmp_path), torch.device("cpu"), "fp32", ignore)
    training.run()
    validation = training.validation
    assert validation is not None
    assert validation.fixed is not None
    network, loss, relation = training.model.eval(), setup.loss(), setup.relation()
    wanted = []
    for indices in validation.fixed.draws:
        assert set(indices.rows) <= set(setup.collection.rows("val"))
        assert len(set(indices.rows.tolist())) == len(indices.rows)
        (batch,) = Loader(setup.network_input.signals, [indices], setup.network_input.length)
        with torch.no_grad():
            wanted.append(float(loss(network.embed_spectrogram(batch.signal), relation(indices))))
    (found,) = curve(tmp_path, "val/loss")
    assert found == pytest.approx(np.mean(wanted), rel=1e-4)
    (silhouette,) = curve(tmp_path, "val/silhouette")
    assert -1 <= silhouette <= 1


def test_the_overlap_of_tags_is_that_of_the_nearest_train_clip(chords: Path) -> None:
    setup = TrainingSetup.build(Recipe.of(small()), Collection.load(chords), 0)
    vectors = np.random.default_rng(0).standard_normal((len(setup.metadata), 8)).astype(np.float32)
    val, train = setup.collection.rows("val"), setup.collection.rows("train")
    each = []
    for row in val:
        positive = [float(vectors[row] @ vectors[t] / np.linalg.norm(vectors[t])) for t in train]
        mine, theirs = setup.metadata.tags[row], setup.metadata.tags[train[int(np.argmax(positive))]]
        each.append((mine & theirs).sum() / (mine | theirs).sum())
    assert tag_overlap_at_1(vectors, setup.metadata, val, train) == pytest.approx(np.mean(each))


def test_a_score_that_cannot_vary_is_refused_where_a_setting_rests_on_it(
    field: Path, tones: Path, tmp_path: Path
) -> None:
    best = {"updates": 4, "validate_every": 2, "keep": "best", "validate_by": "labels"}
    with pytest.raises(RequestError) as error:
        trained(field, tmp_path / "a", **TIME, train=best)
    assert str(error.value) == (  # there are no tags
        "train.keep: 'best' goes by the validations, and no val clip has a label that a train clip has: they "
        "would all be the same. Set train.keep=last, give the split such val clips, or choose what is "
        "validated by: train.validate_by=triplets, loss."
    )
    assert not (tmp_path / "a").exists()
    collection = Collection.load(tones)
    table = collection.table.assign(split=collection.table["split"].replace("val", "train"))
    without = replace(collection, table=table)

    def begin(**changes: Any) -> tuple[Training, list[str]]:
        said: list[str] = []
        plan = {"updates": 4, "validate_every": 2}
        setup = TrainingSetup.build(Recipe.of(small(train=plan, **changes)), without, 0)
        listen = lambda event: said.append(event.text)  # noqa: E731
        return Training(setup, RunFolder(tmp_path), torch.device("cpu"), "fp32", listen), said

    with pytest.raises(RequestError) as error:
        begin(schedule={"kind": "plateau"})
    assert str(error.value) == (
        f"schedule.kind: 'plateau' goes by the validations, and {without.name} has no val clips: they would "
        "all be the same. Set another schedule (schedule.kind=cosine), or give the split such val clips."
    )
    training, said = begin()
    assert training.validation is None
    assert said == [f"no validation: {without.name} has no val clips."]


@pytest.mark.parametrize("kind", pair_kinds())
def test_losses_that_say_nothing_without_alike_clips(kind: str) -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)))
    value = float(loss(kind)(vectors, torch.arange(6)))
    assert (value == 0) == LOSSES.kinds()[kind].zero_without_positives


def test_val_clips_of_which_no_two_are_alike_say_nothing_by_the_loss(tones: Path, tmp_path: Path) -> None:
    collection = Collection.load(tones)
    table = collection.table
    val = table["split"] == "val"
    labels = table["label"].where(~val, [f"{place}" for place in range(len(table))])
    plan = {"updates": 4, "validate_every": 2, "keep": "best", "validate_by": "loss"}
    recipe = Recipe.of(
        small(train=plan, loss={"kind": "supcon"}, sampler={"kind": "shuffle", "batch_size": 8})
    )
    setup = TrainingSetup.build(recipe, replace(collection, table=table.assign(label=labels)), 0)
    with pytest.raises(RequestError, match=r"no two val clips are alike.*give the split such val clips\.$"):
        Training(setup, RunFolder(tmp_path), torch.device("cpu"), "fp32", ignore)


def test_labels_that_train_never_saw_are_validated_by_triplets(tones: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    side = {"a": "train", "b": "train", "c": "val", "d": "val"}
    paths = sorted(tones.rglob("*.wav"))
    table.write_text(
        "path,label,split\n"
        + "".join(f"{path},{path.parent.name},{side[path.parent.name]}\n" for path in paths[:39])
        + f"{paths[39]},a,test\n"
    )
    plan = {"updates": 4, "validate_every": 2, "keep": "best"}
    notes = trained(table, tmp_path / "r", train=plan)
    assert "validated by val/triplet_accuracy: no val clip has a label that a train clip has" in notes
    assert curve(tmp_path / "r", SCORE) == curve(tmp_path / "r", "val/triplet_accuracy")


def test_validations_that_never_come_are_told(tones: Path, tmp_path: Path) -> None:
    notes = trained(
        tones, tmp_path / "r", train={"updates": 3, "validate_every": 5, "keep": "best"}, augment=[]
    )
    assert (
        "no validation: train.validate_every is 5, and training ends after 3 updates; train.keep: 'best' "
        "changes nothing." in notes
    )
    assert "val/loss" not in " ".join(notes)  # there is none to compare


def test_views_are_compared_as_they_are_bent(tones: Path, tmp_path: Path) -> None:
    views = {"relation": {"kind": "views"}, "sampler": {"kind": "views", "batch_size": 8}}
    trained(
        tones, tmp_path / "r", **views, loss={"kind": "nt_xent"}, train={"updates": 8, "validate_every": 2}
    )
    positive = curve(tmp_path / "r", "val/squared_distance_alike")
    assert min(positive) > 1e-4
    assert len(set(curve(tmp_path / "r", SCORE))) > 1


def test_tensorboard_has_the_curves_and_none_for_every_pair_of_labels(tones: Path, tmp_path: Path) -> None:
    trained(tones, tmp_path / "r", train={"updates": 4, "validate_every": 2})
    board = EventAccumulator(str(tmp_path / "r" / "tensorboard"))
    board.Reload()
    scalars = {name for name in board.Tags()["scalars"] if name.startswith("val/")}
    assert scalars == {
        *("val/recall_at_1", "val/silhouette", "val/loss", "val/triplet_accuracy"),
        *("val/squared_distance_alike", "val/squared_distance_unlike"),
    }
    assert len(curve(tmp_path / "r", "val/centroids/a_to_b")) == 2


def test_the_silhouette_is_scikit_learns() -> None:
    from nearfield.metrics.clusters import silhouette

    rng = np.random.default_rng(0)
    vectors, labels = rng.standard_normal((30, 4)).astype(np.float32), np.arange(30) % 4 - 1
    known = labels >= 0
    wanted = silhouette_score(vectors[known], labels[known], metric="euclidean")
    assert silhouette(vectors, labels, "euclidean") == pytest.approx(wanted)
    assert silhouette(vectors, np.zeros(30, np.int64)) is None


@pytest.mark.parametrize("by", ["relation", "loss"])
def test_validations_change_nothing_that_is_learnt(tones: Path, tmp_path: Path, by: str) -> None:
    trained(tones, tmp_path / "a", train={"updates": 7})
    trained(
        tones, tmp_path / "b", train={"updates": 7, "validate_every": 2, "validate_by": by, "average": 0.5}
    )
    trained(tones, tmp_path / "c", train={"updates": 7, "average": 0.5})
    plain = [{k: v for k, v in line.items() if k == "train/loss"} for line in lines_of(tmp_path / "a")]
    watched = [{k: v for k, v in line.items() if k == "train/loss"} for line in lines_of(tmp_path / "b")]
    assert plain == watched
    assert (tmp_path / "b/weights.safetensors").read_bytes() == (
        tmp_path / "c/weights.safetensors"
    ).read_bytes()


def test_clips_of_test_are_not_embedded_while_training(tones: Path, tmp_path: Path) -> None:
    setup = TrainingSetup.build(
        Recipe.of(small(train={"updates": 2, "validate_every": 1})), Collection.load(tones), 0
    )
    training = Training(setup, RunFolder(tmp_path), torch.device("cpu"), "fp32", ignore)
    validation = training.validation
    assert validation is not None
    training.encoder = setup.encoder(torch.device("cpu"))
    vectors, _ = training._with_final_state(validation)
    assert vectors is not None
    assert np.isnan(vectors[setup.collection.rows("test")]).all()
    assert np.isfinite(vectors[validation.rows]).all()
