"""Every recipe that is shipped: it loads, it is built and trained, and it can learn 32 clips by heart.

Lengths, bands and widths are smaller where a second of one processor asks for it, and rates that are made for
many thousand updates are larger; what is trained is otherwise the recipe as it stands.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score

from nearfield.core.shipped import shipped
from nearfield.data.layouts import synthetic
from nearfield.learning.losses.tagging import TaggingLoss
from nearfield.metrics.neighbors import Search, nearest
from nearfield.training.encode import embed_setup, vectors_of
from nearfield.training.events import Note
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import TrainingSetup
from nearfield.training.tagging import TagHead
from nearfield.training.trainer import launch

RECIPES = list(shipped("recipes").values())
CLIPS = 32

SECOND = ["data.clip_seconds=1.0"]
COURSE = ["data.clip_seconds=2.0", "train.validate_every=0", "schedule={kind: constant}"]
NEAR = ["sampler.range_seconds=1.0", "relation.range_seconds=1.0", "sampler.batch_size=4"]
TILES = [*NEAR, "data.clip_seconds=0.5", "feature.bands=32"]
SMALLER: dict[str, list[str]] = {
    "circle_homework": ["data.image_size=32"],
    "groeger": TILES,
    "groeger_music": TILES,
    "labels": SECOND,
    "music_tags": [
        *SECOND,
        "backbone.timbral=8",
        "backbone.temporal=2",
        "embedding.train=all",
        "sampler.batch_size=16",
    ],
    "oneshots": SECOND,
    "images": ["data.image_size=32"],
    "tag_triplets_linear": ["data.clip_seconds=2.0", "embedding.size=256"],
    "tagger": [*SECOND, "backbone.stem_stride=[4, 4]"],
    "tagging_cnn1d": COURSE,
    "tagging_cnn2d": [*COURSE, "data.clip_seconds=2.9", "backbone.width=16"],
    "tagging_musicnn": [
        *SECOND,
        "feature.bands=16",
        "backbone.front.timbral=8",
        "backbone.front.temporal=4",
    ],
    "tagging_short_chunk": ["data.clip_seconds=2.1", "backbone.width=16"],
    "tag_pairs": [*SECOND, "sampler.batch_size=32"],
    "tags": [*SECOND, "sampler.batch_size=32"],
    "time": [*NEAR, "sampler.batch_size=16"],
    "triplet_time": TILES,
    "triplet_labels": SECOND,
}
"""What fits a recipe to a second of one processor."""
LONG = ["optimizer.lr=3.0e-4", "schedule={kind: constant}"]
FASTER: dict[str, list[str]] = {
    "circle_homework": ["optimizer.lr=3.0e-4", "train.validate_every=0"],
    "groeger": LONG,
    "groeger_music": LONG,
    "tag_triplets_linear": ["optimizer.lr=0.01"],
    "tagger": ["optimizer.lr=3.0e-3"],
    "tagging_cnn1d": ["optimizer.lr=0.5"],
    "tagging_cnn2d": ["optimizer.lr=0.1"],
    "tagging_musicnn": ["optimizer.lr=5.0e-3"],
    "tagging_short_chunk": ["optimizer.lr=5.0e-3"],
    "tags": ["optimizer.lr=3.0e-3"],
}
"""Rates for a few dozen updates in the place of rates for thousands."""
UPDATES = {"labels": 25, "tags": 40, "time": 25}
MORE = {
    "tag_triplets_linear": 100,
    "tagging_cnn2d": 80,
    "tagging_musicnn": 90,
    "tagging_short_chunk": 60,
    "music_tags": 80,
}
"""Updates, by relation and by recipe."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Recipe], Path]:
    """A folder with 32 clips to train on that a recipe can learn from, and a few for the other sides."""
    folder = tmp_path_factory.mktemp("sets")

    def of(recipe: Recipe) -> Path:
        kind = "pictures" if recipe.feature.kind == "pixels" else recipe.relation.kind
        if not (folder / kind).is_dir():
            _make(kind, folder / kind)
        return folder / kind

    return of


