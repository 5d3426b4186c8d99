"""What a run ends with: the network and the loss's own weights, of one and the same moment."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from nearfield.core.errors import DataError, RequestError, WorkError
from nearfield.data.collection import Collection
from nearfield.learning.relations.labels import TagRelation
from nearfield.training.estimator import fit
from nearfield.training.events import Event, Note, Stage
from nearfield.training.prepare import check
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import TrainingSetup
from nearfield.training.trainer import Training
from nearfield.training.validation import recall_at_1
from tests.training.conftest import small

TAGGED: dict[str, Any] = {
    "normalize": {"kind": "none"},
    "relation": {"kind": "tags"},
    "sampler": {"kind": "shuffle", "batch_size": 16},
    "loss": {"kind": "bce"},
    "embedding": {"size": 8, "normalize": False},
    "optimizer": {"kind": "adam", "lr": 0.05},
}


def trained(data: Path, out: Path, **changes: Any) -> tuple[list[dict[str, Tensor]], list[Event], RunFolder]:
    """Network and head after every update (the first entry: before any), what was said, the folder."""
    recipe = Recipe.of(small(**(TAGGED | changes)))
    setup = TrainingSetup.build(recipe, Collection.load(data), 0)
    seen: list[dict[str, Tensor]] = []
    said: list[Event] = []

    def state() -> dict[str, Tensor]:
        both = {**training.model.state_dict(), **training.loss.state_dict()}
        return {name: tensor.clone() for name, tensor in both.items()}

    def listen(event: Event) -> None:
        said.append(event)
        if isinstance(event, Stage) and event.name == "train":
            seen.append(state())

    training = Training(setup, RunFolder(out), torch.device("cpu"), "fp32", listen)
    out.mkdir()
    seen.append(state())
    training.run()
    return seen, said, RunFolder(out)


def test_an_average_is_also_of_the_head(chords: Path, tmp_path: Path) -> None:
    states, _, folder = trained(chords, tmp_path / "r", train={"updates": 20, "average": 0.8})
    weights, head = load_file(folder.weights), load_file(folder.head)
    for found, name in ((head, "tags.weight"), (head, "tags.bias"), (weights, "head.weight")):
        wanted = states[0][name]
        for update, state in enumerate(states[1:], 1):
            kept = min(0.8, update / (update + 9))
            wanted = kept * wanted + (1 - kept) * state[name]
        torch.testing.assert_close(found[name], wanted)
    assert not any(name.startswith(("model.", "loss.")) for name in weights)


def test_the_best_update_gives_network_and_head(chords: Path, tmp_path: Path) -> None:
    plan = {"updates": 24, "validate_every": 2, "keep": "best"}
    states, said, folder = trained(chords, tmp_path / "r", train=plan)
    (note,) = [each.text for each in said if isinstance(each, Note) and "the best on val" in each.text]
    best = int(note.split("update ")[1].split(",")[0])
    assert best < 24  # else this would tell nothing
    weights, head = load_file(folder.weights), load_file(folder.head)
    assert torch.equal(weights["head.weight"], states[best]["head.weight"])
    assert torch.equal(head["tags.weight"], states[best]["tags.weight"])


def test_vectors_that_are_not_numbers_stop_a_run_in_words(tones: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(small())
    setup = TrainingSetup.build(recipe, Collection.load(tones), 0)
    torch.nn.init.constant_(setup.embedder.head.weight, torch.nan)  # type: ignore[arg-type]
    training = Training(setup, RunFolder(tmp_path), torch.device("cpu"), "fp32", lambda event: None)
    with pytest.raises(
        WorkError, match="update 1: The embedding has collapsed: the loss is no longer a number"
    ):
        training.run()


FROZEN: dict[str, dict[str, Any]] = {
    "embedding.train: with 'none'.*all or head": {"embedding": {"size": 8, "train": "none"}},
    "embedding.train: with 'none'.*ArcFaceLoss": {
        "embedding": {"size": 8, "train": "none"},
        "loss": {"kind": "ArcFaceLoss"},
    },
    "embedding: without a last layer.*Give a size": {
        "embedding": {"size": None, "train": "head"},
        "loss": {"kind": "ArcFaceLoss"},
    },
    "penalty.strength: .*train: head": {
        "embedding": {"size": 8, "train": "head"},
        "penalty": {"strength": 0.01},
    },
}


@pytest.mark.parametrize("said", FROZEN)
def test_what_would_train_nothing_is_refused_beforehand(said: str) -> None:
    with pytest.raises(RequestError, match=said):
        check(Recipe.of(small(**FROZEN[said])))


def test_a_tagger_may_learn_on_a_network_that_stays(chords: Path, tmp_path: Path) -> None:
    frozen = {"size": 8, "normalize": False, "train": "none"}
    check(Recipe.of(small(**(TAGGED | {"embedding": frozen}))))
    states, _, _ = trained(chords, tmp_path / "r", embedding=frozen, train={"updates": 3})
    assert torch.equal(states[0]["head.weight"], states[-1]["head.weight"])
    assert not torch.equal(states[0]["tags.weight"], states[-1]["tags.weight"])


def test_what_changes_waves_is_refused_for_images() -> None:
    check(Recipe.of({"feature": {"kind": "pixels"}, "augment": [{"kind": "affine"}, {"kind": "time_shift"}]}))
    recipe = Recipe.of({"feature": {"kind": "pixels"}, "augment": [{"kind": "gain"}]})
    said = r"^augment: 'gain' changes waves, and the feature 'pixels' reads images\. Leave it out\.$"
    with pytest.raises(RequestError, match=said):
        check(recipe)


@pytest.mark.parametrize(
    ("feature", "unit", "said"),
    [
        ({"kind": "log_mel", "bands": 16}, "ln_magnitude", None),
        ({"kind": "log_mel", "bands": 16, "power": 2}, "ln_power", None),
        ({"kind": "log_mel", "bands": 16, "power": 2, "log": "db"}, "db", None),
        ({"kind": "log_mel", "bands": 16, "power": 2}, "ln_magnitude", "the feature gives 'ln_power'"),
        ({"kind": "log_mel", "bands": 16, "log": "db"}, "ln_magnitude", "Set unit of 'noise_floor' to db"),
        ({"kind": "mfcc", "bands": 16, "coefficients": 8}, "ln_magnitude", "the feature 'mfcc' gives others"),
    ],
)
def test_a_floor_in_another_unit_than_the_features_is_refused(
    feature: dict[str, Any], unit: str, said: str | None
) -> None:
    recipe = Recipe.of(small(feature=feature, augment=[{"kind": "noise_floor", "unit": unit}]))
    if said is None:
        check(recipe)
    else:
        with pytest.raises(RequestError, match=said):
            check(recipe)


def test_the_rarity_of_tags_is_counted_in_train_alone(chords: Path) -> None:
    recipe = Recipe.of(small(**(TAGGED | {"relation": {"kind": "tags", "weights": "idf"}})))
    setup = TrainingSetup.build(recipe, Collection.load(chords), 0)
    relation = setup.relation()
    assert isinstance(relation, TagRelation)
    has = setup.metadata.tags[setup.collection.rows("train")]
    wanted = TfidfTransformer(smooth_idf=True).fit(has.astype(float)).idf_
    torch.testing.assert_close(relation.weights.double(), torch.from_numpy(wanted), rtol=1e-6, atol=0)


def test_moments_of_trimmed_clips_are_of_what_is_heard(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, quiet in {"a": 8 * 512, "b": 0}.items():
        wave = 0.1 * rng.standard_normal(16000)
        wave[:quiet] = 0
        soundfile.write(tmp_path / f"{name}.wav", wave, 8000, subtype="FLOAT")
    recipe = Recipe.of(small(data={"sample_rate": 8000, "clip_seconds": 0.4, "trim_db": 40}))
    collection = Collection.load(str(tmp_path))
    setup = TrainingSetup.build(recipe, collection, 0)
    names = [Path(path).stem for path in collection.table["path"]]
    begins = dict(zip(names, setup.metadata.start_times, strict=True))
    # Of the looks, 2,048 samples wide and 512 apart, the first to hear something reaches 1,024 before it.
    assert begins == {"a": (8 - 2 + 1) * 512 / 8000, "b": 0.0}
    assert (setup.metadata.seconds + setup.metadata.start_times == 2.0).all()


@pytest.mark.parametrize("bad", [np.zeros(0), np.array([0.0, np.nan] * 2000), np.zeros((2, 2, 2000))])
def test_a_wave_that_is_no_sound_is_refused_by_its_number(bad: Any) -> None:
    good = 0.1 * np.random.default_rng(1).standard_normal((7, 4000))
    with pytest.raises(DataError, match=r"sound 3: "):
        fit(Recipe.of(small()), [*good[:3], bad, *good[3:]], ["a", "b"] * 4, device="cpu")


def test_clips_without_a_label_are_neither_right_nor_wrong(tones: Path, tmp_path: Path) -> None:
    collection = Collection.load(tones)
    unknown = np.arange(len(collection)) % 2 == 0
    table = collection.table.assign(label=np.where(unknown, "", collection.table["label"]))
    setup = TrainingSetup.build(Recipe.of(small()), replace(collection, table=table), 0)
    vectors = np.random.default_rng(0).standard_normal((len(table), 8)).astype(np.float32)
    labels, split = table["label"].to_numpy(), table["split"].to_numpy()
    queries, gallery = ((split == side) & ~unknown for side in ("val", "train"))
    nearest = KNeighborsClassifier(1, metric="cosine").fit(vectors[gallery], labels[gallery])
    val, train = setup.collection.rows("val"), setup.collection.rows("train")
    assert recall_at_1(vectors, setup.metadata, val, train) == nearest.score(
        vectors[queries], labels[queries]
    )
