"""`nearfield study`: runs a study or rewrites its document, with a live table of arms."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from nearfield.cli.output import AsJson, print_json, say, stoppable, terminal
from nearfield.core.shipped import text_of

study = typer.Typer(help="Answer a question about settings, with evidence.", no_args_is_help=True)


@study.command("run")
def run(
    file: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study: a file, or a name of `nearfield list studies`.")
    ],
    data: Annotated[
        list[str],
        typer.Option(help="A folder, a table, NAME:PATH, or synthetic:NAME; three or more: on each of them."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the study; made if missing.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key: seeds=3")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, or ray (an extra).")] = "local",
    workers: Annotated[int | None, typer.Option(min=1, help="Trainings at a time.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Report time and what the plan can show; stop.")
    ] = False,
    like: Annotated[
        Path | None,
        typer.Option(help="A finished study on such data, whose variance tells what the plan can show."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train every arm with every seed and write the conclusions. An interrupted study continues."""
    from nearfield.core.settings import make
    from nearfield.study.engines import EngineSettings
    from nearfield.study.plan import Plan
    from nearfield.study.run import Study, groups_in
    from nearfield.study.several import folders_of

    folders = {data[0]: out} if len(data) == 1 else folders_of(data, out)
    if dry_run:
        for each, folder in folders.items():
            plan = Plan.load(file, changes or (), partial(groups_in, each))
            finished = folder if (folder / "facts.json").is_file() else None
            _show_cost(plan, _forecast(plan, each, like or finished), each, device, as_json)
        return
    settings = make(EngineSettings, "--engine", {"kind": engine, "workers": workers})
    is_empty = False
    for each, folder in folders.items():
        begun = Study.create(file, each, folder, changes or ())
        if not as_json:
            _tell_plan(begun.plan, _forecast(begun.plan, each, like))
        stopped = stoppable("the same command continues")
        with stopped, watching_study(folder, quiet=as_json) as (callback, progress):
            facts = begun.run(settings, device, callback, progress)
        if len(folders) == 1 or not as_json:
            _tell(facts, folder, as_json)
        is_empty |= _is_empty(facts)
    if len(folders) > 1:
        _tell_together(list(folders.values()), out, as_json)
    if is_empty:
        raise typer.Exit(1)


def _tell_together(folders: Sequence[Path], out: Path, as_json: bool) -> None:
    """What holds on all data sets, and on each."""
    from nearfield.study.several import judged_together, write_together

    found = judged_together(folders)
    write_together(found, folders, out)
    if as_json:
        print_json(found.as_json())
        return
    for each in (found, *found.others):
        say(f"{each.of}: {each.answer}")
    say(str(out / "sets.md"))


@study.command("print")
def print_file(
    name: Annotated[str, typer.Argument(help="A name of `nearfield list studies`.")],
) -> None:
    """Print the file of a shipped study, to change it: nearfield study print margin > mine.yaml"""
    say(text_of(name, "studies").rstrip())


@study.command("report")
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a study.")],
    as_json: AsJson = False,
) -> None:
    """Rewrite the document from the runs, or from facts.json if there are no runs."""
    from nearfield.core.files import not_there, place_of
    from nearfield.study.document import write_again
    from nearfield.study.run import Study

    if place_of(folder) != "study" and (folder / "facts.json").is_file():
        _tell(write_again(folder), folder, as_json)
        return
    if place_of(folder) != "study":
        raise not_there("study", folder)
    _tell(Study.load(folder).report(), folder, as_json)


