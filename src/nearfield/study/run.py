"""A study from its file to its document: plan, trainings, looks, conclusion. A stopped study can continue."""

import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nearfield.core.errors import RequestError
from nearfield.core.extras import require
from nearfield.core.files import check_free, not_there, write_json
from nearfield.data.collection import Collection
from nearfield.metrics.registry import row_of
from nearfield.study.arms import is_before
from nearfield.study.budget import batch_size, real_batch, reduced
from nearfield.study.claims import listed
from nearfield.study.document import write_documents
from nearfield.study.engines import EngineSettings, StudyWork
from nearfield.study.engines.engine import FAILED, task_folder
from nearfield.study.engines.local import LocalSettings
from nearfield.study.facts import Gathered, gather, introductions_of
from nearfield.study.journal import Journal
from nearfield.study.plan import SMALL, Plan
from nearfield.study.records import BASELINES, Outcome, StudyFacts, Task, Verdict
from nearfield.study.score_table import write_scores
from nearfield.study.search import Told, TrialSearch, chosen, explore
from nearfield.study.statistics.looks import Look, planned
from nearfield.training.events import Callback, Event, Note, ignore
from nearfield.training.prepare import check_teaching, open_to_train
from nearfield.training.recipe import Recipe
from nearfield.training.setup import training_sampler
from nearfield.training.validation import keeps_val

_SHAPES = {"sample_rate", "clip_seconds", "image_size", "image_channels", "trim_db"}
"""Settings of data that only change how a clip is converted, so that arms with other values share a
collection."""

Progress = Callable[["Standing"], None]


@dataclass(frozen=True)
class Standing:
    """The progress of a study, reported whenever a task ends."""

    plan: Plan
    outcomes: dict[Task, Outcome]
    wanted: int
    """Tasks up to the next look."""
    baselines: int = 0
    """How many of these tasks score the baselines and train nothing."""


