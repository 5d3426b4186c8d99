"""Pretrained weights: a safetensors file, the Hugging Face Hub, another run; and their licences."""

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

# Under which licence data or weights stand, as far as the files beside them say it.

_LONGEST = 300
"""Characters that are quoted; what is longer is cut behind a sentence, or a word."""
_END = re.compile(r"(?<=[\w)`”][\w)`”][.!?])\s")
"""Between two sentences: a stop behind a word, not behind an initial or within a number."""


def stated_licence(folder: Path) -> tuple[str | None, str | None]:
    """The identifier in the front matter of the folder's README.md, and the sentence that states a licence.

    Either is None where nothing is found; nothing is guessed from other files' names or contents.
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
    """`license` of YAML front matter, as data and model cards have it."""
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
    """The first line below the front matter that begins with the word."""
    body = text[4:].partition("\n---")[2] if text.startswith("---\n") else text
    for line in body.splitlines():
        plain = line.strip(" -*#>_")
        if plain.lower().startswith(("licence", "license")) and ":" in plain:
            return _cut(plain.partition(":")[2].strip(" *_")) or None
    return None


def _cut(text: str) -> str:
    """The text up to `_LONGEST` characters, whole sentences where one fits, else whole words, and "…"."""
    if len(text) <= _LONGEST:
        return text
    ends = [found.start() for found in _END.finditer(text[: _LONGEST + 1])]
    kept = text[: ends[-1]] if ends else text[: _LONGEST + 1].rpartition(" ")[0] or text[:_LONGEST]
    return f"{kept.rstrip(' ,;:')} …"


# Weights of another training to begin from: a safetensors file, the Hugging Face Hub, or a part of a run.
#
# Nothing is guessed: names and shapes must be the module's, and a run's kind too. Only of what was published
# elsewhere the classifier, which no embedder has, is left out, and the first convolution fitted to the
# number of channels.

log = logging.getLogger(__name__)

HUB = "hub:"
_FIRST = ("conv1.weight", "conv_stem.weight")
"""The convolutions of published networks that are fitted to the module's channels."""
_CLASSIFIERS = ("fc.", "classifier.")
"""How the names of what no embedder has begin there."""


@dataclass(frozen=True)
class PretrainedPart:
    """A part of an embedder that may begin from weights."""

    section: str
    """Its section of the recipe."""
    prefix: str
    """How its weights' names begin in those of a run."""


BACKBONE = PretrainedPart("backbone", "backbone.")
NORMALISATION = PretrainedPart("normalize", "normalization.")


def load_pretrained(module: nn.Module, source: str, part: PretrainedPart, settings: Settings) -> None:
    """Loads `source` into `module`, and notes in `module.weights_source` where it came from and its sha256.

    The licence is noted too, where the file's metadata state one.
    `source`: path of a safetensors file, a run's folder, or `hub:OWNER/NAME`, which downloads (extra `hub`).
    `settings` are the module's, to be compared with the run's. Raises RequestError for another kind, and
    naming every weight that is missing, left over or of another shape.
    """
    path, theirs = _find(source, part)
    weights = _read(path, source, part)
    own: dict[str, Tensor] = module.state_dict()
    if not own:
        raise RequestError(
            f"{part.section}.weights: this {part.section} has no weights that could be loaded. "
            "Leave the key out."
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
    told = _misfit(own, weights)
    cure = _cure(theirs, settings, source, part)
    if told:
        raise RequestError(
            f"{part.section}.weights: {source} does not fit this {part.section}: {told}. {cure}"
        )
    module.load_state_dict(weights, strict=False)
    noted: Any = {"source": source, "sha256": digest(path), **_licence(path)}
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
    bared = {
        name: None if name == "weights" else bare(value)
        for name, value in settings
        if name == "weights" or isinstance(value, Settings)
    }
    return settings.model_copy(update=bared)


def _find(source: str, part: PretrainedPart) -> tuple[Path, dict[str, Any] | None]:
    """The file of weights; and, where it is a run's, the settings of the part there."""
    if source.startswith(HUB):
        return _download(source.removeprefix(HUB), part), None
    path = Path(source).expanduser()
    if not path.is_dir():
        return path, None
    recipe, weights = path / "recipe.yaml", path / "weights.safetensors"
    if not recipe.is_file():
        raise RequestError(
            f"{part.section}.weights: the folder {source} holds no run: it has no recipe.yaml. "
            "Give the folder that `nearfield train --out` made, or a .safetensors file."
        )
    if not weights.is_file():
        raise RequestError(
            f"{part.section}.weights: the run in {source} has no weights yet. "
            "Finish it by `nearfield train ... --resume`."
        )
    try:
        text = recipe.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RequestError(f"{part.section}.weights: {recipe} is not YAML: {error}") from None
    plain = read_yaml(text, f"{part.section}.weights: {recipe}")
    section = plain.get(part.section) if isinstance(plain, dict) else None
    return weights, section if isinstance(section, dict) else {}


def _cure(theirs: dict[str, Any] | None, settings: Settings, source: str, part: PretrainedPart) -> str:
    """What to do where shapes differ. Raises RequestError where the run's kind is another."""
    if theirs is None:
        return f"Choose the {part.section}'s kind that the file was made for."
    own, kind = settings.model_dump(mode="json"), theirs.get("kind")
    if kind != own["kind"]:
        raise RequestError(
            f"{part.section}.weights: the run in {source} has {part.section}.kind {kind!r}, and this recipe "
            f"asks for {own['kind']!r}. Set {part.section}.kind={kind}, or name another run."
        )
    differing = [
        f"{part.section}.{key} is {theirs[key]!r} there and {value!r} here"
        for key, value in own.items()
        if key != "weights" and key in theirs and theirs[key] != value
    ]
    told = (
        "; ".join(differing)
        or f"the settings of the {part.section} are the same: it read other pictures there"
    )
    return f"In that run: {told}. Take the run's {part.section}, feature and data.clip_seconds over."


def _read(path: Path, source: str, part: PretrainedPart) -> dict[str, Tensor]:
    if not path.is_file():
        raise RequestError(
            f"{part.section}.weights: no such file: {source}. Give the path of a .safetensors file, a run's "
            f"folder, or {HUB}OWNER/NAME to download one from the Hugging Face Hub, as in "
            f"{HUB}timm/resnet18.a1_in1k."
        )
    try:
        return dict(load_file(path))
    except Exception as error:  # safetensors raises its own error class, and others for broken headers
        raise RequestError(
            f"{part.section}.weights: {source} is not a readable safetensors file ({error}). "
            "Other formats may run code when they are opened; convert them first."
        ) from None


def _licence(path: Path) -> dict[str, str]:
    """`licence` of the weights in a safetensors file, as its metadata have it, by either spelling."""
    with safe_open(path, "pt") as file:
        said = file.metadata() or {}
    found = said.get("licence") or said.get("license")
    return {"licence": found} if found else {}


def _misfit(own: dict[str, Tensor], given: dict[str, Tensor]) -> str:
    """Every name that is missing, left over or of another shape; empty where all fit."""
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
    except Exception as error:  # the hub's errors and the network's have no common root
        raise RequestError(
            f"{part.section}.weights: could not fetch model.safetensors of {name!r} from the Hub ({error}). "
            "Check the name and the network, or download the file and give its path."
        ) from None
