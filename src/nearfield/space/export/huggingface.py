"""A run as a folder in the layout of the Hugging Face Hub, which `Run.load` opens like any run.

config.json          what goes in, what comes out, and the recipe
model.safetensors    the embedder
README.md            the model card
recipe.yaml, environment.json, result.json    what a run folder has, without what is the author's own
head.safetensors     the tagging head, where there is one
canary.safetensors   made-up sounds and their vectors, heard again wherever the run is used
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.core.files import replacing, write_json, write_text
from nearfield.runs.canary import Canary, made_up
from nearfield.runs.events import Note, Stage, Watcher, nobody
from nearfield.runs.recipe import Recipe
from nearfield.runs.run import Run
from nearfield.space.export.card import Facts, model_card
from nearfield.space.export.licences import data_licence

FILES = (
    "config.json",
    "model.safetensors",
    "README.md",
    "recipe.yaml",
    "environment.json",
    "result.json",
    "head.safetensors",
    "canary.safetensors",
)
"""All that a published run may have; nothing else is written, pushed or fetched."""


@dataclass(frozen=True)
class HuggingFaceFolder:
    """What was written."""

    path: Path
    licence: str | None
    """Identifier in the model card; None where one must still be chosen."""


def export_huggingface(
    run: Run, folder: Path, watch: Watcher = nobody, licence: str | None = None
) -> HuggingFaceFolder:
    """Writes the folder; its recipe comes last, and marks it as whole.

    `licence`: identifier for these weights, as "cc-by-4.0"; where none is given, that of the data's own card.
    Raises RequestError where the folder holds something else.
    """
    _check_free(folder, run)
    identifier, said = data_licence(run.folder.environment()["data"].get("path", ""))
    begun_from = run.folder.environment().get("weights_from", {}).get("backbone", {})
    facts = Facts(
        name=folder.resolve().name,
        licence=licence or identifier,
        data_licence=said or identifier,
        weights_licence=begun_from.get("licence"),
    )
    watch(Stage("export", 0, 3))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "model.safetensors") as temporary:
        shutil.copyfile(run.folder.weights, temporary)
    head = run.folder.path / "head.safetensors"
    if head.is_file():
        with replacing(folder / head.name) as temporary:
            shutil.copyfile(head, temporary)
    _publish_canary(run, folder)
    watch(Stage("export", 1, 3))
    write_json(folder / "config.json", config(run))
    write_json(folder / "environment.json", without_places(run.folder.environment()))
    if (run.folder.path / "result.json").is_file():
        write_json(folder / "result.json", run.result)
    write_text(folder / "README.md", model_card(run, facts))
    watch(Stage("export", 2, 3))
    write_text(folder / "recipe.yaml", published_recipe(run.recipe).text())
    watch(Stage("export", 3, 3))
    if facts.licence is None:
        watch(Note("no licence is known: say which in README.md before you publish (license: ...)", True))
    return HuggingFaceFolder(folder, facts.licence)


def _publish_canary(run: Run, folder: Path) -> None:
    """In place of the training's own sounds, which may be nobody's to give away, made-up ones."""
    own, place = Canary.read(run.folder), folder / run.folder.canary.name
    place.unlink(missing_ok=True)
    if own is not None:
        made_up(own, run.embedder, run.recipe).write(place)


def config(run: Run) -> dict[str, Any]:
    """config.json: what a program must know to feed the network, and the recipe."""
    recipe = run.recipe
    channels = run.folder.environment()["data"]["channels"]
    sound = {"shape": ["batch", channels, "samples"], "sample_rate": recipe.data.sample_rate}
    picture = {"shape": ["batch", channels, recipe.data.image_size, recipe.data.image_size]}
    is_picture = recipe.feature.kind == "pixels"
    return {
        "library_name": "nearfield",
        "model_type": "nearfield",
        "input": picture if is_picture else sound | {"clip_seconds": recipe.data.clip_seconds},
        "output": {"shape": ["batch", run.embedder.size], "normalised": recipe.embedding.normalise},
        "weights": sum(weight.numel() for weight in run.embedder.parameters()),
        "recipe": published_recipe(recipe).plain(),
    }


def published_recipe(recipe: Recipe) -> Recipe:
    """The same recipe with files and folders (weights to begin from, a tagger) by their last names alone."""
    return Recipe.of(_by_last_name(recipe.plain()))


def _by_last_name(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _by_last_name(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_by_last_name(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def without_places(environment: dict[str, Any]) -> dict[str, Any]:
    """The same without paths and the machine's name: they are the author's own."""
    data = {**environment["data"]}
    name = data.get("name") or "unnamed"
    data |= {key: name for key in ("given", "path") if key in data}
    if "machine" not in environment:
        return {**environment, "data": data}
    machine = {key: value for key, value in environment["machine"].items() if key != "platform"}
    return {**environment, "data": data, "machine": machine}


def _check_free(folder: Path, run: Run) -> None:
    if folder.resolve() == run.folder.path.resolve():
        raise RequestError(f"{folder} is the run itself. Choose another folder with --out.")
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RequestError(f"{folder} is a file; the export is a folder. Choose another --out.")
    strangers = sorted(path.name for path in folder.iterdir() if path.name not in (*FILES, ".gitattributes"))
    strangers = [name for name in strangers if name != ".git"]
    if strangers and not _is_ours(folder):
        raise RequestError(
            f"{folder} holds other things ({', '.join(strangers[:3])}). Choose an empty folder with --out."
        )


def _is_ours(folder: Path) -> bool:
    """Whether an earlier export lies there, which this one replaces."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("model_type") == "nearfield"
