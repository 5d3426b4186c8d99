"""The same small tones as for runs."""

from tests.runs.conftest import tones

__all__ = ["tones"]
