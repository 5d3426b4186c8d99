"""A study from its file to its document: plan, trainings, looks, conclusion; it goes on where it stopped."""

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nearfield.core.errors import RequestError
from nearfield.core.extras import require
from nearfield.core.files import check_free, not_there, write_json
from nearfield.data.collection import Collection
from nearfield.study.arms import is_before
from nearfield.study.budget import batch_size, real_batch, reduced
from nearfield.study.claims import listed
from nearfield.study.document import write_documents
from nearfield.study.engines import EngineSettings, StudyWork
from nearfield.study.engines.engine import FAILED, task_folder
from nearfield.study.engines.local import LocalSettings
from nearfield.study.facts import Gathered, gather, introductions_of
from nearfield.study.journal import Journal
from nearfield.study.plan import Plan
from nearfield.study.records import Outcome, StudyFacts, Task
from nearfield.study.search import Told, TrialSearch, chosen, explore
from nearfield.study.statistics.planning import Look, planned
from nearfield.study.tasks import BASELINES
from nearfield.training.events import Callback, Event, Note, ignore
from nearfield.training.prepare import check_teaching, open_to_train
from nearfield.training.recipe import Recipe
from nearfield.training.setup import training_sampler

_SHAPES = {"sample_rate", "clip_seconds", "image_size", "image_channels", "trim_db"}
"""Settings of data that say what a clip is brought to: the collection is the same whatever they are."""

Progress = Callable[["Standing"], None]


@dataclass(frozen=True)
class Standing:
    """How far a study is, told whenever a task ends."""

    plan: Plan
    outcomes: dict[Task, Outcome]
    wanted: int
    """Tasks up to the next look."""
    baselines: int = 0
    """How many of those are scorings of the plain spaces, and no trainings."""


