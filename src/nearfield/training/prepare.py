"""Before a training: opening the data, checking recipe and data, recording the environment."""

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
    """The arguments of a training."""

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
    """Returns the metadata with predictions of tags, if the sampler of the recipe needs those of a tagger.

    Raises RequestError if the tagger's run does not fit the clips.
    """
    tagger = recipe.sampler.asked_run
    return (
        replace(metadata, predictions=read_predictions(tagger, collection, metadata)) if tagger else metadata
    )


def open_collection(
    data: str, recipe: Recipe, allow_leak: bool, callback: Callback = ignore, folder_labels: bool = True
) -> Collection:
    """Opens data with the columns of a recipe.

    If a split has to be made, it does not depend on the seed of the training, so runs can be compared clip by
    clip.

    Parameters
    ----------
    data
        A folder, a table, or LAYOUT:PATH.
    recipe
        The recipe.
    allow_leak
        Whether groups may be in two splits.
    callback
        Called with `Stage("look", done, files)`.
    folder_labels
        Whether names of folders are labels, if the recipe does not tell.

    Returns
    -------
    Collection
        The clips, corrected by the recipe's patch table if it has one.

    Raises
    ------
    DataError
        If there are no usable data, or the split leaks and that is not allowed.
    """
    progress: Callable[[int, int], None] = lambda done, total: callback(Stage("look", done, total))  # noqa: E731
    columns = recipe.data.columns.model_copy(update={"folder_labels": folder_labels})
    opened = Collection.load(data, columns, allow_leak, progress=progress)
    opened = opened.only(recipe.data.only) if recipe.data.only else opened
    if recipe.data.patch:
        opened = opened.with_patch(recipe.data.patch, recipe.data.patch_sides)
    return opened.with_val_in_train() if recipe.data.val_trains else opened


def open_to_train(data: str, recipe: Recipe, allow_leak: bool, callback: Callback = ignore) -> Collection:
    """Opens data for a training like `open_collection`, with the split of a fold if there is `data.fold`.

    Folds consist of whole groups, so it does not matter whether the original split leaks.
    """
    fold = recipe.data.fold
    opened = open_collection(
        data, recipe, allow_leak or fold is not None, callback, folders_are_labels(recipe)
    )
    return opened.with_fold(fold, validates=keeps_val(recipe)) if fold else opened


def is_own(data: str, folder: RunFolder) -> bool:
    """Whether `data` are those of the training of a run, with or without its patch table, under any name."""
    own = folder.environment()["data"].get("path") or ""
    return absolute(data) in (own, split_patch(own)[0])


def note_own(data: str, collection: Collection, folder: RunFolder, effect: str, callback: Callback) -> None:
    """Notes whether the data of a run have changed since its training; does nothing for other data.

    If the run was trained with a patch table and `data` come without it, they are other clips. The note then
    names the patch table.

    Parameters
    ----------
    data
        The data as they were given.
    collection
        Their clips.
    folder
        The folder of the run.
    effect
        A sentence on the consequences, which ends the note.
    callback
        Called with the note.
    """
    if not is_own(data, folder):
        return
    own = folder.environment()["data"]["path"]
    place, patch = split_patch(own)
    if absolute(data) == own:
        note_if_own(collection, folder, effect, callback)
    else:
        note = f"the run was trained on {place} with the patch table {patch}, which is not used here. To use "
        callback(Note(f"{note}it, add ?patch={patch} to the data.", is_warning=True))


def folders_are_labels(recipe: Recipe) -> bool:
    """Whether names of folders are labels by default: not for relations by time, where folders are places."""
    return recipe.relation.folders_are_labels


def open_trained_on(
    data: str | None, trained_on: str, recipe: Recipe, allow_leak: bool, callback: Callback = ignore
) -> Collection:
    """Opens `data`, or, if that is None, the data of the training, like `open_collection`.

    Parameters
    ----------
    data
        Other data; None: those of the training.
    trained_on
        The data of the training, as `absolute` returned them.
    recipe, allow_leak, callback
        As for `open_collection`.

    Raises
    ------
    DataError
        If there are no usable data; if those of the training have moved, with the option to use.
    """
    if data and absolute(data) != trained_on:
        return open_collection(data, recipe, allow_leak, callback)
    with moved(trained_on, "The run was trained on these; if they have moved: --data NEW_PLACE"):
        return open_collection(trained_on, recipe, allow_leak, callback, folders_are_labels(recipe))


@contextmanager
def moved(data: str, cure: str) -> Iterator[None]:
    """Adds the sentence `cure` to a DataError in the block, if the path of `data` does not exist any more."""
    try:
        yield
    except DataError as error:
        if _is_there(data):
            raise
        raise DataError(f"{error} {cure}") from None


