"""A training, from its recipe to its folder: `launch`, and the loop with logs, checkpoints and validation."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nearfield.core.errors import DivergedError, RequestError
from nearfield.core.extras import require
from nearfield.core.files import alone, replacing, sweep, write_text
from nearfield.core.machine import disable_malloc_trim
from nearfield.core.rng import own_chance
from nearfield.core.types import Batch, Vectors
from nearfield.learning.build import miner_beside
from nearfield.learning.collapse import CollapseWatch
from nearfield.learning.distributed import world
from nearfield.learning.losses import PairLoss
from nearfield.learning.losses.tagging import TaggingLoss
from nearfield.learning.train import RunningAverage, Step, TrainSettings, TrainState, train
from nearfield.models.normalization import sync_batch_norm
from nearfield.training.canary import keep_canary
from nearfield.training.checkpoint import load_state, save_state
from nearfield.training.device import Precision, arithmetic, best_precision, open_device
from nearfield.training.encode import vectors_of
from nearfield.training.events import Callback, Note, Stage, ignore
from nearfield.training.prepare import (
    Request,
    check,
    check_teaching,
    environment,
    open_to_train,
    weights_from,
    with_predictions,
)
from nearfield.training.recipe import Recipe
from nearfield.training.run_folder import (
    MetricsLog,
    RunFolder,
    check_unchanged,
    flatten_optimizer,
    load_tensors,
    restore_optimizer,
    save_tensors,
)
from nearfield.training.setup import TrainingSetup, note_data
from nearfield.training.tagging import TagHead
from nearfield.training.tensorboard import Board, validation_figures
from nearfield.training.validation import SCORE, Validation

# What the operations of some updates cost, by torch's own profiler.

WARM = 10
"""Updates that pass first: they also pay for what is done once."""
ROWS = 60
"""Operations that the table names, the costliest first."""


@contextmanager
def profiled(folder: Path, settings: TrainSettings, device: torch.device) -> Iterator[Callable[[], None]]:
    """Gives what is to be called after every update; where `settings.profile` asks for it, profile.txt (a
    table) and profile.json (for Perfetto or chrome://tracing) are written into the folder."""
    if not settings.profile:
        yield lambda: None
        return
    from torch.profiler import ProfilerActivity, profile, schedule

    on_device = device.type == "cuda"
    first = max(0, min(WARM, settings.updates - settings.profile - 1))

    def write(profiler: profile) -> None:
        order = "self_cuda_time_total" if on_device else "self_cpu_time_total"
        table = profiler.key_averages().table(sort_by=order, row_limit=ROWS, max_name_column_width=50)
        write_text(
            folder / "profile.txt", f"{settings.profile} updates after the first {first + 1}\n{table}\n"
        )
        with replacing(folder / "profile.json") as temporary:
            profiler.export_chrome_trace(str(temporary))

    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_device else [])]
    steps = schedule(skip_first=first, wait=0, warmup=1, active=settings.profile, repeat=1)
    with profile(activities=activities, schedule=steps, on_trace_ready=write, acc_events=True) as profiler:
        yield profiler.step


# The loop and everything around it: logs, checkpoints, validation, the alarm, and stopping at any moment.
#
# A run that was killed goes on from its last checkpoint to the same bits, because every draw of chance is
# found by its name and the number of the update, and a checkpoint holds all that updates change.