class Study:
    """A folder in which a plan is carried out."""

    def __init__(self, folder: Path, plan: Plan, data: str, file: str, changes: Sequence[str] = ()) -> None:
        """As `create` and `load` make it."""
        self.folder, self.plan, self.data, self.file = folder, plan, data, file
        self.changes = tuple(changes)

    @classmethod
    def create(cls, file: str | Path, data: str, out: str | Path, changes: Iterable[str] = ()) -> "Study":
        """Freezes the plan of a study file in the folder `out`, or goes on with what is there.

        What the plan says otherwise than the frozen one is a deviation, and will stand in the document.
        Raises RequestError where the plan is not valid, or would make finished runs mean something else.
        """
        given = list(changes)
        folder, plan = Path(out).expanduser(), Plan.load(file, given)
        path = folder / "plan.json"
        if not path.is_file():
            check_free(folder, "study")
            asked = {"file": str(file), "data": data, "changes": given}
            write_json(path, {**asked, "plan": plan.plain()})
            return cls(folder, plan, data, str(file), given)
        study = cls.load(folder)
        if study.data != data:
            raise RequestError(
                f"{folder} was begun with --data {study.data}, not {data}. Give that, or another folder."
            )
        for earlier in _plans(folder):
            _check_compatible(Plan.of(earlier["plan"], str(path)), plan, folder)
        return study if plan == study.plan else cls(folder, plan, data, str(file), given)

    @classmethod
    def load(cls, folder: str | Path) -> "Study":
        """The study of a folder, as it was last gone on with. Raises RequestError where there is none."""
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
        """Trains what is missing, looks, adds seeds where the plan says so, and writes the document.

        Finished runs are never trained again, nor those that diverged; other failures are. Raises
        KeyboardInterrupt after Ctrl-C with everything whole.
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
                plain = sum(task.arm == BASELINES for task in (*tasks, *journal.outcomes()))

                def done(outcome: Outcome) -> None:
                    journal.add_outcome(outcome)
                    progress(Standing(plan, journal.outcomes(), wanted, plain))

                progress(Standing(plan, journal.outcomes(), wanted, plain))
                work = StudyWork(plan.plain(), self.data, self.folder, device)
                earlier = [task for task in tasks if is_before(task)]
                for part in (earlier, [task for task in tasks if task not in earlier]):
                    if part:
                        built.run(work, part, done, callback)

            if self.plan.search:
                explore(self.plan, self.folder, journal.outcomes, train)
            plan = self._carried(journal.outcomes())
            assert plan is not None
            for look in planned(plan.seeds.looks(), _taken(journal)):
                ended = journal.outcomes()
                train(plan, [task for task in _tasks(plan, look.seeds) if task not in ended])
                if self._is_decided(plan, journal.outcomes(), look):
                    break
        return self.report()

    def report(self, callback: Callback = ignore) -> StudyFacts:
        """The document from what is there. Raises RequestError where no seed is finished for every arm."""
        _check_extras()
        journal = Journal(self.folder / "journal.jsonl")
        outcomes = journal.outcomes()
        plan = self._carried(outcomes)
        finished = _finished(plan, outcomes) if plan else 0
        if not finished or not plan:
            raise RequestError(f"{self.folder}: no seed is finished for every arm yet. Go on: {self.command}")
        look = self._stopped_at(plan, finished, journal)
        deviations = self._deviations(journal)
        if look.seeds < (first := plan.seeds.looks()[0]):
            deviations.append(f"{look.seeds} of {first} planned seeds are finished.")
            callback(Note(deviations[-1], is_warning=True))
        seeds = plan.seeds.take(look.seeds)
        facts = gather(plan, self.folder, outcomes, seeds, look, deviations, self.command)
        frozen: str = _plans(self.folder)[0]["plan"]["hash"]
        facts = replace(facts, plan_hash=frozen, search=self._search_table(outcomes))
        if batches := {entry["held"] for entry in journal.entries("batch")}:
            facts = replace(facts, held=f"{facts.held} (batches held {', '.join(map(str, sorted(batches)))})")
        if not facts.data["name"]:  # nothing was trained that could tell
            name = self.data.partition("?")[0].rstrip("/").rpartition("/")[2]
            facts = replace(facts, data={**facts.data, "name": name})
        recipes = [self.plan.recipe_of(arm.id) for arm in self.plan.arms] or [self.plan.recipe]
        write_documents(facts, self.folder, introductions_of(self.plan.varied, recipes))
        return facts

    @property
    def command(self) -> str:
        """That makes the study again."""
        changes = "".join(f"--set {shlex.quote(change)} " for change in self.changes)
        return (
            f"nearfield study run {shlex.quote(self.file)} {changes}--data {shlex.quote(self.data)} --out DIR"
        )

    def _check_data(self, journal: Journal) -> None:
        """Refuses data that cannot serve any of the arms, before anything is trained and noted as failed.

        Raises DataError where files are missing, groups leak between the sides, or nothing can be learnt;
        RequestError where the data are not those that an arm was begun with, so that seeds would be mixed,
        leave the arms with unlike batches, or give them other groups to be judged by.
        """
        judges: dict[str, set[str]] = {}
        batches: dict[str, int] = {}
        begun = {entry["arm"]: entry["fingerprint"] for entry in journal.entries("data")}
        opened: dict[str, tuple[Collection, str]] = {}
        for arm in (*self.plan.before, *self.plan.arms):
            recipe = self.plan.recipe_of(arm.id)
            key = recipe.data.model_dump_json(exclude=_SHAPES)
            if key not in opened:
                collection = open_to_train(self.data, recipe, allow_leak=False)
                opened[key] = collection, collection.fingerprint()
            collection, fingerprint = opened[key]
            check_teaching(recipe, collection)
            if arm in self.plan.arms:
                judges[arm.name] = set(collection.subset(collection.rows("test")).table["group"])
                batches[arm.name] = _real_batch(recipe, collection)
            if begun.setdefault(arm.id, fingerprint) != fingerprint:
                raise RequestError(
                    f"{self.folder}: arm {arm.name!r}: the data ({self.data}) are not what the study was "
                    "begun with. Bring them back, or begin a new folder."
                )
        _check_judges(judges)
        recipes = {arm.name: self.plan.recipe_of(arm.id) for arm in self.plan.arms}
        hold = None if self.plan.varied == ("train.updates",) else self.plan.hold
        said = {entry["arm"] for entry in journal.entries("batch")}
        for name, held in reduced(recipes, batches, hold, str(self.folder)).items():
            if name not in said:
                journal.add("batch", arm=name, asked=batch_size(recipes[name].sampler), held=held)
        known = {entry["arm"] for entry in journal.entries("data")}
        for name, fingerprint in begun.items():
            if name not in known:
                journal.add("data", arm=name, fingerprint=fingerprint)

    def _told(self, outcomes: dict[Task, Outcome]) -> list[Told]:
        """What is known of the search's trials."""
        return explore(self.plan, self.folder, lambda: outcomes, lambda plan, tasks: None)

    def _carried(self, outcomes: dict[Task, Outcome]) -> Plan | None:
        """The plan whose arms are compared: after a search, that of its finalists; None before."""
        return chosen(self.plan, self._told(outcomes)) if self.plan.search else self.plan

    def _search_table(self, outcomes: dict[Task, Outcome]) -> dict[str, Any]:
        if not self.plan.search:
            return {}
        return TrialSearch(self.plan.search, self.plan.recipe).table(self._told(outcomes))

    def _is_decided(self, plan: Plan, outcomes: dict[Task, Outcome], look: Look) -> bool:
        if not plan.seeds.until_decided:
            return False
        gathered = Gathered(plan, self.folder, outcomes, plan.seeds.take(look.seeds))
        found = gathered.conclusion(plan.judge, look)
        return all(verdict.word != "undecided" for verdict in found.verdicts)

    def _stopped_at(self, plan: Plan, finished: int, journal: Journal) -> Look:
        """The look that the document rests on: the first that decided, else the last that was reached. Before
        the first that was planned there is none, and nothing is claimed."""
        reached = [look for look in planned(plan.seeds.looks(), _taken(journal)) if look.seeds <= finished]
        decided = (look for look in reached if self._is_decided(plan, journal.outcomes(), look))
        return next(decided, reached[-1] if reached else Look(finished, 0.0, 0.0))

    def _try_again(self, journal: Journal) -> None:
        """Takes back failures that say nothing of their arm: they are trained once more."""
        for task, outcome in journal.outcomes().items():
            if outcome.again:
                (task_folder(self.folder, task) / FAILED).unlink(missing_ok=True)
                journal.try_again(task)

    def _note_looks(self, journal: Journal) -> None:
        """Before a study is gone on with by another number of seeds: the looks that there were, and what each
        spent of the error rate."""
        before = Plan.of(_plans(self.folder)[-1]["plan"])
        outcomes, taken = journal.outcomes(), _taken(journal)
        plan = Study(self.folder, before, self.data, self.file)._carried(outcomes)
        if plan is None or before.seeds == self.plan.seeds:
            return
        finished = _finished(plan, outcomes)
        for look in planned(plan.seeds.looks(), taken):
            if look.seeds <= finished and look.seeds not in taken:
                journal.add("look", seeds=look.seeds, share=look.share)

    def _deviations(self, journal: Journal) -> list[str]:
        """Every deviation that was noted; one that the plan in use no longer has says so."""
        positive: dict[tuple[int, int], list[str]] = {}
        for each in journal.entries("batch"):
            positive.setdefault((each["held"], each["asked"]), []).append(each["arm"])
        fewer = [
            f"Batches of {listed(arms)} hold {held} clips in place of {asked}: the data have no more labels "
            "or clips to train on."
            for (held, asked), arms in positive.items()
        ]
        hold = self.plan.differences(Plan.of(_plans(self.folder)[0]["plan"]))
        again = {text.rpartition(": ")[0] for text in hold} - {""}
        return fewer + [
            text
            if text in hold
            else f"{text} (Changed {'again' if text.rpartition(': ')[0] in again else 'back'} later.)"
            for text in (entry["text"] for entry in journal.entries("deviation"))
        ]

    def _note_deviations(self, journal: Journal) -> None:
        """The plan where it is another than last time, and what it says otherwise than when it was frozen,
        each noted once."""
        plans = _plans(self.folder)
        if Plan.of(plans[-1]["plan"]) != self.plan:
            journal.add("plan", plan=self.plan.plain(), file=self.file, changes=list(self.changes))
        known = {entry["text"] for entry in journal.entries("deviation")}
        for text in self.plan.differences(Plan.of(plans[0]["plan"])):
            if text not in known:
                journal.add("deviation", text=text)