class Study:
    """A plan and the folder that holds its runs. Use `create` or `load` to get one."""

    def __init__(self, folder: Path, plan: Plan, data: str, file: str, changes: Sequence[str] = ()) -> None:
        self.folder, self.plan, self.data, self.file = folder, plan, data, file
        self.changes = tuple(changes)

    @classmethod
    def create(cls, file: str | Path, data: str, out: str | Path, changes: Iterable[str] = ()) -> "Study":
        """Freezes the plan of a study file in the folder `out`, or continues the study in that folder.

        If the folder already has a frozen plan, the document lists each difference from it as a deviation.

        Parameters
        ----------
        file
            The study file, or the name of a study that the package contains.
        data
            The data that all arms are trained with, as for `nearfield train --data`.
        out
            The folder of the study.
        changes
            Changes such as "seeds=3" or "train.updates=50".

        Raises
        ------
        RequestError
            If the plan is invalid, or if finished runs in `out` do not fit it.
        """
        given = list(changes)
        folder = Path(out).expanduser()
        path = folder / "plan.json"
        if not path.is_file():
            check_free(folder, "study")
            plan = Plan.load(file, given, partial(groups_in, data))
            asked = {"file": str(file), "data": data, "changes": given}
            write_json(path, {**asked, "plan": plan.plain()})
            return cls(folder, plan, data, str(file), given)
        study = cls.load(folder)
        begun = study.plan.seeds.folds
        plan = Plan.load(file, given, lambda recipe: SMALL if begun == 1 else 0)
        if study.data != data:
            raise RequestError(
                f"{folder} was started with --data {study.data}, not {data}. Give that, or another folder."
            )
        for earlier in _plans(folder):
            _check_compatible(Plan.of(earlier["plan"], str(path)), plan, folder)
        return study if plan == study.plan else cls(folder, plan, data, str(file), given)

    @classmethod
    def load(cls, folder: str | Path) -> "Study":
        """The study in a folder, with its latest plan. Raises RequestError if there is none."""
        folder = Path(folder).expanduser()
        path = folder / "plan.json"
        if not path.is_file():
            raise not_there("study", folder)
        plans = _plans(folder)
        frozen, last = plans[0], plans[-1]
        plan = Plan.of(last["plan"], str(path))
        return cls(folder, plan, frozen["data"], last["file"], last.get("changes", ()))

    def run(
        self,
        engine: EngineSettings | None = None,
        device: str = "auto",
        callback: Callable[[Task, Event], None] = lambda task, event: None,
        progress: Progress = lambda standing: None,
    ) -> StudyFacts:
        """Trains the missing runs, adds seeds if the plan asks for it, and writes the document.

        Finished and diverged runs are never trained again; other failed runs are. After Ctrl-C, the folder
        is consistent and a later call continues.

        Parameters
        ----------
        engine
            Where the runs are computed; by default in processes on this machine.
        device
            "auto", "cpu", "cuda" or "mps".
        callback
            Receives each event with its task.
        progress
            Receives the state of the study whenever a task ends.

        Returns
        -------
        StudyFacts
            Every number of the document.
        """
        _check_extras()
        built = (engine or LocalSettings()).build()
        with Journal.open(self.folder / "journal.jsonl") as journal:
            self._check_data(journal)
            self._note_looks(journal)
            self._note_deviations(journal)
            self._try_again(journal)

            def train(plan: Plan, tasks: Sequence[Task]) -> None:
                wanted = len(tasks) + len(journal.outcomes())
                baselines = sum(task.arm == BASELINES for task in (*tasks, *journal.outcomes()))

                def done(outcome: Outcome) -> None:
                    journal.add_outcome(outcome)
                    progress(Standing(plan, journal.outcomes(), wanted, baselines))

                progress(Standing(plan, journal.outcomes(), wanted, baselines))
                work = StudyWork(plan.plain(), self.data, self.folder, device)
                earlier = [task for task in tasks if is_before(task)]
                for part in (earlier, [task for task in tasks if task not in earlier]):
                    if part:
                        built.run(work, part, done, callback)

            if self.plan.search:
                explore(self.plan, self.folder, journal.outcomes, train)
            plan = self._compared_plan(journal.outcomes())
            assert plan is not None
            looks = planned(plan.seeds.looks(), _taken(journal), len(plan.arms))
            for place, look in enumerate(looks):
                ended = journal.outcomes()
                dropped = self._dropped(plan, ended, looks[:place])
                train(plan, [task for task in _tasks(plan, look.seeds, dropped) if task not in ended])
                if self._is_decided(plan, journal.outcomes(), looks[: place + 1]):
                    break
        return self.report()

    def report(self, callback: Callback = ignore) -> StudyFacts:
        """Writes the document from the finished runs.

        Raises RequestError if no seed is finished for every arm.
        """
        _check_extras()
        journal = Journal(self.folder / "journal.jsonl")
        outcomes = journal.outcomes()
        plan = self._compared_plan(outcomes)
        finished = _finished(plan, outcomes) if plan else 0
        if not finished or not plan:
            raise RequestError(
                f"{self.folder}: no seed is finished for every arm yet. Continue with: {self.command}"
            )
        looks, finished = self._stopped_at(plan, journal)
        look = looks[-1]
        deviations = self._deviations(journal)
        first = plan.seeds.looks()[0]
        if look.share and look.seeds < first and self._is_decided(plan, outcomes, looks):
            deviations.append(
                f"No seed was added to {look.seeds}: these left fewer than two arms to compare."
            )
        elif finished < first:
            deviations.append(f"{finished} of {first} planned seeds are finished.")
            callback(Note(deviations[-1], is_warning=True))
        elif look.seeds < first:
            deviations.append(
                f"{finished} seeds are finished, and the study is concluded from {look.seeds}: its error "
                "rate was spent when these were looked at. To conclude from more, plan another study."
            )
        dropped = self._dropped(plan, outcomes, looks[:-1])
        facts, scores = gather(plan, self.folder, outcomes, looks, deviations, self.command, dropped)
        frozen: str = _plans(self.folder)[0]["plan"]["hash"]
        facts = replace(facts, plan_hash=frozen, search=self._search_table(outcomes))
        if batches := {entry["held"] for entry in journal.entries("batch")}:
            facts = replace(facts, held=f"{facts.held} (batches held {', '.join(map(str, sorted(batches)))})")
        if not facts.data["name"]:  # no finished run has recorded the name
            name = self.data.partition("?")[0].rstrip("/").rpartition("/")[2]
            facts = replace(facts, data={**facts.data, "name": name})
        recipes = [self.plan.recipe_of(arm.id) for arm in self.plan.arms] or [self.plan.recipe]
        write_documents(facts, self.folder, introductions_of(self.plan.varied, recipes))
        write_scores(self.folder, scores)
        return facts

    @property
    def command(self) -> str:
        """The command that repeats the study."""
        changes = "".join(f"--set {shlex.quote(change)} " for change in self.changes)
        return (
            f"nearfield study run {shlex.quote(self.file)} {changes}--data {shlex.quote(self.data)} --out DIR"
        )

    def _check_data(self, journal: Journal) -> None:
        """Checks the data of all arms before the first training, so that no run fails because of them.

        Raises DataError if files are missing, groups leak between splits, or there is nothing to learn.
        Raises RequestError if the data changed since an arm was started (its seeds would be mixed), or if
        batch sizes or test groups differ between arms.
        """
        folds = self.plan.seeds.folds
        judges: dict[str, set[tuple[int, str]]] = {}
        batches: dict[str, int] = {}
        begun = {entry["arm"]: entry["fingerprint"] for entry in journal.entries("data")}
        opened: dict[str, tuple[Collection, str]] = {}
        for arm in (*self.plan.before, *self.plan.arms):
            recipe = self.plan.recipe_of(arm.id)
            key = recipe.data.model_dump_json(exclude=_SHAPES)
            if key not in opened:
                collection = open_to_train(self.data, recipe, allow_leak=folds > 1)
                opened[key] = collection, collection.fingerprint()
            collection, fingerprint = opened[key]
            if arm in self.plan.arms:
                _check_judged(self.plan.judge, collection.table, arm.name)
            for seed in self.plan.seeds.take(1):
                fold = self.plan.seeds.fold(seed)
                split = collection.with_fold(fold, keeps_val(recipe)) if fold else collection
                check_teaching(recipe, split)
                if arm in self.plan.arms:
                    groups = split.subset(split.rows("test")).table["group"]
                    judges.setdefault(arm.name, set()).update((seed, group) for group in groups)
                    batch = _real_batch(recipe, split)
                    batches[arm.name] = min(batch, batches.get(arm.name, batch))
            if begun.setdefault(arm.id, fingerprint) != fingerprint:
                raise RequestError(
                    f"{self.folder}: arm {arm.name!r}: the data ({self.data}) have changed since the study "
                    "was started. Restore them, or start the study in a new folder."
                )
        _check_judges(judges)
        recipes = {arm.name: self.plan.recipe_of(arm.id) for arm in self.plan.arms}
        hold = None if self.plan.varied == ("train.updates",) else self.plan.hold
        noted = {entry["arm"] for entry in journal.entries("batch")}
        for name, held in reduced(recipes, batches, hold, str(self.folder)).items():
            if name not in noted:
                journal.add("batch", arm=name, asked=batch_size(recipes[name].sampler), held=held)
        known = {entry["arm"] for entry in journal.entries("data")}
        for name, fingerprint in begun.items():
            if name not in known:
                journal.add("data", arm=name, fingerprint=fingerprint)

    def _scored_trials(self, outcomes: dict[Task, Outcome]) -> list[Told]:
        """The finished trials of the search and their scores."""
        return explore(self.plan, self.folder, lambda: outcomes, lambda plan, tasks: None)

    def _compared_plan(self, outcomes: dict[Task, Outcome]) -> Plan | None:
        """The plan whose arms are compared; for a search that of its finalists, or None if it is not done."""
        return chosen(self.plan, self._scored_trials(outcomes)) if self.plan.search else self.plan

    def _search_table(self, outcomes: dict[Task, Outcome]) -> dict[str, Any]:
        if not self.plan.search:
            return {}
        return TrialSearch(self.plan.search, self.plan.recipe).table(self._scored_trials(outcomes))

    def _is_decided(self, plan: Plan, outcomes: dict[Task, Outcome], looks: Sequence[Look]) -> bool:
        """Whether the last of the looks decides about every arm, in a study that ends then, or leaves fewer
        than two arms to compare."""
        words = [verdict.word for verdict in self._verdicts(plan, outcomes, looks)]
        left = [word for word in words if word not in ("worse", "not_comparable")]
        if "worse" in words and len(left) < 2:
            return True
        return plan.seeds.until_decided and "undecided" not in words

    def _verdicts(
        self, plan: Plan, outcomes: dict[Task, Outcome], looks: Sequence[Look]
    ) -> tuple[Verdict, ...]:
        """The verdicts at the last of the looks."""
        dropped = self._dropped(plan, outcomes, looks[:-1])
        return Gathered(plan, self.folder, outcomes, looks, dropped).conclusion().verdicts

    def _dropped(self, plan: Plan, outcomes: dict[Task, Outcome], looks: Sequence[Look]) -> dict[str, int]:
        """The arms that these looks have shown to be worse, and after how many seeds."""
        found: dict[str, int] = {}
        for place, look in enumerate(looks):
            if _finished(plan, outcomes, found) < look.seeds:
                break
            gathered = Gathered(plan, self.folder, outcomes, looks[: place + 1], found)
            worse = [verdict.arm for verdict in gathered.conclusion().verdicts if verdict.word == "worse"]
            found |= {arm: look.seeds for arm in worse if arm not in found}
        return found

    def _stopped_at(self, plan: Plan, journal: Journal) -> tuple[tuple[Look, ...], int]:
        """The looks up to the one that the document reports, and the number of seeds that are finished.

        It is the first look that decided, otherwise the last one reached that may claim something. Before the
        first planned look, it is a look that claims nothing.
        """
        outcomes = journal.outcomes()
        looks = planned(plan.seeds.looks(), _taken(journal), len(plan.arms))
        reached: tuple[Look, ...] = ()
        finished = _finished(plan, outcomes)
        for place, look in enumerate(looks):
            finished = _finished(plan, outcomes, self._dropped(plan, outcomes, looks[:place]))
            if finished < look.seeds or not look.share:
                break
            reached = looks[: place + 1]
            if self._is_decided(plan, outcomes, reached):
                break
        return reached or (Look(finished, 0.0, 0.0),), finished

    def _try_again(self, journal: Journal) -> None:
        """Removes failures that say nothing about their arm, so that these tasks run again."""
        for task, outcome in journal.outcomes().items():
            if outcome.again:
                (task_folder(self.folder, task) / FAILED).unlink(missing_ok=True)
                journal.try_again(task)

    def _note_looks(self, journal: Journal) -> None:
        """If the number of seeds changed, notes the past looks and what each spent of the error rate."""
        before = Plan.of(_plans(self.folder)[-1]["plan"])
        outcomes, taken = journal.outcomes(), _taken(journal)
        earlier = Study(self.folder, before, self.data, self.file)
        plan = earlier._compared_plan(outcomes)
        if plan is None or before.seeds == self.plan.seeds:
            return
        _, finished = earlier._stopped_at(plan, journal)
        known = {look.seeds for look in taken}
        for look in planned(plan.seeds.looks(), taken, len(plan.arms)):
            if look.seeds <= finished and look.seeds not in known:
                journal.add("look", **asdict(look))

    def _deviations(self, journal: Journal) -> list[str]:
        """All noted deviations; the text states if the current plan no longer has one."""
        arms_by_size: dict[tuple[int, int], list[str]] = {}
        for each in journal.entries("batch"):
            arms_by_size.setdefault((each["held"], each["asked"]), []).append(each["arm"])
        fewer = [
            f"Batches of {listed(arms)} hold {held} clips in place of {asked}: the data have no more labels "
            "or clips to train on."
            for (held, asked), arms in arms_by_size.items()
        ]
        current = self.plan.differences(Plan.of(_plans(self.folder)[0]["plan"]))
        again = {text.rpartition(": ")[0] for text in current} - {""}
        return fewer + [
            text
            if text in current
            else f"{text} (Changed {'again' if text.rpartition(': ')[0] in again else 'back'} later.)"
            for text in (entry["text"] for entry in journal.entries("deviation"))
        ]

    def _note_deviations(self, journal: Journal) -> None:
        """Notes the plan if it changed since the last call, and each new difference from the frozen plan."""
        plans = _plans(self.folder)
        if Plan.of(plans[-1]["plan"]) != self.plan:
            journal.add("plan", plan=self.plan.plain(), file=self.file, changes=list(self.changes))
        known = {entry["text"] for entry in journal.entries("deviation")}
        for text in self.plan.differences(Plan.of(plans[0]["plan"])):
            if text not in known:
                journal.add("deviation", text=text)


