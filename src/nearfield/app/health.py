"""What `nearfield doctor` finds: versions, devices, formats, the cache."""

import platform
from importlib import metadata
from importlib.util import find_spec
from typing import Any

EXTRAS = {
    "augment": "audiomentations",
    "hub": "transformers",
    "onnx": "onnxruntime",
    "ray": "ray",
    "search": "optuna",
}
"""What pip installs beside the package when asked, and a module of it."""


def examine(clear_cache: bool = False) -> dict[str, Any]:
    """Facts about this machine by name; removes the decoded store first where asked."""
    import soundfile
    import torch

    from nearfield.core.machine import total_memory, usable_cores
    from nearfield.data.store import Store
    from nearfield.runs.device import best_precision, open_device

    store = Store()
    freed = store.clear() if clear_cache else None
    chosen = open_device("auto", "fp32").type
    device = torch.cuda.get_device_name() if chosen == "cuda" else chosen
    formats = soundfile.available_formats()
    found: dict[str, Any] = {
        "nearfield": metadata.version("nearfield"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "machine": platform.platform(),
        "cores": usable_cores(),
        "memory": _size(total_memory()),
        "device": device,
        "precision": best_precision("auto"),
        "formats": ", ".join(name.lower() for name in ("WAV", "FLAC", "OGG", "MP3") if name in formats),
        "extras": ", ".join(f"{name} {'yes' if find_spec(m) else 'no'}" for name, m in EXTRAS.items()),
        "cache": f"{store.folder} ({_size(store.size())}; {_bound()})",
    }
    if freed is not None:
        found["freed"] = _size(freed)
    return found


def _bound() -> str:
    """What the cache may hold, and what says so."""
    from nearfield.core.errors import RequestError
    from nearfield.data.bound import VARIABLE, limit

    try:
        most = limit()
    except RequestError as error:
        return str(error)
    return f"no bound: {VARIABLE}" if most == float("inf") else f"at most {_size(int(most))}: {VARIABLE}"


def _size(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
