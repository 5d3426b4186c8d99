"""What a run shows while it trains: pictures at validations, what its operations cost; where asked for."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nearfield.training.prepare import Request
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.tensorboard import map_figure
from nearfield.training.trainer import launch
from tests.training.conftest import small

WATCHED = {"updates": 12, "validate_every": 6, "figures": True, "profile": 3}


@pytest.fixture(scope="module")
def folder(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("watched") / "r"
    recipe = Recipe.of(small(train=WATCHED, normalize={"kind": "none"}))
    launch(Request(recipe, str(tones), out, device="cpu"))
    return RunFolder(out)


def shown(folder: RunFolder) -> EventAccumulator:
    found = EventAccumulator(str(folder.tensorboard), size_guidance={"images": 0})
    found.Reload()
    return found


def test_every_validation_has_its_pictures(folder: RunFolder) -> None:
    found = shown(folder)
    assert sorted(found.Tags()["images"]) == ["val/centroids", "val/map"]
    for name in ("val/centroids", "val/map"):
        events = found.Images(name)
        assert [event.step for event in events] == [6, 12]
        pictures = [np.asarray(Image.open(io.BytesIO(event.encoded_image_string))) for event in events]
        assert pictures[0].shape[:2] == (events[0].height, events[0].width)
        assert all(picture.std() > 5 for picture in pictures)
        assert pictures[0].tobytes() != pictures[1].tobytes()
    assert [event.step for event in found.Scalars("train/loss")] == [1, 5, 10]


def test_pictures_and_profile_change_nothing_that_is_learnt(
    folder: RunFolder, tones: Path, tmp_path: Path
) -> None:
    plain = Recipe.of(small(train={"updates": 12, "validate_every": 6}, normalize={"kind": "none"}))
    launch(Request(plain, str(tones), tmp_path / "r", device="cpu"))
    assert (tmp_path / "r/weights.safetensors").read_bytes() == folder.weights.read_bytes()
    assert shown(RunFolder(tmp_path / "r")).Tags()["images"] == []
    assert not list((tmp_path / "r").glob("profile*"))


def test_the_profile_names_the_operations_of_the_updates_asked_for(folder: RunFolder) -> None:
    first, *table = (folder.path / "profile.txt").read_text().splitlines()
    assert first == "3 updates after the first 9"
    (line,) = [row.split() for row in table if row.split()[:1] == ["Optimizer.step#Adam.step"]]
    assert line[-1] == "3"  # calls: one an update
    trace = json.loads((folder.path / "profile.json").read_text())
    steps = {event["name"] for event in trace["traceEvents"] if "ProfilerStep" in event.get("name", "")}
    assert len(steps) == 3


def test_the_map_is_along_the_directions_of_largest_variance_and_names_labels() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((50, 6)) * [9, 4, 0.1, 0.1, 0.1, 0.1]).astype(np.float32)
    labels = np.arange(50) % 3 - 1
    figure = map_figure(vectors, labels, ("dog", "rain"))
    points = np.concatenate([np.stack(line.get_data(), 1) for line in figure.axes[0].lines])
    spread = np.sort(np.linalg.svd(vectors - vectors.mean(0))[1])[::-1][:2]
    assert np.linalg.norm(points, axis=0) == pytest.approx(spread, rel=1e-3)
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    assert named == ["no label", "dog", "rain"]
    assert map_figure(np.ones((3, 1), np.float32), np.zeros(3, np.int64), ("a",)).axes