def _real_batch(recipe: Recipe, collection: Collection) -> int:
    """Windows in a batch of the arm's training; as its recipe asks where only a training can tell."""
    rows = collection.rows("train")
    if recipe.sampler.asked_run is not None:  # what that run says is not there yet
        return batch_size(recipe.sampler)
    built = training_sampler(recipe, collection.metadata(), rows, 0)
    return real_batch(recipe.sampler, built)


def _check_judges(judges: dict[str, set[str]]) -> None:
    """`judges`: the groups of the test side, by the name of the arm."""
    (first, groups), *others = judges.items()
    for name, own in others:
        if own != groups:
            raise RequestError(
                f"Arms {first!r} and {name!r} would be judged by unlike groups of clips, and are compared by "
                "groups. Vary a setting that leaves the test side as it is."
            )


def _plans(folder: Path) -> list[dict[str, Any]]:
    """What was asked, plain: as frozen, then each time that the study was gone on with otherwise."""
    frozen = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    return [frozen, *Journal(folder / "journal.jsonl").entries("plan")]


def _taken(journal: Journal) -> dict[int, float]:
    """By number of seeds: looks under an earlier plan, and what each spent of the error rate."""
    return {entry["seeds"]: entry["share"] for entry in journal.entries("look")}


def _tasks(plan: Plan, seeds: int) -> list[Task]:
    """Seed by seed, so that what is there at any moment is balanced; the plain spaces come first."""
    arms = [BASELINES, *(arm.id for arm in (*plan.before, *plan.arms))]
    return [Task(arm, seed) for seed in plan.seeds.take(seeds) for arm in arms]


def _finished(plan: Plan, outcomes: dict[Task, Outcome]) -> int:
    """How many seeds have ended for every arm."""
    count = 0
    while count < plan.seeds.at_most and all(task in outcomes for task in _tasks(plan, count + 1)):
        count += 1
    return count


def _check_compatible(frozen: Plan, plan: Plan, folder: Path) -> None:
    """Refuses a plan under which finished runs would mean something else than they did."""
    for part, is_other in (
        ("recipe", frozen.recipe.plain() != plan.recipe.plain()),
        ("search", frozen.search != plan.search),
    ):
        if is_other:
            raise RequestError(
                f"{folder} was begun with another {part}: {'; '.join(plan.differences(frozen)[:3])} "
                "Begin a new folder."
            )
    known = {arm.id: arm.changes for arm in (*frozen.before, *frozen.arms)}
    for arm in (*plan.before, *plan.arms):
        if arm.id in known and known[arm.id] != arm.changes:
            raise RequestError(f"{folder}: arm {arm.id} was begun with other settings. Begin a new folder.")


def _check_extras() -> None:
    """Raises RequestError before anything is trained where the document could not be written."""
    require("documents", "A study's document")
    require("map", "A study's document")
