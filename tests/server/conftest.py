"""The same small tones as for runs, a small space that is served, and a browser."""

from tests.server.browser import browser, visit
from tests.server.serving import alone, listener, shown, site, sounding, spaces, suspected
from tests.training.conftest import tones

__all__ = [
    "alone",
    "browser",
    "listener",
    "shown",
    "site",
    "sounding",
    "spaces",
    "suspected",
    "tones",
    "visit",
]