def _tell(facts: Any, folder: Path, as_json: bool) -> None:
    from dataclasses import asdict

    from nearfield.study.claims import measure
    from nearfield.study.document.answer import closing
    from nearfield.study.document.tables import arm_rows

    if as_json:
        print_json(asdict(facts))
        return
    table = Table("arm", measure(facts.judge), "verdict", box=None, pad_edge=False)
    for row in arm_rows(facts):
        table.add_row(*row.cells, style="bold" if row.style == "marked" else "")
    terminal().print(table)
    say(closing(facts))
    failed = [run for arm in facts.arms for run in arm.runs if run.state == "failed"]
    for run in failed:
        say(f"Failed: {run.arm}, seed {run.seed}: {(run.cause or 'not finished').splitlines()[0]}")
    if failed:
        say("The same command trains them again, unless they diverged.")
    if facts.deviations:
        say("\n".join(["Deviations from the plan:", *(f"- {each}" for each in facts.deviations)]))
    say(f"{folder / 'study.html'}\n{folder / 'study.pdf'}")


def _is_empty(facts: Any) -> bool:
    """Whether failed trainings leave nothing to compare."""
    whole = sum(all(run.state == "done" for run in arm.runs) for arm in facts.arms)
    return whole < min(2, len(facts.arms))


def _forecast(plan: Any, data: str, like: Path | None) -> Any:
    """What the plan can decide; None if no study with its judge is known.

    Raises RequestError if the given study does not apply to this plan.
    """
    from nearfield.core.errors import RequestError
    from nearfield.study.forecast import Sizes, forecast, parts_of, typical

    if like is None:
        parts = typical(plan.judge, plan.recipe.modality)
    else:
        facts = _facts_in(like, "--like")
        parts = parts_of(facts)
        if parts is None or facts.judge != plan.judge:
            raise RequestError(
                f"--like: {like} compared no arms by {plan.judge} (its judge: {facts.judge}). Give a "
                "finished study by the same judge."
            )
    return forecast(plan, Sizes.of(data, plan), parts) if parts else None


def _facts_in(folder: Path, where: str) -> Any:
    """The facts of a finished study. Raises RequestError if the folder has none."""
    from nearfield.core.errors import RequestError
    from nearfield.core.files import read_json
    from nearfield.study.document import facts_from_json

    path = folder / "facts.json" if folder.is_dir() else folder
    if not path.is_file():
        raise RequestError(f"{where}: {folder} holds no facts.json. Give the folder of a finished study.")
    return facts_from_json(read_json(path, "Give the folder of a finished study."))


def _tell_plan(plan: Any, found: Any) -> None:
    """What the design is and what it can decide, before anything is trained."""
    from nearfield.study.forecast import sentences

    if plan.seeds.folds > 1:
        say(_folds_words(plan), err=True)
    for each in sentences(found) if found else ():
        say(each, err=True)


@study.command("parts")
def parts(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Folders of finished studies.")],
    as_json: AsJson = False,
) -> None:
    """Print the variance of differences between arms: what --dry-run needs to know, as YAML."""
    import yaml

    from nearfield.study.forecast import parts_of

    found = [parts_of(_facts_in(folder, "DIR")) for folder in folders]
    rows = [each.plain() for each in found if each is not None]
    if as_json:
        print_json(rows)
        return
    say(yaml.safe_dump(rows, sort_keys=False, allow_unicode=True).rstrip() if rows else "[]")