def groups_in(data: str, recipe: Recipe) -> int:
    """Number of groups of clips in the data, which decides on folds if the study file does not."""
    return int(open_to_train(data, recipe, allow_leak=True).table["group"].nunique())


def _real_batch(recipe: Recipe, collection: Collection) -> int:
    """Windows in a batch of the arm's training; the requested number if only a training can determine it."""
    rows = collection.rows("train")
    if recipe.sampler.asked_run is not None:  # that run may not exist yet
        return batch_size(recipe.sampler)
    built = training_sampler(recipe, collection.metadata(), rows, 0)
    return real_batch(recipe.sampler, built)


def _check_judged(judge: str, table: pd.DataFrame, arm: str) -> None:
    """Raises RequestError if the judge needs labels or tags and no clip has one."""
    row = row_of(judge)
    if row is None:
        return
    for need, has in (("labels", (table["label"] != "").any()), ("tags", table["tags"].map(len).any())):
        if need in row.needs and not has:
            cure = (
                "Name their column or `label`, the folder of a clip: --set data.label=label"
                if need == "labels"
                else "Name their column: --set data.tags=COLUMN"
            )
            raise RequestError(
                f"judge: {judge} needs {need}, and arm {arm!r} reads none from these data: its recipe learns "
                f"without them. {cure}. Or take a judge that needs none."
            )


