"""The scores that a study's conclusion rests on, as a table, and the conclusion from them.

`scores.parquet` has a row for each measure, arm, seed and test group. With it and facts.json, a study is
concluded again without its runs: by a later version's statistics, or by other tools (`nearfield judge`).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from nearfield.core.errors import DataError
from nearfield.core.files import replacing
from nearfield.core.text import count
from nearfield.core.types import Ints
from nearfield.study.measures import span
from nearfield.study.records import Arm, Conclusion, Estimate, RunFacts, StudyFacts, Verdict
from nearfield.study.statistics.conclude import PlannedTest, conclude, estimate, has_estimate
from nearfield.study.statistics.looks import Look
from nearfield.study.statistics.two_way import Array

FILE = "scores.parquet"
COLUMNS = ("measure", "arm", "seed", "fold", "group", "score")


@dataclass(frozen=True)
class ScoreTables:
    """Scores (S, G) of one measure by arm and by baseline; NaN rows for failed trainings.

    Their precision is that of scores.parquet, so that a conclusion from the file is that from the runs.
    """

    arms: Mapping[str, Array]
    baselines: Mapping[str, Array]
    folds: Ints | None
    """The fold (G,) of each group, from 0; None without folds."""

    @classmethod
    def of(
        cls, arms: Mapping[str, Array], baselines: Mapping[str, Array], folds: Ints | None
    ) -> "ScoreTables":
        """The scores of these tables, in single precision."""

        def single(tables: Mapping[str, Array]) -> dict[str, Array]:
            return {name: table.astype(np.float32).astype(np.float64) for name, table in tables.items()}

        return cls(single(arms), single(baselines), folds)


def write_scores(folder: Path, scores: Mapping[str, ScoreTables]) -> None:
    """Writes the scores of each measure to `folder`/scores.parquet."""
    frames = [
        _frame(measure, name, table, each.folds)
        for measure, each in scores.items()
        for name, table in (
            *each.arms.items(),
            *((f"baseline/{name}", table) for name, table in each.baselines.items()),
        )
    ]
    whole = pd.concat(frames) if frames else pd.DataFrame({name: [] for name in COLUMNS})
    with replacing(folder / FILE) as temporary:
        whole.to_parquet(temporary, index=False, compression="zstd")


def _frame(measure: str, name: str, table: Array, folds: Ints | None) -> pd.DataFrame:
    seeds, groups = table.shape
    seed, group = np.indices(table.shape)
    fold = np.zeros(groups, np.int64) if folds is None else folds
    return pd.DataFrame(
        {
            "measure": measure,
            "arm": name,
            "seed": seed.ravel().astype(np.int32),
            "fold": np.tile(fold, seeds).astype(np.int32),
            "group": group.ravel().astype(np.int32),
            "score": table.ravel().astype(np.float32),
        }
    ).astype({"measure": "category", "arm": "category"})


def read_scores(folder: Path) -> dict[str, ScoreTables]:
    """The scores of each measure in `folder`/scores.parquet; empty without that file.

    Raises DataError if the file is damaged.
    """
    if not (folder / FILE).is_file():
        return {}
    parts = read_rows(folder).groupby("measure", sort=False, observed=True)
    try:
        return {str(name): _scores(part) for name, part in parts}
    except (ValueError, KeyError) as error:
        raise _damaged(folder, error) from error


def read_rows(folder: Path) -> pd.DataFrame:
    """The rows of `folder`/scores.parquet, with `COLUMNS`. Raises DataError if it is missing or damaged."""
    try:
        return pd.read_parquet(folder / FILE, columns=list(COLUMNS))
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> DataError:
    return DataError(f"{folder / FILE}: cannot be read: {error}. Report the study again from its runs.")


def _scores(frame: pd.DataFrame) -> ScoreTables:
    arms: dict[str, Array] = {}
    baselines: dict[str, Array] = {}
    fold = frame.drop_duplicates("group").sort_values("group")["fold"].to_numpy(np.int64)
    for name, part in frame.groupby("arm", sort=False, observed=True):
        table = part.pivot(index="seed", columns="group", values="score").to_numpy(np.float64)
        plain = str(name).removeprefix("baseline/")
        (arms if plain == name else baselines)[plain] = table
    return ScoreTables(arms, baselines, fold if len(np.unique(fold)) > 1 else None)


@dataclass(frozen=True)
class Asked:
    """What a study's conclusion on one measure needs besides the scores."""

    measure: str
    meaningful: float
    costs: Mapping[str, float]
    """What each arm costs, such as its number of weights."""
    looks: Sequence[Look]
    """The looks up to the one that concludes."""
    values: Mapping[str, float] | None
    """The value of each arm, if a single ordered factor varies."""
    runs: Mapping[str, Sequence[RunFacts]]
    """The trainings of each arm."""
    folds: int = 1
    """Number of trainings of an arm for each seed."""

    def failures(self, look: Look, scores: ScoreTables) -> dict[str, str]:
        """The arms that cannot be compared at a look, and why: what fails after the look does not count."""
        found = {}
        for arm, runs in self.runs.items():
            table = scores.arms.get(arm)
            if look.seeds:
                runs, table = runs[: look.seeds * self.folds], None if table is None else table[: look.seeds]
            if why := _failure(runs, table, self.measure):
                found[arm] = why
        return found

    def test(self, look: Look, folds: Ints | None) -> PlannedTest:
        """The settings of the statistics at one look."""
        within, family = span(self.measure), len(self.runs)
        return PlannedTest(
            self.measure, self.meaningful, self.costs, within, look, folds, self.values, family
        )


