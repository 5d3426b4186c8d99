"""A study from its file to its document: plan, trainings, looks, conclusion; it goes on where it stopped."""

import json
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nearfield.core.errors import RequestError
from nearfield.core.files import write_json
from nearfield.runs.events import Event, Note, Watcher, nobody
from nearfield.runs.launch import check_teaching, open_collection
from nearfield.study.document import write_documents
from nearfield.study.engines import EngineSettings, StudyWork
from nearfield.study.engines.local import LocalSettings
from nearfield.study.facts import Gathered, gather
from nearfield.study.introductions import introduction
from nearfield.study.journal import Journal
from nearfield.study.plan import Plan
from nearfield.study.records import Conclusion, Outcome, StudyFacts, Task
from nearfield.study.statistics.looks import shares
from nearfield.study.tasks import BASELINES

Progress = Callable[["Standing"], None]


@dataclass(frozen=True)
class Standing:
    """How far a study is, told whenever a task ends."""

    plan: Plan
    outcomes: dict[Task, Outcome]
    wanted: int
    """Tasks up to the next look."""


class Study:
    """A folder in which a plan is carried out."""

    def __init__(self, folder: Path, plan: Plan, data: str, file: str) -> None:
        """As `begin` and `existing` make it."""
        self.folder, self.plan, self.data, self.file = folder, plan, data, file

    @classmethod
    def begin(cls, file: str | Path, data: str, out: str | Path, changes: Iterable[str] = ()) -> "Study":
        """Freezes the plan of a study file in the folder `out`, or goes on with what is there.

        What the plan says otherwise than the frozen one is a deviation, and will stand in the document.
        Raises RequestError where the plan is not valid, or would make finished runs mean something else.
        """
        folder, plan = Path(out), Plan.load(file, changes)
        path = folder / "plan.json"
        if not path.is_file():
            if folder.is_dir() and any(folder.iterdir()):
                raise RequestError(f"{folder} holds other things. Give a new folder, or one of a study.")
            write_json(path, {"file": str(file), "data": data, "plan": plan.plain()})
            return cls(folder, plan, data, str(file))
        study = cls.existing(folder)
        if study.data != data:
            raise RequestError(
                f"{folder} was begun with --data {study.data}, not {data}. Give that, or another folder."
            )
        _check_compatible(study.plan, plan, folder)
        study.plan = plan
        return study

    @classmethod
    def existing(cls, folder: str | Path) -> "Study":
        """The study of a folder, as frozen. Raises RequestError where there is none."""
        path = Path(folder) / "plan.json"
        if not path.is_file():
            raise RequestError(
                f"No study at {folder}: it has no plan.json. "
                f"Run one: nearfield study run STUDY --data DATA --out {folder}"
            )
        plain = json.loads(path.read_text(encoding="utf-8"))
        return cls(Path(folder), Plan.of(plain["plan"], str(path)), plain["data"], plain["file"])

    def run(
        self,
        engine: EngineSettings | None = None,
        device: str = "auto",
        watch: Callable[[Task, Event], None] = lambda task, event: None,
        progress: Progress = lambda standing: None,
    ) -> StudyFacts:
        """Trains what is missing, looks, adds seeds where the plan says so, and writes the document.

        Finished runs are never trained again. Raises KeyboardInterrupt after Ctrl-C with everything whole.
        """
        self._check_data()
        built = (engine or LocalSettings()).build()
        work = StudyWork(self.plan.plain(), self.data, self.folder, device)
        with Journal.open(self.folder / "journal.jsonl") as journal:
            self._note_deviations(journal)
            for look, share in self._looks():
                wanted = self._tasks(look)

                def done(outcome: Outcome, wanted: Sequence[Task] = wanted) -> None:
                    journal.add_outcome(outcome)
                    progress(Standing(self.plan, journal.outcomes(), len(wanted)))

                progress(Standing(self.plan, journal.outcomes(), len(wanted)))
                missing = [task for task in wanted if task not in journal.outcomes()]
                if missing:
                    built.run(work, missing, done, watch)
                if self._is_decided(journal.outcomes(), look, share):
                    break
        return self.report()

    def report(self, watch: Watcher = nobody) -> StudyFacts:
        """The document from what is there. Raises RequestError where no seed is finished for every arm."""
        journal = Journal(self.folder / "journal.jsonl")
        outcomes = journal.outcomes()
        finished = self._finished(outcomes)
        if not finished:
            raise RequestError(f"{self.folder}: no seed is finished for every arm yet. Go on: {self.command}")
        look, share = self._stopped_at(finished, outcomes)
        deviations = [entry["text"] for entry in journal.entries("deviation")]
        if look < self.plan.seeds.at_least:
            deviations.append(f"{look} of {self.plan.seeds.at_least} planned seeds are finished.")
            watch(Note(deviations[-1], is_warning=True))
        facts = gather(
            self.plan, self.folder, outcomes, self.plan.seeds.take(look), share, deviations, self.command
        )
        texts = {key: text for key in self.plan.varied if (text := introduction(key, self.plan.recipe))}
        for beyond in write_documents(facts, self.folder, texts):
            watch(Note(f"The document says more than its records: {beyond}", is_warning=True))
        return facts

    @property
    def command(self) -> str:
        """That makes the study again."""
        return f"nearfield study run {shlex.quote(self.file)} --data {shlex.quote(self.data)} --out DIR"

    def _check_data(self) -> None:
        """Refuses data that cannot serve, before anything is trained and noted as failed.

        Raises DataError where files are missing, groups leak between the sides, or nothing can be learnt.
        """
        collection = open_collection(self.data, self.plan.recipe, allow_leak=False)
        check_teaching(self.plan.recipe_of(self.plan.reference), collection)

    def _looks(self) -> list[tuple[int, float]]:
        looks = self.plan.seeds.looks()
        return list(zip(looks, shares(looks), strict=True))

    def _tasks(self, seeds: int) -> list[Task]:
        """Seed by seed, so that what is there at any moment is balanced; the plain spaces come first."""
        arms = [BASELINES, *(arm.id for arm in self.plan.arms)]
        return [Task(arm, seed) for seed in self.plan.seeds.take(seeds) for arm in arms]

    def _is_decided(self, outcomes: dict[Task, Outcome], look: int, share: float) -> bool:
        if not self.plan.seeds.until_decided:
            return False
        found = self._conclude(outcomes, look, share)
        return all(verdict.word != "undecided" for verdict in found.verdicts)

    def _conclude(self, outcomes: dict[Task, Outcome], look: int, share: float) -> Conclusion:
        seeds = self.plan.seeds.take(look)
        return Gathered(self.plan, self.folder, outcomes, seeds).conclusion(self.plan.judge, share)

    def _finished(self, outcomes: dict[Task, Outcome]) -> int:
        """How many seeds have ended for every arm."""
        count = 0
        while count < self.plan.seeds.at_most and all(task in outcomes for task in self._tasks(count + 1)):
            count += 1
        return count

    def _stopped_at(self, finished: int, outcomes: dict[Task, Outcome]) -> tuple[int, float]:
        """The look that the document rests on: the first that decided, else the last that was reached."""
        reached = [(look, share) for look, share in self._looks() if look <= finished]
        if not reached:
            return finished, self._looks()[0][1]
        for look, share in reached:
            if self._is_decided(outcomes, look, share):
                return look, share
        return reached[-1]

    def _note_deviations(self, journal: Journal) -> None:
        """What the plan says now otherwise than when it was frozen, each noted once."""
        frozen = Study.existing(self.folder).plan
        known = {entry["text"] for entry in journal.entries("deviation")}
        for text in self.plan.differences(frozen):
            if text not in known:
                journal.add("deviation", text=text)


def _check_compatible(frozen: Plan, plan: Plan, folder: Path) -> None:
    """Refuses a plan under which finished runs would mean something else than they did."""
    if frozen.recipe.plain() != plan.recipe.plain():
        raise RequestError(
            f"{folder} was begun with another recipe: {'; '.join(plan.differences(frozen)[:3])} "
            "Begin a new folder."
        )
    before = {arm.id: arm.changes for arm in frozen.arms}
    for arm in plan.arms:
        if arm.id in before and before[arm.id] != arm.changes:
            raise RequestError(f"{folder}: arm {arm.id} was begun with other settings. Begin a new folder.")
