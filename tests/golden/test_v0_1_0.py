"""A run, a space and a recipe of version 0.1.0 still open, and say what they said.

The folder v0_1_0 was written by that version: 24 tones of 0.4 s (`tones/`, not kept), `nearfield train
recipe.yaml --data tones --out run`, `nearfield index run --data tones --out space`, `nearfield search space
low/0.wav --top 3 --json > search.json`.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from nearfield.core.errors import RequestError
from nearfield.space.space import Space
from nearfield.study.plan import Plan
from nearfield.training.old_names import OldNameWarning
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run

FOLDER = Path(__file__).parent / "v0_1_0"


def test_its_recipe_is_read_with_a_note() -> None:
    with pytest.warns(OldNameWarning) as notes:
        recipe = Recipe.load(FOLDER / "recipe.yaml")
    assert [str(note.message) for note in notes] == [
        "recipe.yaml: names of version 0.1.0 are read as the present ones: normalise -> normalize, "
        "embedding.normalise -> embedding.normalize, miner.alike -> miner.pos_strategy, "
        "miner.unlike -> miner.neg_strategy, train.pictures -> train.figures, picture -> spectrogram, "
        "picture_stretch -> spectrogram_stretch, colour -> equalizer."
    ]
    trained = Run.load(FOLDER / "run").recipe
    settled = {"train.precision": trained.train.precision}  # auto until the machine is known
    assert recipe.changed(settled) == trained
    assert recipe.miner.model_dump()["pos_strategy"] == "hard"
    assert [each.kind for each in recipe.augment] == ["time_shift", "spectrogram_stretch", "equalizer"]
    assert Recipe.of(recipe.plain()) == recipe


def test_its_run_opens_with_its_metrics_and_vectors() -> None:
    run = Run.load(FOLDER / "run")
    assert run.metrics["probe/macro_f1"] == pytest.approx(run.result["metrics"]["probe/macro_f1"])
    ids, vectors = run.vectors()
    assert len(ids) == 24
    assert vectors.shape == (24, 8)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert run.doubts() == ()  # the sounds that are kept with it have the vectors of then


def test_its_space_answers_as_it_did() -> None:
    space = Space.load(FOLDER / "space")
    wanted = json.loads((FOLDER / "search.json").read_text())["answers"]
    found = space.search("low/0.wav", top=3)
    assert [answer.id for answer in found] == [each["id"] for each in wanted]
    np.testing.assert_allclose(
        [answer.distance for answer in found], [each["distance"] for each in wanted], atol=1e-5
    )


@pytest.mark.filterwarnings("error")
def test_a_key_under_both_names_is_refused() -> None:
    with pytest.raises(RequestError) as refused:
        Recipe.of({"normalise": {"kind": "none"}, "normalize": {"kind": "clip"}}, "both.yaml")
    assert str(refused.value) == (
        "both.yaml: normalise is the old name of normalize, and both are given. Leave out normalise."
    )


def test_changes_and_studies_may_use_the_old_names(tmp_path: Path) -> None:
    with pytest.warns(OldNameWarning, match="sampler.batch -> sampler.batch_size"):
        recipe = Recipe.load("time", ["sampler.batch=8"])
    assert recipe.plain()["sampler"]["batch_size"] == 8
    with pytest.warns(OldNameWarning, match="pictures -> images"):
        assert Recipe.load("pictures") == Recipe.load("images")
    study = tmp_path / "old.yaml"
    study.write_text(
        "question: Does it?\nrecipe: labels\nset: {embedding.normalise: true}\n"
        "arms: {plain: {}, clip: {normalise: {kind: clip}}}\nseeds: 2\n"
        "judge: probe/macro_f1\nmeaningful: 0.02\n"
    )
    with pytest.warns(
        OldNameWarning, match=r"embedding.normalise -> embedding.normalize, normalise.kind -> "
    ):
        plan = Plan.load(study)
    assert plan.arm("clip").changes == {"normalize.kind": "clip"}


def test_a_plan_that_was_frozen_then_is_the_plan_of_now(tmp_path: Path) -> None:
    study = tmp_path / "now.yaml"
    study.write_text(
        "question: Does it?\nrecipe: labels\nvary: {normalize.kind: [clip, none]}\nseeds: 2\n"
        "judge: probe/macro_f1\nmeaningful: 0.02\n"
    )
    plan = Plan.load(study)
    then = plan.plain()
    del then["hash"]
    then["recipe"]["normalise"] = then["recipe"].pop("normalize")
    for arm in then["arms"]:
        arm["changes"] = {
            key.replace("normalize", "normalise"): value for key, value in arm["changes"].items()
        }
    assert Plan.of(then).differences(plan) == []
