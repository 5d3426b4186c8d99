"""Evaluation of a run: its metrics, its baselines, scores per clip."""

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
from nearfield.training.encode import Windows, embed_windows, mean_by_clip
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.prepare import open_trained_on
from nearfield.training.run import Run
from nearfield.training.run_folder import RunFolder, note_changed
from nearfield.training.setup import TrainingSetup
from nearfield.training.tagging import TagHead, write_predictions
from nearfield.training.validation import FixedLoss
from nearfield.training.vector_checks import check_vectors, of_table

# clips.parquet: how every clip of the evaluated split fared, which paired comparisons of runs resample.

WITHOUT = "without"


def write_clips(path: Path, collection: Collection, names: tuple[str, ...], found: Result) -> None:
    """Columns id, group (a number, alike for clips resampled together), label, predicted, then one of floats
    for each score; `block` (alike for clips left out together) and `without/{score}`, the score of the split
    without each clip's block, for searches of the split within itself; then `{who}/tags` and `{who}/scores`
    with lists for whoever told tags (null where a clip has none); whole or not at all. `names` of the classes
    by number; "" stands for none."""
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
    for who, said in found.tag_scores.items():
        for name, cells in (("tags", said.tags), ("scores", said.scores)):
            lists: list[Any] = [None] * len(clips.rows)
            for place, row in zip(said.at, cells.tolist(), strict=True):
                lists[place] = row
            columns[f"{who}/{name}"] = pa.array(
                lists, pa.list_(pa.bool_() if name == "tags" else pa.float64())
            )
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def read_clips(path: Path) -> pd.DataFrame:
    """What `write_clips` wrote, one row a clip. Raises RequestError where the file is missing or damaged."""
    table: pd.DataFrame = RunFolder(path.parent).table(path).to_pandas()
    return table


def without(clips: pd.DataFrame, measure: str) -> tuple[Floats, Ints]:
    """(n,) what a measure of a search within the split is without each clip's block, and the blocks.

    Raises RequestError where the clips were measured before that was kept.
    """
    if f"{WITHOUT}/{measure}" not in clips:
        raise RequestError(
            f"clips.parquet: there is no column '{WITHOUT}/{measure}': an earlier version measured the run, "
            f"and its scores of {measure} cannot be compared. Measure the run again: nearfield evaluate RUN."
        )
    return clips[f"{WITHOUT}/{measure}"].to_numpy(np.float64), clips["block"].to_numpy(np.int64)


def _named(numbers: Ints, names: tuple[str, ...]) -> pa.Array:
    known = np.array([*names, ""], dtype=object)  # -1, for none, is the last one
    return pa.array(known[numbers].tolist(), pa.string())


# What a run is worth: its space measured, and beside it the plain baselines on the same clips.


@dataclass(frozen=True)
class Evaluation:
    """The result of `nearfield.evaluate`, as result.json holds it."""

    split: str
    """The split that was scored."""
    metrics: dict[str, float]
    """Every metric by name, such as "probe/macro_f1"; `nearfield list metrics` explains them."""
    intervals: dict[str, tuple[float, float]]
    """95 % intervals of the metrics that have one."""
    per_class: tuple[dict[str, Any], ...]
    """A row for each label: its name, its number of clips, precision, recall and F1."""
    per_tag: tuple[dict[str, Any], ...]
    """A row for each tag: its name, its number of clips, the areas and their intervals."""
    notes: tuple[str, ...]
    """Sentences on what was left out, or is odd."""
    data: dict[str, Any]
    """The collection: name, number of clips, leaks, which clips were scored."""
    result: dict[str, Any] = field(repr=False)
    """All of result.json, tables of confusion and centroids too."""

    @classmethod
    def of(cls, result: dict[str, Any]) -> "Evaluation":
        """From the plain values of result.json."""
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
        """The same metrics of each plain baseline, by its name."""
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
    """Embeds every clip, scores `split`, and writes vectors.parquet, clips.parquet and, last, result.json.

    A run's files are those of its own data's test clips: of train, of val and of other clips nothing is
    written. `data`: other clips than the run was trained on; their labels are judged.
    `with_baselines`: whether plain spaces are scored too; where many runs share their data, once will do.
    `precision`: of the network; vectors that are kept for use are made in fp32, as `Run.encode` makes them.
    `setup`: what `launch` trained on, where this follows at once: nothing is opened a second time.
    """
    run = Run.load(folder.path)
    own = data is None or data == folder.environment()["data"]["given"]
    changed: str | None = None
    if setup is not None and own:
        setup = replace(setup, embedder=run.embedder)
    else:
        setup, changed = _opened(run, data, own, allow_leak, callback)
    collection = setup.collection
    clip_seconds = run.recipe.data.clip_seconds
    windows = embed_windows(
        run.embedder, setup.network_input, setup.metadata.seconds, clip_seconds, precision, callback
    )
    vectors = mean_by_clip(*windows, len(collection), run.embedder.settings.normalize)
    heard = of_table(collection.table, run.recipe.data, run.recipe.modality == "image")
    doubts = [*run.doubts(precision), *check_vectors(vectors, list(collection.table["id"]), heard)]
    for doubt in doubts:
        callback(Note(doubt, is_warning=True))
    settings = EvaluationSettings(split=split)
    splits = {side: collection.rows(side) for side in ("train", "val", "test")}
    callback(Stage("measure", 0, 1))
    said = _said(run, setup, windows)
    own_settings = settings.model_copy(update={"probe_curve": True})
    found = evaluate(vectors, replace(setup.metadata, predictions=None), splits, own_settings, said)
    metrics = dict(found.metrics)
    if own:  # they tell of the training: other clips may have no labels, or no neighbours, to make pairs of
        metrics |= fixed_losses(run, setup, vectors) | opposites(setup)
    for name, result in baselines(setup, splits, settings, callback) if with_baselines else ():
        metrics |= result.prefixed(f"baseline/{name}")
    plain = {**found.plain(), "metrics": metrics}
    told = [*([changed] if changed else []), *_warnings(metrics, collection), *doubts]
    plain["notes"] = [*plain["notes"], *told]
    plain["data"] = {
        "name": collection.name,
        "clips": len(collection),
        "leaks": list(collection.leaks),
        "judged": judged(run.recipe.data.fold if own else None, split),
    }
    if own and split == "test" and world()[0] == 0:
        with locked(folder.lock):
            _write(folder, setup, vectors, found, said, plain)
    return plain


