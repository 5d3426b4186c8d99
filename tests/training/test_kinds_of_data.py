"""The whole road on every kind of data: tags, time alone, views, pictures, four channels, raw waves."""

import re
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from PIL import Image
from torch import Tensor

from nearfield.models.features.feature import Pixels, PixelsSettings
from nearfield.training.api import evaluate, train
from nearfield.training.events import Note
from nearfield.training.recipe import Recipe
from tests.training.conftest import small

FEW = {"updates": 5}


def sound(path: Path, seconds: float, channels: int = 1, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = 0.1 * rng.standard_normal((round(seconds * 8000), channels))
    soundfile.write(path, wave, 8000, subtype="FLOAT")


def go(folder: Path, out: Path, **changes: Any) -> dict[str, float]:
    run = train(Recipe.of(small(**{"train": FEW, **changes})), folder, out, device="cpu")
    assert np.isfinite(run.vectors()[1]).all()
    return run.metrics


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    lines = ["path,tags,group"]
    for number in range(24):
        sound(tmp_path / "d" / f"{number}.wav", 0.5, seed=number)
        lines.append(
            f"{number}.wav,{'|'.join(t for b, t in enumerate('xyz') if number % (b + 2) == 0)},g{number}"
        )
    (tmp_path / "d" / "labels.csv").write_text("\n".join(lines))
    return tmp_path / "d"


@pytest.mark.parametrize(
    "sampler",
    [{"kind": "shuffle", "batch_size": 8}, {"kind": "tag_triplets", "batch_size": 4}],
    ids=lambda s: s["kind"],
)
def test_tags(tagged: Path, tmp_path: Path, sampler: dict[str, Any]) -> None:
    found = go(tagged, tmp_path / "r", relation={"kind": "tags"}, sampler=sampler)
    assert {"tagging/roc_auc", "retrieval/multilabel_recall_at_1"} <= set(found)
    assert {"baseline/hub/retrieval/multilabel_recall_at_1"} <= set(found)


def test_time_alone(tmp_path: Path) -> None:
    for number in range(8):
        sound(tmp_path / "d" / f"{number}.wav", 4.0, seed=number)
    relation = {"kind": "time", "range_seconds": 1.0}
    sampler = {"kind": "tiles", "range_seconds": 1.0, "batch_size": 8}
    found = go(tmp_path / "d", tmp_path / "r", relation=relation, sampler=sampler, loss={"kind": "nt_xent"})
    assert "geometry/effective_rank" in found
    assert "probe/macro_f1" not in found


def test_views_of_one_clip(tmp_path: Path) -> None:
    for number in range(12):
        sound(tmp_path / "d" / f"{number}.wav", 1.0, seed=number)
    sampler = {"kind": "views", "batch_size": 8}
    noise = [{"kind": "noise"}]  # a bend of the wave: features are then made batch by batch
    go(tmp_path / "d", tmp_path / "r", relation={"kind": "views"}, sampler=sampler, augment=noise)


IMAGES: dict[str, Any] = {
    "data": {"image_size": 16},
    "feature": {"kind": "pixels"},
    "normalize": {"kind": "none"},
    "augment": [{"kind": "flip"}],
    "sampler": {"kind": "balanced", "classes": 2, "per_class": 4},
}


def images(folder: Path) -> None:
    """Two labels of eight images each, dark ones and bright ones."""
    rng = np.random.default_rng(0)
    for label in "ab":
        (folder / label).mkdir(parents=True)
        for number in range(8):
            cells = rng.integers(0, 120, (20, 24, 3)) + (100 if label == "b" else 0)
            Image.fromarray(cells.astype(np.uint8)).save(folder / label / f"{number}.png")


def test_pictures(tmp_path: Path) -> None:
    images(tmp_path / "d")
    found = go(tmp_path / "d", tmp_path / "r", **IMAGES)
    assert found["baseline/pixels/probe/macro_f1"] == 1


class Raised(Pixels):
    """An image feature that shows whether it was applied before: images lie far below 1000."""

    inputs: ClassVar[list[float]] = []

    def forward(self, waves: Tensor) -> Tensor:
        self.inputs.append(float(waves.max()))
        return waves.float() + 1000


def test_an_image_feature_is_applied_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In training, in evaluation, and in the untrained network that is a baseline."""
    monkeypatch.setattr(PixelsSettings, "build", lambda self, rate, channels: Raised(channels))
    monkeypatch.setattr(Raised, "inputs", [])
    images(tmp_path / "d")
    found = go(tmp_path / "d", tmp_path / "r", **IMAGES)
    assert "baseline/random_encoder/probe/macro_f1" in found
    assert len(Raised.inputs) > 10
    assert max(Raised.inputs) < 500


@pytest.mark.parametrize(
    "feature", [{"kind": "log_mel", "bands": 16}, {"kind": "waveform"}], ids=lambda f: f["kind"]
)
@pytest.mark.parametrize("channels", ["mean", "all", 2])
def test_four_channels(tmp_path: Path, channels: str | int, feature: dict[str, Any]) -> None:
    for label in "ab":
        for number in range(8):
            sound(tmp_path / "d" / label / f"{number}.wav", 0.5, channels=4, seed=number)
    go(
        tmp_path / "d",
        tmp_path / "r",
        data={"sample_rate": 8000, "clip_seconds": 0.4, "channels": channels},
        feature=feature,
        augment=[],
        normalize={"kind": "clip"},
        backbone={"kind": "small_convnet", "width": 4, "blocks": 2, "stem_stride": [1, 4]},
        sampler={"kind": "balanced", "classes": 2, "per_class": 4},
    )


def test_band_statistics_of_train_travel_with_the_weights(tones: Path, tmp_path: Path) -> None:
    run = train(Recipe.of(small(train=FEW, normalize={"kind": "band"})), tones, tmp_path / "r", device="cpu")
    path = [tones / "a" / "0.wav"]
    assert np.isfinite(run.encode(path)).all()
    assert [name for name, _ in run.embedder.normalization.named_buffers()]


@pytest.mark.parametrize("taught", ["labels", "time", "tags"])
def test_a_space_judges_clips_that_could_not_have_taught_it(
    taught: str, tagged: Path, tmp_path: Path
) -> None:
    """Other clips may lack what the relation or the sampler of the training needs."""
    for number in range(8):
        sound(tmp_path / "long" / f"{number}.wav", 2.0, seed=number)
        sound(tmp_path / "short" / "ab"[number % 2] / f"{number}.wav", 0.4, seed=number)
    tiles = {"kind": "tiles", "range_seconds": 1.0, "batch_size": 8}
    settings: dict[str, Any] = {
        "labels": {"sampler": {"kind": "balanced", "classes": 2, "per_class": 4}},
        "time": {"relation": {"kind": "time", "range_seconds": 1.0}, "sampler": tiles},
        "tags": {"relation": {"kind": "tags"}, "sampler": {"kind": "shuffle"}, "loss": {"kind": "bce"}},
    }
    own, other = {"labels": ("short", "long"), "time": ("long", "short"), "tags": ("d", "long")}[taught]
    go(tmp_path / own, tmp_path / "r", **settings[taught])
    found = evaluate(tmp_path / "r", tmp_path / other).metrics
    assert "geometry/effective_rank" in found
    assert not any(name.startswith(("loss/", "opposites/")) for name in found)


@pytest.mark.parametrize("size", [8, None], ids=["linear end", "ReLU end"])
def test_a_dense_encoder_trains_and_beats_the_untrained_one(tmp_path: Path, size: int | None) -> None:
    """Chirps that rise or fall: alike in mean and deviation, told apart by their course alone."""
    rng = np.random.default_rng(0)
    time = np.arange(4000) / 8000
    for number in range(80):
        name = "rise" if number % 2 else "fall"
        way = 1 if name == "rise" else -1
        course = rng.uniform(1500, 2000) + way * 1200 * (time - 0.25)
        wave = np.sin(2 * np.pi * np.cumsum(course) / 8000) + 0.3 * rng.standard_normal(len(time))
        (tmp_path / "d" / name).mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "d" / name / f"{number}.wav", 0.2 * wave, 8000, subtype="FLOAT")
    run = train(
        Recipe.of(
            small(
                data={"sample_rate": 8000, "clip_seconds": 0.5},
                backbone={"kind": "dense", "widths": [16]},
                embedding={"size": size},
                sampler={"kind": "balanced", "classes": 2, "per_class": 8},
                augment=[],
                train={"updates": 80},
            )
        ),
        tmp_path / "d",
        tmp_path / "r",
        device="cpu",
    )
    name = "retrieval_from_train/recall_at_1"
    assert run.metrics[name] >= 0.9
    assert run.metrics[name] > run.metrics[f"baseline/random_encoder/{name}"] + 0.1
    assert (run.vectors()[1].min() >= 0) == (size is None)  # the source's encoder ended in a ReLU


def test_folders_of_recordings_that_are_learnt_from_by_time_are_no_labels(
    tones: Path, tmp_path: Path
) -> None:
    for number in range(6):
        sound(tmp_path / "d" / f"PLOT_{number % 2}" / f"{number}.wav", 4.0, seed=number)
    recipe = Recipe.of(
        small(
            relation={"kind": "time", "range_seconds": 1},
            sampler={"kind": "tiles", "batch_size": 4, "range_seconds": 1},
            train=FEW,
        )
    )
    notes: list[str] = []
    run = train(
        recipe,
        tmp_path / "d",
        tmp_path / "run",
        device="cpu",
        callback=lambda event: notes.append(event.text) if isinstance(event, Note) else None,
    )
    assert any("folders (PLOT_0, PLOT_1) are not used as labels" in note for note in notes)
    by_label = re.compile("probe/macro_f1|retrieval/|retrieval_from_train/")
    assert not [name for name in run.metrics if by_label.search(name)]
    again = evaluate(tmp_path / "run", data=tmp_path / "d").metrics
    assert not [name for name in again if by_label.search(name)]
    elsewhere = evaluate(tmp_path / "run", data=tones).metrics  # class folders that the user names
    assert "probe/macro_f1" in elsewhere
    chosen = recipe.changed({"data.label": "label"})
    judged_by = train(chosen, tmp_path / "d", tmp_path / "other", device="cpu").metrics
    assert "retrieval/queries" in judged_by
