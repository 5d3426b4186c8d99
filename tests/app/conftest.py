"""The same small tones as for runs, a small space that is served, and a browser."""

from tests.app.browser import browser, visit
from tests.app.serving import alone, listener, shown, site, sounding, spaces, suspected
from tests.runs.conftest import tones

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
