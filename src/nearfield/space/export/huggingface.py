"""Export to the Hugging Face layout: weights, model card, licence; push and pull."""

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

# Under which licence a run's data stands: what the collection's folder says.


def data_licence(given: str) -> tuple[str | None, str | None]:
    """Identifier and sentence of the licence, as `stated_licence` finds them; None where there is none.

    `given`: the collection as a run names it, a folder, a table, or "NAME:PATH".
    """
    for path in (Path(given), Path(given.partition(":")[2])):
        if given and path.is_dir():
            return stated_licence(path)
        if given and path.is_file():
            return stated_licence(path.parent)
    return None, None


# The model card: what a space was learnt from, what it is worth beside plain baselines, and where it ends.
#
# Front matter and `model-index` as the Hugging Face Hub reads them; every figure is from the run's
# result.json.

_MOST_NAMES = 60
"""Labels or tags that are listed."""


@dataclass(frozen=True)
class CardFacts:
    """What the card says that is not in the run folder."""

    name: str
    """Of the model, as the title has it."""
    licence: str | None
    """Identifier of the weights' licence; None where nobody has chosen one."""
    data_licence: str | None
    """What the data's own files say of its licence."""
    weights_licence: str | None = None
    """Licence of published weights that training began from."""


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
        "An embedding space learnt with Nearfield: in it near means alike, and alike means the relation "
        f"`{recipe.relation.kind}`.\n\n"
        f"| | |\n|---|---|\n| reads | {given} |\n| feature | `{recipe.feature.kind}` |\n"
        f"| backbone | `{recipe.backbone.kind}`, {weights:,} weights in all |\n"
        f"| gives | vectors of {run.embedder.size} numbers, {length} |\n| loss | `{recipe.loss.kind}` |\n"
    )


def _how_to_use(run: Run) -> str:
    kind = "picture.png" if run.recipe.modality == "image" else "sound.wav"
    return (
        "## How to use\n\n```python\nfrom nearfield import Run\n\n"
        'run = Run.load("path/of/this/folder")\n'
        f'vectors = run.encode(["{kind}"])  # (1, {run.embedder.size}) float32\n```\n\n'
        'From the Hub: `from nearfield.space.export.huggingface import pull; run = pull("OWNER/NAME")`. '
        "Longer sounds are cut into windows whose vectors are averaged; compare vectors by their distance or "
        "cosine.\n"
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
    rows.append(("licence of the data", facts.data_licence or "not stated beside the data: ask its authors"))
    if facts.weights_licence:
        rows.append(("licence of the weights that training began from", facts.weights_licence))
    rows.append(
        ("licence of these weights", facts.licence or "none chosen yet: choose one before publishing")
    )
    table = "\n".join(f"| {name} | {str(value).replace('|', '/')} |" for name, value in rows)
    return f"## Data\n\n| | |\n|---|---|\n{table}\n"


def _figures(result: dict[str, Any] | None) -> str:
    if result is None:
        return "## Figures\n\nThis space was never measured: `nearfield evaluate RUN` does it.\n"
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
        f"## Figures\n\nOn the {_judged(result)} of {result['data']['name']}; intervals are for the "
        f"finite set of clips, one training. Beside them spaces that took no training.\n\n{table}\n"
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
    said = [
        "It was judged on other clips of the collection it was trained on; other conditions of recording "
        "were not tried: measure it on your own clips (`nearfield evaluate RUN --data DATA`) before you rely "
        "on it.",
        "Distances say what is nearer; they are no probabilities.",
    ]
    if run.recipe.modality == "audio":
        said.insert(
            1,
            f"It hears nothing above {data.sample_rate / 2:g} Hz, and {data.clip_seconds:g} s at a time; "
            "sounds shorter than that are filled up with silence.",
        )
    names = _names(result)
    if names:
        listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        taught = bool(run.recipe.relation.gives)
        said.append(f"It was {'taught' if taught else 'judged'} by these labels and tags only: {listed}.")
    said += list(result["notes"]) if result else []
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in said) + "\n"


def _names(result: dict[str, Any] | None) -> list[str]:
    rows = [*result["per_class"], *result["per_tag"]] if result else []
    return [row["name"] for row in rows]


def _again(run: Run) -> str:
    environment = run.folder.environment()
    versions = environment.get("versions", {})
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return (
        "## To make it again\n\n`recipe.yaml` is the whole recipe, resolved:\n\n```\n"
        f"nearfield train recipe.yaml --data DATA --out RUN --seed {environment.get('seed', 0)}\n```\n\n"
        f"Made with: {shown or 'not known'}.\n"
    )


# A run as a folder in the layout of the Hugging Face Hub, which `Run.load` opens like any run.
#
# config.json          what goes in, what comes out, and the recipe
# model.safetensors    the embedder
# README.md            the model card
# recipe.yaml, environment.json, result.json    what a run folder has, without what is the author's own
# head.safetensors     the tagging head, where there is one
# canary.safetensors   made-up sounds and their vectors, heard again wherever the run is used

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
    run: Run, folder: Path, callback: Callback = ignore, licence: str | None = None
) -> HuggingFaceFolder:
    """Writes the folder; its recipe comes last, and marks it as whole.

    `licence`: identifier for these weights, as "cc-by-4.0"; where none is given, that of the data's own card.
    Raises RequestError where the folder holds something else.
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
        callback(Note("no licence is known: say which in README.md before you publish (license: ...)", True))
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


# To and from the Hugging Face Hub, by the extra `hub`; nothing goes out unless one of the two is called.


def push(folder: str | Path, name: str, *, private: bool = True, endpoint: str | None = None) -> str:
    """Uploads an exported folder to the repository OWNER/NAME, made if missing; gives the commit's address.

    Credentials are those of `hf auth login` or HF_TOKEN. `endpoint`: another Hub than huggingface.co. Raises
    RequestError where the folder is no export or the extra is missing, WorkError where the Hub refuses.
    """
    path = Path(folder).expanduser()
    if not all((path / file).is_file() for file in ("config.json", "model.safetensors", "recipe.yaml")):
        raise RequestError(f"{folder} is no exported run. Make one: nearfield export RUN --to huggingface")
    api = _hub().HfApi(endpoint=endpoint)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        done = api.upload_folder(
            repo_id=name,
            folder_path=path,
            allow_patterns=list(FILES),
            commit_message="Space learnt with Nearfield",
        )
    except Exception as error:  # the hub's errors and the network's have no common root
        raise WorkError(
            f"The Hub did not take {name!r}: {error}. Check the name (OWNER/NAME), the network, and "
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
    """A run from the repository OWNER/NAME, kept in the Hub's cache (or `cache`); `offline` asks no network.

    Only the files of an exported run are fetched: weights as safetensors, settings as text, no code. Raises
    RequestError where there is none.
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
