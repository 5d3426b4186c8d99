"""The same small tones as for runs, and a small space that is served."""

from tests.app.serving import alone, listener, shown, site, sounding, spaces, suspected
from tests.runs.conftest import tones

__all__ = ["alone", "listener", "shown", "site", "sounding", "spaces", "suspected", "tones"]
