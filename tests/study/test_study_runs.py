"""Every shipped study is run: all arms, two updates each, on small sets of the form that it is made for.

Windows, pictures and batches are small where a second of one processor asks for it; all else is as it stands.
The studies in the source's own setting run on the published layout of DCASE 2018 task 5, and their settings
are compared with its tables.
"""

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearfield.core.shipped import HOME
from nearfield.study.engines import StudyWork
from nearfield.study.engines.engine import PERFORM, attempt, outcome_of
from nearfield.study.facts import gather
from nearfield.study.plan import Plan
from nearfield.study.records import StudyFacts, Task
from nearfield.study.run import Study
from nearfield.study.scores import told_by
from nearfield.study.statistics.looks import Look
from nearfield.training.events import ignore
from nearfield.training.recipe import flat
from tests.study import imitations
from tests.study.imitations import Here

STUDIES = HOME / "studies"
SOURCES = sorted((STUDIES / "sources").glob("*.yaml"))
SHIPPED = [path for path in sorted(STUDIES.glob("*.yaml")) if path.stem != "demo"]

TINY = [
    "data.sample_rate=2000",
    "feature.fft=128",
    "feature.bands=16",
    "feature.hop_ms=50",
    "sampler.batch_size=2",
]
"""A ResNet18 on windows of some hundred frames of 16 bands."""
TIME = ["data.sample_rate=4000", "feature.bands=16", "sampler.batch_size=4"]
TAGS = ["sampler.batch_size=4", "train.validate_every=0"]
TAGGER = ["before.tagger.train.updates=2", "before.tagger.sampler.batch_size=4", "sampler.batch_size=4"]
PICTURES = ["data.image_size=8", "sampler.classes=4", "sampler.per_class=2"]
LENGTHS = {"1 s": 10, "2 s": 5, "5 s": 2}
"""Updates of arms with tiles of these lengths, for equal seconds."""
CHANGES: dict[str, list[str]] = {
    "u2_tile_size": [
        *TINY,
        *(f"arms.{arm}.train.updates={updates}" for arm, updates in LENGTHS.items()),
        *(f"arms.{arm}.sampler.batch_size=2" for arm in LENGTHS),
    ],
    "u5_feature": [*TINY, *(f"arms.MFCC.feature.{key}" for key in ("fft=128", "bands=16", "hop_ms=50"))],
    **dict.fromkeys(
        ("margin", "embedding_size", "regularisation", "feature", "larger_embedding", "reduction"), TIME
    ),
    "tile_size": [*TIME, *(f"arms.{arm}.train.updates={updates}" for arm, updates in LENGTHS.items())],
    "circle_or_triplet": [*PICTURES, "train.validate_every=1"],
    "margin_sensitivity": PICTURES,
    "miner": PICTURES,
    "tag_triplets": [*TAGGER, "arms.errors.sampler.top=1", "arms.errors, guarded.sampler.top=1"],
    "transfer": TAGGER,
}
for stem, labels in (("noise_model", "labels"), ("music", "albums")):
    CHANGES[stem] = [
        *TIME,
        "sampler.batch_size=6",
        "arms.time, as it was.sampler.batch_size=4",
        f"arms.{labels}.sampler={{kind: balanced, classes: 3, per_class: 4}}",
    ]
