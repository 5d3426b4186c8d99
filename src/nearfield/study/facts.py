"""Collects every number of a study's document from the plan, the journal and the runs."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, replace
from functools import cache, cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml
from safetensors import safe_open

from nearfield.core.errors import RequestError
from nearfield.core.files import read_json
from nearfield.core.types import Ints
from nearfield.study.budget import batch_size
from nearfield.study.engines.engine import task_folder
from nearfield.study.measures import arm_speed, draw_map
from nearfield.study.plan import Plan
from nearfield.study.records import (
    BASELINES,
    Arm,
    ArmFacts,
    ClassFacts,
    Conclusion,
    Curve,
    Failures,
    MapFacts,
    Outcome,
    RunFacts,
    Speed,
    StudyFacts,
    TagFacts,
    Task,
)
from nearfield.study.score_table import Asked, ScoreTables, conclusion_of, estimates_of, ordered_values
from nearfield.study.scores import fold_of_groups, round_of, table, tag_facts, told_by
from nearfield.study.statistics.failures import compared
from nearfield.study.statistics.looks import Look
from nearfield.study.statistics.two_way import Array
from nearfield.training.evaluate_run import read_clips
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder

# Texts of introductions.yaml by key: what a setting does, and what goes wrong if it is too low or too high.


@cache
def introductions() -> dict[str, str]:
    """Texts by SECTION.kind, SECTION.KEY, or SECTION.KIND.KEY if kinds differ."""
    file = Path(__file__).with_name("introductions.yaml")
    texts: dict[str, str] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return texts


def introduction(key: str, arms: Iterable[Recipe]) -> str | None:
    """The text on a dotted key, or None if there is none.

    Joins the texts of all kinds in the arms' recipes, because a key can mean different things in two kinds
    (gamma of circle and of focal).
    """
    section, _, rest = key.partition(".")
    texts = introductions()
    if section == "augment" or rest == "" or rest.split(".")[-1] == "kind":
        return texts.get(f"{section}.kind")
    *within, name = rest.split(".")
    found: list[str | None] = []
    for recipe in arms:
        settings = getattr(recipe, section, None)
        for part in within:  # nested settings, such as the front of a stacked backbone
            settings = getattr(settings, part, None)
        shared = texts.get(f"{section}.{name}") if hasattr(settings, name) else None
        found.append(texts.get(f"{section}.{getattr(settings, 'kind', None)}.{name}", shared))
    return " ".join(dict.fromkeys(text for text in found if text)) or None


def introductions_of(varied: Iterable[str], arms: Sequence[Recipe]) -> dict[str, str]:
    """The texts on the varied keys, by key, without keys that have no text."""
    return {key: text for key in varied if (text := introduction(key, arms))}


# The numbers of the document.

MOST = 10**9
"""More seeds than any study has."""
SEEDED = "random_encoder"
"""The baseline that depends on the seed; the others do not."""
POINTS, FEWEST_POINTS, ALL_POINTS = 200, 40, 4000
"""Points per training curve, at most and at least, and of one curve of all trainings together, about: curves
make up most of facts.json."""
MAPPED = 400
"""Largest number of clips on a map."""
MAPPED_CLASSES = 8
"""Largest number of classes on a map (those with the most test clips); the eye cannot distinguish more."""
CURVES = (
    "train/loss",
    "train/active_fraction",
    "train/alike_distance",
    "train/unlike_distance",
    "train/gradient_norm",
    "train/spread",
    "train/effective_rank",
    *("val/recall_at_1", "val/tag_overlap_at_1", "val/triplet_accuracy", "val/loss"),
)


T = TypeVar("T")


class Gathered:
    """The results of the runs of some seeds, each read once."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        outcomes: Mapping[Task, Outcome],
        looks: Sequence[Look],
        dropped: Mapping[str, int],
    ) -> None:
        self.plan, self.folder, self.looks, self.dropped = plan, folder, looks, dropped
        self.seeds = plan.seeds.take(looks[-1].seeds)
        self.outcomes = outcomes
        self._scored: dict[Path, pd.DataFrame] = {}
        self._tables: dict[str, ScoreTables] = {}
        self.arms = {arm.id: self._arm(arm) for arm in plan.arms}

    def conclusion(self, measure: str = "") -> Conclusion:
        """The statistical conclusion on a metric, by default the judge."""
        measure = measure or self.plan.judge
        plan, costs = self.plan, {arm: float(self._weights(arm)) for arm in self.arms}
        runs = {arm: [run for _, _, run in each] for arm, each in self.arms.items()}
        values = ordered_values(plan.varied, plan.arms)
        asked = Asked(measure, plan.meaningful, costs, self.looks, values, runs, plan.seeds.folds)
        return conclusion_of(asked, self.scores_of(measure))

    def scores(self) -> dict[str, ScoreTables]:
        """The scores of the judge and of the further metrics, as far as they are known."""
        found = {name: self.scores_of(name) for name in (self.plan.judge, *self.plan.measures)}
        return {name: each for name, each in found.items() if each.arms}

    def scores_of(self, measure: str) -> ScoreTables:
        """The scores of one metric by arm and by baseline."""
        if measure not in self._tables:
            tables = {arm.id: self._table(self.arms[arm.id], measure) for arm in self.plan.arms}
            arms = {name: scores for name, scores in tables.items() if scores is not None}
            baselines = self._baseline_tables(measure, arms)
            self._tables[measure] = ScoreTables.of(arms, baselines, self._fold_of_groups(measure))
        return self._tables[measure]

    def arm_facts(self, arm: Arm) -> ArmFacts:
        """All results of one arm."""
        runs = self.arms[arm.id]
        results = [result for _, result, _ in runs if result]
        names, distances = _centroids(results)
        return ArmFacts(
            arm=arm,
            parameters=self._weights(arm.id),
            runs=tuple(run for _, _, run in runs),
            measures=estimates_of(arm.id, self.plan.judge, self.scores()),
            classes=_classes(results),
            centroid_names=names,
            centroid_distances=distances,
            maps=tuple(self._maps(arm.id)),
            warnings=tuple(dict.fromkeys(note for _, _, run in runs for note in run.notes)),
        )

    def tags(self) -> tuple[TagFacts, ...]:
        """The results of each tag, if the judge is an area under a curve over tags; otherwise empty."""
        who = told_by(self.plan.judge)
        if who is None:
            return ()
        clips = {arm: self._clips(runs) for arm, runs in self.arms.items()}
        ended = next((place for runs in self.arms.values() for place, result, _ in runs if result), None)
        return tag_facts(clips, RunFolder(ended), who, self.plan.reference) if ended else ()

    def speeds(self) -> tuple[Speed, ...]:
        """How fast each arm reached the plan's target; empty if the plan has no target."""
        if self.plan.target is None:
            return ()
        return tuple(
            arm_speed(
                arm.id,
                [place / "metrics.jsonl" if result else None for place, result, _ in self.arms[arm.id]],
                self.plan.target,
                batch_size(self.plan.recipe_of(arm.id).sampler),
            )
            for arm in self.plan.arms
        )

    def baselines(self) -> dict[str, dict[str, float]]:
        """The judge and the further metrics of each baseline, averaged over the seeds that have them."""
        wanted = (self.plan.judge, *self.plan.measures)
        found: dict[str, dict[str, list[float]]] = {}
        results = [self._result(Task(BASELINES, seed)) for seed in self.seeds]
        arms = [result for runs in self.arms.values() for _, result, _ in runs]
        for metrics in (result["metrics"] for result in [*arms, *results] if result):
            for key, value in metrics.items():
                head, _, rest = key.partition("/")
                name, _, measure = rest.partition("/")
                if head == "baseline" and measure in wanted:
                    found.setdefault(name, {}).setdefault(measure, []).append(value)
        return {name: {key: fmean(values) for key, values in row.items()} for name, row in found.items()}

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clips of the collection: vectors.parquet of the first finished run, without the embeddings."""
        for runs in self.arms.values():
            for place, result, _ in runs:
                if result:
                    columns = ["id", "seconds", "label", "group", "split", "tags"]
                    found: pd.DataFrame = _vectors(place, columns)
                    return found
        return pd.DataFrame({name: [] for name in ("id", "seconds", "label", "group", "split", "tags")})

    def failures(self) -> tuple[Failures, ...]:
        """The arms' shares of diverged trainings, if any diverged."""
        runs = {arm: [run for _, _, run in each] for arm, each in self.arms.items()}
        return compared(
            {
                arm: (
                    sum(run.diverged for run in each),
                    sum(run.diverged or run.state == "done" for run in each),
                )
                for arm, each in runs.items()
            }
        )

    def fold_splits(self) -> dict[str, pd.DataFrame]:
        """The test clips of each fold, by "fold 1" and so on, as far as a training of it is finished."""
        found: dict[str, pd.DataFrame] = {}
        for runs in self.arms.values() if self.plan.seeds.folds > 1 else ():
            for place, result, run in runs:
                fold = self.plan.seeds.fold(run.seed)
                if result and fold and f"fold {fold.number}" not in found:
                    clips = _vectors(place, ["group", "split"])
                    found[f"fold {fold.number}"] = clips[clips["split"] == "test"]
        return {name: found[name] for name in sorted(found, key=lambda name: int(name.split()[1]))}

    def environment(self) -> dict[str, Any]:
        """environment.json of the first run that has one."""
        for runs in self.arms.values():
            for place, _, _ in runs:
                if (place / "environment.json").is_file():
                    return RunFolder(place).environment()
        return {}

    def _arm(self, arm: Arm) -> list[tuple[Path, dict[str, Any], RunFacts]]:
        found, trainings = [], len(self.seeds) * len(self.plan.arms)
        points = min(POINTS, max(FEWEST_POINTS, ALL_POINTS // max(1, trainings)))
        for seed in self.plan.seeds.take(min(self.looks[-1].seeds, self.dropped.get(arm.id, MOST))):
            task = Task(arm.id, seed)
            place, result = task_folder(self.folder, task), self._result(task)
            outcome = self.outcomes.get(task)
            cause = outcome.cause if outcome and outcome.state == "failed" else ""
            notes = (*_list(place / "warnings.json"), *result.get("notes", ()))
            metrics = dict(result.get("metrics", {}))
            state = "done" if result else "failed"
            curves = dict(_curves(place / "metrics.jsonl", self.plan.smoothing, points))
            diverged = bool(cause) and outcome is not None and not outcome.again
            run = RunFacts(arm.id, seed, state, cause, metrics, curves, notes, diverged)  # type: ignore[arg-type]
            found.append((place, result, run))
        return found

    def _result(self, task: Task) -> dict[str, Any]:
        """result.json; empty if the task failed. Raises RequestError if it is not of the test split."""
        outcome = self.outcomes.get(task)
        path = task_folder(self.folder, task) / "result.json"
        if outcome is None or outcome.state == "failed" or not path.is_file():
            return {}
        plain = read_json(path, f"Evaluate the run again: nearfield evaluate {path.parent}")
        if (split := plain.get("split", "test")) != "test":
            raise RequestError(
                f"{path}: the run was evaluated on the split {split}; a study reports test. "
                f"Evaluate it again: nearfield evaluate {path.parent}"
            )
        return plain

    def _table(self, runs: Sequence[tuple[Path, dict[str, Any], RunFacts]], measure: str) -> Array | None:
        metrics = [run.metrics for _, _, run in runs]
        return table(self._clips(runs), [_mean(each) for each in self._rounds(metrics)], measure)

    def _fold_of_groups(self, measure: str) -> Ints | None:
        """The fold of each column of the arms' tables; None without folds."""
        rounds = [each for runs in self.arms.values() for each in self._clips(runs)]
        return fold_of_groups(rounds, measure)

    def _clips(self, runs: Sequence[tuple[Path, dict[str, Any], RunFacts]]) -> list[pd.DataFrame | None]:
        """The clips of each training of an arm, or of each round of folds; None if a training failed."""
        each = [self._clips_at(place / "clips.parquet") if result else None for place, result, _ in runs]
        return [round_of(part) for part in self._rounds(each)]

    def _rounds(self, each: Sequence[T]) -> list[Sequence[T]]:
        """What belongs to one seed: a single training, or a round of folds."""
        folds = self.plan.seeds.folds
        return [each[first : first + folds] for first in range(0, len(each), folds)]

    def _clips_at(self, path: Path) -> pd.DataFrame:
        """The scores of single clips, read once for all metrics."""
        if path not in self._scored:
            self._scored[path] = read_clips(path)
        return self._scored[path]

    def _baseline_tables(self, measure: str, arms: Mapping[str, Array]) -> dict[str, Array]:
        """Score tables of the baselines with the same test groups as the arms."""
        groups = {scores.shape[1] for scores in arms.values()}
        spaces = {seed: self._result(Task(BASELINES, seed)).get("spaces", ()) for seed in self.seeds}
        found = {}
        for name in sorted({name for each in spaces.values() for name in each}):
            clips, metrics = [], []
            for seeds in self._rounds(self.seeds):
                if not all(name in spaces[seed] for seed in seeds):
                    continue
                places = [task_folder(self.folder, Task(BASELINES, seed)) for seed in seeds]
                clips.append(round_of([self._clips_at(place / f"{name}.clips.parquet") for place in places]))
                metrics.append(_mean([_baseline(place / f"{name}.json") for place in places]))
            scores = table(clips, metrics, measure)
            wanted = len(self._rounds(self.seeds)) if name == SEEDED else 1
            if scores is not None and {scores.shape[1]} == groups and len(scores) == wanted:
                found[name] = scores
        return found

    def lost_baselines(self) -> Iterator[str]:
        """A sentence for each seed whose baselines could not be scored, with the reason."""
        for seed in self.seeds:
            outcome = self.outcomes.get(Task(BASELINES, seed))
            if outcome is not None and outcome.state == "failed":
                yield f"The baselines of seed {seed} could not be scored: {outcome.cause}"

    def _weights(self, arm: str) -> int:
        """Number of weights of the network; 0 if no training is finished."""
        for place, result, _ in self.arms[arm]:
            if result:
                with safe_open(RunFolder(place).weights, framework="np") as file:
                    sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118
                return int(sum(np.prod(size) for size in sizes))
        return 0

    def _maps(self, arm: str) -> Iterator[MapFacts]:
        place = next((place for place, result, _ in self.arms[arm] if result), None)
        if place is None:
            return
        frame = _vectors(place, ["label", "tags", "split", "vector"])
        frame["name"] = [
            label or (tags[0] if len(tags) else "")
            for label, tags in zip(frame["label"], frame["tags"], strict=True)
        ]
        trained = set(frame["label"][frame["split"] == "train"])
        counts = frame["name"][frame["split"] == "test"].value_counts()
        largest = sorted(counts.index, key=lambda name: (-counts[name], name))[:MAPPED_CLASSES]
        for split in ("train", "val", "test"):
            clips = frame[(frame["split"] == split) & frame["name"].isin(largest)]
            if len(clips) > MAPPED:
                clips = clips.iloc[np.linspace(0, len(clips) - 1, MAPPED).round().astype(int)]
            unseen = tuple(sorted(set(clips["label"]) - trained - {""}))
            for method in self.plan.maps if len(clips) > 10 else ():
                vectors = np.stack(list(clips["vector"])).astype(np.float64)
                found = draw_map(method, vectors, list(clips["name"]))
                yield replace(found, unseen=unseen, side=split)


def gather(
    plan: Plan,
    folder: Path,
    outcomes: Mapping[Task, Outcome],
    looks: Sequence[Look],
    deviations: Sequence[str],
    command: str,
    dropped: Mapping[str, int] | None = None,
) -> tuple[StudyFacts, dict[str, ScoreTables]]:
    """All numbers of a study's document, and the scores that they rest on, from the finished runs.

    The last of the looks concludes. `dropped` says after how many seeds an arm was trained no further.
    """
    found = Gathered(plan, folder, outcomes, looks, dropped or {})
    return _facts(found, deviations, command), found.scores()


def _facts(found: "Gathered", deviations: Sequence[str], command: str) -> StudyFacts:
    plan, seeds = found.plan, found.seeds
    environment = found.environment()
    return StudyFacts(
        title=plan.title,
        question=plan.question,
        plan_hash=plan.hash,
        judge=plan.judge,
        meaningful=plan.meaningful,
        seeds=tuple(seeds),
        planned_seeds=plan.seeds.words(),
        varied=plan.varied,
        held=plan.held,
        recipe=plan.recipe.plain(),
        arms=tuple(found.arm_facts(arm) for arm in plan.arms),
        conclusion=found.conclusion(),
        baselines=found.baselines(),
        data=_data_card(environment.get("data", {}), found.clips, found.fold_splits()),
        environment={**environment.get("versions", {}), **_machine(environment.get("machine", {}))},
        deviations=(*deviations, *found.lost_baselines()),
        source=plan.source,
        command=command,
        reduced=plan.reduced,
        target=plan.target,
        smoothing=plan.smoothing,
        speeds=found.speeds(),
        tags=found.tags(),
        folds=plan.seeds.folds,
        failures=found.failures(),
        looks=tuple(astuple(look) for look in found.looks),
    )


def _data_card(
    data: Mapping[str, Any], clips: pd.DataFrame, folds: Mapping[str, pd.DataFrame]
) -> dict[str, Any]:
    tags = {tag for each in clips["tags"] for tag in each}
    parts = folds or {split: clips[clips["split"] == split] for split in ("train", "val", "test")}
    return {
        "name": data.get("name", ""),
        "given": data.get("given", ""),
        "clips": len(clips),
        "hours": round(float(clips["seconds"].sum()) / 3600, 3),
        "classes": len(set(clips["label"]) - {""}),
        "tags": len(tags),
        "split": {name: len(part) for name, part in parts.items()},
        "groups": {name: int(part["group"].nunique()) for name, part in parts.items()},
        "split_from": re.sub(r"^fold \d+ of (\d+)", r"\1 folds", data.get("split_from", "")),
        "fingerprint": data.get("fingerprint", ""),
        "split_hash": data.get("split_hash", ""),
        "leaks": list(data.get("leaks", ())),
    }


def _vectors(place: Path, columns: list[str]) -> pd.DataFrame:
    """Columns of a run's vectors.parquet."""
    found: pd.DataFrame = RunFolder(place).table(RunFolder(place).vectors, columns).to_pandas()
    return found


def _mean(each: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric that all of `each` have."""
    names = [name for name in each[0] if all(name in metrics for metrics in each)]
    return {name: fmean(metrics[name] for metrics in each) for name in names}


def _baseline(path: Path) -> dict[str, float]:
    """The metrics of a baseline."""
    cure = f"Remove {path.parent / 'result.json'} and run the study again to recompute the baselines."
    if not path.is_file():
        raise RequestError(f"{path} is missing. {cure}")
    found: dict[str, float] = read_json(path, cure, ("metrics",))["metrics"]
    return found


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    return {name: machine[name] for name in ("platform", "device") if name in machine}


def _curves(path: Path, smoothing: int | None, most: int) -> Iterator[tuple[str, Curve]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.endswith("\n")]
    for name in CURVES:
        points = [(row["update"], row[name]) for row in rows if name in row]
        if points:
            step = max(1, -(-len(points) // most))
            thinned = slice(step - 1, None, step)
            smooth = _smooth(points, smoothing)[thinned] if smoothing else []
            yield (
                name,
                Curve(
                    tuple(update for update, _ in points[thinned]),
                    tuple(_short(value) for _, value in points[thinned]),
                    tuple(_short(value) for value in smooth),
                ),
            )


def _smooth(points: Sequence[tuple[int, float | None]], updates: int) -> list[float | None]:
    """The mean over the `updates` around each point; None where the window is incomplete or has a gap."""
    spacing = points[1][0] - points[0][0] if len(points) > 1 else 1
    window = max(1, round(updates / spacing))
    values = np.array([math.nan if value is None else value for _, value in points])
    found = np.full(len(values), math.nan)
    if window <= len(values):
        first = (window - 1) // 2
        found[first : first + len(values) - window + 1] = np.convolve(
            values, np.ones(window) / window, "valid"
        )
    return [float(value) if np.isfinite(value) else None for value in found]


def _short(value: float | None) -> float | None:
    """Four significant digits, which are enough to plot; curves make up most of facts.json."""
    return None if value is None else float(f"{value:.4g}")


def _classes(results: Sequence[Mapping[str, Any]]) -> tuple[ClassFacts, ...]:
    found: dict[str, list[float]] = {}
    support: dict[str, int] = {}
    for result in results:
        for row in result["per_class"]:
            found.setdefault(row["name"], []).append(row["f1"])
            support[row["name"]] = max(row["support"], support.get(row["name"], 0))
    return tuple(
        ClassFacts(name, support[name], float(np.median(values)), (min(values), max(values)))
        for name, values in sorted(found.items())
    )


def _centroids(
    results: Sequence[Mapping[str, Any]],
) -> tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]:
    """Names and mean distances over the results that have the same classes as the first."""
    found = [result["centroids"] for result in results if result.get("centroids")]
    found = [each for each in found if each["names"] == found[0]["names"]]
    if not found:
        return (), ()
    mean = np.mean([each["distances"] for each in found], axis=0)
    return tuple(found[0]["names"]), tuple(tuple(row) for row in mean.tolist())


def _list(path: Path) -> tuple[str, ...]:
    return tuple(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else ()