def _check_judges(judges: dict[str, set[tuple[int, str]]]) -> None:
    """`judges` holds the groups of the test split of each fold by the name of the arm."""
    (first, groups), *others = judges.items()
    for name, own in others:
        if own != groups:
            raise RequestError(
                f"Arms {first!r} and {name!r} have different groups of test clips, but arms are compared "
                "group by group. Vary a setting that does not change the test split."
            )


def _plans(folder: Path) -> list[dict[str, Any]]:
    """The stored plans: the frozen one, then each changed plan with which the study continued."""
    frozen = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    return [frozen, *Journal(folder / "journal.jsonl").entries("plan")]


def _taken(journal: Journal) -> tuple[Look, ...]:
    """Past looks, ascending."""
    found: dict[int, Look] = {}
    spent = 0.0
    for entry in sorted(journal.entries("look"), key=lambda entry: int(entry["seeds"])):
        spent = entry.get("spent", spent + entry["share"])  # version 0.1.0 kept the share alone
        found[entry["seeds"]] = Look(entry["seeds"], entry["share"], spent, entry.get("after", 0.0))
    return tuple(found.values())


def _tasks(plan: Plan, seeds: int, dropped: Mapping[str, int] | None = None) -> list[Task]:
    """Tasks seed by seed, so that the finished runs are balanced at any time; baselines come first.

    `dropped` says after how many seeds an arm is trained no further.
    """
    arms = [BASELINES, *(arm.id for arm in (*plan.before, *plan.arms))]
    last = {arm: plan.seeds.take(number)[-1] for arm, number in (dropped or {}).items()}
    return [
        Task(arm, seed)
        for seed in plan.seeds.take(seeds)
        for arm in arms
        if arm not in last or seed <= last[arm]
    ]


