"""The scores that a study's conclusion rests on, as a table, and the conclusion from them.

`scores.parquet` has a row for each measure, arm, seed and test group. With it and facts.json, a study is
concluded again without its runs: by a later version's statistics, or by other tools (`nearfield judge`).
"""

import math
from collections.abc import Mapping, Sequence
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
class Scores:
    """Scores (S, G) of one measure by arm and by baseline; NaN rows for failed trainings.

    Their precision is that of scores.parquet, so that a conclusion from the file is that from the runs.
    """

    arms: Mapping[str, Array]
    baselines: Mapping[str, Array]
    folds: Ints | None
    """The fold (G,) of each group, from 0; None without folds."""

    @classmethod
    def of(cls, arms: Mapping[str, Array], baselines: Mapping[str, Array], folds: Ints | None) -> "Scores":
        """The scores of these tables, in single precision."""

        def single(tables: Mapping[str, Array]) -> dict[str, Array]:
            return {name: table.astype(np.float32).astype(np.float64) for name, table in tables.items()}

        return cls(single(arms), single(baselines), folds)


def write_scores(folder: Path, scores: Mapping[str, Scores]) -> None:
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


def read_scores(folder: Path) -> dict[str, Scores]:
    """The scores of each measure in `folder`/scores.parquet; empty without that file.

    Raises DataError if the file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        whole = pd.read_parquet(path, columns=list(COLUMNS))
        return {
            str(name): _scores(part) for name, part in whole.groupby("measure", sort=False, observed=True)
        }
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Report the study again from its runs.") from error


def _scores(frame: pd.DataFrame) -> Scores:
    arms: dict[str, Array] = {}
    baselines: dict[str, Array] = {}
    fold = frame.drop_duplicates("group").sort_values("group")["fold"].to_numpy(np.int64)
    for name, part in frame.groupby("arm", sort=False, observed=True):
        table = part.pivot(index="seed", columns="group", values="score").to_numpy(np.float64)
        plain = str(name).removeprefix("baseline/")
        (arms if plain == name else baselines)[plain] = table
    return Scores(arms, baselines, fold if len(np.unique(fold)) > 1 else None)


def conclusion_of(
    measure: str,
    meaningful: float,
    costs: Mapping[str, float],
    look: Look,
    values: Mapping[str, float] | None,
    scores: Scores,
    runs: Mapping[str, Sequence[RunFacts]],
) -> Conclusion:
    """The conclusion of a study on one measure, from the trainings of each arm and what each arm costs."""
    asked = PlannedTest(measure, meaningful, costs, span(measure), look, scores.folds, values)
    failures = {
        arm: why for arm, each in runs.items() if (why := _failure(each, scores.arms.get(arm), measure))
    }
    concluded = conclude(asked, scores.arms, failures, scores.baselines)
    lost = tuple(Verdict(arm, "not_comparable", "", failures[arm]) for arm in runs if arm not in scores.arms)
    return replace(concluded, verdicts=concluded.verdicts + lost)


def concluded_again(facts: StudyFacts, scores: Mapping[str, Scores]) -> StudyFacts:
    """The facts with conclusion and estimates from the scores, by the present statistics."""
    if facts.judge not in scores or facts.look is None:
        return facts
    conclusion = conclusion_of(
        facts.judge,
        facts.meaningful,
        {each.arm.id: float(each.parameters) for each in facts.arms},
        Look(*facts.look),
        ordered_values(facts.varied, [each.arm for each in facts.arms]),
        scores[facts.judge],
        {each.arm.id: each.runs for each in facts.arms},
    )
    arms = tuple(
        replace(each, measures={**each.measures, **estimates_of(each.arm.id, facts.judge, scores)})
        for each in facts.arms
    )
    return replace(facts, conclusion=conclusion, arms=arms)


def estimates_of(arm: str, judge: str, scores: Mapping[str, Scores]) -> dict[str, Estimate]:
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
