"""Optional dependencies (extras), and the error if one is missing."""

from importlib.util import find_spec

from nearfield.core.errors import RequestError

EXTRAS: dict[str, tuple[str, ...]] = {
    "explore": ("fastapi", "uvicorn", "multipart"),
    "map": ("umap",),
    "index": ("lancedb",),
    "documents": ("typst", "matplotlib"),
    "figures": ("matplotlib",),
    "tensorboard": ("tensorboard",),
    "augment": ("audiomentations",),
    "hub": ("huggingface_hub", "transformers"),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "ray": ("ray",),
    "search": ("optuna",),
}
"""Extras to the modules that they install; `all` installs all of them."""


def has(extra: str) -> bool:
    """Whether all modules of an extra are installed."""
    return all(find_spec(module) is not None for module in EXTRAS[extra])


def require(extra: str, what: str) -> None:
    """Raises RequestError if a module of the extra is missing; `what` names the feature that needs it."""
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise RequestError(
            f"{what} needs {', '.join(missing)}, which the extra {extra!r} installs. "
            f"Run: pip install 'nearfield[{extra}]' (in a checkout: pip install '.[{extra}]')"
        )
