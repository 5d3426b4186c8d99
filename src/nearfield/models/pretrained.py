"""Pretrained weights from a safetensors file, the Hugging Face Hub or another run, and their license."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from nearfield.core.errors import RequestError
from nearfield.core.files import digest
from nearfield.core.plain_yaml import read_yaml
from nearfield.core.settings import Settings

# The license of data or weights, as stated by the files next to them.

_LONGEST = 300
"""Largest number of quoted characters; longer text is cut after a sentence or a word."""
_END = re.compile(r"(?<=[\w)`”][\w)`”][.!?])\s")
"""The space between two sentences: a full stop after a word, not after an initial or within a number."""


def stated_licence(folder: Path) -> tuple[str | None, str | None]:
    """Returns the license identifier in the front matter of the README, and the sentence that states a
    license.

    Either is None if it is not found. Nothing is inferred from other files.
    """
    for name in ("README.md", "README.txt", "README"):
        if (folder / name).is_file():
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            return _identifier(text), _sentence(text)
    for name in ("LICENSE", "LICENCE", "LICENSE.md", "LICENSE.txt"):
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8", errors="replace").splitlines()
            return None, next((_cut(line.strip()) for line in lines if line.strip()), None)
    return None, None


def _identifier(text: str) -> str | None:
    """Returns `license` in the YAML front matter of a data or model card, or None."""
    if not text.startswith("---\n"):
        return None
    try:
        matter = read_yaml(text[4:].partition("\n---")[0], "the card")
    except RequestError:
        return None
    if not isinstance(matter, dict):
        return None
    found = matter.get("license")
    if found == "other":
        found = matter.get("license_name") or found
    return found if isinstance(found, str) else None


def _sentence(text: str) -> str | None:
    """Returns the first line after the front matter that begins with "license" or "licence", or None."""
    body = text[4:].partition("\n---")[2] if text.startswith("---\n") else text
    for line in body.splitlines():
        plain = line.strip(" -*#>_")
        if plain.lower().startswith(("licence", "license")) and ":" in plain:
            return _cut(plain.partition(":")[2].strip(" *_")) or None
    return None


def _cut(text: str) -> str:
    """Cuts the text to `_LONGEST` characters, after a sentence if possible, else after a word, and adds
    "…"."""
    if len(text) <= _LONGEST:
        return text
    ends = [found.start() for found in _END.finditer(text[: _LONGEST + 1])]
    kept = text[: ends[-1]] if ends else text[: _LONGEST + 1].rpartition(" ")[0] or text[:_LONGEST]
    return f"{kept.rstrip(' ,;:')} …"


# Initial weights from a safetensors file, the Hugging Face Hub, or a part of a run.
#
# Names and shapes of the weights must be those of the module, and the kind that of the run. In published
# weights, the classifier is ignored and the first convolution is adapted to the number of channels.

log = logging.getLogger(__name__)

HUB = "hub:"
_FIRST = ("conv1.weight", "conv_stem.weight")
"""First convolutions of published networks, which are adapted to the number of channels."""
_CLASSIFIERS = ("fc.", "classifier.")
"""Prefixes of the weights of classifiers in published networks."""


@dataclass(frozen=True)
class PretrainedPart:
    """A part of the network that can load weights."""

    section: str
    """Its section in the recipe."""
    prefix: str
    """Prefix of the names of its weights in a run."""


BACKBONE = PretrainedPart("backbone", "backbone.")
NORMALISATION = PretrainedPart("normalize", "normalization.")


def load_pretrained(module: nn.Module, source: str, part: PretrainedPart, settings: Settings) -> None:
    """Loads weights into `module`; stores source, sha256 and license, if stated, in `module.weights_source`.

    Parameters
    ----------
    module
        The module.
    source
        Path of a safetensors file, folder of a run, or `hub:OWNER/NAME`, which is downloaded (extra `hub`).
    part
        The part of the network.
    settings
        Settings of the module, to be compared with those of the run.

    Raises
    ------
    RequestError
        If the run has another kind, or weights are missing, not expected, or of another shape.
    """
    path, theirs = _find(source, part)
    weights = _read(path, source, part)
    own: dict[str, Tensor] = module.state_dict()
    if not own:
        raise RequestError(
            f"{part.section}.weights: this {part.section} has no weights to load. Leave out the key."
        )
    if any(name.startswith(part.prefix) for name in weights):
        weights = {
            name.removeprefix(part.prefix): value
            for name, value in weights.items()
            if name.startswith(part.prefix)
        }
    else:
        weights = {name: value for name, value in weights.items() if not name.startswith(_CLASSIFIERS)}
        for first in _FIRST:
            if first in weights and first in own:
                weights[first] = fit_channels(weights[first], own[first].shape[1])
    misfit = _misfit(own, weights)
    remedy = _remedy(theirs, settings, source, part)
    if misfit:
        raise RequestError(
            f"{part.section}.weights: {source} does not fit this {part.section}: {misfit}. {remedy}"
        )
    module.load_state_dict(weights, strict=False)
    origin: Any = {"source": source, "sha256": digest(path), **_licence(path)}
    module.weights_source = origin
    log.info("weights of %s from %s (sha256 %s)", type(module).__name__, source, origin["sha256"])


def fit_channels(kernel: Tensor, channels: int) -> Tensor:
    """Adapts a kernel (F, given, h, w) to (F, channels, h, w): the sum over its channels, divided equally.

    The response to an input with equal channels does not change. With equal numbers, returns the kernel.
    """
    if kernel.shape[1] == channels:
        return kernel
    return kernel.sum(1, keepdim=True).expand(-1, channels, -1, -1) / channels


def bare(settings: Settings) -> Settings:
    """Returns settings without pretrained weights, to rebuild the network of a run with its own weights."""
    bared = {
        name: None if name == "weights" else bare(value)
        for name, value in settings
        if name == "weights" or isinstance(value, Settings)
    }
    return settings.model_copy(update=bared)


def _find(source: str, part: PretrainedPart) -> tuple[Path, dict[str, Any] | None]:
    """Returns the file of weights and, if it belongs to a run, the settings of the part in that run."""
    if source.startswith(HUB):
        return _download(source.removeprefix(HUB), part), None
    path = Path(source).expanduser()
    if not path.is_dir():
        return path, None
    recipe, weights = path / "recipe.yaml", path / "weights.safetensors"
    if not recipe.is_file():
        raise RequestError(
            f"{part.section}.weights: the folder {source} is not a run: it has no recipe.yaml. "
            "Give a folder written by `nearfield train --out`, or a .safetensors file."
        )
    if not weights.is_file():
        raise RequestError(
            f"{part.section}.weights: the run in {source} has no weights yet. "
            "Finish it with `nearfield train ... --resume`."
        )
    try:
        text = recipe.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{part.section}.weights: {recipe} is not YAML: {error}") from None
    plain = read_yaml(text, f"{part.section}.weights: {recipe}")
    section = plain.get(part.section) if isinstance(plain, dict) else None
    return weights, section if isinstance(section, dict) else {}


def _remedy(theirs: dict[str, Any] | None, settings: Settings, source: str, part: PretrainedPart) -> str:
    """Returns the remedy if shapes differ. Raises RequestError if the run has another kind."""
    if theirs is None:
        return f"Set {part.section}.kind to the kind of the network in the file."
    own, kind = settings.model_dump(mode="json"), theirs.get("kind")
    if kind != own["kind"]:
        raise RequestError(
            f"{part.section}.weights: the run in {source} has {part.section}.kind {kind!r}, but this recipe "
            f"has {own['kind']!r}. Set {part.section}.kind={kind}, or give another run."
        )
    differing = [
        f"{part.section}.{key} is {theirs[key]!r} there and {value!r} here"
        for key, value in own.items()
        if key != "weights" and key in theirs and theirs[key] != value
    ]
    difference = (
        "; ".join(differing)
        or f"the settings of the {part.section} are the same, but the spectrograms have another shape"
    )
    return f"In that run: {difference}. Use {part.section}, feature and data.clip_seconds of that run."


def _read(path: Path, source: str, part: PretrainedPart) -> dict[str, Tensor]:
    if not path.is_file():
        raise RequestError(
            f"{part.section}.weights: no such file: {source}. Give the path of a .safetensors file, the "
            f"folder of a run, or {HUB}OWNER/NAME to download one from the Hugging Face Hub, for example "
            f"{HUB}timm/resnet18.a1_in1k."
        )
    try:
        return dict(load_file(path))
    except Exception as error:  # safetensors raises its own error class, and others for broken headers
        raise RequestError(
            f"{part.section}.weights: {source} is not a readable safetensors file ({error}). "
            "Other formats can run code when they are opened; convert the file first."
        ) from None


def _licence(path: Path) -> dict[str, str]:
    """Returns `licence` or `license` in the metadata of a safetensors file, as a dict; empty without it."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata() or {}
    found = metadata.get("licence") or metadata.get("license")
    return {"licence": found} if found else {}


def _misfit(own: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """Lists the weights that are missing, not expected or of another shape; "" if all fit."""
    # Files older than torch 0.4.1 have no count of batches, which only cumulative statistics use.
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
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in complaints.items() if names)


def _download(name: str, part: PretrainedPart) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise RequestError(
            f"{part.section}.weights: {HUB}{name} needs the package huggingface_hub, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    try:
        return Path(hf_hub_download(name, "model.safetensors"))
    except Exception as error:  # errors of hub and network have no common base class
        raise RequestError(
            f"{part.section}.weights: could not download model.safetensors of {name!r} from the Hub "
            f"({error}). Check the name and the network, or download the file and give its path."
        ) from None
