"""The registry of metrics has a row for each metric that trainings and evaluations produce, and no other."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nearfield.core.errors import RequestError
from nearfield.core.types import ClipMetadata
from nearfield.learning.build import loss
from nearfield.learning.losses.settings import pair_kinds
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.registry import (
    BASELINES,
    HEADLINES,
    METRICS,
    TABLE_HEADS,
    family_of,
    names,
    row_of,
    rows,
)
from nearfield.metrics.result import EvaluationSettings
from nearfield.study.measures import check_judge, check_measure, span
from nearfield.training.evaluate_run import evaluate_run
from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.trainer import launch
from tests.training.conftest import small

TIME: dict[str, Any] = {
    "augment": [],
    "relation": {"kind": "time", "range_seconds": 1.0},
    "sampler": {"kind": "tiles", "range_seconds": 1.0, "batch_size": 8},
    "loss": {"kind": "nt_xent"},
}
TAGS: dict[str, Any] = {
    "normalize": {"kind": "none"},
    "relation": {"kind": "tags"},
    "sampler": {"kind": "shuffle", "batch_size": 16},
    "loss": {"kind": "bce"},
}


def of_an_evaluation() -> dict[str, float]:
    """Labels, tags, recordings with times, every further column, and a tagger."""
    rng, count = np.random.default_rng(0), 180
    tags = rng.random((count, 4)) < 0.4
    settings = EvaluationSettings(draws=0)
    metadata = ClipMetadata(
        labels=np.arange(count) % 3,
        label_names=("rain", "wind", "bell"),
        tags=tags,
        tag_names=("a", "b", "c", "d"),
        recordings=np.arange(count) // 6,
        groups=np.arange(count) // 6,
        start_times=np.asarray(np.arange(count) % 6, np.float64),
        seconds=np.ones(count),
        columns={name: np.arange(count) // 6 % 3 for name in (*settings.columns, *settings.barred)},
    )
    vectors = rng.standard_normal((count, 8)).astype(np.float32)
    splits = {"train": np.arange(0, 90), "val": np.arange(90, 120), "test": np.arange(120, 180)}
    return evaluate(vectors, metadata, splits, settings, tags + rng.random((count, 4))).metrics


def of_losses() -> Iterator[str]:
    """The parts that each loss measures, as a training logs them."""
    vectors = torch.nn.functional.normalize(torch.randn(12, 4), dim=1)
    for kind in pair_kinds():
        parts = loss(kind).forward_with_metrics(vectors.requires_grad_(), torch.arange(12) % 3)[1]
        yield from (f"train/{name}" for name in parts)


def of_a_run(data: Path | str, out: Path, **changes: Any) -> dict[str, float]:
    """The metrics of a small training's evaluation, and the last values of its curves."""
    plan = {"train": {"updates": 4, "validate_every": 2}, **changes}
    launch(Request(Recipe.of(small(**plan)), str(data), out, device="cpu"))
    found: dict[str, float] = evaluate_run(RunFolder(out), with_baselines=not changes)["metrics"]
    for line in (out / "metrics.jsonl").read_text().splitlines():
        found |= json.loads(line)
    del found["update"]
    return found


@pytest.fixture(scope="module")
def produced(tones: Path, chords: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Every metric that is found on data of each sort."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        **of_an_evaluation(),
        **dict.fromkeys(of_losses(), 0.0),
        **of_a_run(tones, folder / "labels"),
        **of_a_run(chords, folder / "tags", **TAGS),
        **of_a_run("synthetic:scenes?clips=12", folder / "time", **TIME),
    }


def test_every_metric_that_is_produced_has_a_row(produced: dict[str, float]) -> None:
    assert [name for name in produced if row_of(name) is None] == []


def test_every_row_is_produced(produced: dict[str, float]) -> None:
    found = {row.pattern for name in produced if (row := row_of(name))}
    assert set(rows()) - found == set()
    spaces = {name.split("/")[1] for name in produced if name.startswith("baseline/")}
    assert {each.name for each in BASELINES} - spaces == {"pixels"}  # of images alone


def test_values_lie_in_the_range_of_their_row(produced: dict[str, float]) -> None:
    for name, value in produced.items():
        row = row_of(name)
        assert row
        low, high = row.metric.range
        assert low - 1e-9 <= value <= high + 1e-9 or math.isnan(value), name


def test_rows_are_whole() -> None:
    known = {family for metric in METRICS for family in metric.families}
    assert known == {row.family.prefix for row in rows().values()}
    for row in rows().values():
        for text in (row.metric.about, row.family.about):
            assert text[0].isupper() or text.startswith(("k-means", "1 ")), row.pattern
            assert text.endswith("."), row.pattern
    assert {*TABLE_HEADS, *HEADLINES} <= {*names()}
    assert set(HEADLINES) <= set(TABLE_HEADS)


def test_a_study_is_judged_by_what_the_rows_allow() -> None:
    for name in names():
        check_measure(name, "study")
        row = row_of(name)
        assert row
        if row.refused:
            with pytest.raises(RequestError, match="is refused: ") as refusal:
                check_judge(name, "study")
            assert row.refused in str(refusal.value)
        else:
            check_judge(name, "study")
            assert row.metric.direction == "higher", name
            is_skill = name in ("probe/log_loss_skill", "probe/brier_skill")  # without a lowest value
            assert is_skill != all(map(math.isfinite, span(name))), name
    for name in names(curves=True):
        with pytest.raises(RequestError):
            check_judge(name, "study")


def test_names_are_found_by_their_patterns() -> None:
    row = row_of("retrieval_without_artist/tag_overlap_at_8")
    assert row
    assert row.pattern == "retrieval_without_{other}/tag_overlap_at_{k}"
    assert row.needs == ("tags", "columns")
    assert row_of("val/centroids/a_to_b") is rows()["val/centroids/{pair}"]
    assert row_of("baseline/mfcc_stats/clusters/nmi") is rows()["clusters/nmi"]
    for unknown in ("retrieval/recall_at_3", "baseline/other/clusters/nmi", "baseline/chance", "nmi"):
        assert row_of(unknown) is None
    family = family_of("nuisance/room/other")
    assert family
    assert family.prefix == "nuisance/{column}"