def _finished(plan: Plan, outcomes: dict[Task, Outcome], dropped: Mapping[str, int] | None = None) -> int:
    """Number of seeds that are finished for every arm, but for those that are trained no further."""
    count = 0
    while count < plan.seeds.at_most and all(task in outcomes for task in _tasks(plan, count + 1, dropped)):
        count += 1
    return count


def _check_compatible(frozen: Plan, plan: Plan, folder: Path) -> None:
    """Raises RequestError if finished runs of the frozen plan do not fit the new plan."""
    for part, is_other in (
        ("recipe", frozen.recipe.plain() != plan.recipe.plain()),
        ("search", frozen.search != plan.search),
        ("design", (frozen.seeds.folds, frozen.seeds.keep_test) != (plan.seeds.folds, plan.seeds.keep_test)),
    ):
        if is_other:
            raise RequestError(
                f"{folder} was started with another {part}: {'; '.join(plan.differences(frozen)[:3])} "
                "Use a new folder."
            )
    known = {arm.id: arm.changes for arm in (*frozen.before, *frozen.arms)}
    for arm in (*plan.before, *plan.arms):
        if arm.id in known and known[arm.id] != arm.changes:
            raise RequestError(f"{folder}: arm {arm.id} was started with other settings. Use a new folder.")


def _check_extras() -> None:
    """Raises RequestError if the document could not be written, before anything is trained."""
    require("documents", "A study's document")
    require("map", "A study's document")