def _make(kind: str, folder: Path) -> None:
    folder.mkdir()
    if kind == "pictures":
        _pictures(folder)
        return
    name, number = {
        "labels": ("tones", CLIPS + 16),
        "tags": ("ensembles", CLIPS + 16),
        "time": ("scenes", 6),
    }[kind]
    made = synthetic.make(name, 0, folder / "made", number)
    table = pd.read_csv(made / ("clips.csv" if kind == "time" else "labels.csv"))
    if kind == "time":
        table = table.groupby("recording").head(CLIPS // 4).drop(columns="label")
    paths = [str((made / path).relative_to(folder)) for path in table["path"]]
    table = table.drop(columns="group", errors="ignore").assign(path=paths, split=_sides(len(table)))
    table.to_csv(folder / "labels.csv", index=False)


def _sides(clips: int) -> list[str]:
    others = clips - CLIPS
    return ["train"] * CLIPS + ["val"] * (others // 2) + ["test"] * (others - others // 2)


def _pictures(folder: Path) -> None:
    """Eight patterns, four times each, with noise over them."""
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 200, (8, 8, 8, 3)).repeat(4, axis=1).repeat(4, axis=2)
    rows = []
    for number, side in enumerate(_sides(CLIPS + 16)):
        pattern = patterns[number % 8]
        cells = (pattern + rng.integers(0, 56, pattern.shape)).astype(np.uint8)
        Image.fromarray(cells).save(folder / f"{number}.png")
        rows.append({"path": f"{number}.png", "label": f"pattern {number % 8}", "split": side})
    pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)


def _train(recipe: Recipe, data: Path, out: Path) -> tuple[TrainingSetup, list[dict[str, Any]]]:
    """What it was trained with, and the lines that were measured."""
    warned: list[str] = []

    def callback(event: object) -> None:
        if isinstance(event, Note) and event.is_warning:
            warned.append(event.text)

    setup = launch(Request(recipe, str(data), out, device="cpu"), callback)
    assert not warned
    return setup, [json.loads(line) for line in RunFolder(out).metrics.read_text().splitlines()]


def _nearest_are_alike(setup: TrainingSetup) -> float:
    """Share of clips whose nearest other clip has their label."""
    rows = setup.collection.rows("train")
    assert len(rows) == CLIPS
    vectors, labels = vectors_of(setup.embedder, setup)[rows], setup.metadata.labels[rows]
    found = nearest(Search(vectors, vectors, own=np.arange(len(vectors))), 1)[0][:, 0]
    return float((labels[found] == labels).mean())


def _precision(setup: TrainingSetup, folder: RunFolder) -> tuple[float, float]:
    """Mean average precision of the tagger over tags, and what chance gives."""
    head = TagHead.load(folder, setup.recipe, setup.embedder.size)
    assert head is not None
    rows = setup.collection.rows("train")
    said = head.probabilities(embed_setup(setup.embedder, setup), len(setup.metadata))[rows]
    tags = setup.metadata.tags[rows]
    scored = tags.any(axis=0) & ~tags.all(axis=0)
    return (
        float(average_precision_score(tags[:, scored], said[:, scored], average="macro")),
        float(tags[:, scored].mean()),
    )


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_built_and_trained(path: Path, sets: Callable[[Recipe], Path], tmp_path: Path) -> None:
    whole = Recipe.load(path)
    assert Recipe.of(whole.plain()) == whole
    recipe = Recipe.load(path, [*SMALLER.get(path.stem, []), "train.updates=2"])
    _, lines = _train(recipe, sets(recipe), tmp_path / "run")
    assert len(lines) == 2
    assert all(np.isfinite(line["train/loss"]) and line["train/gradient_norm"] > 0 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_learn_32_clips_by_heart(
    path: Path, sets: Callable[[Recipe], Path], tmp_path: Path
) -> None:
    changes = [*SMALLER.get(path.stem, []), *FASTER.get(path.stem, [])]
    recipe = Recipe.load(path, changes)
    updates = MORE.get(path.stem, UPDATES[recipe.relation.kind])
    recipe = recipe.changed({"train.updates": updates})
    setup, lines = _train(recipe, sets(recipe), tmp_path / "run")
    losses = np.array([line["train/loss_pairs"] for line in lines])
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()
    if recipe.relation.kind == "labels":
        assert _nearest_are_alike(setup) > 0.9
    if isinstance(setup.loss(), TaggingLoss):
        reached, chance = _precision(setup, RunFolder(tmp_path / "run"))
        assert reached > 0.8 > 2 * chance