def _opened(
    run: Run, data: str | None, own: bool, allow_leak: bool, callback: Callback
) -> tuple[TrainingSetup, str | None]:
    """The clips to be judged, and what is to be said where they are not what the run was trained on."""
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
    said: Floats | None,
    plain: dict[str, Any],
) -> None:
    folder.take_result()  # whoever is stopped from here on leaves a run that is not judged yet
    write_vectors(folder.vectors, setup.collection, vectors)
    write_clips(folder.clips, setup.collection, setup.metadata.label_names, found)
    if said is not None:
        ids = list(setup.collection.table["id"])
        write_predictions(folder.predictions, ids, setup.metadata.tag_names, said)
    folder.write_result(plain)


def _said(run: Run, setup: TrainingSetup, windows: Windows) -> Floats | None:
    """(N, K) what the run's own head says of the tags of the bench's clips; None where it is no tagger.

    NaN for a tag that the head was not trained to tell."""
    head = TagHead.load(run.folder, run.recipe, run.embedder.size)
    if head is None:
        return None
    own = head.probabilities(windows, len(setup.metadata))
    column = {name: at for at, name in enumerate(head.names)}
    said = np.full((len(own), len(setup.metadata.tag_names)), np.nan)
    for at, name in enumerate(setup.metadata.tag_names):
        if name in column:
            said[:, at] = own[:, column[name]]
    return said


def fixed_losses(run: Run, setup: TrainingSetup, vectors: Vectors) -> dict[str, float]:
    """`loss/{train,val,test}_{mined,unmined}`: the run's loss on fixed batches of each side, by `vectors`.

    Compare them within a run, or between runs of one loss with one setting. A side that the sampler cannot
    draw from, or only batches smaller than those of training, is left out, and so are losses with weights of
    their own (which are not kept).
    """
    recipe, found = run.recipe, {}
    loss = setup.loss()
    if any(True for _ in loss.parameters()):
        return {}
    relation, miner = setup.relation(), miner_beside(recipe.miner, recipe.loss)
    for side in ("train", "val", "test"):
        try:
            sampler = setup.sampler_over(setup.collection.rows(side))
            if sampler.batch_size < setup.sampler().batch_size:
                continue
            fixed = FixedLoss(sampler, relation, miner, loss)
        except NearfieldError:
            continue
        for state, value in fixed.measure(vectors).items():
            if np.isfinite(value):
                found[f"loss/{side}_{state}"] = value
    return found


def opposites(setup: TrainingSetup) -> dict[str, float]:
    """`opposites/{label,group,recording,synchronous,...}`: shares of the pairs that training pushed apart
    in which these are alike: the price of learning without labels. Empty where labels or tags chose them."""
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
    """vectors.parquet: id, path, start, seconds, label, tags, group, split, vector; whole or not at all."""
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
    """Where the space does not beat a baseline, and where the split leaks: said, not hidden."""
    said = []
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
            said.append(f"{TABLE_HEADS[name]} {metrics[name]:.3f} is no better than {', '.join(better)}.")
    if collection.leaks:
        said.append(
            f"The split leaks: {groups_in_two_splits(collection.leaks)} in two splits "
            f"({', '.join(collection.leaks[:5])}). Scores are too high."
        )
    return said
