"""A sound under each augmentation: what is written is what training would hear."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from nearfield.analysis.augmented import Augmented, augment_each, write_augmented
from nearfield.core.errors import RequestError
from nearfield.data.audio import Waves
from nearfield.training.recipe import Recipe
from tests.training.conftest import small

AUGMENT = [
    {"kind": "gain", "decibels": [-6.0206, -6.0206], "probability": 0.0},
    {"kind": "noise", "ratio_db": [20.0, 20.0]},
    {"kind": "time_shift", "max_seconds": 0.2},
    {"kind": "mix", "under_db": [10.0, 10.0]},
    {"kind": "frequency_mask", "max_bands": 3},
]


def heard(shown: Augmented) -> Waves:
    assert shown.wave is not None
    return shown.wave


def test_each_augmentation_alone_is_applied_to_the_clip(tones: Path) -> None:
    recipe = Recipe.of(small(augment=AUGMENT))
    original, quieter, noisy, shifted, mixed, masked = augment_each(
        recipe, tones / "a/0.wav", (tones / "d/0.wav",), start=0.05
    )
    expected, _ = soundfile.read(tones / "a/0.wav", start=400, frames=3200, dtype="float32")
    np.testing.assert_allclose(heard(original), expected[None], atol=1e-6)
    np.testing.assert_allclose(heard(quieter), heard(original) / 2, rtol=1e-4)
    for louder, decibels in ((noisy, 20), (mixed, 10)):
        added = heard(louder) - heard(original)
        ratio = 10 * np.log10(np.square(heard(original)).mean() / np.square(added).mean())
        assert ratio == pytest.approx(decibels, abs=0.1)
    np.testing.assert_allclose(np.sort(heard(shifted)), np.sort(heard(original)))
    assert np.abs(heard(shifted) - heard(original)).max() > 0.01
    assert masked.wave is None
    hidden = (masked.image != original.image).all(axis=1)
    assert 0 < hidden.sum() <= 3
    np.testing.assert_array_equal(masked.image[~hidden], original.image[~hidden])


def test_what_is_written_can_be_seen_and_heard(tones: Path, tmp_path: Path) -> None:
    recipe = Recipe.of(small(augment=AUGMENT))
    found = augment_each(recipe, tones / "a/0.wav")
    paths = write_augmented(found, 8000, tmp_path / "out")
    assert [path.name for path in paths] == [
        "augmented.png", "0-original.wav", "1-gain.wav", "2-noise.wav", "3-time_shift.wav", "4-mix.wav"
    ]  # fmt: skip
    read, rate = soundfile.read(paths[2])
    assert rate == 8000
    np.testing.assert_allclose(read, heard(found[1])[0], atol=1e-4)
    with Image.open(paths[0]) as image:
        assert image.convert("L").histogram()[0:100] != [0] * 100


def test_a_recipe_without_augmentations_is_refused(tones: Path) -> None:
    with pytest.raises(RequestError, match="has no augmentation to show"):
        augment_each(Recipe.of(small(augment=[])), tones / "a/0.wav")