def conclusion_of(asked: Asked, scores: ScoreTables) -> Conclusion:
    """The conclusion of a study on one measure.

    An arm that a look shows to be worse is trained no further: its verdict and its comparisons are those of
    that look. It stays in the family of arms. The study is concluded at the last look that leaves two arms to
    compare.
    """
    failures = asked.failures(asked.looks[-1], scores)
    left, dropped, last = dict(scores.arms), list[Conclusion](), asked.looks[-1]
    for look in asked.looks[:-1]:
        found = _at(asked, look, scores, left, asked.failures(look, scores))
        worse = {verdict.arm for verdict in found.verdicts if verdict.word == "worse"}
        if worse and len(left.keys() - worse - failures.keys()) < 2:
            last = look
            break
        dropped.append(_only(found, worse))
        left = {arm: table for arm, table in left.items() if arm not in worse}
    concluded = _at(asked, last, scores, left, failures)
    before = {verdict.arm: verdict for each in dropped for verdict in each.verdicts}
    lost = {
        arm: Verdict(arm, "not_comparable", "", failures[arm]) for arm in asked.runs if arm not in scores.arms
    }
    verdicts = {verdict.arm: verdict for verdict in concluded.verdicts} | before | lost
    procedure = concluded.procedure
    if before:
        was, stays = ("was", "stays") if len(before) == 1 else ("were", "stay")
        procedure += (
            f" {count(len(before), 'arm')} shown to be worse at an earlier look {was} trained no further, "
            f"and {stays} in the family."
        )
    return replace(
        concluded,
        estimates={name: each for part in (*dropped, concluded) for name, each in part.estimates.items()},
        comparisons=tuple(each for part in (*dropped, concluded) for each in part.comparisons),
        verdicts=tuple(verdicts[arm] for arm in asked.runs),
        procedure=procedure,
    )


def _at(
    asked: Asked, look: Look, scores: ScoreTables, left: Mapping[str, Array], failures: Mapping[str, str]
) -> Conclusion:
    """The conclusion at one look, about the arms that are left."""

    def first(tables: Mapping[str, Array]) -> dict[str, Array]:
        return {name: table[: look.seeds] if look.seeds else table for name, table in tables.items()}

    return conclude(
        asked.test(look, scores.folds),
        first(left),
        {arm: why for arm, why in failures.items() if arm in left},
        first(scores.baselines),
    )


def _only(found: Conclusion, arms: Collection[str]) -> Conclusion:
    """What a conclusion says of these arms."""
    return replace(
        found,
        estimates={name: each for name, each in found.estimates.items() if name in arms},
        comparisons=tuple(each for each in found.comparisons if {each.one, each.other} & set(arms)),
        verdicts=tuple(verdict for verdict in found.verdicts if verdict.arm in arms),
    )


def concluded_again(facts: StudyFacts, scores: Mapping[str, ScoreTables]) -> StudyFacts:
    """The facts with conclusion and estimates from the scores, by the present statistics."""
    if facts.judge not in scores or not facts.looks:
        return facts
    found, ids = scores[facts.judge], {each.arm.id for each in facts.arms}
    groups = {table.shape[1] for table in found.arms.values()}
    known = {each.groups for each in facts.conclusion.comparisons} or groups
    if set(found.arms) - ids or groups != known:
        raise DataError(
            f"{FILE}: it holds the scores of another study: of {', '.join(found.arms)} on "
            f"{', '.join(map(str, sorted(groups)))} groups, and facts.json tells of {', '.join(sorted(ids))} "
            f"on {', '.join(map(str, sorted(known)))}. Take both files from one folder."
        )
    asked = Asked(
        facts.judge,
        facts.meaningful,
        {each.arm.id: float(each.parameters) for each in facts.arms},
        [Look(*look) for look in facts.looks],
        ordered_values(facts.varied, [each.arm for each in facts.arms]),
        {each.arm.id: each.runs for each in facts.arms},
        facts.folds,
    )
    conclusion = conclusion_of(asked, scores[facts.judge])
    arms = tuple(
        replace(each, measures={**each.measures, **estimates_of(each.arm.id, facts.judge, scores)})
        for each in facts.arms
    )
    return replace(facts, conclusion=conclusion, arms=arms)


def estimates_of(arm: str, judge: str, scores: Mapping[str, ScoreTables]) -> dict[str, Estimate]:
    """The estimates of an arm on each measure but the judge."""
    return {
        name: estimate(found.arms[arm], span(name), found.folds)
        for name, found in scores.items()
        if name != judge and arm in found.arms and has_estimate(found.arms[arm])
    }


def ordered_values(varied: Sequence[str], arms: Sequence[Arm]) -> dict[str, float] | None:
    """The value of each arm, if a single setting varies and its values are numbers; otherwise None."""
    if len(varied) != 1:
        return None
    found = {arm.id: arm.changes.get(varied[0]) for arm in arms}
    numbers = {
        arm: float(value)
        for arm, value in found.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }
    is_ordered = len(numbers) == len(found) and len(set(numbers.values())) == len(numbers)
    return numbers if is_ordered else None


def _failure(runs: Sequence[RunFacts], scores: Array | None, measure: str) -> str:
    """Why an arm cannot be compared; "" if it can."""
    failed = [run for run in runs if run.state == "failed"]
    if failed:
        return f"{len(failed)} of {len(runs)} trainings failed: {failed[0].cause or 'not finished'}"
    if scores is None:
        return f"its trainings have no {measure}"
    without = int((~np.isfinite(scores).all(1)).sum())
    number = count(len(scores), "training" if len(scores) == len(runs) else "round of folds")
    return f"{without} of {number} have no {measure}" if without else ""