def _show_cost(plan: Any, found: Any, data: str, device: str, as_json: bool) -> None:
    from dataclasses import asdict

    from nearfield.cli.output import progress_display
    from nearfield.core.text import count
    from nearfield.study.estimate import TRIED, baselines_of, estimate_cost
    from nearfield.study.forecast import sentences

    if not as_json:
        tried = count(min(TRIED, plan.recipe_of(plan.reference).train.updates), "update")
        say(f"A trial for timing first: {tried} of one training, discarded afterwards.", err=True)
    with progress_display(quiet=as_json) as callback:
        cost = estimate_cost(plan, data, device, callback)
    arms = {arm.id: arm.changes for arm in plan.arms}
    baselines = baselines_of(plan)
    plain = {
        "question": plan.question,
        "arms": arms,
        "seeds": plan.seeds.words(),
        "held": plan.held,
        "runs": list(dict.fromkeys(cost.runs)),
        "trainings": list(
            dict.fromkeys(runs - plain for runs, plain in zip(cost.runs, baselines, strict=True))
        ),
        "baselines": list(dict.fromkeys(baselines)),
        "seconds": [round(each, 1) for each in dict.fromkeys(cost.seconds)],
        "bytes": list(dict.fromkeys(cost.bytes)),
        "forecast": asdict(found) if found else None,
    }
    if as_json:
        print_json(plain)
        return
    say(plan.question)
    for name, changes in arms.items():
        say(f"  {name:<24} {', '.join(f'{key} = {value}' for key, value in changes.items())}")
    say(f"held equal: {plan.held}")
    spans = [
        (
            plan.seeds.counted(),
            f"{_counted(plain['trainings'], 'training')} and {_counted(baselines, 'baseline')}",
        ),
        ("about", " to ".join(_span(each) for each in plain["seconds"])),
        ("on disk", " to ".join(f"{each / 1e6:.0f} MB" for each in plain["bytes"])),
    ]
    for name, text in spans:
        say(f"{name}: {text}")
    if found is None:
        say(
            f"What this plan can show is not known: no study by {plan.judge} ships with Nearfield. A "
            "finished study on such data by this judge tells it: --like DIR."
        )
        return
    table = Table("design", "trainings", "time", "smallest difference", f"chance for {plan.meaningful:g}")
    one = plain["seconds"][-1] / max(1, cost.runs[-1])
    for option in (*found.options, *([found.enough] if found.enough else [])):
        time_left = _span(one * (option.trainings + option.trainings / max(1, len(plan.arms))))
        table.add_row(
            option.name, str(option.trainings), time_left, f"{option.smallest:.3f}", f"{option.power:.2f}"
        )
    terminal().print(table)
    for text in sentences(found):
        say(text)


def _folds_words(plan: Any) -> str:
    """What the design with folds does, and how to have another."""
    kept = ", without its own test split," if plan.seeds.keep_test else ""
    return (
        f"Design: {plan.seeds.counted()}. Every group of the collection{kept} is judged, by trainings that "
        "never saw it. For the collection's own splits: --set design.folds=1"
    )


def _counted(spans: Sequence[int], noun: str) -> str:
    """ "6 trainings", or "6 to 24 trainings"."""
    from nearfield.core.text import count

    *least, most = dict.fromkeys(spans)
    return "".join(f"{each:,} to " for each in least) + count(most, noun)


