"""Where a published encoder lies, and what its files say: architecture, the sound it reads, licence."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError, choose
from nearfield.core.plain_yaml import read_yaml
from nearfield.models.licences import stated_licence
from nearfield.models.pretrained import HUB

_TEXT = ("config.json", "preprocessor_config.json", "README.md", "LICENSE*")
_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_NOT_ARCHITECTURE = (
    "_name_or_path",
    "architectures",
    "auto_map",
    "dtype",
    "id2label",
    "label2id",
    "torch_dtype",
    "transformers_version",
)
"""Keys of a config that say nothing of the network's shape."""


def describe_source(source: str, families: Iterable[str]) -> dict[str, Any]:
    """source, model_type, config, preprocessor and licence of an encoder; nothing is loaded.

    `source`: hub:OWNER/NAME, a folder in the layout of the Hub, or the folder of a Nearfield run. Raises
    RequestError where there is none, or its model_type is in none of the `families`.
    """
    if is_run(source):
        return _of_run(source)
    folder = find_source(source, with_weights=False)
    raw = _json(folder / "config.json", source)
    known = sorted(families)
    model_type = str(raw.get("model_type", ""))
    if model_type not in known:
        raise RequestError(
            f"backbone.weights: {source} is a {model_type or 'network of no stated type'!r}, which is not "
            f"known here. {choose(model_type, known)}"
        )
    preprocessor = folder / "preprocessor_config.json"
    identifier, sentence = stated_licence(folder)
    stated = raw.get("license")
    return {
        "source": source,
        "model_type": model_type,
        "config": _architecture(raw),
        "preprocessor": _json(preprocessor, source) if preprocessor.is_file() else {},
        "licence": identifier or (stated if isinstance(stated, str) else None) or sentence,
    }


def find_source(source: str, with_weights: bool) -> Path:
    """The folder of an encoder, fetched from the Hub where `source` begins with hub:.

    Raises RequestError where there is none, or (`with_weights`) it has no safetensors.
    """
    if source.startswith(HUB):
        folder = _fetched(source.removeprefix(HUB), [*_TEXT, *(_WEIGHTS if with_weights else ())])
    else:
        folder = Path(source).expanduser()
    if not (folder / "config.json").is_file():
        raise RequestError(
            f"backbone.weights: no encoder in {source}: there is no config.json. "
            f"Give {HUB}OWNER/NAME, or a folder with config.json and model.safetensors."
        )
    if with_weights and not any(folder.glob("*.safetensors")):
        raise RequestError(
            f"backbone.weights: {source} has no safetensors. Other formats may run code when they are "
            "opened; convert them first, or choose a publication that has them."
        )
    return folder


def is_run(source: str) -> bool:
    """Whether a folder is that of a Nearfield run."""
    return not source.startswith(HUB) and (Path(source).expanduser() / "recipe.yaml").is_file()


def transformers_library() -> Any:
    """The library. Raises RequestError where it is not installed."""
    try:
        import transformers
    except ImportError:
        raise RequestError(
            "backbone.kind: 'transformer' needs the package transformers, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    return transformers


@contextmanager
def quiet_library() -> Iterator[None]:
    """Keeps its progress bars, and its reports of what of a file was not asked for, out of sight."""
    talk = transformers_library().utils.logging
    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity_error()
    talk.disable_progress_bar()
    try:
        yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()


def _of_run(source: str) -> dict[str, Any]:
    """What the run's recipe says of its own encoder."""
    recipe = Path(source).expanduser() / "recipe.yaml"
    try:
        plain = read_yaml(recipe.read_text(encoding="utf-8"), recipe.name)
    except (OSError, ValueError, RequestError) as error:
        raise RequestError(
            f"backbone.weights: {recipe} cannot be read ({str(error).splitlines()[0]}). Name another run."
        ) from None
    section = plain.get("backbone", {}) if isinstance(plain, dict) else {}
    if section.get("kind") != "transformer" or not isinstance(section.get("described"), dict):
        raise RequestError(
            f"backbone.weights: the run in {source} has backbone.kind {section.get('kind')!r}, and this "
            "recipe asks for 'transformer'. Name another run."
        )
    return {**section["described"], "source": source}


def _architecture(raw: dict[str, Any]) -> dict[str, Any]:
    """The config of the audio encoder, without what training alone uses: bending is the recipe's own work."""
    config = dict(raw)
    if raw.get("model_type") == "clap":
        config = dict(raw.get("audio_config") or {})
        config.setdefault("projection_dim", raw.get("projection_dim", 512))
    kept = {key: value for key, value in config.items() if key not in _NOT_ARCHITECTURE}
    for key, value in (("apply_spec_augment", False), ("layerdrop", 0.0)):
        if key in kept or raw.get("model_type") in ("wav2vec2", "hubert", "wavlm"):
            kept[key] = value
    return kept


def _json(path: Path, source: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RequestError(f"backbone.weights: {source}: {path.name} is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise RequestError(f"backbone.weights: {source}: {path.name} holds no settings.")
    return found


def _fetched(name: str, patterns: list[str]) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise RequestError(
            f"backbone.weights: {HUB}{name} needs the package huggingface_hub, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:  # the hub's errors and the network's have no common root
        raise RequestError(
            f"backbone.weights: could not fetch {name!r} from the Hub ({error}). "
            "Check the name and the network, or download it and give the folder's path."
        ) from None
