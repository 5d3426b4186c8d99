"""The whole of a study: trained, stopped at any moment, gone on with, looked at, written down."""

import json
import multiprocessing
import os
import random
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from nearfield.core.errors import DataError, RequestError
from nearfield.core.files import digest
from nearfield.study.document import facts_from_json, write_again
from nearfield.study.engines.engine import failed, task_folder
from nearfield.study.forecast import Sizes, forecast, parts_of
from nearfield.study.journal import Journal
from nearfield.study.plan import Plan
from nearfield.study.records import BASELINES, Outcome, StudyFacts, Task
from nearfield.study.run import Standing, Study
from nearfield.study.score_table import read_scores
from nearfield.study.statistics.conclude import PlannedTest, conclude
from nearfield.study.statistics.looks import Look
from tests.study import trainings

KILLS = int(os.environ.get("NEARFIELD_KILLS", "4"))
"""How often the kill test kills."""
PAPERS = ("facts.json", "study.html", "study.pdf", "study.md")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sounds, a recipe and a study."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "sounds").mkdir()
    trainings.sounds(folder / "sounds")
    trainings.plan(folder)
    return folder


@pytest.fixture(scope="module")
def finished(place: Path) -> tuple[Study, StudyFacts, list[Standing]]:
    """The study, done without interruption."""
    told: list[Standing] = []
    study = begin(place, place / "whole")
    return study, study.run(progress=told.append), told


def begin(place: Path, out: Path, *changes: str) -> Study:
    return Study.create(place / "study.yaml", str(place / "sounds"), out, changes)


def work(place: str, out: str) -> None:
    """In a process of its own."""
    begin(Path(place), Path(out)).run()


def trained(folder: Path) -> dict[str, int]:
    """When each run got its weights."""
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("runs/*/*/weights.safetensors")}


def test_every_arm_is_trained_with_every_seed_and_written_down(
    finished: tuple[Study, StudyFacts, list[Standing]],
) -> None:
    study, facts, told = finished
    assert len(trained(study.folder)) == 6
    assert [arm.arm.name for arm in facts.arms] == ["0.3", "0.6"]
    assert all(run.state == "done" for arm in facts.arms for run in arm.runs)
    assert facts.conclusion.comparisons[0].seeds == 3
    assert facts.conclusion.comparisons[0].groups == facts.data["groups"]["test"]
    assert {"mfcc_stats", "logmel_stats", "random_encoder", "chance"} <= facts.baselines.keys()
    assert told[-1].wanted == len(told[-1].outcomes) == 9
    for name in PAPERS:
        assert (study.folder / name).stat().st_size > 1000


def test_the_means_are_those_of_the_runs(finished: tuple[Study, StudyFacts, list[Standing]]) -> None:
    study, facts, _ = finished
    for arm in facts.arms:
        for run in arm.runs:
            plain = json.loads((study.folder / f"runs/{arm.arm.id}/seed-{run.seed}/result.json").read_text())
            found = facts.conclusion.estimates[arm.arm.id].per_seed[facts.seeds.index(run.seed)]
            assert found == pytest.approx(plain["metrics"]["probe/accuracy"])


def test_facts_are_what_the_document_holds(finished: tuple[Study, StudyFacts, list[Standing]]) -> None:
    study, facts, _ = finished
    plain = json.loads((study.folder / "facts.json").read_text())
    assert facts_from_json(plain).conclusion.verdicts == facts.conclusion.verdicts