LONGER = {"tile_size": "excerpts"}
"""Studies that need excerpts of 10 s; for the others 4 s are enough."""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The imitation of the set that a study is made for, as --data names it."""
    folder = tmp_path_factory.mktemp("sets")
    make: dict[str, Callable[[Path], Path]] = {
        "dcase2018_task5": imitations.dcase,
        "esc10": imitations.labelled,
        "incompetech-tags": imitations.tagged,
        "excerpts": partial(imitations.tagged, seconds=10.0),
        "omniglot-small": imitations.drawn,
    }

    def of(name: str) -> str:
        if name.startswith("synthetic:scenes"):
            return "synthetic:scenes?clips=10&table=clips"
        if not (folder / name).is_dir():
            make[name](folder / name)
        return f"{name}:{folder / name}" if name == "dcase2018_task5" else str(folder / name)

    return of


def begin(path: Path, data: str, out: Path, usual: list[str]) -> Study:
    """The study with one seed, two updates of each arm, and no map but that by principal components."""
    few = ["seeds=1", "design.folds=1", "train.updates=2", "maps=[pca]"]
    return Study.create(path, data, out, [*few, *CHANGES.get(path.stem, usual)])


def run(path: Path, data: str, out: Path, usual: list[str]) -> StudyFacts:
    """The facts of the study, without baselines and document; every arm ended well and was judged."""
    plan = begin(path, data, out, usual).plan
    work = StudyWork(plan.plain(), data, out, "cpu")
    tasks = [Task(arm.id, 0) for arm in (*plan.before, *plan.arms)]
    outcomes = {task: outcome_of(attempt(PERFORM, work, task, ignore)) for task in tasks}
    facts, _ = gather(plan, out, outcomes, [Look(1)], (), "")
    assert [arm.arm.id for arm in facts.arms] == [arm.id for arm in plan.arms]
    check(facts)
    return facts


def check(facts: StudyFacts) -> None:
    """Every training ended well and was judged."""
    for arm in facts.arms:
        (training,) = arm.runs
        assert training.state == "done", f"{arm.arm.id}: {training.cause}"
        assert np.isfinite(training.metrics[facts.judge])


@pytest.mark.slow
def test_a_study_in_the_sources_own_setting_runs_to_its_document(
    sets: Callable[[str], str], tmp_path: Path
) -> None:
    study = begin(STUDIES / "sources" / "u7_reduction.yaml", sets("dcase2018_task5"), tmp_path / "out", TINY)
    facts = study.run(Here(), device="cpu")  # type: ignore[arg-type]
    check(facts)
    assert set(facts.baselines) >= {"mfcc_stats", "random_encoder"}
    assert (tmp_path / "out" / "study.pdf").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_study_in_the_sources_own_setting_runs_on_the_published_layout(
    path: Path, sets: Callable[[str], str], tmp_path: Path
) -> None:
    facts = run(path, sets("dcase2018_task5"), tmp_path / "out", TINY)
    assert all(arm.parameters > 11_000_000 for arm in facts.arms)  # a ResNet18
    assert (facts.data["clips"], facts.data["split"]["test"]) == (24, 6)


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_study_runs(path: Path, sets: Callable[[str], str], tmp_path: Path) -> None:
    made_for = re.search(r"made for (\S+)\.\n", path.read_text())
    assert made_for
    facts = run(path, sets(LONGER.get(path.stem, made_for[1])), tmp_path / "out", TAGS)
    if told_by(facts.judge):
        assert {tag.name for tag in facts.tags} <= set(imitations.TAGS)
        assert any(len(tag.areas["roc_auc"]) == len(facts.arms) for tag in facts.tags)


@cache
def source(stem: str) -> Plan:
    """The plan of a study in the source's own setting."""
    return Plan.load(STUDIES / "sources" / f"{stem}.yaml")


SHARED: dict[str, Any] = {
    "backbone.kind": "resnet18",
    "optimizer.kind": "adam",
    "relation.kind": "time",
    "sampler.mode": "triplet",
    "train.threads": 16,
    "data.sample_rate": 16000,
    "data.channels": "mean",
    "feature.kind": "log_mel",
    "feature.window_ms": 30,  # 480 samples
    "feature.hop_ms": 10,  # 160
    "feature.fft": 1024,
    "feature.bands": 128,
    "loss.distance": "squared_euclidean",
}
"""Rows of table 1 that the three documents have alike."""
TABLES: dict[str, tuple[dict[str, Any], int, str, list[Any]]] = {
    "u1_margin": (
        {"sampler.batch_size": 256, "optimizer.lr": 1e-3, "penalty.strength": 0, "embedding.size": 512}
        | {"data.clip_seconds": 2, "sampler.range_seconds": 4, "relation.range_seconds": 4},
        10 * 54_960 * 5 // 256,
        "loss.margin",
        [0.3, 0.5, 0.7, 1, 2, 10],
    ),
    "u3_embedding_size": (
        {"sampler.batch_size": 64, "optimizer.lr": 1e-5, "penalty.strength": 0.1, "loss.margin": 1}
        | {"data.clip_seconds": 5, "sampler.range_seconds": 5, "relation.range_seconds": 5},
        20 * 54_960 * 2 // 64,
        "embedding.size",
        [2, 16, 32, 64],
    ),
    "u4_regularisation": (
        {"sampler.batch_size": 128, "optimizer.lr": 1e-5, "embedding.size": 64, "loss.margin": 1}
        | {"data.clip_seconds": 5, "sampler.range_seconds": 5, "relation.range_seconds": 5},
        30 * 54_960 * 2 // 128,
        "penalty.strength",
        [1, 0.1, 0.01],
    ),
}
"""By document: its own rows, the updates of its epochs over 54,960 clips, what it varies and the values."""


@pytest.mark.parametrize("stem", TABLES)
def test_the_settings_are_those_of_the_sources_table(stem: str) -> None:
    own, updates, varied, values = TABLES[stem]
    plan = source(stem)
    recipes = [flat(plan.recipe_of(arm.id).plain(), into_lists=False) for arm in plan.arms]
    assert [recipe[varied] for recipe in recipes] == values
    for recipe in recipes:
        assert {key: recipe[key] for key in SHARED | own} == SHARED | own
        assert recipe["train.updates"] == pytest.approx(updates, abs=1)


def test_lengths_of_tiles_are_compared_at_equal_seconds_and_the_rest_differs_in_what_is_asked() -> None:
    asked = {
        "u5_feature": "feature.kind",
        "u6_larger_embedding": "embedding.size",
        "u7_reduction": "loss.reduction",
    }
    assert {path.stem for path in SOURCES} == {*asked, *TABLES, "u2_tile_size"}
    for stem, key in asked.items():
        assert source(stem).varied[0] == key
    assert source("u2_tile_size").hold == "seconds"
