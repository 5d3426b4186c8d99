"""Where Nearfield keeps what it can make again: decoded sound, digests, synthetic sets."""

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """The folder named by NEARFIELD_CACHE, or the platform's own cache folder. It may not exist yet."""
    if given := os.environ.get("NEARFIELD_CACHE"):
        return Path(given).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "nearfield" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nearfield"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nearfield"
