"""Before a training: data are opened, what cannot work is refused, the environment is noted."""

import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode

import torch

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import digest
from nearfield.core.machine import source, total_memory, usable_cores
from nearfield.core.types import ClipMetadata
from nearfield.data.collection import Collection
from nearfield.data.patches import join_patch, split_patch
from nearfield.learning.checks import check as check_combination
from nearfield.learning.distributed import world
from nearfield.learning.losses.margins import check_margin
from nearfield.learning.losses.settings import pair_kinds
from nearfield.models.embedder import EmbeddingModel
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.recipe import Recipe, check_copies, check_learning, check_units
from nearfield.training.run_folder import RunFolder, note_if_own
from nearfield.training.tagging import read_predictions
from nearfield.training.validation import keeps_val, rests_on_validation


@dataclass(frozen=True)
class Request:
    """What a training is asked to do."""

    recipe: Recipe
    data: str
    out: Path
    seed: int = 0
    device: str = "auto"
    resume: bool = False
    allow_leak: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out).expanduser())


def with_predictions(recipe: Recipe, collection: Collection, metadata: ClipMetadata) -> ClipMetadata:
    """The facts with what a tagger says of these clips, where the recipe's sampler asks one."""
    tagger = recipe.sampler.asked_run
    return (
        replace(metadata, predictions=read_predictions(tagger, collection, metadata)) if tagger else metadata
    )


def open_collection(
    data: str, recipe: Recipe, allow_leak: bool, callback: Callback = ignore, folder_labels: bool = True
) -> Collection:
    """The collection that a recipe's columns make of `data`.

    A split that has to be made is the same for every seed of training: runs can be compared clip by clip.
    `folder_labels`: whether names of folders are labels where the recipe does not say.
    """
    progress: Callable[[int, int], None] = lambda done, total: callback(Stage("look", done, total))  # noqa: E731
    columns = recipe.data.columns.model_copy(update={"folder_labels": folder_labels})
    opened = Collection.load(data, columns, allow_leak, progress=progress)
    opened = opened.only(recipe.data.only) if recipe.data.only else opened
    if recipe.data.patch:
        opened = opened.with_patch(recipe.data.patch, recipe.data.patch_sides)
    return opened.with_val_in_train() if recipe.data.val_trains else opened


def open_to_train(data: str, recipe: Recipe, allow_leak: bool, callback: Callback = ignore) -> Collection:
    """`open_collection`, as the one fold of a cross-validation where the recipe asks for it.

    Folds are dealt anew by whole groups: a group that sat on two sides no longer does, and is no fault.
    """
    fold = recipe.data.fold
    opened = open_collection(data, recipe, allow_leak or fold is not None, callback, folders_tell(recipe))
    return opened.with_fold(fold, validates=keeps_val(recipe)) if fold else opened


def is_own(data: str, folder: RunFolder) -> bool:
    """Whether `data` are what a run was trained on, however they are named, or that without its patch."""
    own = folder.environment()["data"].get("path") or ""
    return absolute(data) in (own, split_patch(own)[0])


def note_own(data: str, collection: Collection, folder: RunFolder, effect: str, callback: Callback) -> None:
    """`note_if_own` where `data` are what a run was trained on; a word where they are that without its patch:
    they are then other clips, and nothing has changed."""
    if not is_own(data, folder):
        return
    own = folder.environment()["data"]["path"]
    place, patch = split_patch(own)
    if absolute(data) == own:
        note_if_own(collection, folder, effect, callback)
    else:
        said = f"the run was trained on {place} with the patch {patch}, which is not given here: add ?patch="
        callback(Note(f"{said} to the data to have its decisions.", is_warning=True))


def folders_tell(recipe: Recipe) -> bool:
    """Whether names of folders are labels: those of recordings that are learnt from by time are places."""
    return recipe.relation.folders_are_labels


def open_trained_on(
    data: str | None, trained_on: str, recipe: Recipe, allow_leak: bool, callback: Callback = ignore
) -> Collection:
    """`open_collection` of `data`, or, where that is None, of what the run was trained on.

    Raises DataError, with the option that helps, where the latter has moved.
    """
    if data and absolute(data) != trained_on:
        return open_collection(data, recipe, allow_leak, callback)
    with moved(trained_on, "The run was trained on these; if they have moved: --data NEW_PLACE"):
        return open_collection(trained_on, recipe, allow_leak, callback, folders_tell(recipe))


@contextmanager
def moved(data: str, cure: str) -> Iterator[None]:
    """Adds `cure` to a DataError where the place that `data` name is no longer there."""
    try:
        yield
    except DataError as error:
        if _is_there(data):
            raise
        raise DataError(f"{error} {cure}") from None


def _is_there(data: str) -> bool:
    """Whether the place that some data name, PATH or LAYOUT:PATH?OPTIONS, is there."""
    place = split_patch(data)[0]
    layout, _, rest = place.partition(":")
    return layout == "synthetic" or any(
        Path(name).exists() for name in (place, place.partition("?")[0], rest.partition("?")[0]) if name
    )


