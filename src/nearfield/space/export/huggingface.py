"""Export to the layout of the Hugging Face Hub: weights, model card, license; push and pull."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nearfield.core.errors import RequestError, WorkError
from nearfield.core.files import replacing, write_json, write_text
from nearfield.metrics.registry import BASELINE_NAMES, HEADLINES
from nearfield.models.pretrained import stated_licence
from nearfield.training.canary import Canary, made_up
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.recipe import Recipe
from nearfield.training.run import Run

# The license of the data of a run, as stated in the folder of the collection.


def data_licence(given: str) -> tuple[str | None, str | None]:
    """Identifier and sentence of the license, from `stated_licence`; None if there is none.

    `given`: the collection as a run records it: a folder, a table, or "NAME:PATH".
    """
    for path in (Path(given), Path(given.partition(":")[2])):
        if given and path.is_dir():
            return stated_licence(path)
        if given and path.is_file():
            return stated_licence(path.parent)
    return None, None


# The model card: training data, metrics compared with baselines, and limits.
#
# Front matter and `model-index` follow the Hugging Face Hub; all metrics are from the run's result.json.

_MOST_NAMES = 60
"""Largest number of labels or tags that are listed."""


@dataclass(frozen=True)
class CardFacts:
    """Contents of the card that are not in the run folder."""

    name: str
    """Name of the model, used as the title."""
    licence: str | None
    """Identifier of the license of the weights; None if none has been chosen."""
    data_licence: str | None
    """The license that the files of the data state."""
    weights_licence: str | None = None
    """License of the published weights that training started from."""


def model_card(run: Run, facts: CardFacts) -> str:
    """README.md of a published run."""
    result = run.result if (run.folder.path / "result.json").is_file() else None
    matter = yaml.safe_dump(_front_matter(run, facts, result), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{matter}---\n\n# {facts.name}\n",
        _what_it_is(run),
        _how_to_use(run),
        _data(run, facts),
        _figures(result),
        _limits(run, result),
        _again(run),
    ]
    return "\n".join(parts)


def _front_matter(run: Run, facts: CardFacts, result: dict[str, Any] | None) -> dict[str, Any]:
    modality = run.recipe.modality
    matter: dict[str, Any] = {
        "library_name": "nearfield",
        **({"license": facts.licence} if facts.licence else {}),
        "pipeline_tag": "feature-extraction",
        "tags": [modality, "embeddings", "metric-learning", "similarity-search", run.recipe.loss.kind],
    }
    if result is not None:
        matter["model-index"] = [_model_index(facts.name, modality, result)]
    return matter


def _model_index(name: str, modality: str, result: dict[str, Any]) -> dict[str, Any]:
    metrics = [
        {"type": metric.rpartition("/")[2], "name": metric, "value": round(result["metrics"][metric], 6)}
        for metric in HEADLINES
        if metric in result["metrics"]
    ]
    data = result["data"]["name"] or "unnamed"
    dataset = {"name": data, "type": data, "split": _judged(result).removesuffix(" clips")}
    task = {"type": "feature-extraction", "name": f"{modality} embedding"}
    return {"name": name, "results": [{"task": task, "dataset": dataset, "metrics": metrics}]}


def _what_it_is(run: Run) -> str:
    recipe, data = run.recipe, run.recipe.data
    given = (
        f"{data.image_size} x {data.image_size} pixels"
        if recipe.modality == "image"
        else f"{data.clip_seconds:g} s of sound at {data.sample_rate} Hz, channels: {data.channels}"
    )
    length = "of length 1" if recipe.embedding.normalize else "of any length"
    weights = sum(weight.numel() for weight in run.embedder.parameters())
    return (
        "An embedding model trained with Nearfield. Small distances mean similar clips; the training pairs "
        f"come from the relation `{recipe.relation.kind}`.\n\n"
        f"| | |\n|---|---|\n| reads | {given} |\n| feature | `{recipe.feature.kind}` |\n"
        f"| backbone | `{recipe.backbone.kind}`, {weights:,} weights in all |\n"
        f"| returns | vectors of {run.embedder.size} numbers, {length} |\n| loss | `{recipe.loss.kind}` |\n"
    )


def _how_to_use(run: Run) -> str:
    kind = "image.png" if run.recipe.modality == "image" else "sound.wav"
    return (
        "## How to use\n\n```python\nfrom nearfield import Run\n\n"
        'run = Run.load("path/of/this/folder")\n'
        f'vectors = run.encode(["{kind}"])  # (1, {run.embedder.size}) float32\n```\n\n'
        'From the Hub: `from nearfield.space.export.huggingface import pull; run = pull("OWNER/NAME")`. '
        "A longer sound is cut into windows, and its vector is the mean of their vectors. Compare vectors by "
        "distance or cosine.\n"
    )


def _data(run: Run, facts: CardFacts) -> str:
    data = run.folder.environment()["data"]
    split = data.get("split", {})
    rows = [("collection", data.get("name") or "unnamed"), ("clips", data.get("clips", "not known"))]
    if split:
        rows.append(("split", ", ".join(f"{side} {count}" for side, count in split.items())))
    if data.get("split_from"):
        rows.append(("split from", data["split_from"]))
    rows += [("fingerprint", f"`{data['fingerprint']}`")] if data.get("fingerprint") else []
    rows.append(("licence of the data", facts.data_licence or "not stated with the data: ask its authors"))
    if facts.weights_licence:
        rows.append(("licence of the weights that training started from", facts.weights_licence))
    rows.append(
        ("licence of these weights", facts.licence or "none chosen yet: choose one before publishing")
    )
    table = "\n".join(f"| {name} | {str(value).replace('|', '/')} |" for name, value in rows)
    return f"## Data\n\n| | |\n|---|---|\n{table}\n"


def _figures(result: dict[str, Any] | None) -> str:
    if result is None:
        return "## Metrics\n\nThis run has not been evaluated. Evaluate it with `nearfield evaluate RUN`.\n"
    metrics, intervals = result["metrics"], result["intervals"]
    shown = [name for name in HEADLINES if name in metrics]
    beside = [
        name for name in BASELINE_NAMES if any(f"baseline/{name}/{metric}" in metrics for metric in shown)
    ]
    head = ["measure", "this space", "95 % interval", *(BASELINE_NAMES[name] for name in beside)]
    rows = [
        [
            f"`{name}`",
            f"{metrics[name]:.3f}",
            _interval(intervals.get(name)),
            *(_number(metrics.get(f"baseline/{baseline}/{name}")) for baseline in beside),
        ]
        for name in shown
    ]
    lines = [" | ".join(row) for row in (head, ["---"] * len(head), *rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    return (
        f"## Metrics\n\nOn the {_judged(result)} of {result['data']['name']}. Intervals account for the "
        f"finite set of clips, not for repeated training. The baselines are untrained.\n\n{table}\n"
    )


def _judged(result: dict[str, Any]) -> str:
    """ "test clips", or "clips of fold 1 of 3 of train and val"."""
    return str(result["data"].get("judged", f"{result['split']} clips"))


def _interval(ends: list[float] | None) -> str:
    return f"{ends[0]:.3f} to {ends[1]:.3f}" if ends else "-"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _limits(run: Run, result: dict[str, Any] | None) -> str:
    data = run.recipe.data
    limits = [
        "It was evaluated on other clips of the collection that it was trained on, not under other recording "
        "conditions. Evaluate it on your own clips (`nearfield evaluate RUN --data DATA`) before you rely "
        "on it.",
        "Distances rank clips; they are not probabilities.",
    ]
    if run.recipe.modality == "audio":
        limits.insert(
            1,
            f"Its input has no frequencies above {data.sample_rate / 2:g} Hz and windows of "
            f"{data.clip_seconds:g} s; shorter sounds are padded with silence.",
        )
    names = _names(result)
    if names:
        listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        taught = bool(run.recipe.relation.gives)
        verb = "trained" if taught else "evaluated"
        limits.append(f"It was {verb} with these labels and tags only: {listed}.")
    limits += list(result["notes"]) if result else []
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in limits) + "\n"


def _names(result: dict[str, Any] | None) -> list[str]:
    rows = [*result["per_class"], *result["per_tag"]] if result else []
    return [row["name"] for row in rows]


def _again(run: Run) -> str:
    environment = run.folder.environment()
    versions = environment.get("versions", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        "## Reproduce it\n\n`recipe.yaml` is the complete recipe:\n\n```\n"
        f"nearfield train recipe.yaml --data DATA --out RUN --seed {environment.get('seed', 0)}\n```\n\n"
        f"Versions: {shown or 'not known'}.\n"
    )


# A run as a folder in the layout of the Hugging Face Hub, which `Run.load` opens like any run.
#
# config.json          input, output and recipe
# model.safetensors    the embedding model
# README.md            the model card
# recipe.yaml, environment.json, result.json    as in a run folder, without paths and machine names
# head.safetensors     the tagging head, if there is one
# canary.safetensors   synthetic sounds and their vectors, which are checked wherever the run is used

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
"""All files that a published run may have; no others are written, pushed or fetched."""


@dataclass(frozen=True)
class HuggingFaceFolder:
    """The result of the export to the Hugging Face layout."""

    path: Path
    licence: str | None
    """Identifier in the model card; None if one must still be chosen."""


def export_huggingface(
    run: Run, folder: Path, callback: Callback = ignore, licence: str | None = None
) -> HuggingFaceFolder:
    """Writes the folder; the recipe is written last and marks it as complete.

    `licence`: identifier for these weights, such as "cc-by-4.0"; by default that of the data. Raises
    RequestError if the folder holds other files.
    """
    _check_free(folder, run)
    identifier, said = data_licence(run.folder.environment()["data"].get("path", ""))
    begun_from = run.folder.environment().get("weights_from", {}).get("backbone", {})
    facts = CardFacts(
        name=folder.resolve().name,
        licence=licence or identifier,
        data_licence=said or identifier,
        weights_licence=begun_from.get("licence"),
    )
    callback(Stage("export", 0, 3))
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "model.safetensors") as temporary:
        shutil.copyfile(run.folder.weights, temporary)
    head = run.folder.path / "head.safetensors"
    if head.is_file():
        with replacing(folder / head.name) as temporary:
            shutil.copyfile(head, temporary)
    _publish_canary(run, folder)
    callback(Stage("export", 1, 3))
    write_json(folder / "config.json", config(run))
    write_json(folder / "environment.json", without_places(run.folder.environment()))
    if (run.folder.path / "result.json").is_file():
        write_json(folder / "result.json", run.result)
    write_text(folder / "README.md", model_card(run, facts))
    callback(Stage("export", 2, 3))
    write_text(folder / "recipe.yaml", published_recipe(run.recipe).text())
    callback(Stage("export", 3, 3))
    if facts.licence is None:
        callback(Note("no licence is known: state one in README.md before you publish (license: ...)", True))
    return HuggingFaceFolder(folder, facts.licence)


def _publish_canary(run: Run, folder: Path) -> None:
    """Writes synthetic sounds in place of training sounds, which may not be free to publish."""
    own, place = Canary.read(run.folder), folder / run.folder.canary.name
    place.unlink(missing_ok=True)
    if own is not None:
        made_up(own, run.embedder, run.recipe).write(place)


def config(run: Run) -> dict[str, Any]:
    """The contents of config.json: the shapes of input and output, and the recipe."""
    recipe = run.recipe
    channels = run.folder.environment()["data"]["channels"]
    sound = {"shape": ["batch", channels, "samples"], "sample_rate": recipe.data.sample_rate}
    picture = {"shape": ["batch", channels, recipe.data.image_size, recipe.data.image_size]}
    is_image = recipe.modality == "image"
    return {
        "library_name": "nearfield",
        "model_type": "nearfield",
        "input": picture if is_image else sound | {"clip_seconds": recipe.data.clip_seconds},
        "output": {"shape": ["batch", run.embedder.size], "normalized": recipe.embedding.normalize},
        "weights": sum(weight.numel() for weight in run.embedder.parameters()),
        "recipe": published_recipe(recipe).plain(),
    }


def published_recipe(recipe: Recipe) -> Recipe:
    """The recipe with the paths of files and folders (initial weights, a tagger) reduced to their names."""
    return Recipe.of(_by_last_name(recipe.plain()))


def _by_last_name(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _by_last_name(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_by_last_name(inner) for inner in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def without_places(environment: dict[str, Any]) -> dict[str, Any]:
    """The environment without paths and the name of the machine, which are private."""
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
        raise RequestError(f"{folder} is a file; the export needs a folder. Choose another --out.")
    others = sorted(path.name for path in folder.iterdir() if path.name not in (*FILES, ".gitattributes"))
    others = [name for name in others if name != ".git"]
    if others and not _is_ours(folder):
        raise RequestError(
            f"{folder} holds other files ({', '.join(others[:3])}). Choose an empty folder with --out."
        )


def _is_ours(folder: Path) -> bool:
    """Whether the folder holds an earlier export, which is replaced."""
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("model_type") == "nearfield"


# Upload to and download from the Hugging Face Hub, with the extra `hub`. Nothing else uses the network.


def push(folder: str | Path, name: str, *, private: bool = True, endpoint: str | None = None) -> str:
    """Uploads an exported folder to the repository OWNER/NAME, created if needed; returns the commit URL.

    Credentials are those of `hf auth login` or HF_TOKEN. `endpoint`: another Hub than huggingface.co. Raises
    RequestError if the folder is not an export or the extra is missing, WorkError if the upload fails.
    """
    path = Path(folder).expanduser()
    if not all((path / file).is_file() for file in ("config.json", "model.safetensors", "recipe.yaml")):
        raise RequestError(
            f"{folder} is not an exported run. Make one: nearfield export RUN --to huggingface"
        )
    api = _hub().HfApi(endpoint=endpoint)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=path,
            allow_patterns=list(FILES),
            commit_message="Model trained with Nearfield",
        )
    except Exception as error:  # the hub's errors and the network's have no common root
        raise WorkError(
            f"The upload of {name!r} failed: {error}. Check the name (OWNER/NAME), the network, and "
            "`hf auth whoami`."
        ) from None
    return str(done.commit_url)


def pull(
    name: str,
    *,
    revision: str | None = None,
    cache: str | Path | None = None,
    offline: bool = False,
    endpoint: str | None = None,
) -> Run:
    """Loads a run from the repository OWNER/NAME, cached by the Hub (or in `cache`).

    With `offline` only the cache is used. Only the files of an exported run are downloaded: weights as
    safetensors, settings as text, no code. Raises RequestError if there is none.
    """
    hub = _hub()
    try:
        path = hub.snapshot_download(
            name,
            revision=revision,
            cache_dir=cache,
            local_files_only=offline,
            allow_patterns=list(FILES),
            endpoint=endpoint,
        )
    except Exception as error:  # as above
        raise RequestError(
            f"Could not fetch {name!r} from the Hub: {error}. Check the name (OWNER/NAME) and the network, "
            "or give the path of an exported folder to Run.load."
        ) from None
    return Run.load(path)


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError:
        raise RequestError(
            "The Hugging Face Hub needs the package huggingface_hub, which is not installed. "
            "Run: pip install 'nearfield[hub]'"
        ) from None
    return huggingface_hub
