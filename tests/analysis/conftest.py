"""The same small sounds and recipe as for trainings."""

from tests.training.conftest import chords, recipe, tones

__all__ = ["chords", "recipe", "tones"]