def test_a_finished_study_trains_nothing_and_writes_the_same(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    study, _, _ = finished
    before, papers = trained(study.folder), {name: digest(study.folder / name) for name in PAPERS}
    begin(place, study.folder).run()
    assert trained(study.folder) == before
    Study.load(study.folder).report()
    assert {name: digest(study.folder / name) for name in PAPERS} == papers


@pytest.mark.slow
def test_a_study_killed_at_any_moment_ends_with_the_same_document(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    """NEARFIELD_KILLS=50 for more moments."""
    study, _, _ = finished
    chance, left, number = random.Random(4), KILLS, 0
    while left > 0:
        out = place / f"broken-{number}"
        left -= finish_in_pieces(place, out, chance, left)
        number += 1
        assert trainings.bits(out) == trainings.bits(study.folder)
        assert {name: digest(out / name) for name in PAPERS} == {
            name: digest(study.folder / name) for name in PAPERS
        }
        shutil.rmtree(out)


def finish_in_pieces(place: Path, out: Path, chance: random.Random, most: int) -> int:
    """Begins the study at `out` again and again until it ends; how often it was killed, `most` at most."""
    context, kills = multiprocessing.get_context("forkserver"), 0
    context.set_forkserver_preload(["nearfield.study.run", "nearfield.study.tasks", "torch._dynamo"])
    while not (out / "study.pdf").is_file():
        child = context.Process(target=work, args=(str(place), str(out)))
        child.start()
        child.join(chance.uniform(0.3, 6.0) if kills < most else 300)
        if child.is_alive():
            assert child.pid is not None
            child.kill()
            child.join()
            kills += child.exitcode == -signal.SIGKILL
        else:
            assert child.exitcode == 0
    return kills


def test_what_the_plan_says_otherwise_later_is_a_deviation(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    study, _, _ = finished
    copy = place / "changed"
    shutil.copytree(study.folder, copy)
    facts = begin(place, copy, "meaningful=0.2").run()
    assert facts.deviations == ("meaningful: 0.2, planned 0.05.",)
    assert "planned 0.05" in (copy / "study.html").read_text()
    assert facts.plan_hash == study.plan.hash
    assert "--set meaningful=0.2 " in facts.command
    assert Study.load(copy).report() == facts


def test_a_deviation_that_was_changed_back_says_so(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    copy = copied(finished, place, "changed-back")
    begin(place, copy, "meaningful=0.2").run()
    facts = begin(place, copy, "meaningful=0.3").run()
    again = "meaningful: 0.2, planned 0.05. (Changed again later.)"
    assert facts.deviations == (again, "meaningful: 0.3, planned 0.05.")
    facts = begin(place, copy).run()
    assert facts.deviations == tuple(
        f"meaningful: {value}, planned 0.05. (Changed back later.)" for value in (0.2, 0.3)
    )
    assert facts.meaningful == 0.05
    assert f"- {facts.deviations[1]}" in (copy / "study.md").read_text()
    assert Study.load(copy).report() == facts


def test_the_untrained_encoder_stands_with_its_mean_over_seeds(
    finished: tuple[Study, StudyFacts, list[Standing]],
) -> None:
    study, facts, _ = finished
    found = [
        json.loads((study.folder / f"runs/baselines/seed-{seed}/random_encoder.json").read_text())["metrics"]
        for seed in facts.seeds
    ]
    row = facts.baselines["random_encoder"]
    for measure, value in row.items():
        assert value == pytest.approx(sum(each[measure] for each in found) / 3)
    assert row[facts.judge] == pytest.approx(facts.conclusion.estimates["baseline/random_encoder"].mean)


def test_the_command_that_makes_it_again_has_the_changes_that_made_it(place: Path) -> None:
    begun = begin(place, place / "asked", "seeds=4")
    assert "study.yaml --set seeds=4 --data" in begun.command
    assert Study.load(place / "asked").command == begun.command


def test_a_plan_that_would_give_finished_runs_another_meaning_is_refused(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    study, _, _ = finished
    with pytest.raises(RequestError, match="started with another recipe"):
        begin(place, study.folder, "train.updates=5")
    with pytest.raises(RequestError, match="started with --data"):
        Study.create(place / "study.yaml", "elsewhere", study.folder)
    with pytest.raises(RequestError, match=r"has no plan\.json"):
        Study.load(place / "nothing")
    with pytest.raises(RequestError, match="is a run, but a study needs its own folder"):
        begin(place, place)


def test_arms_that_would_be_judged_by_other_clips_are_refused_before_anything_is_trained(
    place: Path, tmp_path: Path
) -> None:
    plan = yaml.safe_load((place / "study.yaml").read_text())
    plan |= {"vary": {"data.fold.number": [1, 2]}, "set": {"data.fold.of": 2, "train.validate_every": 0}}
    (place / "folds.yaml").write_text(yaml.safe_dump(plan))
    study = Study.create(place / "folds.yaml", str(place / "sounds"), tmp_path / "out")
    with pytest.raises(RequestError, match="'1' and '2' have different groups of test clips"):
        study.run()
    assert not list(tmp_path.rglob("recipe.yaml"))


def test_half_a_study_reports_the_seeds_it_has(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    study, _, _ = finished
    half = place / "half"
    (half / "runs").mkdir(parents=True)
    (half / "runs").rmdir()
    (half / "runs").symlink_to(study.folder / "runs")
    (half / "plan.json").write_bytes((study.folder / "plan.json").read_bytes())
    whole = (study.folder / "journal.jsonl").read_text().splitlines(keepends=True)
    lines = sorted(whole, key=lambda line: json.loads(line).get("seed", -1))  # workers end in any order
    third = [place for place, line in enumerate(lines) if json.loads(line).get("seed") == 2][1:]
    (half / "journal.jsonl").write_text("".join(lines[: third[0]]))
    facts = Study.load(half).report()
    assert facts.seeds == (0, 1)
    assert "2 of 3 planned seeds are finished." in facts.deviations
    assert not facts.conclusion.comparisons
    (half / "journal.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(RequestError, match="no seed is finished for every arm"):
        Study.load(half).report()


def rewrite(clips: Path, table: pd.DataFrame) -> None:
    """Other scores of clips, as if the measuring had written them."""
    table.to_parquet(clips)
    result = clips.parent / "result.json"
    plain = json.loads(result.read_text())
    plain["files"][clips.name] = digest(clips)
    result.write_text(json.dumps(plain))


class Pretends:
    """An engine whose tasks leave the scores that a test wants."""

    def __init__(self, study: Study, gap: float) -> None:
        self.study, self.gap = study, gap
        self.given: list[Task] = []
        self.kind = "pretends"

    def build(self) -> "Pretends":
        return self

    def run(self, work: Any, tasks: Any, done: Any, callback: Any) -> None:
        whole = self.study.folder.parent / "whole"
        self.given += tasks
        for task in tasks:
            source = task_folder(whole, replace(task, seed=task.seed % 3))
            target = task_folder(work.folder, Task(task.arm, task.seed))
            shutil.copytree(source, target, dirs_exist_ok=True)
            clips = target / "clips.parquet"
            if clips.is_file():
                table = pd.read_parquet(clips)
                shift = self.gap * (task.arm == "margin-0.6")
                noise = 0.01 * ((task.seed * 7) % 5 - 2) * (1 if task.arm == "margin-0.6" else -1)
                table["probe/accuracy"] = 0.5 + shift + noise
                rewrite(clips, table)
            done(Outcome(task, "done"))


def test_seeds_are_added_until_it_is_decided(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    seeds = "seeds={at_least: 3, at_most: 8, until: decided}"
    clear = begin(place, place / "clear", seeds)
    facts = clear.run(Pretends(clear, 0.3))  # type: ignore[arg-type]
    assert facts.seeds == (0, 1, 2, 3, 4)  # the first look spends little of the rate
    assert [verdict.word for verdict in facts.conclusion.verdicts] == ["worse", "best"]
    open_ended = begin(place, place / "open", seeds, "meaningful=0.0001")
    facts = open_ended.run(Pretends(open_ended, 0.0))  # type: ignore[arg-type]
    assert facts.seeds == tuple(range(8))
    assert {verdict.word for verdict in facts.conclusion.verdicts} == {"undecided"}


class Races(Pretends):
    """Three arms, of which one is far below and two are equal; runs are those of the first arm."""

    def run(self, work: Any, tasks: Any, done: Any, callback: Any) -> None:
        whole = self.study.folder.parent / "whole"
        self.given += tasks
        for task in tasks:
            arm = task.arm if task.arm == BASELINES else "margin-0.3"
            source = task_folder(whole, Task(arm, task.seed % 3))
            target = task_folder(work.folder, task)
            shutil.copytree(source, target, dirs_exist_ok=True)
            clips = target / "clips.parquet"
            if clips.is_file():
                table = pd.read_parquet(clips)
                margin = round(10 * float(task.arm.rpartition("-")[2]))
                noise = 0.01 * ((task.seed * 7 + margin) % 5 - 2)
                table["probe/accuracy"] = 0.5 - 0.4 * (task.arm == "margin-0.9") + noise
                rewrite(clips, table)
            done(Outcome(task, "done"))


def test_an_arm_that_is_worse_is_trained_no_further_and_stays_in_the_family(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    seeds = "seeds={at_least: 5, at_most: 8, until: decided}"
    study = begin(place, place / "race", seeds, "vary={loss.margin: [0.3, 0.6, 0.9]}", "meaningful=0.0001")
    engine = Races(study, 0.0)
    facts = study.run(engine)  # type: ignore[arg-type]
    trained = {arm: sum(task.arm == arm for task in engine.given) for arm in ("margin-0.3", "margin-0.9")}
    assert trained == {"margin-0.3": 8, "margin-0.9": 5}
    assert {arm.arm.id: len(arm.runs) for arm in facts.arms} == {
        "margin-0.3": 8, "margin-0.6": 8, "margin-0.9": 5,
    }  # fmt: skip
    words = {verdict.arm: verdict.word for verdict in facts.conclusion.verdicts}
    assert words == {"margin-0.3": "undecided", "margin-0.6": "undecided", "margin-0.9": "worse"}
    assert "1 arm shown to be worse at an earlier look was trained no further" in facts.conclusion.procedure
    assert Study.load(study.folder).report() == facts
    assert write_again(study.folder).conclusion == facts.conclusion
    # The pair that is left is compared as one of three: its interval is wider than that of two arms alone.
    (pair,) = (
        each for each in facts.conclusion.comparisons if {each.one, each.other} <= {*words} - {"margin-0.9"}
    )
    tables = read_scores(study.folder)["probe/accuracy"].arms
    alone = {arm: tables[arm] for arm in ("margin-0.3", "margin-0.6")}
    look = Look(*facts.looks[-1])
    baselines = read_scores(study.folder)["probe/accuracy"].baselines
    narrow = conclude(PlannedTest("probe/accuracy", 0.0001, {}, look=look), alone, {}, baselines).comparisons[
        0
    ]
    assert pair.high - pair.low > narrow.high - narrow.low


def test_a_study_that_is_prolonged_does_not_train_the_best_arm_alone(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    study = begin(place, place / "alone", "seeds=5")
    facts = study.run(Pretends(study, 0.3))  # type: ignore[arg-type]
    assert [verdict.word for verdict in facts.conclusion.verdicts] == ["worse", "best"]
    study = begin(place, study.folder, "seeds=8")
    engine = Pretends(study, 0.3)
    more = study.run(engine)  # type: ignore[arg-type]
    assert not engine.given
    assert more.conclusion == facts.conclusion
    assert more.deviations[-1] == "No seed was added to 5: these left fewer than two arms to compare."
    assert write_again(study.folder).conclusion == more.conclusion


def test_a_failed_training_stands_in_the_document(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:

    study, _, _ = finished
    copy = place / "failed"
    shutil.copytree(study.folder, copy)
    with Journal.open(copy / "journal.jsonl") as journal:
        journal.add_outcome(
            Outcome(Task("margin-0.6", 1), "failed", "update 7: the loss is no longer a number.")
        )
    facts = Study.load(copy).report()
    assert facts.conclusion.verdicts[1].word == "not_comparable"
    assert "the loss is no longer a number" in (copy / "study.html").read_text()


def test_a_training_that_was_killed_is_trained_again_and_one_that_diverged_is_not(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    """The engine stands in: only what it is given to do is asked about here."""
    killed, diverged = Task("margin-0.6", 1), Task("margin-0.3", 2)
    copy = copied(finished, place, "killed-worker")
    for task, again in ((killed, True), (diverged, False)):
        folder = task_folder(copy, task)
        shutil.rmtree(folder)
        with Journal.open(copy / "journal.jsonl") as journal:
            journal.add_outcome(failed(copy, task, "it ended.", again=again))
    before = Study.load(copy).report()
    assert [verdict.word for verdict in before.conclusion.verdicts] == ["not_comparable"] * 2
    study = begin(place, copy)
    engine = Pretends(study, 0.0)
    facts = study.run(engine)  # type: ignore[arg-type]
    assert engine.given == [killed]
    states = {Task(run.arm, run.seed): run.state for arm in facts.arms for run in arm.runs}
    assert (states[killed], states[diverged]) == ("done", "failed")


def test_a_study_is_prolonged_once_and_then_concludes_from_what_it_had(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    copy = copied(finished, place, "prolonged")
    assert "80% of that rate; the rest is kept" in finished[1].conclusion.procedure
    study = begin(place, copy, "seeds=5")
    facts = study.run(Pretends(study, 0.0))  # type: ignore[arg-type]
    assert facts.seeds == (0, 1, 2, 3, 4)
    assert "20% of that rate; nothing is left for going on" in facts.conclusion.procedure
    assert Study.load(copy).report() == facts
    study = begin(place, copy, "seeds=6")
    again = study.run(Pretends(study, 0.0))  # type: ignore[arg-type]
    assert again.seeds == facts.seeds
    assert again.conclusion == facts.conclusion
    assert any("6 seeds are finished, and the study is concluded from 5" in each for each in again.deviations)


@pytest.mark.parametrize(
    ("sampler", "held", "asked"),
    [
        ({"kind": "balanced", "classes": 8, "per_class": 4}, 16, 32),
        ({"kind": "shuffle", "batch_size": 64}, 24, 64),
    ],
)
def test_a_recipe_that_is_reduced_in_training_is_reduced_in_a_study_and_told(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path, sampler: Any, held: int, asked: int
) -> None:
    """Four labels, and 24 clips to train on."""
    copy = place / f"reduced-{sampler['kind']}"
    study = begin(place, copy, f"sampler={json.dumps(sampler)}")
    facts = study.run(Pretends(study, 0.0))  # type: ignore[arg-type]
    told = [text for text in facts.deviations if text.startswith("Batches")]
    assert [text.partition(":")[0] for text in told] == [
        f"Batches of 0.3 and 0.6 hold {held} clips in place of {asked}"
    ]
    assert f"(batches held {held})" in (copy / "study.md").read_text()
    assert Study.load(copy).report() == facts


def test_failed_trainings_are_told_and_nothing_to_compare_is_an_error(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    from typer.testing import CliRunner

    from nearfield.cli.main import app

    copy = copied(finished, place, "all-failed")
    with Journal.open(copy / "journal.jsonl") as journal:
        for arm in ("margin-0.3", "margin-0.6"):
            for seed in range(3):
                folder = task_folder(copy, Task(arm, seed))
                shutil.rmtree(folder)
                journal.add_outcome(failed(copy, Task(arm, seed), "update 7: it diverged.", again=False))
    asked = ["study", "run", str(place / "study.yaml"), "--data", str(place / "sounds"), "--out", str(copy)]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 1
    assert "Failed: margin-0.6, seed 2: update 7: it diverged." in result.stdout
    assert "The same command trains them again, unless they diverged." in result.stdout
    text = (copy / "study.md").read_text()
    assert "Margin on sounds: 2 arms of 3 seeds" in text
    assert "6 of 6 trainings failed." in text
    facts = facts_from_json(json.loads((copy / "facts.json").read_text()))
    assert [(each.arm, each.diverged, each.trained) for each in facts.failures] == [
        ("margin-0.3", 3, 3),
        ("margin-0.6", 3, 3),
    ]


def test_a_study_is_concluded_again_without_its_runs(
    finished: tuple[Study, StudyFacts, list[Standing]], tmp_path: Path
) -> None:
    study, _, _ = finished
    for name in ("facts.json", "scores.parquet"):
        shutil.copyfile(study.folder / name, tmp_path / name)
    again = write_again(tmp_path)
    assert again == facts_from_json(json.loads((study.folder / "facts.json").read_text()))
    assert (tmp_path / "facts.json").read_bytes() == (study.folder / "facts.json").read_bytes()
    assert (tmp_path / "study.html").read_bytes() == (study.folder / "study.html").read_bytes()
    # The scores decide: with the arms' scores apart, the conclusion is another one.
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    scores.loc[scores["arm"] == "margin-0.6", "score"] += 5
    scores.to_parquet(tmp_path / "scores.parquet", index=False)
    assert write_again(tmp_path).conclusion.recommended == "margin-0.6"
    scores[scores["group"] > 2].to_parquet(tmp_path / "scores.parquet", index=False)
    with pytest.raises(DataError, match="scores of another study"):
        write_again(tmp_path)
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"scores\.parquet: cannot be read"):
        write_again(tmp_path)


def test_a_finished_study_foretells_its_own_power(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    parts = parts_of(finished[1])
    assert parts is not None
    plan, sizes = Plan.load(place / "study.yaml"), Sizes(parts.groups, 40)
    found, pair = forecast(plan, sizes, parts), finished[1].conclusion.comparisons[0]
    assert found.own.power == pytest.approx(pair.power, abs=0.02)
    more = forecast(Plan.load(place / "study.yaml", ["seeds=12"]), sizes, parts)
    assert more.own.smallest < found.own.smallest


def test_the_command_line_runs_and_reports(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from typer.testing import CliRunner

    from nearfield.cli.main import app

    study, facts, _ = finished
    result = CliRunner().invoke(app, ["study", "report", str(study.folder), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["plan_hash"] == facts.plan_hash
    asked = [
        "study",
        "run",
        str(place / "study.yaml"),
        "--data",
        str(place / "sounds"),
        "--out",
        str(study.folder),
    ]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0
    assert "study.html" in result.stdout
    assert re.search(r"margin 0\.3 +0\.\d+ \[", result.stdout)
    result = CliRunner().invoke(app, [*asked, "--dry-run", "--json"])
    assert result.exit_code == 0
    plain = json.loads(result.stdout)
    assert (plain["runs"], plain["trainings"], plain["baselines"]) == ([9], [6], [3])
    assert 0 < plain["seconds"][0] < 600
    own = plain["forecast"]["options"][0]
    assert own["power"] == pytest.approx(facts.conclusion.comparisons[0].power, abs=0.02)
    result = CliRunner().invoke(app, [*asked, "--dry-run", "--set", "seeds=1"])
    assert "in accuracy of the probe with a chance of 0.8" in " ".join(result.stdout.split())
    assert "1 seed: 2 trainings and 1 baseline\n" in result.stdout
    assert "A trial for timing first: 12 updates of one training" in result.stderr
    result = CliRunner().invoke(app, ["study", "parts", str(study.folder), "--json"])
    assert json.loads(result.stdout)[0]["groups"] == facts.conclusion.comparisons[0].groups


def test_a_dry_run_without_a_finished_study_says_what_to_do(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from nearfield.cli.main import app

    asked = ["study", "run", str(place / "study.yaml"), "--data", str(place / "sounds"), "--dry-run"]
    out, own = ["--out", str(tmp_path / "new")], ["--set", "meaningful=0.07"]
    shown = CliRunner().invoke(app, [*asked, *out, "--set", "seeds=2", *own]).stdout
    assert "no study by probe/accuracy ships with Nearfield" in " ".join(shown.split())
    result = CliRunner().invoke(app, [*asked, *out, "--like", str(tmp_path)])
    assert (
        str(result.exception)
        == f"--like: {tmp_path} holds no facts.json. Give the folder of a finished study."
    )
    (tmp_path / "facts.json").write_text('{"judge":')
    for words in (["study", "parts", str(tmp_path)], [*asked, *out, "--like", str(tmp_path)]):
        result = CliRunner().invoke(app, words)
        assert isinstance(result.exception, RequestError)
        assert "facts.json is damaged" in str(result.exception)
    like = ["--like", str(finished[0].folder), "--set", "judge=probe/macro_f1"]
    result = CliRunner().invoke(app, [*asked, *out, *like])
    assert "compared no arms by probe/macro_f1 (its judge: probe/accuracy)" in str(result.exception)


def test_a_warning_of_the_data_is_told_once_and_not_once_an_arm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from nearfield.cli.studies import watching_study
    from nearfield.training.events import Note

    with watching_study(tmp_path) as (callback, _):
        for arm in ("a", "b"):
            for seed in range(2):
                callback(Task(arm, seed), Note("files look like pieces", is_warning=True))
        callback(Task("b", 0), Note("another", is_warning=True))
    assert re.findall(r"(?m)^.*\w, seed .*", capsys.readouterr().err) == [
        "first in a, seed 0: files look like pieces",
        "first in b, seed 0: another",
    ]


def test_the_command_line_lists_deviations_and_counts_trainings_apart(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    from typer.testing import CliRunner

    from nearfield.cli.main import app

    copy = copied(finished, place, "told")
    changed = ["--data", str(place / "sounds"), "--out", str(copy), "--set", "meaningful=0.2"]
    for asked in (["run", str(place / "study.yaml"), *changed], ["report", str(copy)]):
        result = CliRunner().invoke(app, ["study", *asked])
        assert "Deviations from the plan:\n- meaningful: 0.2, planned 0.05.\n" in result.stdout
        assert ("6 of 6 trainings and 3 of 3 baselines, " in result.stderr) == (asked[0] == "run")


def test_a_search_reports_its_finalists_with_fresh_seeds(place: Path) -> None:
    study = {
        "question": "Which margin and rate?",
        "recipe": trainings.RECIPE | {"train": {"updates": 8, "validate_every": 4}},
        "search": {
            "method": "random",
            "trials": 4,
            "space": {"loss.margin": {"low": 0.1, "high": 0.9}},
            "pruning": "halving",
            "keep": 2,
            "final": 2,
        },
        "seeds": 3,
        "judge": "probe/accuracy",
        "meaningful": 0.05,
    }
    (place / "search.yaml").write_text(yaml.safe_dump(study))
    started = Study.create(place / "search.yaml", str(place / "sounds"), place / "searched")
    facts = started.run()
    assert facts.seeds == (1, 2, 3)
    assert facts.plan_hash == started.plan.hash
    names = [arm.arm.id for arm in facts.arms]
    assert len(names) == 3  # the recipe as it is, and two finalists
    assert all(name.startswith("trial-") for name in names[1:])
    assert facts.search["trials"] == 4
    assert "score" not in json.dumps(facts.search["table"])
    assert {path.name for path in (place / "searched" / "runs" / names[1]).iterdir() if path.is_dir()} == {
        "seed-0",
        "seed-1",
        "seed-2",
        "seed-3",
    }
    before = trained(place / "searched")
    again = Study.create(place / "search.yaml", str(place / "sounds"), place / "searched").run()
    assert again == facts
    assert trained(place / "searched") == before


def copied(finished: tuple[Study, StudyFacts, list[Standing]], place: Path, name: str) -> Path:
    """A copy of the finished study, to be spoilt."""
    shutil.copytree(finished[0].folder, place / name)
    return place / name


def test_a_run_that_was_measured_on_another_side_is_not_reported(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    copy = copied(finished, place, "other-side")
    path = copy / "runs/margin-0.3/seed-1/result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"split": "val"}))
    with pytest.raises(
        RequestError, match=r"evaluated on the split val; a study reports test.*nearfield evaluate"
    ):
        Study.load(copy).report()


def test_data_that_change_under_a_study_are_refused(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    data = place / "moving"
    shutil.copytree(place / "sounds", data)
    begun = Study.create(place / "study.yaml", str(data), place / "moved", ["seeds=1"])
    begun.run(Pretends(begun, 0.3))  # type: ignore[arg-type]
    again = Study.create(place / "study.yaml", str(data), place / "moved", ["seeds=3"])
    (data / "a/0.wav").write_bytes((data / "b/0.wav").read_bytes())
    with pytest.raises(RequestError, match=r"have changed since the study was started.*Restore them"):
        again.run(Pretends(again, 0.3))  # type: ignore[arg-type]
    assert len(Journal(place / "moved/journal.jsonl").outcomes()) == 3
    (data / "a/0.wav").write_bytes((place / "sounds/a/0.wav").read_bytes())
    assert len(again.run(Pretends(again, 0.3)).seeds) == 3  # type: ignore[arg-type]


def test_data_of_every_arm_are_looked_at_before_anything_is_trained(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    arms = "arms={plain: {}, mended: {data.patch: nowhere.csv}}"
    begun = begin(place, place / "patched", "vary=null", arms)
    with pytest.raises(RequestError, match=r"nowhere\.csv"):
        begun.run(Pretends(begun, 0.3))  # type: ignore[arg-type]
    assert not Journal(place / "patched/journal.jsonl").outcomes()


def test_another_search_or_another_training_before_is_another_study(place: Path) -> None:
    search = "search={method: random, trials: 4, space: {loss.margin: {low: 0.1, high: %s}}}"
    asked = ["vary=null", "train.validate_every=4"]
    begin(place, place / "sought", *asked, search % 0.9)
    begin(place, place / "sought", *asked, search % 0.9)
    with pytest.raises(RequestError, match=r"started with another search: .*high: 0\.8, planned 0\.9"):
        begin(place, place / "sought", *asked, search % 0.8)
    begin(place, place / "built-upon", "before={tagger: {embedding.size: 4}}")
    with pytest.raises(RequestError, match="arm before-tagger was started with other settings"):
        begin(place, place / "built-upon", "before={tagger: {embedding.size: 16}}")


def test_an_arm_that_was_added_later_keeps_its_settings_too(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    copy = copied(finished, place, "grown")
    arms = "arms={margin-0.3: {loss.margin: 0.3}, margin-0.6: {loss.margin: 0.6}, new: {loss.margin: %s}}"
    grown = begin(place, copy, "vary=null", arms % 0.9)
    with Journal.open(copy / "journal.jsonl") as journal:
        grown._note_deviations(journal)
    assert [arm.id for arm in Study.load(copy).plan.arms] == ["margin-0.3", "margin-0.6", "new"]
    with pytest.raises(RequestError, match="arm new was started with other settings"):
        begin(place, copy, "vary=null", arms % 0.8)


def test_too_few_seeds_for_a_verdict_are_not_taken_for_an_answer(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    study = begin(place, place / "one", "seeds={at_least: 1, at_most: 8, until: decided}")
    facts = study.run(Pretends(study, 0.3))  # type: ignore[arg-type]
    assert facts.seeds == (0, 1, 2, 3, 4)  # the first look spends little of the rate
    assert [verdict.word for verdict in facts.conclusion.verdicts] == ["worse", "best"]


def test_baselines_that_failed_are_told_and_not_taken_for_others(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    def against(facts: StudyFacts) -> set[str]:
        return {each.other for each in facts.conclusion.comparisons if each.other.startswith("baseline/")}

    assert "baseline/random_encoder" in against(finished[1])
    copy = copied(finished, place, "without-baselines")
    with Journal.open(copy / "journal.jsonl") as journal:
        for seed in (1, 2):
            journal.add_outcome(Outcome(Task("baselines", seed), "failed", "the disk was unplugged."))
    facts = Study.load(copy).report()
    assert against(facts) == against(finished[1]) - {"baseline/random_encoder"}
    assert facts.deviations == tuple(
        f"The baselines of seed {seed} could not be scored: the disk was unplugged." for seed in (1, 2)
    )


def test_one_run_without_the_judge_takes_its_arm_out_alone(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    copy = copied(finished, place, "unjudged")
    clips = copy / "runs/margin-0.6/seed-1/clips.parquet"
    rewrite(clips, pd.read_parquet(clips).drop(columns="probe/accuracy"))
    facts = Study.load(copy).report()
    assert [verdict.reason for verdict in facts.conclusion.verdicts] == [
        "there is no other arm to compare it with",
        "1 of 3 trainings have no probe/accuracy",
    ]
    assert facts.conclusion.estimates["margin-0.6"].per_seed[1] is None


def test_the_first_seeds_of_a_fixed_number_are_said_to_be_the_first(
    finished: tuple[Study, StudyFacts, list[Standing]], place: Path
) -> None:
    begun = begin(place, place / "fixed", "seeds={at_least: 2, at_most: 6, until: null}")
    (begun.folder / "runs").symlink_to(finished[0].folder / "runs")
    shutil.copy(finished[0].folder / "journal.jsonl", begun.folder / "journal.jsonl")
    assert begun.report().deviations == ("3 of 6 planned seeds are finished.",)


def test_a_plan_cut_short_by_a_kill_is_written_again(place: Path) -> None:
    (place / "killed").mkdir()
    (place / "killed/.plan.json.x1.part").write_text("{")
    assert begin(place, place / "killed").plan.hash == begin(place, place / "killed").plan.hash