class Training:
    """The loop and everything around it: logs, checkpoints, validation, the alarm."""

    def __init__(
        self,
        setup: TrainingSetup,
        folder: RunFolder,
        device: torch.device,
        precision: Precision,
        callback: Callback,
    ) -> None:
        recipe = setup.recipe
        self.recipe, self.setup, self.folder, self.callback = recipe, setup, folder, callback
        self.device, self.precision, self.seed = device, precision, setup.seed
        self.settings = recipe.train
        self.model = setup.embedder.to(device)
        if world()[1] > 1:
            sync_batch_norm(self.model)  # in place: its norms then see the whole batch
        self.sampler = setup.sampler()
        self.loss: PairLoss = setup.loss().to(device)
        self.both = nn.ModuleDict({"model": self.model, "loss": self.loss})  # all that updates change
        self.optimizer = recipe.optimizer.build(self.both.named_parameters())
        self.average = RunningAverage(self.both, self.settings.average) if self.settings.average else None
        schedule = recipe.schedule
        self.plateau = schedule.plateau()
        self.validation = Validation.build(setup, self.loss, callback if world()[0] == 0 else ignore)
        self.update, self.best = 0, -math.inf
        self.done = False

    @own_chance()
    def run(self) -> None:
        """Trains to the end, then writes the weights."""
        short = " No batch is as large as the recipe asks." if self.sampler.is_short else ""
        self.callback(Note(self.sampler.describe() + short, is_warning=bool(short)))
        for name in self.sampler.dropped:
            self.callback(Note(f"left out of training: {name!r} has too few clips", is_warning=True))
        self._restore()
        if not self.update:
            self.setup.fit_normalization(self.sampler, self.device)
        if world()[0] != 0:
            for step in self._steps():
                self._after(step, lead=False)
                if self.done:
                    break
            return
        if self.settings.figures:
            require("tensorboard", "train.figures")
            require("figures", "train.figures")
        sweep(self.folder.path)
        with (
            closing(MetricsLog(self.folder.metrics, self.update)) as log,
            _interruptible() as interrupted,
            closing(Board(self.folder.tensorboard, self.update)) as self.board,
            profiled(self.folder.path, self.settings, self.device) as tick,
        ):
            self._lead(log, interrupted, tick)
        if self.folder.state.is_file():  # for whoever trains longer; a short run has none, and begins again
            self._save()
        self._finish()

    def _lead(self, log: MetricsLog, interrupted: threading.Event, tick: Callable[[], None]) -> None:
        alarm = CollapseWatch(self.recipe.miner.hardest_only)
        for line in log.before:  # resumed, it must know what it saw, to say the same as if never stopped
            self._warn(alarm.see({name: math.inf if v is None else v for name, v in line.items()}))
        saved = before = time.monotonic()
        for step in self._steps():
            now = time.monotonic()
            rate = self.sampler.batch_size / max(1e-9, now - before)
            numbers = {**step.measured, "train/examples_per_second": rate, **self._after(step, lead=True)}
            before = now
            log.add(step.number, numbers)
            self.board.add(step.number, numbers)
            tick()
            self.callback(Stage("train", step.number, self.settings.updates, numbers))
            trouble = self._warn(alarm.see(step.measured))
            if not math.isfinite(step.measured["train/loss"]):
                raise DivergedError(f"update {step.number}: {trouble or 'the loss is no longer a number.'}")
            if interrupted.is_set() or now - saved >= self.settings.checkpoint_seconds:
                self._save()
                saved = time.monotonic()
            if interrupted.is_set():
                raise KeyboardInterrupt(f"stopped after update {step.number}")
            if self.done:
                break

    def _warn(self, trouble: str | None) -> str | None:
        if trouble:
            self.callback(Note(trouble, is_warning=True))
        return trouble

    def _steps(self) -> Iterator[Step]:
        penalty = self.recipe.penalty
        parts = TrainState(
            encode=self._encode,
            relation=self.setup.relation(),
            miner=miner_beside(self.recipe.miner, self.recipe.loss),
            loss=self.loss,
            penalty=penalty.build(self.model.backbone) if penalty.strength else None,
            model=self.model,
            optimizer=self.optimizer,
            rate=self._rate,
        )
        self.encoder = self.setup.encoder(self.device)
        self.model.train()
        batches = self.setup.batches(self.sampler, self.update)
        return iter(()) if self.done else train(parts, batches, self.settings, self.seed, self.update)

    def _encode(self, batch: Batch, update: int) -> Tensor:
        with arithmetic(self.device, self.precision):
            return self.encoder(batch, update)

    def _rate(self, update: int) -> float:
        factor = self.plateau.factor if self.plateau else 1.0
        return factor * self.recipe.schedule.rate(update, self.settings.updates)

    def _after(self, step: Step, lead: bool) -> dict[str, float]:
        """Average and validation after an update; every process does the same, so all stop together."""
        self.update = step.number
        if self.average:
            self.average.see(self.both)
        if self.validation is None or step.number % self.settings.validate_every:
            return {}
        vectors, found = self._with_final_state(self.validation)
        score = found[SCORE]
        if score > self.best and lead and self.settings.keep == "best":
            save_tensors(self.folder.best, self._final_state(), {"update": step.number, "score": score})
        self.best = max(self.best, score)
        if self.plateau and not self.plateau.see(score):
            self.done = True
        if self.settings.figures and lead and vectors is not None:
            for name, figure in validation_figures(vectors, self.setup):
                self.board.draw(step.number, name, figure)
        self.model.train()
        return found

    def _with_final_state(self, validation: Validation) -> tuple[Vectors | None, dict[str, float]]:
        """(N, D) vectors of the clips that a validation asks for, and what it finds, by the weights that the
        run would end with now."""
        present = {name: tensor.clone() for name, tensor in self.both.state_dict().items()}
        self.both.load_state_dict(self._final_state())
        self.model.eval()
        setup, vectors = self.setup, None
        if validation.compares_clips:
            vectors = vectors_of(self.model, setup, precision=self.precision, rows=np.sort(validation.rows))
        with torch.no_grad():
            found = validation.measure(vectors, self._encode_val)
        self.both.load_state_dict(present)
        return vectors, found

    def _encode_val(self, batch: Batch, number: int) -> Tensor:
        """What the loss sees of a val batch; bent as in training where two views of one window are compared,
        which are otherwise the same."""
        with arithmetic(self.device, self.precision):
            return self.encoder(batch, -1 - number, applied=self.recipe.relation.of_views)

    def _final_state(self) -> dict[str, Tensor]:
        """What the run would end with now, the network's under `model.` and the loss's under `loss.`."""
        return self.average.state if self.average else self.both.state_dict()

    def _save(self) -> None:
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        tensors |= {f"loss/{name}": tensor for name, tensor in self.loss.state_dict().items()}
        if self.average:
            tensors |= {f"average/{name}": tensor for name, tensor in self.average.state.items()}
        numbers = {
            "update": self.update,
            "best": self.best if math.isfinite(self.best) else None,
            "averaged": self.average.seen if self.average else 0,
            "plateau": self.plateau.state() if self.plateau and math.isfinite(self.plateau.best) else None,
        }
        save_state(
            self.folder.state, tensors | flatten_optimizer(self.optimizer), numbers, self.settings.checkpoints
        )

    def _restore(self) -> None:
        found = load_state(self.folder.state, self.callback)
        if found is None:
            return
        tensors, numbers = found
        self.model.load_state_dict(part(tensors, "model/"))
        self.loss.load_state_dict(part(tensors, "loss/"))
        if self.average:
            self.average.restore(part(tensors, "average/"), numbers["averaged"])
        restore_optimizer(self.optimizer, tensors)
        self.update = numbers["update"]
        self.best = -math.inf if numbers["best"] is None else numbers["best"]
        if self.plateau and numbers["plateau"]:
            self.plateau.restore(numbers["plateau"])
            self.done = self.plateau.has_ended
        self.callback(Note(f"going on after update {self.update}"))

    def _finish(self) -> None:
        state = self._final_state()
        if self.settings.keep == "best" and self.folder.best.is_file():
            state, numbers = load_tensors(self.folder.best)
            self.callback(Note(f"kept the weights of update {numbers['update']}, the best on val"))
        if isinstance(self.loss, TaggingLoss):
            self.loss.load_state_dict(part(state, "loss."))  # a head belongs to the network it learnt beside
            TagHead(self.loss, self.setup.metadata.tag_names).save(self.folder)
        weights = part(state, "model.")
        if self.recipe.embedding.whiten:
            self.model.load_state_dict(weights)
            self.model.fit_whitening(self.setup.spectrograms(self.sampler, self.device))
            weights = self.model.state_dict()
        self.model.load_state_dict(weights)
        keep_canary(self.folder, self.setup.collection, self.recipe, self.model)
        save_tensors(self.folder.weights, weights)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, by the rest of their names."""
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C, or SIGTERM, into a flag that is looked at between updates; a second one ends at
    once. Clusters send SIGTERM some seconds before they kill."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def stop(number: int, frame: Any) -> None:
        if flag.is_set():
            raise KeyboardInterrupt
        flag.set()

    for number in before:
        signal.signal(number, stop)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# A training from its recipe to its folder.


def launch(request: Request, callback: Callback = ignore) -> TrainingSetup:
    """Trains (or goes on training) and leaves a folder with weights; evaluation is another step, which may
    take up the workbench that comes back.

    Raises RequestError for what cannot work, before anything is trained; WorkError where the loss stops
    being a number; KeyboardInterrupt after Ctrl-C, with the folder ready for `resume`.
    """
    disable_malloc_trim()
    folder = RunFolder(request.out)
    recipe = _settle(request, folder)
    precision: Precision = "bf16" if recipe.train.precision == "bf16" else "fp32"
    device = open_device(request.device, precision)
    callback = callback if world()[0] == 0 else ignore  # under torchrun one process speaks for all
    check(recipe, callback)
    collection = open_to_train(request.data, recipe, request.allow_leak, callback)
    if request.resume and folder.split.is_file():
        collection = collection.with_split(folder.split)
    note_data(collection, callback)
    check_teaching(recipe, collection)
    if request.resume and folder.is_started:
        check_unchanged(collection, folder)
    setup = TrainingSetup.build(recipe, collection, request.seed, callback)
    check_teaching(recipe, setup.collection)  # files that break while decoding take no part
    setup = replace(setup, metadata=with_predictions(recipe, setup.collection, setup.metadata))
    training = Training(setup, folder, device, precision, callback)
    is_longer = folder.is_started and folder.recipe().train.updates < recipe.train.updates
    if world()[0] != 0:
        if is_longer or not folder.is_trained:
            training.run()
        return setup
    busy = (
        f"{folder.path}: a training is already running in this folder. Wait until it ends or stop it, or "
        "choose another --out."
    )
    with alone(folder.lock, busy):
        _settle(request, folder)  # again: another training may have begun there meanwhile
        if not folder.is_started:
            collection.save_split(folder.split)
            noted = environment(request, collection, setup.channels, device)
            write_text(folder.network, str(setup.embedder.describe()) + "\n")
            folder.begin(recipe, {**noted, "weights_from": weights_from(setup.embedder)})
        elif is_longer:
            callback(Note(_longer(folder.recipe(), recipe, folder.state.is_file())))
            folder.lengthen(recipe)
        if not folder.is_trained:
            training.run()
    return setup


def _longer(before: Recipe, now: Recipe, has_state: bool) -> str:
    """What going on for more updates than were planned means."""
    if not has_state:  # a training of less than train.checkpoint_seconds keeps none
        return (
            f"trained for {before.train.updates:,} updates; no state was kept to go on from, so training "
            f"begins again and goes to {now.train.updates:,}."
        )
    said = f"trained for {before.train.updates:,} updates, going on to {now.train.updates:,}"
    if now.schedule.spans_training:
        return (
            f"{said}. The learning rate was brought down over {before.train.updates:,} updates and now "
            "follows the longer course: the result is not that of one training of this length."
        )
    return f"{said}; the result is that of one training of this length."


def _settle(request: Request, folder: RunFolder) -> Recipe:
    """The recipe with nothing left open, checked against a run that is there already."""
    recipe = request.recipe
    if recipe.train.precision == "auto":
        chosen = recipe.train.model_copy(update={"precision": best_precision(request.device)})
        recipe = recipe.model_copy(update={"train": chosen})
    if recipe.data.patch:  # a run must find it from wherever it is used
        found = {"patch": str(Path(recipe.data.patch).expanduser().resolve())}
        recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update=found)})
    if not folder.is_started:
        return recipe
    if not request.resume:
        raise RequestError(
            f"{folder.path} already holds a run. Go on with it by --resume, or choose another --out."
        )
    before = folder.recipe()
    differing = _differences(before.plain(), recipe.plain())
    if differing and not (differing == ["train.updates"] and before.train.updates < recipe.train.updates):
        raise RequestError(
            f"{folder.path} was begun with another recipe: {', '.join(differing)} differ. Resume with the "
            "recipe it was begun with (train.updates alone may be larger), or choose another --out."
        )
    if folder.environment()["seed"] != request.seed:
        raise RequestError(
            f"{folder.path} was begun with seed {folder.environment()['seed']}, not {request.seed}."
        )
    return recipe


def _differences(one: Any, other: Any, at: str = "") -> list[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return [
            d for key in keys for d in _differences(one.get(key), other.get(key), f"{at}.{key}".lstrip("."))
        ]
    return [] if one == other else [at]
