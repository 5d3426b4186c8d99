"""What makes two spaces one, and what does not."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nearfield.space.identity import Identity
from nearfield.training.run import Run


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"data.sample_rate": 16000}, "front end"),
        ({"data.clip_seconds": 0.5}, "front end"),
        ({"data.channels": 0}, "front end"),
        ({"feature.bands": 20}, "front end"),
        ({"normalize.kind": "none"}, "normalization"),
        ({"embedding.normalize": False}, "embedding"),
        ({"backbone.width": 8}, "weights"),
    ],
)
def test_what_changes_vectors_changes_the_identity(heard: Run, change: dict[str, Any], part: str) -> None:
    before, after = Identity.of(heard), Identity.of(replace(heard, recipe=heard.recipe.changed(change)))
    assert before.digest != after.digest
    assert [name for name in before.parts if before.parts[name] != after.parts[name]] == [part]


@pytest.mark.parametrize(
    "change", [{"loss.margin": 0.1}, {"optimizer.lr": 0.5}, {"embedding.dropout": 0.0}, {"data.label": "x"}]
)
def test_what_only_training_reads_does_not(heard: Run, change: dict[str, Any]) -> None:
    assert (
        Identity.of(replace(heard, recipe=heard.recipe.changed(change))).digest == Identity.of(heard).digest
    )


def test_one_weight_is_enough_and_a_copy_elsewhere_is_the_same(heard: Run, tmp_path: Path) -> None:
    shutil.copytree(heard.folder.path, tmp_path / "copy")
    copy = Run.load(tmp_path / "copy")
    assert Identity.of(copy).digest == Identity.of(heard).digest
    with torch.no_grad():
        next(copy.embedder.parameters()).view(-1)[0] += 1e-3
    assert Identity.of(copy).digest != Identity.of(heard).digest