def check(recipe: Recipe, callback: Callback = ignore) -> None:
    """Refuses settings that each are right and together cannot work; says what is allowed but odd."""
    normalized = recipe.embedding.normalize
    check_combination(recipe.relation, recipe.miner, recipe.loss, normalized, recipe.sampler)
    recipe.backbone.check_reading(recipe.feature.kind, recipe.data.sample_rate)
    warning = check_margin(recipe.loss, recipe.embedding.normalize)
    if warning:
        callback(Note(warning, is_warning=True))
    if recipe.train.keep == "best" and not recipe.train.validate_every:
        raise RequestError(
            "train.keep: 'best' needs validations to choose by. Set train.validate_every, or train.keep=last."
        )
    resting = rests_on_validation(recipe)
    if recipe.data.val_trains and resting:
        raise RequestError(
            f"data.val_trains: the val clips cannot both train and validate, and {resting} goes by the "
            "validations. Set train.keep=last and a schedule other than plateau, or data.val_trains=false."
        )
    by_label = [each.kind for each in recipe.augment if each.needs_labels]
    if by_label and "labels" not in recipe.relation.gives:
        raise RequestError(
            f"augment: {by_label[0]!r} mixes clips of one label, which the relation {recipe.relation.kind!r} "
            "must not know. Take 'mix', which asks for no label, or set relation.kind=labels."
        )
    check_learning(recipe)
    check_units(recipe)
    check_copies(recipe)
    if "tags" in recipe.loss.needs and (recipe.embedding.read == "pooled" or recipe.embedding.whiten):
        raise RequestError(
            f"embedding: {recipe.loss.kind} tells tags from the vectors as they were in training, and read: "
            "pooled or whiten would give others afterwards. Leave both out, or take a loss over pairs: "
            f"{', '.join(pair_kinds())}."
        )
    if recipe.schedule.plateau() is not None and not recipe.train.validate_every:
        raise RequestError(
            f"schedule.kind: {recipe.schedule.kind!r} needs validations to follow. "
            "Set train.validate_every, or another schedule."
        )


def check_teaching(recipe: Recipe, collection: Collection) -> None:
    """Refuses a relation for which the training clips hold nothing to learn from."""
    rows = collection.rows("train")
    if not len(rows):
        raise DataError(
            f"{collection.name}: no clip stands on the train side. "
            "Put train into its split column, or leave the column out: then a split is made."
        )
    table = collection.subset(rows).table
    counted = Counter(label for label in table["label"] if label)
    labels, tags = sorted(counted), {tag for each in table["tags"] for tag in each}
    others = [name for name, found in (("labels", labels), ("tags", tags)) if found] + ["time", "views"]
    others = [name for name in others if name != recipe.relation.kind]
    advice = f"Set relation.kind to one of: {', '.join(others)}; or name the column (data.label, data.tags)."
    if "labels" in recipe.relation.gives and len(labels) < 2:
        held = f"all the label {labels[0]!r}" if labels else "no label"
        raise DataError(
            f"{collection.name}: the clips to train on have {held}; two labels at least. {advice}"
        )
    if "labels" in recipe.relation.gives and max(counted.values()) == 1:
        raise DataError(
            f"{collection.name}: each of the {len(labels)} labels stands at one clip to train on, so that no "
            f"two clips are alike. {advice}"
        )
    if "tags" in recipe.relation.gives and not tags:
        raise DataError(f"{collection.name}: the clips to train on have no tags. {advice}")


def weights_from(embedder: EmbeddingModel) -> dict[str, Any]:
    """Where the weights that a network begins with were read: part to source, sha256 and so on."""
    sections = {"normalization": "normalize"}  # the others, and parts of a stacked backbone, by their names
    return {
        sections.get(name, name): part.weights_source
        for name, part in embedder.named_modules()
        if hasattr(part, "weights_source")
    }


def environment(
    request: Request, collection: Collection, channels: int, device: torch.device
) -> dict[str, Any]:
    """What a reader needs to make the run again."""
    names = ("nearfield", "torch", "numpy", "scikit-learn", "pytorch-metric-learning", "soundfile", "soxr")
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in names}},
        "machine": {
            "platform": platform.platform(),
            "cores": usable_cores(),
            "memory_bytes": total_memory(),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "threads": torch.get_num_threads(),
        },
        "data": {
            "channels": channels,
            "given": request.data,
            "path": absolute(request.data),
            "name": collection.name,
            "clips": len(collection),
            "fingerprint": collection.fingerprint(),
            "split": {split: len(collection.rows(split)) for split in ("train", "val", "test")},
            "split_from": collection.split_from,
            "split_hash": collection.split_hash(),
            "leaks": list(collection.leaks),
            "patch": _patch(request.recipe.data.patch),
        },
        "code": source(),
        "seed": request.seed,
        "processes": world()[1],
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _patch(table: str | None) -> dict[str, str] | None:
    """The table of decisions that the clips were mended by, as it was when the run began."""
    return {"path": table, "sha256": digest(Path(table).expanduser())} if table else None


def absolute(data: str, follow: bool = True) -> str:
    """The same DATA from the root on: to be found, and known again, from any folder.

    `follow`: whether links are replaced by what they lead to now.
    """
    data, patch = split_patch(data)
    if patch is not None:
        return join_patch(absolute(data, follow), Path(patch).expanduser().resolve())
    layout, colon, path = data.partition(":")
    if layout == "synthetic":
        return data
    if colon and not Path(data).expanduser().exists():
        return f"{layout}:{_absolute_options(path, follow)}"
    return _from_root(data, follow)


def _from_root(path: str, follow: bool) -> str:
    own = Path(path).expanduser()
    return str(own.resolve()) if follow else os.path.abspath(own)


def _absolute_options(place: str, follow: bool) -> str:
    """`PATH?audio=PATH&fold=1` with both paths absolute."""
    path, question, given = place.partition("?")
    options = dict(parse_qsl(given, keep_blank_values=True))
    if "audio" in options:
        audio = Path(options["audio"]).expanduser()  # from here, or from the set's folder, as it was read
        options["audio"] = str((audio if audio.is_dir() else Path(path).expanduser() / audio).resolve())
    return _from_root(path, follow) + question + urlencode(options, safe="/:")