def _span(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


@dataclass
class _Board:
    """The table of arms: a mark per seed, the judge so far, the current task, the time left."""

    folder: Path
    live: Live
    quiet: bool
    begun: float = field(default_factory=time.monotonic)
    standing: Any = None
    now: str = ""
    scores: dict[Any, float] = field(default_factory=dict)
    said: float = 0.0
    told: set[str] = field(default_factory=set)
    running: set[Any] = field(default_factory=set)
    """Tasks that have reported."""
    trained_from: dict[Any, float] = field(default_factory=dict)
    """The time of the first update of a task."""
    foretold: dict[Any, float] = field(default_factory=dict)
    """Estimated total seconds of a running training, from its updates so far."""

    def progress(self, standing: Any) -> None:
        from nearfield.study.engines.engine import task_folder

        self.standing = standing
        for task, outcome in standing.outcomes.items():
            path = task_folder(self.folder, task) / "result.json"
            if outcome.state == "done" and task not in self.scores and path.is_file():
                value = json.loads(path.read_text(encoding="utf-8"))["metrics"].get(standing.plan.judge)
                self.scores[task] = float("nan") if value is None else value
        self._draw()
        if not self.live.console.is_terminal and not self.quiet and standing.outcomes:
            done, left = self._counts()
            self.live.console.print(f"{done}, {left}", markup=False)

    def callback(self, task: Any, event: Any) -> None:
        from nearfield.training.events import Note

        if isinstance(event, Note):
            if event.is_warning and not self.quiet and event.text not in self.told:
                self.told.add(event.text)  # once, not once per arm or seed
                self.live.console.print(
                    f"first in {task.arm}, seed {task.seed}: {event.text}", style="yellow", markup=False
                )
            return
        self.running.add(task)
        if event.name == "train" and event.total:
            begun = self.trained_from.setdefault(task, time.monotonic())
            if event.done > max(1, event.total // 20):
                self.foretold[task] = (time.monotonic() - begun) * event.total / (event.done - 1)
        self.now = f"{task.arm}, seed {task.seed}: {event.name} {event.done}/{event.total}"
        if time.monotonic() - self.said > 0.2:
            self._draw()

    def _counts(self) -> tuple[str, str]:
        """The number of finished tasks and the time left, as text."""
        from nearfield.study.records import BASELINES

        outcomes, plain = self.standing.outcomes, self.standing.baselines
        measured = sum(task.arm == BASELINES for task in outcomes)
        left = {True: plain - measured, False: self.standing.wanted - plain - len(outcomes) + measured}
        seconds = 0.0
        for is_plain, number in left.items():
            one = self._seconds(is_plain)
            if number > 0 and one is None:
                seconds = math.nan
            seconds += number * (one or 0.0) if number > 0 else 0.0
        at_once = max(1, len(self.running - set(outcomes)))
        words = "time left not known yet" if math.isnan(seconds) else f"about {_span(seconds / at_once)} left"
        failed = sum(each.state == "failed" for each in outcomes.values())
        done = f"{len(outcomes) - measured} of {_counted([self.standing.wanted - plain], 'training')}"
        done += f" and {measured} of {_counted([plain], 'baseline')}" if plain else ""
        return done + (f", {failed} failed" if failed else ""), words

    def _seconds(self, is_plain: bool) -> float | None:
        """Seconds of a training, or of an evaluation of baselines: the mean of finished ones, else the
        estimate from a running training; None if unknown."""
        from nearfield.study.records import BASELINES

        found = [
            each.seconds
            for task, each in self.standing.outcomes.items()
            if (task.arm == BASELINES) == is_plain and each.seconds > 0
        ]
        foretold = [] if is_plain else list(self.foretold.values())
        both = found or foretold
        return sum(both) / len(both) if both else None

    def _draw(self) -> None:
        if self.quiet or self.standing is None or not self.live.console.is_terminal:
            return
        self.said = time.monotonic()
        self.live.update(self._table())

    def _table(self) -> Table:
        plan, outcomes = self.standing.plan, self.standing.outcomes
        done, left = self._counts()
        table = Table(title=plan.question, caption=f"{done}, {left}\n{self.now}")
        for head in ("arm", "seeds", f"{plan.judge}, mean"):
            table.add_column(head, no_wrap=head not in ("arm", "seeds"), overflow="fold")
        means = {}
        for arm in plan.arms:
            ended = {task.seed: each for task, each in outcomes.items() if task.arm == arm.id}
            marks = "".join("●" if ended[seed].state == "done" else "×" for seed in sorted(ended))
            found = [value for task, value in self.scores.items() if task.arm == arm.id]
            means[arm.id] = (arm.name, marks, found)
        best = max(means.values(), key=lambda row: sum(row[2]) / len(row[2]) if row[2] else -1.0)
        for row in means.values():
            table.add_row(row[0], row[1], _mean(row[2]), style="bold" if row is best and row[2] else "")
        return table


def _mean(values: list[float]) -> str:
    """Mean, with its 95 % interval over seeds if there are at least two."""
    import numpy as np

    from nearfield.study.statistics.conclude import estimate

    if not values:
        return ""
    found = estimate(np.array(values)[:, None])
    return f"{found.mean:.3f}" + (f"  {found.low:.3f} to {found.high:.3f}" if len(values) > 1 else "")


@contextmanager
def watching_study(folder: Path, quiet: bool = False) -> Iterator[tuple[Any, Any]]:
    """(callback, progress) for `Study.run`, shown on standard error."""
    console = terminal(err=True)
    with Live(console=console, refresh_per_second=4, transient=False) as live:
        board = _Board(folder, live, quiet)
        yield board.callback, board.progress
