"""The model card: what a space was learnt from, what it is worth beside plain baselines, and where it ends.

Front matter and `model-index` as the Hugging Face Hub reads them; every figure is from the run's result.json.
"""

from dataclasses import dataclass
from typing import Any

import yaml

from nearfield.evaluation.result import BASELINE_NAMES
from nearfield.runs.judge import HEADLINES
from nearfield.runs.run import Run

_MOST_NAMES = 60
"""Labels or tags that are listed."""


@dataclass(frozen=True)
class Facts:
    """What the card says that is not in the run folder."""

    name: str
    """Of the model, as the title has it."""
    licence: str | None
    """Identifier of the weights' licence; None where nobody has chosen one."""
    data_licence: str | None
    """What the data's own files say of its licence."""
    weights_licence: str | None = None
    """Licence of published weights that training began from."""


def model_card(run: Run, facts: Facts) -> str:
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


def _front_matter(run: Run, facts: Facts, result: dict[str, Any] | None) -> dict[str, Any]:
    modality = "image" if run.recipe.feature.kind == "pixels" else "audio"
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
        if recipe.feature.kind == "pixels"
        else f"{data.clip_seconds:g} s of sound at {data.sample_rate} Hz, channels: {data.channels}"
    )
    length = "of length 1" if recipe.embedding.normalise else "of any length"
    weights = sum(weight.numel() for weight in run.embedder.parameters())
    return (
        "An embedding space learnt with Nearfield: in it near means alike, and alike means the relation "
        f"`{recipe.relation.kind}`.\n\n"
        f"| | |\n|---|---|\n| reads | {given} |\n| feature | `{recipe.feature.kind}` |\n"
        f"| backbone | `{recipe.backbone.kind}`, {weights:,} weights in all |\n"
        f"| gives | vectors of {run.embedder.size} numbers, {length} |\n| loss | `{recipe.loss.kind}` |\n"
    )


def _how_to_use(run: Run) -> str:
    kind = "picture.png" if run.recipe.feature.kind == "pixels" else "sound.wav"
    return (
        "## How to use\n\n```python\nfrom nearfield import Run\n\n"
        'run = Run.load("path/of/this/folder")\n'
        f'vectors = run.encode(["{kind}"])  # (1, {run.embedder.size}) float32\n```\n\n'
        'From the Hub: `from nearfield.space.export.hub import pull; run = pull("OWNER/NAME")`. '
        "Longer sounds are cut into windows whose vectors are averaged; compare vectors by their distance or "
        "cosine.\n"
    )


def _data(run: Run, facts: Facts) -> str:
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
    if run.recipe.feature.kind != "pixels":
        said.insert(
            1,
            f"It hears nothing above {data.sample_rate / 2:g} Hz, and {data.clip_seconds:g} s at a time; "
            "sounds shorter than that are filled up with silence.",
        )
    names = _names(result)
    if names:
        listed = ", ".join(names[:_MOST_NAMES]) + (", ..." if len(names) > _MOST_NAMES else "")
        taught = run.recipe.relation.kind in ("labels", "tags")
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
