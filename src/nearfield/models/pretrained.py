"""Published weights into a backbone: from a safetensors file, or by name from the Hugging Face Hub.

Nothing is guessed: the file's names and shapes must be the backbone's, but for the classifier `fc`, which
no embedder has, and the first convolution, which is fitted to the number of channels.
"""

import logging
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.files import digest
from nearfield.core.settings import Settings

log = logging.getLogger(__name__)

HUB = "hub:"


def load_pretrained(module: nn.Module, source: str, first: str = "conv1.weight") -> None:
    """Loads `source` into `module` and notes where it came from, and its sha256, in `module.weights_source`.

    `source`: path of a safetensors file, or `hub:OWNER/NAME`, which downloads (extra `hub`). `first` names
    the convolution fitted to the module's channels. Raises RequestError naming every key that is missing,
    left over or of another shape.
    """
    path = _download(source.removeprefix(HUB)) if source.startswith(HUB) else Path(source).expanduser()
    weights = {name: value for name, value in _read(path, source).items() if not name.startswith("fc.")}
    own: dict[str, Tensor] = module.state_dict()
    if first in weights and first in own:
        weights[first] = fit_channels(weights[first], own[first].shape[1])
    _compare(own, weights, source)
    module.load_state_dict(weights, strict=False)
    noted: Any = {"source": source, "sha256": digest(path)}
    module.weights_source = noted
    log.info("weights of %s from %s (sha256 %s)", type(module).__name__, source, noted["sha256"])


def fit_channels(kernel: Tensor, channels: int) -> Tensor:
    """(F, given, h, w) -> (F, channels, h, w): the kernel's sum over its channels, shared out evenly.

    An input with the same picture in every channel keeps its response. As many channels as given: unchanged.
    """
    if kernel.shape[1] == channels:
        return kernel
    return kernel.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels


def bare(settings: Settings) -> Settings:
    """The same backbone settings without pretrained weights: to rebuild a trained run, which has its own."""
    return (
        settings.model_copy(update={"weights": None})
        if "weights" in type(settings).model_fields
        else settings
    )


def _read(path: Path, source: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise RequestError(
            f"backbone.weights: no such file: {source}. Give the path of a .safetensors file, "
            f"or {HUB}OWNER/NAME to download one from the Hugging Face Hub, as in {HUB}timm/resnet18.a1_in1k."
        )
    try:
        return dict(load_file(path))
    except Exception as error:  # safetensors raises its own error class, and others for broken headers
        raise RequestError(
            f"backbone.weights: {source} is not a readable safetensors file ({error}). "
            "Other formats may run code when they are opened; convert them first."
        ) from None


def _compare(own: dict[str, Tensor], given: dict[str, Tensor], source: str) -> None:
    # Files older than torch 0.4.1 have no count of batches; nothing but cumulative statistics reads it.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    complaints = {
        "missing": sorted(needed - given.keys()),
        "not expected": sorted(given.keys() - own.keys()),
        "of another shape": [
            f"{name} {tuple(given[name].shape)} for {tuple(own[name].shape)}"
            for name in sorted(given.keys() & own.keys())
            if given[name].shape != own[name].shape
        ],
    }
    told = "; ".join(f"{what}: {', '.join(names)}" for what, names in complaints.items() if names)
    if told:
        raise RequestError(
            f"backbone.weights: {source} does not fit this backbone: {told}. "
            "Choose the backbone's kind that the file was made for."
        )


def _download(name: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise RequestError(
            f"backbone.weights: {HUB}{name} needs the package huggingface_hub, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    try:
        return Path(hf_hub_download(name, "model.safetensors"))
    except Exception as error:  # the hub's errors and the network's have no common root
        raise RequestError(
            f"backbone.weights: could not fetch model.safetensors of {name!r} from the Hub ({error}). "
            "Check the name and the network, or download the file and give its path."
        ) from None