def _is_there(data: str) -> bool:
    """Whether the path of data, given as PATH or LAYOUT:PATH?OPTIONS, exists."""
    place = split_patch(data)[0]
    layout, _, rest = place.partition(":")
    return layout == "synthetic" or any(
        Path(name).exists() for name in (place, place.partition("?")[0], rest.partition("?")[0]) if name
    )


def check(recipe: Recipe, callback: Callback = ignore) -> None:
    """Checks settings against each other.

    Combinations that work but are unusual are notes. Raises RequestError for settings that cannot work
    together.
    """
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
            f"data.val_trains: the val clips cannot be used for training and validation, and {resting} needs "
            "validations. Set train.keep=last and a schedule other than plateau, or data.val_trains=false."
        )
    by_label = [each.kind for each in recipe.augment if each.needs_labels]
    if by_label and "labels" not in recipe.relation.gives:
        raise RequestError(
            f"augment: {by_label[0]!r} mixes clips with equal labels, and the relation "
            f"{recipe.relation.kind!r} does not use labels. Use 'mix', which needs no labels, or set "
            "relation.kind=labels."
        )
    check_learning(recipe)
    check_units(recipe)
    check_copies(recipe)
    if "tags" in recipe.loss.needs and (recipe.embedding.read == "pooled" or recipe.embedding.whiten):
        raise RequestError(
            f"embedding: {recipe.loss.kind} predicts tags from the embeddings of the training, which read: "
            "pooled and whiten change afterwards. Omit both, or use a loss over pairs: "
            f"{', '.join(pair_kinds())}."
        )
    if recipe.schedule.plateau() is not None and not recipe.train.validate_every:
        raise RequestError(
            f"schedule.kind: {recipe.schedule.kind!r} needs validations to follow. "
            "Set train.validate_every, or another schedule."
        )


def check_teaching(recipe: Recipe, collection: Collection) -> None:
    """Checks that the training clips contain positives for the relation. Raises DataError if not."""
    rows = collection.rows("train")
    if not len(rows):
        raise DataError(
            f"{collection.name}: no clip is in the train split. "
            "Put train into its split column, or omit the column: then a split is made."
        )
    table = collection.subset(rows).table
    counted = Counter(label for label in table["label"] if label)
    labels, tags = sorted(counted), {tag for each in table["tags"] for tag in each}
    others = [name for name, found in (("labels", labels), ("tags", tags)) if found] + ["time", "views"]
    others = [name for name in others if name != recipe.relation.kind]
    advice = f"Set relation.kind to one of: {', '.join(others)}; or name the column (data.label, data.tags)."
    if "labels" in recipe.relation.gives and len(labels) < 2:
        given = f"only the label {labels[0]!r}" if labels else "no label"
        raise DataError(f"{collection.name}: the training clips have {given}; two are needed. {advice}")
    if "labels" in recipe.relation.gives and max(counted.values()) == 1:
        raise DataError(
            f"{collection.name}: each of the {len(labels)} labels has only one training clip, so there are "
            f"no positive pairs. {advice}"
        )
    if "tags" in recipe.relation.gives and not tags:
        raise DataError(f"{collection.name}: the training clips have no tags. {advice}")


def weights_from(embedder: EmbeddingModel) -> dict[str, Any]:
    """Returns the sources of pretrained weights: for each part of the network, path, sha256 and so on."""
    sections = {"normalization": "normalize"}  # other parts have the names of their sections
    return {
        sections.get(name, name): part.weights_source
        for name, part in embedder.named_modules()
        if hasattr(part, "weights_source")
    }


def environment(
    request: Request, collection: Collection, channels: int, device: torch.device
) -> dict[str, Any]:
    """Returns the contents of environment.json: what is needed to repeat the run.

    Parameters
    ----------
    request
        The arguments of the training.
    collection
        The clips.
    channels
        Number of channels of the clips.
    device
        The device that the network is trained on.
    """
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
    """Path and digest of the patch table when the run began."""
    return {"path": table, "sha256": digest(Path(table).expanduser())} if table else None


def absolute(data: str, follow: bool = True) -> str:
    """Returns data with absolute paths, so that they can be opened from any folder.

    Parameters
    ----------
    data
        PATH or LAYOUT:PATH?OPTIONS.
    follow
        Whether symbolic links are resolved.

    Examples
    --------
    >>> absolute("synthetic:tones")
    'synthetic:tones'
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
    """`PATH?audio=PATH&fold=1` with absolute paths."""
    path, question, given = place.partition("?")
    options = dict(parse_qsl(given, keep_blank_values=True))
    if "audio" in options:
        audio = Path(
            options["audio"]
        ).expanduser()  # relative to the current folder, or to that of the data set
        options["audio"] = str((audio if audio.is_dir() else Path(path).expanduser() / audio).resolve())
    return _from_root(path, follow) + question + urlencode(options, safe="/:")
