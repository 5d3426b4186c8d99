"""A task of a study: a training and its evaluation, or the scoring of the baselines.

A task can be killed at any time and restarted by any worker: it continues from the files in its folder and
gives the same bits. Finished and diverged tasks are never repeated. Any other failure (a killed worker,
memory, data, a fault of the program) is retried by the next call of the study.
"""

import contextlib
import errno
import json
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

from nearfield.core.errors import DivergedError, NearfieldError, WorkError
from nearfield.core.files import locked, sweep, write_json
from nearfield.metrics.result import EvaluationSettings
from nearfield.study.arms import filled
from nearfield.study.engines.engine import THREADS, failed, failure, task_folder
from nearfield.study.plan import Plan
from nearfield.study.records import BASELINES, Outcome, Task
from nearfield.training.baselines import plain_spaces, random_encoder
from nearfield.training.device import Precision, best_precision
from nearfield.training.evaluate_run import evaluate_run, write_clips
from nearfield.training.events import Callback, Event, Note, ignore
from nearfield.training.prepare import Request, open_to_train
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import RunFolder
from nearfield.training.setup import TrainingSetup
from nearfield.training.trainer import launch

_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE)
"""Errors of the machine, which say nothing about the arm."""


def perform(
    plan: Mapping[str, Any], data: str, folder: Path, task: Task, device: str, callback: Callback = ignore
) -> Outcome:
    """Trains (or continues to train) and evaluates in the task's folder, below the study's `folder`.

    A failed training is an outcome with a cause: a loss that is not a number, memory, data, or settings. All
    but the first can be retried (`again`). Raises WorkError for a fault of the machine, such as a full disk,
    and KeyboardInterrupt after Ctrl-C, with all files that a restart needs.
    """
    place = task_folder(folder, task)
    begun = time.monotonic()
    # A worker can briefly outlive its killed parent, and two workers must never write to one folder.
    with locked(place.parent / f".{place.name}.lock"):
        if known := failure(folder, task):
            return known
        if _is_finished(place, task):
            return Outcome(task, "done")
        sweep(place)
        try:
            with _threads(THREADS):
                _work(Plan.of(plan), data, place, task, device, _Listener(place, callback))
        except Exception as error:
            if _is_machine(error):
                raise WorkError(
                    f"{place}: {error}. Correct this and start the study again: it continues from here."
                ) from error
            trace = "" if isinstance(error, NearfieldError) else traceback.format_exc()
            again = not isinstance(error, DivergedError)
            return failed(folder, task, _cause(error), trace, time.monotonic() - begun, again)
    return Outcome(task, "done", seconds=time.monotonic() - begun)


def _work(plan: Plan, data: str, place: Path, task: Task, device: str, callback: Callback) -> None:
    if task.arm == BASELINES:
        is_first = task.seed in plan.seeds.take(1)
        _score_baselines(plan.recipe_for(task), data, place, task.seed, is_first, device, callback)
        return
    run, setup = RunFolder(place), None
    if not run.is_trained:
        recipe = filled(plan.recipe_for(task), plan.before, place.parents[2], task.seed)
        recipe = _as_begun(recipe, run)
        setup = launch(Request(recipe, data, place, task.seed, device, resume=run.is_started), callback)
    # With the precision of the training: bf16 takes half the time, and all arms are treated in the same way.
    precision = _arithmetic(run.recipe(), device)
    evaluate_run(run, callback=callback, with_baselines=False, precision=precision, setup=setup)


def _arithmetic(recipe: Recipe, device: str) -> Precision:
    """bf16 or fp32: the precision of the recipe, or the best one for the device."""
    return best_precision(device) if recipe.train.precision == "auto" else recipe.train.precision


def _as_begun(recipe: Recipe, run: RunFolder) -> Recipe:
    """`recipe` with the precision of the started run, if the recipe leaves it to the machine."""
    if recipe.train.precision != "auto" or not run.is_started:
        return recipe
    begun = {"precision": run.recipe().train.precision}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=begun)})


def _score_baselines(
    recipe: Recipe, data: str, place: Path, seed: int, is_first: bool, device: str, callback: Callback
) -> None:
    """Writes {name}.json and {name}.clips.parquet for each baseline, then result.json with all metrics.

    Most baselines do not depend on the seed, so they are scored with the first seed only
    (with folds: in the first round of folds).
    """
    opened = open_to_train(data, recipe, allow_leak=False, callback=callback)
    setup = TrainingSetup.build(recipe, opened, seed, callback)
    collection = setup.collection
    setup.fit_normalization(setup.sampler(), torch.device("cpu"))
    splits = {split: collection.rows(split) for split in ("train", "val", "test")}
    settings = EvaluationSettings()
    spaces = dict(plain_spaces(setup, splits, settings, callback)) if is_first else {}
    spaces["random_encoder"] = random_encoder(setup, splits, settings, _arithmetic(recipe, device))
    metrics: dict[str, float] = {}
    for name, result in spaces.items():
        write_clips(place / f"{name}.clips.parquet", collection, setup.metadata.label_names, result)
        write_json(place / f"{name}.json", result.plain())
        metrics |= result.prefixed(f"baseline/{name}")
    write_json(place / "result.json", {"metrics": metrics, "spaces": list(spaces)})


def _is_finished(place: Path, task: Task) -> bool:
    return (place / "result.json").is_file() if task.arm == BASELINES else RunFolder(place).is_evaluated


class _Listener:
    """Forwards events, and writes each distinct warning to warnings.json immediately.

    A training that continues after a kill does not repeat its earlier warnings.
    """

    def __init__(self, place: Path, callback: Callback) -> None:
        self.path, self.callback = place / "warnings.json", callback
        is_there = self.path.is_file()
        self.warnings: list[str] = json.loads(self.path.read_text(encoding="utf-8")) if is_there else []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Note) and event.is_warning and event.text not in self.warnings:
            self.warnings.append(event.text)
            write_json(self.path, self.warnings)
        self.callback(event)


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """Sets the number of threads for the block, whatever the environment variables say."""
    before = torch.get_num_threads()
    with threadpool_limits(number):
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def _is_machine(error: BaseException | None) -> bool:
    """Whether an error was caused by a fault of the machine."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _MACHINE:
            return True
        error = error.__cause__ or error.__context__
    return False


def _cause(error: Exception) -> str:
    """The cause of a failure, in one or two readable sentences."""
    if isinstance(error, NearfieldError):
        return str(error)
    text = str(error).strip().split("\n")[0].rstrip(".")
    lacks_memory = isinstance(error, RuntimeError) and ("can't allocate" in text or "out of memory" in text)
    if lacks_memory or isinstance(error, MemoryError | torch.OutOfMemoryError):
        return f"The training ran out of memory: {text or 'no more memory was available'}."
    return f"A fault of the program: {type(error).__name__}: {text}"
