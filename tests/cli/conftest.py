"""The same small tones as for runs, and a small run with its sounds."""

from tests.server.serving import listener, sounding
from tests.training.conftest import tones

__all__ = ["listener", "sounding", "tones"]
