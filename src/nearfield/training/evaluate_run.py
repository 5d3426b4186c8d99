"""Evaluation of a run: metrics, baselines, scores of each clip, and the files that keep them."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nearfield.core.errors import NearfieldError, RequestError
from nearfield.core.files import locked, replacing
from nearfield.core.types import Floats, Ints, Vectors
from nearfield.data.collection import Collection
from nearfield.data.settings import judged
from nearfield.data.splits import groups_in_two_splits
from nearfield.learning.build import miner_beside
from nearfield.learning.distributed import world
from nearfield.learning.relations.time import false_negative_report
from nearfield.metrics.evaluate import evaluate
from nearfield.metrics.registry import BASELINE_NAMES, HEADLINES, TABLE_HEADS
from nearfield.metrics.result import EvaluationSettings, Result
from nearfield.training.baselines import baselines
from nearfield.training.device import Precision
from nearfield.training.encode import WindowEmbeddings, embed_setup
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.prepare import open_trained_on
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, note_changed
from nearfield.training.setup import TrainingSetup
from nearfield.training.tagging import TagHead, write_predictions
from nearfield.training.validation import FixedLoss
from nearfield.training.windows import table_clips

# clips.parquet: the scores of each clip of the evaluated split, which paired comparisons of runs resample.

WITHOUT = "without"


def write_clips(path: Path, collection: Collection, names: tuple[str, ...], found: Result) -> None:
    """Writes clips.parquet atomically.

    Columns: id; group (number of the clips that are resampled together); label and predicted, "" for none; a
    column of floats for each score. For searches of the split within itself: block (number of the clips that
    are left out together), and `without/{score}`, the score of the split without the clip's block. For each
    predictor of tags: `{predictor}/tags` and `{predictor}/scores`, lists, null for a clip without tags.

    Parameters
    ----------
    path
        The file.
    collection
        The clips.
    names
        Names of the labels by number.
    found
        The result of the evaluation.
    """
    clips = found.clips
    columns = {
        "id": pa.array(collection.table["id"].iloc[clips.rows].to_list(), pa.string()),
        "group": pa.array(clips.groups, pa.int64()),
        "label": _named(clips.reference, names),
        "predicted": _named(clips.predicted, names),
    }
    columns |= {name: pa.array(scores, pa.float64()) for name, scores in clips.scores.items()}
    columns["block"] = pa.array(clips.blocks, pa.int64())
    columns |= {f"{WITHOUT}/{name}": pa.array(values, pa.float64()) for name, values in clips.without.items()}
    for predictor, tagged in found.tag_scores.items():
        for name, cells in (("tags", tagged.tags), ("scores", tagged.scores)):
            lists: list[Any] = [None] * len(clips.rows)
            for place, row in zip(tagged.at, cells.tolist(), strict=True):
                lists[place] = row
            columns[f"{predictor}/{name}"] = pa.array(
                lists, pa.list_(pa.bool_() if name == "tags" else pa.float64())
            )
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_clips(path: Path) -> pd.DataFrame:
    """Reads clips.parquet, a row for each clip. Raises RequestError if it is missing or damaged."""
    table: pd.DataFrame = RunFolder(path.parent).table(path).to_pandas()
    return table


def without(clips: pd.DataFrame, measure: str) -> tuple[Floats, Ints]:
    """Returns (N,) the score of the split without the block of each clip, and (N,) the blocks.

    Parameters
    ----------
    clips
        The table of `read_clips`.
    measure
        A metric of a search within the split.

    Raises
    ------
    RequestError
        If the run was evaluated by a version that did not store these scores.
    """
    if f"{WITHOUT}/{measure}" not in clips:
        raise RequestError(
            f"clips.parquet: there is no column '{WITHOUT}/{measure}': the run was evaluated by an earlier "
            f"version, and its scores of {measure} cannot be compared. "
            "Evaluate it again: nearfield evaluate RUN."
        )
    return clips[f"{WITHOUT}/{measure}"].to_numpy(np.float64), clips["block"].to_numpy(np.int64)


def _named(numbers: Ints, names: tuple[str, ...]) -> pa.Array:
    known = np.array([*names, ""], dtype=object)  # -1, for none, is the last element
    return pa.array(known[numbers].tolist(), pa.string())


# Evaluation of a run and of baselines on the same clips.


@dataclass(frozen=True)
class Evaluation:
    """The result of `nearfield.evaluate`, as result.json holds it."""

    split: str
    """The split that was evaluated."""
    metrics: dict[str, float]
    """Every metric by name, such as "probe/macro_f1"; `nearfield list metrics` explains them."""
    intervals: dict[str, tuple[float, float]]
    """95 % confidence intervals of the metrics that have one."""
    per_class: tuple[dict[str, Any], ...]
    """A row for each label: name, number of clips, precision, recall and F1."""
    per_tag: tuple[dict[str, Any], ...]
    """A row for each tag: name, number of clips, areas under the curves and their intervals."""
    notes: tuple[str, ...]
    """Warnings, and what was left out."""
    data: dict[str, Any]
    """The collection: name, number of clips, leaks, which clips were evaluated."""
    result: dict[str, Any] = field(repr=False)
    """All of result.json, with the confusion matrix and centroids."""

    @classmethod
    def of(cls, result: dict[str, Any]) -> "Evaluation":
        """Makes an evaluation of the values of result.json."""
        intervals = {name: (low, high) for name, (low, high) in result["intervals"].items()}
        return cls(
            result["split"],
            result["metrics"],
            intervals,
            tuple(result["per_class"]),
            tuple(result["per_tag"]),
            tuple(result["notes"]),
            result["data"],
            result,
        )

    @property
    def baselines(self) -> dict[str, dict[str, float]]:
        """The metrics of each baseline, by its name."""
        found: dict[str, dict[str, float]] = {}
        for name, value in self.metrics.items():
            prefix, _, rest = name.partition("/")
            if prefix == "baseline":
                baseline, _, metric = rest.partition("/")
                found.setdefault(baseline, {})[metric] = value
        return found


def evaluate_run(
    folder: RunFolder,
    data: str | None = None,
    split: str = "test",
    allow_leak: bool = False,
    callback: Callback = ignore,
    with_baselines: bool = True,
    precision: Precision = "fp32",
    setup: TrainingSetup | None = None,
) -> dict[str, Any]:
    """Embeds all clips of a collection, and evaluates a split.

    For the test split of the run's own data, writes vectors.parquet, clips.parquet, for a tagger
    predictions.parquet, and result.json last. For other splits and other data, nothing is written.

    Parameters
    ----------
    folder
        The folder of a trained run.
    data
        Other data than the run was trained on; None: its own.
    split
        The split that is evaluated: train, val or test.
    allow_leak
        Whether groups may be in two splits.
    callback
        Called with stages of the work, and with notes.
    with_baselines
        Whether baselines are evaluated too.
    precision
        Arithmetic of the network. `Run.encode` uses fp32.
    setup
        The setup that `launch` returned, if the run has just been trained; nothing is decoded again.

    Returns
    -------
    dict
        The values of result.json.

    Raises
    ------
    RequestError
        If the run is not trained, or does not fit the data.
    DataError
        If the split has no clips, or a file cannot be read.
    WorkError
        If the embeddings are useless, as for `check_vectors`.
    """
    run = Run.load(folder.path)
    own = data is None or data == folder.environment()["data"]["given"]
    changed: str | None = None
    if setup is not None and own:
        setup = replace(setup, embedder=run.embedder)
    else:
        setup, changed = _opened(run, data, own, allow_leak, callback)
    collection = setup.collection
    windows = embed_setup(run.embedder, setup, callback, precision)
    vectors = windows.by_clip(len(collection), run.embedder.settings.normalize)
    clips = table_clips(collection.table, run.recipe.data)
    doubts = run.check(vectors, clips, list(collection.table["id"]), precision)
    for doubt in doubts:
        callback(Note(doubt, is_warning=True))
    settings = EvaluationSettings(split=split)
    splits = {name: collection.rows(name) for name in ("train", "val", "test")}
    callback(Stage("measure", 0, 1))
    predictions = _tag_predictions(run, setup, windows)
    own_settings = settings.model_copy(update={"probe_curve": True})
    found = evaluate(vectors, replace(setup.metadata, predictions=None), splits, own_settings, predictions)
    metrics = dict(found.metrics)
    if own:  # these describe the training; other clips may have nothing to make pairs of
        metrics |= fixed_losses(run, setup, vectors) | false_negatives(setup)
    for name, result in baselines(setup, splits, settings, callback) if with_baselines else ():
        metrics |= result.prefixed(f"baseline/{name}")
    plain = {**found.plain(), "metrics": metrics}
    warnings = [*([changed] if changed else []), *_warnings(metrics, collection), *doubts]
    plain["notes"] = [*plain["notes"], *warnings]
    plain["data"] = {
        "name": collection.name,
        "clips": len(collection),
        "leaks": list(collection.leaks),
        "judged": judged(run.recipe.data.fold if own else None, split),
    }
    if own and split == "test" and world()[0] == 0:
        with locked(folder.lock):
            _write(folder, setup, vectors, found, predictions, plain)
    return plain


def _opened(
    run: Run, data: str | None, own: bool, allow_leak: bool, callback: Callback
) -> tuple[TrainingSetup, str | None]:
    """The clips to evaluate, and a note if they have changed since the training."""
    environment, changed = run.folder.environment(), None
    allow = allow_leak or bool(environment["data"]["leaks"])
    collection = open_trained_on(data, environment["data"]["path"], run.recipe, allow, callback)
    if own:
        collection = collection.with_split(run.folder.split)
        changed = note_changed(
            collection, run.folder, "The scores are of the clips as they are now.", callback
        )
    return TrainingSetup.build(run.recipe, collection, environment["seed"], callback, run.embedder), changed


def _write(
    folder: RunFolder,
    setup: TrainingSetup,
    vectors: Vectors,
    found: Result,
    predictions: Floats | None,
    plain: dict[str, Any],
) -> None:
    folder.take_result()  # if the process is stopped from here on, the run counts as not evaluated
    write_vectors(folder.vectors, setup.collection, vectors)
    write_clips(folder.clips, setup.collection, setup.metadata.label_names, found)
    if predictions is not None:
        ids = list(setup.collection.table["id"])
        write_predictions(folder.predictions, ids, setup.metadata.tag_names, predictions)
    folder.write_result(plain)


def _tag_predictions(run: Run, setup: TrainingSetup, windows: WindowEmbeddings) -> Floats | None:
    """(N, K) probabilities of the tags of the collection by the run's own head; None if it is not a tagger.

    NaN for a tag that the head does not know."""
    head = TagHead.load(run.folder, run.recipe, run.embedder.size)
    if head is None:
        return None
    own = head.probabilities(windows, len(setup.metadata))
    column = {name: at for at, name in enumerate(head.names)}
    found = np.full((len(own), len(setup.metadata.tag_names)), np.nan)
    for at, name in enumerate(setup.metadata.tag_names):
        if name in column:
            found[:, at] = own[:, column[name]]
    return found


def fixed_losses(run: Run, setup: TrainingSetup, vectors: Vectors) -> dict[str, float]:
    """Computes the loss of the run on fixed batches of each split.

    The values are comparable within a run, and between runs with equal settings of the loss. Losses with
    weights have none, because their weights are not stored.

    Parameters
    ----------
    run
        The run.
    setup
        N clips.
    vectors
        (N, D) their embeddings.

    Returns
    -------
    dict
        `loss/{train,val,test}_{mined,unmined}`; without the splits that the sampler cannot sample, or only in
        smaller batches than those of training.
    """
    recipe, found = run.recipe, {}
    loss = setup.loss()
    if any(True for _ in loss.parameters()):
        return {}
    relation, miner = setup.relation(), miner_beside(recipe.miner, recipe.loss)
    for split in ("train", "val", "test"):
        try:
            sampler = setup.sampler_over(setup.collection.rows(split))
            if sampler.batch_size < setup.sampler().batch_size:
                continue
            fixed = FixedLoss(sampler, relation, miner, loss)
        except NearfieldError:
            continue
        for state, value in fixed.measure(vectors).items():
            if np.isfinite(value):
                found[f"loss/{split}_{state}"] = value
    return found


def false_negatives(setup: TrainingSetup) -> dict[str, float]:
    """Measures how many negative pairs of a training without labels are false.

    Returns
    -------
    dict
        `opposites/{label,group,recording,synchronous,...}`: share of the negative pairs with equal values of
        this property. Empty if labels or tags determined the pairs.
    """
    recipe = setup.recipe
    if recipe.relation.gives:
        return {}
    relation = setup.relation()
    kept = {
        name: setup.metadata.columns[name]
        for name in EvaluationSettings().columns
        if name in setup.metadata.columns
    }
    shares = false_negative_report(setup.sampler(), relation, replace(setup.metadata, columns=kept))
    return {f"opposites/{name}": share for name, share in shares.items()}


def write_vectors(path: Path, collection: Collection, vectors: Vectors) -> None:
    """Writes vectors.parquet atomically: id, path, start, seconds, label, tags, group, split, vector.

    `vectors` (N, D) are those of the N clips of the collection.
    """
    table = collection.table
    columns = {
        name: pa.array(table[name]) for name in ("id", "path", "start", "seconds", "label", "group", "split")
    }
    columns["tags"] = pa.array([list(tags) for tags in table["tags"]], pa.list_(pa.string()))
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    columns["vector"] = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _warnings(metrics: dict[str, float], collection: Collection) -> list[str]:
    """Warnings for headline metrics that do not exceed a baseline, and for a split that leaks."""
    found = []
    for name in HEADLINES:
        if name not in metrics:
            continue
        parts = [(key.split("/", 2), value) for key, value in metrics.items() if key.startswith("baseline/")]
        better = [
            f"{BASELINE_NAMES.get(rival, rival)} ({value:.3f})"
            for (_, rival, measure), value in sorted(parts)
            if measure == name and value >= metrics[name]
        ]
        if better:
            found.append(f"{TABLE_HEADS[name]} {metrics[name]:.3f} is no better than {', '.join(better)}.")
    if collection.leaks:
        found.append(
            f"The split leaks: {groups_in_two_splits(collection.leaks)} in two splits "
            f"({', '.join(collection.leaks[:5])}). Scores are too high."
        )
    return found
